"""How arguments cross into ``torch.library``, whose operators know fewer types than Python.

The annotation of a parameter says it all. Padding becomes two arguments, pairs in a row and the
name of a rule; pairs of numbers are put in a row too. :func:`flatten` takes the arguments that
:meth:`~upsample_rs.bridges.table.Op.pin` made, and :func:`restore` gives them back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..bridges.table import PADDING

__all__ = ["flatten", "restore", "schema"]

_PAIRS = "Sequence[tuple[float, float]] | None"
_TYPES = {
    "ArrayLike": "Tensor",
    "ArrayLike | None": "Tensor?",
    "Boxes": "Tensor",
    "IntOrTuple": "SymInt[]",
    "IntOrTuple | None": "SymInt[]?",
    "AdaptiveSize": "SymInt[]",
    "Sequence[int]": "SymInt[]",
    "tuple[int, ...]": "SymInt[]",
    "FloatOrTuple | None": "float[]?",
    "ResizeMethod | Sequence[ResizeMethod]": "str[]",
    "Coordinates | Sequence[Coordinates]": "str[]",
    _PAIRS: "float[]?",
    "OutputMask": "bool[]",
    "bool": "bool",
    "bool | None": "bool?",
    "int": "int",
    "int | None": "int?",
    "float": "float",
    "float | None": "float?",
    "complex": "Scalar",
}


def schema(kinds: dict[str, str], result: str) -> str:
    """Return the signature of an operator; kinds that are not in the table are words."""
    arguments = []
    for name, kind in kinds.items():
        if kind in PADDING:
            arguments += [f"SymInt[] {name}", f"str {name}_rule"]
        else:
            arguments.append(f"{_TYPES.get(kind, 'str')} {name}")
    return f"({', '.join(arguments)}) -> {result}"


def flatten(kinds: dict[str, str], given: dict[str, Any]) -> list[Any]:
    """Return the arguments in the order and form of the schema."""
    flat: list[Any] = []
    for name, kind in kinds.items():
        value = given[name]
        if kind in PADDING:
            named = isinstance(value, str)
            flat += [[] if named else [side for pair in value for side in pair]]
            flat += [value if named else ""]
        elif kind == _PAIRS and value is not None:
            flat.append([end for pair in value for end in pair])
        elif isinstance(value, tuple):
            flat.append(list(value))
        else:
            flat.append(value)
    return flat


def _pairs(row: Any) -> tuple[Any, ...]:
    return tuple(zip(row[::2], row[1::2], strict=True))


def restore(kinds: dict[str, str], flat: Iterable[Any]) -> dict[str, Any]:
    """Return the arguments by name, as they were before :func:`flatten`."""
    values, given = iter(flat), {}
    for name, kind in kinds.items():
        value = next(values)
        if kind in PADDING:
            given[name] = next(values) or _pairs(value)
        elif kind == _PAIRS and value is not None:
            given[name] = _pairs(value)
        else:
            given[name] = tuple(value) if isinstance(value, (list, tuple)) else value
    return given
