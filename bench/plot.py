#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what `qmm bench --format json` measured.

Of each results file NAME.json, as far as its rows allow, SVG and PNG each:
    NAME-roofline          operations a second over operations per byte, under the copy measured in the same run
    NAME-speedup[-MODEL]   how many times as fast as each peer the library's choice is, over M, a panel for each layer
    NAME-conversions       gigabytes a second of quantize, dequantize and their like, beside a copy
A plot for which there are no rows is not made, and a line says so. The same file gives the same bytes.
Results files of the older benchmark programs are passed over.
Exit code: 0, 2 bad usage or file, 3 there is no matplotlib.
"""
import argparse
import math
import pathlib
import re
import sys
import textwrap
import warnings

from schema import Bad, load, read_results

try:
    import matplotlib
except ImportError:
    matplotlib = None
else:
    matplotlib.use("Agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

STYLE = {"font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
         "font.family": "sans-serif", "axes.grid": True, "grid.color": "#dddddd", "grid.linewidth": 0.6,
         "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555",
         "text.parse_math": False,  # a $ in a device's name is a $
         "svg.fonttype": "none", "svg.hashsalt": "qmm"}
# Okabe and Ito's colours, told apart by the colour-blind too, less yellow, which is hard to see on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
ROOFS = {"roof-copy": "-", "roof-peak": "--", "roof-peer": ":"}
DASHES = ["-", "--", ":", "-."]
WIDTH = 9.0  # inches: about the width of a README at 100 dots an inch
LINE = 0.19  # inches of a line of small text

CONVERSIONS = ["copy", "quantize", "quantize_dynamic", "dequantize", "requantize", "find_range"]


# ---- the page --------------------------------------------------------------------------------------------------------

def slug(text):
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "none"


def wrapped(text):
    return textwrap.wrap(text, 125) or [""]


class Page:
    """A figure: title, panels of one size, legend. In inches from the top, so that every matplotlib sets it alike."""

    def __init__(self, results, title, panels, columns, panel_height, legend, left=0.85, subtitle=()):
        rows = -(-panels // columns)
        header = [line for text in [*subtitle, *self.facts(results)] for line in wrapped(text)]
        top = 0.45 + LINE * len(header)
        legend_height = 0.1 + 0.165 * sum(len(wrapped(handle.get_label())) for handle in legend)
        gap = 0.72  # below a panel: its ticks, its label, the next one's title
        panels_end = top + 0.3 + rows * (panel_height + gap) - 0.15
        self.height = panels_end + legend_height
        self.figure = Figure(figsize=(WIDTH, self.height))
        FigureCanvasAgg(self.figure)
        self.text(0.15, 0.28, title, fontsize=12, fontweight="bold")
        for i, line in enumerate(header):
            self.text(0.15, 0.5 + LINE * i, line, fontsize=8.5, color="#444444")
        width = (WIDTH - 0.3 - columns * left) / columns
        self.axes = [self.panel((left + width) * (i % columns) + left,
                                top + 0.3 + (i // columns) * (panel_height + gap), width, panel_height)
                     for i in range(panels)]
        if legend:
            for handle in legend:
                handle.set_label("\n".join(wrapped(handle.get_label())))
            self.figure.legend(handles=legend, loc="upper left",
                               bbox_to_anchor=(0.13 / WIDTH, legend_height / self.height), frameon=False,
                               fontsize=8.5, labelspacing=0.25, borderpad=0.2, borderaxespad=0, handlelength=2.2)

    @staticmethod
    def facts(results):
        """What a reader has to know to judge a figure."""
        caches = f"{results['cache']} caches" if results["cache"] in ("warm", "cold") else results["cache"]
        driver = f", driver {results['driver']}" if results["driver"] else ""
        lines = [f"{results['description']} ({results['name']}){driver}; {results['date']}",
                 f"{caches}; fill: {results['fill']}; {results['clock']} clock, medians; "
                 f"qmm {results['version']}, {results['build']}"]
        if results["simulated"]:
            lines.append("A SIMULATED DEVICE: these times say nothing about any hardware")
        return lines

    def text(self, x, y, text, **options):
        self.figure.text(x / WIDTH, 1 - y / self.height, text, va="baseline", **options)

    def panel(self, x, y, width, height):
        return self.figure.add_axes([x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height])

    def save(self, folder, name):
        self.figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        self.figure.savefig(folder / f"{name}.png", dpi=150)
        print(f"{folder / name}.svg, .png")


def scale_of(values, units):
    """The largest of (factor, name) that leaves the largest value two digits."""
    return next(((factor, name) for factor, name in units if max(values) >= 10 * factor), units[-1])


def rate_unit(values):
    return scale_of(values, [(1e12, "TOPS"), (1e9, "GOPS"), (1e6, "MOPS")])


def digits(value):
    """At least three digits, and no exponent: 0.0123, 12.3, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plain(axis, ticks):
    """Numbers as people write them, at powers of the base and nowhere else."""
    axis.set_major_locator(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def style_of(index):
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def note_handle(text):
    return Line2D([], [], linestyle="none", label=text)


# ---- series ----------------------------------------------------------------------------------------------------------

def peer_label(row):
    return f"{row['who']}: {row['what']}" if row["what"] else row["who"]


def series_label(row):
    """One series a kernel row of ours, one a thing that a peer computes."""
    return (row["kernel"] or "qmm") if row["who"] == "qmm" else peer_label(row)


def series_of(rows):
    """Labels in a lasting order, ours first, and of those the library's choices; and each one's rows."""
    series = {}
    for row in sorted(rows, key=lambda row: (row["who"] != "qmm", not row["chosen"], series_label(row))):
        series.setdefault(series_label(row), []).append(row)
    return series


# ---- roofline --------------------------------------------------------------------------------------------------------

def intensity(row):
    return row["operations"] / row["bytes"]


def rate(row):
    return row["operations"] / row["median"]


def roofs_of(results, rows):
    """(gid, label, function of the intensity) of each roof, and the lines that say which are not known."""
    roofs, unknown = [], []
    copy, peak = results["copy"], results["peak"]
    if copy:
        roofs.append(("roof-copy", f"copy in this run: {digits(copy * 1e-9)} GB/s", lambda x: copy * x))
    else:
        unknown.append("no copy was measured in this run: no sloping roof")
    if peak:
        factor, unit = rate_unit([peak])
        roofs.append(("roof-peak", f"int8 peak on paper: {digits(peak / factor)} {unit}", lambda x: peak))
        return roofs, unknown
    peers = [row for row in rows if row["who"] != "qmm"]
    if not peers:
        return roofs, unknown + ["this device's int8 peak is not known, and no peer was measured: no flat roof"]
    best = max(peers, key=rate)
    factor, unit = rate_unit([rate(best)])
    label = f"the best peer: {digits(rate(best) / factor)} {unit}, {peer_label(best)}"
    return roofs + [("roof-peer", f"this device's int8 peak is not known; {label}", lambda x: rate(best))], unknown


def roof_line(gid, label):
    return Line2D([], [], color="#555555", linewidth=1.4, linestyle=ROOFS[gid], label=label)


def roofline_legend(results, series, roofs, unknown):
    legend = [Line2D([], [], linestyle="none", markersize=6, label=label, **style_of(i))
              for i, label in enumerate(series)]
    legend += [roof_line(gid, label) for gid, label, _ in roofs] + [note_handle(text) for text in unknown]
    if not all(row["chosen"] for rows in series.values() for row in rows if row["who"] == "qmm"):
        legend.append(note_handle("filled: the library's own choice, and peers; hollow: another of its rows, forced"))
    if results["cache"] == "warm" and results["copy"]:
        legend.append(note_handle("warm caches: what fits them is not read from memory, and may be above the roof"))
    return legend


def draw_points(axes, series, factor):
    for i, (label, rows) in enumerate(series.items()):
        style = style_of(i)
        for filled in (True, False):
            part = [row for row in rows if (row["chosen"] or row["who"] != "qmm") == filled]
            axes.plot([intensity(row) for row in part], [rate(row) / factor for row in part], linestyle="none",
                      markersize=6, markerfacecolor=style["color"] if filled else "none", alpha=0.85,
                      gid=f"points-{slug(label)}-{'filled' if filled else 'hollow'}", **style)


def draw_roofs(axes, roofs, factor, low, high):
    """Each up to where a lower one begins. A peer is no roof to us: its line goes all the way, and ends no other."""
    steps = [low * (high / low) ** (i / 400) for i in range(401)]
    walls = [roof for gid, _, roof in roofs if gid != "roof-peer"]
    for gid, label, roof in roofs:
        xs = [x for x in steps if gid == "roof-peer" or roof(x) <= min(wall(x) for wall in walls) * 1.000001]
        line = roof_line(gid, label)
        axes.plot(xs, [roof(x) / factor for x in xs], color=line.get_color(), linewidth=line.get_linewidth(),
                  linestyle=line.get_linestyle(), gid=gid, zorder=1)


def roofline(results, folder, name):
    rows = [row for row in results["rows"] if row["operation"] == "matmul" and row["operations"] and row["bytes"]]
    if not rows:
        return "no matmul: no roofline"
    series = series_of(rows)
    roofs, unknown = roofs_of(results, rows)
    page = Page(results, "matmul under the roofs of memory and arithmetic", 1, 1, 4.6,
                roofline_legend(results, series, roofs, unknown))
    axes = page.axes[0]
    low, high = min(map(intensity, rows)) / 1.6, max(map(intensity, rows)) * 1.6
    factor, unit = rate_unit([rate(row) for row in rows])
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="operations per byte moved once",
             ylabel=f"{unit} (operations a second)")
    draw_points(axes, series, factor)
    draw_roofs(axes, roofs, factor, low, high)
    for axis in (axes.xaxis, axes.yaxis):
        plain(axis, LogLocator(base=10, subs=(1, 2, 5), numticks=20))
    page.save(folder, f"{name}-roofline")
    return None


# ---- speed-up over M -------------------------------------------------------------------------------------------------

def layers_of(row):
    """(model, layer) of the panels that a shape may be in. Without a name it is known by N and K, or is a square."""
    batch = f", batch {row['batch']}" if row["batch"] > 1 else ""
    if not re.fullmatch(r"(\d+x\d+x\d+(x\d+)?)?", row["shape"]):
        model, _, layer = row["shape"].rpartition("/")
        return [(model, f"{layer}: N = {row['n']}, K = {row['k']}{batch}")]
    squares = [("", f"square: M = N = K{batch}")] if row["m"] == row["n"] == row["k"] else []
    return [("", f"N = {row['n']}, K = {row['k']}{batch}")] + squares


def place(row):
    return row["shape"], row["m"], row["n"], row["k"], row["batch"]


def ratio_of(ours, peer):
    """M, the ratio of the medians, and its range between the quartiles of both."""
    return (ours["m"], peer["median"] / ours["median"], peer["quartile_1"] / ours["quartile_3"],
            peer["quartile_3"] / ours["quartile_1"])


def pairs_of(rows):
    """Each choice of the library with each peer of the same shape."""
    peers = {}
    for row in rows:
        if row["who"] != "qmm":
            peers.setdefault(place(row), []).append(row)
    chosen = [row for row in rows if row["who"] == "qmm" and row["chosen"]]
    return [(ours, peer) for ours in chosen for peer in peers.get(place(ours), [])]


def speedups_of(pairs):
    """{model: {layer: {(what ours computes, the peer): {M: ratio_of}}}} of the layers with more than one M."""
    models = {}
    for ours, peer in pairs:
        for model, layer in layers_of(ours):
            lines = models.setdefault(model, {}).setdefault(layer, {})
            lines.setdefault((ours["what"], peer_label(peer)), {})[ours["m"]] = ratio_of(ours, peer)
    models = {model: {layer: lines for layer, lines in layers.items() if max(map(len, lines.values())) > 1}
              for model, layers in models.items()}
    return {model: layers for model, layers in models.items() if layers}


def left_out(pairs, models):
    """How many shapes have a peer, and no line."""
    return len({place(ours) for ours, _ in pairs
                if not any(layer in models.get(model, {}) for model, layer in layers_of(ours))})


def line_styles(models):
    """A colour and a marker a peer, a dash for each thing of ours."""
    keys = {key for layers in models.values() for lines in layers.values() for key in lines}
    ours, peers = sorted({key[0] for key in keys}), sorted({key[1] for key in keys})
    return {key: {"linestyle": DASHES[ours.index(key[0]) % len(DASHES)], "linewidth": 1.4, "markersize": 4.5,
                  **style_of(peers.index(key[1]) + len(peers) * (ours.index(key[0]) // len(DASHES)))}
            for key in sorted(keys)}


def ticks_of_m(lines):
    """Powers of two from the least M on, at most nine."""
    places = [m for points in lines.values() for m in points]
    first, last = math.floor(math.log2(min(places))), math.ceil(math.log2(max(places)))
    return FixedLocator([2.0**i for i in range(first, last + 1, 1 + (last - first) // 9)])


def scale_ratios(axes, lowest, highest):
    if highest > 6:  # else the low ones would lie on the axis
        axes.set_yscale("log", base=2)
        axes.set_ylim(lowest / 1.1, highest * 1.1)
        plain(axes.yaxis, LogLocator(base=2, numticks=8))
    else:
        axes.set_ylim(0, highest * 1.05)
        plain(axes.yaxis, MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def speedup_panel(axes, layer, lines, styles, lowest, highest):
    axes.axhline(1, color="#333333", linewidth=1, zorder=1.5)
    for key in sorted(lines):
        m, ratio, low, high = zip(*(lines[key][m] for m in sorted(lines[key])))
        axes.plot(m, ratio, gid=f"line-{slug(layer)}-{slug(key[0])}-over-{slug(key[1])}", **styles[key])
        axes.fill_between(m, low, high, color=styles[key]["color"], alpha=0.13, linewidth=0)
    axes.set_xscale("log", base=2)
    plain(axes.xaxis, ticks_of_m(lines))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(layer, loc="left")
    scale_ratios(axes, lowest, highest)


def speedup_model(results, folder, name, model, layers):
    styles = line_styles({model: layers})
    several = len({what for what, _ in styles}) > 1
    legend = [Line2D([], [], label=f"{what}, against {peer}" if several else f"against {peer}", **style)
              for (what, peer), style in styles.items()]
    legend.append(note_handle("shaded: the same from quartile to quartile; above the line at 1 qmm is faster"))
    subtitle = [] if several else [next(iter(styles))[0]]
    columns = min(2, len(layers))
    page = Page(results, f"{model or 'matmul'}: speed-up over peers by M", len(layers), columns,
                2.1 if columns == 2 else 3.2, legend, left=0.75, subtitle=subtitle)
    points = [point for lines in layers.values() for points in lines.values() for point in points.values()]
    lowest = min(1, *(max(low, ratio / 1.5) for _, ratio, low, _ in points))
    highest = max(1, *(min(high, ratio * 1.5) for _, ratio, _, high in points))
    for i, (layer, axes) in enumerate(zip(layers, page.axes)):
        speedup_panel(axes, layer, layers[layer], styles, lowest, highest)
        if i % columns == 0:
            axes.set_ylabel("time of the peer / of qmm")
        if i + columns >= len(layers):
            axes.set_xlabel("M (rows of A)")
    page.save(folder, f"{name}-speedup" + (f"-{slug(model)}" if model else ""))


def speedup(results, folder, name):
    rows = [row for row in results["rows"] if row["operation"] == "matmul" and row["m"] > 0]
    if not any(row["who"] != "qmm" for row in rows):
        return "no peer of matmul was measured: no speed-up"
    pairs = pairs_of(rows)
    models = speedups_of(pairs)
    for model in sorted(models):
        speedup_model(results, folder, name, model, models[model])
    if not pairs:
        return "no peer was measured on a shape of the library's choices: no speed-up"
    single = left_out(pairs, models)
    return f"{single} shapes with a peer are the only M of their layer, and in no speed-up" if single else None


# ---- conversions -----------------------------------------------------------------------------------------------------

def largest_of_each(rows):
    """The largest shape of each thing measured: small ones time the launch."""
    largest = {}
    for row in rows:
        conversion = row["what"].partition(";")[0]  # and how a peer computes it
        key = (row["operation"], "->" not in conversion, conversion, row["who"] != "qmm", series_label(row), row["what"])
        if key not in largest or row["bytes"] > largest[key]["bytes"]:
            largest[key] = row
    return [largest[key] for key in sorted(largest, key=lambda key: (CONVERSIONS.index(key[0]),) + key[1:])]


def bar_label(row):
    operation, what = row["operation"].replace("_", " "), row["what"]
    who = "" if what.startswith(row["who"]) else f", {row['who']}"
    return f"{operation}{who}" + (f": {what}" if what else "") + f", {row['m']}\N{MULTIPLICATION SIGN}{row['n']}"


def draw_bars(axes, rows, colours, label_width):
    for i, row in enumerate(rows):
        gbps = row["bytes"] / row["median"] * 1e-9
        axes.barh(i, gbps, height=0.72, color=colours[row["who"]])[0].set_gid(f"bar-{slug(row['operation'])}-{i}")
        axes.annotate(digits(gbps), (gbps, i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(["\n".join(textwrap.wrap(bar_label(row), label_width)[:2]) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")


def conversions(results, folder, name):
    rows = largest_of_each([row for row in results["rows"] if row["operation"] in CONVERSIONS and row["bytes"]
                            and (row["who"] != "qmm" or row["chosen"])])
    if not any(row["operation"] != "copy" for row in rows):
        return "no conversions: no bars of them"
    people = sorted({row["who"] for row in rows}, key=lambda who: (who != "qmm", who))
    colours = {who: COLOURS[i % len(COLOURS)] for i, who in enumerate(people)}
    legend = [Line2D([], [], color=colours[who], linewidth=7, label=who) for who in people]
    if results["copy"]:
        legend.append(Line2D([], [], color="#333333", linewidth=1.2, linestyle="--",
                             label=f"copy in this run: {digits(results['copy'] * 1e-9)} GB/s"))
    legend.append(note_handle("bytes read and written once; of each operation the largest shape that was measured"))
    page = Page(results, "conversions: bytes moved a second", 1, 1, 0.33 * len(rows) + 0.3, legend, left=3.6)
    axes = page.axes[0]
    draw_bars(axes, rows, colours, 52)
    if results["copy"]:
        axes.axvline(results["copy"] * 1e-9, color="#333333", linewidth=1.2, linestyle="--", gid="roof-copy")
    axes.set_xlim(0, 1.12e-9 * max([row["bytes"] / row["median"] for row in rows] + [results["copy"] or 0]))
    axes.set_xlabel("GB/s")
    page.save(folder, f"{name}-conversions")
    return None


# ---- main ------------------------------------------------------------------------------------------------------------

def fail(code, text):
    print(f"plot: {text}", file=sys.stderr)
    sys.exit(code)


def read_all(paths):
    """{name: results}. All are read before the first is drawn."""
    files = {}
    for path in map(pathlib.Path, paths):
        try:
            results = read_results(load(path))
        except Bad as error:
            fail(2, f"{path}: {error}")
        if results is None:
            print(f"{path}: of an older benchmark program; passed over")
        elif path.stem in files:
            fail(2, f"{path}: another file is named {path.name} too, and its plots would be overwritten")
        else:
            files[path.stem] = results
    return files


def main():
    parser = argparse.ArgumentParser(description="Draws results of `qmm bench --format json`: roofline, speed-up "
                                                 "over M, conversions; SVG and PNG each.")
    parser.add_argument("results", nargs="+", metavar="RESULTS.json")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="is made if it is missing")
    arguments = parser.parse_args()
    if matplotlib is None:
        fail(3, "there is no matplotlib for this Python (Debian: python3-matplotlib); `./bootstrap plot` installs it")
    matplotlib.rcParams.update(STYLE)
    warnings.filterwarnings("ignore", message="Glyph .* missing")
    folder = pathlib.Path(arguments.output)
    files = read_all(arguments.results)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, results in files.items():
            for draw in (roofline, speedup, conversions):
                note = draw(results, folder, name)
                if note:
                    print(f"{name}: {note}")
    except OSError as error:
        fail(2, f"{error.filename or folder}: {error.strerror}")


if __name__ == "__main__":
    main()
