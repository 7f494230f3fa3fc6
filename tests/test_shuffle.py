"""`pixel_shuffle`, `pixel_unshuffle`, `depth_to_space`, `space_to_depth`, `channel_shuffle`."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import reference_moves as ref
import strategies as sts
import upsample_rs as us
from cases import Case

MODES = ("DCR", "CRD")


def block_options(draw, block):
    """A block as a user may write it: an int for two equal lengths, a tuple, a list."""
    if len(block) == 2 and block[0] == block[1] and draw(st.booleans()):
        return block[0]
    return draw(st.sampled_from([block, list(block)]))


@st.composite
def block_cases(draw, dtypes=sts.MOVED):
    """A shuffle to space or to depth, by either of its names."""
    n = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(dtypes))
    block = tuple(draw(st.integers(1, 5 if n < 3 else 3)) for _ in range(n))
    if draw(st.booleans()):
        block = (block[0],) * n
    mode, to_space = draw(st.sampled_from(MODES)), draw(st.booleans())
    lead = draw(sts.leading_axes(2))[:2]
    channels = draw(st.sampled_from([1, 1, 2, 3, 4, 5, 17, 33]))
    size = draw(sts.shapes(n, max(1200 // (channels * math.prod(block)), 1)))
    if to_space:
        shape = (*lead, channels * math.prod(block), *size)
    else:
        shape = (*lead, channels, *(s * b for s, b in zip(size, block, strict=True)))
    x = sts.values(shape, dtype, draw(sts.seeds), specials=True)
    given_block = block_options(draw, block)
    pixel = mode == "CRD" and draw(st.booleans())
    return draw(cases.placed(block_case(x, block, given_block, mode, to_space, pixel)))


def block_case(x, block, given_block, mode, to_space, pixel):
    def named(to_space):
        if pixel:
            name = "up" if to_space else "down"
            op = "pixel_shuffle" if to_space else "pixel_unshuffle"
            return op, {f"{name}scale_factor": given_block}
        return ("depth_to_space" if to_space else "space_to_depth"), {
            "block": given_block,
            "mode": mode,
        }

    op, options = named(to_space)
    oracle = ref.depth_to_space if to_space else ref.space_to_depth
    return Case(
        op=op,
        n=len(block),
        arrays=(x,),
        options=options,
        oracle=lambda x: (oracle(x, block, mode),),
        exact=True,
        gradient=lambda grad: block_case(grad, block, given_block, mode, not to_space, pixel),
    )


@st.composite
def channel_cases(draw, dtypes=sts.MOVED):
    """Batch, channels and up to three more axes."""
    n = draw(st.integers(0, 3))
    groups, each = draw(st.integers(1, 9)), draw(st.sampled_from([1, 2, 3, 4, 8, 17, 33]))
    size = draw(sts.shapes(n, 600 // (groups * each) + 1))
    shape = (draw(st.integers(1, 3)), groups * each, *size)
    x = sts.values(shape, draw(st.sampled_from(dtypes)), draw(sts.seeds), specials=True)
    return draw(cases.placed(channel_case(x, groups)))


def channel_case(x, groups):
    return Case(
        op="channel_shuffle",
        n=x.ndim - 2,
        arrays=(x,),
        options={"groups": groups},
        oracle=lambda x: (ref.channel_shuffle(x, groups),),
        exact=True,
        gradient=lambda grad: channel_case(grad, x.shape[1] // groups),
    )


either = block_cases() | channel_cases()


@given(case=either)
def test_matches_reference(engine, case):
    laws.forward_matches_reference(case)


@given(case=either)
def test_same_bits_at_any_thread_count(isa, case):
    laws.same_bits_at_any_thread_count(case)


@given(case=either)
def test_every_isa_agrees(case):
    laws.every_isa_agrees(case)


@given(case=either, layout=sts.layouts)
def test_strided_equals_contiguous(isa, case, layout):
    laws.strided_equals_contiguous(case, layout)


@given(case=either, axis=st.integers(0, 5))
def test_zero_stride_equals_copy(isa, case, axis):
    laws.zero_stride_equals_copy(case, axis)


@given(case=either, layout=st.sampled_from(sts.IN_PLACE))
def test_out_equals_fresh(isa, case, layout):
    laws.out_equals_fresh(case, layout)


@given(case=either)
def test_bad_out_is_refused(case):
    laws.bad_out_is_refused(case)


@given(case=either)
def test_channels_last_equals_channels_first(isa, case):
    laws.channels_last_equals_channels_first(case)


@given(case=either, seed=sts.seeds)
def test_the_other_shuffle_undoes_it(isa, case, seed):
    (y,) = case.run(channels_last=False, layouts=("contiguous",))
    back = case.gradient(y)
    laws.assert_identical(back.run()[0], case.arrays[0])


@given(case=either)
def test_vjp_is_the_other_shuffle(case):
    if case.arrays[0].dtype.kind != "f" or case.arrays[0].dtype.itemsize > 8:
        return
    (x,) = case.given()
    last = {"channels_last": True} if case.channels_last else {}
    y, pullback = us.vjp(getattr(us, case.op), x, **case.options, **last)
    (back,) = pullback(y)
    laws.assert_identical(back, np.ascontiguousarray(x))


@given(
    st.data(),
    st.sampled_from(["u1", "u2", "u4", "u8", "c16", "g"]),
    st.sampled_from([2, 3, 4, 5, 8, 9, 16]),
)
def test_rows_longer_than_any_vector(isa, data, dtype, r):
    """Along W, with channels first and last, every way rows are woven and taken apart."""
    width = data.draw(st.integers(60, 200))
    x = np.arange(2 * r * 3 * width).astype(dtype).reshape(2 * r, 3, width)
    y = us.pixel_shuffle(x, (1, r))
    laws.assert_identical(y, ref.depth_to_space(x, (1, r), "CRD"))
    laws.assert_identical(us.pixel_unshuffle(y, (1, r)), x)
    x = np.arange(5 * r * width).astype(dtype).reshape(5, r * width)
    y = us.channel_shuffle(x, r)
    laws.assert_identical(y, ref.channel_shuffle(x, r))
    laws.assert_identical(us.channel_shuffle(y, width), x)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "c16"])
def test_large_arrays_written_past_the_caches(dtype):
    """16 MiB and more, with rows on cache lines, and off them."""
    count = (17 << 20) // np.dtype(dtype).itemsize
    for r, width in ((2, 256), (3, 256), (4, 256), (2, 250), (1, 256), (8, 256)):
        height = count // (8 * r * r * width) + 1
        x = np.arange(8 * r * r * height * width).astype(dtype).reshape(8 * r * r, height, width)
        y = us.pixel_shuffle(x, r)
        laws.assert_identical(y, ref.depth_to_space(x, (r, r), "CRD"))
        laws.assert_identical(us.pixel_unshuffle(y, r), x)


def test_an_int_means_two_axes():
    """And a tuple as many as it has entries, whatever comes in front."""
    assert us.pixel_shuffle(np.ones((5, 8, 3, 4)), 2).shape == (5, 2, 6, 8)
    assert us.pixel_shuffle(np.ones((5, 8, 4)), (2,)).shape == (5, 4, 8)
    assert us.depth_to_space(np.ones((12, 3, 4, 5)), (1, 3, 2)).shape == (2, 3, 12, 10)
    assert us.space_to_depth(np.ones((4, 6, 5)), 2, channels_last=True).shape == (2, 3, 20)


def test_empty_batches_and_no_channels():
    assert us.pixel_shuffle(np.ones((0, 4, 2, 3)), 2).shape == (0, 1, 4, 6)
    assert us.pixel_unshuffle(np.ones((2, 0, 4, 6)), 2).shape == (2, 0, 2, 3)
    assert us.channel_shuffle(np.ones((0, 4)), 2).shape == (0, 4)
    assert us.channel_shuffle(np.ones((2, 0, 3)), 5).shape == (2, 0, 3)


@pytest.mark.skipif(
    not (Path(__file__).parents[1] / "docs" / "figures_moves.py").exists(), reason="no docs"
)
def test_pictures_are_what_their_script_draws():
    docs = Path(__file__).parents[1] / "docs"
    pictures = runpy.run_path(str(docs / "figures_moves.py"))["figures"]()
    for name, picture in pictures.items():
        assert (docs / "images" / "moves" / name).read_text(encoding="utf-8") == picture, name
