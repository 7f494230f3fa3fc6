"""Tensors of any library, through DLPack: read in place, bfloat16 too, or refused clearly."""

import sys

import numpy as np
import pytest

import upsample_rs as us
from upsample_rs.borrowing import from_dlpack

X = np.arange(24, dtype=np.float32).reshape(4, 6)


class Elsewhere:
    """A tensor on another device; nothing of it may be asked for but that."""

    def __init__(self, device):
        self.device = device

    def __dlpack__(self, **_):
        raise AssertionError("asked for before the device was looked at")

    def __dlpack_device__(self):
        return self.device


class Lender:
    """A tensor of a library that is none of NumPy's."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_any_lender_is_read():
    for x in (X, X[::2, ::-1], X.T, X.astype(np.uint8)):
        want = us.interpolate(x, scale_factor=2)
        assert np.array_equal(us.interpolate(Lender(x), scale_factor=2), want)
    y, pullback = us.vjp(us.max_pool2d, Lender(X), 2)
    assert pullback(Lender(np.ones_like(y)))[0].sum() == y.size


@pytest.mark.parametrize(
    ("device", "name"), [((2, 1), "CUDA 1"), ((8, 0), "Metal 0"), ((99, 0), "DLPack type 99 0")]
)
def test_other_devices_are_refused(device, name):
    with pytest.raises(
        TypeError, match=f"max_pool2d: x = Elsewhere: .*on device {name}; copy it to"
    ):
        us.max_pool2d(Elsewhere(device), 2)


@pytest.mark.peer
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "uint8", "int64"])
def test_torch(dtype):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    x = torch.arange(24).reshape(4, 6).to(getattr(torch, dtype))
    for tensor in (x, x[::2, 1:], x.T, x.expand(2, 4, 6)):
        view = from_dlpack(tensor)
        assert view.ctypes.data == tensor.data_ptr() and view.dtype.name == dtype
        got = us.max_pool2d(tensor, 2)
        assert got.dtype.name == dtype
        assert np.array_equal(got.astype(float), us.max_pool2d(tensor.double().numpy(), 2))


@pytest.mark.peer
def test_torch_refusals():
    torch = pytest.importorskip("torch")
    x = torch.ones(4, 4, requires_grad=True)
    with pytest.raises(TypeError, match=r"interpolate: x = Tensor: .*use tensor.detach\(\)"):
        us.interpolate(x, scale_factor=2)
    assert us.interpolate(x.detach(), scale_factor=2).shape == (8, 8)
    half = x.bfloat16()
    with pytest.raises(TypeError, match=r"interpolate: x = Tensor: .*use tensor.detach\(\)"):
        us.interpolate(half, scale_factor=2)
    with pytest.raises(TypeError, match="interpolate: x = Tensor: "):
        us.interpolate(torch.ones(2, 2, device="meta"), scale_factor=2)


@pytest.mark.peer
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_jax(dtype):
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.arange(24).reshape(4, 6).astype(dtype)
    view = from_dlpack(x)
    assert view.ctypes.data == x.unsafe_buffer_pointer() and view.dtype == x.dtype
    got = us.max_pool2d(x, 2)
    assert got.dtype == x.dtype
    assert np.array_equal(got.astype(float), us.max_pool2d(np.asarray(x, float), 2))
    weight = jnp.ones((1, 1, 2, 2), dtype)
    assert us.conv2d(x[None], weight).dtype == x.dtype


def test_memory_outlives_its_lender():
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    view = from_dlpack(torch.arange(1000).bfloat16())
    torch.zeros(1000).bfloat16()
    assert view[256] == 256


@pytest.mark.peer
def test_what_numpy_has_no_dtype_for(monkeypatch):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="max_pool2d: x = Tensor: "):
        us.max_pool2d(torch.zeros(4, 4).to(torch.float8_e4m3fn), 2)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match="x = Tensor: .*bfloat16 needs the package ml_dtypes"):
        us.max_pool2d(torch.zeros(4, 4).bfloat16(), 2)
