#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The project's goals for an H100, held against results files of `qmm bench`: a line for each goal.

    bench/goals.py memory.json decode.json gemm.json

Of each goal the worst measured case decides; what no file measures is `not measured`. Shares and speed-ups mean the
same on any GPU; times and TOPS are those of one H100 SXM. What is judged is the row that the library picks by itself;
where another one was faster, by more than 2 %, the line says which.
Exit code: 0 whatever was reached, 2 bad usage or file.
"""
import argparse
import operator
import pathlib
import sys

from schema import Bad, is_untimed, load, need, read_results, read_row

HEAVY = 64e6  # bytes of weights
AT_MOST, AT_LEAST = ("<=", operator.le), (">=", operator.ge)


class Figures:
    """The rows of all files together."""

    def __init__(self, rows):
        self.rows = rows

    def ours(self, *operations):
        return [row for row in self.rows if row["who"] == "qmm" and row["chosen"] and row["operation"] in operations]

    def call(self, what):
        return next((row["median"] for row in self.rows if row["operation"] == "call" and row["what"] == what), None)

    def beside(self, row, what):
        """Seconds of a peer at the same place."""
        places = ("operation", "shape", "m", "n", "k", "batch")
        return next((peer["median"] for peer in self.rows if peer["who"] != "qmm" and peer["what"].startswith(what) and
                     all(peer[name] == row[name] for name in places)), None)

    def fastest(self, row):
        places = ("operation", "shape", "m", "n", "k", "batch", "what")
        return min((other for other in self.rows if other["who"] == "qmm" and
                    all(other[name] == row[name] for name in places)), key=lambda other: other["median"])


# ---- goals: each gives (value, row or place) of what was measured ----------------------------------------------------

def is_worked_up(row):
    return (row["m"], row["n"]) == (32768, 4096) and "elements off" not in row["what"]


def has_s4(row):
    return "s4" in row["what"]


def of_copy(rows):
    return [(row["of_copy"], row) for row in rows if row["of_copy"]]


def conversions(figures):
    return of_copy(row for row in figures.ours("quantize", "quantize_dynamic", "dequantize")
                   if is_worked_up(row) and row["what"].endswith("scale per row") and not has_s4(row))


def ranges(figures):
    return of_copy(row for row in figures.ours("find_range") if is_worked_up(row))


def groups(figures):
    rows = {(row["operation"], row["what"]): row for row in figures.ours("quantize", "quantize_dynamic", "dequantize")
            if is_worked_up(row)}
    pairs = [(row, rows.get((name, what.replace(" and group of 128", "")))) for (name, what), row in rows.items()
             if what.endswith("scale per row and group of 128")]
    return [(row["median"] / by_row["median"], row) for row, by_row in pairs if by_row]


def odd_places(figures):
    return of_copy(row for row in figures.ours("quantize", "quantize_dynamic", "dequantize")
                   if row["m"] > 30000 and (row["n"] % 2 or "elements off" in row["what"]))


def single_tokens(figures):
    how = "graph of 100, one of them: "
    empty = figures.call(how + "an empty kernel")
    return [(row["median"] / empty, row) for row in figures.ours("call")
            if empty and row["what"].startswith(how) and "quantize" in row["what"]]


def decode(figures):
    return of_copy(row for row in figures.ours("matmul")
                   if row["m"] <= 16 and row["n"] * row["k"] >= HEAVY and not has_s4(row))


def microseconds_of_one(figures, s4):
    return [(row["median"] * 1e6, row) for row in figures.ours("matmul")
            if (row["m"], row["n"], row["k"]) == (1, 8192, 8192) and has_s4(row) == s4]


def launches(figures):
    return [(row["launches"], row) for row in figures.ours("tokens") if row["m"] == 1 and row["launches"]]


def above_launch(figures, how, empty):
    bare = figures.call(how + empty)
    return [((row["median"] - bare) * 1e6, row) for row in figures.ours("call")
            if bare and row["what"].startswith(how + "qmm_matmul, packed")]


def square(figures, size):
    return [(row["operations"] / row["median"] * 1e-12, row) for row in figures.ours("matmul")
            if row["m"] == row["n"] == row["k"] == size and not has_s4(row)]


def w4a8(figures):
    return [(row["operations"] / row["median"] * 1e-12, row) for row in figures.ours("matmul")
            if row["m"] == row["n"] == row["k"] == 8192 and has_s4(row)]


def speed_up(figures, peer, low, high):
    rows = [(figures.beside(row, peer), row) for row in figures.ours("matmul")
            if low <= row["m"] <= high and row["shape"].startswith("llama3") and not has_s4(row)]
    return [(seconds / row["median"], row) for seconds, row in rows if seconds]


def unverified(figures):
    rows = [row for row in figures.rows if row["who"] == "qmm" and row["operation"] == "matmul"]
    wrong = [row for row in rows if row["verified"] not in ("exact", "freivalds")]
    return [(len(wrong), wrong[0] if wrong else rows[0])] if rows else []


DEQUANTIZED, HALF = "s8 x s8 -> s32, then dequantize", "f16 x f16 -> f16, by cuBLASLt"
ON_HOST, IN_GRAPH = "host: ", "graph of 100, one of them: "
GOALS = (
    ("memory", "32768x4096, scale per row: share of copy", AT_LEAST, 0.95, conversions),
    ("memory", "range of 32768x4096: share of copy", AT_LEAST, 0.95, ranges),
    ("memory", "group of 128: time over that per row", AT_MOST, 1.05, groups),
    ("memory", "odd widths and alignments: share of copy", AT_LEAST, 0.8, odd_places),
    ("memory", "a token of 4096: over an empty kernel", AT_MOST, 1.3, single_tokens),
    ("decode", "M <= 16, s8 of 64 MB and more: share of copy", AT_LEAST, 0.85, decode),
    ("decode", "1x8192x8192, s8: us", AT_MOST, 14, lambda f: microseconds_of_one(f, False)),
    ("decode", "1x8192x8192, s4, group of 128: us", AT_MOST, 18, lambda f: microseconds_of_one(f, True)),
    ("decode", "quantize + matmul of a token: launches", AT_MOST, 2, launches),
    ("host", "qmm_matmul above the bare launch: us", AT_MOST, 1,
     lambda f: above_launch(f, ON_HOST, "launch of an empty kernel")),
    ("host", "the same in a graph: us", AT_MOST, 1, lambda f: above_launch(f, IN_GRAPH, "an empty kernel")),
    ("gemm", "8192^3: TOPS", AT_LEAST, 1500, lambda f: square(f, 8192)),
    ("gemm", "4096^3: TOPS", AT_LEAST, 1350, lambda f: square(f, 4096)),
    ("gemm", "M >= 16: over cuBLASLt + dequantize", AT_LEAST, 1.15, lambda f: speed_up(f, DEQUANTIZED, 16, 8192)),
    ("gemm", "M <= 128: over cuBLAS f16", AT_LEAST, 1.8, lambda f: speed_up(f, HALF, 1, 128)),
    ("gemm", "M >= 2048: over cuBLAS f16", AT_LEAST, 2.2, lambda f: speed_up(f, HALF, 2048, 8192)),
    ("gemm", "8192^3, s4 weights: TOPS", AT_LEAST, 1340, w4a8),
    ("gemm", "matmuls without a right result", AT_MOST, 0, unverified),
)


# ---- lines -----------------------------------------------------------------------------------------------------------

def place_of(figures, row):
    size = f"m {row['m']}" if "/" in row["shape"] else ""
    kind = row["what"] if row["operation"] not in ("matmul", "tokens") else row["what"].split(",")[0]
    text = " ".join(part for part in (row["shape"] if row["shape"] != "-" else "", size, kind) if part)
    best = figures.fastest(row)
    if best["median"] * 1.02 < row["median"]:
        name = best["kernel"] + ("/" + best["variant"] if best["variant"] else "")
        text += f"; {name} is {row['median'] / best['median']:.2f}x as fast"
    return text


def line_of(figures, section, what, order, wanted, find):
    (sign, holds), found = order, find(figures)
    start = f"{section:7} {what:46} {sign} {wanted:<5g}"
    if not found:
        return f"{start} {'-':>8}  not measured"
    worst, row = (min if order is AT_LEAST else max)(found, key=lambda item: item[0])
    held = sum(holds(value, wanted) for value, _ in found)
    verdict = f"held by {held} of {len(found)}" if len(found) > 1 else "held" if held else "MISSED"
    if len(found) > 1 and held < len(found):
        verdict = "MISSED, " + verdict
    return f"{start} {worst:8.4g}  {verdict}: {place_of(figures, row)}"


# ---- main ------------------------------------------------------------------------------------------------------------

def fail(text):
    print(f"goals: {text}", file=sys.stderr)
    sys.exit(2)


def figures_of(document):
    rows = []
    for i, record in enumerate(document["rows"]):
        if is_untimed(record):
            continue
        where = f"rows[{i}]"
        row = read_row(record, where)
        row.update({name: need(record, name, float, where) if record.get(name) else 0.0
                    for name in ("of_copy", "launches")})
        row.update({name: str(record.get(name, "")) for name in ("variant", "verified")})
        rows.append(row)
    return rows


def read(path):
    """The rows of a file, and whether a simulated device gave them."""
    try:
        document = load(path)
        results = read_results(document)
        if results is None:
            raise Bad("of an older benchmark program, not of `qmm bench`")
        return results, figures_of(document)
    except Bad as error:
        return fail(f"{path}: {error}")


def main():
    parser = argparse.ArgumentParser(description="The project's goals, held against results files of `qmm bench`.")
    parser.add_argument("results", nargs="+", type=pathlib.Path, metavar="RESULTS.json")
    rows, devices = [], set()
    for path in parser.parse_args().results:
        results, more = read(path)
        if results["simulated"]:
            print(f"{path.name}: of a simulated device, whose times mean nothing")
            continue
        rows += more
        devices.add(results["description"])
    if len(devices) > 1:
        fail(f"the files are of several devices: {', '.join(sorted(devices))}")
    if rows:
        print(f"goals of an H100, on {devices.pop()}; the worst case of each")
        figures = Figures(rows)
        for goal in GOALS:
            print(line_of(figures, *goal))


if __name__ == "__main__":
    main()
