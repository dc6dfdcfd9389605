"""Reports of failures in each format, with a text that is hostile to all: what a parser reads is what was meant.

usage: test_formats.py PROGRAM, which with --hostile FORMAT prints the report of a faulty device."""
import csv
import io
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml

PROGRAM = sys.argv[1]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}  # the sanitizer is linked into the program
START = '<a href="x">&amp; ]]> \'q\' , '


def report(name):
    done = subprocess.run([PROGRAM, "--hostile", name], stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                          env=ENVIRONMENT)
    assert done.returncode == 1 and done.stderr == b"", done
    return done.stdout


def check_json():
    d = json.loads(report("json").decode("utf-8"))
    mismatches = {f["mismatch"] for f in d["failures"]}
    assert mismatches == {START + "\t\x01\x1f\x7f \ufffd\ufffd( \uffff \xe9 end"}, mismatches
    assert d["totals"]["failed"] == 2 * len(d["results"]) == len(d["failures"])
    return d


def check_csv(d):
    text = report("csv").decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(d["results"]) == text.count("\n") - 1
    for row, result in zip(rows, d["results"]):
        assert None not in row and None not in row.values(), row
        assert (row["operation"], row["kernel"]) == (result["operation"], result["kernel"])
        for key in ("passed", "failed", "refused", "mistrusted", "exact", "freivalds"):
            assert int(row[key]) == result[key], (key, row, result)
        # Control characters become spaces, so that a row is a line.
        assert row["first_mismatch"] == START + "     \ufffd\ufffd( \uffff \xe9 end", row["first_mismatch"]
        assert row["first_repro"] in {f["repro"] for f in d["failures"]} and row["device"] == "cpu"


def check_junit(d):
    root = xml.fromstring(report("junit"))
    assert root.tag == "testsuites" and [s.tag for s in root] == ["testsuite"]
    suite = root[0]
    cases = suite.findall("testcase")
    assert int(root.get("tests")) == int(suite.get("tests")) == len(cases) == len(d["results"])
    assert int(root.get("failures")) == int(suite.get("failures")) == len(cases)
    for case, result in zip(cases, d["results"]):
        assert case.get("name") == result["kernel"] and float(case.get("time")) >= 0
        failure, = case.findall("failure")
        assert failure.get("message") == "2 of 2 cases failed"
        repros = [f["repro"] for f in d["failures"] if f" --kernel {result['kernel']} " in f["repro"]]
        lines = failure.text.splitlines()
        assert len(repros) == 2 and lines[0::2] == repros, (lines, repros)
        for line in lines[1::2]:
            assert line.endswith(START + "\t\ufffd\ufffd\ufffd \ufffd\ufffd( \ufffd \xe9 end"), line
        assert case.find("system-out").text.startswith("passed 0, failed 2, refused 0, mistrusted 0, exact 2,")


document = check_json()
check_csv(document)
check_junit(document)
print("ok")
