"""Type aliases shared by the public modules; imported by type checkers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt


class SupportsDLPack(Protocol):
    """An array of another library that can lend its CPU memory through DLPack."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        """Lend the memory."""

    def __dlpack_device__(self) -> tuple[Any, int]:
        """Say on which device the memory is."""


class Config(TypedDict):
    """What :func:`upsample_rs.config` returns."""

    version: str
    isa: str
    isa_detected: str
    conv: str
    threads: int
    cache_bytes: int
    cache_limit: int


Array: TypeAlias = npt.NDArray[Any]
"""What every operation returns and what ``out`` takes."""

ArrayLike: TypeAlias = npt.ArrayLike | SupportsDLPack
"""What every operation reads."""

IntOrTuple: TypeAlias = int | Sequence[int]
"""One value for all spatial axes, or one per axis."""

FloatOrTuple: TypeAlias = float | Sequence[float]
"""One value for all spatial axes, or one per axis."""

Padding: TypeAlias = int | Sequence[int] | Sequence[tuple[int, int]]
"""One value, one per axis, or one ``(before, after)`` pair per axis."""

WindowPadding: TypeAlias = Padding | Literal["same", "same_lower", "valid"]
"""As :data:`Padding`, or a rule by name."""

AdaptiveSize: TypeAlias = int | Sequence[int | None]
"""One length for all spatial axes, or one per axis; None keeps an axis as it is."""

InterpolateMode: TypeAlias = Literal[
    "nearest",
    "nearest-exact",
    "linear",
    "bilinear",
    "trilinear",
    "bicubic",
    "tricubic",
    "area",
    "lanczos",
]
"""Filters of :func:`upsample_rs.interpolate`."""

ResizeMethod: TypeAlias = Literal[
    "nearest",
    "linear",
    "cubic",
    "lanczos2",
    "lanczos3",
    "lanczos4",
    "lanczos5",
    "gaussian",
    "mitchell",
    "box",
    "hamming",
    "area",
]
"""Filters of :func:`upsample_rs.resize`."""

Coordinates: TypeAlias = Literal[
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
]
"""Where an output of :func:`upsample_rs.resize` lies on its input."""

ResizeEdge: TypeAlias = Literal["clamp", "reflect", "mirror", "wrap", "constant"]
"""What lies outside an array."""

NearestRounding: TypeAlias = Literal["round_prefer_ceil", "round_prefer_floor", "floor", "ceil"]
"""How a position becomes an index."""

AspectPolicy: TypeAlias = Literal["stretch", "not_larger", "not_smaller"]
"""What becomes of the wanted sizes so that all axes are resized alike."""

Rounding: TypeAlias = Literal["nearest", "half_even", "floor", "trunc"]
"""How an integer result is rounded."""

Duplicates: TypeAlias = Literal["last", "first", "sum", "max", "error"]
"""What happens when two values are unpooled to one place."""

IndexDType: TypeAlias = (
    Literal["int64", "int32"] | type[np.int64] | type[np.int32] | np.dtype[np.int64 | np.int32]
)
"""Element type of pooling indices."""

Boxes: TypeAlias = ArrayLike | Sequence[ArrayLike]
"""Boxes on the images of a batch: ``(K, 5)``, or one ``(L, 4)`` per image."""

RoiMode: TypeAlias = Literal["avg", "max"]
"""What :func:`upsample_rs.roi_align` makes of a bin's points."""

BlockMode: TypeAlias = Literal["DCR", "CRD"]
"""Order of the channels that :func:`upsample_rs.depth_to_space` makes blocks of."""

GridMode: TypeAlias = Literal["nearest", "bilinear", "bicubic"]
"""Filters of :func:`upsample_rs.grid_sample`."""

GridPadding: TypeAlias = Literal["zeros", "border", "reflection"]
"""What lies outside the array for :func:`upsample_rs.grid_sample`."""

OutputMask: TypeAlias = Sequence[bool]
"""Which gradients to compute, one for each array argument."""

Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]
"""The x, weight and bias gradients; None where not asked for."""
