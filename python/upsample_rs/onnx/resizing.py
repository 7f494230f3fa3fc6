"""Resize and Upsample.

The standard says ``floor(length * scale)`` of a float32 scale, and its shape inference multiplies
in float32: 0.7 of 10 are 7 elements, though the scale is less than 0.7. Integer results are cut off
towards zero, as the reference evaluator does.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np

import upsample_rs as us

from .node import Node, by_places

__all__ = ["Resize", "Upsample", "by_parts"]

_LATE = "tf_half_pixel_for_nn"


def by_parts(x: Any, compute: Callable[[Any], Any]) -> Any:
    """Compute a linear map of `x`; of complex numbers part by part."""
    if x.dtype.kind != "c":
        return compute(x)
    out = 1j * compute(x.imag)
    out += compute(x.real)
    return out.astype(x.dtype)


def _given(values: Any) -> Any:
    """Return the entries of an input, None if it is left out; an empty one is left out too."""
    return None if values is None or np.size(values) == 0 else np.asarray(values).tolist()


def _factor(length: int, scale: float) -> float:
    """Return a scale with which ours is the size that float32 arithmetic has."""
    size = floor(np.float32(length) * np.float32(scale))
    factor = scale
    if floor(length * scale) < size:
        factor = size / length
        while floor(length * factor) < size:
            factor = float(np.nextafter(factor, np.inf))
    return factor


class _Resizing(Node):
    def resized(self, x: Any, **words: Any) -> Any:
        """Resize `x`, of whatever type ONNX has that can be."""
        method = words["method"]
        if method not in ("nearest", "linear", "cubic"):
            raise self.complaint(f"mode = {method!r}: must be nearest, linear or cubic")

        def compute(part: Any) -> Any:
            return us.resize(part, **words)

        if method != "nearest":
            return by_parts(x, compute)
        if words["coordinates"] == "tf_crop_and_resize" and x.dtype.kind in "OSUT":
            raise self.complaint("X of strings: no extrapolation_value is one")
        return by_places(x, compute)


class Upsample(_Resizing):
    """What was before Resize: left edges on each other, the element at or left of them."""

    def _run(self, x: Any, *inputs: Any, **a: Any) -> tuple[Any]:
        if self.version == 1:
            scale = [1.0] * (x.ndim - 2) + [a["height_scale"], a["width_scale"]]
        else:
            scale = np.asarray(a["scales"] if self.version == 7 else inputs[0]).tolist()
        if len(scale) != x.ndim:
            raise self.complaint(f"scales has {len(scale)} entries: must be {x.ndim}, X.ndim")
        if min(scale) < 1:
            raise self.complaint(f"scales = {scale}: must be at least 1")
        mode = "linear" if a["mode"] == "bilinear" else a["mode"]
        out = self.resized(
            x,
            scale=[_factor(n, s) for n, s in zip(x.shape, scale, strict=True)],
            method=mode,
            coordinates="asymmetric",
            nearest_rounding="floor",
            rounding="trunc",
        )
        return (out,)


class Resize(_Resizing):
    """Resampling along any axes."""

    def _run(self, x: Any, *inputs: Any, **a: Any) -> tuple[Any]:
        if self.version == 10:
            return (self.first_version(x, _given(inputs[0]), a["mode"]),)
        roi, scales, sizes = (_given(v) for v in (*inputs, None, None, None)[:3])
        if (scales is None) == (sizes is None):
            raise self.complaint("scales, sizes: one of them must be given")
        axes = range(x.ndim) if a.get("axes") is None else a["axes"]
        axes = [axis + x.ndim if axis < 0 else axis for axis in axes]
        rule = a["coordinate_transformation_mode"]
        words = {
            "axes": axes,
            "method": a["mode"],
            "coordinates": rule,
            "antialias": bool(a.get("antialias", 0)),
            "exclude_outside": bool(a["exclude_outside"]),
            "cubic_a": a["cubic_coeff_a"],
            "nearest_rounding": a["nearest_mode"],
            "fill": a["extrapolation_value"],
            "keep_aspect_ratio": a.get("keep_aspect_ratio_policy", "stretch"),
            "rounding": "trunc",
        }
        if sizes is not None:
            words["size"] = sizes
        else:
            lengths = [x.shape[axis] for axis in axes]
            words["scale"] = [_factor(n, s) for n, s in zip(lengths, scales, strict=True)]
        if rule == "tf_crop_and_resize":
            if roi is None or len(roi) != 2 * len(axes):
                raise self.complaint(f"roi must have {2 * len(axes)} entries")
            words["roi"] = list(zip(roi[: len(axes)], roi[len(axes) :], strict=True))
        if rule == _LATE and self.version == 11:
            return (self.late(x, words),)
        return (self.resized(x, **words),)

    def first_version(self, x: Any, scale: Any, mode: str) -> Any:
        """Version 10, which leaves the rule open: asymmetric, as onnxruntime has it.

        There nearest takes the element at or left of a position where an axis grows, and at or
        right of it where one shrinks.
        """
        words = {"method": mode, "coordinates": "asymmetric", "rounding": "trunc"}
        factors = [_factor(n, s) for n, s in zip(x.shape, scale, strict=True)]
        if mode != "nearest":
            return self.resized(x, scale=factors, **words)
        for rounding, shrinks in (("floor", False), ("ceil", True)):
            axes = [i for i, factor in enumerate(factors) if (factor < 1) == shrinks]
            if axes:
                wanted = [factors[i] for i in axes]
                x = self.resized(x, scale=wanted, axes=axes, nearest_rounding=rounding, **words)
        return x

    def late(self, x: Any, words: dict[str, Any]) -> Any:
        """Version 11 alone reads output ``o`` at ``(o + 1/2) / scale``.

        That is where output ``2*o + 1`` of twice as many lies under the asymmetric rule. Axes that
        keep their length stay as they are.
        """
        axes = words.pop("axes")
        lengths = [x.shape[axis] for axis in axes]
        if "size" in words:
            sizes = words.pop("size")
            factors = [size / n for size, n in zip(sizes, lengths, strict=True)]
        else:
            factors = words.pop("scale")
            sizes = [floor(n * factor) for n, factor in zip(lengths, factors, strict=True)]
        kept = [i for i, factor in enumerate(factors) if factor != 1]
        if not kept:
            return x.copy()
        words |= {"coordinates": "asymmetric", "axes": [axes[i] for i in kept]}
        odd = [slice(None)] * x.ndim
        for i in kept:
            odd[axes[i]] = slice(1, 2 * sizes[i], 2)
        twice = self.resized(x, scale=[2 * factors[i] for i in kept], **words)
        return np.ascontiguousarray(twice[tuple(odd)])
