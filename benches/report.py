"""Tables from the figures of `compare.py`: for the terminal, docs/benchmarks.md and the README."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
Result = dict[str, Any]


def milliseconds(ms: float) -> str:
    return f"{ms * 1e3:.2f} us" if ms < 0.1 else f"{ms:.3g} ms"


def best_peer(row: Result) -> tuple[str, float]:
    aside = ["ours", *row["shown"]]
    times = {name: t["ms"] for name, t in row["times"].items() if name not in aside}
    name = min(times, key=lambda peer: times[peer])
    return name, times[name]


def ratio(row: Result) -> float:
    return float(best_peer(row)[1] / row["times"]["ours"]["ms"])


def verdict(row: Result) -> str:
    if row["bar"] is None:
        return "-"
    return "ok" if ratio(row) >= row["bar"] else "short"


def rates(row: Result) -> str:
    """Our GB/s and GFLOP/s, and how near the least possible time is."""
    ms = row["times"]["ours"]["ms"]
    parts = [f"{row['bytes'] / ms / 1e6:.1f} GB/s"]
    if row["flop"]:
        parts.append(f"{row['flop'] / ms / 1e6:.1f} GFLOP/s")
    if row["limit_ms"]:
        parts.append(f"{100 * row['limit_ms'] / ms:.0f} % of {row['limit']}")
    else:
        parts.append(row["limit"])
    return ", ".join(parts)


def line(row: Result) -> str:
    """Return one row as a line for the terminal."""
    if row["state"] == "checked":
        return f"{row['name']:52} agree: {', '.join(row['agree'])}  {row['note']}"
    if row["state"] != "done":
        return f"{row['name']:52} {row['state']}: {row['note']}"
    peers = ", ".join(
        f"{name} {milliseconds(t['ms'])}" + " by plane" * (name in row["shown"])
        for name, t in row["times"].items()
        if name != "ours"
    )
    bar = "" if row["bar"] is None else f"/ {row['bar']:g} {verdict(row)}"
    ours = milliseconds(row["times"]["ours"]["ms"])
    tail = f" [{row['note']}]" if row["note"] else ""
    return f"{row['name']:52} {ours:>9} x{ratio(row):.2f} {bar:11} {rates(row)} | {peers}{tail}"


def done(run: Result, course: bool = True) -> list[Result]:
    return [row for row in run["rows"] if row["state"] == "done" and row["course"] is course]


def mean(rows: list[Result]) -> str:
    if not rows:
        return "no row was timed"
    value = math.exp(sum(math.log(ratio(row)) for row in rows) / len(rows))
    return f"geometric mean of best peer / ours over {len(rows)} rows: {value:.2f}"


def text(run: Result) -> str:
    """Return the closing lines of a run for the terminal."""
    rows = done(run)
    threads = f"{run['threads']} thread{'s' * (run['threads'] > 1)}"
    if run["checked_only"]:
        return f"{threads}: {len(run['rows'])} rows compared, nothing timed"
    lines = [f"{threads}: {mean(rows)}"]
    short_of = [row for row in rows if verdict(row) == "short"]
    lines += [f"  short: {row['name']} x{ratio(row):.2f}, bar {row['bar']:g}" for row in short_of]
    absent = [row["name"] for row in run["rows"] if row["state"] == "absent"]
    if absent:
        lines.append(f"  not in this release: {len(absent)} rows")
    lines += [
        f"  {row['state'].upper()}: {row['name']}: {row['note']}"
        for row in run["rows"]
        if row["state"] in ("wrong", "alone")
    ]
    return "\n".join(lines)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table, its first column left, the others right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def peer_cells(row: Result, peers: list[str]) -> list[str]:
    best = best_peer(row)[0]
    cells = []
    for name in peers:
        time = row["times"].get(name)
        cell = milliseconds(time["ms"]) if time else ""
        cell = f"({cell})" if time and name in row["shown"] else cell
        cells.append(f"**{cell}**" if name == best else cell)
    return cells


def full_table(run: Result, rows: list[Result], bars: bool) -> list[str]:
    head = ["workload", "ours", *run["peers"], "best peer / ours"]
    head += ["bar", "", "ours in GB/s, GFLOP/s, share of the limit"] if bars else []
    body = []
    for row in rows:
        cells = [row["name"], milliseconds(row["times"]["ours"]["ms"])]
        cells += [*peer_cells(row, run["peers"]), f"{ratio(row):.2f}"]
        if bars:
            bar = "" if row["bar"] is None else f"{row['bar']:g}"
            cells += [bar, verdict(row), rates(row)]
        body.append(cells)
    return table(head, body)


def speedups(run: Result, first: Result) -> list[str]:
    """Return our own times with one thread and with several."""
    alone = {row["name"]: row["times"]["ours"]["ms"] for row in first["rows"] if "times" in row}
    body = []
    for row in done(run):
        if row["name"] in alone:
            ours = row["times"]["ours"]["ms"]
            one = alone[row["name"]]
            cells = [milliseconds(one), milliseconds(ours), f"{one / ours:.2f}"]
            body.append([row["name"], *cells])
    return table(["workload", "1 thread", f"{run['threads']} threads", "speed-up"], body)


def markdown(runs: list[Result]) -> str:
    """Return the whole of docs/benchmarks.md."""
    first = runs[0]
    machine, versions = first["machine"], first["versions"]
    lines = [
        "# Benchmarks",
        "",
        "Written by `python benches/compare.py --markdown docs/benchmarks.md`; do not edit.",
        "",
        f"- Machine: {machine['cpu']}, {machine['system']}",
        "- Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"- Method: side by side in one process on the same NumPy data, the libraries taking "
        f"turns, median of {first['rounds']} rounds of 5 ms or one call, every call allocating its "
        "own output, the process pinned to as many CPUs as threads. Results are compared before "
        "anything is timed.",
        "- The figure is the best peer's time over ours (the best peer is in bold); above 1 we "
        "lead. Absolute times belong to this machine.",
        "- Convolutions: onnxruntime and OpenVINO hold weights as constants of a model, and put "
        "them in order before the race; ours does so in every call, but in the rows that say "
        "prepared (`prepare_conv`, `prepare_conv_transpose`).",
        "- In brackets: libraries that take one plane at a time, called in a Python loop over more "
        "than four planes; shown, but not counted as the best peer.",
    ]
    if "far" in machine:
        lines.append(
            f"- Limits of one thread, measured by NumPy: copying {machine['near']:.0f} GB/s within "
            f"the second-level cache and {machine['far']:.0f} GB/s beyond it (read plus written), "
            f"filling fresh pages {machine['fresh']:.1f} GB/s, float32 matrix product "
            f"{machine['gflops']:.0f} GFLOP/s. The share of the limit is the least time these "
            "allow over ours."
        )
    for run in runs:
        threads = f"{run['threads']} thread{'s' * (run['threads'] > 1)}"
        lines += ["", f"## {threads.capitalize()}", "", mean(done(run)).capitalize() + ".", ""]
        lines += full_table(run, done(run), bars=run["threads"] == 1)
        if run is not first:
            lines += ["", "Our own times, one thread against several:", ""]
            lines += speedups(run, first)
        other = done(run, course=False)
        if other:
            lines += ["", "Shapes, dtypes and layouts outside the course:", ""]
            lines += full_table(run, other, bars=False)
    notes = [f"- {row['name']}: {row['note']}" for row in first["rows"] if note_worthy(row)]
    if notes:
        lines += ["", "## Peers that compute something else, and are not raced there", "", *notes]
    absent = [f"- {row['name']}" for row in first["rows"] if row["state"] == "absent"]
    if absent:
        lines += ["", "## Rows of the course not in this release", "", *absent]
    return "\n".join(lines) + "\n"


def note_worthy(row: Result) -> bool:
    return row["state"] == "done" and bool(row["note"])


def short(run: Result) -> list[str]:
    """Return the README's table: workload, ours, the best peer, the lead."""
    body = []
    for row in done(run):
        name, ms = best_peer(row)
        ours = milliseconds(row["times"]["ours"]["ms"])
        body.append([row["name"], ours, f"{name} {milliseconds(ms)}", f"{ratio(row):.2f}"])
    return table(["one thread", "ours", "best peer", "lead"], body)


def fill(path: Path, lines: list[str]) -> None:
    """Replace what stands between the markers of a page."""
    page = path.read_text(encoding="utf-8")
    if START not in page or END not in page:
        raise SystemExit(f"{path}: no {START} ... {END}")
    body = "\n".join([START, "", *lines, "", END])
    page = re.sub(f"{START}.*?{END}", lambda _: body, page, flags=re.DOTALL)
    path.write_text(page, encoding="utf-8")
