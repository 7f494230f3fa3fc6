"""Calls of every operation that has a gradient, for the tests of the bridges.

Small arrays, every parameter somewhere other than its default, both channel orders, arrays without
leading axes. Values lie far enough apart for numerical derivatives of maxima.
"""

import numpy as np

from upsample_rs.bridges.table import OPS


def values(*shape, seed=0):
    """Every value once, from -1 to 1, in no order."""
    count = int(np.prod(shape))
    order = np.random.default_rng(seed + count).permutation(count)
    return ((order + 0.5) / count * 2 - 1).reshape(shape)


SIZES = {1: (7,), 2: (5, 6), 3: (4, 5, 4)}
BOXES = np.array([[0, 0.3, 0.4, 3.1, 4.2], [1, 1.2, 0.1, 4.4, 2.6], [0, 2.0, 1.3, 2.9, 3.8]])


def _windows(n):
    size = SIZES[n]
    x, last, bare = values(2, 3, *size), values(2, *size, 3), values(*size)
    both = tuple((1, 0) for _ in range(n))
    kernel = (3, 2, 2)[:n]
    for kind in ("max", "min"):
        yield f"{kind}_pool{n}d", (x, 2), {}
        yield f"{kind}_pool{n}d", (x, kernel, 2, both), {"ceil_mode": True}
        yield f"{kind}_pool{n}d", (last, kernel, 1), {"channels_last": True, "dilation": 1}
        yield f"{kind}_pool{n}d", (x, kernel, 2), {"padding": "same"}
        yield f"{kind}_pool{n}d", (bare, 2), {"index_dtype": "int32"}
    yield f"avg_pool{n}d", (x, 2), {}
    yield f"avg_pool{n}d", (x, kernel, 2, both, True, False), {}
    yield f"avg_pool{n}d", (last, 2, 1), {"channels_last": True, "divisor_override": 3}
    yield f"avg_pool{n}d", (bare, kernel), {"padding": "same_lower"}
    yield f"lp_pool{n}d", (x, 2, 2), {}
    yield f"lp_pool{n}d", (last, 3.0, kernel, 1, True), {"channels_last": True}
    yield f"lp_pool{n}d", (bare, 2.5, kernel), {"padding": 1, "dilation": 1}
    yield f"adaptive_max_pool{n}d", (x, 3), {}
    yield f"adaptive_max_pool{n}d", (last, (3, None, 2)[:n]), {"channels_last": True}
    yield f"adaptive_avg_pool{n}d", (x, 3), {}
    yield f"adaptive_avg_pool{n}d", (bare, (3, None, 2)[:n]), {}


def _unpooling(n):
    size = SIZES[n]
    x, bare = values(2, 3, *size), values(*size)
    place = np.random.default_rng(n).permuted
    flat = np.tile(np.arange(np.prod(size) * 2**n), (6, 1))
    indices = place(flat, axis=1)[:, : np.prod(size)].reshape(x.shape)
    yield f"max_unpool{n}d", (x, indices, 2), {}
    yield f"max_unpool{n}d", (bare, indices[0, 0], 2), {"output_size": [2 * i + 1 for i in size]}
    moved = np.ascontiguousarray(np.moveaxis(indices, 1, -1))
    yield f"max_unpool{n}d", (values(2, *size, 3), moved, 2), {"channels_last": True}


def _convolutions(n):
    size, kernel = SIZES[n], (3, 2, 2)[:n]
    x, last, bare = values(2, 4, *size), values(2, *size, 4), values(*size)
    weight, grouped = values(3, 4, *kernel), values(6, 2, *kernel)
    conv, back = f"conv{n}d", f"conv_transpose{n}d"
    yield conv, (x, weight), {}
    yield conv, (x, grouped, values(6)), {"stride": 2, "padding": 1, "groups": 2}
    yield conv, (last, weight, values(3)), {"channels_last": True, "padding": "same"}
    yield conv, (x[0], weight, values(3)), {"dilation": 2, "padding": ((1, 2),) * n}
    yield conv, (bare, values(*kernel)), {}
    weight, grouped = values(4, 3, *kernel), values(4, 2, *kernel)
    yield back, (x, weight), {}
    yield back, (x, grouped, values(4)), {"stride": 2, "output_padding": 1, "groups": 2}
    yield back, (last, weight, values(3)), {"channels_last": True, "padding": ((1, 0),) * n}
    yield back, (x[0], weight), {"dilation": 2, "padding": 1}
    yield back, (bare, values(*kernel)), {"stride": 3}
    full = tuple((i - 1) * 2 + k + 1 for i, k in zip(size, kernel, strict=True))
    yield back, (x, weight), {"stride": 2, "output_size": full}


def _resizing():
    for mode, n in (("linear", 1), ("bilinear", 2), ("trilinear", 3), ("nearest", 2)):
        x = values(2, 3, *SIZES[n])
        yield "interpolate", (x, None, 2), {"mode": mode}
        yield "interpolate", (x, (3, 7, 5)[:n]), {"mode": mode}
    x = values(2, 3, 5, 6)
    yield "interpolate", (x, 4), {"mode": "bicubic", "align_corners": True}
    yield "interpolate", (x, None, (1.5, 0.6)), {"mode": "bicubic", "antialias": True}
    yield "interpolate", (x, None, 1.3, "bilinear", None, True), {}
    yield "interpolate", (values(5, 6, 3), 4), {"channels_last": True, "mode": "lanczos"}
    yield "interpolate", (values(5, 6), 3), {"mode": "area"}
    yield "interpolate", (values(2, 9), (5,)), {"mode": "nearest-exact"}
    yield "resize", (values(5, 6), 4), {}
    yield "resize", (x, None, (2, 0.5)), {"axes": (1, -1), "method": ("cubic", "nearest")}
    yield "resize", (x, (9,)), {"axes": 2, "edge": "reflect", "method": "lanczos3"}
    yield "resize", (x, (4, 4)), {"axes": (2, 3), "keep_aspect_ratio": "not_larger"}
    crop = {"coordinates": "tf_crop_and_resize", "roi": [(0.2, 1.1), (-0.1, 0.7)]}
    yield "resize", (x, (3, 4)), {"axes": (2, 3), **crop}
    yield "bed_of_nails", (x, 2), {"offset": 1}
    yield "bed_of_nails", (values(2, 5, 3), (3,)), {"channels_last": True}


def _moves():
    x, last = values(2, 8, 3, 4), values(2, 3, 4, 8)
    yield "pixel_shuffle", (x, 2), {}
    yield "pixel_shuffle", (last, (1, 4)), {"channels_last": True}
    yield "pixel_shuffle", (values(4, 5), (2,)), {}
    yield "pixel_unshuffle", (values(3, 4, 6), 2), {}
    yield "pixel_unshuffle", (values(4, 6, 3), (2, 3)), {"channels_last": True}
    yield "depth_to_space", (x, 2), {"mode": "CRD"}
    yield "depth_to_space", (last, 2), {"channels_last": True}
    yield "space_to_depth", (values(3, 4, 6), 2), {}
    yield "space_to_depth", (values(1, 3, 4, 6), (2, 3), "CRD"), {}
    yield "channel_shuffle", (x, 4), {}
    yield "channel_shuffle", (last, 2), {"channels_last": True}
    yield "unfold", (x, 2), {}
    yield "unfold", (values(3, 4, 2), (2, 3)), {"channels_last": True, "padding": 1, "stride": 2}
    yield "unfold", (values(2, 3, 7), (3,), 2, ((1, 2),)), {}
    yield "fold", (values(2, 8, 6), (3, 4), 2), {}
    yield "fold", (values(6, 8), (3, 4), 2), {"channels_last": True}
    yield "fold", (values(2, 4, 18), (5, 6), 2, 2, 1, (2, 1)), {}


def _chance():
    x = values(2, 3, 7, 8)
    samples = np.random.default_rng(0).random((2, 3, 2))
    yield "fractional_max_pool2d", (x, 2, 4), {"seed": 3}
    yield "fractional_max_pool2d", (x, (2, 3), None, 0.5), {"random_samples": samples}
    last = {"seed": 1, "channels_last": True}
    yield "fractional_max_pool3d", (values(5, 6, 5, 2), 2, (3, 4, 3)), last


def _points():
    x, grid = values(2, 3, 5, 6), values(2, 3, 4, 2) * 0.83
    yield "grid_sample", (x, grid), {}
    yield "grid_sample", (x, grid, "bicubic", "border", True), {}
    yield "grid_sample", (values(2, 5, 6, 3), grid), {"channels_last": True}
    volume = values(1, 2, 3, 4, 3), values(1, 2, 2, 3, 3) * 0.83
    yield "grid_sample", volume, {"padding_mode": "reflection"}
    yield "affine_grid", (values(2, 2, 3), (2, 3, 4, 5)), {}
    yield "affine_grid", (values(3, 4), (2, 3, 4)), {"align_corners": True}
    yield "affine_grid", (values(2, 2, 3), (2, 4, 5, 3)), {"channels_last": True}
    yield "roi_align", (x, BOXES, 2), {}
    yield "roi_align", (x, BOXES, (3, 2), 0.9, 2, True), {"mode": "max"}
    yield "roi_align", (values(2, 5, 6, 3), BOXES, 2), {"channels_last": True, "aligned": True}
    yield "roi_pool", (x, BOXES, 2), {}
    yield "roi_pool", (values(2, 5, 6, 3), BOXES, (2, 3), 0.9), {"channels_last": True}


def _all():
    for n in SIZES:
        yield from _windows(n)
        yield from _unpooling(n)
        yield from _convolutions(n)
    for calls in (_resizing, _moves, _chance, _points):
        yield from calls()


CALLS = list(_all())
IDS = [f"{name}-{sum(c[0] == name for c in CALLS[:i])}" for i, (name, _, _) in enumerate(CALLS)]
assert {name for name, _, _ in CALLS} == set(OPS)
