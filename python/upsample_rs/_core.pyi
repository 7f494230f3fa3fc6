from collections.abc import Sequence
from typing import Any, final

import numpy as np

from ._types import (
    AdaptiveSize,
    Array,
    ArrayLike,
    AspectPolicy,
    BlockMode,
    Boxes,
    Config,
    Coordinates,
    Duplicates,
    FloatOrTuple,
    Gradients,
    GridMode,
    GridPadding,
    IndexDType,
    InterpolateMode,
    IntOrTuple,
    NearestRounding,
    OutputMask,
    Padding,
    ResizeEdge,
    ResizeMethod,
    RoiMode,
    Rounding,
    WindowPadding,
)

__all__ = [
    "Part",
    "PreparedConv",
    "__version__",
    "_empty",
    "_force_conv",
    "_force_grain",
    "_force_isa",
    "_force_span",
    "_fractional_samples",
    "_own_threads",
    "adaptive_avg_pool",
    "adaptive_avg_pool_backward",
    "adaptive_max_pool",
    "adaptive_max_pool_backward",
    "affine_grid",
    "affine_grid_backward",
    "avg_pool",
    "avg_pool_backward",
    "bed_of_nails",
    "bed_of_nails_backward",
    "channel_shuffle",
    "config",
    "conv",
    "conv_backward",
    "conv_output_size",
    "conv_transpose",
    "conv_transpose_backward",
    "conv_transpose_output_size",
    "depth_to_space",
    "fold",
    "fractional_max_pool",
    "fractional_max_pool_backward",
    "get_num_threads",
    "grid_sample",
    "grid_sample_backward",
    "interpolate",
    "interpolate_backward",
    "lp_pool",
    "lp_pool_backward",
    "max_pool",
    "max_pool_backward",
    "max_unpool",
    "max_unpool_backward",
    "min_pool",
    "min_pool_backward",
    "pixel_shuffle",
    "pixel_unshuffle",
    "pool_output_size",
    "prepare_conv",
    "prepare_conv_transpose",
    "resize",
    "resize_backward",
    "roi_align",
    "roi_align_backward",
    "roi_pool",
    "roi_pool_backward",
    "set_cache_limit",
    "set_num_threads",
    "space_to_depth",
    "unfold",
    "unfold_backward",
]

__version__: str

def interpolate(
    x: ArrayLike,
    size: IntOrTuple | None,
    scale_factor: FloatOrTuple | None,
    mode: InterpolateMode,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    antialias: bool,
    rounding: Rounding,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def interpolate_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    mode: InterpolateMode,
    align_corners: bool | None,
    antialias: bool,
    scale_factor: FloatOrTuple | None,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def resize(
    x: ArrayLike,
    size: IntOrTuple | None,
    scale: FloatOrTuple | None,
    axes: IntOrTuple | None,
    method: ResizeMethod | Sequence[ResizeMethod],
    coordinates: Coordinates | Sequence[Coordinates],
    antialias: bool,
    edge: ResizeEdge,
    fill: complex,
    cubic_a: float | None,
    nearest_rounding: NearestRounding,
    exclude_outside: bool | None,
    roi: Sequence[tuple[float, float]] | None,
    keep_aspect_ratio: AspectPolicy,
    rounding: Rounding,
    out: Array | None,
    /,
) -> Array: ...
def resize_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    size: IntOrTuple | None,
    scale: FloatOrTuple | None,
    axes: IntOrTuple | None,
    method: ResizeMethod | Sequence[ResizeMethod],
    coordinates: Coordinates | Sequence[Coordinates],
    antialias: bool,
    edge: ResizeEdge,
    cubic_a: float | None,
    nearest_rounding: NearestRounding,
    exclude_outside: bool | None,
    roi: Sequence[tuple[float, float]] | None,
    keep_aspect_ratio: AspectPolicy,
    out: Array | None,
    /,
) -> Array: ...
def bed_of_nails(
    x: ArrayLike,
    factor: IntOrTuple,
    offset: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def bed_of_nails_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    factor: IntOrTuple,
    offset: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def max_pool(
    n: int,
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: WindowPadding,
    dilation: IntOrTuple,
    ceil_mode: bool,
    return_indices: bool,
    index_dtype: IndexDType,
    channels_last: bool,
    out: Array | tuple[Array | None, Array | None] | None,
    /,
) -> Array | tuple[Array, Array]: ...
def max_pool_backward(
    n: int,
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def min_pool(
    n: int,
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: WindowPadding,
    dilation: IntOrTuple,
    ceil_mode: bool,
    return_indices: bool,
    index_dtype: IndexDType,
    channels_last: bool,
    out: Array | tuple[Array | None, Array | None] | None,
    /,
) -> Array | tuple[Array, Array]: ...
def min_pool_backward(
    n: int,
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def avg_pool(
    n: int,
    x: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: WindowPadding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dilation: IntOrTuple,
    rounding: Rounding,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def avg_pool_backward(
    n: int,
    grad_output: ArrayLike,
    input_size: Sequence[int],
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: WindowPadding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dilation: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def lp_pool(
    n: int,
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    ceil_mode: bool,
    padding: WindowPadding,
    dilation: IntOrTuple,
    rounding: Rounding,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def lp_pool_backward(
    n: int,
    grad_output: ArrayLike,
    x: ArrayLike,
    norm_type: float,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    ceil_mode: bool,
    padding: WindowPadding,
    dilation: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def adaptive_max_pool(
    n: int,
    x: ArrayLike,
    output_size: AdaptiveSize,
    return_indices: bool,
    index_dtype: IndexDType,
    channels_last: bool,
    out: Array | tuple[Array | None, Array | None] | None,
    /,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool_backward(
    n: int,
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def adaptive_avg_pool(
    n: int,
    x: ArrayLike,
    output_size: AdaptiveSize,
    rounding: Rounding,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def adaptive_avg_pool_backward(
    n: int,
    grad_output: ArrayLike,
    input_size: Sequence[int],
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def fractional_max_pool(
    n: int,
    x: ArrayLike,
    kernel_size: IntOrTuple,
    output_size: IntOrTuple | None,
    output_ratio: FloatOrTuple | None,
    return_indices: bool,
    random_samples: ArrayLike | None,
    seed: int | None,
    index_dtype: IndexDType,
    channels_last: bool,
    out: Array | tuple[Array | None, Array | None] | None,
    /,
) -> Array | tuple[Array, Array]: ...
def fractional_max_pool_backward(
    n: int,
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: Sequence[int],
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def max_unpool(
    n: int,
    x: ArrayLike,
    indices: ArrayLike,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: Padding,
    output_size: IntOrTuple | None,
    duplicates: Duplicates,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def max_unpool_backward(
    n: int,
    grad_output: ArrayLike,
    indices: ArrayLike,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def conv(
    n: int,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: IntOrTuple,
    padding: WindowPadding,
    dilation: IntOrTuple,
    groups: int,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def conv_backward(
    n: int,
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple,
    padding: WindowPadding,
    dilation: IntOrTuple,
    groups: int,
    output_mask: OutputMask,
    channels_last: bool,
    /,
) -> Gradients: ...
def conv_transpose(
    n: int,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: IntOrTuple,
    padding: Padding,
    output_padding: IntOrTuple,
    groups: int,
    dilation: IntOrTuple,
    output_size: IntOrTuple | None,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def conv_transpose_backward(
    n: int,
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrTuple,
    padding: Padding,
    output_padding: IntOrTuple,
    groups: int,
    dilation: IntOrTuple,
    output_size: IntOrTuple | None,
    output_mask: OutputMask,
    channels_last: bool,
    /,
) -> Gradients: ...
def conv_output_size(
    size: IntOrTuple,
    kernel_size: IntOrTuple,
    stride: IntOrTuple,
    padding: WindowPadding,
    dilation: IntOrTuple,
    /,
) -> int | tuple[int, ...]: ...

@final
class Part:
    def __new__(
        cls,
        array: Any,
        shape: Sequence[int],
        outs: Sequence[tuple[int, int]],
        asks: bool = False,
        /,
    ) -> Part: ...

@final
class PreparedConv:
    @property
    def op(self) -> str: ...
    @property
    def weight(self) -> Array: ...
    @property
    def bias(self) -> Array | None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def weight_shape(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[tuple[int, int], ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def output_padding(self) -> tuple[int, ...] | None: ...
    @property
    def output_size(self) -> tuple[int, ...] | None: ...
    def __call__(self, x: ArrayLike, /, *, out: Array | None = None) -> Array: ...

def prepare_conv(
    rank: int | None,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: IntOrTuple,
    padding: WindowPadding,
    dilation: IntOrTuple,
    groups: int,
    channels_last: bool,
    /,
) -> PreparedConv: ...
def prepare_conv_transpose(
    rank: int | None,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: IntOrTuple,
    padding: Padding,
    output_padding: IntOrTuple,
    groups: int,
    dilation: IntOrTuple,
    output_size: IntOrTuple | None,
    channels_last: bool,
    /,
) -> PreparedConv: ...
def conv_transpose_output_size(
    size: IntOrTuple,
    kernel_size: IntOrTuple,
    stride: IntOrTuple,
    padding: Padding,
    output_padding: IntOrTuple,
    dilation: IntOrTuple,
    /,
) -> int | tuple[int, ...]: ...
def pool_output_size(
    size: IntOrTuple,
    kernel_size: IntOrTuple,
    stride: IntOrTuple | None,
    padding: WindowPadding,
    dilation: IntOrTuple,
    ceil_mode: bool,
    /,
) -> int | tuple[int, ...]: ...
def grid_sample(
    x: ArrayLike,
    grid: ArrayLike,
    mode: GridMode,
    padding_mode: GridPadding,
    align_corners: bool,
    rounding: Rounding,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def grid_sample_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    grid: ArrayLike,
    mode: GridMode,
    padding_mode: GridPadding,
    align_corners: bool,
    output_mask: OutputMask,
    channels_last: bool,
    /,
) -> tuple[Array | None, Array | None]: ...
def affine_grid(
    theta: ArrayLike,
    size: Sequence[int],
    align_corners: bool,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def affine_grid_backward(
    grad_output: ArrayLike,
    size: Sequence[int],
    align_corners: bool,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def roi_align(
    x: ArrayLike,
    boxes: Boxes,
    output_size: IntOrTuple,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    mode: RoiMode,
    rounding: Rounding,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def roi_align_backward(
    grad_output: ArrayLike,
    boxes: Boxes,
    input_size: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    mode: RoiMode,
    x: ArrayLike | None,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def roi_pool(
    x: ArrayLike,
    boxes: Boxes,
    output_size: IntOrTuple,
    spatial_scale: float,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def roi_pool_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    boxes: Boxes,
    spatial_scale: float,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def pixel_shuffle(
    x: ArrayLike,
    upscale_factor: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def pixel_unshuffle(
    x: ArrayLike,
    downscale_factor: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def depth_to_space(
    x: ArrayLike,
    block: IntOrTuple,
    mode: BlockMode,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def space_to_depth(
    x: ArrayLike,
    block: IntOrTuple,
    mode: BlockMode,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def channel_shuffle(
    x: ArrayLike,
    groups: int,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def unfold(
    x: ArrayLike,
    kernel_size: IntOrTuple,
    dilation: IntOrTuple,
    padding: Padding,
    stride: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def unfold_backward(
    grad_output: ArrayLike,
    input_size: Sequence[int],
    kernel_size: IntOrTuple,
    dilation: IntOrTuple,
    padding: Padding,
    stride: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def fold(
    x: ArrayLike,
    output_size: IntOrTuple,
    kernel_size: IntOrTuple,
    dilation: IntOrTuple,
    padding: Padding,
    stride: IntOrTuple,
    channels_last: bool,
    out: Array | None,
    /,
) -> Array: ...
def set_num_threads(n: int, /) -> None: ...
def set_cache_limit(nbytes: int, /) -> None: ...
def get_num_threads() -> int: ...
def config() -> Config: ...
def _empty(shape: Sequence[int], like: ArrayLike, /) -> Array: ...
def _fractional_samples(seed: int, count: int, /) -> Array: ...
def _own_threads(n: int, /) -> int: ...
def _force_isa(name: str | None, /) -> None: ...
def _force_grain(n: int | None, /) -> None: ...
def _force_conv(name: str | None, /) -> None: ...
def _force_span(elements: int | None, /) -> None: ...
