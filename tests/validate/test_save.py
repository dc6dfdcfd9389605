"""--save: the tensors of failures, loaded with numpy and worked out again from what was saved.

usage: test_save.py PROGRAM, which with --save DIR runs a faulty device, and prints reports in JSON."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

PROGRAM = sys.argv[1]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}  # the sanitizer is linked into the program
TYPES = {"s32": np.int32, "f16": np.float16, "bf16": np.float32}


def run(folder):
    for name in (*TYPES, "cases"):
        (folder / name).mkdir()
    done = subprocess.run([PROGRAM, "--save", folder], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, env=ENVIRONMENT)
    assert done.returncode == 1 and done.stderr == "", done
    reports, text = [], done.stdout
    while text.strip():
        report, end = json.JSONDecoder().raw_decode(text.lstrip())
        reports.append(report)
        text = text.lstrip()[end:]
    return dict(zip((*TYPES, "cases"), reports, strict=True))


def to_bf16(y):
    """The nearest bf16, ties to even, of finite values."""
    bits = y.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7fff + (bits >> 16 & 1) & 0xffff0000)).astype(np.uint32).view(np.float32)


def product(load, name):
    """C as docs/numerics.md has it."""
    accumulator = load("a").astype(np.int64) @ load("b").astype(np.int64)
    if name == "s32":
        return accumulator.astype(np.int32)
    batch = accumulator.shape[:-2]
    scale_a, scale_b = load("scale-a").reshape(-1, 1), load("scale-b").reshape(1, -1)
    assert scale_a.dtype == scale_b.dtype == np.float32 and len(batch) < 2
    y = accumulator.astype(np.float32) * scale_b * scale_a
    return y.astype(np.float16) if name == "f16" else to_bf16(y)


def check_shapes(folder, name, report):
    """The right C is what was expected, and what was got is wrong at one place: where it says."""
    assert len(report["failures"]) == report["totals"]["failed"] >= 4
    labels = {path.name[:-4] for path in folder.glob("*.txt")}
    assert len(labels) == len(report["failures"]), (labels, report["failures"])
    for failure in report["failures"]:
        kernel, shape = re.search(r"--kernel (\S+) .*--shapes (\S+) ", failure["repro"]).groups()
        label = f"matmul-{kernel.replace(':', '-')}-{shape}"
        labels.remove(label)
        assert (folder / f"{label}.txt").read_text().splitlines() == \
            [failure["repro"], failure["case"], failure["mismatch"]]
        load = lambda tensor: np.load(folder / f"{label}-{tensor}.npy")
        got = load("c.got")
        assert got.dtype == TYPES[name]
        m, n, k, batch = (*map(int, shape.split("x")), 1)[:4]
        assert got.shape == ((batch,) if batch > 1 else ()) + (m, n), (got.shape, shape)
        assert load("a").shape[-2:] == (m, k) and load("b").shape[-2:] == (k, n)
        assert load("b").dtype == np.int8 and load("a").dtype == np.int8
        assert name != "bf16" or (load("b").min(), load("b").max()) == (-8, 7)
        right = product(load, name)
        assert np.argwhere(right != got).tolist() == [[0] * (batch > 1) + [1, 2]], np.argwhere(right != got)
        if "cpu:matmul:reference" != kernel:  # its results are not compared but verified: there is no other
            assert np.array_equal(right, load("c.expected"))
    assert not labels


def check_cases(folder, report):
    """Cases of all types and layouts: expected and got differ in as many elements as the report has."""
    assert report["totals"]["failed"] > 50 == len(report["failures"]) == len(list(folder.glob("*.txt")))
    for failure in report["failures"]:
        case = re.search(r"--start (\d+) ", failure["repro"])[1]
        load = lambda tensor: np.load(folder / f"matmul-auto-{case}-{tensor}.npy")
        expected, got = load("c.expected"), load("c.got")
        assert expected.shape == got.shape == load("c.before").shape and expected.dtype == got.dtype
        wrong = np.argwhere((expected != got) & ~(np.isnan(expected) & np.isnan(got)))
        place = re.search(r"c: (\d+) of (\d+) elements wrong, first \[(\d+)\]\[(\d+),(\d+)\]", failure["mismatch"])
        count, elements, b, i, j = map(int, place.groups())
        assert got.size == elements and len(wrong) == count == 1, (failure, wrong)
        assert wrong[0].tolist() == ([b] if got.ndim == 3 else []) + [i, j]
        assert load("a").ndim >= 2 and load("b").ndim >= 2 and load("a").dtype.itemsize == 1


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        reports = run(folder)
        for name in TYPES:
            check_shapes(folder / name, name, reports[name])
            print("ok", name)
        check_cases(folder / "cases", reports["cases"])
        print("ok cases")


main()
