"""Fractional max pooling: windows a fractional step apart, placed by chance.

A pooling of stride 2 halves an image; this one shrinks it by any factor, so that a network can have
more layers. Of an axis of ``L`` elements it takes ``m`` windows of ``k``. With a random number
``u``, at least 0 and below 1, and ``a = (L - k)/(m - 1)``, window ``i`` starts at
``floor((i + u)*a) - floor(u*a)``, and the last one, ``i = m - 1``, at ``L - k``. The first starts
at 0, the last ends where the axis does, and steps between them are ``floor(a)`` or ``ceil(a)``, in
an order that `u` decides. Every channel of every image, and each of its axes, has a number of its
own.

The operations act on the last two or three axes, with any number of leading axes (none included);
``channels_last=True`` puts one channel axis after the spatial ones. The 2-D functions carry the
full text; the 3-D ones are the same rule with three numbers per parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from ._core import fractional_max_pool as _fractional_max_pool
from ._core import fractional_max_pool_backward as _fractional_max_pool_backward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, ArrayLike, FloatOrTuple, IndexDType, IntOrTuple

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d",
    "fractional_max_pool3d_backward",
]


@overload
def fractional_max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    return_indices: Literal[False] = False,
    *,
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def fractional_max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    *,
    return_indices: Literal[True],
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def fractional_max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    return_indices: bool = False,
    *,
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def fractional_max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    return_indices: bool = False,
    *,
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum over windows of two spatial axes, placed by chance.

    Parameters
    ----------
    x : array_like
        Shape ``(..., H, W)``, or ``(..., H, W, C)`` with `channels_last`. Takes bool (any), every
        integer, and float16, bfloat16, float32, float64.
    kernel_size : int or (int, int)
        Window size in elements; an int holds for both axes, here and below.
    output_size : int or (int, int), optional
        Number of windows along each axis, from 1 to ``length - kernel_size + 1``.
    output_ratio : float or (float, float), optional
        The same as a part of the input's length, above 0 and below 1: ``floor(length * ratio)``
        windows. Either `output_size` or `output_ratio` must be given, and not both.
    return_indices : bool, default False
        Also return where each maximum was.
    random_samples : array_like, optional
        The random numbers, at least 0 and below 1, of shape ``(*leading, 2)``, so ``(N, C, 2)`` for
        an `x` of shape ``(N, C, H, W)`` or, with `channels_last`, ``(N, H, W, C)``, and ``(2,)``
        for a bare ``(H, W)``. As in torch, the first of a pair places the windows along W, the
        second those along H.
    seed : int, optional
        Where the random numbers come from if they are not given: the same seed (0 to ``2**63 - 1``)
        gives the same windows on every machine, at any thread count and in both layouts. By default
        the operating system is asked for a fresh one.
    index_dtype : str or dtype, default "int64"
        Dtype of the indices, ``"int64"`` or ``"int32"``.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.
    out : ndarray, or (ndarray, ndarray) with `return_indices`, optional
        Where to write the result: right shape and dtype, any strides, not overlapping an input.
        Either entry of the pair may be None.

    Returns
    -------
    values : ndarray
        Maxima in the dtype of `x`.
    indices : ndarray
        Only with `return_indices`: for each maximum ``row * W + column``, its place in the flat
        ``H * W`` block of its channel.

    Raises
    ------
    ValueError
        A parameter out of range, neither or both of `output_size` and `output_ratio`,
        `random_samples` of another shape or with a number that is not in [0, 1), or with a `seed`;
        a rank that does not fit, an empty spatial axis, a block too large for `index_dtype`, or an
        unsuitable `out`.
    TypeError
        A dtype without an order (complex, object, ...), or a parameter of the wrong kind.
    MemoryError
        The result cannot be allocated.

    Notes
    -----
    Where windows start is the rule of :mod:`~upsample_rs.fractional`, computed in float64. NaN,
    equal maxima and the sign of zero are as in :func:`~upsample_rs.max_pool2d`.

    torch computes the rule in the dtype of its input. From the same samples windows are the same
    with float64. With float32 one may start an element away where ``(i + u)*a`` is all but an
    integer (about three windows in a million); float16 and bfloat16 are too coarse for the rule (of
    a hundred windows about four and thirty differ). Of several NaN in a window torch names the
    last.

    References
    ----------
    B. Graham, "Fractional max-pooling", arXiv:1412.6071, 2014. The random numbers of a seed are
    those of SplitMix64, in the order of `random_samples`: G. L. Steele, D. Lea and C. H. Flood,
    "Fast splittable pseudorandom number generators", OOPSLA 2014.
    torch.nn.functional.fractional_max_pool2d.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(1, 26).reshape(5, 5)
    >>> us.fractional_max_pool2d(x, 2, output_size=3, random_samples=[0.0, 0.5])
    array([[ 7,  8, 10],
           [17, 18, 20],
           [22, 23, 25]])

    Along W windows start at 0, 1 and 3, along H at 0, 2 and 3. Windows by chance, the same ones
    every time, for a batch of three-channel pictures that shrink by about the square root of two:

    >>> images = np.zeros((8, 3, 224, 224), np.float32)
    >>> us.fractional_max_pool2d(images, 2, output_ratio=0.7, seed=1).shape
    (8, 3, 156, 156)
    """
    return _fractional_max_pool(
        2,
        x,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        random_samples,
        seed,
        index_dtype,
        channels_last,
        out,
    )


@overload
def fractional_max_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    return_indices: Literal[False] = False,
    *,
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | None = None,
) -> Array: ...
@overload
def fractional_max_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    *,
    return_indices: Literal[True],
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: tuple[Array | None, Array | None] | None = None,
) -> tuple[Array, Array]: ...
@overload
def fractional_max_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    return_indices: bool = False,
    *,
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]: ...
def fractional_max_pool3d(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None = None,
    output_ratio: FloatOrTuple | None = None,
    return_indices: bool = False,
    *,
    random_samples: ArrayLike | None = None,
    seed: int | None = None,
    index_dtype: IndexDType = "int64",
    channels_last: bool = False,
    out: Array | tuple[Array | None, Array | None] | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum over windows of three spatial axes, placed by chance.

    Parameters
    ----------
    x : array_like
        Shape ``(..., D, H, W)``, or ``(..., D, H, W, C)`` with `channels_last`.
    kernel_size, output_size, output_ratio, return_indices, seed, index_dtype, out
        As :func:`fractional_max_pool2d`, with one number or three per parameter.
    random_samples : array_like, optional
        The random numbers, of shape ``(*leading, 3)``, with `channels_last` ``(*leading, C, 3)``.
        As in torch, those of a plane place the windows along D, H and W, in this order.
    channels_last : bool, default False
        The axis after the spatial axes is the channel.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Maxima; with `return_indices` also their places ``(depth * H + row) * W + column``.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`fractional_max_pool2d`.

    Notes
    -----
    torch refuses the largest output size, ``length - kernel_size + 1``, in three dimensions; it is
    a pooling of stride 1.

    References
    ----------
    torch.nn.functional.fractional_max_pool3d.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> x = np.arange(48).reshape(3, 4, 4)
    >>> us.fractional_max_pool3d(x, 2, output_size=(1, 2, 2), seed=5)
    array([[[37, 39],
            [45, 47]]])
    """
    return _fractional_max_pool(
        3,
        x,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        random_samples,
        seed,
        index_dtype,
        channels_last,
        out,
    )


def fractional_max_pool2d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`fractional_max_pool2d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`~upsample_rs.max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`: each output's gradient is
        added at the place its maximum came from. The random numbers are not needed again.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`~upsample_rs.max_pool2d_backward`.

    References
    ----------
    torch.nn.functional.fractional_max_pool2d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.fractional_max_pool2d_backward(np.array([[0.5, 2.0]]), np.array([[4, 4]]), (2, 3))
    array([[0. , 0. , 0. ],
           [0. , 2.5, 0. ]])
    """
    return _fractional_max_pool_backward(2, grad_output, indices, input_size, channels_last, out)


def fractional_max_pool3d_backward(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    *,
    channels_last: bool = False,
    out: Array | None = None,
) -> Array:
    """Return the gradient of :func:`fractional_max_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output, indices : array_like
        Gradient of the maxima and the indices the forward returned, both of the output's shape.
    input_size : tuple of int
        Whole shape of the forward input.
    channels_last, out
        As :func:`~upsample_rs.max_pool2d_backward`.

    Returns
    -------
    ndarray
        Gradient of shape `input_size` and the dtype of `grad_output`.

    Raises
    ------
    ValueError, TypeError, IndexError, MemoryError
        As :func:`~upsample_rs.max_pool2d_backward`.

    References
    ----------
    torch.nn.functional.fractional_max_pool3d under autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import upsample_rs as us
    >>> us.fractional_max_pool3d_backward(np.array([[[2.5]]]), np.array([[[3]]]), (1, 2, 2))
    array([[[0. , 0. ],
            [0. , 2.5]]])
    """
    return _fractional_max_pool_backward(3, grad_output, indices, input_size, channels_last, out)
