"""Runs entries of the abuse corpus, each in a process of its own.

`python run_one.py ID ...` runs those entries; `python run_one.py` without arguments reads IDs from
standard input. Either way one line of JSON per entry says what came of it: `outcome` is "pass",
"fail" or "skip" (the operation is not in the package), `detail` says why.

The package is imported, and its thread pool used, once; each entry then runs in a forked child with
a cap on memory and on time, so that a crash or a hang is the failure of that entry alone.
"""

import json
import os
import re
import select
import signal
import sys
from pathlib import Path

import numpy as np

import upsample_rs as us

sys.path.insert(0, str(Path(__file__).parent))
from corpus import CORPUS  # noqa: E402 - beside this file, wherever that is

MEMORY = 6 << 30
SECONDS = 20
ENTRIES = {entry["id"]: entry for entry in CORPUS}


# --- from data to a call --------------------------------------------------------------------------


def is_array(spec):
    """`(shape, dtype, fill)` or `(shape, dtype, fill, layout)`."""
    return (
        isinstance(spec, tuple)
        and len(spec) in (3, 4)
        and isinstance(spec[0], tuple)
        and isinstance(spec[1], str)
    )


def materialise(spec):
    """The array a spec describes; anything else as it is."""
    if not is_array(spec):
        return spec
    shape, dtype, fill, layout = (*spec, "C")[:4]
    if layout == "broadcast":
        return np.broadcast_to(np.array(fill, dtype), shape)
    count = int(np.prod(shape))
    if isinstance(fill, list):  # ["values", [...]] or ["tile", [...]]
        array = np.resize(np.array(fill[1], dtype), count)
    elif fill == "arange":
        array = np.arange(count).astype(dtype)
    elif fill == "randn":
        array = np.random.default_rng(0).standard_normal(count).astype(dtype)
    else:
        array = np.full(count, 0 if fill == "zeros" else fill).astype(dtype)
    return lay_out(array.reshape(shape), layout)


def lay_out(array, layout):
    """The same values in the named memory layout."""
    if layout == "step2":
        wider = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wider[..., ::2] = array
        return wider[..., ::2]
    if layout == "transposed":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "bigendian":
        return array.astype(array.dtype.newbyteorder(">"))
    assert layout == "C", layout
    return array


def arguments(entry):
    """The entry's arguments with arrays in place of their specs, aliases last."""
    args = [materialise(a) for a in entry["args"]]
    kwargs = {k: materialise(v) for k, v in entry["kwargs"].items()}
    for key, spec in kwargs.items():
        if isinstance(spec, tuple) and spec and spec[0] == "alias":
            _, which, offset, shape = spec
            array = args[which]
            size = offset + int(np.prod(shape))
            buffer = np.zeros(max(size, array.size), array.dtype)
            args[which] = buffer[: array.size].reshape(array.shape)
            args[which][...] = array
            kwargs[key] = buffer[offset:size].reshape(shape)
    return args, kwargs


INTERPOLATION = ("bilinear", "nearest", "bicubic")
PADDING = ("zeros", "border", "reflection")


def translate(op, args, kwargs):
    """(name, args, kwargs) of every call of ours that an entry stands for; usually one.

    Names and parameters of torch.nn.functional are ours too; what follows are aten names and the
    few that differ. An aten resize takes a size and scales: ours takes either, so it must refuse
    both together, and the scales alone.
    """
    if op == "bed_of_nails":
        kwargs["factor"] = kwargs.pop("stride")
    elif op.startswith("fractional") and "_random_samples" in kwargs:
        kwargs["random_samples"] = kwargs.pop("_random_samples")
    elif resize := re.fullmatch(r"_?upsample_(\w+?)\dd(_aa)?(_backward)?", op):
        mode = resize[1].replace("_", "-")
        return translate_resize(mode, bool(resize[2]), bool(resize[3]), args, kwargs)
    elif op == "convolution_backward":
        transpose = "_transpose" if kwargs.pop("transposed") else ""
        name = f"conv{transpose}{len(kwargs['stride'])}d_backward"
        kwargs.pop("bias_sizes")
        if not transpose:
            kwargs.pop("output_padding")
        return [(name, args, kwargs)]
    elif op.startswith("grid_sampler"):
        modes = {"mode": INTERPOLATION[kwargs["interpolation_mode"]]}
        modes["padding_mode"] = PADDING[kwargs["padding_mode"]]
        modes["align_corners"] = kwargs["align_corners"]
        return [("grid_sample_backward", args, modes)]
    elif op.endswith("_backward") and not op.startswith(
        "lp_pool"
    ):  # pooling: ours takes the input's shape, not the input
        grad, x = args
        name = op.removeprefix("_").replace("_with_indices", "")
        if "indices" in kwargs:
            return [(name, [grad, kwargs["indices"], x.shape], {})]
        return [(name, [grad, x.shape], kwargs)]
    return [(op, args, kwargs)]


def translate_resize(mode, antialias, backward, args, kwargs):
    """The explicit-scale resizes of aten."""
    scale = (kwargs["scales_h"], kwargs["scales_w"])
    options = {"mode": mode, "scale_factor": scale}
    if "align_corners" in kwargs:
        options |= {"align_corners": kwargs["align_corners"], "antialias": antialias}
    if backward:
        return [("interpolate_backward", [args[0], kwargs["input_size"]], options)]
    both = {**options, "size": tuple(kwargs["output_size"])}
    return [("interpolate", args, options), ("interpolate", args, both)]


# --- judging a call -------------------------------------------------------------------------------


def snapshot(values):
    """What must not change: the bytes of every array, of huge (repeating) ones a sample."""
    arrays = [v for v in values if isinstance(v, np.ndarray)]
    return [a.tobytes() if a.nbytes < 1 << 26 else a.flat[:: a.size // 7].tobytes() for a in arrays]


def judge(entry):
    """None if the package does what the entry says it must, else what it did instead."""
    calls = translate(entry["op"], *arguments(entry))
    for name, args, kwargs in calls:
        if not hasattr(us, name):
            raise NotImplementedError(name)
        fault = judge_call(entry, getattr(us, name), args, kwargs)
        if fault:
            return fault
    return None


def judge_call(entry, function, args, kwargs):
    before = snapshot([*args, *kwargs.values()])
    try:
        result = function(*args, **kwargs)
    except BaseException as error:  # a PanicException is no Exception
        fault = judge_error(entry, error)
    else:
        fault = judge_result(entry, result, args)
    if snapshot([*args, *kwargs.values()]) != before:
        return "an argument was changed"
    return fault


def judge_error(entry, error):
    kinds = {kind.__name__ for kind in type(error).__mro__}
    line = f"{type(error).__name__}: {error}"
    if entry["expect"] != "error":
        return f"refused: {line}"
    if not kinds & set(entry["error"].split("|")):
        return f"{line}; expected {entry['error']}"
    if not str(error) or "\n" in str(error):
        return f"not one line: {line!r}"
    return None


def judge_result(entry, result, args):
    first = result[0] if isinstance(result, tuple) else result
    if entry["expect"] == "error":
        return f"accepted, result {np.shape(first)}; expected {entry['error']}"
    shape, values = entry.get("expect_shape"), entry.get("expect_value")
    if shape is not None and first.shape != shape:
        return f"shape {first.shape}; expected {shape}"
    if values is not None:
        got, want = first.ravel().astype(np.float64), np.array(values, np.float64)
        near = np.isclose(got, want, rtol=1e-6, atol=0, equal_nan=True)
        if not np.all(near & ((got != 0) | (np.signbit(got) == np.signbit(want)))):
            return f"values {got[:8]}; expected {want[:8]}"
    if entry["kwargs"].get("return_indices"):
        n = int(re.search(r"(\d)d", entry["op"])[1])
        return judge_indices(result[0], result[1], args[0], n)
    return None


def judge_indices(values, indices, x, n):
    """Every index lies in its block and names an element equal to the value."""
    flat = x.reshape(*x.shape[:-n], -1)
    at = indices.reshape(*x.shape[:-n], -1)
    if at.min() < 0 or at.max() >= flat.shape[-1]:
        return f"indices {at.min()}..{at.max()} of a block of {flat.shape[-1]}"
    named = np.take_along_axis(flat, at, -1).reshape(values.shape)
    return None if np.array_equal(named, values, equal_nan=True) else f"indices name {named}"


# --- processes ------------------------------------------------------------------------------------


def run_in_child(entry):
    """The report on one entry, from a forked child that may crash or hang."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.write(writer, json.dumps(report(entry)).encode())
        os._exit(0)
    os.close(writer)
    finished, _, _ = select.select([reader], [], [], SECONDS)
    if not finished:
        os.kill(child, signal.SIGKILL)
    text = os.read(reader, 1 << 16) if finished else b""
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if not finished:
        return {"outcome": "fail", "detail": f"no answer in {SECONDS} seconds"}
    if not text:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
        return {"outcome": "fail", "detail": f"died: {how}"}
    return json.loads(text)


def report(entry):
    """What came of the entry, in this process, with memory capped."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        fault = judge(entry)
    except NotImplementedError as missing:
        return {"outcome": "skip", "detail": f"no {missing} in this package yet"}
    except BaseException as error:
        return {"outcome": "fail", "detail": f"the runner itself: {error!r}"}
    return {"outcome": "fail" if fault else "pass", "detail": fault or ""}


def main():
    us.interpolate(np.zeros((16, 128, 128)), scale_factor=2)  # starts the pool, as programs do
    for line in sys.argv[1:] or iter(sys.stdin.readline, ""):
        name = line.strip()
        print(json.dumps({"id": name, **run_in_child(ENTRIES[name])}), flush=True)


if __name__ == "__main__":
    main()
