"""The functions of `upsample_rs.jax` under JAX's transformations.

Not part of the default environment: ``pip install '.[test,jax]'``, then this file.
"""

import numpy as np
import pytest

import upsample_rs as us
from bridge_calls import CALLS, IDS
from upsample_rs.bridges.table import OPS

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402 - only where there is jax
from jax.test_util import check_grads  # noqa: E402 - likewise

import upsample_rs.jax as usj  # noqa: E402 - likewise

pytestmark = pytest.mark.peer

every_call = pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=IDS)


@pytest.fixture(autouse=True, scope="module")
def double():
    """Numerical derivatives need float64."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def function_of(name, args, kwargs):
    """The call as a function of the arrays that have a gradient, and those."""
    op = OPS[name]
    given = op.bind(args, kwargs)
    inputs = [n for n in op.differentiable if given[n] is not None]

    def function(*values):
        return getattr(usj, name)(**given | dict(zip(inputs, values, strict=True)))

    return function, [jnp.asarray(given[n]) for n in inputs]


@every_call
def test_results_are_those_of_the_package(name, args, kwargs):
    function, inputs = function_of(name, args, kwargs)
    want = getattr(us, name)(*args, **kwargs)
    got = jax.jit(function)(*inputs)
    assert isinstance(got, jax.Array) and got.dtype == want.dtype
    assert np.array_equal(got, want) and np.array_equal(function(*inputs), want)
    if OPS[name].indexed:
        pair = getattr(usj, name)(*args, **kwargs, return_indices=True)
        want = getattr(us, name)(*args, **kwargs, return_indices=True)
        assert all(
            np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(pair, want, strict=True)
        )


@every_call
def test_check_grads(name, args, kwargs):
    function, inputs = function_of(name, args, kwargs)
    check_grads(function, inputs, order=1, modes=["rev"], eps=1e-5)


def one_each():
    """The first call of every operation."""
    seen = {}
    for call, name in zip(CALLS, IDS, strict=True):
        seen.setdefault(call[0], pytest.param(*call, id=name))
    return list(seen.values())


@pytest.mark.parametrize(("name", "args", "kwargs"), one_each())
def test_vmap_of_jitted_gradients(name, args, kwargs):
    function, inputs = function_of(name, args, kwargs)
    places = tuple(range(len(inputs)))
    gradient = jax.jit(jax.grad(lambda *values: (function(*values) ** 2).sum(), places))
    batches = [jnp.stack([value, value * 0.5, value[::-1]], 1) for value in inputs]
    got = jax.vmap(gradient, in_axes=1)(*batches)
    rows = [gradient(*(batch[:, i] for batch in batches)) for i in range(3)]
    for ours, want in zip(got, zip(*rows, strict=True), strict=True):
        assert np.allclose(ours, np.stack(want), rtol=1e-12)


@every_call
def test_vmap(name, args, kwargs):
    function, inputs = function_of(name, args, kwargs)
    batches = [jnp.stack([value, value[::-1]]) for value in inputs]
    got = jax.vmap(function)(*batches)
    want = np.stack([function(*(batch[i] for batch in batches)) for i in range(2)])
    assert np.array_equal(got, want)
    only_first = jax.vmap(function, in_axes=(0, *[None] * (len(inputs) - 1)))
    want = np.stack([function(batches[0][i], *inputs[1:]) for i in range(2)])
    assert np.array_equal(only_first(batches[0], *inputs[1:]), want)


def test_vmap_of_vmap():
    x = jnp.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    pool = jax.vmap(jax.vmap(lambda plane: usj.max_pool2d(plane, 2)))
    assert np.array_equal(pool(x), us.max_pool2d(np.asarray(x), 2))
    gradient = jax.grad(lambda x: (pool(x) ** 2).sum())(x)
    assert np.array_equal(gradient, jax.grad(lambda x: (usj.max_pool2d(x, 2) ** 2).sum())(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "uint8", "int32"])
def test_dtypes(dtype):
    x = (jnp.arange(36).reshape(6, 6) % 7).astype(dtype)
    for got in (usj.max_pool2d(x, 2), jax.jit(lambda x: usj.resize(x, (5, 4)))(x)):
        assert got.dtype == dtype
    want = us.resize(np.asarray(x), (5, 4))
    assert np.array_equal(np.asarray(got), want)


def test_indices_have_32_bits_without_x64():
    jax.config.update("jax_enable_x64", False)
    try:
        x = jnp.arange(16.0).reshape(4, 4)
        values, places = jax.jit(lambda x: usj.max_pool2d(x, 2, return_indices=True))(x)
        assert values.dtype == jnp.float32 and places.dtype == jnp.int32
        back = usj.max_unpool2d(values, places, 2)
        assert np.array_equal(back, us.max_unpool2d(np.asarray(values), np.asarray(places), 2))
        gradient = jax.grad(lambda x: usj.max_pool2d(x, 2, return_indices=True)[0].sum())(x)
        assert gradient.sum() == 4
    finally:
        jax.config.update("jax_enable_x64", True)


def test_errors_come_when_tracing():
    x = jnp.ones((1, 3, 5, 4))
    ran = []

    def network(x):
        ran.append(1)
        return usj.max_pool2d(x, 9)

    for call in (network, jax.jit(network), jax.vmap(network), jax.grad(network)):
        with pytest.raises(ValueError, match=r"^max_pool2d: kernel_size\[0\] = 9 exceeds axis H"):
            call(x[None] if "vmap" in repr(call) else x)
    with pytest.raises(ValueError, match=r"conv2d: weight.shape\[1\] = 2: must be 3"):
        jax.eval_shape(usj.conv2d, x, jnp.ones((1, 2, 2, 2)))
    with pytest.raises(TypeError, match="has no parameter 'kernel'"):
        usj.max_pool2d(x, kernel=2)
    with pytest.raises(ValueError, match="seed, random_samples: one of them must be given"):
        usj.fractional_max_pool2d(x, 2, 2)
    assert len(ran) == 4


def test_shapes_without_computing():
    x = jax.ShapeDtypeStruct((10**6, 3, 1000, 1000), jnp.float32)
    made = jax.eval_shape(lambda x: usj.interpolate(x, scale_factor=2), x)
    assert made.shape == (10**6, 3, 2000, 2000)


def test_boxes_of_every_image():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    boxes = [np.array([[0.0, 1, 5, 6]]), np.array([[1.0, 1, 4, 7], [0, 0, 8, 8]])]
    assert np.array_equal(usj.roi_align(jnp.asarray(x), boxes, 2), us.roi_align(x, boxes, 2))
