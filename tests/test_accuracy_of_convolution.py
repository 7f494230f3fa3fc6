"""float32 errors against sums in float64, ours and PyTorch's, on small shapes of the course.

Run with -s to see them. Both add thousands of rounded products, in other orders; whose largest
error is larger on a shape is chance, so what is held is the median over all outputs within a
factor, and ours against the bound of docs/numerics.md.
"""

import numpy as np
import pytest

import upsample_rs as us

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

# Operation, shapes of x and weight, stride, padding, groups.
SHAPES = [
    ("conv_transpose2d", (1, 512, 8, 8), (512, 32, 4, 4), 2, 1, 1),
    ("conv_transpose2d", (2, 128, 16, 16), (128, 64, 4, 4), 2, 1, 1),
    ("conv_transpose2d", (1, 128, 32, 32), (128, 64, 2, 2), 2, 0, 1),
    ("conv_transpose2d", (1, 21, 24, 24), (21, 21, 16, 16), 8, 4, 1),
    ("conv_transpose2d", (1, 56, 45, 80), (56, 1, 9, 9), 3, 3, 1),
    ("conv_transpose2d", (1, 64, 32, 32), (64, 1, 4, 4), 2, 1, 64),
    ("conv_transpose1d", (1, 512, 64), (512, 64, 16), 8, 4, 1),
    ("conv_transpose1d", (1, 64, 1024), (64, 32, 4), 2, 1, 1),
    ("conv_transpose3d", (1, 32, 8, 8, 16), (32, 16, 4, 4, 4), 2, 1, 1),
    ("conv2d", (1, 64, 28, 28), (64, 64, 3, 3), 1, 1, 1),
    ("conv2d", (1, 64, 28, 28), (128, 64, 3, 3), 2, 1, 1),
    ("conv2d", (1, 3, 112, 112), (64, 3, 7, 7), 2, 3, 1),
    ("conv2d", (1, 96, 28, 28), (96, 1, 3, 3), 1, 1, 96),
]
SLACK = 2.0  # of torch's median error


def torch_call(op, x, weight, stride, padding, groups):
    """The same call of PyTorch."""
    options = {"stride": stride, "padding": padding, "groups": groups}
    arrays = (torch.from_numpy(np.ascontiguousarray(a)) for a in (x, weight))
    return getattr(torch.nn.functional, op)(*arrays, None, **options).numpy()


def report(name, errors):
    """One line: median and largest of each, in units of float32 of the largest output."""
    shown = [f"{who} {np.median(e):.3g} {e.max():.3g}" for who, e in errors.items()]
    print(f"{name}: median and largest error: {', '.join(shown)}")


@pytest.mark.parametrize("op, shape, kernel, stride, padding, groups", SHAPES)
def test_forward(op, shape, kernel, stride, padding, groups):
    rng = np.random.default_rng(3)
    x, weight = (rng.standard_normal(s, dtype=np.float32) for s in (shape, kernel))
    rest = (stride, padding, groups)
    exact = torch_call(op, x.astype("f8"), weight.astype("f8"), *rest)
    options = {"stride": stride, "padding": padding, "groups": groups}
    results = {"ours": getattr(us, op)(x, weight, **options)}
    results["torch"] = torch_call(op, x, weight, *rest)
    unit = abs(exact).max() * np.finfo("f4").eps
    errors = {who: abs(y - exact) / unit for who, y in results.items()}
    report(f"{op} {shape} {kernel}", errors)
    assert np.median(errors["ours"]) <= SLACK * np.median(errors["torch"])
    magnitude = torch_call(op, abs(x).astype("f8"), abs(weight).astype("f8"), *rest)
    per_group = kernel[1] if op.startswith("conv2d") else shape[1] // groups
    terms = per_group * np.prod(kernel[2:]) + 3
    assert np.all(abs(results["ours"] - exact) <= terms * np.finfo("f4").eps * magnitude)


@pytest.mark.parametrize("op, shape, kernel, stride, padding, groups", SHAPES)
def test_backward(op, shape, kernel, stride, padding, groups):
    rng = np.random.default_rng(4)
    x, weight = (rng.standard_normal(s, dtype=np.float32) for s in (shape, kernel))

    def torch_gradients(grad, x, weight):
        x, weight = (torch.from_numpy(a).requires_grad_() for a in (x, weight))
        options = {"stride": stride, "padding": padding, "groups": groups}
        y = getattr(torch.nn.functional, op)(x, weight, None, **options)
        return [g.numpy() for g in torch.autograd.grad(y, (x, weight), torch.from_numpy(grad))]

    grad_shape = torch_call(op, x, weight, stride, padding, groups).shape
    grad = rng.standard_normal(grad_shape, dtype=np.float32)
    exact = torch_gradients(*(a.astype("f8") for a in (grad, x, weight)))
    theirs = torch_gradients(grad, x, weight)
    options = {"stride": stride, "padding": padding, "groups": groups}
    ours = getattr(us, f"{op}_backward")(grad, x, weight, **options)
    for by, want, one, other in zip(("x", "weight"), exact, ours[:2], theirs, strict=True):
        unit = abs(want).max() * np.finfo("f4").eps
        errors = {"ours": abs(one - want) / unit, "torch": abs(other - want) / unit}
        report(f"{op} {shape} {kernel} by {by}", errors)
        assert errors["ours"].max() <= 8 + 8 * errors["torch"].max()
