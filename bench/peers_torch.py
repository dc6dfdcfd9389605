#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the shapes of qmm_bench_cuda, measured in the same way.

A copy, f16 matmul (cuBLAS), torch._int_mm (cuBLASLt int8 to s32), the same followed by row and column scales, and
dynamic quantization per row to int8, eager and compiled. Medians of CUDA events; runs are queued behind a fill, and go
over copies of their operands that together outsize the L2 cache. Exit code 77: there is no PyTorch, or no GPU for it.
"""
import argparse
import datetime
import json
import statistics
import sys
import time

BEGUN = time.monotonic()  # PyTorch takes long to load

try:
    import torch
except ImportError:
    print("skipped: no PyTorch here")
    sys.exit(77)

LAYERS = [("70B o", 8192, 8192), ("8B o", 4096, 4096), ("8B gate, up", 28672, 4096), ("8B down", 4096, 14336),
          ("8B qkv", 6144, 4096), ("70B gate, up", 57344, 8192), ("70B down", 8192, 28672), ("70B qkv", 10240, 8192)]
TOKENS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
BATCH, RUNS_MAX, SECONDS_EACH = 16, 101, 0.02


class Rig:
    def __init__(self, seconds):
        self.deadline = BEGUN + seconds
        self.plug = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
        self.l2_bytes = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 50 << 20)
        self.copy_bandwidth = 0.0
        self.results = []

    def batch(self, work, turn, count):
        """Milliseconds of `count` runs, queued behind a fill."""
        begin = [torch.cuda.Event(enable_timing=True) for _ in range(count)]
        end = [torch.cuda.Event(enable_timing=True) for _ in range(count)]
        self.plug.fill_(turn % 251)
        for i in range(count):
            begin[i].record()
            work(turn + i)
            end[i].record()
        torch.cuda.synchronize()
        return [b.elapsed_time(e) for b, e in zip(begin, end)]

    def measure(self, work):
        """Seconds of one run: the median, the fastest, the slowest, and how many there were."""
        first = self.batch(work, 0, 2)[1] * 1e-3
        wanted = min(max(1 + int(SECONDS_EACH / max(first, 1e-6)), 3 if first > SECONDS_EACH else 7), RUNS_MAX)
        times = []
        while len(times) < wanted:
            times += [t * 1e-3 for t in self.batch(work, 2 + len(times), min(BATCH, wanted - len(times)))]
        return statistics.median(times), min(times), max(times), len(times)

    def turns(self, size):
        return min(16, self.l2_bytes * 3 // size + 1)

    def report(self, group, name, shape, work, size, operations):
        if time.monotonic() > self.deadline:
            return 0.0
        try:
            median, fastest, slowest, runs = self.measure(work)
        except RuntimeError as error:  # a shape it does not take
            self.results.append({"group": group, "name": name, "kernel": "", "shape": shape, "ran": False,
                                 "skipped": str(error).splitlines()[0][:160]})
            return 0.0
        of_copy = size / median / self.copy_bandwidth if self.copy_bandwidth else 0.0
        self.results.append({"group": group, "name": name, "kernel": "", "shape": shape, "microseconds": median * 1e6,
                             "fastest": fastest * 1e6, "slowest": slowest * 1e6, "runs": runs, "bytes": size,
                             "operations": operations, "of_copy": round(of_copy, 4)})
        print(f"| {name} | {shape} | {median * 1e6:.5g} ({fastest * 1e6:.5g}-{slowest * 1e6:.5g}) | "
              f"{size / median * 1e-12:.4g} | {of_copy:.3f} | {operations / median * 1e-12:.4g} |", flush=True)
        return median


def codes(*shape):
    return torch.randint(-128, 128, shape, dtype=torch.int8, device="cuda")


def copy(rig):
    source, target = torch.randint(0, 256, (2, 1 << 30), dtype=torch.uint8, device="cuda")
    size = 2.0 * source.numel()
    median = rig.report("memory", "torch copy", "1024 MiB", lambda turn: target.copy_(source), size, 0.0)
    rig.copy_bandwidth = size / median


def quantize(x):
    scale = x.abs().amax(dim=1, keepdim=True).float() / 127.0
    return torch.clamp(torch.round(x.float() / scale), -128, 127).to(torch.int8), scale


def quantizes(rig, quick):
    compiled = torch.compile(quantize)
    for rows in (1, 32768):
        for dtype in (torch.bfloat16, torch.float32):
            x = torch.randn(rows, 4096, device="cuda").to(dtype)
            size = x.numel() * (x.element_size() + 1.0) + 4.0 * rows
            for name, function in (("eager", quantize), ("compiled", compiled)):
                if quick and name == "compiled":
                    continue
                rig.report("memory", f"torch dynamic quantize {str(dtype)[6:]} to s8, per row, {name}",
                           f"{rows} x 4096", lambda turn: function(x), size, 0.0)


def matmuls(rig, layers, tokens):
    for name, n, k in layers:
        turns = rig.turns(n * k)
        weights = [codes(n, k) for _ in range(turns)]
        reals = [torch.randn(n, k, device="cuda").half() for _ in range(rig.turns(2 * n * k))]
        column = torch.rand(1, n, device="cuda") + 0.5
        for m in tokens:
            a, half = codes(m, k), torch.randn(m, k, device="cuda").half()
            row = torch.rand(m, 1, device="cuda") + 0.5
            shape, operations = f"{name}: {m} x {n} x {k}", 2.0 * m * n * k
            rig.report("matmul", "torch f16 matmul", shape, lambda turn: half @ reals[turn % len(reals)].t(),
                       2.0 * (m * k + n * k + m * n), operations)
            rig.report("matmul", "torch._int_mm to s32", shape,
                       lambda turn: torch._int_mm(a, weights[turn % turns].t()), m * k + n * k + 4.0 * m * n,
                       operations)
            rig.report("matmul", "torch._int_mm, then row and column scales to f16", shape,
                       lambda turn: (torch._int_mm(a, weights[turn % turns].t()) * row * column).half(),
                       m * k + n * k + 2.0 * m * n, operations)


def main():
    parser = argparse.ArgumentParser(description="PyTorch on the shapes of qmm_bench_cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after that no new figure is begun")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: PyTorch sees no GPU")
        sys.exit(77)
    rig = Rig(arguments.seconds)
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name(0)}\n")
    print("| what | shape | microseconds: median (fastest-slowest) | TB/s | of copy | TOPS |")
    print("|---|---|---|---|---|---|")
    copy(rig)
    quantizes(rig, arguments.quick)
    matmuls(rig, LAYERS[:2] if arguments.quick else LAYERS, TOKENS[::4] if arguments.quick else TOKENS)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name(0),
                       "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "simulated": False,
                       "fill": "codes uniform, full range; reals normal", "results": rig.results}, file, indent=1)


main()
