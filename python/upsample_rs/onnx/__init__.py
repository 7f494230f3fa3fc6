"""ONNX models evaluated with these operations; needs the package ``onnx``.

:func:`evaluator` is ``onnx.reference.ReferenceEvaluator`` with :data:`ops` in place of its own
resizing, pooling, convolution, sampling and shuffling, in every version the standard has had.

Examples
--------
>>> import numpy as np
>>> import onnx.parser
>>> import upsample_rs.onnx
>>> model = onnx.parser.parse_model('''
...     <ir_version: 10, opset_import: ["": 22]>
...     halves (float[1, 1, 4, 4] x) => (float[1, 1, 2, 2] y) {
...         y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
...     }''')
>>> session = upsample_rs.onnx.evaluator(model)
>>> session.run(None, {"x": np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)})
[array([[[[ 5.,  7.],
         [13., 15.]]]], dtype=float32)]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnx.reference import ReferenceEvaluator

from .convolution import Conv, ConvTranspose
from .moving import Col2Im, DepthToSpace, SpaceToDepth
from .pooling import (
    AveragePool,
    GlobalAveragePool,
    GlobalLpPool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    MaxUnpool,
)
from .resizing import Resize, Upsample
from .sampling import AffineGrid, GridSample, MaxRoiPool, RoiAlign

__all__ = ["evaluator", "ops"]

ops: list[type[Any]] = [
    AffineGrid,
    AveragePool,
    Col2Im,
    Conv,
    ConvTranspose,
    DepthToSpace,
    GlobalAveragePool,
    GlobalLpPool,
    GlobalMaxPool,
    GridSample,
    LpPool,
    MaxPool,
    MaxRoiPool,
    MaxUnpool,
    Resize,
    RoiAlign,
    SpaceToDepth,
    Upsample,
]
"""Classes for the `new_ops` of ``onnx.reference.ReferenceEvaluator``."""


class _Evaluator(ReferenceEvaluator):
    """One that evaluates functions and subgraphs of a model as it does the model."""

    def __init__(self, proto: Any, *args: Any, new_ops: Any = None, **options: Any) -> None:
        super().__init__(proto, *args, new_ops=[*(new_ops or ()), *ops], **options)


def evaluator(
    model: Any, *, new_ops: Iterable[type[Any]] | None = None, **options: Any
) -> ReferenceEvaluator:
    """Return an evaluator of a model in which our operations do what they can.

    Parameters
    ----------
    model : ModelProto, str, bytes or another proto
        As ``onnx.reference.ReferenceEvaluator`` takes it: a model, the name of a file, or its
        contents.
    new_ops : iterable of classes, optional
        More operators, which come before ours.
    **options
        ``verbose`` and whatever else ``ReferenceEvaluator`` takes.

    Returns
    -------
    ReferenceEvaluator
        Its ``run(output_names, feeds)`` returns a list of arrays.

    Raises
    ------
    ValueError
        A node has an attribute that its version of the operator has not, or the operator is not in
        the model's opset any more.

    Notes
    -----
    Operators that are not in :data:`ops` are those of ``onnx`` itself, also in functions and
    subgraphs. While a model runs, what an operation refuses is a ``ValueError`` that names it; a
    refused dtype comes as the cause of the ``TypeError`` that ``onnx`` makes of it.
    """
    return _Evaluator(model, new_ops=list(new_ops or ()), **options)
