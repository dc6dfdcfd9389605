#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/plot.py on results that are made up: which files appear, what the SVGs hold, and files that are no results."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import made_up

try:
    import matplotlib  # noqa: F401
except ImportError:
    print("skipped: this Python has no matplotlib")
    sys.exit(77)

PLOT = pathlib.Path(os.environ["QMM_SOURCE_DIR"], "bench", "plot.py")
SVG = "{http://www.w3.org/2000/svg}"
sys.path.insert(0, str(PLOT.parent))
import schema  # noqa: E402

ALL = {"roofline", "speedup-llama3-8b", "conversions"}


def plot(folder, *files):
    """Without a display, and without the sanitizers that the interpreter was given for the library."""
    env = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "DISPLAY", "MPLBACKEND")}
    return subprocess.run([sys.executable, str(PLOT), *map(str, files), "--output", str(folder / "plots")], env=env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def draw(folder, **documents):
    """Plots the documents; gives what was printed. All of it has to be well."""
    files = [made_up.write(folder / f"{stem}.json", document) for stem, document in documents.items()]
    done = plot(folder, *files)
    assert done.returncode == 0 and done.stderr == "", f"exit code {done.returncode}: {done.stderr}"
    return done.stdout


def names(folder, stem):
    """Which plots there are; each has to be there as SVG and as PNG."""
    found = {suffix: {p.name[len(stem) + 1:-4] for p in (folder / "plots").glob(f"{stem}-*.{suffix}")}
             for suffix in ("svg", "png")}
    assert found["svg"] == found["png"], found
    for png in (folder / "plots").glob("*.png"):
        assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return found["svg"]


class Svg:
    def __init__(self, folder, name):
        self.bytes = (folder / "plots" / f"{name}.svg").read_bytes()
        self.root = xml.etree.ElementTree.fromstring(self.bytes)
        self.texts = ["".join(element.itertext()).strip() for element in self.root.iter(f"{SVG}text")]
        self.text = " ".join(self.texts)

    def groups(self, prefix):
        return {g.get("id"): g for g in self.root.iter(f"{SVG}g") if (g.get("id") or "").startswith(prefix)}

    def points(self, prefix):
        """How many markers each series has; series without any are left out."""
        counts = {name: len(list(g.iter(f"{SVG}use"))) for name, g in self.groups(prefix).items()}
        return {name: count for name, count in counts.items() if count}

    def heights(self, group):
        """The y of each marker, as far up as the page goes down."""
        return [-float(use.get("y")) for use in self.groups(group)[group].iter(f"{SVG}use")]

    def values(self, group):
        """The same as numbers of the y axis, which is linear and has the ticks 0 and 1; of a figure with one panel."""
        ticks = {"".join(tick.itertext()).strip(): -float(next(tick.iter(f"{SVG}use")).get("y"))
                 for tick in self.groups("ytick_").values()}
        return [(y - ticks["0"]) / (ticks["1"] - ticks["0"]) for y in self.heights(group)]

    def require(self, *texts):
        for text in texts:
            assert text in self.text, f"{text!r} is not in {self.texts}"


def test_all(folder):
    """A full file: every point, every label, all of the method."""
    document = made_up.results()
    draw(folder, made=document)
    assert names(folder, "made") == ALL
    shapes = len(made_up.LAYERS) * len(made_up.TOKENS)
    roofline = Svg(folder, "made-roofline")
    assert roofline.points("points-") == {
        "points-cuda-matmul-wgmma-filled": shapes, "points-cuda-matmul-mma-hollow": shapes,
        "points-cublaslt-s8-x-s8-s32-filled": shapes, "points-pytorch-f16-x-f16-f16-filled": shapes}
    assert set(roofline.groups("roof-")) == {"roof-copy", "roof-peak"}
    roofline.require("operations per byte", "TOPS", "copy in this run: 3,000 GB/s", "int8 peak on paper: 1,979 TOPS",
                     "cuda:matmul:wgmma", "cuBLASLt: s8 x s8 -> s32", "hollow")
    speedup = Svg(folder, "made-speedup-llama3-8b")
    lines = speedup.points("line-")
    assert len(lines) == 2 * len(made_up.LAYERS) and set(lines.values()) == {len(made_up.TOKENS)}, lines
    speedup.require("qkv: N = 6144, K = 4096", "M (rows of A)", "time of the peer / of qmm", "against cuBLASLt",
                    "quartile")
    conversions = Svg(folder, "made-conversions")
    assert len(conversions.groups("bar-quantize")) == 2 and len(conversions.groups("bar-copy")) == 1
    conversions.require("GB/s", "8192\N{MULTIPLICATION SIGN}4096", "PyTorch")
    assert "1\N{MULTIPLICATION SIGN}4096" not in conversions.text.split(), "a small shape has a bar"
    for svg in (roofline, speedup, conversions):
        svg.require("Made-up GPU (cuda:0), driver 1.0; 2026-01-02", "cold caches", "uniform, full range",
                    "device clock")
        assert "SIMULATED" not in svg.text


def test_places(folder):
    """Points lie where the figures say: what is faster is higher, in both plots."""
    rows = [row for m in (1024, 2048, 4096) for row in made_up.matmuls(f"{m}x4096x4096", m, 4096, 4096)]
    draw(folder, made=made_up.results(rows))
    roofline = Svg(folder, "made-roofline")
    ours, other = (roofline.heights(f"points-cuda-matmul-{name}") for name in ("wgmma-filled", "mma-hollow"))
    assert len(ours) == 3 and all(x > y for x, y in zip(ours, other))
    speedup = Svg(folder, "made-speedup")
    chosen, peer = ([row["median"] for row in rows if row["who"] == who and row["chosen"] == (who == "qmm")]
                    for who in ("qmm", "cuBLASLt"))
    (line,) = (name for name in speedup.groups("line-") if "cublaslt" in name)
    for ratio, wanted in zip(speedup.values(line), (b / a for a, b in zip(chosen, peer)), strict=True):
        assert abs(ratio - wanted) < 0.01, (ratio, wanted)
    speedup.require("N = 4096, K = 4096")


def test_same_bytes(folder):
    """The same file gives the same bytes, without a date in them."""
    kept = []
    for part in ("first", "second"):
        (folder / part).mkdir()
        draw(folder / part, made=made_up.results())
        kept.append({path.name: path.read_bytes() for path in (folder / part / "plots").iterdir()})
    assert kept[0] == kept[1] and len(kept[0]) == 2 * len(ALL)
    assert not any(b"dc:date" in data for data in kept[0].values())


def test_what_is_missing(folder):
    """Nothing is made up: a line says what there is no plot of, and why."""
    ours = [row for row in made_up.results()["rows"] if row["who"] == "qmm" and row["operation"] == "matmul"]
    out = draw(folder, alone=made_up.results(ours, int8_peak=None, copy_bandwidth=None))
    assert names(folder, "alone") == {"roofline"}
    assert "no peer of matmul" in out and "no conversions" in out
    svg = Svg(folder, "alone-roofline")
    svg.require("no copy was measured", "peak is not known, and no peer was measured: no flat roof")
    assert not svg.groups("roof-")

    rows = made_up.matmuls("llama3-8b/o", 16, 4096, 4096)
    out = draw(folder, single=made_up.results(rows, int8_peak=None))
    assert names(folder, "single") == {"roofline"} and "1 shapes with a peer are the only M" in out, out
    svg = Svg(folder, "single-roofline")
    assert set(svg.groups("roof-")) == {"roof-copy", "roof-peer"}
    svg.require("peak is not known; the best peer")

    out = draw(folder, empty=made_up.results([]))
    assert not names(folder, "empty") and out.count("\n") == 3


def test_models(folder):
    """A figure for each model; squares of several sizes are a family."""
    shapes = [("bert/qkv", m, 768, 768) for m in (1, 8)] + [("vit/qkv", m, 1024, 1024) for m in (1, 8)]
    shapes += [(f"{m}x{m}x{m}", m, m, m) for m in (512, 1024)]
    draw(folder, made=made_up.results([row for shape in shapes for row in made_up.matmuls(*shape)]))
    assert names(folder, "made") == {"roofline", "speedup", "speedup-bert", "speedup-vit"}
    Svg(folder, "made-speedup").require("square: M = N = K")
    assert len(Svg(folder, "made-speedup").points("line-")) == 2, "squares have but one M each for their N and K"


def test_hard_text(folder):
    """Text that means something to XML, to TeX, to a terminal; and a simulated device, which says so."""
    hard = made_up.results(description='<&"> $x_1$ \x1b[31m\n \\alpha', simulated=True)
    hard["device"]["driver"] = "long " * 60
    draw(folder, hard=hard)
    for name in ALL:
        Svg(folder, f"hard-{name}").require('<&"> $x_1$ ?[31m? \\alpha', "A SIMULATED DEVICE")


def test_small_and_large(folder):
    """A microsecond on a slow device, a fast one, and a zero M."""
    rows = made_up.matmuls("0x8x8", 0, 8, 8) + made_up.matmuls("1x1x1", 1, 1, 1) + made_up.matmuls("2x1x1", 2, 1, 1)
    for row in rows:
        row["operations"], row["bytes"] = max(row["operations"], 0), max(row["bytes"], 1)
    draw(folder, made=made_up.results(rows, int8_peak=1e9, copy_bandwidth=1e6))
    assert "roofline" in names(folder, "made")
    Svg(folder, "made-roofline").require("MOPS")


def test_older_files(folder):
    """The files of the older benchmark programs are passed over, with a line."""
    out = draw(folder, old={"qmm": "0.1.0", "results": []}, new=made_up.results())
    assert names(folder, "new") == ALL and not names(folder, "old")
    assert "old.json: of an older benchmark program; passed over" in out


def check_line(line, path, *parts):
    assert re.fullmatch(r"plot: [^\n]+\n", line), line
    for part in (path.name, *parts):
        assert part in line, line


def refuse(folder, path, *parts):
    """The command: exit code 2, one line, nothing drawn."""
    done = plot(folder, path)
    assert done.returncode == 2 and done.stdout == "", f"{path.name}: {done.returncode}: {done.stdout}"
    check_line(done.stderr, path, *parts)
    assert not (folder / "plots").exists(), "something was drawn"


def refuse_to_read(path, *parts):
    """The reader alone, called as plot.py does: a process for each file would take long."""
    try:
        schema.read_results(schema.load(path))
    except schema.Bad as error:
        check_line(f"plot: {path}: {error}\n", path, *parts)
    else:
        raise AssertionError(f"{path.read_bytes()[:300]!r} was taken")


def test_bad_files(folder):
    """What is no results file: one line naming it and what is wrong."""
    bad = folder / "bad.json"
    refuse(folder, bad, "No such file")
    bad.write_bytes(b'{"tool": "qmm bench", "schema": 2}')
    refuse(folder, bad, "schema 1")
    for data in (b"", b"\xff\xfe", b"[" * 100000, b"[]", b"{}", b"1e999", b'{"tool": NaN}', b"9" * 5000, b'"\\ud800"',
                 b'{"tool": "qmm bench", "schema": 1, "rows": {}}'):
        bad.write_bytes(data)
        refuse_to_read(bad)


def test_bad_rows(folder):
    """Each member that the plots use, missing or of another kind; the line names it."""
    bad = folder / "bad.json"
    good = made_up.results([made_up.row("matmul", "qmm", "k", "s", (1, 1, 1), "w", 1e-3, 2, 3, True)])
    wrong = {"median": [-1, "1", None, True, 1e300, [1]], "m": [-1, 1.5, "1", 1 << 70], "who": [None, 3],
             "chosen": [1, "yes"], "operations": [-1, "1", False], "bytes": [None], "quartile_1": [-1]}
    for name, values in wrong.items():
        for value in values:
            made_up.write(bad, {**good, "rows": [good["rows"][0], {**good["rows"][0], name: value}]})
            refuse_to_read(bad, "rows[1]", repr(name))
    for name in wrong:
        made_up.write(bad, {**good, "rows": [{k: v for k, v in good["rows"][0].items() if k != name}]})
        refuse_to_read(bad, "rows[0]", repr(name))
    made_up.write(bad, {**good, "rows": [None]})
    refuse_to_read(bad, "rows[0]")


def test_untimed_rows(_):
    """A time of 0 seconds, which a coarse clock gives, is no figure, and no reason to refuse the others."""
    rows = [made_up.row("matmul", "qmm", "k", f"s/{m}", (m, 1, 1), "w", 1e-3, 2, 3, True) for m in (1, 2, 3)]
    rows[0]["quartile_1"] = 0
    rows[2].update(median=0.0, quartile_1=0.0, quartile_3=0.0)
    assert [row["m"] for row in schema.read_results(made_up.results(rows))["rows"]] == [2]


def test_bad_head(folder):
    """The same for what stands before the rows."""
    bad, good = folder / "bad.json", made_up.results([])
    for part, name in (("device", "description"), ("device", "simulated"), ("method", "cache")):
        made_up.write(bad, {**good, part: {k: v for k, v in good[part].items() if k != name}})
        refuse_to_read(bad, part, repr(name))
    made_up.write(bad, {**good, "other": float("nan")})
    refuse_to_read(bad, "NaN is not JSON")
    made_up.write(bad, {**good, "device": {**good["device"], "copy_bandwidth": "fast"}})
    refuse(folder, bad, "copy_bandwidth")


def test_truncated(folder):
    """Cut short anywhere, a results file is refused."""
    text = json.dumps(made_up.results(made_up.matmuls("llama3-8b/o", 1, 4096, 4096)))
    assert len(schema.read_results(json.loads(text))["rows"]) == 4
    path = folder / "cut.json"
    for length in range(len(text)):
        path.write_text(text[:length])
        refuse_to_read(path, "not JSON")
    refuse(folder, path, "not JSON")


def test_usage(folder):
    """Two files of one name, a folder that cannot be made, and no arguments."""
    (folder / "other").mkdir()
    first, second = (made_up.write(where / "same.json", made_up.results([])) for where in (folder, folder / "other"))
    done = plot(folder, first, second)
    assert done.returncode == 2 and "same.json" in done.stderr and done.stderr.count("\n") == 1
    (folder / "plots").write_text("")
    done = plot(folder, made_up.write(folder / "fine.json", made_up.results()))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert subprocess.run([sys.executable, str(PLOT)], capture_output=True, check=False).returncode == 2


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
        print(f"{name}: {test.__doc__.splitlines()[0]}")
    print(f"{len(tests)} passed, 0 failed")


main()
