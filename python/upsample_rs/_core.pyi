from collections.abc import Sequence

from ._types import (
    Array,
    ArrayLike,
    Config,
    ConvPadding,
    Duplicates,
    FloatOrTuple,
    Gradients,
    IndexDType,
    InterpolateMode,
    IntOrTuple,
    OutputMask,
    Padding,
    Rounding,
)

__all__ = [
    "__version__",
    "_force_grain",
    "_force_isa",
    "bed_of_nails",
    "bed_of_nails_backward",
    "config",
    "conv",
    "conv_backward",
    "conv_output_size",
    "conv_transpose",
    "conv_transpose_backward",
    "conv_transpose_output_size",
    "get_num_threads",
    "interpolate",
    "interpolate_backward",
    "max_pool",
    "max_pool_backward",
    "max_unpool",
    "max_unpool_backward",
    "pool_output_size",
    "set_cache_limit",
    "set_num_threads",
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
    padding: Padding,
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
    padding: ConvPadding,
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
    padding: ConvPadding,
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
    padding: ConvPadding,
    dilation: IntOrTuple,
    /,
) -> int | tuple[int, ...]: ...
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
    padding: Padding,
    dilation: IntOrTuple,
    ceil_mode: bool,
    /,
) -> int | tuple[int, ...]: ...
def set_num_threads(n: int, /) -> None: ...
def set_cache_limit(nbytes: int, /) -> None: ...
def get_num_threads() -> int: ...
def config() -> Config: ...
def _force_isa(name: str | None, /) -> None: ...
def _force_grain(n: int | None, /) -> None: ...
