"""Upsampling, pooling and convolution of NumPy arrays, forward and backward.

Every operation reads an array in place, whatever its strides, and returns a new one or fills
``out``; it raises before it writes anything, and gives the same bits at any thread count.

* :mod:`~upsample_rs.upsampling`: interpolation in the words of PyTorch, bed of nails
* :mod:`~upsample_rs.resizing`: resizing along any axes, by any filter and coordinate rule
* :mod:`~upsample_rs.max_pooling`, :mod:`~upsample_rs.min_pooling`: the best element of every window
* :mod:`~upsample_rs.avg_pooling`, :mod:`~upsample_rs.lp_pooling`: the mean or norm of every window
* :mod:`~upsample_rs.adaptive_pooling`: the maximum and the mean of as many windows as asked for
* :mod:`~upsample_rs.fractional`: the maximum of windows placed by chance
* :mod:`~upsample_rs.grid`: sampling at points, affine grids
* :mod:`~upsample_rs.roi`: boxes on images, each in the same number of bins
* :mod:`~upsample_rs.unpooling`: max unpooling
* :mod:`~upsample_rs.shuffling`: elements moved between channels and space
* :mod:`~upsample_rs.folding`: windows as columns, and columns added up
* :mod:`~upsample_rs.convolution`: convolution and transposed convolution
* :mod:`~upsample_rs.prepared`: convolutions that hold their weight
* :mod:`~upsample_rs.sizes`: the size formulas
* :mod:`~upsample_rs.gradients`: the gradient of any of them
* :mod:`~upsample_rs.runtime`: threads and instruction set
"""

from __future__ import annotations

from ._core import __version__
from .adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    adaptive_max_pool3d,
    adaptive_max_pool3d_backward,
)
from .avg_pooling import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
)
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
from .folding import fold, unfold
from .fractional import (
    fractional_max_pool2d,
    fractional_max_pool2d_backward,
    fractional_max_pool3d,
    fractional_max_pool3d_backward,
)
from .gradients import vjp
from .grid import affine_grid, affine_grid_backward, grid_sample, grid_sample_backward
from .lp_pooling import (
    lp_pool1d,
    lp_pool1d_backward,
    lp_pool2d,
    lp_pool2d_backward,
    lp_pool3d,
    lp_pool3d_backward,
)
from .max_pooling import (
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
)
from .min_pooling import (
    min_pool1d,
    min_pool1d_backward,
    min_pool2d,
    min_pool2d_backward,
    min_pool3d,
    min_pool3d_backward,
)
from .prepared import prepare_conv, prepare_conv_transpose
from .resizing import resize, resize_backward
from .roi import roi_align, roi_align_backward, roi_pool, roi_pool_backward
from .runtime import config, get_num_threads, set_cache_limit, set_num_threads
from .shuffling import (
    channel_shuffle,
    depth_to_space,
    pixel_shuffle,
    pixel_unshuffle,
    space_to_depth,
)
from .sizes import conv_output_size, conv_transpose_output_size, pool_output_size
from .unpooling import (
    max_unpool1d,
    max_unpool1d_backward,
    max_unpool2d,
    max_unpool2d_backward,
    max_unpool3d,
    max_unpool3d_backward,
)
from .upsampling import bed_of_nails, bed_of_nails_backward, interpolate, interpolate_backward

__all__ = [
    "__version__",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
    "affine_grid",
    "affine_grid_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "bed_of_nails",
    "bed_of_nails_backward",
    "channel_shuffle",
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
    "depth_to_space",
    "fold",
    "fractional_max_pool2d",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d",
    "fractional_max_pool3d_backward",
    "get_num_threads",
    "grid_sample",
    "grid_sample_backward",
    "interpolate",
    "interpolate_backward",
    "lp_pool1d",
    "lp_pool1d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool3d",
    "lp_pool3d_backward",
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
    "min_pool1d",
    "min_pool1d_backward",
    "min_pool2d",
    "min_pool2d_backward",
    "min_pool3d",
    "min_pool3d_backward",
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
    "vjp",
]
