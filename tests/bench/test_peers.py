#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/peers.py without PyTorch: what it takes from a results file, what it adds to one, and what it says."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np

import made_up

PEERS = pathlib.Path(os.environ["QMM_SOURCE_DIR"], "bench", "peers.py")
sys.path.insert(0, str(PEERS.parent))
import peers  # noqa: E402
import schema  # noqa: E402

ABOUT = {"device": "a device", "driver": "PyTorch 9.9", "build": "", "date": "2026-01-03"}


class FakeRig:
    """In place of a device: each work says how long it takes, or fails."""

    def measure(self, work, seconds_each):
        return [work(turn) * seconds_each for turn in range(5)]


def run(folder, *arguments):
    """peers.py, to which PyTorch is not there even where it is installed."""
    (folder / "torch.py").write_text("raise ImportError('no PyTorch')\n")
    env = {**os.environ, "PYTHONPATH": str(folder)}
    env.pop("LD_PRELOAD", None)
    return subprocess.run([sys.executable, str(PEERS), *map(str, arguments)], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def refuse(folder, code, word, *arguments):
    done = run(folder, *arguments)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr}"
    assert re.fullmatch(r"peers: [^\n]+\n", done.stderr) and word in done.stderr, done.stderr


def test_no_pytorch(folder):
    """Exit code 3, one line, and the file stays as it is."""
    path = made_up.write(folder / "results.json", made_up.results())
    before = path.read_bytes()
    refuse(folder, 3, "there is no PyTorch", "--from", path, "--into", path)
    refuse(folder, 3, "simulated", "--from", made_up.write(folder / "simulated.json", made_up.results(simulated=True)))
    assert path.read_bytes() == before


def test_bad_files(folder):
    """Exit code 2, one line naming the file, before PyTorch is looked for."""
    good = made_up.write(folder / "good.json", made_up.results())
    refuse(folder, 2, "missing.json", "--from", folder / "missing.json")
    refuse(folder, 2, "missing.json", "--from", good, "--into", folder / "missing.json")
    old = made_up.write(folder / "old.json", {"qmm": "0.1.0", "results": []})
    refuse(folder, 2, "older", "--from", old)
    good.write_text(good.read_text()[:-20])
    refuse(folder, 2, "good.json: not JSON", "--from", good)


def test_summary(_):
    """Median and quartiles as numpy has them, of one run up."""
    random = np.random.default_rng(1)
    for count in (1, 2, 3, 4, 10, 101):
        seconds = random.random(count).tolist()
        got = peers.summary(seconds)
        wanted = dict(zip(("minimum", "quartile_1", "median", "quartile_3", "maximum"),
                          np.percentile(seconds, [0, 25, 50, 75, 100])))
        assert got.pop("runs") == count
        assert got.keys() == wanted.keys() and all(abs(got[name] - wanted[name]) < 1e-12 for name in got), (got, wanted)


def test_places(_):
    """Each shape that was measured of qmm, once, whatever rows and peers there were; conversions by their kind."""
    document = made_up.results()
    document["rows"].append(made_up.row("call", "qmm", "", "", (1, 1, 1), "", 1e-6, 0, 0))
    places = peers.places_of(schema.read_results(document))
    matmuls = [(place["shape"], place["m"]) for place in places if place["operation"] == "matmul"]
    assert sorted(matmuls) == sorted((shape, m) for shape in made_up.LAYERS for m in made_up.TOKENS)
    others = [(place["operation"], place["m"], place["what"]) for place in places if place["operation"] != "matmul"]
    assert others == [("quantize", m, "f32 -> s8, scale per tensor") for m in (1, 8192)]  # the copy was a peer's


def test_conversions(_):
    """Which kinds of conversion PyTorch is asked for."""
    for what, wanted in {"f32 -> s8, scale per tensor": ("f32", "s8", "tensor"),
                         "s8 -> bf16, scale per row": ("s8", "bf16", "row"),
                         "bf16, which the host waits for": ("bf16", None, None),
                         "bf16 -> s4, scale per row": None, "bf16 -> s8, scale per row and group of 128": None,
                         "bf16 -> s8, scale per column": None,
                         "bf16 -> s8, scale per row, 1 elements off": None}.items():
        assert peers.conversion_of(what) == wanted, what


def measure(works, seconds=60.0):
    """peers.measure_all over works that are given, on no device."""
    place = {"operation": "matmul", "shape": "a/b", "m": 2, "n": 3, "k": 4, "batch": 1, "what": "", "bytes": 5.0}
    kept, peers.works_of = peers.works_of, lambda rig, place: works
    try:
        deadline = peers.time.monotonic() + seconds
        return peers.measure_all(FakeRig(), [place], 1e9, ABOUT, deadline, 0.5)
    finally:
        peers.works_of = kept


def fail():
    raise RuntimeError("self must be\nlong")


def test_measuring(_):
    """Rows have every member of the schema, with figures that agree; what fails is named, what is compiled is last."""
    works = [("slow" + peers.COMPILED, lambda: lambda turn: 2.0, 48.0, 26.0), ("bad", fail, 48.0, 26.0),
             ("good", lambda: lambda turn: 1.0 + turn, 48.0, 26.0)]
    rows, skipped = measure(works)
    assert [row["what"] for row in rows] == ["good", "slow" + peers.COMPILED]
    assert [(skip["what"], skip["reason"]) for skip in skipped] == [("bad", "self must be")]
    template = made_up.row("matmul", "qmm", "k", "s", (1, 1, 1), "w", 1.0, 1, 1)
    for row in rows:
        assert row.keys() == template.keys()
        assert row["who"] == "PyTorch" and not row["chosen"] and row["shape"] == "a/b"
        assert (row["m"], row["n"], row["k"]) == (2, 3, 4)
        assert row["tops"] == 48.0 / row["median"] * 1e-12 and row["gbps"] == 26.0 / row["median"] * 1e-9
        assert abs(row["of_copy"] - 26.0 / row["median"] / 1e9) < 1e-20 and row["driver"] == "PyTorch 9.9"
    assert rows[0]["median"] == statistics.median([0.5 * (1 + turn) for turn in range(5)]) and rows[0]["runs"] == 5

    rows, skipped = measure(works, seconds=-1.0)
    assert not rows and {skip["reason"] for skip in skipped} == {"no time was left"} and len(skipped) == len(works)
    rows, skipped = measure([])
    assert not rows and [skip["reason"] for skip in skipped] == ["PyTorch has nothing like it"]


def test_adding(folder):
    """PyTorch's rows take the place of its earlier ones, all else stays; the file is of the schema, a row a line."""
    rows, skipped = measure([("good", lambda: lambda turn: 1.0, 48.0, 26.0), ("bad", fail, 48.0, 26.0)])
    document = made_up.results()
    others = [row for row in document["rows"] if row["who"] != "PyTorch"]
    assert len(others) < len(document["rows"])
    place = {"operation": "matmul", "shape": ""}
    document["skipped"] = [{**peers.make_skip(place, "", "not here"), "who": "cuBLASLt"}]
    for _ in range(2):
        peers.add_rows(document, rows, skipped)
    path = folder / "results.json"
    peers.write(path, document)
    read = json.loads(path.read_text())
    assert read == document and read["rows"] == others + rows and read["skipped"][1:] == skipped
    assert len(schema.read_results(schema.load(path))["rows"]) == len(others) + 1
    assert sum(line.startswith('  {"operation"') for line in path.read_text().splitlines()) == len(others) + 1 + 2
    assert [p.name for p in folder.iterdir()] == ["results.json"]


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
        print(f"{name}: {test.__doc__}")
    print(f"{len(tests)} passed, 0 failed")


main()
