"""The operators of `upsample_rs.torch` obey the rules of torch, and compute what the package does.

Not part of the default environment: ``pip install '.[test,torch]'``, then this file.
"""

import numpy as np
import pytest

import upsample_rs as us
from bridge_calls import CALLS, IDS
from upsample_rs.bridges.table import OPS

torch = pytest.importorskip("torch", minversion="2.4")
import upsample_rs.torch as ust  # noqa: E402 - only where there is torch
from upsample_rs.torch.schema import flatten  # noqa: E402 - likewise

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

every_call = pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)


def tensors(name, args, kwargs, dtype=torch.float64, grad=False):
    """The arguments of a call by name, arrays as tensors; those that have a gradient."""
    op = OPS[name]
    given = op.bind(args, kwargs)
    for array in op.arrays:
        if given[array] is not None:
            given[array] = torch.from_numpy(np.array(given[array]))
    inputs = [n for n in op.differentiable if given[n] is not None]
    for array in inputs:
        given[array] = given[array].to(dtype).requires_grad_(grad)
    return given, inputs


def as_function(name, given, inputs):
    """The call as a function of the tensors that have a gradient."""
    function = getattr(ust, name)
    return lambda *values: function(**given | dict(zip(inputs, values, strict=True)))


@every_call
def test_results_are_those_of_the_package(name, args, kwargs):
    given, inputs = tensors(name, args, kwargs)
    got = as_function(name, given, inputs)(*(given[n] for n in inputs))
    assert np.array_equal(got.numpy(), getattr(us, name)(*args, **kwargs))
    assert got.is_contiguous()
    if OPS[name].indexed:
        values, indices = getattr(ust, name)(**given | {"return_indices": True})
        want = getattr(us, name)(*args, **kwargs, return_indices=True)
        assert np.array_equal(values.numpy(), want[0]) and np.array_equal(indices.numpy(), want[1])
        assert indices.numpy().dtype == want[1].dtype


@every_call
def test_gradcheck(name, args, kwargs):
    given, inputs = tensors(name, args, kwargs, grad=True)
    function = as_function(name, given, inputs)
    fast = sum(given[n].numel() for n in inputs) > 60
    assert torch.autograd.gradcheck(function, [given[n] for n in inputs], fast_mode=fast)


@every_call
def test_opcheck(name, args, kwargs):
    """Schema, gradient, shapes with and without numbers, under torch's own checker."""
    op = OPS[name]
    given, _ = tensors(name, args, kwargs, grad=True)
    kinds = {n: kind for n, kind in op.kinds.items() if n != "return_indices"}
    flat = flatten(kinds, op.pin(given))
    for variant in (name, f"{name}_with_indices") if op.indexed else (name,):
        torch.library.opcheck(getattr(torch.ops.upsample_rs, variant).default, flat)


@every_call
def test_opcheck_of_gradients(name, args, kwargs):
    op = OPS[name]
    given, inputs = tensors(name, args, kwargs)
    known = op.pin(given)
    known["input_size"] = tuple(given[op.differentiable[0]].shape)
    known["output_mask"] = tuple(given[n] is not None for n in op.differentiable)
    made = getattr(ust, name)(**given | ({"return_indices": True} if op.indexed else {}))
    if op.indexed:
        made, known["indices"] = made
    known["grad_output"] = torch.ones_like(made)
    if op.rule.adjust is not None:
        op.rule.adjust(known, made)
    operator = getattr(torch.ops.upsample_rs, f"{name}_backward").default
    torch.library.opcheck(operator, flatten(op.backward_kinds, known))


def one_each():
    """The first call of every operation."""
    seen = {}
    for call, name in zip(CALLS, IDS, strict=True):
        seen.setdefault(call[0], pytest.param(*call, id=name))
    return list(seen.values())


@pytest.mark.parametrize(("name", "args", "kwargs"), one_each())
def test_compiled(name, args, kwargs):
    """As one graph, forward and backward, the wrapper included."""
    given, inputs = tensors(name, args, kwargs, grad=True)
    function = as_function(name, given, inputs)
    leaves = [given[n] for n in inputs]
    want = torch.autograd.grad(function(*leaves).sum(), leaves)
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    got = torch.autograd.grad(compiled(*leaves).sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_compiled_for_any_length():
    """One graph serves all lengths: the second is no reason to compile again."""

    def network(x, weight):
        x, places = ust.max_pool2d(x, 3, 2, 1, ceil_mode=True, return_indices=True)
        x = ust.conv2d(x, weight, padding=1)
        x = ust.interpolate(x, scale_factor=2, mode="bilinear")
        return ust.adaptive_avg_pool2d(x, 3) + places.sum()

    counter = torch._dynamo.testing.CompileCounter()
    torch._dynamo.reset()
    compiled = torch.compile(network, backend=counter, fullgraph=True, dynamic=True)
    weight = torch.randn(4, 3, 3, 3)
    for size in ((9, 12), (20, 31), (16, 16)):
        x = torch.randn(2, 3, *size)
        assert torch.equal(compiled(x, weight), network(x, weight))
    assert counter.frame_count == 1


@every_call
def test_vmap(name, args, kwargs):
    given, inputs = tensors(name, args, kwargs)
    function = as_function(name, given, inputs)
    leaves = [given[n] for n in inputs]
    batches = [torch.stack([leaf, leaf.flip(0), leaf * 0.5], 1) for leaf in leaves]
    got = torch.vmap(function, in_dims=1)(*batches)
    want = torch.stack([function(*(b.select(1, i) for b in batches)) for i in range(3)])
    assert torch.equal(got, want)
    only_first = torch.vmap(function, in_dims=(1, *[None] * (len(leaves) - 1)))
    want = torch.stack([function(batches[0].select(1, i), *leaves[1:]) for i in range(3)])
    assert torch.equal(only_first(batches[0], *leaves[1:]), want)


def test_vmap_of_several_results():
    x = torch.randn(3, 2, 4, 6, 6)
    got = torch.vmap(lambda one: ust.max_pool2d(one, 2, return_indices=True))(x)
    want = [ust.max_pool2d(one, 2, return_indices=True) for one in x]
    assert all(
        torch.equal(g, torch.stack(w)) for g, w in zip(got, zip(*want, strict=True), strict=True)
    )
    samples = torch.rand(2, 4, 2, dtype=torch.float64)

    def drawn(one):
        options = {"random_samples": samples, "return_indices": True}
        return ust.fractional_max_pool2d(one, 2, output_size=3, **options)

    got, want = torch.vmap(drawn)(x), [drawn(one) for one in x]
    assert all(
        torch.equal(g, torch.stack(w)) for g, w in zip(got, zip(*want, strict=True), strict=True)
    )


def test_bfloat16_without_ml_dtypes(monkeypatch):
    from upsample_rs.torch import tensors

    monkeypatch.setattr(tensors, "_bfloat16", None)
    with pytest.raises(TypeError, match="bfloat16 tensors need the package ml_dtypes"):
        ust.max_pool2d(torch.ones(1, 1, 2, 2).bfloat16(), 2)


# --- memory and dtypes ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtypes(dtype):
    if dtype is torch.bfloat16:
        pytest.importorskip("ml_dtypes")
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64).to(dtype).requires_grad_()
    y = ust.conv2d(ust.interpolate(ust.max_pool2d(x, 2), 8, mode="bilinear"), weight)
    assert y.dtype == dtype
    y.sum().backward()
    assert x.grad.dtype == weight.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_dtypes_without_gradient(dtype):
    x = (torch.arange(16).reshape(4, 4) % 5).to(dtype)
    got = ust.interpolate(x, scale_factor=2)
    assert got.dtype == dtype and torch.equal(got[::2, ::2], x)


def test_channels_last_memory_is_read_in_place(monkeypatch):
    """The strides arrive as they are."""
    seen = []
    real = OPS["max_pool2d"].forward

    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    from upsample_rs.torch.tensors import array

    view = array(x)
    seen.append(view)
    assert view.ctypes.data == x.data_ptr() and view.strides == tuple(4 * s for s in x.stride())
    assert np.array_equal(ust.max_pool2d(x, 2).numpy(), real(x.contiguous().numpy(), 2))
    half = array(x.bfloat16()) if pytest.importorskip("ml_dtypes") else None
    assert half.strides == tuple(2 * s for s in x.stride())


def test_results_are_not_copied():
    from upsample_rs.torch.tensors import tensor

    made = us.interpolate(np.ones((4, 4)), scale_factor=2)
    assert tensor(made).data_ptr() == made.ctypes.data


def test_negated_and_conjugated_views():
    x = torch.view_as_complex(torch.randn(3, 4, 2)).conj()
    assert torch.equal(ust.interpolate(x, scale_factor=2)[::2, ::2], x)
    assert torch.equal(ust.interpolate(x.imag, scale_factor=2)[::2, ::2], x.imag)


# --- arguments ------------------------------------------------------------------------------------


def test_errors_are_those_of_the_package():
    x = torch.ones(1, 3, 5, 4)
    with pytest.raises(ValueError, match=r"max_pool2d: kernel_size\[0\] = 9 exceeds axis H"):
        ust.max_pool2d(x, 9)
    with pytest.raises(TypeError, match="max_pool2d: x is ndarray: must be a torch.Tensor"):
        ust.max_pool2d(x.numpy(), 2)
    with pytest.raises(TypeError, match="max_pool2d: out: results are always new here"):
        ust.max_pool2d(x, 2, out=x)
    with pytest.raises(ValueError, match=r"conv2d: weight.shape\[1\] = 2: must be 3"):
        ust.conv2d(x, torch.ones(1, 2, 2, 2))
    with pytest.raises(IndexError):
        ust.max_unpool2d(torch.ones(1, 1), torch.tensor([[99]]), 2)
    with pytest.raises(AttributeError, match="no_such_operation"):
        _ = ust.no_such_operation
    elsewhere = type("Elsewhere", (torch.Tensor,), {"device": torch.device("cuda", 1)})
    with pytest.raises(ValueError, match="max_pool2d: x is on cuda:1: must be in CPU memory"):
        ust.max_pool2d(x.as_subclass(elsewhere), 2)


def test_meta_tensors_have_shapes():
    x = torch.empty(10**6, 3, 1000, 1000, device="meta")
    assert ust.max_pool2d(x, 2).shape == (10**6, 3, 500, 500)
    with pytest.raises(ValueError, match="exceeds axis H"):
        ust.max_pool2d(x, 2000)


def test_boxes_of_every_image():
    x = torch.randn(2, 3, 8, 8)
    boxes = [torch.tensor([[0.0, 1, 5, 6]]), torch.tensor([[1.0, 1, 4, 7], [0, 0, 8, 8]])]
    got = ust.roi_align(x, boxes, 2)
    assert np.array_equal(got, us.roi_align(x.numpy(), [b.numpy() for b in boxes], 2))
    with pytest.raises(ValueError, match=r"boxes\[0\] has shape \(1, 5\)"):
        ust.roi_align(x, [torch.ones(1, 5), boxes[1]], 2)


def test_chance_follows_torchs_seed():
    x = torch.randn(2, 3, 12, 12)
    torch.manual_seed(3)
    first = ust.fractional_max_pool2d(x, 2, output_ratio=0.6)
    other = ust.fractional_max_pool2d(x, 2, output_ratio=0.6)
    torch.manual_seed(3)
    assert torch.equal(first, ust.fractional_max_pool2d(x, 2, output_ratio=0.6))
    assert not torch.equal(first, other)


def test_signatures_are_those_of_the_package():
    import inspect

    for name in ust.__all__:
        ours = [p for p in inspect.signature(getattr(us, name)).parameters if p != "out"]
        assert list(inspect.signature(getattr(ust, name)).parameters) == ours
