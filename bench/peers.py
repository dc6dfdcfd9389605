#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch on what `qmm bench --format json` measured: its shapes and conversions, in the same way, on the same device.

Of each matmul: f16 (cuBLAS on a GPU), torch._int_mm to s32, and the same followed by row and column scales to f16.
Of each conversion: PyTorch's own where it has one, and torch operations that compute the same, eager and compiled.
Medians. On a GPU by CUDA events, a batch of runs queued behind a fill; on a CPU by the clock, on PyTorch's threads.
Where the results have cold caches, runs go over copies of their operands that together outsize the cache.
Exit code: 0, 2 bad usage or file, 3 there is no PyTorch here, or not for that device.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import sys
import time

from schema import Bad, load, read_results

BEGUN = time.monotonic()  # PyTorch takes long to load
WHO = "PyTorch"
COMPILED = ", compiled"
BATCH, RUNS_MAX, COPIES_MAX = 16, 101, 16
CACHE_UNKNOWN = 64 << 20  # bytes of a cache that nobody has told the size of
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "s32": 4, "s16": 2, "s8": 1, "u8": 1}
RANGES = {"s8": (-128, 127), "u8": (0, 255), "s16": (-32768, 32767)}


# ---- figures: nothing here needs PyTorch -----------------------------------------------------------------------------

def summary(seconds):
    """Median and quartiles, as qmm bench has them: between two runs, in proportion."""
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return {"runs": len(seconds), "median": statistics.median(seconds), "minimum": min(seconds),
            "maximum": max(seconds), "quartile_1": quartiles[0], "quartile_3": quartiles[2]}


def make_row(place, what, seconds, operations, size, copy, about):
    """A row of the schema. `about` says on what, by what and when."""
    times = summary(seconds)
    gbps = size / times["median"] * 1e-9
    return {"operation": place["operation"], "who": WHO, "kernel": "", "variant": "", "chosen": False,
            "shape": place["shape"], "m": place["m"], "n": place["n"], "k": place["k"], "batch": place["batch"],
            "what": what, **times, "operations": operations, "bytes": size,
            "tops": operations / times["median"] * 1e-12, "gbps": gbps,
            "of_copy": gbps * 1e9 / copy if copy else None, "of_peak": None,
            "copy_floor": size / copy if copy and size else None, "peak_floor": None, "launches": None,
            "verified": "no", **about, "clock_mhz": None, "memory_clock_mhz": None, "watts": None}


def make_skip(place, what, reason):
    return {"operation": place["operation"], "who": WHO, "kernel": "", "shape": place["shape"], "what": what,
            "reason": reason}


def places_of(results):
    """What was measured of qmm, each once: operation, shape, and the kind of a conversion."""
    places = {}
    for row in results["rows"]:
        if row["who"] == "qmm" and row["operation"] != "call":
            kind = "" if row["operation"] == "matmul" else row["what"]
            place = {name: row[name] for name in ("operation", "shape", "m", "n", "k", "batch")}
            places.setdefault((*place.values(), kind), {**place, "what": kind, "bytes": row["bytes"]})
    return list(places.values())


def conversion_of(what):
    """(from, to, granularity) of "f32 -> s8, scale per row"; None: PyTorch has nothing like it."""
    match = re.fullmatch(r"(\w+)(?: -> (\w+), scale per (tensor|row))?(, which the host waits for)?", what)
    if not match or match[1] not in BYTES or (match[2] or "f32") not in BYTES:
        return None
    return match[1], match[2], match[3]


def add_rows(document, rows, skipped):
    """PyTorch's rows take the place of those that an earlier run left."""
    for name, new in (("rows", rows), ("skipped", skipped)):
        document[name] = [old for old in document.get(name) or [] if old.get("who") != WHO] + new


def text_of(document):
    """JSON with a line for each row, as qmm bench writes it."""
    parts = []
    for name, value in document.items():
        if isinstance(value, list):
            value = ",\n  ".join(json.dumps(item) for item in value)
            parts.append(f" {json.dumps(name)}: [\n  {value}\n ]" if value else f" {json.dumps(name)}: []")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(path, document):
    """The old file stays until the new one is whole."""
    part = path.with_name(path.name + ".part")
    part.write_text(text_of(document), encoding="utf-8")
    os.replace(part, path)


# ---- measuring -------------------------------------------------------------------------------------------------------

class Rig:
    """Times work on one device of PyTorch's."""

    def __init__(self, torch, results, device):
        self.torch, self.device, self.cold = torch, device, results["cache"] == "cold"
        self.cache_bytes = int(results["cache_bytes"] or CACHE_UNKNOWN)
        self.plug = torch.empty(1 << 30, dtype=torch.uint8, device=device) if device == "cuda" else None

    def name(self):
        return self.torch.cuda.get_device_name(0) if self.device == "cuda" else ""

    def driver(self):
        torch = self.torch
        return f"PyTorch {torch.__version__}, " + (f"CUDA {torch.version.cuda}" if self.device == "cuda" else
                                                   f"{torch.get_num_threads()} threads")

    def on_gpu(self, work, turn, count):
        """Seconds of `count` runs, queued behind a fill that takes longer than the queueing."""
        event = self.torch.cuda.Event
        marks = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(count)]
        self.plug.fill_(turn % 251)
        for i, (begin, end) in enumerate(marks):
            begin.record()
            work(turn + i)
            end.record()
        self.torch.cuda.synchronize()
        return [begin.elapsed_time(end) * 1e-3 for begin, end in marks]

    @staticmethod
    def on_cpu(work, turn, count):
        seconds = []
        for i in range(count):
            begin = time.perf_counter()
            work(turn + i)
            seconds.append(time.perf_counter() - begin)
        return seconds

    def measure(self, work, seconds_each):
        batch = self.on_gpu if self.device == "cuda" else self.on_cpu
        first = batch(work, 0, 2)[1]  # the one before it warms up
        least = 3 if first > seconds_each else 7
        wanted = min(max(1 + int(seconds_each / max(first, 1e-6)), least), RUNS_MAX)
        seconds = []
        while len(seconds) < wanted:
            seconds += batch(work, 2 + len(seconds), min(BATCH, wanted - len(seconds)))
        return seconds

    def copies(self, size):
        """How many of an operand outsize the cache."""
        return min(COPIES_MAX, int(3 * self.cache_bytes // max(size, 1)) + 1) if self.cold else 1

    def codes(self, name, *shape):
        low, high = RANGES.get(name, (-(1 << 20), 1 << 20))  # s32: sums of products
        return self.torch.randint(low, high + 1, shape, dtype=self.dtype(name), device=self.device)

    def reals(self, name, *shape):
        return (self.torch.rand(shape, device=self.device) * 2 - 1).to(self.dtype(name))

    def any(self, name, *shape):
        return self.codes(name, *shape) if name in RANGES or name == "s32" else self.reals(name, *shape)

    def dtype(self, name):
        torch = self.torch
        return {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "s32": torch.int32,
                "s16": torch.int16, "s8": torch.int8, "u8": torch.uint8}[name]


def in_turn(items, function):
    """Work that goes over its operands."""
    return lambda turn: function(items[turn % len(items)])


# Each of the following gives (what, function that makes the work, operations, bytes) of what PyTorch has at that place.
# Memory is taken when the work is made, and given back after it.

def matmul_works(rig, place):
    m, n, k, batch = place["m"], place["n"], place["k"], place["batch"]
    torch, several = rig.torch, () if batch == 1 else (batch,)
    operations = 2.0 * m * n * k * batch

    def pairs(make, size):
        return [(make(*several, m, k), make(*several, n, k)) for _ in range(rig.copies(size * (m + n) * k * batch))]

    def half():
        return in_turn(pairs(lambda *s: rig.reals("f16", *s), 2), lambda ab: ab[0] @ ab[1].transpose(-1, -2))

    def whole():
        return in_turn(pairs(lambda *s: rig.codes("s8", *s), 1), lambda ab: torch._int_mm(ab[0], ab[1].t()))

    def scaled():
        row, column = rig.reals("f32", m, 1), rig.reals("f32", 1, n)
        return in_turn(pairs(lambda *s: rig.codes("s8", *s), 1),
                       lambda ab: (torch._int_mm(ab[0], ab[1].t()) * row * column).half())

    works = [("f16 x f16 -> f16", half, operations, 2.0 * batch * (m * k + n * k + m * n))]
    if batch == 1:  # it takes no batch
        works += [("s8 x s8 -> s32, torch._int_mm", whole, operations, m * k + n * k + 4.0 * m * n),
                  ("s8 x s8 -> f16, torch._int_mm, then scales per row and column", scaled, operations,
                   m * k + n * k + 2.0 * m * n + 4.0 * (m + n))]
    return works


def copy_works(rig, place):
    def work():
        source, target = rig.codes("u8", 2, int(place["bytes"] // 2))
        return lambda turn: target.copy_(source)

    return [("bytes, by Tensor.copy_", work, 0, place["bytes"])]


def computed(torch, operation, to, granularity):
    """The conversion written in torch operations: f(x, scale)."""
    low, high = RANGES.get(to, (0, 0))
    kinds = {"s8": torch.int8, "u8": torch.uint8, "s16": torch.int16, "f32": torch.float32, "f16": torch.float16,
             "bf16": torch.bfloat16}

    def quantize(x, scale):
        return torch.clamp(torch.round(x.float() / scale), low, high).to(kinds[to])

    def quantize_dynamic(x, _):
        absmax = x.abs().amax(dim=1, keepdim=True) if granularity == "row" else x.abs().amax()
        scale = absmax.float() / high
        return quantize(x, scale), scale

    def dequantize(x, scale):
        return (x.float() * scale).to(kinds[to])

    def find_range(x, _):
        return [float(end) for end in torch.aminmax(x)]  # the host waits

    return {"quantize": quantize, "quantize_dynamic": quantize_dynamic, "dequantize": dequantize,
            "requantize": quantize, "find_range": find_range}[operation]


def own_quantize(torch, granularity, scale, rows):
    """PyTorch's own quantization of f32 to s8."""
    if granularity == "tensor":
        return lambda x: torch.quantize_per_tensor(x, float(scale), 0, torch.qint8)
    zeros = torch.zeros(rows, dtype=torch.int64, device=scale.device)
    return lambda x: torch.quantize_per_channel(x, scale.flatten(), zeros, 0, torch.qint8)


def conversion_works(rig, place):
    torch, m, n = rig.torch, place["m"], place["n"]
    source, to, granularity = conversion_of(place["what"])
    size = m * n * BYTES[source]

    def operands():
        return [rig.any(source, m, n) for _ in range(rig.copies(size))]

    def scale():
        return torch.rand((m, 1) if granularity == "row" else (), device=rig.device) / 64 + 1 / 128

    def written(compiled):
        def work():
            function, s = computed(torch, place["operation"], to, granularity), scale()
            if compiled:
                torch.compiler.reset()  # else, after a few shapes, it goes on eager without a word
                function = torch.compile(function, fullgraph=True)
            return in_turn(operands(), lambda x: function(x, s))
        return work

    def own():
        return in_turn(operands(), own_quantize(torch, granularity, scale(), m))

    works = [(f"{place['what']}; torch operations", written(False), 0, place["bytes"])]
    if place["operation"] != "find_range":
        works.append((f"{place['what']}; torch operations{COMPILED}", written(True), 0, place["bytes"]))
    if place["operation"] == "quantize" and (source, to) == ("f32", "s8"):
        name = "torch.quantize_per_tensor" if granularity == "tensor" else "torch.quantize_per_channel"
        works.append((f"{place['what']}; {name}", own, 0, place["bytes"]))
    return works


def works_of(rig, place):
    if place["operation"] == "matmul":
        return matmul_works(rig, place)
    if place["operation"] == "copy":
        return copy_works(rig, place)
    return conversion_works(rig, place) if conversion_of(place["what"]) else []


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def measure_all(rig, places, copy, about, deadline, seconds_each):
    """Rows and skips. After the deadline no new figure is begun."""
    rows, jobs = [], [(place, *work) for place in places for work in works_of(rig, place)]
    jobs.sort(key=lambda job: job[1].endswith(COMPILED))  # compiling takes longest: last, if there is time
    missing = [place for place in places if all(job[0] is not place for job in jobs)]
    skipped = [make_skip(place, place["what"], "PyTorch has nothing like it") for place in missing]
    for place, what, make, operations, size in jobs:
        if time.monotonic() > deadline:
            skipped.append(make_skip(place, what, "no time was left"))
            continue
        try:
            seconds = rig.measure(make(), seconds_each)
        except Exception as error:  # whatever PyTorch raises where it has not got something; its compiler has its own
            skipped.append(make_skip(place, what, first_line(error)))
            continue
        rows.append(make_row(place, what, seconds, operations, size, copy, about))
        print(line_of(rows[-1]), flush=True)
    return rows, skipped


def line_of(row):
    size = f"{row['m']} x {row['n']}" + (f" x {row['k']}" if row["k"] else "")
    rate = f"{row['tops']:.4g} TOPS" if row["operations"] else f"{row['gbps']:.4g} GB/s"
    return f"{row['operation']:17} {row['shape'] or size:24} {row['median'] * 1e6:11.5g} us {rate:>14}  {row['what']}"


# ---- main ------------------------------------------------------------------------------------------------------------

def fail(code, text):
    print(f"peers: {text}", file=sys.stderr)
    sys.exit(code)


def read(path):
    try:
        document = load(path)
        results = read_results(document)
        if results is None:
            raise Bad("of an older benchmark program, not of `qmm bench`")
        return document, results
    except Bad as error:
        return fail(2, f"{path}: {error}")


def open_rig(results):
    """The device of the results, by way of PyTorch; ends the program where it has none."""
    if results["simulated"]:
        fail(3, "these results are of a simulated device, which PyTorch does not have")
    try:
        import torch
    except ImportError:
        fail(3, "there is no PyTorch for this Python")
    device = "cpu" if results["kind"] == "cpu" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        fail(3, f"these results are of {results['name']}, and PyTorch sees no GPU")
    return Rig(torch, results, device)


def main():
    parser = argparse.ArgumentParser(description="PyTorch on the shapes of a results file of `qmm bench`.")
    parser.add_argument("--from", required=True, dest="source", metavar="RESULTS.json", help="whose shapes to measure")
    parser.add_argument("--into", metavar="FILE", help="a results file, perhaps the same, to which PyTorch's rows are "
                                                       "added, in place of its earlier ones")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after that no new figure is begun")
    parser.add_argument("--seconds-each", type=float, default=0.02, help="of runs of one figure; 0.02 unless given")
    arguments = parser.parse_args()
    _, results = read(pathlib.Path(arguments.source))
    target = pathlib.Path(arguments.into) if arguments.into else None
    document = read(target)[0] if target else {}
    rig = open_rig(results)
    about = {"device": rig.name() or results["description"], "driver": rig.driver(), "build": "",
             "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat()}
    rows, skipped = measure_all(rig, places_of(results), results["copy"], about, BEGUN + arguments.seconds,
                                arguments.seconds_each)
    print(f"{len(rows)} figures of {about['driver']} on {about['device']}; {len(skipped)} skipped")
    if target:
        add_rows(document, rows, skipped)
        try:
            write(target, document)
        except OSError as error:
            fail(2, f"{target}: {error.strerror}")


if __name__ == "__main__":
    main()
