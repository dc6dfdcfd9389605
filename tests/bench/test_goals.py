#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/goals.py on figures that are made up: each goal held, each missed, none measured, and files that are none."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import made_up
from made_up import COPY

GOALS = pathlib.Path(os.environ["QMM_SOURCE_DIR"], "bench", "goals.py")
sys.path.insert(0, str(GOALS.parent))
import goals  # noqa: E402

PACKED = "s8 x s8 -> f16, scales per row and column, B transposed, packed"
GROUPS = "s8 x s4 -> f16, scales per row and group of 128, B transposed, packed"
HALF, DEQUANTIZED = "f16 x f16 -> f16, by cuBLASLt", "s8 x s8 -> s32, then dequantize"


def run(*arguments):
    return subprocess.run([sys.executable, str(GOALS), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def lines_of(folder, rows, **device):
    done = run(made_up.write(folder / "results.json", made_up.results(rows, **device)))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.splitlines()


def ours(operation, m, n, k, what, median, size=1.0, shape="", **more):
    shape = shape or f"{m}x{n}" + (f"x{k}" if k else "")
    row = made_up.row(operation, "qmm", "cuda:row", shape, (m, n, k), what, median, 2.0 * m * n * k, size, True)
    return {**row, **more}


def peer(row, what, factor):
    return {**row, "who": "cuBLASLt", "kernel": "", "chosen": False, "what": what, "median": row["median"] * factor,
            "verified": "no"}


def conversion(operation, m, n, what, share):
    size = 3.0 * m * n
    return ours(operation, m, n, 0, what, size / COPY / share, size)


def memory(share):
    """Conversions at that share of the copy; small tokens at 1 over it of an empty kernel; host's and graphs' costs."""
    how = "graph of 100, one of them: "
    call = [("host: launch of an empty kernel", 2e-6, "driver"),
            ("host: qmm_matmul, packed weights", 2e-6 / share, "qmm"),
            (how + "an empty kernel", 1e-6, "driver"), (how + "qmm_quantize f32 -> s8", 1e-6 / share, "qmm"),
            (how + "qmm_matmul, packed weights", 1e-6 / share ** 2, "qmm")]
    rows = [conversion("quantize", 32768, 4096, "f32 -> s8, scale per row", share),
            conversion("quantize", 32768, 4096, "f32 -> s8, scale per row and group of 128", share ** 2),
            conversion("find_range", 32768, 4096, "f32, which the host waits for", share),
            conversion("quantize", 32768, 4095, "f32 -> s8, scale per row", share),
            conversion("dequantize", 32768, 4096, "s8 -> f16, scale per row, 1 elements off", share)]
    return rows + [made_up.row("call", who, "", "-", (0, 0, 0), what, median, 0, 0, who == "qmm")
                   for what, median, who in call]


def decode(share):
    size = 8192.0 * 8192
    return [ours("matmul", 1, 8192, 8192, PACKED, size / COPY / share / 2, size / 2, "llama3-70b/o"),
            ours("matmul", 1, 8192, 8192, GROUPS, 18e-6 / share, size / 2, "llama3-70b/o"),
            ours("tokens", 1, 8192, 8192, "bf16 -> s8 per row, then " + PACKED, 30e-6, size, "llama3-70b/o",
                 launches=2 if share == 1 else 3)]


def gemm(share):
    rows = []
    for m, n, what, rate, shape in ((8192, 8192, PACKED, 1500e12, ""), (4096, 4096, PACKED, 1350e12, ""),
                                    (8192, 8192, GROUPS, 1340e12, "llama3-70b/o"),
                                    (16, 4096, PACKED, 60e12, "llama3-8b/o"),
                                    (2048, 4096, PACKED, 1e15, "llama3-8b/o")):
        row = ours("matmul", m, n, n, what, 2.0 * m * n * n / rate / share / 1.0001, shape=shape)
        rows += [row, peer(row, DEQUANTIZED, 1.16 * share), peer(row, HALF, (2.21 if m > 128 else 1.81) * share)]
    rows[0]["verified"] = "freivalds" if share == 1 else "no"
    return rows


def test_held(folder):
    """All at their goals."""
    lines = lines_of(folder, memory(1) + decode(1) + gemm(1))
    assert len(lines) == 1 + len(goals.GOALS), lines
    assert all(re.search(r"  held\b", line) for line in lines[1:]), "\n".join(lines)


def test_missed(folder):
    """All a half behind, each line with the worst place."""
    lines = lines_of(folder, memory(0.5) + decode(0.5) + gemm(0.5))
    assert all("MISSED" in line for line in lines[1:]), "\n".join(lines)
    by = {line[8:54].strip(): line for line in lines[1:]}
    assert "MISSED: 1x8192x8192" not in by["8192^3: TOPS"] and " 750.1 " in by["8192^3: TOPS"]
    assert by["M >= 2048: over cuBLAS f16"].endswith("llama3-8b/o m 2048 s8 x s8 -> f16")
    one = lines_of(folder, memory(1) + memory(0.5)[:1])
    assert " 0.5  MISSED, held by 1 of 2: 32768x4096 f32 -> s8, scale per row" in one[1]


def test_not_measured(folder):
    """What is in no file is neither held nor missed; a share of 0 figures is none."""
    lines = lines_of(folder, decode(1)[:1])
    assert sum("not measured" in line for line in lines) == len(goals.GOALS) - 3, "\n".join(lines)


def test_fastest(folder):
    """Another row that was faster than the choice is named, if by more than noise."""
    chosen = ours("matmul", 8192, 8192, 8192, PACKED, 1e-3)
    for factor, named in ((0.5, True), (0.99, False)):
        other = {**chosen, "kernel": "cuda:matmul:other", "variant": "large", "chosen": False,
                 "median": factor * chosen["median"]}
        text = "\n".join(lines_of(folder, [chosen, other]))
        assert ("cuda:matmul:other/large is 2.00x as fast" in text) == named, text


def test_files(folder):
    """Simulated devices give no line; several devices, and what is no results file, are refused in one line."""
    good = made_up.write(folder / "good.json", made_up.results(gemm(1)))
    simulated = made_up.write(folder / "simulated.json", made_up.results(simulated=True))
    done = run(simulated)
    assert done.returncode == 0 and done.stdout == "simulated.json: of a simulated device, whose times mean nothing\n"
    assert run(simulated, good).stdout.count("\n") == 2 + len(goals.GOALS)
    other = made_up.write(folder / "other.json", made_up.results(gemm(1), description="Another GPU"))
    broken = made_up.write(folder / "broken.json", made_up.results([{**gemm(1)[0], "launches": "two"}]))
    for paths, word in (([good, other], "several devices"), ([folder / "none.json"], "none.json"),
                        ([broken], "launches")):
        done = run(*paths)
        assert done.returncode == 2 and re.fullmatch(r"goals: [^\n]+\n", done.stderr) and word in done.stderr, done


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
        print(f"{name}: {test.__doc__}")
    print(f"{len(tests)} passed, 0 failed")


main()
