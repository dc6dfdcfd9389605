#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""qmm bench on the cpu device, shapes of a moment: what it writes, what it compares, what it refuses.

usage: test_bench.py QMM HAS_JANSSON SIMULATED_CUDA
"""
import copy
import csv
import io
import json
import math
import pathlib
import re
import sys
import tempfile

from command import environment, refuse, run, succeed

HAS_JANSSON = sys.argv[2] == "1"
SIMULATOR = sys.argv[3]
FEW = ["--seconds", "0.001", "--runs", "3"]
# AddressSanitizer stumbles over the threads' memory of oneDNN, which is not built with it.
ENVIRONMENT = environment(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive",
                          ASAN_OPTIONS="allocator_may_return_null=1:intercept_tls_get_addr=0")

TEXT, WHOLE, REAL, REAL_OR_NULL = "text", "whole", "real", "real or null"
DEVICE = {"name": TEXT, "description": TEXT, "driver": TEXT, "kind": TEXT, "int8_class": TEXT, "compute_units": WHOLE,
          "memory_bytes": WHOLE, "simulated": bool, "copy_bandwidth": REAL_OR_NULL, "int8_peak": REAL_OR_NULL,
          "cache_bytes": REAL_OR_NULL}
METHOD = {"clock": TEXT, "cache": TEXT, "copies": TEXT, "fill": TEXT, "seed": WHOLE, "warm_up": WHOLE,
          "seconds_each": REAL}
ROW = {"operation": TEXT, "who": TEXT, "kernel": TEXT, "variant": TEXT, "chosen": bool, "shape": TEXT, "m": WHOLE,
       "n": WHOLE, "k": WHOLE, "batch": WHOLE, "what": TEXT, "runs": WHOLE, "median": REAL, "minimum": REAL,
       "maximum": REAL, "quartile_1": REAL, "quartile_3": REAL, "operations": REAL, "bytes": REAL, "tops": REAL_OR_NULL,
       "gbps": REAL_OR_NULL, "of_copy": REAL_OR_NULL, "of_peak": REAL_OR_NULL, "copy_floor": REAL_OR_NULL,
       "peak_floor": REAL_OR_NULL, "launches": REAL_OR_NULL, "verified": TEXT, "device": TEXT, "driver": TEXT, "clock_mhz": REAL_OR_NULL, "memory_clock_mhz": REAL_OR_NULL, "watts": REAL_OR_NULL,
       "build": TEXT, "date": TEXT}
SKIP = {"operation": TEXT, "who": TEXT, "kernel": TEXT, "shape": TEXT, "what": TEXT, "reason": TEXT}
OPERATIONS = {"copy", "call", "matmul", "tokens", "quantize", "quantize_dynamic", "dequantize", "requantize",
              "find_range"}


def bench(*arguments):
    return succeed("bench", *FEW, *arguments, env=ENVIRONMENT)


def is_kind(value, kind):
    if kind is bool:
        return isinstance(value, bool)
    if kind == TEXT:
        return isinstance(value, str)
    if kind == WHOLE:
        return type(value) is int and value >= 0
    return (value is None and kind == REAL_OR_NULL) or \
        (type(value) in (int, float) and math.isfinite(value) and value >= 0)


def check_object(thing, kinds, where):
    assert list(thing) == list(kinds), f"{where}: {list(thing)}"
    for key, kind in kinds.items():
        assert is_kind(thing[key], kind), f"{where}: {key} is {thing[key]!r}, which is not {kind}"


def close(x, y):
    return math.isclose(x, y, rel_tol=1e-6)


def check_row(row, device):
    assert row["operation"] in OPERATIONS and row["verified"] in ("exact", "freivalds", "no")
    assert row["runs"] > 0 and row["who"] and row["shape"] and row["what"]
    assert row["minimum"] <= row["quartile_1"] <= row["median"] <= row["quartile_3"] <= row["maximum"]
    if row["operation"] == "matmul":
        assert row["operations"] == 2 * row["m"] * row["n"] * row["k"] * row["batch"]
    if device["simulated"]:
        assert all(row[key] is None for key in ("tops", "gbps", "of_copy", "of_peak", "copy_floor", "peak_floor"))
        return
    if row["operations"]:
        assert close(row["tops"], row["operations"] / row["median"] / 1e12)
    else:
        assert row["tops"] is None and row["of_peak"] is None
    if row["bytes"]:
        assert close(row["gbps"], row["bytes"] / row["median"] / 1e9)
        assert close(row["of_copy"], row["gbps"] * 1e9 / device["copy_bandwidth"])
        assert close(row["copy_floor"], row["bytes"] / device["copy_bandwidth"])
    if row["who"] != "qmm":
        assert not row["chosen"] and row["kernel"] == "" and row["verified"] == "no"
    assert row["device"] == device["description"] and row["driver"] == device["driver"]


def check_document(document):
    assert list(document) == ["tool", "schema", "version", "build", "date", "device", "method", "rows", "skipped"]
    assert document["tool"] == "qmm bench" and document["schema"] == 1
    assert document["version"] == succeed("--version").split()[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
    check_object(document["device"], DEVICE, "device")
    check_object(document["method"], METHOD, "method")
    assert document["method"]["clock"] in ("host", "device") and document["method"]["cache"] in ("warm", "cold")
    for i, row in enumerate(document["rows"]):
        check_object(row, ROW, f"row {i}")
        check_row(row, document["device"])
    for i, skip in enumerate(document["skipped"]):
        check_object(skip, SKIP, f"skipped {i}")
        assert skip["reason"]


def strict(text):
    """JSON without duplicate names and without the words that only Python reads."""
    def unique(pairs):
        assert len({k for k, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    def no_constant(word):
        raise AssertionError(word)
    return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)


def test_json():
    """The schema, key by key; every operation; each qmm row right; peers, or why there are none."""
    document = strict(bench("--preset", "quick", "--verify", "--format", "json"))
    check_document(document)
    rows = document["rows"]
    ours = [row for row in rows if row["who"] == "qmm" and row["operation"] == "matmul"]
    assert {row["operation"] for row in rows} == {"copy", "call", "matmul", "quantize", "dequantize"}
    assert [row["shape"] for row in ours] == ["256x256x256", "1x256x256"]
    assert all(row["verified"] == "exact" and row["chosen"] and row["kernel"].startswith("cpu:matmul:") for row in ours)
    assert {row["who"] for row in rows if row["operation"] == "quantize"} == {"qmm", "memcpy"}
    onednn = [thing for part in ("rows", "skipped") for thing in document[part] if thing["who"] == "oneDNN"]
    assert onednn, "oneDNN is neither measured nor skipped with a reason"
    copy_row = next(row for row in rows if row["operation"] == "copy" and row["who"] == "qmm")
    assert close(copy_row["of_copy"], 1) and close(copy_row["gbps"] * 1e9, document["device"]["copy_bandwidth"])


def test_default_and_choice():
    """What options choose: operations, conversions and sizes, shapes and M, kernels, peers."""
    plain = strict(bench("--operation", "requantize,find_range", "--size", "3x5,8x8", "--peers", "none", "--format",
                         "json"))
    check_document(plain)
    assert [(row["operation"], row["shape"]) for row in plain["rows"]] == \
        [("requantize", "3x5"), ("requantize", "8x8"), ("find_range", "3x5"), ("find_range", "8x8")]
    text = bench("--operation", "quantize", "--size", "4x64", "--peers", "none", "--format", "json",
                 "--conversion", "f32:s8:row,bf16:s4:group32,f16:u8:tensor:offset1")
    assert [row["what"] for row in strict(text)["rows"]] == \
        ["f32 -> s8, scale per row", "bf16 -> s4, scale per row and group of 32",
         "f16 -> u8, scale per tensor, 1 elements off"]
    assert [row["bytes"] for row in strict(text)["rows"]] == [4 * 64 * 5 + 4 * 4, 4 * 64 * 2.5 + 4 * 8, 4 * 64 * 3 + 4]
    # Layers at two M; every row, checked; operands in turn.
    text = bench("--operation", "matmul", "--shapes", "bert-base/o,20x30x40x2", "--m", "1,2", "--kernel", "all",
                 "--cache", "cold", "--verify", "--types", "u8,s8,s8", "--zeros", "--bias", "--format", "json")
    document = strict(text)
    check_document(document)
    ours = [row for row in document["rows"] if row["who"] == "qmm"]
    assert {(row["m"], row["n"], row["batch"]) for row in ours} == {(1, 768, 1), (2, 768, 1), (20, 30, 2)}
    assert {row["kernel"] for row in ours} >= {"cpu:matmul:reference"}
    assert all(row["verified"] == "exact" for row in ours) and document["method"]["cache"] == "cold"
    assert sum(row["chosen"] for row in ours) == 3
    named = strict(bench("--operation", "matmul,quantize", "--shapes", "9x9x9", "--kernel",
                         "cpu:matmul:reference,cpu:quantize:chunked", "--size", "2x2", "--conversion", "f32:s8:row",
                         "--format", "json"))
    assert [row["kernel"] for row in named["rows"] if row["who"] == "qmm"] == \
        ["cpu:matmul:reference", "cpu:quantize:chunked"]


def test_tokens():
    """Quantizing and the matmul as one run: bytes of bf16 in place of codes; what does not fit together is skipped."""
    what = ["--operation", "tokens,matmul", "--shapes", "4x32x64", "--peers", "none", "--format", "json"]
    document = strict(bench(*what))
    check_document(document)
    matmul, tokens = document["rows"]
    assert (matmul["operation"], tokens["operation"]) == ("matmul", "tokens")
    assert tokens["what"] == "bf16 -> s8 per row, then " + matmul["what"] and tokens["kernel"] == matmul["kernel"]
    assert tokens["bytes"] == matmul["bytes"] + 4 * 64 and tokens["operations"] == matmul["operations"]
    for options in (["--types", "s8,s8,s32"], ["--types", "u8,s8,f16"], ["--scales", "tensor"], ["--zeros"],
                    ["--transpose-a"]):
        document = strict(bench(*what, *options))
        assert [skip["operation"] for skip in document["skipped"]] == ["tokens"], options


def test_simulated():
    """A simulated CUDA device: the same operations at tiny sizes, times by its events, no speed stated; what needs a real
    driver is skipped with the reason."""
    simulated = {**ENVIRONMENT, "QMM_CUDA_LIBRARY": SIMULATOR, "QMM_SIMULATOR": "compute=80"}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "out.json")
        text = succeed("bench", "--device", "cuda", "--verify", "--output", path, env=simulated)
        document = strict(path.read_text())
    check_document(document)
    device, rows = document["device"], document["rows"]
    assert device["simulated"] and device["copy_bandwidth"] is None and device["int8_peak"] is None
    assert document["method"]["clock"] == "device" and "no speed is stated" in text
    assert not re.search(r"GB/s|TOPS| [mun]s \|", text)
    assert {row["operation"] for row in rows} == OPERATIONS
    assert all(row["verified"] == "exact" for row in rows if row["operation"] == "matmul" and row["who"] == "qmm")
    assert any("graph of 100" in row["what"] for row in rows)
    assert {skip["who"] for skip in document["skipped"]} >= {"cuBLASLt", "cuBLAS", "driver"}


NOT_BESIDE = "not beside this device"


def reasons(document):
    return [(skip["who"], skip["reason"]) for skip in document["skipped"]]


def test_peers_of_other_devices():
    """A peer that is asked for by name on a device that it is not beside is refused, once, and qmm is measured."""
    what = ["--operation", "matmul,call,quantize", "--shapes", "16x16x16,17x16x16", "--format", "json"]
    names = ["--peers", "cublaslt,cublaslt-dequantize,cublas-f16,launch,cuda,cpu,driver"]
    document = strict(bench(*what, *names))
    assert reasons(document).count(("cuBLASLt", NOT_BESIDE)) == 2
    assert {why for _, why in reasons(document)} == {NOT_BESIDE}
    assert {who for who, _ in reasons(document)} == {"cuBLASLt", "cuBLAS", "driver", "qmm cuda", "qmm cpu"}
    assert {row["who"] for row in document["rows"]} == {"qmm"}
    simulated = {**ENVIRONMENT, "QMM_CUDA_LIBRARY": SIMULATOR, "QMM_SIMULATOR": "compute=80"}
    document = strict(succeed("bench", "--device", "cuda", *what, "--peers", "onednn,memcpy,cublas-f16", env=simulated))
    check_document(document)
    assert set(reasons(document)) == {("oneDNN", NOT_BESIDE), ("memcpy", NOT_BESIDE),
                                      ("cuBLAS", "the device is simulated, and peers are not")}


def test_cold_peers():
    """Beside operands in turn memcpy goes over as many bytes as in one."""
    document = strict(bench("--operation", "quantize", "--size", "64x64", "--conversion", "f32:s8:row", "--cache",
                            "cold", "--format", "json"))
    check_document(document)
    size = 64 * 64 * 5 + 4 * 64
    assert [row["bytes"] for row in document["rows"] if row["who"] == "memcpy"] == [2 * (size // 2 + 1)]


def test_freivalds():
    """Beyond 2^31 operations. In a sanitized build oneDNN is not: the shape is as small as it can be."""
    document = strict(bench("--operation", "matmul", "--shapes", "1025x1024x1024", "--runs", "1", "--peers", "none",
                            "--verify", "--format", "json"))
    assert [row["verified"] for row in document["rows"]] == ["freivalds"]


def test_no_onednn():
    """A peer that is missing is listed with the reason, once, and the run goes on."""
    text = succeed("bench", *FEW, "--operation", "matmul", "--shapes", "8x8x8,16x8x8", "--format", "json",
                   env={**ENVIRONMENT, "QMM_ONEDNN_LIBRARY": "/nonexistent/libdnnl.so"})
    document = strict(text)
    assert [skip["reason"] for skip in document["skipped"] if skip["who"] == "oneDNN"] == ["there is no oneDNN library"]
    assert {row["who"] for row in document["rows"]} == {"qmm"}


def test_time_limit():
    """What was not begun is listed."""
    document = strict(bench("--operation", "matmul", "--shapes", "64x64x64,65x64x64,66x64x64", "--seconds", "0.05",
                            "--time-limit", "0.01", "--format", "json"))
    assert len([row for row in document["rows"] if row["who"] == "qmm"]) == 1
    assert [(skip["shape"], skip["reason"]) for skip in document["skipped"] if skip["who"] == "qmm"] == \
        [("65x64x64", "the time was over"), ("66x64x64", "the time was over")]


def table_rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("|") and not line.startswith("|--")]


def test_markdown_and_ratios():
    """Tables of equal width under their heads; the ratio to a peer is that of the medians of the JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "out.json")
        text = bench("--preset", "quick", "--output", path)
        document = strict(path.read_text())
    check_document(document)
    assert text.startswith("# qmm bench: ") and text.count("# qmm bench") == 1
    width = None
    for line in text.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        width = width or line.count("|")
        assert line.count("|") == width, line
    assert re.findall("^## (.*)", text, re.M)[:5] == ["copy", "call", "matmul", "quantize", "dequantize"]
    line = next(row for row in table_rows(text) if row[0] == "256x1024" and row[1].startswith("f32 -> s8"))
    by = {row["who"]: row for row in document["rows"] if row["operation"] == "quantize"}
    assert "| speed-up over |" in text and "above 1, qmm is faster" in text
    ratio, who = line[-1].split()
    assert who == "memcpy" and abs(float(ratio) - by["memcpy"]["median"] / by["qmm"]["median"]) <= 0.0051
    assert int(line[4]) == by["qmm"]["runs"]


def test_csv():
    """A line a row, all of its columns, the JSON's values."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "out.json")
        text = bench("--operation", "matmul,dequantize", "--shapes", "16x16x16", "--size", "8x8", "--format", "csv",
                     "--output", path)
        rows = strict(path.read_text())["rows"]
    lines = list(csv.DictReader(io.StringIO(text), strict=True))
    assert len(lines) == len(rows) > 0
    for line, row in zip(lines, rows):
        assert list(line) == list(ROW) and None not in line.values()
        for key, kind in ROW.items():
            if kind == TEXT:
                assert line[key] == row[key]
            elif kind is bool:
                assert line[key] == ("true" if row[key] else "false")
            else:
                assert line[key] == "" if row[key] is None else math.isclose(float(line[key]), row[key], rel_tol=1e-8)


# ---- comparison ------------------------------------------------------------------------------------------------------

def made_up():
    """A file of three figures, as qmm bench writes it."""
    row = {key: "" if kind == TEXT else False if kind is bool else 0 for key, kind in ROW.items()}
    row.update(operation="matmul", who="qmm", kernel="cuda:matmul:mma", what="s8 x s8 -> f16", shape="llama3-8b/o",
               m=16, n=4096, k=4096, batch=1, runs=20, median=1e-3, quartile_1=0.99e-3, quartile_3=1.01e-3)
    rows = [dict(row, m=m) for m in (16, 32, 64)]
    device = {key: "" if kind == TEXT else False if kind is bool else 0 for key, kind in DEVICE.items()}
    device.update(description="H100", driver="570")
    return {"tool": "qmm bench", "schema": 1, "version": "0.1.0", "build": "GNU", "date": "2026-11-21",
            "device": device, "method": {"cache": "cold"}, "rows": rows, "skipped": []}


def change(document, row, factor, spread=0.01):
    changed = copy.deepcopy(document)
    median = changed["rows"][row]["median"] * factor
    changed["rows"][row].update(median=median, quartile_1=median * (1 - spread), quartile_3=median * (1 + spread))
    return changed


def compare(folder, old, new, *options):
    """Compares two made-up files: the exit code and the text."""
    paths = []
    for name, document in (("old", old), ("new", new)):
        paths.append(pathlib.Path(folder, name + ".json"))
        paths[-1].write_text(json.dumps(document))
    done = run("bench", "--compare", paths[0], "--with", paths[1], *options)
    assert done.stderr == "", done.stderr
    return done.returncode, done.stdout


def verdicts(text):
    return [row[-1] for row in table_rows(text) if len(row) == 8][1:]


def test_compare():
    """A loss, a gain, noise of either kind, figures of one file only, another device and build."""
    base = made_up()
    with tempfile.TemporaryDirectory() as folder:
        code, text = compare(folder, base, base)
        assert code == 0 and verdicts(text) == ["", "", ""] and "differs" not in text and "| only |" not in text
        code, text = compare(folder, base, change(base, 1, 1.2))
        assert code == 1 and verdicts(text) == ["", "loss", ""] and "| 0.833 |" in text
        assert "3 compared: 1 slower" in text
        code, text = compare(folder, base, change(base, 2, 0.5))
        assert code == 0 and verdicts(text) == ["", "", "gain"] and "| 2.000 |" in text
        assert "| speed-up |" in text and "above 1, it is faster now" in text
        for zero in (change(base, 0, 0), base):  # the clock was too coarse: shown, not judged
            code, text = compare(folder, change(base, 0, 0), zero)
            assert code == 0 and verdicts(text) == ["", "", ""]
        assert "| - |" in compare(folder, base, change(base, 0, 0))[1]
        assert compare(folder, base, change(base, 0, 1.04))[0] == 0  # within --noise 5
        assert compare(folder, base, change(base, 0, 1.04), "--noise", "1")[0] == 1
        assert compare(folder, base, change(base, 0, 1.2), "--noise", "25")[0] == 0
        code, text = compare(folder, base, change(base, 0, 1.2, spread=0.3))  # the quartiles overlap
        assert code == 0 and verdicts(text) == ["", "", ""]
        assert compare(folder, base, change(base, 0, 1.2, spread=0.1))[0] == 1
        few = change(base, 0, 2)
        few["rows"][0]["runs"] = 1
        assert compare(folder, base, few)[0] == 0  # shown, not judged
        other = copy.deepcopy(base)
        other["device"]["description"], other["build"] = "H200", "Clang"
        other["method"]["cache"] = "warm"
        other["rows"][0]["m"] = 8
        other["rows"][1]["variant"] = "large"
        code, text = compare(folder, base, other)
        assert code == 0 and len(verdicts(text)) == 1
        assert "The device differs: 'H100' before, 'H200' now." in text and "The build differs: 'GNU' before" in text
        assert "The state of the caches differs: 'cold' before, 'warm' now." in text
        assert [row[-1] for row in table_rows(text) if len(row) == 5] == ["only", "before", "before", "now", "now"]
        # Peers that stand beside several figures in the same words: each is held against its own.
        twice = copy.deepcopy(base)
        peers = [dict(base["rows"][0], who="oneDNN", kernel=""), dict(base["rows"][0], who="oneDNN", kernel="")]
        for key in ("median", "quartile_1", "quartile_3", "minimum", "maximum"):
            peers[1][key] *= 3
        twice["rows"] += peers
        code, text = compare(folder, twice, twice)
        assert code == 0 and set(verdicts(text)) == {""} and set(row[-2] for row in table_rows(text)[2:] if len(row) == 8) == {"1.000"}
        code, text = compare(folder, twice, change(twice, 4, 2))
        assert code == 0 and verdicts(text)[-1] == "slower", text  # a peer's loss is none of ours


def test_compare_with_a_run():
    """Figures just measured against a file: all slower than a file of figures a thousand times faster."""
    what = ["--operation", "matmul", "--shapes", "64x64x64", "--peers", "none"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "old.json")
        bench(*what, "--output", path)
        document = strict(path.read_text())
        for factor, code, word in ((1e-3, 1, "loss"), (1e3, 0, "gain")):
            path.write_text(json.dumps(change(document, 0, factor)))
            done = run("bench", *FEW, *what, "--compare", path, env=ENVIRONMENT)
            assert done.returncode == code and verdicts(done.stdout) == [word], done.stdout + done.stderr
        done = run("bench", *FEW, *what, "--compare", path, "--format", "json", env=ENVIRONMENT)
        check_document(strict(done.stdout))  # the comparison is on standard error
        assert verdicts(done.stderr) == ["gain"]


def wrong_documents():
    """Files with one thing wrong, and what the line has to say."""
    base = made_up()

    def edit(path, value):
        document = copy.deepcopy(base)
        place = document
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return json.dumps(document)
    for key in ("tool", "schema", "version", "build", "date", "device", "rows"):
        yield edit([key], None), key
        yield edit([key], [3.5] if key == "rows" else 3.5), key
    for key in ("operation", "who", "kernel", "variant", "shape", "what", "m", "n", "k", "batch", "runs", "median",
                "quartile_1", "quartile_3"):
        yield edit(["rows", 2, key], None), f"row 2: '{key}'"
        yield edit(["rows", 2, key], []), f"row 2: '{key}'"
    yield edit(["schema"], 2), "'schema' is not 1"
    yield edit(["tool"], "qmm"), "another program"
    yield json.dumps(dict(base, rows=base["rows"][:1] * 10001)), "more than 10000"
    for value in (-1e-3, 1e300):
        yield edit(["rows", 0, "median"], value), "'median'"
    yield edit(["rows", 0, "m"], -1), "'m'"
    yield edit(["rows", 0, "what"], "x" * 5000), "too long"
    yield edit(["rows", 0, "what"], "a\nb"), "control character"
    yield json.dumps(base).replace('"median": 0.001', '"median": 1e400', 1), ""
    yield json.dumps(base).replace('"tool"', '"tool": "qmm bench", "tool"', 1), "uplicate"
    yield json.dumps(base).replace("0.001", "NaN", 1), ""
    yield "[" * 100000, ""
    yield "{}", "'tool'"
    yield "[]", "object"
    yield "\0", ""
    yield "\xff\xfe", ""


def test_bad_files():
    """Every truncation of a file, and files with one thing wrong: one line, exit code 2."""
    seed = json.dumps(dict(made_up(), rows=made_up()["rows"][:1]))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "old.json")
        path.write_text(seed)
        good = pathlib.Path(folder, "good.json")
        good.write_text(seed)
        assert run("bench", "--compare", path, "--with", good).returncode == 0
        for length in range(len(seed)):
            path.write_text(seed[:length])
            refuse(2, "bench", "--compare", path, "--with", good)
        for text, words in wrong_documents():
            path.write_bytes(text.encode("latin-1"))
            line = refuse(2, "bench", "--compare", path, "--with", good)
            assert words in line and str(path) in line, (line, words)
        assert "cannot read" in refuse(2, "bench", "--compare", folder + "/none.json")
        assert "regular file" in refuse(2, "bench", "--compare", folder)


def test_without_jansson():
    line = refuse(2, "bench", "--compare", __file__)
    assert "built without Jansson" in line


# ---- usage -----------------------------------------------------------------------------------------------------------

BAD = [
    ("--device", "nothing"), ("--device", ""), ("--operation", "matmul,add"), ("--operation", ""),
    ("--operation", "matmul,"), ("--shapes", "3x4"), ("--shapes", ""), ("--shapes", "no-such-set"), ("--m", "0.5"),
    ("--m", "x"), ("--size", "5"), ("--size", "0x5"), ("--size", "5x-1"), ("--size", "5x99999999999"),
    ("--size", "3x4,"), ("--conversion", "f32:s8:row:offset"), ("--conversion", "f32:s8:diagonal"),
    ("--conversion", "f64:s8:row"), ("--conversion", "f32:s8:row:offset-1"), ("--conversion", "f32:s8:group0"),
    ("--conversion", "f32:s8:row:offset1:x"), ("--conversion", "f32:s8:"),
    ("--operation", "quantize", "--conversion", "s8:f32:row"), ("--kernel", "cpu:matmul:nothing"),
    ("--kernel", "cpu:matmul:reference/large"), ("--kernel", ""), ("--kernel", "auto,all"), ("--peers", "nobody"),
    ("--peers", ""), ("--peers", "memcpy,"), ("--seconds", "-1"), ("--seconds", "nan"), ("--seconds", "1e9"),
    ("--runs", "0"), ("--runs", "3000"), ("--runs", "1.5"), ("--time-limit", "inf"), ("--cache", "lukewarm"),
    ("--seed", "0"), ("--seed", "-1"), ("--format", "xml"), ("--output", "/nonexistent/folder/file"),
    ("--noise", "-1"), ("--preset", "none"), ("--preset", "cpu", "--shapes", "1x1x1"),
    ("--preset", "cpu", "--m", "1"), ("--preset", "cpu", "--size", "1x1"),
    ("--preset", "cpu", "--conversion", "f32:s8:row"), ("--preset", "cpu", "--bias"), ("--types", "s8,s8"),
    ("--scales", "group:0"), ("--with", "file"), ("--nothing",), ("--verify=1",), ("--seconds",), ("more",),
]


def test_usage():
    """One line, exit code 2 (3 for a device), and nothing measured."""
    for arguments in BAD:
        refuse(3 if arguments == ("--device", "nothing") else 2, "bench", *arguments, env=ENVIRONMENT)
    refuse(3, "bench", "--device", "cuda")


def test_output():
    """A file comes whole or not at all: none where the device does not open, the old one where it was there."""
    tiny = ["--operation", "quantize", "--size", "2x2", "--conversion", "f32:s8:row", "--peers", "none"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "out.json")
        refuse(3, "bench", "--device", "cuda", "--output", path)
        assert not list(path.parent.iterdir())
        path.write_text("old")
        refuse(3, "bench", "--device", "cuda", "--output", path)
        assert path.read_text() == "old"
        bench(*tiny, "--output", path)
        check_document(strict(path.read_text()))
        assert [file.name for file in path.parent.iterdir()] == ["out.json"]
        assert "cannot be written" in refuse(2, "bench", "--output", folder)
        link = pathlib.Path(folder, "link.json")
        link.symlink_to(path.name)
        path.write_text("old")
        bench(*tiny, "--output", link)
        assert link.is_symlink() and path.read_text().startswith("{")
        assert bench(*tiny, "--format", "json", "--output", "/dev/stdout").count('"tool"') == 2


def test_list():
    text = succeed("bench", "--list")
    for word in (*OPERATIONS, "quick", "gpu", "memory", "decode", "gemm", "llama3-8b", "onednn", "cublaslt-dequantize", "cpu:matmul:reference"):
        assert re.search(rf"^ *{re.escape(word)}\b", text, re.M), word


def main():
    needing = {test_compare, test_compare_with_a_run, test_bad_files}
    tests = [f for name, f in sorted(globals().items()) if name.startswith("test_") and f is not test_without_jansson]
    tests = tests if HAS_JANSSON else [f for f in tests if f not in needing] + [test_without_jansson]
    for test in tests:
        test()
        print("ok", test.__name__)


if __name__ == "__main__":
    main()
