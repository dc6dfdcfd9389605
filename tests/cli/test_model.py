#!/usr/bin/env python3
"""qmm validate --weights: models made here, their tables beside numpy; and files that are none.

QMM_TEST_MODEL=FILE.safetensors in the environment runs a real one too.

usage: test_model.py QMM SIMULATED_CUDA [--update-golden]
"""
import csv
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

from command import QMM, environment, refuse, run, succeed

GOLDEN = pathlib.Path(__file__).parent / "golden" / "validate" / "weights.txt"
SIMULATOR = sys.argv[2]
RANDOM = np.random.default_rng(1)
NAMES = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64", "uint16": "BF16"}


def to_bf16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def as_float(x):
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x.astype(np.float32)


# A line's end, ESC and CSI (of one byte and of C1): in tables they are spaces, so that they reach no terminal.
HOSTILE = "line\nbreak, \"quotes\" \u00e9, ESC\x1b[1m, \u009b2J"
SHOWN = "line break, \"quotes\" \u00e9, ESC [1m,  2J"


def safetensors(tensors, **metadata):
    """A file of arrays; uint16 stands for bf16."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, array in tensors.items():
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": array.shape,
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def weights_db(w, high=127, group=None, per_tensor=False):
    """SQNR of symmetric codes -high - 1 .. high, a scale per row, group or tensor."""
    rows = w.reshape(1, -1) if per_tensor else w.reshape(-1, group or w.shape[1])
    scale = np.abs(rows).max(1, keepdims=True) / np.float32(high)
    restored = np.clip(np.rint(rows / scale), -high - 1, high) * scale
    error = rows.astype(np.float64) - restored
    return 10 * np.log10((rows.astype(np.float64)**2).sum() / (error**2).sum())


def report(path, *options, code=0):
    done = run("validate", "--weights", path, "--format", "json", *options)
    assert done.returncode == code and done.stderr == "", (options, done.returncode, done.stderr)
    return json.loads(done.stdout)


def make_model(folder):
    """Every type, odd sizes, and tensors that are left out."""
    normal = lambda *shape: RANDOM.normal(0, 0.05, shape)
    matrices = {"embed.weight": normal(129, 48).astype(np.float32), "layer.0.up.weight": to_bf16(normal(96, 48)),
                "layer.0.down.weight": normal(48, 96).astype(np.float16), "one": np.full((1, 1), 2, np.float32),
                HOSTILE: normal(7, 33).astype(np.float32)}
    others = {"norm.bias": normal(48).astype(np.float32), "scalar": np.array(1, np.float32),
              "conv": normal(2, 3, 4).astype(np.float32), "double": normal(4, 4), "ids": np.zeros((1, 8), np.int64),
              "empty": np.zeros((0, 8), np.float32)}
    path = folder / "model.safetensors"
    path.write_bytes(safetensors({**others, **matrices}, format="pt"))
    return path, matrices


def check_matrix(m, w, high, n_of_group=None, per_tensor=False):
    assert (m["n"], m["k"]) == w.shape
    assert m["result"] == "passed", m
    if w.size == 1:
        assert m["weights_db"] is None or m["weights_db"] > 100  # 2 is 127 times its scale, but for rounding
        return
    assert abs(m["weights_db"] - weights_db(w, high, n_of_group, per_tensor)) < 0.01, m
    # The product has the noise of the weights and that of 8-bit activations.
    assert m["weights_db"] - 12 < m["product_db"] < 45 and m["cosine"] > (0.999 if high == 127 else 0.97), m


def test_model(folder):
    path, matrices = make_model(folder)
    for options, high, group, per_tensor in (([], 127, None, False), (["--type", "s4"], 7, None, False),
                                             (["--granularity", "tensor"], 127, None, True)):
        for limit, check in (([], "exact"), (["--exact-limit", 0], "freivalds")):
            r = report(path, *options, *limit)
            assert [m["name"] for m in r["matrices"]] == list(matrices)
            for m in r["matrices"]:
                assert m["checked"] == check
                check_matrix(m, as_float(matrices[m["name"]]), high, group, per_tensor)
            assert r["passed"] == len(matrices) and r["failed"] == r["refused"] == 0
            assert r["parameters"] == sum(w.size for w in matrices.values())
            assert r["left_out"] == {"vectors": 2, "other_dimensions": 1, "not_real": 2, "empty": 1, "not_matched": 0}
    grouped = report(path, "--granularity", "group:16", "--type", "s4")
    for m in grouped["matrices"]:
        if m["k"] % 16 == 0:
            check_matrix(m, as_float(matrices[m["name"]]), 7, 16)
        else:
            assert m["result"] == "refused" and "group" in m["reason"]
    assert grouped["passed"] == 3 and grouped["refused"] == 2
    assert report(path, "--granularity", "group:1000", code=1)["passed"] == 0  # nothing ran


def test_seed_and_rows(folder):
    path, _ = make_model(folder)
    strip = lambda r: [{k: v for k, v in m.items() if k != "seconds"} for m in r["matrices"]]
    first = strip(report(path, "--m", 3))
    assert first == strip(report(path, "--m", 3)) and first == strip(report(path, "--m", 3, "--exact-limit", 1e18))
    assert first != strip(report(path, "--m", 3, "--seed", 2)) and first != strip(report(path, "--m", 300))


def test_match_and_list(folder):
    path, matrices = make_model(folder)
    r = report(path, "--match", "layer.0.*")
    assert [m["name"] for m in r["matrices"]] == ["layer.0.up.weight", "layer.0.down.weight"]
    assert r["left_out"]["not_matched"] == 3
    r = report(path, "--list")
    assert [(m["name"], m["n"], m["k"]) for m in r["matrices"]] == [(n, *w.shape) for n, w in matrices.items()]
    assert "result" not in r["matrices"][0]
    text = succeed("validate", "--weights", path, "--list")
    assert "layer.0.up.weight" in text and "96 x 48" in text and "5 matrices" in text
    assert len(succeed("validate", "--weights", path, "--list", "--format", "csv").splitlines()) > 5


def test_formats(folder):
    path, matrices = make_model(folder)
    text = succeed("validate", "--weights", path)
    assert SHOWN in text and text.count("PASSED") == 5 and "5 passed, 0 failed, 0 refused" in text
    assert "left out: 2 tensors not of F32, F16 or BF16" in text
    rows = list(csv.DictReader(io.StringIO(succeed("validate", "--weights", path, "--format", "csv"))))
    assert [row["name"] for row in rows] == [SHOWN if name == HOSTILE else name for name in matrices]
    assert {row["result"] for row in rows} == {"passed"}
    wanted = {m["name"]: m for m in report(path)["matrices"]}
    for row in rows[:3]:
        assert abs(float(row["product_db"]) - wanted[row["name"]]["product_db"]) < 1e-3


def test_head(folder):
    """What the document says of itself."""
    path, _ = make_model(folder)
    for granularity, word, group in (("column", "column", 0), ("tensor", "tensor", 0), ("group:16", "group", 16)):
        r = report(path, "--granularity", granularity)
        assert (r["tool"], r["mode"], r["schema"], r["result"]) == ("qmm validate", "weights", 1, "passed")
        assert r["device"]["name"] == "cpu" and (r["granularity"], r["group"]) == (word, group)
    assert report(path, "--granularity", "group:1000", code=1)["result"] == "failed"
    assert report(path, "--list")["device"] is None


def test_device_failure(folder):
    """A device that fails, in whichever kernel, is never a result that passed: exit code 1, one line, no table."""
    if not os.path.exists(SIMULATOR):
        return print("skipped: a failing device, because the simulated one is not built")
    np.save(folder / "w.npy", RANDOM.normal(0, 1, (5, 7)).astype(np.float32))

    def passes(launch, limit):
        """Compute capability 5.0 has rows that need no known-answer test: the launches are those of the work."""
        done = run("validate", "--weights", folder / "w.npy", "--device", "cuda", "--m", 2, *limit,
                   env=environment(QMM_CUDA_LIBRARY=SIMULATOR, QMM_SIMULATOR=f"compute=50,fail_launch={launch}"))
        if done.returncode == 0:
            assert "1 passed" in done.stdout and done.stderr == "", done
            return True
        assert done.returncode == 1 and done.stdout == "", done
        assert re.fullmatch("qmm validate: .+CUDA_ERROR_LAUNCH_FAILED.*\n", done.stderr), done
        return False

    for limit in ([], ["--exact-limit", 0]):
        launches = next(n for n in range(1, 200) if passes(n, limit))
        assert launches > 3, launches


def test_npy(folder):
    w = RANDOM.normal(0, 1, (40, 24)).astype(np.float32)
    for dtype in (np.float32, np.float16):
        np.save(folder / "w.npy", w.astype(dtype))
        r = report(folder / "w.npy")
        check_matrix(r["matrices"][0], w.astype(dtype).astype(np.float32), 127)
    np.save(folder / "w.npy", w.astype(np.int32))
    assert "f4 or f2" in refuse(2, "validate", "--weights", folder / "w.npy")
    np.save(folder / "w.npy", w[0])
    assert "a matrix of f4 or f2" in refuse(2, "validate", "--weights", folder / "w.npy")


def test_pieces(folder):
    """Matrices larger than the pieces in which a file is read, the pieces' ends inside of rows."""
    w = {name: RANDOM.normal(0, 1, shape).astype(np.float32) for name, shape in (("a", (701, 523)), ("b", (3, 300001)))}
    path = folder / "w.safetensors"
    path.write_bytes(safetensors(w))
    for m in report(path, "--m", 9)["matrices"]:
        check_matrix(m, w[m["name"]], 127)


def test_values(folder):
    """Rows of zeros go through; a matrix with NaN or infinities is refused, and they are counted."""
    w = RANDOM.normal(0, 1, (16, 32)).astype(np.float32)
    w[7] = 0
    broken = w.copy()
    broken[3, 4], broken[5, 6] = np.nan, np.inf
    path = folder / "w.safetensors"
    path.write_bytes(safetensors({"broken": broken, "w": w, "zero": np.zeros((3, 5), np.float32)}))
    first, *others = report(path)["matrices"]
    assert first["result"] == "refused" and first["reason"] == "2 of its values are NaN or infinite", first
    for m in others:
        assert m["result"] == "passed" and (m["product_db"] is None or m["product_db"] > 30) and m["cosine"] > 0.99, m


def test_refusals(folder):
    path, _ = make_model(folder)
    for options, wanted in ((["--type", "u8"], "--type 'u8' is none of s8 s4"), (["--m", 0], "--m '0'"),
                            (["--granularity", "row"], "is none of column tensor group:G"),
                            (["--granularity", "group:0"], "is none of"), (["--match", "none*"], "--match"),
                            (["--seed", "x"], "--seed 'x'"), (["more"], "unexpected argument 'more'"),
                            (["--format", "xml"], "is none of text json csv"), (["--c", "x"], "--c")):
        line = refuse(2, "validate", "--weights", path, *options)
        assert wanted in line, (line, wanted)
    refuse(3, "validate", "--weights", path, "--device", "cuda")
    assert "ends neither in" in refuse(2, "validate", "--weights", folder / "x.bin")
    assert "cannot open" in refuse(2, "validate", "--weights", folder / "none.safetensors")
    assert "--weights" in refuse(2, "validate", "--weights")


def test_memory(folder):
    """The file is never in memory as a whole: one of 600 MB, most of it a hole, in 400 MB."""
    n, k, count = 512, 1024, 290
    header = {f"w{i}": {"dtype": "F32", "shape": [n, k], "data_offsets": [i * 4 * n * k, (i + 1) * 4 * n * k]}
              for i in range(count)}
    text = json.dumps(header).encode()
    path = folder / "large.safetensors"
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + count * 4 * n * k)
    limited = ["sh", "-c", "ulimit -v 400000 && exec \"$@\"", "sh", QMM]
    if subprocess.run([*limited, "--version"], capture_output=True, env=environment(), timeout=30).returncode != 0:
        return print("skipped: the limit of memory, in which a sanitizer cannot start")
    done = subprocess.run([*limited, "validate", "--weights", path, "--match", "w28?", "--m", "1"],
                          capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0 and "10 passed" in done.stdout, done.stderr


def test_real_model(folder):
    path = os.environ.get("QMM_TEST_MODEL")
    if not path:
        return print("skipped: a real model, because QMM_TEST_MODEL names none")
    r = report(path)
    assert r["failed"] == 0 and r["passed"] == len(r["matrices"]) > 0
    assert min(m["cosine"] for m in r["matrices"]) > 0.99
    print(f"{path}: {r['passed']} matrices, {r['parameters']} parameters, {r['seconds']:.2f} s")


def test_help(folder):
    text = succeed("validate", "--weights", "x", "--help")
    if "--update-golden" in sys.argv:
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), f"the help text is not {GOLDEN}"
    assert text.startswith("usage: qmm validate --weights") and max(map(len, text.splitlines())) <= 120


def main():
    with tempfile.TemporaryDirectory() as folder:
        path, _ = make_model(pathlib.Path(folder))
        done = run("validate", "--weights", path, "--list")
        if "built without Jansson" in done.stderr:
            assert done.returncode == 2 and done.stderr.count("\n") == 1
            test_npy(pathlib.Path(folder))
            return print("skipped: models, because this build has no reader for .safetensors files")
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
        print(f"ok {name}")


if __name__ == "__main__":
    main()
