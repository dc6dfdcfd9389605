#!/usr/bin/env python3
"""qmm tune from end to end on the CPU: what it measures, the file that it keeps, what it refuses; explain on it.

usage: test_tune.py QMM
"""
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import tempfile
import time
import zlib

from command import QMM, environment, refuse, run, succeed
from test_explain import check_bad, explain, matmul_kernels

QUICK = ["--device", "cpu", "--seconds", "0.001"]
FILE = "qmm-tuning.txt"


def tune(folder, *arguments):
    return json.loads(succeed("tune", *QUICK, "--format", "json", *arguments, cwd=folder))


def header(folder):
    """The first lines of a tuning file of this machine: one without choices."""
    tune(folder, "--shapes", "1x1x1", "--output", "header")
    lines = (pathlib.Path(folder) / "header").read_text().splitlines(keepends=True)
    (pathlib.Path(folder) / "header").unlink()
    return [line for line in lines if not line.startswith(("matmul ", "end "))]


def choice(m, n, k, kernel):
    """As host/tuning_file.h has it, for s8 x s8 -> f16 with packed weights."""
    return (f"matmul n={n} k={k} batch=1 group=0 a=s8 b=s8 c=f16 transposed=00 packed=1 m={m} kernel={kernel} "
            "variant=-\n")


def write(path, lines, choices):
    text = "".join(lines + choices)
    path.write_text(f"{text}end {len(choices)} {zlib.crc32(text.encode()):08x}\n")


def choices_of(path):
    return [line for line in path.read_text().splitlines(keepends=True) if line.startswith("matmul ")]


def check_shape(shape):
    """One shape's entry: every row is there, and what was chosen follows from the times."""
    kernels = matmul_kernels()
    tried = {(c["kernel"], c["variant"]): c["seconds"] for c in shape["candidates"]}
    assert list(dict.fromkeys(kernel for kernel, _ in tried)) == kernels
    for c in shape["candidates"]:
        assert (c["seconds"] is None) == (c["reason"] is not None) and (c["seconds"] is None or c["seconds"] > 0)
    usual, fastest = shape["usual"], min(s for s in tried.values() if s)
    assert usual["seconds"] == tried[usual["kernel"], usual["variant"]]
    assert shape["seconds"] == tried[shape["kernel"], shape["variant"]]
    assert shape["seconds"] == fastest or fastest >= 0.98 * shape["seconds"]
    if not shape["tuned"]:
        assert (shape["kernel"], shape["variant"]) == (usual["kernel"], usual["variant"])
    assert abs(shape["gain"] - usual["seconds"] / shape["seconds"]) < 1e-9 * shape["gain"]


def test_json():
    with tempfile.TemporaryDirectory() as folder:
        answer = tune(folder, "--shapes", "edges/one,5x33x65,16x64x96x2", "--types", "u8,s4,s8", "--zeros")
        assert answer["tool"] == "qmm tune" and answer["cache"] == "warm" and answer["file"] == FILE
        assert [s["shape"] for s in answer["shapes"]] == ["edges/one", "5x33x65", "16x64x96x2"]
        for shape in answer["shapes"]:
            assert shape["skipped"] is None
            check_shape(shape)
        assert answer["tuned"] == 3 and answer["skipped"] == 0 and answer["loaded"] == 0
        kept = choices_of(pathlib.Path(folder, FILE))
        assert len(kept) == answer["choices"] == sum(shape["tuned"] for shape in answer["shapes"])


def test_explained():
    """explain and a second run find what the first has measured."""
    with tempfile.TemporaryDirectory() as folder:
        shapes = ("--shapes", "1x7x9,1x40x300,64x64x64")
        measured = tune(folder, *shapes)
        answer = explain(*shapes, "--tuning", FILE, cwd=folder)
        assert answer["choices"] == measured["choices"]
        for was, now in zip(measured["shapes"], answer["shapes"]):
            assert [was[key] for key in ("shape", "kernel", "variant", "tuned")] == \
                [now[key] for key in ("shape", "kernel", "variant", "tuned")]
        same = explain(*shapes, cwd=folder, env=environment(QMM_TUNING_FILE=FILE))
        assert same == answer
        assert tune(folder, *shapes)["loaded"] == measured["choices"]


def test_merged():
    """Choices that are there stay, and are used: those of other shapes are in the file afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, FILE)
        last = matmul_kernels()[-1]
        old = [choice(m, n, 32, last) for m, n in ((4, 24), (4096, 24), (16, 40))]
        write(path, header(folder), old)
        shape, other = explain("--shapes", "3x24x32,5x24x32", "--tuning", path)["shapes"]
        assert shape["kernel"] == last and shape["tuned"] and not other["tuned"]  # M is 3 and 4, not 5
        assert f"runs     {last} (tuned), workspace" in succeed("explain", "--device", "cpu", "--shapes", "3x24x32",
                                                                "--tuning", path)
        answer = tune(folder, "--shapes", "8x48x32")
        assert answer["loaded"] == 3 and set(old) <= set(choices_of(path)) and answer["choices"] >= 3
        text = succeed("tune", *QUICK, "--shapes", "8x48x32", cwd=folder)
        assert re.search(f"^file    {FILE}: {answer['choices']} choices so far$", text, re.M)


def test_foreign():
    """A tuning file of this device that is damaged, or of another version or driver, is replaced, with a line; one of
    another device, be it of another version too, is not, nor is any other file."""
    with tempfile.TemporaryDirectory() as folder:
        path, lines = pathlib.Path(folder, FILE), header(folder)
        replace = lambda name, value: [f"{name} {value}\n" if line.startswith(f"{name} ") else line for line in lines]
        kept = [choice(4, 24, 32, matmul_kernels()[-1])]
        for head, damage, wanted in ((lines, True, "checksum"), (replace("driver", "1.2"), False, "driver '1.2'"),
                                     (replace("library", "0.0.1"), False, "library '0.0.1'")):
            write(path, head, kept)
            if damage:
                path.write_text(path.read_text().replace("n=24", "n=25"))
            done = run("tune", *QUICK, "--shapes", "8x48x32", cwd=folder)
            assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
            assert done.stderr.startswith(f"qmm tune: qmm_tuning_load: file {FILE} ") and "starting anew" in done.stderr
            assert wanted in done.stderr, done.stderr
            assert "choices so far" in done.stdout and "n=24" not in path.read_text()
        foreign = [line.replace("library ", "library 9") for line in replace("device", "Another")]
        for head, wanted in ((replace("device", "Another"), "cpu device 'Another' of"), (foreign, "'Another'"),
                             (replace("backend", "cuda"), "of cuda device"),
                             (replace("units", "7777"), "of 7777 units")):
            write(path, head, kept)
            before = path.read_bytes()
            line = refuse(2, "tune", *QUICK, "--shapes", "8x48x32", cwd=folder)
            assert wanted in line and "not overwritten" in line and "--output" in line, line
            assert path.read_bytes() == before
        succeed("tune", *QUICK, "--shapes", "8x48x32", "--output", "ours", cwd=folder)
        path.write_bytes(b"")
        succeed("tune", *QUICK, "--shapes", "8x48x32", cwd=folder)
        for text in ("my notes\n", "qmm tunin", "\0" * 100):
            path.write_text(text)
            line = refuse(2, "tune", *QUICK, "--shapes", "8x48x32", cwd=folder)
            assert "is no tuning file, so it is not overwritten" in line
            assert path.read_text() == text


def test_output():
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(pathlib.Path(folder, "pipe"))
        for code, text, output in ((1, "nowhere/file: cannot create: No such file", "nowhere/file"),
                                   (2, "not a regular file", "."), (2, "not a regular file", "pipe"),
                                   (2, "not a regular file", "/dev/null"), (2, "--output is empty", ""),
                                   (1, "cannot create: File name too long", "x" * 3000 + "/y"),
                                   (2, "--output is too long", "x" * 5000 + "/y")):
            line = refuse(code, "tune", *QUICK, "--shapes", "4x8x16", "--output", output, cwd=folder)
            assert text in line, (text, line)
        assert sorted(os.listdir(folder)) == ["pipe"]
        done = run("tune", *QUICK, "--shapes", "4x8x16", "--output", "x" * 300, cwd=folder)  # seen by the first save
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "cannot be written" in done.stderr
        for output in ("given", "./also", str(pathlib.Path(folder, "absolute"))):
            text = succeed("tune", *QUICK, "--shapes", "4x8x16", "--output", output, cwd=folder)
            assert f"QMM_TUNING_FILE={output}" in text and pathlib.Path(folder, output).exists()


def test_text():
    """The table has the shapes in order, and each shape's times sorted."""
    units = {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    with tempfile.TemporaryDirectory() as folder:
        text = succeed("tune", *QUICK, "--shapes", "edges/primes,4x8x16", "--m", "2,30", "--cache", "cold", cwd=folder)
        assert "caches  cold" in text and "2 shapes" not in text
        rows = text.split("\n\n")[1].splitlines()[1:]
        assert [row.split()[:2] for row in rows[:2]] == [["edges/primes", f"{m}x67x71"] for m in (2, 30)]
        assert rows[2].split()[0] == "4x8x16" and len(rows) == 3
        for row in rows:
            found = re.findall(r"[a-z]\S* +([0-9.e+]+) ([mun]?s)\b", row)
            times = [float(value) * units[unit] for value, unit in found]
            listed = times[1:]
            assert len(listed) >= 1 and listed == sorted(listed) and times[0] in listed, row
        assert "3 shapes tuned, 0 skipped" in text
    with tempfile.TemporaryDirectory() as folder:
        assert "caches  warm" in succeed("tune", *QUICK, "--shapes", "4x8x16", "--cache", "warm", cwd=folder)
        assert tune(folder, "--shapes", "4x8x16", "--cache", "cold")["flush_bytes"] == 64 << 20


def test_skipped():
    """What does not fit the memory is passed over; nothing else is a failure."""
    huge = "2000000x1000000x4"
    with tempfile.TemporaryDirectory() as folder:
        answer = tune(folder, "--shapes", f"{huge},4x8x16,0x8x16")
        assert [bool(shape["skipped"]) for shape in answer["shapes"]] == [True, False, True]
        assert "MiB of memory" in answer["shapes"][0]["skipped"] and "no element" in answer["shapes"][2]["skipped"]
        assert answer["tuned"] == 1 and answer["skipped"] == 2
        done = run("tune", *QUICK, "--shapes", huge, "--output", "none", cwd=folder)
        assert done.returncode == 1 and done.stderr == "qmm tune: no shape could be tuned\n"
        assert "skipped: it takes" in done.stdout and not pathlib.Path(folder, "none").exists()


def test_interrupt():
    """SIGINT ends the work after the present shape; the file and the output are whole."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [QMM, "tune", *QUICK, "--shapes", "edges", "--m", "1..1000", "--format", "json"]
        process = subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while not pathlib.Path(folder, FILE).exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)
        assert process.returncode == 1, (process.returncode, error)
        done = int(re.fullmatch("qmm tune: interrupted after ([0-9]+) of 27000 shapes\n", error)[1])
        answer = json.loads(out)
        assert 1 <= done < 27000 and answer["tuned"] + answer["skipped"] == done == len(answer["shapes"])
        assert explain("--shapes", "4x8x16", "--tuning", FILE, cwd=folder)["choices"] == answer["choices"]


def test_bar():
    """On a terminal, and not in the table."""
    try:
        master, terminal = pty.openpty()
    except OSError as error:
        return print(f"skipped: the terminal, because {error}")
    with tempfile.TemporaryDirectory() as folder:
        arguments = [QMM, "tune", "--device", "cpu", "--seconds", "0.4", "--m", "100..104", "--n", "300", "--k", "1000"]
        done = subprocess.run(arguments, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=terminal,
                              text=True, timeout=60)
        os.write(terminal, b"END")
        drawn = b""
        while not drawn.endswith(b"END"):
            drawn += os.read(master, 100000)
    assert done.returncode == 0 and "tuning" not in done.stdout.replace(FILE, "").split("\n\n")[1]
    assert b"tuning [" in drawn and b"/5 shapes, " in drawn and drawn.endswith(b"\x1b[KEND"), drawn


def test_bad_usage():
    check_bad("tune")
    shape = ["--device", "cpu", "--shapes", "4x8x16"]
    for text, *arguments in (("--seconds '0' is not a number within", "--seconds", "0"),
                             ("--seconds 'nan' is not a number", "--seconds", "nan"),
                             ("--seconds '1e9' is not a number", "--seconds", "1e9"),
                             ("--cache 'hot' is none of cold warm", "--cache", "hot"),
                             ("unknown option --tuning", "--tuning", "x")):
        line = refuse(2, "tune", *shape, *arguments)
        assert text in line, (text, line)


def main():
    os.environ.pop("QMM_TUNING_FILE", None)
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        test()
        print(f"ok {name}")
    print(f"{len(tests)} tests")


if __name__ == "__main__":
    main()
