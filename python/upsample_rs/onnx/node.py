"""One node of a graph: its version of the standard, its attributes, its number of spatial axes.

The standard changes an operator by giving it a new version, and a model says which it means. A node
asks the schema of that version for defaults, so a class here computes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx.defs
from onnx.reference.op_run import OpRun

import upsample_rs as us

__all__ = ["SAME", "Node", "by_places", "pairs"]

SAME = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
_AUTO_PADS = ("NOTSET", "VALID", *SAME)


def pairs(flat: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return a pair for each axis; ONNX lists what is before every axis, then what is after."""
    n = len(flat) // 2
    return tuple(zip(flat[:n], flat[n:], strict=True))


def by_places(x: Any, move: Callable[[Any], Any]) -> Any:
    """Move the elements of `x`; strings by moving the places they are at."""
    if x.dtype.kind not in "OSUT":
        return move(x)
    return x.ravel()[move(np.arange(x.size).reshape(x.shape))]


class Node(OpRun):
    """An operator of ONNX, every version of it."""

    op_domain = ""

    def __init__(self, onnx_node: Any, run_params: dict[str, Any], schema: Any = None) -> None:
        opset = run_params["opsets"][self.op_domain]
        schema = onnx.defs.get_schema(type(self).__name__, opset, self.op_domain)
        if schema.deprecated:
            raise ValueError(f"{schema.name}: opset {opset} has no such operator any more")
        for attribute in onnx_node.attribute:
            if attribute.name not in schema.attributes:
                raise ValueError(
                    f"{schema.name}: attribute {attribute.name!r} is not one of version "
                    f"{schema.since_version}, which opset {opset} has"
                )
        self.version = schema.since_version
        super().__init__(onnx_node, run_params, schema)

    def complaint(self, text: str) -> ValueError:
        """Return an error that names the operator and the node."""
        name = self.onnx_node.name
        return ValueError(f"{self.op_type}{f' {name!r}' if name else ''}: {text}")

    def spatial(self, x: Any) -> int:
        """Return the number of spatial axes of ``(N, C, *S)``."""
        if x.ndim < 3:
            raise self.complaint(f"X.ndim = {x.ndim}: must be at least 3")
        return x.ndim - 2  # type: ignore[no-any-return]

    def of_rank(self, family: str, n: int) -> Callable[..., Any]:
        """Return the operation of this family for `n` spatial axes."""
        if not 1 <= n <= 3:
            raise self.complaint(f"X has {n} spatial axes: upsample_rs has 1 to 3")
        return getattr(us, f"{family}{n}d")  # type: ignore[no-any-return]

    def entries(self, name: str, values: Sequence[int] | None, n: int, default: int) -> list[int]:
        """Return an attribute that has `n` entries, or the default for each."""
        if values is None:
            return [default] * n
        if len(values) != n:
            raise self.complaint(f"{name} has {len(values)} entries: must be {n}")
        return list(values)

    def padding(self, attributes: dict[str, Any], n: int) -> Any:
        """Return the padding in the words of the operations: a name, or a pair for each axis."""
        rule = attributes.get("auto_pad") or "NOTSET"
        if rule not in _AUTO_PADS:
            raise self.complaint(f"auto_pad = {rule!r}: must be one of {', '.join(_AUTO_PADS)}")
        if rule != "NOTSET":
            return SAME.get(rule, "valid")
        return pairs(self.entries("pads", attributes.get("pads"), 2 * n, 0))
