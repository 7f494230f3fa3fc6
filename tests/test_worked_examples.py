"""The worked examples of the documentation, exactly as printed.

On Python lists, int64 and float32 arrays, all of them bare matrices.
"""

import numpy as np
import pytest

import upsample_rs as us

SQUARE = [[1, 2], [3, 4]]
POOLED = [[1, 2, 4, 1], [3, 4, 2, 3], [1, 4, 1, 2], [2, 3, 4, 3]]
INDICES = [[5, 2], [9, 14]]

KINDS = {
    "list": lambda x: x,
    "int64": lambda x: np.array(x, np.int64),
    "float32": lambda x: np.array(x, np.float32),
}

# name, inputs, call, result
EXAMPLES = [
    (
        "K-nearest",
        [SQUARE],
        lambda x: us.interpolate(x, scale_factor=2, mode="nearest"),
        [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    ),
    (
        "bed of nails",
        [SQUARE],
        lambda x: us.bed_of_nails(x, 2),
        [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]],
    ),
    (
        "max pooling",
        [POOLED],
        lambda x: us.max_pool2d(x, 2, return_indices=True)[0],
        [[4, 4], [4, 4]],
    ),
    (
        "max unpooling",
        [SQUARE],
        lambda x: us.max_unpool2d(x, INDICES, 2),
        [[0, 0, 2, 0], [0, 1, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]],
    ),
    (
        "transposed convolution",
        [SQUARE, [[5, 5], [5, 5]]],
        us.conv_transpose2d,
        [[5, 15, 10], [20, 50, 30], [15, 35, 20]],
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name, inputs, call, want", EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_example(kind, name, inputs, call, want):
    got = call(*map(KINDS[kind], inputs))
    assert got.tolist() == want
    assert got.dtype == (np.float32 if kind == "float32" else np.int64)


@pytest.mark.parametrize("kind", ["list", "int64"])
def test_bilinear_in_integers(kind):
    x = KINDS[kind]([[10, 20], [30, 40]])
    got = us.interpolate(x, scale_factor=2, mode="bilinear", rounding="floor")
    assert got.dtype == np.int64
    assert got.tolist() == [[10, 12, 17, 20], [15, 17, 22, 25], [25, 27, 32, 35], [30, 32, 37, 40]]


def test_bilinear_in_float32():
    """Floats are not rounded: the halves stay."""
    x = KINDS["float32"]([[10, 20], [30, 40]])
    got = us.interpolate(x, scale_factor=2, mode="bilinear", rounding="floor")
    assert got.dtype == np.float32
    want = [[10, 12.5, 17.5, 20], [15, 17.5, 22.5, 25], [25, 27.5, 32.5, 35], [30, 32.5, 37.5, 40]]
    assert got.tolist() == want


@pytest.mark.parametrize("kind", KINDS)
def test_max_pooling_indices(kind):
    _, indices = us.max_pool2d(KINDS[kind](POOLED), 2, return_indices=True)
    assert indices.dtype == np.int64 and indices.tolist() == INDICES


@pytest.mark.parametrize("kind", KINDS)
def test_convolution_of_height_width_depth(kind):
    """A 5x5x3 picture and one 3x3x3 kernel: 3x3x1, every element the sum over its window."""
    picture = np.arange(75).reshape(5, 5, 3)
    x, weight = KINDS[kind](picture.tolist()), KINDS[kind](np.ones((1, 3, 3, 3), int).tolist())
    got = us.conv2d(x, weight, channels_last=True)
    assert got.shape == (3, 3, 1)
    want = [[picture[i : i + 3, j : j + 3].sum() for j in range(3)] for i in range(3)]
    assert got[..., 0].tolist() == want


def test_sizes():
    assert us.conv_output_size(5, 3) == 3
    assert us.conv_transpose_output_size(2, 2) == 3
