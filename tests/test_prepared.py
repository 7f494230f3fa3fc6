"""`prepare_conv` and `prepare_conv_transpose`: the plain call's bits, from a weight held."""

import copy
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import laws
import strategies as sts
import upsample_rs as us
from upsample_rs.prepared import PreparedConv

forward = cases.conv_cases() | cases.conv_transpose_cases()
WAYS = {
    "as made": lambda p: p,
    "pickled": lambda p: pickle.loads(pickle.dumps(p)),
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
}


def prepare(case, weight, bias):
    """The case's call with its weight held; only a bare kernel of three axes needs its rank."""
    options = dict(case.options)
    if case.channels_last:
        options["channels_last"] = True
    if weight.ndim == case.n == 3:
        options["rank"] = 3
    op = us.prepare_conv_transpose if "transpose" in case.op else us.prepare_conv
    return op(weight, bias, **options)


@given(case=forward, way=st.sampled_from(list(WAYS)))
def test_same_bits_as_the_plain_call(engine, case, way):
    x, weight, bias = given = case.given()
    (want,) = case.call(given)
    prepared = WAYS[way](prepare(case, weight, bias))
    assert laws.same_bits(prepared(x), want)
    assert laws.same_bits(prepared(x), want), "the second call"
    assert prepared.op == case.op and prepared.dtype == want.dtype


@given(case=forward, isas=st.lists(st.sampled_from(laws.ISAS), min_size=2, max_size=4))
def test_what_is_kept_is_for_one_instruction_set(case, isas):
    """The order that tiles read weights in is kept from call to call, and differs between them."""
    x, weight, bias = given = case.given()
    prepared = prepare(case, weight, bias)
    for isa in isas:
        us._core._force_isa(isa)
        assert laws.same_bits(prepared(x), case.call(given)[0])


@given(case=forward, layout=st.sampled_from(sts.IN_PLACE))
def test_out_is_filled_and_returned(isa, case, layout):
    x, weight, bias = given = case.given()
    (want,) = case.call(given)
    prepared = prepare(case, weight, bias)
    out = sts.lay_out(sts.values(want.shape, want.dtype, 7), layout, case.n)
    gaps = laws.surroundings(out)
    assert prepared(x, out=out) is out
    laws.assert_agree(case, case.first((out,)), case.first((want,)))
    assert laws.surroundings(out) == gaps, "memory around out changed"


@given(case=forward)
def test_weight_and_bias_are_held_and_given_back(isa, case):
    """Nothing done to the caller's arrays, or to those given back, reaches what is held."""
    x, weight, bias = case.given()
    weight = weight.copy()
    bias = None if bias is None else bias.copy()
    prepared = prepare(case, weight, bias)
    want = prepared(x)
    weight[...] = 1
    if bias is not None:
        laws.assert_identical(prepared.bias, case.arrays[2])
        bias[...] = 1
    laws.assert_identical(prepared.weight, case.arrays[1])
    prepared.weight[...] = 0
    assert prepared.weight_shape == weight.shape
    assert laws.same_bits(prepared(x), want)


@pytest.mark.parametrize("dtype", ["f2", sts.BFLOAT16, "f4", "i2"], ids=str)
def test_threads_share_one(dtype):
    """Eight threads, each with inputs of its own lengths, at the same time."""
    weight, bias = sts.values((12, 8, 9), dtype, 1), sts.values((8,), dtype, 3)
    prepared = us.prepare_conv_transpose(weight, bias, 4, 3)
    inputs = [sts.values((12, n), dtype, n) for n in range(200, 248)]
    want = [us.conv_transpose1d(x, weight, bias, 4, 3) for x in inputs]
    wrong, start = [], threading.Barrier(8)

    def work(first):
        start.wait()
        for _ in range(3):
            for i in range(first, len(inputs), 8):
                if not laws.same_bits(prepared(inputs[i]), want[i]):
                    wrong.append(i)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_attributes_and_repr():
    weight = np.ones((6, 2, 3, 5), "f4")
    prepared = us.prepare_conv(weight, stride=(1, 2), padding=((1, 0), (2, 2)), groups=3)
    assert prepared.op == "conv2d" and prepared.dtype == np.float32
    assert prepared.weight_shape == (6, 2, 3, 5) and prepared.bias is None
    assert prepared.stride == (1, 2) and prepared.padding == ((1, 0), (2, 2))
    assert prepared.dilation == (1, 1) and prepared.groups == 3 and not prepared.channels_last
    assert prepared.output_padding is None and prepared.output_size is None
    assert repr(prepared) == (
        "<PreparedConv conv2d, weight float32 (6, 2, 3, 5), stride=(1, 2), "
        "padding=((1, 0), (2, 2)), groups=3>"
    )
    bias = np.ones(4, "f4")
    prepared = us.prepare_conv_transpose(
        np.ones((3, 4, 2), "f4"), bias, 2, output_size=9, channels_last=True
    )
    assert prepared.output_size == (9,) and prepared.output_padding == (0,)
    assert repr(prepared) == (
        "<PreparedConv conv_transpose1d, weight float32 (3, 4, 2), with bias, stride=(2,), "
        "output_size=(9,), channels_last=True>"
    )
    prepared = us.prepare_conv_transpose(
        np.ones((3, 4, 2), "f4"), stride=3, output_padding=1, dilation=2
    )
    assert repr(prepared) == (
        "<PreparedConv conv_transpose1d, weight float32 (3, 4, 2), stride=(3,), dilation=(2,), "
        "output_padding=(1,)>"
    )
    assert us.prepare_conv(np.ones((1, 1, 3)), padding="same_lower").padding == "same_lower"
    for name in ("op", "weight", "stride", "groups", "anything"):
        with pytest.raises(AttributeError):
            setattr(prepared, name, 1)
    with pytest.raises(TypeError):
        PreparedConv()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_rank_of_a_bare_kernel(axes):
    """One and two axes are all spatial; three mean a 1-D convolution unless `rank` says 3."""
    rng = np.random.default_rng(axes)
    x, kernel = rng.integers(-9, 9, (5, 6, 7)[:axes]), rng.integers(-9, 9, (2,) * axes)
    want = getattr(us, f"conv{axes}d")(x, kernel)
    laws.assert_identical(us.prepare_conv(kernel, rank=axes)(x), want)
    if axes < 3:
        laws.assert_identical(us.prepare_conv(kernel)(x), want)
    else:
        assert us.prepare_conv(kernel).op == "conv1d"


W, T = np.ones((4, 3, 3, 3)), np.ones((3, 4, 2))
held, held_up, bare = us.prepare_conv(W), us.prepare_conv_transpose(T), us.prepare_conv(np.ones(3))
sized = us.prepare_conv_transpose(T, stride=2, output_size=9)
X = np.ones((2, 3, 8, 9))

REFUSED = [
    ("conv2d", ValueError, ["x.shape[1] = 4", "3"], lambda: held(np.ones((2, 4, 8, 9)))),
    ("conv2d", ValueError, ["x.shape[0] = 8", "3"], lambda: held(np.ones((8, 9, 3)))),
    ("conv2d", ValueError, ["x.ndim = 2", "4", "3"], lambda: held(np.ones((8, 9)))),
    ("conv2d", ValueError, ["kernel_size", "3"], lambda: held(np.ones((3, 2, 9)))),
    ("conv2d", TypeError, ["x.dtype = float32", "float64"], lambda: held(X.astype("f4"))),
    ("conv2d", ValueError, ["out.shape", "(2, 4, 6, 7)"], lambda: held(X, out=X)),
    ("conv1d", ValueError, ["x.ndim = 2", "1"], lambda: bare(np.ones((2, 9)))),
    ("conv_transpose1d", ValueError, ["axis W", "0"], lambda: held_up(np.ones((3, 0)))),
    ("conv_transpose1d", ValueError, ["output_size", "9"], lambda: sized(np.ones((3, 2)))),
    ("prepare_conv", ValueError, ["weight.ndim = 0"], lambda: us.prepare_conv(1.0)),
    ("prepare_conv", ValueError, ["weight.ndim = 6"], lambda: us.prepare_conv(np.ones((1,) * 6))),
    ("prepare_conv", ValueError, ["weight.ndim = 4", "3"], lambda: us.prepare_conv(W, rank=1)),
    ("prepare_conv", ValueError, ["rank = 4"], lambda: us.prepare_conv(W, rank=4)),
    ("prepare_conv", TypeError, ["rank = 2.0"], lambda: us.prepare_conv(W, rank=2.0)),
    ("prepare_conv", ValueError, ["stride[0] = 0"], lambda: us.prepare_conv(W, stride=0)),
    ("prepare_conv", ValueError, ["dilation[1] = 0"], lambda: us.prepare_conv(W, dilation=(1, 0))),
    ("prepare_conv", ValueError, ["3 entries"], lambda: us.prepare_conv(W, stride=(1, 1, 1))),
    ("prepare_conv", ValueError, ["kernel_size", "0"], lambda: us.prepare_conv(W[..., :0])),
    ("prepare_conv", ValueError, ["weight.shape[0] = 0"], lambda: us.prepare_conv(W[:0])),
    ("prepare_conv", ValueError, ["weight.shape[1] = 0"], lambda: us.prepare_conv(W[:, :0])),
    ("prepare_conv", ValueError, ["groups = 0"], lambda: us.prepare_conv(W, groups=0)),
    ("prepare_conv", ValueError, ["groups = 3", "4"], lambda: us.prepare_conv(W, groups=3)),
    ("prepare_conv", ValueError, ["groups = 2"], lambda: us.prepare_conv(np.ones(3), groups=2)),
    ("prepare_conv", ValueError, ["bias.shape", "(4,)"], lambda: us.prepare_conv(W, np.ones(3))),
    ("prepare_conv", TypeError, ["bias", "float32"], lambda: us.prepare_conv(W, np.ones(4, "f4"))),
    ("prepare_conv", TypeError, ["weight", "bool"], lambda: us.prepare_conv(W > 0)),
    (
        "prepare_conv_transpose",
        ValueError,
        ["output_padding", "1"],
        lambda: us.prepare_conv_transpose(T, output_padding=1),
    ),
    (
        "prepare_conv_transpose",
        ValueError,
        ["output_padding", "output_size"],
        lambda: us.prepare_conv_transpose(T, stride=2, output_padding=1, output_size=9),
    ),
    (
        "prepare_conv_transpose",
        ValueError,
        ["groups = 2", "3"],
        lambda: us.prepare_conv_transpose(T, groups=2),
    ),
    (
        "prepare_conv_transpose",
        ValueError,
        ["padding", "same"],
        lambda: us.prepare_conv_transpose(T, padding="same"),
    ),
]


@pytest.mark.parametrize("op, exception, words, call", REFUSED)
def test_refusals(op, exception, words, call):
    line = laws.refused(call, exception, *words)
    assert line.startswith(op + ": ")


def test_what_every_input_would_refuse_is_refused_at_once():
    """And what some input can have is not: a kernel and padding of any size."""
    assert us.prepare_conv(np.ones((1, 1, 99)))(np.ones((1, 99))).shape == (1, 1)
    assert us.prepare_conv_transpose(np.ones((1, 1, 2)), padding=40)(np.ones((1, 90))).shape == (
        1,
        11,
    )
    wide = us.prepare_conv(np.ones((1, 1, 3)), dilation=2**40)
    laws.refused(lambda: wide(np.ones((1, 9))), ValueError, "kernel_size[0] = 3")


def test_empty_batch():
    assert held(np.ones((0, 3, 8, 9))).shape == (0, 4, 6, 7)
    assert held_up(np.ones((0, 3, 5))).shape == (0, 4, 6)


@given(case=cases.conv_transpose_cases([np.dtype("f2")]))
def test_channels_last_is_a_parameter(isa, case):
    if case.arrays[0].ndim == case.n:
        return
    last = replace(case, channels_last=True, layouts=())
    x, weight, bias = last.given()
    assert laws.same_bits(prepare(last, weight, bias)(x), last.call([x, weight, bias])[0])
