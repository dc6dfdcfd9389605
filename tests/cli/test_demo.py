#!/usr/bin/env python3
"""qmm demo against numpy: the formats' counts, and every bit of the logits that depend on integers alone.

examples/digits/train.py holds the same inference in numpy, written from the numeric contract.

usage: test_demo.py QMM
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np

import command
from command import environment, refuse, succeed

DIGITS = pathlib.Path(os.environ["QMM_SOURCE_DIR"], "examples/digits")
sys.path.insert(0, str(DIGITS))
import train

#            weights                 right  same as float  bytes of codes and scales  how train.py computes it, or the checksum
EXPECTED = (("float32", 487, 500, 68096, None),
            ("int8 per tensor", 487, 500, 17036, "d5f954cb"),  # its scales come from float sums, which BLAS orders anew
            ("int8 per channel", 488, 499, 17832, dict(bits=8)),
            ("int4 in groups of 32", 489, 498, 10640, dict(bits=4, granularity="group")),
            ("int4 per channel", 490, 497, 9320, dict(bits=4)))


def checksum(logits):
    """FNV-1a of 32 bits."""
    value = 2166136261
    for byte in logits.astype("<f4").tobytes():
        value = (value ^ byte) * 16777619 % 2**32
    return f"{value:08x}"


def demo(*arguments, **options):
    facts = json.loads(succeed("demo", "--format", "json", *arguments, **options))
    for result in facts["results"]:
        assert result.pop("seconds") > 0
    return facts


def test_results():
    facts = demo("--device", "cpu", "--data", DIGITS / "data")
    images = train.load("images")
    assert facts["device"] == "cpu" and facts["images"] == len(images) and len(facts["results"]) == len(EXPECTED)
    for result, (weights, right, same, size, how) in zip(facts["results"], EXPECTED):
        got = result["weights"], result["right"], result["same"], result["weight_bytes"]
        assert got == (weights, right, same, size), result
        if how:
            assert result["checksum"] == (how if isinstance(how, str) else checksum(train.infer(images, **how))), result
    measured = [result["sqnr_db"] for result in facts["results"]]
    assert measured[0] is None and min(measured[1:3]) > 35 and min(measured[3:]) > 20


def test_text():
    text = succeed("demo", "--device", "cpu", "--data", DIGITS / "data").splitlines()
    assert text[0].startswith("device: cpu (") and "same bytes on every device" in text[-1]
    assert [line.split()[0] for line in text[4:9]] == ["float32", "int8", "int8", "int4", "int4"]
    assert "f157f80c" in text[6]


def test_data():
    """Where the data is looked for, and what is wrong with it."""
    want = demo("--data", DIGITS / "data")
    assert demo(env=environment(QMM_DATA_DIR=str(DIGITS / "data"))) == want
    assert "nowhere/images.npy: cannot open" in refuse(2, "demo", "--data", "nowhere")
    assert "nowhere/images.npy: cannot open" in refuse(2, "demo", env=environment(QMM_DATA_DIR="nowhere"))
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, "data")
        shutil.copytree(DIGITS / "data", copy)
        np.save(copy / "bias2.npy", np.zeros(63, np.float32))
        assert "do not fit together" in refuse(2, "demo", "--data", copy)
        np.save(copy / "bias2.npy", np.zeros(64, np.float16))
        assert "bias2.npy: 1-d f2; the network needs 1-d f4" in refuse(2, "demo", "--data", copy)
        (copy / "bias2.npy").write_bytes((DIGITS / "data/bias2.npy").read_bytes()[:-1])
        assert "bias2.npy: truncated" in refuse(2, "demo", "--data", copy)


def test_installed():
    """The command finds its data beside itself, in an installed tree and in a build folder within the source tree."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = pathlib.Path(folder)
        (prefix / "bin").mkdir()
        command.QMM = shutil.copy(sys.argv[1], prefix / "bin/qmm")
        for place in ("share/qmm/digits", "examples/digits/data"):
            shutil.copytree(DIGITS / "data", prefix / place)
            demo(cwd="/")
            shutil.rmtree(prefix / place)
        assert "not next to the program" in refuse(2, "demo", cwd="/")
    command.QMM = sys.argv[1]


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        test()
        print(f"ok {name}")


if __name__ == "__main__":
    main()
