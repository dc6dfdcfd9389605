#!/usr/bin/env python3
"""qmm validate --a --b --c: somebody else's results, right ones and wrong ones; numpy is the somebody.

usage: test_result.py QMM [--update-golden]
"""
import itertools
import json
import pathlib
import re
import sys
import tempfile

import numpy as np

from command import refuse, run, succeed

GOLDEN = pathlib.Path(__file__).parent / "golden" / "validate" / "result.txt"
F4, F2, I4 = np.float32, np.float16, np.int32
RANDOM = np.random.default_rng(1)


def to_bf16(x):
    """The patterns of the nearest bf16, ties to even."""
    bits = np.ascontiguousarray(x, F4).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def codes(dtype, shape, low=None, high=None):
    info = np.iinfo(dtype)
    return RANDOM.integers(info.min if low is None else low, (info.max if high is None else high) + 1, shape, dtype)


def scales(*shape):
    return RANDOM.uniform(0.001, 0.1, shape).astype(F4)


def matmul(a, b, za=0, zb=0):
    return (a.astype(np.int64) - za) @ (b.astype(np.int64) - zb)


def epilogue(acc, sa=1, sb=1, bias=None, residual=None, relu=False):
    """docs/numerics.md, a rounding an operation: numpy's float32 has one too."""
    y = acc.astype(F4) * F4(sb) * F4(sa)
    for term in (bias, residual):
        if term is not None:
            y = y + term
    return np.where(y > 0, y, F4(0)) if relu else y


def requantize(y, scale, zero, dtype):
    return np.clip(np.rint(y / scale) + zero, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


class Problem:
    """Files of a problem, and the options that name them."""

    def __init__(self, folder, arrays, *options):
        self.folder, self.c, self.arguments = pathlib.Path(folder), arrays["c"], list(options)
        for name, array in arrays.items():
            if isinstance(array, (int, float)):
                self.arguments += [f"--{name}", array]
            else:
                np.save(self.folder / f"{name}.npy", np.ascontiguousarray(array))
                self.arguments += [f"--{name}", self.folder / f"{name}.npy"]

    def check(self, c, *options):
        """The report on another C, and the exit code."""
        np.save(self.folder / "c.npy", np.ascontiguousarray(c))
        done = run("validate", *self.arguments, "--format", "json", *options)
        assert done.returncode in (0, 1) and done.stderr == "", (self.arguments, done.returncode, done.stderr)
        report = json.loads(done.stdout)
        assert report["result"] == ("passed", "failed")[done.returncode]
        return report


def one_fault(c):
    """C with one element wrong, and its place as matrix, row, column."""
    c = c.copy()
    place = tuple(int(RANDOM.integers(0, n)) for n in c.shape)
    bits = c.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[c.dtype.itemsize])
    bits[place] ^= 1 << int(RANDOM.integers(0, 8 * c.dtype.itemsize - 1))
    return c, ((0,) + place)[-3:]


def judge(problem):
    """Right by both checks, and wrong by both with one element changed."""
    for check, options in (("exact", []), ("freivalds", ["--exact-limit", 0])):
        report = problem.check(problem.c, *options)
        assert report["result"] == "passed" and report["checked"] == check, (problem.arguments, report)
        wrong, place = one_fault(problem.c)
        report = problem.check(wrong, *options)
        assert report["result"] == "failed" and report["wrong_rows"] == 1, (problem.arguments, report)
        first = report["first"][0]
        assert (first["batch"], first["row"], first["column"]) == place, (first, place)
        assert first["expected"] != first["got"] and len(report["first"]) == 1, report
        assert report["wrong" if check == "exact" else "wrong_in_first_row"] == 1
        if check == "exact":
            assert report["elements"] == problem.c.size


def test_accumulators(folder):
    m, n, k = 5, 7, 33
    for ta, tb, batch in itertools.product((np.int8, np.uint8), (np.int8, np.uint8), ((), (3,))):
        a, b = codes(ta, batch + (m, k)), codes(tb, (k, n))
        judge(Problem(folder, {"a": a, "b": b, "c": matmul(a, b).astype(I4)}))
    a, b = codes(np.int8, (2, m, k)), codes(np.int8, (2, k, n))
    judge(Problem(folder, {"a": a.swapaxes(1, 2), "b": b.swapaxes(1, 2), "c": matmul(a, b).astype(I4)},
                  "--transpose-a", "--transpose-b"))
    za, zb = codes(I4, (m, 1), -128, 127), codes(np.int8, (n,))
    a, b = codes(np.int8, (m, k)), codes(np.int8, (k, n))
    c = matmul(a, b, za, zb.astype(int)).astype(I4)
    judge(Problem(folder, {"a": a, "b": b, "c": c, "zero-a": za, "zero-b": zb}))
    judge(Problem(folder, {"a": a, "b": b, "c": matmul(a, b, -3, 5).astype(I4), "zero-a": -3, "zero-b": 5}))
    bias = codes(I4, (n,), -9999, 9999)
    judge(Problem(folder, {"a": a, "b": b, "c": (matmul(a, b) + bias).astype(I4), "bias": bias}))


def test_reals(folder):
    m, n, k = 6, 9, 40
    a, b = codes(np.int8, (m, k)), codes(np.int8, (k, n))
    sa, sb, bias, residual = scales(m, 1), scales(1, n), RANDOM.normal(0, 1, n).astype(F4), scales(m, n).astype(F2)
    y = epilogue(matmul(a, b), sa, sb, bias, residual.astype(F4), True)
    files = {"a": a, "b": b, "scale-a": sa, "scale-b": sb, "bias": bias, "residual": residual}
    for c, options in ((y, []), (y.astype(F2), []), (to_bf16(y), ["--type-c", "bf16"])):
        judge(Problem(folder, {**files, "c": c}, "--activation", "relu", *options))
    half = (sa.astype(F2), to_bf16(sb).ravel())
    y = epilogue(matmul(a, b), half[0].astype(F4), (half[1].astype(np.uint32) << 16).view(F4))
    judge(Problem(folder, {"a": a, "b": b, "scale-a": half[0], "scale-b": half[1], "c": y}))
    y = epilogue(matmul(a, b, 7, 0), 0.25, 0.5)
    judge(Problem(folder, {"a": a, "b": b, "scale-a": 0.25, "scale-b": np.full((1, 1), 0.5, F4), "zero-a": 7, "c": y}))
    zb = codes(np.int8, (n, 1))  # one number for the scales, many zero points
    y = epilogue(matmul(a, b, 0, zb.ravel().astype(int)), 1, 0.125)
    judge(Problem(folder, {"a": a, "b": b.T, "scale-b": 0.125, "zero-b": zb, "c": y}, "--transpose-b"))


def test_codes(folder):
    m, n, k = 4, 10, 24
    a, b, sa = codes(np.uint8, (m, k)), codes(np.int8, (k, n)), scales(m)
    y = epilogue(matmul(a, b), sa[:, None])
    for dtype, zero in ((np.int8, -5), (np.uint8, 100), (np.int16, 0), (np.uint16, 30000)):
        for sc in (F4(0.75), scales(m, 1) + F4(0.5), scales(1, n) + F4(0.5)):
            c = requantize(y, sc, zero, dtype)
            judge(Problem(folder, {"a": a, "b": b, "scale-a": sa, "zero-c": zero, "c": c,
                                   "scale-c": float(sc) if sc.ndim == 0 else sc}))


def test_groups(folder):
    m, n, k, g = 3, 8, 48, 16
    a, b, sa, sb = codes(np.int8, (m, k)), codes(np.int8, (k, n), -8, 7), scales(m, k // g), scales(k // g, n)
    y = np.zeros((m, n), F4)
    for i in range(k // g):
        part = slice(i * g, (i + 1) * g)
        y = y + epilogue(matmul(a[:, part], b[part]), sa[:, i:i + 1], sb[i])
    for type_b in ([], ["--type-b", "s4"]):
        judge(Problem(folder, {"a": a, "b": b, "scale-a": sa, "scale-b": sb, "c": y}, "--group", g, *type_b))
        judge(Problem(folder, {"a": a.T, "b": b.T, "scale-a": sa.T, "scale-b": sb.T, "c": y}, "--group", g,
                      "--transpose-a", "--transpose-b", *type_b))
    b = codes(np.uint8, (k + 1, 5), 0, 15)
    a = codes(np.int8, (m, k + 1))
    judge(Problem(folder, {"a": a, "b": b, "zero-b": 8, "c": matmul(a, b, 0, 8).astype(I4)}, "--type-b", "u4"))


def test_patterns(folder):
    m, n, k = 32, 48, 64
    a, b = codes(np.int8, (m, k)), codes(np.int8, (k, n))
    c = matmul(a, b).astype(I4)
    p = Problem(folder, {"a": a, "b": b, "c": c})

    def add(where, value):
        wrong = c.copy()
        wrong[where] += value
        return p.check(wrong)

    noise = codes(I4, (m, n), 1, 99)
    assert "all in columns 32..47 of 0..47" in add(np.s_[:, 32:], noise[:, 32:])["patterns"]
    assert "columns are wrong from end to end" in add(np.s_[:, 32:], noise[:, 32:])["patterns"]
    assert "all in row 31 of 0..31" in add(np.s_[31], noise[31])["patterns"]
    assert "rows are wrong from end to end" in add(np.s_[31], noise[31])["patterns"]
    assert "all in columns that are 3 modulo 8" in add(np.s_[:, 3::8], noise[:, 3::8])["patterns"]
    assert "every element is wrong" in add(np.s_[:], noise)["patterns"]
    report = add(np.s_[5:9, 7:11], -3)
    assert "every wrong element is 3 below what is expected" in report["patterns"] and report["largest"] == 3
    assert report["wrong"] == 16 and report["wrong_rows"] == report["wrong_columns"] == 4
    assert len(report["first"]) == 8 and report["first"][4] == {
        "batch": 0, "row": 6, "column": 7, "expected": int(c[6, 7]), "got": int(c[6, 7]) - 3}
    assert "every wrong element is -1 times what is expected: a scale?" in p.check(-c)["patterns"]
    zero = c.copy()
    zero[16:] = 0
    assert "every wrong element is 0: never written?" in p.check(zero)["patterns"]
    transposed = np.ascontiguousarray(c.T).reshape(m, n)
    assert "C is what is expected, stored column by column (transposed)" in p.check(transposed)["patterns"]

    y = epilogue(c, 0.37, 0.11).astype(F2)
    p = Problem(folder, {"a": a, "b": b, "scale-a": 0.37, "scale-b": 0.11, "c": y})
    near = y.copy()
    near.view(np.int16)[::2, ::3] += 1
    report = p.check(near)
    assert report["steps"] == 1
    assert any(text.startswith("none is more than 1 step of f16") for text in report["patterns"])
    near[4, 6] = np.nan
    assert not any(text.startswith("none is more") for text in p.check(near)["patterns"])
    assert any(re.match(r"every wrong element is 0.37\d* times", text) for text in p.check((y * F2(0.37)))["patterns"])

    batch = np.stack([c, c, c])
    p = Problem(folder, {"a": np.stack([a, a, a]), "b": b, "c": batch})
    batch[1] += noise
    assert "all in matrix 1 of 0..2" in p.check(batch)["patterns"]


def test_text(folder):
    a, b = codes(np.int8, (4, 8)), codes(np.int8, (8, 6))
    c = matmul(a, b).astype(I4)
    p = Problem(folder, {"a": a, "b": b, "c": c})
    for options in ([], ["--exact-limit", 0, "--rounds", 3, "--seed", 9]):
        text = succeed("validate", *p.arguments, *options)
        assert text.endswith("PASSED\n") and "s8, 4 x 8" in text and "s32, 4 x 6" in text
    assert "Freivalds, 3 rounds, seed 9" in text
    c[2, 3] += 1
    np.save(folder / "c.npy", c)
    done = run("validate", *p.arguments, "--exact-limit", 0)
    assert done.returncode == 1 and "in the first, row 2 of matrix 0, 1 of 6 elements" in done.stdout
    assert f"C[2, 3]: expected {c[2, 3] - 1}, got {c[2, 3]}" in done.stdout and "all in column 3" in done.stdout
    folder = folder / "made"
    done = run("validate", *p.arguments, "--save", folder)
    assert done.returncode == 1 and done.stdout.endswith("FAILED\n")
    assert f"C[2, 3]: expected {c[2, 3] - 1}, got {c[2, 3]}" in done.stdout
    c[2, 3] -= 1
    saved = np.load(folder / "expected.npy")
    assert saved.dtype == c.dtype and np.array_equal(saved, c)
    for m, n, k in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        p = Problem(folder, {"a": codes(np.int8, (m, k)), "b": codes(np.int8, (k, n)), "c": np.zeros((m, n), I4)})
        for options in ([], ["--exact-limit", 0]):
            assert "PASSED" in succeed("validate", *p.arguments, *options), (m, n, k, options)


def test_refusals(folder):
    a, b, c = codes(np.int8, (4, 8)), codes(np.int8, (8, 6)), np.zeros((4, 6), I4)
    good = {"a": a, "b": b, "c": c}
    f4 = np.zeros((4, 6), F4)

    def refused(files, wanted, *options):
        line = refuse(2, "validate", *Problem(folder, {**good, **files}).arguments, *options)
        assert line.startswith("qmm validate: ") and wanted in line, (line, wanted)

    refused({"a": f4}, "--a")
    refused({"a": f4}, "type f4 is none of i1 u1")
    refused({"c": c[0]}, "needs two or three dimensions")
    refused({"b": b.T}, "share K")
    refused({"c": np.zeros((6, 4), I4)}, "looks transposed")
    refused({"c": np.zeros((4, 5), I4)}, "C is M x N")
    refused({"a": np.stack([a, a])}, "as many as C")
    refused({"c": np.zeros((0, 4, 6), I4)}, "holds no matrix")
    refused({"scale-a": 1.0}, "not applied to a C of i4")
    refused({"c": f4, "scale-a": scales(5)}, "one for each row of A")
    refused({"c": f4, "scale-b": scales(4)}, "one for each column of B")
    refused({"c": f4, "scale-b": 0.0}, "above 0 and finite")
    refused({"c": f4, "scale-b": -1}, "above 0 and finite")
    refused({"c": f4, "scale-b": 1e300}, "above 0 and finite")
    refused({"c": f4, "scale-a": a}, "none of f4 f2 u2")
    refused({"c": f4, "zero-a": f4}, "none of i4 i1 u1")
    refused({"c": f4, "scale-c": 1.0}, "need a C of codes")
    refused({"c": f4, "bias": scales(4)}, "one for each column of C")
    refused({"c": f4, "residual": scales(6, 4)}, "a residual is M x N")
    refused({"zero-a": 128}, "128")
    refused({}, "--type-c bf16 needs an array of u2", "--type-c", "bf16")
    refused({}, "no code of --type-b s4", "--type-b", "s4")
    refused({}, "--group 3 does not divide K", "--group", 3)
    refused({}, "qmm_matmul", "--activation", "relu")
    refused({"c": f4, "scale-a": scales(4, 1), "zero-a": np.zeros((4, 2), I4)}, "another way", "--group", 4)
    refused({}, "--rounds '65'", "--rounds", 65)
    refused({}, "--activation 'tanh' is none of", "--activation", "tanh")
    refused({}, "unknown option --types", "--types", "s8")
    refused({}, "unexpected argument 'x'", "x")
    np.save(folder / "f8.npy", np.zeros((4, 8)))
    doubles = ["--a", folder / "f8.npy", "--b", folder / "b.npy", "--c", folder / "c.npy"]
    assert "dtype '<f8'" in refuse(2, "validate", *doubles)
    assert "--b is missing" in refuse(2, "validate", "--a", folder / "a.npy", "--c", folder / "c.npy")
    assert "none.npy" in refuse(2, "validate", "--a", folder / "none.npy", "--b", "b", "--c", "c")
    arguments = Problem(folder, good).arguments
    refuse(3, "validate", *arguments, "--device", "cuda", "--exact-limit", 0)
    c[1, 1] = 1
    np.save(folder / "c.npy", c)
    assert "--save" in refuse(2, "validate", *arguments, "--save", folder / "none" / "deeper")


def test_help():
    text = succeed("validate", "--a", "x", "--help")
    if "--update-golden" in sys.argv:
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), f"the help text is not {GOLDEN}"
    assert text.startswith("usage: qmm validate --a") and max(map(len, text.splitlines())) <= 120


def main():
    test_help()
    for test in (test_accumulators, test_reals, test_codes, test_groups, test_patterns, test_text, test_refusals):
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))


if __name__ == "__main__":
    main()
