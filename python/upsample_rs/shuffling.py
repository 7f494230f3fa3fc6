"""Shuffles: elements moved between channels and space, or channels between groups.

Nothing is computed, so every dtype of fixed size is taken and every bit kept. Blocks have one, two
or three axes: an int means two, a tuple one entry per spatial axis. Any number of axes may stand in
front; ``channels_last=True`` puts the channel axis, which there must be, after the spatial ones.
The gradient of a shuffle is the one that undoes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import channel_shuffle as _channel_shuffle
from ._core import depth_to_space as _depth_to_space
from ._core import pixel_shuffle as _pixel_shuffle
from ._core import pixel_unshuffle as _pixel_unshuffle
from ._core import space_to_depth as _space_to_depth

if TYPE_CHECKING:
    from ._types import Array, ArrayLike, BlockMode, IntOrTuple

__all__ = [
    "channel_shuffle",
    "depth_to_space",
    "pixel_shuffle",
    "pixel_unshuffle",
    "space_to_depth",
]


def pixel_shuffle(
    x: ArrayLike,
    upscale_factor: IntOrTuple,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Make blocks of elements out of channels: few large planes of many small ones.

    Parameters
    ----------
    x : array_like
        Shape ``(..., C * r0 * r1, H, W)``, or ``(..., H, W, C * r0 * r1)`` with `channels_last`;
        one or three spatial axes likewise. Every dtype of fixed size.
    upscale_factor : int or tuple of int
        Elements ``r`` of a block along each spatial axis, at least 1. An int means two spatial
        axes; a tuple has one entry per spatial axis.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        Shape ``(..., C, H * r0, W * r1)`` or ``(..., H * r0, W * r1, C)``, in the dtype of `x`:
        ``y[c, h*r0 + i, w*r1 + j] = x[(c*r0 + i)*r1 + j, h, w]``.

    Raises
    ------
    ValueError
        Channels that are no multiple of a block's elements, a factor below 1, a missing channel
        axis, an empty spatial axis, or an unsuitable `out`.
    TypeError
        A dtype without a fixed meaning (object, string, structured), or a parameter that is not an
        integer.
    MemoryError
        The result cannot be allocated.

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network" (2016); torch.nn.functional.pixel_shuffle.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(8).reshape(4, 1, 2)
    >>> us.pixel_shuffle(x, 2)
    array([[[0, 2, 1, 3],
            [4, 6, 5, 7]]])
    """
    return _pixel_shuffle(x, upscale_factor, channels_last, out)


def pixel_unshuffle(
    x: ArrayLike,
    downscale_factor: IntOrTuple,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Make channels out of blocks of elements: what undoes :func:`pixel_shuffle`.

    Parameters
    ----------
    x : array_like
        Shape ``(..., C, H * r0, W * r1)``, or ``(..., H * r0, W * r1, C)`` with `channels_last`;
        one or three spatial axes likewise. Every dtype of fixed size.
    downscale_factor : int or tuple of int
        Elements ``r`` of a block along each spatial axis, at least 1. An int means two spatial
        axes; a tuple has one entry per spatial axis.
    channels_last, out
        As :func:`pixel_shuffle`.

    Returns
    -------
    ndarray
        Shape ``(..., C * r0 * r1, H, W)`` or ``(..., H, W, C * r0 * r1)``, in the dtype of `x`.

    Raises
    ------
    ValueError
        A spatial axis that is no multiple of its factor, a factor below 1, a missing channel axis,
        an empty spatial axis, or an unsuitable `out`.
    TypeError, MemoryError
        As :func:`pixel_shuffle`.

    References
    ----------
    torch.nn.functional.pixel_unshuffle.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.pixel_unshuffle(np.arange(8).reshape(1, 2, 4), 2).reshape(4, 2)
    array([[0, 2],
           [1, 3],
           [4, 6],
           [5, 7]])
    """
    return _pixel_unshuffle(x, downscale_factor, channels_last, out)


def depth_to_space(
    x: ArrayLike,
    block: IntOrTuple,
    mode: BlockMode = "DCR",
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Make blocks of elements out of channels, in either order of the channels.

    Parameters
    ----------
    x : array_like
        Shape ``(..., B * C, *S)``, or ``(..., *S, B * C)`` with `channels_last`, where ``B`` is the
        number of elements of a block; every dtype of fixed size.
    block : int or tuple of int
        Elements of a block along each spatial axis, at least 1. An int means two spatial axes; a
        tuple has one entry per spatial axis.
    mode : {"DCR", "CRD"}, default "DCR"
        Whether the place in the block is the outer part of a channel's number (depth, column, row:
        channel ``(i*b1 + j)*C + c``; the rule of TensorFlow) or the inner one (column, row, depth:
        ``(c*b0 + i)*b1 + j``; :func:`pixel_shuffle`).
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, optional
        Array of the result's shape and dtype to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        ``C`` channels, and every spatial axis `block` times as long, in the dtype of `x`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`pixel_shuffle`, and for another `mode`.

    References
    ----------
    ONNX operator DepthToSpace; TensorFlow's depth_to_space.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(8).reshape(8, 1, 1)
    >>> us.depth_to_space(x, 2)
    array([[[0, 2],
            [4, 6]],
    <BLANKLINE>
           [[1, 3],
            [5, 7]]])
    >>> us.depth_to_space(x, 2, "CRD")
    array([[[0, 1],
            [2, 3]],
    <BLANKLINE>
           [[4, 5],
            [6, 7]]])
    """
    return _depth_to_space(x, block, mode, channels_last, out)


def space_to_depth(
    x: ArrayLike,
    block: IntOrTuple,
    mode: BlockMode = "DCR",
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Make channels out of blocks of elements: what undoes :func:`depth_to_space`.

    Parameters
    ----------
    x : array_like
        Shape ``(..., C, *S)``, or ``(..., *S, C)`` with `channels_last`; every dtype of fixed size.
    block : int or tuple of int
        Elements of a block along each spatial axis, which must be a multiple of it. An int means
        two spatial axes; a tuple has one entry per spatial axis.
    mode, channels_last, out
        As :func:`depth_to_space`.

    Returns
    -------
    ndarray
        As many times the channels as a block has elements, and every spatial axis shorter by
        `block`, in the dtype of `x`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`pixel_unshuffle`, and for another `mode`.

    References
    ----------
    ONNX operator SpaceToDepth, which has the order ``"DCR"``; TensorFlow's space_to_depth.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.space_to_depth(np.arange(8).reshape(1, 2, 4), 2)[:, 0].tolist()
    [[0, 2], [1, 3], [4, 6], [5, 7]]
    >>> us.space_to_depth(np.arange(6).reshape(1, 6), (3,)).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    return _space_to_depth(x, block, mode, channels_last, out)


def channel_shuffle(
    x: ArrayLike,
    groups: int,
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Deal the channels of every group out, one after the other: the first of each, the second, ...

    Parameters
    ----------
    x : array_like
        Shape ``(N, C, *S)``, or ``(..., C)`` with `channels_last`: the channel axis is the second,
        or the last. Every dtype of fixed size.
    groups : int
        Number of groups, which must divide the number of channels.
    channels_last : bool, default False
        The last axis is the channel.
    out : ndarray, optional
        Array of the shape and dtype of `x` to write to, of any strides; it may not overlap `x`.

    Returns
    -------
    ndarray
        As `x`; its channel ``i*groups + g`` is channel ``g*(C//groups) + i`` of `x`.

    Raises
    ------
    ValueError
        `groups` below 1 or no divisor of the channels, fewer than two axes, or an unsuitable `out`.
    TypeError
        A dtype without a fixed meaning (object, string, structured), or `groups` not an integer.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    ``channel_shuffle(channel_shuffle(x, g), C // g)`` is `x`.

    References
    ----------
    Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
    Devices" (2018); torch.nn.functional.channel_shuffle.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.channel_shuffle(np.arange(6).reshape(1, 6), 2)
    array([[0, 3, 1, 4, 2, 5]])
    """
    return _channel_shuffle(x, groups, channels_last, out)


def _pixel_shuffle_backward(
    grad_output: ArrayLike, upscale_factor: IntOrTuple, channels_last: bool
) -> Array:
    return _pixel_unshuffle(grad_output, upscale_factor, channels_last, None)


def _pixel_unshuffle_backward(
    grad_output: ArrayLike, downscale_factor: IntOrTuple, channels_last: bool
) -> Array:
    return _pixel_shuffle(grad_output, downscale_factor, channels_last, None)


def _depth_to_space_backward(
    grad_output: ArrayLike, block: IntOrTuple, mode: BlockMode, channels_last: bool
) -> Array:
    return _space_to_depth(grad_output, block, mode, channels_last, None)


def _space_to_depth_backward(
    grad_output: ArrayLike, block: IntOrTuple, mode: BlockMode, channels_last: bool
) -> Array:
    return _depth_to_space(grad_output, block, mode, channels_last, None)


def _channel_shuffle_backward(
    grad_output: ArrayLike, input_size: tuple[int, ...], groups: int, channels_last: bool
) -> Array:
    channels = input_size[-1 if channels_last else 1]
    # Without channels there is nothing to put back, and any number of groups will do.
    return _channel_shuffle(grad_output, max(channels // groups, 1), channels_last, None)
