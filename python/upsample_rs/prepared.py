"""Convolutions whose weight is prepared once and used for many inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._core import PreparedConv
from ._core import prepare_conv as _prepare_conv
from ._core import prepare_conv_transpose as _prepare_conv_transpose

if TYPE_CHECKING:
    from ._types import ArrayLike, IntOrTuple, Padding, WindowPadding

__all__ = ["PreparedConv", "prepare_conv", "prepare_conv_transpose"]


def prepare_conv(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: WindowPadding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
    *,
    rank: int | None = None,
    channels_last: bool = False,
) -> PreparedConv:
    """Return a convolution that holds its weight, ready to be called on many inputs.

    What is done to the weight in every plain call is done once: float16 and bfloat16 are converted
    to float32 here, as every parameter is checked that does not depend on an input; the first call
    puts the weight in order, and keeps it so beside what was given.

    Parameters
    ----------
    weight : array_like
        Kernels ``(out_channels, C / groups, *K)``, or ``(*K)`` for bare arrays. Copied: later
        changes of it change nothing.
    bias : array_like, optional
        Shape ``(out_channels,)``, of the dtype of `weight`; copied.
    stride, padding, dilation, groups, channels_last
        As :func:`~upsample_rs.conv2d`, same defaults.
    rank : int, optional
        Number of spatial axes, 1 to 3. By default ``weight.ndim - 2``, and all axes of a weight
        that has one or two. A bare kernel of three axes needs ``rank=3``, for without it that is
        taken for the weight of a 1-D convolution.

    Returns
    -------
    PreparedConv
        ``prepared(x, *, out=None)`` gives what ``conv{rank}d`` gives for `x` and the parameters
        above, the same bits. Threads may share it; it can be pickled and copied; its attributes
        (`op`, `weight`, `bias`, `dtype`, `stride` and so on) are read-only.

    Raises
    ------
    ValueError
        A weight, bias or parameter that fits no input. What depends on the input is refused by
        the call, as :func:`~upsample_rs.conv2d` refuses it.
    TypeError
        bool or another dtype without arithmetic, dtypes that differ, or a parameter of the wrong
        kind.
    MemoryError
        The weight cannot be copied.

    References
    ----------
    torch.nn.Conv2d, which likewise holds its weight; ONNX operator Conv.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> difference = us.prepare_conv(np.array([-1.0, 1.0]))
    >>> difference([1.0, 2.0, 4.0, 7.0])
    array([1., 2., 3.])
    >>> smooth = us.prepare_conv(np.ones((1, 1, 3, 3), np.float16), padding="same")
    >>> smooth
    <PreparedConv conv2d, weight float16 (1, 1, 3, 3), padding='same'>
    >>> smooth(np.ones((8, 1, 5, 6), np.float16)).shape
    (8, 1, 5, 6)
    """
    return _prepare_conv(rank, weight, bias, stride, padding, dilation, groups, channels_last)


def prepare_conv_transpose(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    output_padding: IntOrTuple = 0,
    groups: int = 1,
    dilation: IntOrTuple = 1,
    *,
    output_size: IntOrTuple | None = None,
    rank: int | None = None,
    channels_last: bool = False,
) -> PreparedConv:
    """Return a transposed convolution that holds its weight, ready to be called on many inputs.

    As :func:`prepare_conv`; the weight is kept by output channels.

    Parameters
    ----------
    weight : array_like
        Kernels ``(C, out_channels / groups, *K)``, or ``(*K)`` for bare arrays. Copied: later
        changes of it change nothing.
    bias : array_like, optional
        Shape ``(out_channels,)``, of the dtype of `weight`; copied.
    stride, padding, output_padding, groups, dilation, output_size, channels_last
        As :func:`~upsample_rs.conv_transpose2d`, same defaults. With `output_size` every input
        must be one that can have it.
    rank : int, optional
        As :func:`prepare_conv`.

    Returns
    -------
    PreparedConv
        ``prepared(x, *, out=None)`` gives what ``conv_transpose{rank}d`` gives for `x` and the
        parameters above, the same bits. Otherwise as :func:`prepare_conv`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`prepare_conv`.

    References
    ----------
    torch.nn.ConvTranspose2d, which likewise holds its weight; ONNX operator ConvTranspose.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> twice = us.prepare_conv_transpose(np.array([1, 1]), stride=2)
    >>> twice([1, 2, 3])
    array([1, 1, 2, 2, 3, 3])
    >>> up = us.prepare_conv_transpose(np.ones((64, 32, 16), np.float32), stride=8, padding=4)
    >>> up
    <PreparedConv conv_transpose1d, weight float32 (64, 32, 16), stride=(8,), padding=((4, 4),)>
    >>> [up(np.ones((1, 64, n), np.float32)).shape for n in (5, 9)]
    [(1, 32, 40), (1, 32, 72)]
    """
    return _prepare_conv_transpose(
        rank,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_size,
        channels_last,
    )


def _conv_again(*parameters: Any) -> PreparedConv:
    """Make a pickled convolution again."""
    return _prepare_conv(*parameters)


def _conv_transpose_again(*parameters: Any) -> PreparedConv:
    """Make a pickled transposed convolution again."""
    return _prepare_conv_transpose(*parameters)
