# SPDX-License-Identifier: Apache-2.0
"""Results files as `qmm bench --format json` writes them, with figures that are made up, for tests."""
import json

LAYERS = {"llama3-8b/qkv": (6144, 4096), "llama3-8b/o": (4096, 4096), "llama3-8b/gate-up": (28672, 4096),
          "llama3-8b/down": (4096, 14336)}
TOKENS = [1, 2, 4, 8, 16, 64, 256, 1024, 8192]
COPY, PEAK = 3.0e12, 1.979e15


def row(operation, who, kernel, shape, sizes, what, median, operations, size, chosen=False):
    m, n, k = sizes
    return {"operation": operation, "who": who, "kernel": kernel, "variant": "", "chosen": chosen, "shape": shape,
            "m": m, "n": n, "k": k, "batch": 1, "what": what, "runs": 25, "median": median, "minimum": median * 0.95,
            "maximum": median * 1.3, "quartile_1": median * 0.97, "quartile_3": median * 1.06,
            "operations": operations, "bytes": size, "tops": operations / median * 1e-12, "gbps": size / median * 1e-9,
            "of_copy": size / median / COPY, "of_peak": operations / median / PEAK,
            "copy_floor": size / COPY, "peak_floor": operations / PEAK, "launches": None,
            "verified": "exact" if who == "qmm" else "no", "device": "Made-up GPU", "driver": "1.0",
            "clock_mhz": None, "memory_clock_mhz": None, "watts": None, "build": "none", "date": "2026-01-02"}


def matmuls(shape, m, n, k):
    """Two rows of ours, the first chosen, and two peers."""
    operations, size = 2.0 * m * n * k, m * k + n * k + 2.0 * m * n
    bound = max(operations / PEAK, size / COPY)
    rows = [("qmm", "cuda:matmul:wgmma", "s8 x s8 -> f16, scales per row and column", 1.3, size, True),
            ("qmm", "cuda:matmul:mma", "s8 x s8 -> f16, scales per row and column", 2.2, size, False),
            ("cuBLASLt", "", "s8 x s8 -> s32", 1.9 if m > 8 else 4.4, size + 2.0 * m * n, False),
            ("PyTorch", "", "f16 x f16 -> f16", 2.6, 2.0 * size, False)]
    return [row("matmul", who, kernel, shape, (m, n, k), what, factor * bound + 2e-6, operations, moved, chosen)
            for who, kernel, what, factor, moved, chosen in rows]


def conversions():
    rows = []
    for m, factor in ((1, 40.0), (8192, 1.1)):
        size = 5.0 * m * 4096
        what, seconds = "f32 -> s8, scale per tensor", factor * size / COPY
        rows += [row("quantize", "qmm", "cuda:quantize:vector", "", (m, 4096, 0), what, seconds, 0, size, True),
                 row("quantize", "PyTorch", "", "", (m, 4096, 0), what, 2 * seconds, 0, size)]
    return rows + [row("copy", "driver", "", "", (1, 1 << 30, 0), "", (2 << 30) / COPY, 0, 2 << 30)]


def results(rows=None, **device):
    if rows is None:
        rows = [r for shape, (n, k) in LAYERS.items() for m in TOKENS for r in matmuls(shape, m, n, k)] + conversions()
    return {"tool": "qmm bench", "schema": 1, "version": "0.1.0", "build": "GNU 12.2.0 Release OpenMP off",
            "date": "2026-01-02",
            "device": {"name": "cuda:0", "description": "Made-up GPU", "driver": "1.0", "kind": "gpu",
                       "int8_class": "wgmma", "compute_units": 132, "memory_bytes": 80 << 30, "simulated": False,
                       "copy_bandwidth": COPY, "int8_peak": PEAK, "cache_bytes": 50 << 20, **device},
            "method": {"clock": "device", "cache": "cold", "copies": "as many as outsize the cache",
                       "fill": "uniform, full range", "seed": 1, "warm_up": 2, "seconds_each": 0.02},
            "rows": rows, "skipped": []}


def write(path, document):
    path.write_text(json.dumps(document, indent=1))
    return path
