"""The tests of the ONNX standard, run by its own evaluator with our operations.

Inputs and outputs are made by the onnx package itself, or lie in it as files. Every operator that
``upsample_rs.onnx`` offers is complete, and a test counts the cases.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest

import upsample_rs as us

pytestmark = pytest.mark.peer
onnx = pytest.importorskip("onnx")
import upsample_rs.onnx  # noqa: E402 - only where there is onnx

# At least so many node tests each operator has; what has none is in test_onnx.py.
NODES = {"Resize": 39, "Upsample": 1, "GridSample": 18, "AffineGrid": 4, "RoiAlign": 3}
NODES |= {"Conv": 6, "ConvTranspose": 11, "Col2Im": 5, "DepthToSpace": 2, "SpaceToDepth": 2}
NODES |= {"MaxPool": 19, "AveragePool": 20, "LpPool": 8, "MaxUnpool": 2}
NODES |= {"GlobalAveragePool": 2, "GlobalMaxPool": 2}

# How many models that PyTorch exported lie in the package, by a part of their name.
RECORDED = {"Conv1d": 8, "Conv2d": 11, "Conv3d": 7, "ConvTranspose2d": 2, "PixelShuffle": 1}
RECORDED |= {"operator_conv": 2, "AvgPool": 7, "MaxPool": 8, "operator_maxpool": 1}

# Outputs that are written out to four digits, some wrongly rounded; the others agree to float32.
SHORT = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-4,
    "test_gridsample_bicubic": 6e-5,
}
SHORT |= {"test_roialign_aligned_false": 1e-4, "test_roialign_aligned_true": 1e-4}

# Nothing is computed here, so nothing may differ.
EXACT = {"MaxPool", "GlobalMaxPool", "MaxUnpool", "DepthToSpace", "SpaceToDepth", "Upsample"}


@pytest.fixture(scope="module")
def node_tests():
    """Every node test of the standard that is one node, by operator."""
    from onnx.backend.test.case import node

    cases = {operator: [] for operator in NODES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in node.collect_testcases(None):
            operators = [node.op_type for node in case.model.graph.node]
            if len(operators) == 1 and operators[0] in NODES:
                cases[operators[0]].append(case)
    return cases


@pytest.mark.parametrize("operator", NODES)
def test_node(node_tests, operator):
    """Every node test of the operator; that none is missing."""
    assert len(node_tests[operator]) >= NODES[operator]
    for case in node_tests[operator]:
        names = [value.name for value in case.model.graph.input]
        session = us.onnx.evaluator(case.model)
        assert type(session.rt_nodes_[0]) in us.onnx.ops
        for inputs, outputs in case.data_sets:
            found = session.run(None, dict(zip(names, inputs, strict=True)))
            for got, want in zip(found, outputs, strict=True):
                assert got.dtype == want.dtype and got.shape == want.shape, case.name
                if operator in EXACT:
                    assert np.array_equal(got, want), case.name
                near = SHORT.get(case.name, 1e-6)
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=near, err_msg=case.name)


def recorded():
    """Directories of models that PyTorch exported: model, inputs and outputs."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    words = [word.lower() for word in RECORDED]
    found = sorted(data.glob("pytorch-*/test_*"))
    return [path for path in found if any(word in path.name.lower() for word in words)]


def array(path):
    return onnx.numpy_helper.to_array(onnx.load_tensor(path))


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.name)
def test_recorded(path):
    """Whole models, of old versions of the standard."""
    session = us.onnx.evaluator(onnx.load(path / "model.onnx"))
    given = [name for name in session.input_names if name not in session.rt_inits_]
    feeds = {name: array(path / f"test_data_set_0/input_{i}.pb") for i, name in enumerate(given)}
    (got,) = session.run(None, feeds)
    want = array(path / "test_data_set_0" / "output_0.pb")
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_no_recorded_model_is_missing():
    names = [path.name for path in recorded()]
    assert {word: sum(word in name for name in names) for word in RECORDED} == RECORDED
