#!/usr/bin/env python3
"""The qmm command: help, version, devices, quantize against numpy, bad usage.

usage: test_cli.py QMM [--update-golden]
"""
import itertools
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile

import numpy as np

from command import QMM, environment, refuse, succeed

GOLDEN = pathlib.Path(__file__).parent / "golden"
SUBCOMMANDS = re.findall(r"^  ([a-z]+) ", succeed("--help"), re.M)

# type: the codes' container in the file, bits
TYPES = {"s8": (np.int8, 8), "u8": (np.uint8, 8), "s4": (np.int8, 4), "u4": (np.uint8, 4), "s16": (np.int16, 16),
         "u16": (np.uint16, 16)}


def code_range(name, bits):
    return (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if name[0] == "s" else (0, 2**bits - 1)


def helps():
    yield "qmm", ["--help"]
    for name in SUBCOMMANDS:
        if name != "help":
            yield name, [name, "--help"]


def test_help():
    """Golden files; the three ways to a help text agree."""
    assert {"devices", "demo", "validate", "quantize", "bench", "tune", "explain", "help"} <= set(SUBCOMMANDS)
    for name, arguments in helps():
        text = succeed(*arguments)
        assert text == (GOLDEN / f"{name}.txt").read_text(), f"help of {name} is not tests/cli/golden/{name}.txt"
        assert max(map(len, text.splitlines())) <= 120
        if name != "qmm":
            assert text == succeed("help", name)
            assert text.startswith(f"usage: qmm {name}")
    assert succeed("--help") == succeed("help") == succeed("-h")
    stale = {path.stem for path in GOLDEN.glob("*.txt")} - {name for name, _ in helps()}
    assert not stale, f"golden files of no subcommand: {stale}"


def test_version():
    header = pathlib.Path(os.environ["QMM_SOURCE_DIR"], "include/qmm/qmm.h").read_text()
    version = ".".join(re.findall(r"#define QMM_VERSION_\w+ (\d+)", header))
    assert succeed("--version") == f"qmm {version}\n"


def test_devices():
    text = succeed("devices").splitlines()
    assert text[0].split() == ["NAME", "KIND", "INT8", "UNITS", "MEMORY", "DESCRIPTION"]
    facts = json.loads(succeed("devices", "--format", "json"))
    assert facts["version"] == succeed("--version").split()[1]
    names = [device["name"] for device in facts["devices"]]
    assert names[-1] == "cpu" and names == [line.split()[0] for line in text[1:1 + len(names)]]
    assert sum(backend["devices"] for backend in facts["backends"]) == len(names)
    for backend in facts["backends"]:
        assert (backend["reason"] == "") == (backend["devices"] > 0)
    for device in facts["devices"]:
        assert device["compute_units"] > 0 and device["description"] and device["kind"] in ("cpu", "gpu", "accelerator")


def reference_params(x, axis, low, high, symmetric, real):
    """Scale and zero of docs/numerics.md, computed in the type `real`; axis is what one scale spans."""
    x = np.where(np.isfinite(x), x, 0).astype(real)
    top = np.maximum(x.max(axis, keepdims=True), real(0))
    bottom = np.minimum(x.min(axis, keepdims=True), real(0))
    if symmetric:
        scale = np.maximum(top, -bottom) / real(high)
        zero = np.zeros_like(scale)
    else:
        scale = (top - bottom) / real(high - low)
        with np.errstate(all="ignore"):
            zero = np.clip(np.rint(real(low) - bottom / scale), low, high)
    flat = (top == 0) & (bottom == 0)
    scale = np.where(flat, real(1), scale)
    zero = np.where(flat, 0 if symmetric else low, zero)
    return scale.astype(np.float32), zero.astype(np.int32)


def reference_codes(x, scale, zero, low, high):
    x = x.astype(np.float32)
    with np.errstate(all="ignore"):
        q = np.clip(np.rint(x / scale) + zero, low, high)
    return np.where(np.isnan(x), np.broadcast_to(zero, x.shape), q)


def quantize(folder, x, *options):
    """Runs qmm quantize on x; gives codes, scales, zeros and the summary."""
    np.save(folder / "x.npy", x)
    text = succeed("quantize", *options, folder / "x.npy", folder / "q.npy")
    return *(np.load(folder / name) for name in ("q.npy", "q.scale.npy", "q.zero.npy")), text


def check_codes(name, bits, x, q, scale, zero, expected_scale, expected_zero, spread):
    low, high = code_range(name, bits)
    assert q.dtype == TYPES[name][0] and q.shape == x.shape
    assert scale.dtype == np.float32 and zero.dtype == np.int32 and scale.shape == zero.shape == expected_scale.shape
    assert np.array_equal(scale, expected_scale), (scale, expected_scale)
    assert np.array_equal(zero, expected_zero), (zero, expected_zero)
    assert np.array_equal(q, reference_codes(x, spread(scale), spread(zero), low, high))


def check_summary(text, x, q, scale, zero):
    finite = np.isfinite(x)
    x, y = x.astype(np.float64)[finite], ((q - zero.astype(np.float64)) * scale.astype(np.float64))[finite]
    sqnr = 10 * np.log10((x**2).sum() / ((x - y) ** 2).sum())
    assert abs(float(re.search(r"SQNR +(\S+) dB", text)[1]) - sqnr) < 0.02, (text, sqnr)
    assert np.isclose(float(re.search(r"max error +(\S+)", text)[1]), np.abs(x - y).max(), rtol=1e-4)
    assert np.isclose(float(re.search(r"mse +(\S+)", text)[1]), ((x - y) ** 2).mean(), rtol=1e-4)
    cosine = (x @ y) / np.sqrt((x @ x) * (y @ y))
    assert abs(float(re.search(r"cosine +(\S+)", text)[1]) - cosine) < 1e-6


def test_quantize_tensor():
    """One scale for all, from the host in double; every type, both schemes, f4 and f2, 0 to 3 dimensions, odd sizes."""
    random = np.random.default_rng(1)
    shapes = itertools.cycle([(17, 33), (5,), (2, 3, 7), (1, 1), (), (64, 2)])
    with tempfile.TemporaryDirectory() as folder:
        for name, symmetric, real in itertools.product(TYPES, (True, False), (np.float32, np.float16)):
            x = np.asarray(random.normal(0.3, 2, next(shapes)), real)
            bits, options = TYPES[name][1], ["--type", name] + ([] if symmetric else ["--asymmetric"])
            q, scale, zero, text = quantize(pathlib.Path(folder), x, *options)
            expected = reference_params(x, None, *code_range(name, bits), symmetric, np.float64)
            check_codes(name, bits, x, q, scale, zero, *(e.reshape(()) for e in expected), lambda p: p)
            if x.size > 100:
                check_summary(text, x, q, scale, zero)


def test_quantize_fine():
    """Rows, columns, groups and --dynamic, in float32; narrowed bits; NaN and infinities; an all-zero row."""
    random = np.random.default_rng(2)
    axes = {"tensor": (-2, -1), "row": -1, "column": -2}
    narrowed = {"s8": 5, "u8": 2, "s4": 3, "u4": 4, "s16": 11, "u16": 9}
    with tempfile.TemporaryDirectory() as folder:
        for name, symmetric, granularity, batch in itertools.product(TYPES, (True, False), axes, ((), (3,))):
            x = random.normal(0, 1, batch + (6, 15)).astype(np.float32)
            x[..., 2, :] = 0
            x[..., 4, 3:6] = np.nan, np.inf, -np.inf
            bits = narrowed[name] if batch else TYPES[name][1]
            options = ["--type", name, "--bits", bits, "--granularity", granularity, "--dynamic"]
            q, scale, zero, text = quantize(pathlib.Path(folder), x, *options, *([] if symmetric else ["--asymmetric"]))
            expected = reference_params(x, axes[granularity], *code_range(name, bits), symmetric, np.float32)
            check_codes(name, bits, x, q, scale, zero, *expected, lambda p: p)
            assert f"left out   {3 * (batch[0] if batch else 1)} values" in text


def test_quantize_groups():
    random = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        shapes = ((12, 8), (2, 8, 12))
        for name, symmetric, axis, shape in itertools.product(("s8", "u4"), (True, False), (-1, -2), shapes):
            x = random.normal(0, 1, shape).astype(np.float32)
            split = shape[:-1] + (shape[-1] // 4, 4) if axis == -1 else shape[:-2] + (shape[-2] // 4, 4, shape[-1])
            granularity = "row-group" if axis == -1 else "column-group"
            options = ["--type", name, "--granularity", granularity, "--group-size", 4]
            q, scale, zero, _ = quantize(pathlib.Path(folder), x, *options, *([] if symmetric else ["--asymmetric"]))
            low, high = code_range(name, TYPES[name][1])
            expected = reference_params(x.reshape(split), axis, low, high, symmetric, np.float32)
            expected = [p.squeeze(axis) for p in expected]
            check_codes(name, TYPES[name][1], x, q, scale, zero, *expected, lambda p: np.repeat(p, 4, axis))


def test_quantize_methods():
    """Clipping methods give a smaller range, and the codes that belong to it."""
    x = np.random.default_rng(4).standard_t(3, (64, 64)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        widest = quantize(pathlib.Path(folder), x, "--type", "s4")[1]
        for options in (["mse"], ["entropy"], ["percentile"], ["percentile", "--percentile", "98.5"],
                        ["mse", "--asymmetric"]):
            q, scale, zero, text = quantize(pathlib.Path(folder), x, "--type", "s4", "--method", *options)
            assert f"by {options[0]}" in text and 0 < scale < widest * (2 if "--asymmetric" in options else 1)
            assert np.array_equal(q, reference_codes(x, scale, zero, -8, 7))
            check_summary(text, x, q, scale, zero)
        half = quantize(pathlib.Path(folder), x, "--type", "s8", "--method", "percentile", "--percentile", "99")[1]
        assert np.isclose(half * 127, np.percentile(np.abs(x), 99), rtol=0.02)


def test_quantize_edges():
    """No elements, all zero, nothing finite, one value."""
    with tempfile.TemporaryDirectory() as folder:
        for shape in ((0,), (0, 4), (4, 0), (2, 0, 3)):
            for granularity in ("tensor", "row", "column"):
                x = np.zeros(shape, np.float32)
                q, scale, _, _ = quantize(pathlib.Path(folder), x, "--granularity", granularity)
                assert q.shape == shape and (scale == 1).all()
        for value in (0.0, np.nan, np.inf):
            q, scale, zero, _ = quantize(pathlib.Path(folder), np.full((3, 4), value, np.float32), "--asymmetric")
            assert scale == 1 and zero == -128
        q, scale, zero, _ = quantize(pathlib.Path(folder), np.float32(-2.0))
        assert q == -127 and scale == np.float32(2 / 127)


def test_quantize_failures():
    """What fails leaves no file behind, and files that were there as they were."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.save(folder / "x.npy", np.ones((4, 6), np.float32))
        np.save(folder / "i.npy", np.ones((4, 6), np.int32))
        np.save(folder / "d.npy", np.ones((4, 6), np.float64))
        np.save(folder / "f.npy", np.asfortranarray(np.ones((4, 6), np.float32)))
        np.save(folder / "e.npy", np.ones((0, 4, 6), np.float32))
        (folder / "old.npy").write_text("old")
        (folder / "taken.zero.npy").mkdir()
        os.mkfifo(folder / "pipe.npy")
        before = sorted(folder.iterdir())

        def fails(code, text, *arguments):
            line = refuse(code, "quantize", *arguments, cwd=folder)
            assert text in line and line.startswith("qmm quantize: "), (text, line)
            assert sorted(folder.iterdir()) == before and (folder / "old.npy").read_text() == "old"

        fails(2, "missing.npy: cannot open: No such file", "missing.npy", "q.npy")
        fails(2, "two lines.npy: cannot open: No such file", "two\nlines.npy", "q.npy")
        fails(2, "i.npy: type i4; f4 or f2 is needed", "i.npy", "q.npy")
        fails(2, "d.npy: dtype '<f8' is none of", "d.npy", "q.npy")
        fails(2, "f.npy: the array is in Fortran order", "f.npy", "q.npy")
        fails(2, "e.npy: holds no matrix", "e.npy", "q.npy")
        fails(2, "not a regular file", ".", "q.npy")
        fails(2, "not a regular file", "/dev/zero", "q.npy")
        fails(2, "not a regular file", "pipe.npy", "q.npy")
        fails(2, "'q.txt' does not end in .npy", "x.npy", "q.txt")
        fails(2, "'.npy' does not end in .npy", "x.npy", ".npy")
        fails(2, "would be overwritten", "x.npy", "./x.npy")
        fails(2, "too long", "x.npy", "a" * 5000 + ".npy")
        fails(1, "cannot create: No such file", "x.npy", "nowhere/q.npy")
        fails(1, "taken.zero.npy: it is there and is not a regular file", "x.npy", "taken.npy")
        fails(2, "group", "x.npy", "old.npy", "--granularity", "row-group", "--group-size", "4")
        fails(3, "", "x.npy", "old.npy", "--device", "cpu:7")
        fails(2, "IN.npy and OUT.npy are needed", "x.npy")
        fails(2, "unexpected argument 'z.npy'", "x.npy", "y.npy", "z.npy")
        succeed("quantize", "x.npy", "old.npy", cwd=folder)
        assert sorted(folder.iterdir()) == sorted(before + [folder / "old.scale.npy", folder / "old.zero.npy"])


def test_bad_usage():
    for code, text, *arguments in (
            (2, "qmm: no subcommand"),
            (2, "qmm: unknown subcommand 'frobnicate'", "frobnicate"),
            (2, "qmm: unknown subcommand 'two'", "two\nlines"),
            (2, "qmm: unknown subcommand '--frobnicate'", "--frobnicate"),
            (2, "qmm: unknown subcommand 'x'", "help", "x"),
            (2, "qmm devices: unknown option --frobnicate", "devices", "--frobnicate"),
            (2, "qmm devices: unknown option -x", "devices", "-x"),
            (2, "qmm quantize: unknown option -x", "quantize", "--dynamic", "-xh"),
            (2, "qmm devices: option --format needs a value", "devices", "--format"),
            (2, "qmm devices: option --help takes no value", "devices", "--help=1"),
            (2, "qmm quantize: option --dynamic takes no value", "quantize", "--dynamic=1"),
            (2, "qmm devices: --format 'xml' is none of text json", "devices", "--format", "xml"),
            (2, "qmm devices: unexpected argument 'x'", "devices", "x"),
            (2, "qmm demo: unexpected argument 'x'", "demo", "x"),
            (2, "qmm quantize: --type 's7' is none of s8 u8 s4 u4 s16 u16", "quantize", "--type", "s7"),
            (2, "--bits '0' is not a whole number", "quantize", "--bits", "0"),
            (2, "--bits '8x' is not a whole number", "quantize", "--bits", "8x"),
            (2, "--bits '' is not a whole number", "quantize", "--bits", ""),
            (2, "--bits '99999999999999999999' is not", "quantize", "--bits", "99999999999999999999"),
            (2, "--bits does not fit --type", "quantize", "--bits", "9", "a", "b"),
            (2, "--group-size '-4' is not a whole number", "quantize", "--group-size", "-4"),
            (2, "need --group-size", "quantize", "--granularity", "row-group", "a", "b"),
            (2, "--group-size needs", "quantize", "--group-size", "4", "a", "b"),
            (2, "--percentile '50' is not above 50", "quantize", "--percentile", "50"),
            (2, "--percentile 'nan' is not above 50", "quantize", "--percentile", "nan"),
            (2, "--percentile needs --method percentile", "quantize", "--percentile", "99", "a", "b"),
            (2, "--dynamic goes with --method minmax", "quantize", "--method", "mse", "--dynamic", "a", "b"),
            (2, "needs --granularity tensor", "quantize", "--method", "mse", "--granularity", "row", "a", "b"),
            (2, "entropy is symmetric", "quantize", "--method", "entropy", "--asymmetric", "a", "b"),
            (3, "", "demo", "--device", "cuda:99", "--data", data_directory()),
            (3, "", "demo", "--device", "nothing", "--data", data_directory())):
        line = refuse(code, *arguments)
        assert text in line, (text, line)


def data_directory():
    return pathlib.Path(os.environ["QMM_SOURCE_DIR"], "examples/digits/data")


def test_output():
    """A full disk is a failure; nothing quick draws a bar, not even on a terminal."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([QMM, "devices"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(),
                              timeout=30)
    assert done.returncode == 1 and "cannot write the output" in done.stderr
    try:
        master, terminal = pty.openpty()
    except OSError as error:
        return print(f"skipped: the terminal, because {error}")
    done = subprocess.run([QMM, "devices"], stdout=subprocess.DEVNULL, stderr=terminal, env=environment(), timeout=10)
    os.write(terminal, b"END\n")
    assert os.read(master, 100) == b"END\r\n"


def update_golden():
    for name, arguments in helps():
        (GOLDEN / f"{name}.txt").write_text(succeed(*arguments))


def main():
    if "--update-golden" in sys.argv:
        return update_golden()
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        test()
        print(f"ok {name}")
    print(f"{len(tests)} tests")


if __name__ == "__main__":
    main()
