"""Upsampling, pooling and convolution of NumPy arrays, forward and backward.

Every operation reads an array in place, whatever its strides, and returns a new one or fills
``out``; it raises before it writes anything, and gives the same bits at any thread count.

* :mod:`~upsample_rs.upsampling`: nearest and linear interpolation, bed of nails
* :mod:`~upsample_rs.pooling`: max pooling and max unpooling
* :mod:`~upsample_rs.convolution`: convolution and transposed convolution
* :mod:`~upsample_rs.sizes`: the size formulas
* :mod:`~upsample_rs.gradients`: the gradient of any of them
* :mod:`~upsample_rs.runtime`: threads and instruction set
"""

from __future__ import annotations

from ._core import __version__
from .convolution import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
)
from .gradients import vjp
from .pooling import (
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
    max_unpool1d,
    max_unpool1d_backward,
    max_unpool2d,
    max_unpool2d_backward,
    max_unpool3d,
    max_unpool3d_backward,
)
from .runtime import config, get_num_threads, set_cache_limit, set_num_threads
from .sizes import conv_output_size, conv_transpose_output_size, pool_output_size
from .upsampling import bed_of_nails, bed_of_nails_backward, interpolate, interpolate_backward

__all__ = [
    "__version__",
    "bed_of_nails",
    "bed_of_nails_backward",
    "config",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_output_size",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "conv_transpose_output_size",
    "get_num_threads",
    "interpolate",
    "interpolate_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
    "pool_output_size",
    "set_cache_limit",
    "set_num_threads",
    "vjp",
]
