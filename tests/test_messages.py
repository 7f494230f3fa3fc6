"""Every refusal is one line: `operation: `, the parameter, the value given, what is allowed.

One row per refusal: the exception, the words its line must contain, and the call. A row's operation
is the function called, so the line must begin with its name.
"""

import numpy as np
import pytest

import laws
import upsample_rs as us
from upsample_rs import _core

nan, inf = float("nan"), float("inf")
X1, X2, X3 = np.ones((2, 3, 8)), np.ones((2, 3, 8, 9)), np.ones((2, 3, 4, 5, 6))
F4 = X2.astype("f4")
W1, W2 = np.ones((5, 3, 3)), np.ones((5, 3, 3, 3))
T2 = np.ones((3, 5, 3, 3))
AT = np.zeros((2, 3, 4, 4), np.int64)
G = np.ones((2, 3, 4, 4))
EMPTY = np.ones((2, 0, 4, 4))
HUGE = 10**30


def call(op, *args, **kwargs):
    return op, args, kwargs


INTERPOLATE = [
    (ValueError, ["size", "scale_factor"], call(us.interpolate, X2)),
    (ValueError, ["size", "scale_factor"], call(us.interpolate, X2, 4, 2.0)),
    (ValueError, ["mode", "bicubicle"], call(us.interpolate, X2, 4, mode="bicubicle")),
    (TypeError, ["mode", "int"], call(us.interpolate, X2, 4, mode=3)),
    (ValueError, ["size", "0"], call(us.interpolate, X2, (0, 4))),
    (ValueError, ["size", "-4"], call(us.interpolate, X2, (4, -4))),
    (TypeError, ["size", "4.5"], call(us.interpolate, X2, (4.5, 4))),
    (TypeError, ["size"], call(us.interpolate, X2, "44")),
    (ValueError, ["size", "0"], call(us.interpolate, X2, ())),
    (ValueError, ["size", "3", "2"], call(us.interpolate, X2, (4, 4, 4), mode="bilinear")),
    (ValueError, ["size"], call(us.interpolate, np.ones((2,) * 5), (4, 4, 4, 4))),
    (ValueError, ["x", "1", "2"], call(us.interpolate, np.ones(4), (4, 4))),
    (
        ValueError,
        ["recompute_scale_factor", "size"],
        call(us.interpolate, X2, 4, recompute_scale_factor=True),
    ),
    (ValueError, ["scale_factor", "0"], call(us.interpolate, X2, None, 0.0)),
    (ValueError, ["scale_factor", "-1"], call(us.interpolate, X2, None, -1.0)),
    (ValueError, ["scale_factor", "NaN"], call(us.interpolate, X2, None, nan)),
    (ValueError, ["scale_factor", "inf"], call(us.interpolate, X2, None, inf)),
    (ValueError, ["scale_factor", "0.01"], call(us.interpolate, X2, None, (0.01, 2.0))),
    (ValueError, ["scale_factor", "3"], call(us.interpolate, X2, None, (2,) * 3, "bilinear")),
    (TypeError, ["scale_factor"], call(us.interpolate, X2, None, "2")),
    (ValueError, ["align_corners", "nearest"], call(us.interpolate, X2, 4, align_corners=True)),
    (ValueError, ["antialias", "nearest"], call(us.interpolate, X2, 4, antialias=True)),
    (ValueError, ["rounding", "up"], call(us.interpolate, X2, 4, mode="bilinear", rounding="up")),
    (ValueError, ["axes", "1"], call(us.interpolate, np.ones(4), 4, mode="bilinear")),
    (ValueError, ["axes", "2"], call(us.interpolate, np.ones((4, 4)), 4, mode="trilinear")),
    (ValueError, ["axis", "0"], call(us.interpolate, np.ones((2, 0, 4)), 4, mode="bilinear")),
    (TypeError, ["bool"], call(us.interpolate, X2 > 0, 4, mode="bilinear")),
    (TypeError, ["complex128"], call(us.interpolate, X2 * 1j, 4, mode="bilinear")),
]

RESIZE = [
    (ValueError, ["size", "scale"], call(us.resize, X2)),
    (ValueError, ["size", "scale"], call(us.resize, X2, 4, 2.0)),
    (ValueError, ["size", "2", "4"], call(us.resize, X2, (4, 4))),
    (ValueError, ["size[1]", "0"], call(us.resize, X2, (4, 0), axes=(0, 1))),
    (ValueError, ["size[0]", "-1"], call(us.resize, X2, (-1,), axes=0)),
    (ValueError, ["scale[0]", "NaN"], call(us.resize, X2, scale=nan, axes=0)),
    (ValueError, ["scale[0]", "axis 3"], call(us.resize, X2, scale=0.01, axes=-1)),
    (ValueError, ["axes[1]", "4"], call(us.resize, X2, 3, axes=(0, 4))),
    (ValueError, ["axes", "-5"], call(us.resize, X2, 3, axes=-5)),
    (ValueError, ["axes[1]", "twice"], call(us.resize, X2, 3, axes=(1, -3))),
    (TypeError, ["axes", "1.0"], call(us.resize, X2, 3, axes=1.0)),
    (ValueError, ["method", "nearest", "spline"], call(us.resize, X2, 3, method="spline")),
    (ValueError, ["method", "2"], call(us.resize, X2, 3, axes=0, method=("linear", "cubic"))),
    (TypeError, ["method", "int"], call(us.resize, X2, 3, method=3)),
    (ValueError, ["coordinates", "corner"], call(us.resize, X2, 3, coordinates="corner")),
    (ValueError, ["antialias"], call(us.resize, X2, 3, method="nearest", antialias=True)),
    (ValueError, ["edge", "border"], call(us.resize, X2, 3, edge="border")),
    (ValueError, ["cubic_a", "NaN"], call(us.resize, X2, 3, method="cubic", cubic_a=nan)),
    (ValueError, ["nearest_rounding"], call(us.resize, X2, 3, nearest_rounding="up")),
    (ValueError, ["roi"], call(us.resize, X2, 3, axes=0, roi=[(0, 1)])),
    (ValueError, ["roi"], call(us.resize, X2, 3, axes=0, coordinates="tf_crop_and_resize")),
    (
        ValueError,
        ["roi[0]", "inf"],
        call(us.resize, X2, 3, axes=0, coordinates="tf_crop_and_resize", roi=[(0, inf)]),
    ),
    (
        ValueError,
        ["roi", "1 pairs"],
        call(us.resize, X2, 3, axes=0, coordinates="tf_crop_and_resize", roi=[0, 1]),
    ),
    (
        ValueError,
        ["keep_aspect_ratio", "size"],
        call(us.resize, X2, scale=2, keep_aspect_ratio="not_larger"),
    ),
    (ValueError, ["rounding", "up"], call(us.resize, X2, 3, rounding="up")),
    (ValueError, ["x.shape[1]", "0"], call(us.resize, np.ones((2, 0, 4)), 4)),
    (ValueError, ["x.ndim", "0"], call(us.resize, 3.0, 4)),
    (TypeError, ["bool"], call(us.resize, X2 > 0, 4)),
    (TypeError, ["complex128"], call(us.resize, X2 * 1j, 4)),
    (ValueError, ["input_size"], call(us.resize_backward, X2, (2, 3, 4))),
    (ValueError, ["grad_output"], call(us.resize_backward, X2, (2, 4, 4, 4), axes=(2, 3))),
    (TypeError, ["int64"], call(us.resize_backward, AT, AT.shape)),
]

INTERPOLATE_BACKWARD = [
    (ValueError, ["input_size"], call(us.interpolate_backward, X2, (2, 3, 4))),
    (ValueError, ["grad_output"], call(us.interpolate_backward, X2, (2, 4, 4, 4), mode="bilinear")),
    (ValueError, ["axis H", "0"], call(us.interpolate_backward, X2, (2, 3, 0, 4))),
    (ValueError, ["input_size", "-4"], call(us.interpolate_backward, X2, (2, 3, 4, -4))),
    (TypeError, ["input_size"], call(us.interpolate_backward, X2, (2, 3, 4.0, 4))),
    (
        ValueError,
        ["grad_output", "9"],
        call(us.interpolate_backward, X2, (2, 3, 4, 4), mode="bilinear", scale_factor=2),
    ),
    (TypeError, ["int64"], call(us.interpolate_backward, AT, (2, 3, 2, 2), mode="bilinear")),
]

BED_OF_NAILS = [
    (ValueError, ["factor", "0"], call(us.bed_of_nails, X2, 0)),
    (ValueError, ["factor", "-2"], call(us.bed_of_nails, X2, (2, -2))),
    (TypeError, ["factor", "2.0"], call(us.bed_of_nails, X2, 2.0)),
    (ValueError, ["factor", "0"], call(us.bed_of_nails, X2, ())),
    (ValueError, ["factor", "4"], call(us.bed_of_nails, X2, (2, 2, 2, 2))),
    (ValueError, ["axes", "1"], call(us.bed_of_nails, np.ones(4), 2)),
    (ValueError, ["offset", "2"], call(us.bed_of_nails, X2, 2, offset=2)),
    (ValueError, ["offset", "-1"], call(us.bed_of_nails, X2, 2, offset=-1)),
    (ValueError, ["offset", "3"], call(us.bed_of_nails, X2, 2, offset=(0, 1, 0))),
    (TypeError, ["offset"], call(us.bed_of_nails, X2, 2, offset=None)),
    (ValueError, ["factor", str(2**62)], call(us.bed_of_nails, X2, (1, 2**62))),
    (ValueError, ["grad_output", "8"], call(us.bed_of_nails_backward, X2, (2, 3, 4, 4), 2)),
    (ValueError, ["grad_output"], call(us.bed_of_nails_backward, X2, (2, 3, 4), 2)),
]

SHUFFLES = [
    (ValueError, ["upscale_factor", "0"], call(us.pixel_shuffle, X2, 0)),
    (ValueError, ["x.shape[1] = 3", "4"], call(us.pixel_shuffle, X2, 2)),
    (ValueError, ["upscale_factor", "2**63"], call(us.pixel_shuffle, X2, 2**40)),
    (ValueError, ["upscale_factor[1]", str(2**62)], call(us.pixel_shuffle, EMPTY, (1, 2**62))),
    (ValueError, ["upscale_factor", "4 entries"], call(us.pixel_shuffle, X2, (1, 1, 1, 1))),
    (TypeError, ["upscale_factor", "2.0"], call(us.pixel_shuffle, X2, 2.0)),
    (ValueError, ["x.ndim = 2", "channel"], call(us.pixel_shuffle, np.ones((4, 4)), 2)),
    (ValueError, ["spatial axis", "0"], call(us.pixel_shuffle, np.ones((4, 0, 2)), 2)),
    (ValueError, ["downscale_factor", "-2"], call(us.pixel_unshuffle, X2, -2)),
    (ValueError, ["axis W", "9", "downscale_factor[1] = 2"], call(us.pixel_unshuffle, X2, (1, 2))),
    (ValueError, ["mode", "DCR", "CRD"], call(us.depth_to_space, X2, 1, "RGB")),
    (TypeError, ["mode"], call(us.space_to_depth, X2, 1, None)),
    (ValueError, ["block", "0"], call(us.space_to_depth, X2, (1, 0))),
    (ValueError, ["groups", "0"], call(us.channel_shuffle, X2, 0)),
    (ValueError, ["groups", "2", "3"], call(us.channel_shuffle, X2, 2)),
    (TypeError, ["groups"], call(us.channel_shuffle, X2, (3,))),
    (ValueError, ["x.ndim", "1"], call(us.channel_shuffle, np.ones(4), 2)),
]

FOLDS = [
    (ValueError, ["kernel_size", "9", "axis H"], call(us.unfold, X2, 9)),
    (ValueError, ["kernel_size", "0"], call(us.unfold, X2, 0)),
    (ValueError, ["kernel_size", "4 entries"], call(us.unfold, X2, (1, 1, 1, 1))),
    (ValueError, ["dilation", "0"], call(us.unfold, X2, 2, 0)),
    (ValueError, ["padding", "-1"], call(us.unfold, X2, 2, padding=-1)),
    (ValueError, ["padding", "same"], call(us.unfold, X2, 2, padding="same")),
    (ValueError, ["stride", "0"], call(us.unfold, X2, 2, stride=0)),
    (ValueError, ["stride", "3 entries"], call(us.unfold, X2, 2, stride=(1, 1, 1))),
    (ValueError, ["axes", "1"], call(us.unfold, np.ones(4), 2)),
    (ValueError, ["axis W", "0"], call(us.unfold, np.ones((2, 3, 8, 0)), 2)),
    (ValueError, ["x.shape[0] = 5", "4"], call(us.fold, np.ones((5, 9)), 4, 2)),
    (ValueError, ["x.shape[1] = 8", "9"], call(us.fold, np.ones((4, 8)), 4, 2)),
    (ValueError, ["output_size", "-4"], call(us.fold, np.ones((4, 9)), (-4, 4), 2)),
    (ValueError, ["axis H", "0"], call(us.fold, np.ones((4, 9)), (0, 4), 2)),
    (ValueError, ["kernel_size", "3"], call(us.fold, np.ones((4, 9)), (4, 4), (2, 2, 2))),
    (ValueError, ["x.ndim = 1"], call(us.fold, np.ones(4), 4, 2)),
    (TypeError, ["datetime64"], call(us.fold, np.ones((4, 9), "M8[s]"), 4, 2)),
]

MAX_POOL = [
    (ValueError, ["kernel_size", "0"], call(us.max_pool2d, X2, 0)),
    (ValueError, ["kernel_size", "-1"], call(us.max_pool2d, X2, (2, -1))),
    (TypeError, ["kernel_size", "2.5"], call(us.max_pool2d, X2, 2.5)),
    (TypeError, ["kernel_size"], call(us.max_pool2d, X2, None)),
    (TypeError, ["kernel_size"], call(us.max_pool2d, X2, "22")),
    (ValueError, ["kernel_size", "3"], call(us.max_pool2d, X2, (2, 2, 2))),
    (ValueError, ["kernel_size", "10"], call(us.max_pool2d, X2, (2, 10))),
    (ValueError, ["kernel_size[1]", "9 elements"], call(us.max_pool2d, X2, (2, 11), padding=0)),
    (ValueError, ["stride", "0"], call(us.max_pool2d, X2, 2, 0)),
    (ValueError, ["stride", "-3"], call(us.max_pool2d, X2, 2, (1, -3))),
    (ValueError, ["stride", "0"], call(us.max_pool2d, X2, 2, ())),
    (ValueError, ["padding", "2"], call(us.max_pool2d, X2, 3, 1, 2)),
    (ValueError, ["padding", "-1"], call(us.max_pool2d, X2, 3, 1, -1)),
    (ValueError, ["padding"], call(us.max_pool2d, X2, 3, 1, ((1, 1), (1, 1, 1)))),
    (ValueError, ["padding", "sane"], call(us.max_pool2d, X2, 3, 1, "sane")),
    (ValueError, ["dilation", "0"], call(us.max_pool2d, X2, 3, 1, 0, 0)),
    (ValueError, ["dilation"], call(us.max_pool1d, np.ones(1), 2, 1, 1, 2)),
    (TypeError, ["dilation"], call(us.max_pool2d, X2, 3, 1, 0, 1.0)),
    (ValueError, ["index_dtype", "int16"], call(us.max_pool2d, X2, 2, index_dtype="int16")),
    (ValueError, ["axes", "1"], call(us.max_pool2d, np.ones(4), 2)),
    (ValueError, ["axes", "2"], call(us.max_pool3d, np.ones((4, 4)), 2)),
    (ValueError, ["axes", "2"], call(us.max_pool2d, np.ones((4, 4)), 2, channels_last=True)),
    (ValueError, ["axis H", "0"], call(us.max_pool2d, np.ones((3, 0, 4)), 2)),
    (TypeError, ["complex128"], call(us.max_pool2d, X2 * 1j, 2)),
    (
        ValueError,
        ["indices", "2, 3, 4, 4"],
        call(us.max_pool2d_backward, X2, AT, (2, 3, 16, 16)),
    ),
    (ValueError, ["input_size"], call(us.max_pool2d_backward, G, AT, (2, 2, 8, 8))),
    (ValueError, ["input_size"], call(us.max_pool2d_backward, G, AT, (3, 8, 8))),
    (ValueError, ["2, 3, 0, 8"], call(us.max_pool2d_backward, G, AT, (2, 3, 0, 8))),
    (TypeError, ["indices", "float64"], call(us.max_pool2d_backward, G, G, (2, 3, 8, 8))),
    (TypeError, ["int64"], call(us.max_pool2d_backward, AT, AT, (2, 3, 8, 8))),
    (IndexError, ["indices", "-1", "63"], call(us.max_pool2d_backward, G, AT - 1, (2, 3, 8, 8))),
    (IndexError, ["indices", "64"], call(us.max_pool2d_backward, G, AT + 64, (2, 3, 8, 8))),
]

MIN_POOL = [
    (ValueError, ["kernel_size", "0"], call(us.min_pool2d, X2, 0)),
    (TypeError, ["kernel_size", "2.5"], call(us.min_pool1d, X1, 2.5)),
    (ValueError, ["kernel_size[1]", "9 elements"], call(us.min_pool2d, X2, (2, 11))),
    (ValueError, ["stride", "-3"], call(us.min_pool2d, X2, 2, (1, -3))),
    (ValueError, ["padding", "2", "1"], call(us.min_pool2d, X2, 3, 1, 2)),
    (ValueError, ["dilation", "0"], call(us.min_pool3d, X3, 3, 1, 0, 0)),
    (ValueError, ["index_dtype", "uint8"], call(us.min_pool2d, X2, 2, index_dtype="uint8")),
    (TypeError, ["complex128"], call(us.min_pool2d, X2 * 1j, 2)),
    (ValueError, ["indices", "2, 3, 4, 4"], call(us.min_pool2d_backward, X2, AT, (2, 3, 16, 16))),
    (IndexError, ["indices", "64"], call(us.min_pool2d_backward, G, AT + 64, (2, 3, 8, 8))),
    (TypeError, ["int64"], call(us.min_pool2d_backward, AT, AT, (2, 3, 8, 8))),
]

AVG_POOL = [
    (ValueError, ["kernel_size", "0"], call(us.avg_pool2d, X2, 0)),
    (ValueError, ["kernel_size", "-1"], call(us.avg_pool2d, X2, (2, -1))),
    (TypeError, ["kernel_size", "2.5"], call(us.avg_pool2d, X2, 2.5)),
    (ValueError, ["kernel_size", "3"], call(us.avg_pool2d, X2, (2, 2, 2))),
    (ValueError, ["kernel_size[1]", "9 elements"], call(us.avg_pool2d, X2, (2, 11))),
    (ValueError, ["stride", "0"], call(us.avg_pool2d, X2, 2, 0)),
    (ValueError, ["padding", "2", "1"], call(us.avg_pool2d, X2, 3, 1, 2)),
    (ValueError, ["padding", "-1"], call(us.avg_pool2d, X2, 3, 1, -1)),
    (ValueError, ["padding", "sane"], call(us.avg_pool2d, X2, 3, 1, "sane")),
    (ValueError, ["padding"], call(us.avg_pool2d, X2, 3, 1, ((1, 1), (1, 1, 1)))),
    (ValueError, ["dilation", "0"], call(us.avg_pool2d, X2, 3, dilation=0)),
    (ValueError, ["dilation"], call(us.avg_pool1d, np.ones(1), 2, 1, 1, dilation=2)),
    (ValueError, ["divisor_override", "0"], call(us.avg_pool2d, X2, 2, divisor_override=0)),
    (ValueError, ["divisor_override", "-2"], call(us.avg_pool2d, X2, 2, divisor_override=-2)),
    (TypeError, ["divisor_override"], call(us.avg_pool2d, X2, 2, divisor_override=2.0)),
    (ValueError, ["rounding", "up"], call(us.avg_pool2d, AT, 2, rounding="up")),
    (ValueError, ["axes", "1"], call(us.avg_pool2d, np.ones(4), 2)),
    (ValueError, ["axes", "2"], call(us.avg_pool2d, np.ones((4, 4)), 2, channels_last=True)),
    (ValueError, ["axis H", "0"], call(us.avg_pool2d, np.ones((3, 0, 4)), 2)),
    (TypeError, ["bool"], call(us.avg_pool2d, X2 > 0, 2)),
    (TypeError, ["complex128"], call(us.avg_pool2d, X2 * 1j, 2)),
    (ValueError, ["grad_output", "2, 3, 4, 4"], call(us.avg_pool2d_backward, X2, (2, 3, 8, 8), 2)),
    (ValueError, ["grad_output"], call(us.avg_pool2d_backward, G, (1, 3, 8, 8), 2)),
    (ValueError, ["input_size", "-8"], call(us.avg_pool2d_backward, G, (2, 3, 8, -8), 2)),
    (TypeError, ["input_size"], call(us.avg_pool2d_backward, G, (2, 3, 8.0, 8), 2)),
    (ValueError, ["padding", "2"], call(us.avg_pool2d_backward, G, (2, 3, 8, 8), 2, padding=2)),
    (
        ValueError,
        ["divisor_override", "0"],
        call(us.avg_pool2d_backward, G, (2, 3, 8, 8), 2, divisor_override=0),
    ),
    (TypeError, ["int64"], call(us.avg_pool2d_backward, AT, (2, 3, 8, 8), 2)),
]

LP_POOL = [
    (ValueError, ["norm_type", "0"], call(us.lp_pool2d, X2, 0, 2)),
    (ValueError, ["norm_type", "-1"], call(us.lp_pool2d, X2, -1, 2)),
    (ValueError, ["norm_type", "NaN"], call(us.lp_pool2d, X2, nan, 2)),
    (ValueError, ["norm_type", "-inf"], call(us.lp_pool2d, X2, -inf, 2)),
    (TypeError, ["norm_type"], call(us.lp_pool2d, X2, "2", 2)),
    (TypeError, ["norm_type"], call(us.lp_pool2d, X2, None, 2)),
    (ValueError, ["kernel_size", "0"], call(us.lp_pool2d, X2, 2, 0)),
    (ValueError, ["kernel_size[0]", "8 elements"], call(us.lp_pool2d, X2, 2, 9)),
    (ValueError, ["stride", "-1"], call(us.lp_pool2d, X2, 2, 2, -1)),
    (ValueError, ["padding", "2", "1"], call(us.lp_pool2d, X2, 2, 3, padding=2)),
    (ValueError, ["dilation", "0"], call(us.lp_pool2d, X2, 2, 3, dilation=0)),
    (ValueError, ["rounding", "up"], call(us.lp_pool2d, AT, 2, 2, rounding="up")),
    (TypeError, ["bool"], call(us.lp_pool2d, X2 > 0, 2, 2)),
    (TypeError, ["complex128"], call(us.lp_pool2d, X2 * 1j, 2, 2)),
    (ValueError, ["norm_type", "0"], call(us.lp_pool2d_backward, G, np.ones((2, 3, 8, 8)), 0, 2)),
    (ValueError, ["grad_output", "2, 3, 4, 4"], call(us.lp_pool2d_backward, X2, X2, 2, 2)),
    (
        TypeError,
        ["x", "float32", "float64"],
        call(us.lp_pool2d_backward, G, np.ones((2, 3, 8, 8), "f4"), 2, 2),
    ),
    (TypeError, ["int64"], call(us.lp_pool2d_backward, AT, AT, 2, 1)),
]

ADAPTIVE_POOL = [
    (ValueError, ["output_size", "0"], call(us.adaptive_avg_pool2d, X2, 0)),
    (ValueError, ["output_size", "-1"], call(us.adaptive_avg_pool2d, X2, (3, -1))),
    (TypeError, ["output_size", "2.5"], call(us.adaptive_avg_pool2d, X2, 2.5)),
    (ValueError, ["output_size", "3"], call(us.adaptive_avg_pool2d, X2, (2, 2, 2))),
    (ValueError, ["axes", "1"], call(us.adaptive_avg_pool2d, np.ones(4), 2)),
    (ValueError, ["axis W", "0"], call(us.adaptive_avg_pool2d, np.ones((3, 4, 0)), 2)),
    (ValueError, ["rounding", "up"], call(us.adaptive_avg_pool2d, AT, 2, rounding="up")),
    (TypeError, ["bool"], call(us.adaptive_avg_pool2d, X2 > 0, 2)),
    (ValueError, ["output_size", "0"], call(us.adaptive_max_pool2d, X2, (0, None))),
    (ValueError, ["output_size", "-1"], call(us.adaptive_max_pool3d, X3, -1)),
    (TypeError, ["output_size"], call(us.adaptive_max_pool2d, X2, "22")),
    (ValueError, ["index_dtype", "int8"], call(us.adaptive_max_pool2d, X2, 2, index_dtype="int8")),
    (TypeError, ["complex128"], call(us.adaptive_max_pool2d, X2 * 1j, 2)),
    (ValueError, ["grad_output"], call(us.adaptive_avg_pool2d_backward, G, (2, 2, 8, 8))),
    (ValueError, ["input_size"], call(us.adaptive_avg_pool2d_backward, G, (3, 8, 8))),
    (ValueError, ["axis H", "0"], call(us.adaptive_avg_pool2d_backward, G, (2, 3, 0, 8))),
    (TypeError, ["int64"], call(us.adaptive_avg_pool2d_backward, AT, (2, 3, 8, 8))),
    (
        ValueError,
        ["indices", "2, 3, 4, 4"],
        call(us.adaptive_max_pool2d_backward, X2, AT, (2, 3, 16, 16)),
    ),
    (
        IndexError,
        ["indices", "-1", "63"],
        call(us.adaptive_max_pool2d_backward, G, AT - 1, (2, 3, 8, 8)),
    ),
    (
        TypeError,
        ["indices", "float64"],
        call(us.adaptive_max_pool2d_backward, G, G, (2, 3, 8, 8)),
    ),
]

MAX_UNPOOL = [
    (ValueError, ["indices", "2, 3, 4, 4"], call(us.max_unpool2d, X2, AT, 2)),
    (TypeError, ["indices", "float64"], call(us.max_unpool2d, G, G, 2)),
    (TypeError, ["indices", "bool"], call(us.max_unpool2d, G, G > 0, 2)),
    (IndexError, ["indices", "-1", "63"], call(us.max_unpool2d, G, AT - 1, 2)),
    (IndexError, ["indices", "64"], call(us.max_unpool2d, G, AT + 64, 2)),
    (ValueError, ["kernel_size", "0"], call(us.max_unpool2d, G, AT, 0)),
    (ValueError, ["stride", "-2"], call(us.max_unpool2d, G, AT, 2, -2)),
    (ValueError, ["padding", "-1"], call(us.max_unpool2d, G, AT, 2, 2, -1)),
    (ValueError, ["padding", "100"], call(us.max_unpool2d, G, AT, 2, 2, 100)),
    (ValueError, ["output_size", "0"], call(us.max_unpool2d, G, AT, 2, output_size=(0, 8))),
    (ValueError, ["output_size"], call(us.max_unpool2d, G, AT, 2, output_size=(8, 8, 8))),
    (ValueError, ["output_size", "10", "7 to 9"], call(us.max_unpool2d, G, AT, 2, output_size=10)),
    (TypeError, ["output_size"], call(us.max_unpool2d, G, AT, 2, output_size=8.0)),
    (ValueError, ["duplicates", "mean"], call(us.max_unpool2d, G, AT, 2, duplicates="mean")),
    (ValueError, ["duplicate", "0"], call(us.max_unpool2d, G, AT, 2, duplicates="error")),
    (TypeError, ["complex128"], call(us.max_unpool2d, G * 1j, AT, 2, duplicates="max")),
    (ValueError, ["indices"], call(us.max_unpool2d_backward, X2, AT[0])),
    (ValueError, ["indices"], call(us.max_unpool2d_backward, X2, AT[:, :2])),
    (IndexError, ["indices", "72"], call(us.max_unpool2d_backward, X2, AT + 72)),
]

CONV = [
    (ValueError, ["weight"], call(us.conv2d, X2, W1)),
    (ValueError, ["weight", "3"], call(us.conv2d, X2, np.ones((5, 2, 3, 3)))),
    (ValueError, ["kernel_size", "0"], call(us.conv2d, X2, np.ones((5, 3, 0, 3)))),
    (ValueError, ["weight"], call(us.conv2d, np.ones((8, 9)), W2)),
    (ValueError, ["kernel_size", "9"], call(us.conv2d, X2, np.ones((5, 3, 9, 3)))),
    (TypeError, ["weight", "float32", "float64"], call(us.conv2d, F4, W2)),
    (TypeError, ["bias", "float32"], call(us.conv2d, X2, W2, np.ones(5, "f4"))),
    (ValueError, ["bias", "4", "5"], call(us.conv2d, X2, W2, np.ones(4))),
    (ValueError, ["bias"], call(us.conv2d, X2, W2, np.ones((5, 1)))),
    (ValueError, ["stride", "0"], call(us.conv2d, X2, W2, None, 0)),
    (ValueError, ["stride", "-1"], call(us.conv2d, X2, W2, None, (1, -1))),
    (ValueError, ["stride", "0"], call(us.conv2d, X2, W2, None, ())),
    (ValueError, ["padding", "-1"], call(us.conv2d, X2, W2, padding=-1)),
    (ValueError, ["padding", "sane"], call(us.conv2d, X2, W2, padding="sane")),
    (ValueError, ["dilation", "0"], call(us.conv2d, X2, W2, dilation=0)),
    (ValueError, ["kernel_size", "4"], call(us.conv2d, X2, W2, dilation=4)),
    (ValueError, ["groups", "0"], call(us.conv2d, X2, W2, groups=0)),
    (ValueError, ["groups", "-1"], call(us.conv2d, X2, W2, groups=-1)),
    (ValueError, ["groups", "2"], call(us.conv2d, X2, W2, groups=2)),
    (ValueError, ["groups", "3"], call(us.conv2d, X2, np.ones((5, 1, 3, 3)), groups=3)),
    (TypeError, ["groups"], call(us.conv2d, X2, W2, groups=1.0)),
    (ValueError, ["axes", "5"], call(us.conv2d, X3, W2)),
    (ValueError, ["axes", "1"], call(us.conv2d, np.ones(4), np.ones((2, 2)))),
    (ValueError, ["axis W", "0"], call(us.conv2d, np.ones((2, 3, 8, 0)), W2)),
    (TypeError, ["bool"], call(us.conv2d, X2 > 0, W2 > 0)),
    (ValueError, ["grad_output", "2, 5, 6, 7"], call(us.conv2d_backward, X2, X2, W2)),
    (TypeError, ["int64"], call(us.conv1d_backward, *(np.ones((1, 1, 1), int),) * 3)),
    (ValueError, ["output_mask"], call(us.conv2d_backward, X2, X2, W2, output_mask=(True,))),
    (TypeError, ["output_mask"], call(us.conv2d_backward, X2, X2, W2, output_mask=7)),
]

CONV_TRANSPOSE = [
    (ValueError, ["weight", "3"], call(us.conv_transpose2d, X2, W2)),
    (ValueError, ["stride", "0"], call(us.conv_transpose2d, X2, T2, stride=0)),
    (ValueError, ["dilation", "0"], call(us.conv_transpose2d, X2, T2, dilation=0)),
    (ValueError, ["padding", "9"], call(us.conv_transpose2d, X2, T2, padding=9)),
    (ValueError, ["padding", "-2"], call(us.conv_transpose2d, X2, T2, padding=-2)),
    (ValueError, ["padding", "same"], call(us.conv_transpose2d, X2, T2, padding="same")),
    (ValueError, ["output_padding", "1"], call(us.conv_transpose2d, X2, T2, output_padding=1)),
    (ValueError, ["output_padding", "-1"], call(us.conv_transpose2d, X2, T2, output_padding=-1)),
    (ValueError, ["groups", "2"], call(us.conv_transpose2d, X2, T2, groups=2)),
    (ValueError, ["output_size", "9"], call(us.conv_transpose2d, X2, T2, output_size=(9, 11))),
    (ValueError, ["output_size", "12"], call(us.conv_transpose2d, X2, T2, output_size=(10, 12))),
    (ValueError, ["bias", "4", "5"], call(us.conv_transpose2d, X2, T2, np.ones(4))),
    (
        ValueError,
        ["grad_output", "2, 5, 10, 11"],
        call(us.conv_transpose2d_backward, X2, X2, T2),
    ),
]

THREADS = [
    (ValueError, ["0"], call(us.set_num_threads, 0)),
    (ValueError, ["-2"], call(us.set_num_threads, -2)),
    (TypeError, ["1.5"], call(us.set_num_threads, 1.5)),
    (TypeError, [], call(us.set_num_threads, None)),
]

# Integers beyond 64 bits, wherever an integer goes.
TOO_LARGE = [
    call(us.interpolate, X2, HUGE),
    call(us.resize, X2, HUGE),
    call(us.resize, X2, 2, axes=HUGE),
    call(us.bed_of_nails, X2, HUGE),
    call(us.pixel_shuffle, X2, HUGE),
    call(us.channel_shuffle, X2, HUGE),
    call(us.unfold, X2, 2, HUGE),
    call(us.fold, X2, HUGE, 2),
    call(us.max_pool2d, X2, HUGE),
    call(us.max_pool2d, X2, 2, HUGE),
    call(us.max_pool2d, X2, 2, 2, (0, HUGE)),
    call(us.min_pool2d, X2, 2, dilation=HUGE),
    call(us.avg_pool2d, X2, HUGE),
    call(us.avg_pool2d, X2, 2, padding=HUGE),
    call(us.avg_pool2d, X2, 2, divisor_override=HUGE),
    call(us.avg_pool2d_backward, G, (2, 3, 8, HUGE), 2),
    call(us.lp_pool2d, X2, 2, 2, HUGE),
    call(us.adaptive_max_pool2d, X2, HUGE),
    call(us.adaptive_avg_pool2d, X2, (None, HUGE)),
    call(us.adaptive_avg_pool2d_backward, G, (2, 3, HUGE, 8)),
    call(us.max_unpool2d, G, AT, 2, output_size=-HUGE),
    call(us.conv2d, X2, W2, groups=HUGE),
    call(us.conv_transpose2d, X2, T2, dilation=HUGE),
    call(us.conv_output_size, HUGE, 2),
    call(us.set_num_threads, HUGE),
]

# Sizes that no memory holds, with and without a product that leaves 64 bits.
TOO_MUCH = [
    call(us.interpolate, X2, (2**21, 2**21)),
    call(us.interpolate, X2, (2**40, 2**41)),
    call(us.interpolate, X2, None, 1e12, mode="bilinear"),
    call(us.interpolate, np.ones(4), None, 4.6e18),
    call(us.resize, X2, 2**21),
    call(us.resize, np.ones(4), 2**60, method="nearest"),
    call(us.resize, np.ones(4), 2**40, method="cubic"),
    call(us.bed_of_nails, X2, 2**40),
    call(us.unfold, np.ones((3, 4)), 2**21, padding=2**21),
    call(us.unfold, np.ones((3, 4)), 2**40, padding=2**40),
    call(us.fold, np.ones((1, 1)), 2**31, 1, stride=2**31),
    call(us.max_unpool2d, G, AT, 2, 2**40),
    call(us.max_unpool1d, np.ones(1), np.zeros(1, int), 2**60),
    call(us.max_pool2d_backward, G, AT, (2, 3, 2**40, 2**40)),
    call(us.max_pool2d_backward, G, AT, (2, 3, 2**21, 2**21)),
    call(us.adaptive_max_pool2d, X2, 2**21),
    call(us.adaptive_max_pool2d, X2, 2**32),
    call(us.adaptive_avg_pool2d, X2, (2**40, 2**41)),
    call(us.adaptive_avg_pool1d, X1, 2**62),
    call(us.adaptive_avg_pool2d_backward, G, (2, 3, 2**40, 2**40)),
    call(us.adaptive_max_pool2d_backward, G, AT, (2, 3, 2**21, 2**21)),
    call(us.avg_pool2d_backward, G, (2, 3, 2**40, 2**40), 2**38),
    call(us.conv_transpose2d, X2, T2, stride=2**31),
    call(us.conv_transpose2d, X2, T2, dilation=2**40),
]

ROWS = [
    row
    for table in (
        INTERPOLATE,
        RESIZE,
        INTERPOLATE_BACKWARD,
        BED_OF_NAILS,
        SHUFFLES,
        FOLDS,
        MAX_POOL,
        MIN_POOL,
        AVG_POOL,
        LP_POOL,
        ADAPTIVE_POOL,
        MAX_UNPOOL,
        CONV,
        CONV_TRANSPOSE,
        THREADS,
    )
    for row in table
]


def name_of(row):
    """`op-word-word`, for the test report."""
    exception, words, (op, _, _) = row
    return "-".join([op.__name__, exception.__name__, *words]).replace(" ", "_")


def run(a_call):
    op, args, kwargs = a_call
    return op(*args, **kwargs)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_refusal(row):
    exception, words, a_call = row
    line = laws.refused(lambda: run(a_call), exception, *words)
    assert line.startswith(a_call[0].__name__ + ": "), line
    assert len(line) < 300, "a line, not a page"


@pytest.mark.parametrize("a_call", TOO_LARGE, ids=lambda c: c[0].__name__)
def test_integers_beyond_64_bits_are_refused(a_call):
    with pytest.raises((ValueError, OverflowError)) as caught:
        run(a_call)
    assert str(caught.value).startswith(a_call[0].__name__ + ": ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("a_call", TOO_MUCH, ids=lambda c: c[0].__name__)
def test_results_that_no_memory_holds_are_refused(a_call):
    with pytest.raises((ValueError, MemoryError)) as caught:
        run(a_call)
    assert "\n" not in str(caught.value)


def test_refusals_leave_the_inputs_alone():
    x, at = X2.copy(), AT.copy()
    for _, _, a_call in ROWS:
        with pytest.raises((ValueError, TypeError, IndexError)):
            run(a_call)
    assert np.array_equal(x, X2) and np.array_equal(at, AT)


def test_names_of_padding_are_not_for_transposed_sizes():
    with pytest.raises(ValueError, match="conv_transpose_output_size: padding = 'same': must be"):
        us.conv_transpose_output_size(5, 3, padding="same")


def test_what_a_part_reads_is_what_it_must_be_given():
    part = _core.Part(np.ones((1, 1, 3, 4)), (1, 1, 8, 4), [(0, 1), (0, 1), (0, 2), (0, 2)])
    with pytest.raises(ValueError, match=r"max_pool2d: x.shape = \(1, 1, 3, 4\): must be"):
        us.max_pool2d(part, 2)
    with pytest.raises(ValueError, match="shape has 33 entries: must have at most 32"):
        _core._empty([1] * 33, np.ones(1))


def test_a_number_that_no_integer_is_does_not_fill_integers():
    with pytest.raises((ValueError, TypeError), match="resize: fill = 0.5"):
        us.resize(np.ones(4, "i4"), 8, edge="constant", fill=0.5, coordinates="asymmetric")
    with pytest.raises(ValueError, match="resize: fill = 2: must be a number that bool holds"):
        us.resize(np.ones(4, bool), 8, method="nearest", edge="constant", fill=2)
