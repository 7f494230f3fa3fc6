"""Conv and ConvTranspose.

ONNX computes the padding of a transposed convolution from the size it is to have, where that is
given, or is to be the stride times the input. An odd element is then cut at the end if
``auto_pad`` is ``SAME_UPPER``, and at the beginning otherwise.
"""

from __future__ import annotations

from typing import Any

from .node import SAME, Node

__all__ = ["Conv", "ConvTranspose"]


class _Convolution(Node):
    def kernel(self, x: Any, weight: Any, a: dict[str, Any]) -> list[int]:
        """Return the kernel's size, which ``kernel_shape`` may only repeat."""
        n = self.spatial(x)
        size = [int(length) for length in weight.shape[2:]]
        if weight.ndim != x.ndim:
            raise self.complaint(f"W.ndim = {weight.ndim}: must be {x.ndim}, that of X")
        if self.entries("kernel_shape", a["kernel_shape"] or size, n, 1) != size:
            raise self.complaint(f"kernel_shape = {a['kernel_shape']}: W has {size}")
        return size


class Conv(_Convolution):
    """Convolution, plain or grouped."""

    def _run(self, x: Any, weight: Any, bias: Any = None, **a: Any) -> tuple[Any]:
        n = len(self.kernel(x, weight, a))
        options = {
            "stride": self.entries("strides", a["strides"], n, 1),
            "padding": self.padding(a, n),
            "dilation": self.entries("dilations", a["dilations"], n, 1),
            "groups": a["group"],
        }
        return (self.of_rank("conv", n)(x, weight, bias, **options),)


class ConvTranspose(_Convolution):
    """Transposed convolution, plain or grouped."""

    def _run(self, x: Any, weight: Any, bias: Any = None, **a: Any) -> tuple[Any]:
        kernel = self.kernel(x, weight, a)
        n = len(kernel)
        stride = self.entries("strides", a["strides"], n, 1)
        dilation = self.entries("dilations", a["dilations"], n, 1)
        extra = self.entries("output_padding", a["output_padding"], n, 0)
        padding = self.padding(a, n)
        size = a["output_shape"]
        if size is None and padding in SAME.values():
            size = [length * step for length, step in zip(x.shape[2:], stride, strict=True)]
        if size is not None:
            size = self.entries("output_shape", size[-n:], n, 1)
            spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
            full = [
                (length - 1) * step + more + span
                for length, step, more, span in zip(x.shape[2:], stride, extra, spans, strict=True)
            ]
            late = a["auto_pad"] == "SAME_UPPER"
            cuts = [f - o for f, o in zip(full, size, strict=True)]
            # A size beyond the whole of the result is reached by more elements at the end.
            extra = [more + max(-cut, 0) for more, cut in zip(extra, cuts, strict=True)]
            halves = [(max(cut, 0) // 2, max(cut, 0) - max(cut, 0) // 2) for cut in cuts]
            padding = tuple(half if late else half[::-1] for half in halves)
        options = {
            "stride": stride,
            "padding": 0 if padding == "valid" else padding,
            "output_padding": extra,
            "groups": a["group"],
            "dilation": dilation,
        }
        return (self.of_rank("conv_transpose", n)(x, weight, bias, **options),)
