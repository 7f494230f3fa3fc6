"""`upsample-rs resize` for arrays larger than memory: `.npy` files, TIFF stacks and Zarr.

The result is made block by block; of each block's input no more is read than the plan says it
needs. It grows under a passing name beside OUT, and takes OUT's name only once it is complete.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import upsample_rs as us
from upsample_rs._core import Part
from upsample_rs._parts import Reads
from upsample_rs.cli.compare import progress
from upsample_rs.cli.errors import CommandError, reason
from upsample_rs.cli.techniques import METHODS

if TYPE_CHECKING:
    import argparse

KINDS = {".npy": "NumPy", ".zarr": "Zarr", ".tif": "TIFF", ".tiff": "TIFF"}
ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
BLOCK_BYTES = 128 << 20  # of a block's input and result together
EXTRA_MISSING = "this needs {}: pip install 'upsample-rs[dask]'"


def is_volume(arguments: argparse.Namespace) -> bool:
    """Tell whether a call is about arrays and not about one picture."""
    source, target = Path(arguments.input), Path(arguments.output)
    if arguments.axes is not None or {source.suffix.lower(), target.suffix.lower()} & {
        ".npy",
        ".zarr",
    }:
        return True
    return any((source / file).is_file() for file in ZARR_FILES) or is_stack(source)


def is_stack(path: Path) -> bool:
    """Tell whether a file is a TIFF of several pages that `tifffile`, if there, takes as one."""
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return False
    try:
        tifffile = import_module("tifffile")
        with tifffile.TiffFile(path) as file:
            return len(file.pages) > 1 and len(file.series) == 1
    except Exception:  # noqa: BLE001 - whatever is wrong with it is said by whoever reads it
        return False


def needed(name: str) -> Any:
    """Import a package of the extra `[dask]`."""
    try:
        return import_module(name)
    except ImportError as error:
        raise CommandError(EXTRA_MISSING.format(name)) from error


def run(arguments: argparse.Namespace) -> None:
    """Resize `arguments.input` into `arguments.output`, block by block."""
    target = Path(os.path.realpath(arguments.output))
    kind = check_target(arguments.output, target)
    with ExitStack() as stack:
        source = opened(arguments.input, stack)
        options = options_of(arguments, source)
        try:
            if 0 in source.shape:
                raise CommandError(f"{arguments.input!r} has no elements: {source.shape}")
            shape = out_shape(source, options)
            reads = Reads(lambda x: us.resize(x, **options), source.shape, shape, source.dtype)
            blocks = blocks_of(source, shape, kind)
            with progress(prod(len(edges) - 1 for edges in blocks)) as step:
                made = made_blocks(source, options, reads, shape, blocks, step)
                write(kind, target, shape, source, blocks, made)
        except (ValueError, TypeError) as error:
            raise CommandError(reason(error)) from error
        except OSError as error:
            raise CommandError(f"cannot write {arguments.output!r}: {reason(error)}") from error


def check_target(name: str, target: Path) -> str:
    """Find out before any work is done whether OUT can be written; return its format."""
    kind = KINDS.get(target.suffix.lower())
    if kind is None:
        raise CommandError(f"cannot write {name!r}: the name must end in {', '.join(KINDS)}")
    if not target.parent.is_dir():
        raise CommandError(f"cannot write {name!r}: there is no directory {str(target.parent)!r}")
    if not os.access(target.parent, os.W_OK):
        raise CommandError(f"cannot write {name!r}: permission denied")
    if kind == "Zarr":
        needed("zarr")
        if target.exists() and not any((target / file).is_file() for file in ZARR_FILES):
            raise CommandError(f"cannot write {name!r}: it is there and no Zarr store")
    elif target.exists() and not target.is_file():
        raise CommandError(f"cannot write {name!r}: it is not a regular file")
    if kind == "TIFF":
        needed("tifffile")
    return kind


def opened(name: str, stack: ExitStack) -> Any:
    """Open IN as something with a shape, a dtype, and boxes that are read when asked for."""
    path = Path(name)
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix.lower() in (".tif", ".tiff"):
            file = stack.enter_context(needed("tifffile").TiffFile(path))
            if len(file.series) > 1:
                raise CommandError(f"cannot read {name!r}: its pages have several shapes")
            return needed("zarr").open_array(file.series[0].aszarr(), mode="r")
        if path.is_dir() or path.suffix.lower() == ".zarr":
            found = needed("zarr").open(str(path), mode="r")
            if not hasattr(found, "dtype"):
                raise CommandError(f"cannot read {name!r}: it is a group; name one of its arrays")
            return found
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"cannot read {name!r}: {reason(error)}") from error
    except CommandError:
        raise
    except Exception as error:  # libraries' own
        raise CommandError(f"cannot read {name!r}: {reason(error)}") from error
    raise CommandError(f"cannot read {name!r}: the name must end in {', '.join(KINDS)}")


def options_of(arguments: argparse.Namespace, source: Any) -> dict[str, Any]:
    """Return the arguments of `upsample_rs.resize`."""
    ndim = len(source.shape)
    if arguments.axes is not None:
        axes = tuple(arguments.axes)
    else:
        # Colour, if a TIFF has it, lies behind height and width.
        colour = ndim == 4 and source.shape[-1] in (3, 4) and source.dtype == np.uint8
        axes = (ndim - 3, ndim - 2) if colour else tuple(range(max(ndim - 2, 0), ndim))
    strange = [axis for axis in axes if not -ndim <= axis < ndim]
    if strange:
        raise CommandError(f"--axes {strange[0]}: the array has {ndim} axes, {source.shape}")
    options: dict[str, Any] = {"axes": axes, "method": METHODS[arguments.mode]}
    options["antialias"] = arguments.antialias
    if arguments.mode == "nearest":
        options |= {"coordinates": "asymmetric", "nearest_rounding": "floor"}
    if arguments.size is None:
        options["scale"] = (arguments.scale,) * len(axes)
    elif len(arguments.size) == len(axes):
        options["size"] = arguments.size
    else:
        size = "x".join(map(str, arguments.size))
        raise CommandError(f"--size {size}: must have one length for each of axes {axes}")
    return options


def out_shape(source: Any, options: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of the result; the operation checks everything on an array of nothing."""
    ndim = len(source.shape)
    axes = tuple(axis - ndim if axis >= 0 else axis for axis in options["axes"])
    nothing = np.empty((0, *source.shape), source.dtype)
    return us.resize(nothing, **options | {"axes": axes}).shape[1:]


def chunks_of(source: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunks of a Zarr result: those of a Zarr input, else some megabytes."""
    chunks = getattr(source, "chunks", None)
    if chunks is not None and prod(chunks) * source.dtype.itemsize >= 1 << 16:
        return tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
    made = list(shape)
    while prod(made) * source.dtype.itemsize > BLOCK_BYTES // 8:
        axis = made.index(max(made))
        made[axis] = -(-made[axis] // 2)
    return tuple(made)


def blocks_of(source: Any, shape: tuple[int, ...], kind: str) -> list[list[int]]:
    """Cut the result into blocks, along its first axes first; of Zarr into whole chunks."""
    units = chunks_of(source, shape) if kind == "Zarr" else (1,) * len(shape)
    sides, itemsize = list(shape), source.dtype.itemsize
    grown = prod(shape) / max(prod(source.shape), 1)

    def size() -> float:
        return float(prod(sides) * itemsize * (1 + 1 / max(grown, 1e-9)))

    axis = 0
    while size() > BLOCK_BYTES and axis < len(sides):
        if sides[axis] <= units[axis] or kind == "TIFF" and axis > 0:
            axis += 1
            continue
        half = -(-sides[axis] // 2)
        sides[axis] = min(-(-half // units[axis]) * units[axis], sides[axis] - 1)
        sides[axis] = max(sides[axis] // units[axis] * units[axis], units[axis])
    return [[*range(0, n, side), n] for n, side in zip(shape, sides, strict=True)]


def made_blocks(
    source: Any,
    options: dict[str, Any],
    reads: Reads,
    shape: tuple[int, ...],
    blocks: list[list[int]],
    step: Callable[[str], None],
) -> Iterator[tuple[tuple[slice, ...], Any]]:
    """Make the result, block by block, in the order of its elements."""
    places = product(*(pairwise(edges) for edges in blocks))
    for i, outs in enumerate(places):
        step(f"block {i + 1}")
        wanted = [reads(axis, a, b) for axis, (a, b) in enumerate(outs)]
        box = tuple(slice(a, b) for a, b in wanted)
        x = np.ascontiguousarray(source[box])
        part: Any = Part(x, source.shape, outs)
        yield tuple(slice(a, b) for a, b in outs), us.resize(part, **options)


@contextmanager
def passing(target: Path) -> Iterator[Path]:
    """Give a name beside `target`; what is there at the end replaces it, or goes."""
    name = f".upsample-rs-{secrets.token_hex(8)}.tmp{target.suffix}"
    path = target.with_name(name)
    try:
        yield path
        if target.is_dir():
            old = target.with_name(name + ".old")
            target.rename(old)
            path.rename(target)
            shutil.rmtree(old)
        else:
            if target.exists():
                shutil.copymode(target, path)
            path.replace(target)
    except BaseException:  # Ctrl-C too
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        raise


def write(
    kind: str,
    target: Path,
    shape: tuple[int, ...],
    source: Any,
    blocks: list[list[int]],
    made: Iterator[tuple[tuple[slice, ...], Any]],
) -> None:
    """Write the blocks, and give the result its name once all are there."""
    dtype = source.dtype.newbyteorder("=")
    with passing(target) as path:
        if kind == "TIFF":
            write_stack(path, shape, dtype, made)
            return
        if kind == "Zarr":
            chunks = chunks_of(source, shape)
            array = needed("zarr").create_array(
                store=str(path), shape=shape, dtype=dtype, chunks=chunks
            )
        else:
            array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        for place, values in made:
            array[place] = values
        if kind == "NumPy":
            array.flush()
            del array


def write_stack(
    path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    made: Iterator[tuple[tuple[slice, ...], Any]],
) -> None:
    """Write the pages of a TIFF, in their order."""
    if len(shape) < 2:
        raise CommandError(f"cannot write {str(path)!r}: a TIFF has two axes at least, not 1")
    colour = len(shape) > 2 and shape[-1] in (3, 4) and dtype == np.uint8
    page = shape[-3:] if colour else shape[-2:]

    def pages() -> Iterator[Any]:
        for _, values in made:
            yield from values.reshape(-1, *page)

    large = prod(shape) * dtype.itemsize > 3 << 30
    with needed("tifffile").TiffWriter(path, bigtiff=large) as file:
        file.write(
            pages(),
            shape=shape,
            dtype=dtype,
            photometric="rgb" if colour else "minisblack",
            metadata={"axes": "QZCYX"[-len(shape) :]} if not colour and len(shape) <= 5 else None,
        )
