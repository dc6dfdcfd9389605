"""qmm validate as its users see it: exit codes, text, JSON, repro lines."""
import json
import os
import subprocess
import sys

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


def check_nothing_run():
    d = document("--operation", "quantize", "--cases", 0, code=1)
    assert d["result"] == "failed" and d["totals"]["passed"] == 0


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


def check_text():
    done = run("--list")
    assert done.returncode == 0 and "cpu:matmul:reference" in done.stdout and "verify_matmul" in done.stdout
    done = run("--help")
    assert done.returncode == 0 and "--oracle-limit" in done.stdout
    done = run("--operation", "dequantize", "--cases", 20)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.splitlines()[-1] == "PASSED on cpu, seed 1"


for check in (check_json, check_same_cases, check_modes, check_nothing_run, check_errors, check_text):
    check()
    print("ok", check.__name__)
