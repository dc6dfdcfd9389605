"""qmm validate as its users see it: exit codes, text, JSON, CSV, JUnit XML, shapes, repro lines, the progress bar."""
import csv
import io
import json
import os
import pathlib
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

QMM = sys.argv[1]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}  # the sanitizer is linked into the command


def run(*arguments):
    return subprocess.run([QMM, "validate", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=240, env=ENVIRONMENT)


def document(*arguments, code=0):
    done = run("--format", "json", *arguments)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    assert done.stderr == "", done.stderr
    return json.loads(done.stdout)


def refuse(code, *arguments):
    done = run(*arguments)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    assert done.stdout == "" and done.stderr.startswith("qmm validate: ") and done.stderr.count("\n") == 1, done
    return done.stderr


def check_json():
    d = document("--operation", "matmul,quantize", "--operation", "measure_error", "--start", 1740, "--cases", 60)
    assert d["tool"] == "qmm validate" and d["mode"] == "correctness" and d["tier"] == "quick" and d["seed"] == 1
    assert d["device"]["name"] == "cpu" and d["result"] == "passed" and d["failures"] == []
    assert {r["operation"] for r in d["results"]} == {"matmul", "quantize", "measure_error"}
    assert {r["kernel"] for r in d["results"] if r["operation"] == "matmul"} > {"auto", "cpu:matmul:reference"}
    for key in ("passed", "failed", "refused", "mistrusted"):
        assert d["totals"][key] == sum(r[key] for r in d["results"]), key
    for r in d["results"]:
        assert r["passed"] + r["failed"] + r["refused"] + r["mistrusted"] == 60, r
        assert r["refused"] == sum(reason["count"] for reason in r["reasons"]), r


def check_same_cases():
    """A case is the same alone as in a longer run, and with another row."""
    def lines(*arguments):
        done = run("--operation", "matmul", "--seed", 5, "--verbose", *arguments)
        assert done.returncode == 0, done
        return [line.split(" ", 1)[1].split(": ", 1)[1] for line in done.stdout.splitlines() if " 1805: " in line]
    long = lines("--start", 1800, "--cases", 10, "--kernel", "auto")
    assert long == lines("--start", 1805, "--cases", 1, "--kernel", "cpu:matmul:reference") and len(long) == 1


def check_modes():
    d = document("--mode", "bitwise", "--cases", 40, "--start", 1700)
    assert d["mode"] == "bitwise" and d["totals"]["passed"] > 40 * 9
    d = document("--mode", "fuzz", "--seconds", 1, "--operation", "quantize,dequantize,requantize,matmul")
    assert d["mode"] == "fuzz" and d["totals"]["passed"] > 100 and d["totals"]["seconds"] < 60
    d = document("--mode", "performance", "--operation", "measure_error")
    assert d["timings"] and all(t["seconds"] > 0 and t["rate"] > 0 and t["unit"] == "GB/s" for t in d["timings"])
    # Everything compared with the reference rows in place of the oracle.
    d = document("--oracle-limit", 0, "--cases", 100, "--start", 1740, "--operation", "quantize,quantize_dynamic",
                 "--operation", "matmul,weights")
    assert d["totals"]["failed"] == 0


def check_repeat():
    """Each case once, or as often as is said; a budget of cases is kept to the case."""
    d = document("--operation", "quantize", "--cases", 7, "--repeat", 5)
    assert d["repeat"] == 5 and all(r["passed"] == 7 for r in d["results"])
    d = document("--mode", "fuzz", "--cases", 33, "--operation", "quantize,matmul", "--kernel", "auto")
    assert d["repeat"] == 1 and [r["passed"] + r["refused"] + r["mistrusted"] for r in d["results"]] == [33, 33]
    d = document("--mode", "determinism", "--cases", 2, "--repeat", 3, "--start", 1740)
    assert d["mode"] == "determinism" and d["repeat"] == 3 and d["totals"]["failed"] == 0
    assert {r["operation"] for r in d["results"]} >= {"quantize", "matmul", "weights", "find_range"}
    assert document("--mode", "determinism", "--cases", 1, "--operation", "dequantize")["repeat"] == 100
    # Without --cases every fiftieth case of the tier.
    d = document("--mode", "determinism", "--repeat", 2, "--operation", "find_range")
    assert d["totals"]["passed"] == 400 // 50, d["totals"]


def check_shapes():
    """Small shapes are compared, large ones verified; rules and memory refuse, with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "shapes.txt")
        path.write_text("# two layers\nfirst 1,7 16 64\nsecond 3 40 24 2\n")
        d = document("--shapes", f"{path},33x65x129", "--shapes", "16x16x32", "--types", "u8,s4,bf16", "--zeros",
                     "--bias")
        by_kernel = {r["kernel"]: r for r in d["results"]}
        assert {"auto", "cpu:matmul:reference"} <= set(by_kernel)
        assert {r["operation"] for r in d["results"]} == {"matmul"}
        # The reference row has nothing to be compared with: its own results are verified.
        for kernel, r in by_kernel.items():
            assert r["passed"] == 5 and r["failed"] + r["mistrusted"] + r["refused"] == 0, r
            assert (r["exact"], r["freivalds"]) == ((0, 5) if kernel == "cpu:matmul:reference" else (5, 0)), r
        results = [(s["name"], s["m"], s["n"], s["k"], s["batch"]) for s in d["shapes"] if s["kernel"] == "auto"]
        assert results == [("first", 1, 16, 64, 1), ("first", 7, 16, 64, 1), ("second", 3, 40, 24, 2),
                           ("", 33, 65, 129, 1), ("", 16, 16, 32, 1)], results
        assert all(s["status"] == "passed" and s["seconds"] > 0 for s in d["shapes"]) and "zero points" in d["call"]
        assert sum(s["check"] == "freivalds" for s in d["shapes"]) == d["totals"]["freivalds"]
        assert document("--shapes", path, "--m", "2..8*2", "--kernel", "auto")["totals"]["passed"] == 6
    limit = document("--shapes", "32x32x32,32x32x33", "--exact-limit", 2 * 32**3, "--kernel", "auto")["totals"]
    assert (limit["exact"], limit["freivalds"]) == (1, 1), limit
    d = document("--shapes", "64x64x64", "--exact-limit", 0, "--types", "s8,s8,s32")
    reference, = [r for r in d["results"] if r["kernel"] == "cpu:matmul:reference"]
    assert reference["refused"] == 1 and "--exact-limit" in reference["reasons"][0]["reason"]
    d = document("--shapes", "64x64x64", "--exact-limit", 0, "--kernel", "cpu:matmul:reference")
    assert d["totals"]["freivalds"] == d["totals"]["passed"] == 1
    for shape, types, reason in (("2000000x2000000x2000000", "s8,s8,f16", "it does not fit the host's memory"),
                                 ("2147483647x2147483647x1", "s8,s8,f16", "memory"),
                                 ("2x2x200000", "s8,s8,s32", "K 200000 is more than 131071")):
        d = document("--shapes", shape, "--types", types, code=1)
        assert d["result"] == "failed" and d["failures"] == [], d
        for r in d["results"]:
            assert r["refused"] == 1 and reason in r["reasons"][0]["reason"], r
        assert {(s["status"], s["check"]) for s in d["shapes"]} == {("refused", "")}, d
    d = document("--shapes", "8x8x100", "--scales", "group:16", code=1)  # 16 does not divide 100
    assert d["totals"]["refused"] == len(d["results"]), d
    d = document("--shapes", "17x19x64", "--mode", "determinism", "--repeat", 6)
    assert d["totals"]["passed"] == len(d["results"]) and d["totals"]["exact"] == d["totals"]["freivalds"] == 0
    assert document("--shapes", "17x19x64", "--mode", "bitwise")["repeat"] == 3
    text = run("--shapes", "edges", "--kernel", "auto", "--verbose").stdout
    assert text.count("PASSED ") == 28 and "checked: 27 exact (every bit compared), 0 freivalds\n" in text, text


def check_formats():
    """CSV and JUnit XML have the numbers of JSON; --output is standard output, in a file."""
    arguments = ("--operation", "quantize,matmul", "--start", 1740, "--cases", 40)
    d = document(*arguments)
    done = run(*arguments, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline=""), strict=True))
    assert done.returncode == 0 and len(rows) == len(d["results"])
    root = xml.fromstring(run(*arguments, "--format", "junit").stdout)
    cases = root.findall("testsuite/testcase")
    assert [s.get("name") for s in root] == ["qmm validate quantize", "qmm validate matmul"]
    assert int(root.get("tests")) == len(cases) == len(d["results"]) and root.get("failures") == "0"
    for row, case, result in zip(rows, cases, d["results"]):
        assert row["operation"] == result["operation"] == case.get("classname").removeprefix("qmm.")
        assert row["kernel"] == result["kernel"] == case.get("name") and float(case.get("time")) >= 0.0
        numbers = [result[key] for key in ("passed", "failed", "refused", "mistrusted", "exact", "freivalds")]
        assert [int(row[key]) for key in ("passed", "failed", "refused", "mistrusted", "exact", "freivalds")] == numbers
        assert [int(n) for n in re.findall(r" (\d+)", case.find("system-out").text.splitlines()[0])] == numbers
    # Nothing passed: the row is skipped, and one more test case fails.
    done = run("--operation", "quantize", "--cases", 0, "--format", "junit")
    root = xml.fromstring(done.stdout)
    assert done.returncode == 1 and root.get("failures") == "1" and len(root.findall(".//skipped")) == 3
    root = xml.fromstring(run("--mode", "performance", "--operation", "measure_error", "--format", "junit").stdout)
    assert all(float(case.get("time")) > 0 for case in root.iter("testcase")) and root.get("tests") == "1"
    timings = list(csv.DictReader(io.StringIO(
        run("--mode", "performance", "--operation", "measure_error", "--format", "csv").stdout, newline="")))
    assert timings[0]["unit"] == "GB/s" and float(timings[0]["seconds"]) > 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "report")
        for name, read in (("json", lambda t: json.loads(t)["totals"]["passed"]),
                           ("csv", lambda t: sum(int(r["passed"]) for r in csv.DictReader(io.StringIO(t)))),
                           ("text", lambda t: int(re.search(r"^all +(\d+)", t, re.M)[1]))):
            done = run(*arguments, "--format", name, "--output", path)
            assert done.returncode == 0 and done.stdout == done.stderr == "", done
            assert read(path.read_text()) == d["totals"]["passed"], name
        done = run(*arguments, "--save", pathlib.Path(folder, "saved"))
        assert done.returncode == 0 and list(pathlib.Path(folder, "saved").iterdir()) == []  # nothing failed
        refuse(2, "--save", path, *arguments)
        refuse(2, "--save", pathlib.Path(folder, "no", "such"), *arguments)
        refuse(2, "--output", pathlib.Path(folder, "no", "such"), *arguments)
        assert "cannot write /dev/full" in refuse(1, "--output", "/dev/full", *arguments)


def check_progress():
    """On a terminal: a bar with what is done, of how many, how fast, what is left; and it is taken away."""
    try:
        master, terminal = pty.openpty()
    except OSError as error:
        return print(f"skipped: the terminal, because {error}")
    done = subprocess.Popen([QMM, "validate", "--mode", "fuzz", "--seconds", "1.6", "--operation", "quantize"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal, env=ENVIRONMENT)
    os.close(terminal)
    text = b""
    while chunk := read(master):
        text += chunk
    assert done.wait() == 0 and text.endswith(b"\r\x1b[K"), text
    bars = re.findall(rb"fuzz \[#+\.*\] +(\d+) %  (\d+) cases, (\d+)/s, 0:0\d left", text)
    assert bars and 50 < int(bars[0][0]) <= int(bars[-1][0]) <= 100 and int(bars[0][1]) > 0, text


def read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # its other end is closed
        return b""


def check_nothing_run():
    d = document("--operation", "quantize", "--cases", 0, code=1)
    assert d["result"] == "failed" and d["totals"]["passed"] == 0


def check_cut_short():
    """What ends a run before its time is told, and is no pass."""
    d = document("--operation", "quantize,matmul", "--cases", 1000000, "--seconds", 0.2, code=1)
    assert d["cut_short"] and d["result"] == "failed" and d["totals"]["passed"] > 0 and d["totals"]["failed"] == 0
    d = document("--operation", "matmul", "--start", 1740, "--cases", 1000000, "--seconds", 1)
    assert d["cut_short"] and d["result"] == "passed"  # every row was reached
    process = subprocess.Popen([QMM, "validate", "--mode", "fuzz", "--seconds", "200"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and out.splitlines()[-1] == "FAILED on cpu, seed 1: interrupted", out


def check_errors():
    assert "is none of quantize " in refuse(2, "--operation", "quantise")
    refuse(3, "--device", "cuda:99")
    refuse(2, "--kernel", "cpu:matmul:nothing", "--cases", 1)
    refuse(2, "--kernel", "cpu:matmul:reference", "--operation", "quantize", "--cases", 1)
    for option in ("--cases", "--start", "--seed", "--seconds", "--oracle-limit"):
        for value in ("", "-1", "x", "1x", "1e30", "99999999999999999999"):
            refuse(2, option, value)
    for option in ("--mode", "--tier", "--format", "--operation"):
        refuse(2, option, "")
        refuse(2, option, "QUICK")
    refuse(2, "--operation", "matmul,")
    refuse(2, "--device")
    refuse(2, "--nothing")
    refuse(2, "extra")
    for value in ("0", "-1", "", "x", "1e3", "1.5", "99999999999"):
        assert "--repeat" in refuse(2, "--repeat", value)
    refuse(2, "--exact-limit", "x", "--shapes", "1x1x1")
    for arguments, text in (
            ("--m 4", "--m needs --shapes"), ("--exact-limit 4", "--exact-limit needs --shapes"),
            ("--types s8,s8,s32", "--types needs --shapes"), ("--zeros", "--zeros needs --shapes"),
            ("--shapes 1x1x1 --operation matmul", "--operation does not go with --shapes"),
            ("--shapes 1x1x1 --cases 2", "--cases does not go with --shapes"),
            ("--shapes 1x1x1 --tier full", "--tier does not go with --shapes"),
            ("--shapes 1x1x1 --mode fuzz", "--mode fuzz does not go with --shapes"),
            ("--shapes 1x1x1 --mode performance", "qmm bench"), ("--shapes 1x1", "1x1"),
            ("--shapes nowhere", "nowhere"),
            ("--shapes edges --m x", "--m"), ("--shapes 1x1x1 --types s8,s8", "--types"),
            ("--shapes 1x1x1 --scales group:0", "--scales"), ("--list --output x", "--output does not go with --list"),
            ("--mode performance --repeat 2", "--repeat does not go"),
            ("--mode bitwise --repeat 2", "--repeat does not go"),
            ("--mode performance --save x", "--save does not go with"), ("--format xml", "text json csv junit"),
            ("--kernel cpu:matmul:nothing --shapes 1x1x1", "cpu:matmul:nothing")):
        line = refuse(2, *shlex.split(arguments))
        assert text in line, (text, line)
    refuse(3, "--device", "cuda:99", "--shapes", "1x1x1")


def check_text():
    done = run("--list")
    assert done.returncode == 0 and "cpu:matmul:reference" in done.stdout and "verify_matmul" in done.stdout
    for option in ("--a", "--b", "--c", "--weights"):  # these are commands of their own
        done_other = run("--help", option)
        assert done_other.returncode == 0 and done_other.stdout.startswith("usage: qmm validate --"), option
    assert "llama3-8b" in done.stdout and "edges" in done.stdout
    done = run("--help")
    assert done.returncode == 0 and "--oracle-limit" in done.stdout
    done = run("--operation", "dequantize", "--cases", 20)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.splitlines()[-1] == "PASSED on cpu, seed 1"


for check in (check_json, check_same_cases, check_modes, check_repeat, check_shapes, check_formats, check_progress,
              check_nothing_run, check_cut_short, check_errors, check_text):
    check()
    print("ok", check.__name__)
