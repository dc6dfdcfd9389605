#!/usr/bin/env python3
"""qmm explain: what it says is what the library says, in text and in JSON; bad usage.

usage: test_explain.py QMM
"""
import ctypes
import json
import os
import pathlib
import re
import tempfile

from command import environment, refuse, run, succeed


def matmul_kernels():
    """Of the CPU device, from the library itself."""
    library = ctypes.CDLL(os.environ["QMM_LIBRARY"])
    library.qmm_kernel_name.restype = ctypes.c_char_p
    context = ctypes.c_void_p()
    assert library.qmm_context_open(b"cpu", None, ctypes.byref(context)) == 0
    names = [library.qmm_kernel_name(context, i).decode() for i in range(library.qmm_kernel_count(context))]
    library.qmm_context_close(context)
    return [name for name in names if ":matmul:" in name]


def explain(*arguments, **options):
    return json.loads(succeed("explain", "--device", "cpu", "--format", "json", *arguments, **options))


CALLS = ([], ["--plain"], ["--types", "u8,s4,bf16", "--zeros", "--scales", "group:32"], ["--types", "s8,u8,s32"],
         ["--types", "u8,u4,s16", "--scales", "tensor", "--bias", "--residual", "--activation", "silu"],
         ["--transpose-a", "--transpose-b", "--plain", "--types", "s8,s8,f32"])


def test_json():
    kernels = matmul_kernels()
    for call in CALLS:
        answer = explain("--shapes", "edges/powers,3x32x64x2", *call)
        assert answer["tool"] == "qmm explain" and answer["device"]["name"] == "cpu" and answer["choices"] == 0
        assert [s["shape"] for s in answer["shapes"]] == ["edges/powers", "3x32x64x2"]
        for shape in answer["shapes"]:
            reasons = {row["kernel"]: row["reason"] for row in shape["rows"]}
            assert list(reasons) == kernels, (list(reasons), kernels)
            assert reasons[shape["kernel"]] is None and shape["problem"] is None and not shape["tuned"]
            assert shape["workspace_bytes"] >= 0 and all(reason != "" for reason in reasons.values())
    assert answer["call"] == "s8 x s8 -> f32, scales per row and column, A transposed, B transposed"


def test_text():
    """The same in words."""
    arguments = ("--m", "1..100*10", "--n", "40", "--k", "64", "--batch", "2")
    answer = explain(*arguments)
    text = succeed("explain", "--device", "cpu", *arguments)
    heading, *parts = text.split("\n\n")
    assert answer["call"] in heading and "tuning  0 choices" in heading and len(parts) == len(answer["shapes"]) == 3
    for part, shape, m in zip(parts, answer["shapes"], (1, 10, 100)):
        lines = part.splitlines()
        assert lines[0] == f"{m}x40x64x2" == shape["shape"] and (shape["m"], shape["batch"]) == (m, 2)
        assert re.match(f"  runs     {shape['kernel']}, workspace {shape['workspace_bytes']} bytes", lines[1]), lines[1]
        others = [row for row in shape["rows"] if row["kernel"] != shape["kernel"]]
        assert [line.split()[1].rstrip(":") for line in lines[2:]] == [row["kernel"] for row in others]
        for line, row in zip(lines[2:], others):
            assert line == (f"  not      {row['kernel']}: {row['reason']}" if row["reason"]
                            else f"  could    {row['kernel']}")


def test_without_kernel():
    """No memory for the weights, no memory needed, an empty result."""
    huge = ("--shapes", "4x2147483647x1000000")
    done = run("explain", "--device", "cpu", *huge)
    assert done.returncode == 1 and done.stderr == ""
    assert re.search("nothing  it takes [0-9]+ MiB of memory", done.stdout)
    done = run("explain", "--device", "cpu", "--format", "json", *huge)
    shape, = json.loads(done.stdout)["shapes"]
    assert done.returncode == 1 and shape["kernel"] is None and shape["rows"] == []
    assert "MiB of memory" in shape["problem"]
    shape, = explain(*huge, "--plain")["shapes"]
    assert shape["kernel"] in matmul_kernels()
    shape, = explain("--shapes", "0x4x4")["shapes"]
    assert shape["kernel"] is None and "no element" in shape["problem"]


def test_environment():
    """A file that QMM_TUNING_FILE names and that is none is passed over, with a line."""
    with tempfile.TemporaryDirectory() as folder:
        bad = pathlib.Path(folder, "bad")
        bad.write_text("no tuning file\n")
        done = run("explain", "--device", "cpu", "--shapes", "4x4x4", env=environment(QMM_TUNING_FILE=str(bad)))
        assert done.returncode == 0 and "tuning  0 choices" in done.stdout
        assert done.stderr.startswith("qmm explain: tuning file") and done.stderr.count("\n") == 1
        assert "no tuning file" in refuse(2, "explain", "--device", "cpu", "--shapes", "4x4x4", "--tuning", bad)


SHAPE = ["--device", "cpu", "--shapes", "4x8x16"]
# What is wrong for both commands that take shapes and calls.
BAD = [
    (2, "--shapes is needed, or --m, --n and --k"),
    (2, "--shapes is needed", "--m", "1", "--n", "2"),
    (2, "--shapes is needed", "--n", "2", "--k", "3"),
    (2, "do not go with --shapes", *SHAPE, "--n", "4"),
    (2, "do not go with --shapes", *SHAPE, "--batch", "4"),
    (2, "--m: 'x' is no whole number", "--m", "x", "--n", "2", "--k", "3"),
    (2, "--m: '4..1' goes downwards", *SHAPE, "--m", "4..1"),
    (2, "--n '-2' is not a whole number", "--m", "1", "--n", "-2", "--k", "3"),
    (2, "--k '2147483648' is not a whole number within 0..2147483647", "--m", "1", "--n", "2", "--k", "2147483648"),
    (2, "--k '' is not a whole number", "--m", "1", "--n", "2", "--k", ""),
    (2, "--batch '0' is not a whole number within 1..", "--m", "1", "--n", "2", "--k", "3", "--batch", "0"),
    (2, "'1x2' is not MxNxK", "--shapes", "1x2"),
    (2, "no built-in set and no file", "--shapes", "llama-8b"),
    (2, "a name of shapes is empty", "--shapes", ""),
    (2, "unknown option --frobnicate", "--frobnicate"),
    (2, "unknown option -x", "-x"),
    (2, "option --shapes needs a value", "--shapes"),
    (2, "option --zeros takes no value", *SHAPE, "--zeros=1"),
    (2, "unexpected argument 'x'", *SHAPE, "x"),
    (2, "--format 'xml' is none of text json", *SHAPE, "--format", "xml"),
    (2, "--types, A: 's4' is none of s8 u8", *SHAPE, "--types", "s4,s8,f16"),
    (2, "--types, B: 'f16' is none of s8 u8 s4 u4", *SHAPE, "--types", "s8,f16,f16"),
    (2, "--types, C: 's4' is none of s32 f32 f16 bf16 s8 u8 s16 u16", *SHAPE, "--types", "s8,s8,s4"),
    (2, "--types takes three", *SHAPE, "--types", "s8,s8"),
    (2, "--types takes three", *SHAPE, "--types", "s8,s8,f16,"),
    (2, "--types takes three", *SHAPE, "--types", ""),
    (2, "--types, B: 's8s8s8s8s8s8s8s' is none", *SHAPE, "--types", "s8," + "s8" * 4000 + ",s8"),
    (2, "--scales 'rows' is none of row-column tensor row-group:G group:G", *SHAPE, "--scales", "rows"),
    (2, "--scales 'group:0' is none of", *SHAPE, "--scales", "group:0"),
    (2, "--scales 'group:4x' is none of", *SHAPE, "--scales", "group:4x"),
    (2, "--activation 'tanh' is none of none relu gelu gelu_tanh silu", *SHAPE, "--activation", "tanh"),
    (2, "4x8x16: qmm_matmul_explain: ", *SHAPE, "--scales", "group:5"),
    (2, "4x8x16: qmm_matmul_explain: ", *SHAPE, "--types", "s8,s8,s32", "--bias"),
    (2, "4x8x16: qmm_matmul_explain: ", *SHAPE, "--types", "s8,s8,s32", "--residual"),
    (2, "4x8x200000: qmm_matmul_explain: ", "--device", "cpu", "--shapes", "4x8x200000", "--types", "s8,s8,s32"),
    (2, "qmm_matmul_explain: ", "--device", "cpu", "--shapes", "2147483647x2147483647x2147483647x2147483647"),
    (3, "cuda:99", "--device", "cuda:99", "--shapes", "4x8x16"),
    (3, "nothing", "--device", "nothing", "--shapes", "4x8x16"),
]


def check_bad(command):
    for code, text, *arguments in BAD:
        line = refuse(code, command, *arguments)
        assert line.startswith(f"qmm {command}: ") and text in line, (text, line)


def test_bad_usage():
    check_bad("explain")
    for text, *arguments in (("cannot be read: No such file", "--tuning", "missing"), ("path is empty", "--tuning", ""),
                             ("is a directory", "--tuning", "/"), ("unknown option --output", "--output", "x")):
        line = refuse(2, "explain", *SHAPE, *arguments)
        assert text in line, (text, line)


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        test()
        print(f"ok {name}")
    print(f"{len(tests)} tests")


if __name__ == "__main__":
    main()
