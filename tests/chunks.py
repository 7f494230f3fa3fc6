"""Arrays in chunks, for the tests of dask arrays."""

import warnings

import dask.array as da
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import upsample_rs.dask as usd
from strategies import BFLOAT16, values

FAST = settings(deadline=None, suppress_health_check=list(HealthCheck))
METHODS = ["nearest", "linear", "cubic", "lanczos3", "lanczos5", "gaussian", "mitchell", "box"]
METHODS += ["hamming", "area"]
COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners"]
COORDINATES += ["asymmetric"]


def same(made, want):
    """Whether arrays, or tuples of them, are the same in every bit."""
    if isinstance(want, tuple):
        return len(made) == len(want) and all(map(same, made, want))
    made = np.asarray(made)
    return (made.shape, made.dtype, made.tobytes()) == (want.shape, want.dtype, want.tobytes())


def computed(made):
    if isinstance(made, tuple):
        return tuple(np.asarray(array) for array in da.compute(*made, scheduler="sync"))
    return np.asarray(made.compute(scheduler="sync"))


def quietly(run, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", usd.RechunkWarning)
        return run(*args, **kwargs)


@st.composite
def cuts(draw, shape):
    """Chunks of an array, even or not."""
    chunks = []
    for n in shape:
        edges = draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=4)) if n > 1 else set()
        ends = sorted({0, n} | edges)
        chunks.append(tuple(b - a for a, b in zip(ends, ends[1:], strict=False)) or (0,))
    return tuple(chunks)


def random_cuts(shape, seed):
    rng = np.random.default_rng(seed)
    chunks = []
    for n in shape:
        edges = {0, n} | {int(e) for e in rng.integers(0, n + 1, rng.integers(0, 4))}
        ends = sorted(edges)
        chunks.append(tuple(b - a for a, b in zip(ends, ends[1:], strict=False)) or (0,))
    return tuple(chunks)


def chunked(value, seed):
    return da.from_array(value, chunks=random_cuts(value.shape, seed))


def array(data, shape, dtypes=("float32", "uint8", "float64", "int16", "float16", "bfloat16")):
    dtype = data.draw(st.sampled_from(dtypes), label="dtype")
    dtype = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
    seed = data.draw(st.integers(0, 9), label="seed")
    return values(shape, dtype, seed, data.draw(st.booleans(), label="specials"))


def sides(data, n, largest=40):
    return tuple(data.draw(st.lists(st.integers(1, largest), min_size=n, max_size=n), label="size"))
