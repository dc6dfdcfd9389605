/* SPDX-License-Identifier: Apache-2.0
 *
 * Speed of a CUDA device, each figure beside what limits it or a peer in the same run:
 *
 *     cuda_memory.c   the driver's copy; conversions, in bytes moved against that copy
 *     cuda_matmul.c   every matmul row over the layers of Llama 3, 1 to 8192 tokens, and cuBLASLt called directly
 *     cuda_calls.c    the host's cost of a call, and graphs
 *
 * How it measures is at the head of cuda_rig.h. Figures are medians with the fastest and slowest run beside them.
 * On the simulated device of the tests it runs tiny shapes and states no speed.
 * Prints Markdown; --json FILE keeps the figures; after --seconds LIMIT no new one is begun. peers_torch.py measures
 * PyTorch on the same shapes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_rig.h"

typedef struct arguments {
    const char *device, *json;
    double seconds; /* 0: no limit */
    bool quick, wrong;
} arguments;

static arguments read_arguments(int argc, char **argv) {
    arguments a = { "cuda", NULL, 0.0, false, false };
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--quick") == 0)
            a.quick = true;
        else if (strcmp(argv[i], "--json") == 0 && has_value)
            a.json = argv[++i];
        else if (strcmp(argv[i], "--device") == 0 && has_value)
            a.device = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0 && has_value)
            a.seconds = atof(argv[++i]);
        else
            a.wrong = true;
    }
    return a;
}

enum { CLOCK_KHZ = 13, MEMORY_CLOCK_KHZ = 36 }; /* CUdevice_attribute */

static void print_head(bench_rig *r) {
    const qmm_device_info *const i = &r->info;
    const bench_clocks now = bench_driver_clocks(&r->driver);
    char date[32];
    bench_date(date, sizeof date);
    printf("qmm %s on %s, compute capability %d.%d, %d multiprocessors, %s; %s; %s\n", qmm_version(), i->description,
           (int)i->compute_major, (int)i->compute_minor, (int)i->compute_units, i->driver, QMM_BENCH_BUILD, date);
    if (r->simulated)
        printf("The device is simulated: shapes are tiny, and no speed is stated.\n");
    else
        printf(
            "Clocks at the start: %u MHz, memory %u MHz, %.0f W; at most %d MHz and %d MHz. L2 cache %zu MiB. Random "
            "data, full range.\n",
            now.multiprocessor, now.memory, now.watts, bench_driver_attribute(&r->driver, CLOCK_KHZ) / 1000,
            bench_driver_attribute(&r->driver, MEMORY_CLOCK_KHZ) / 1000, r->l2_bytes >> 20);
    if (!r->json) return;
    bench_json_text(r->json, "qmm", qmm_version());
    bench_json_text(r->json, "build", QMM_BENCH_BUILD);
    bench_json_text(r->json, "device", i->description);
    bench_json_text(r->json, "driver", i->driver);
    bench_json_text(r->json, "date", date);
    fprintf(r->json,
            "\"compute_capability\": [%d, %d], \"multiprocessors\": %d, \"l2_bytes\": %zu,\n  \"simulated\": %s, "
            "\"fill\": \"uniform, full range\", \"clocks_at_start\": {\"sm_mhz\": %u, \"memory_mhz\": %u, \"watts\": "
            "%.0f},\n  \"results\": [",
            (int)i->compute_major, (int)i->compute_minor, (int)i->compute_units, r->l2_bytes,
            r->simulated ? "true" : "false", now.multiprocessor, now.memory, now.watts);
}

int main(int argc, char **argv) {
    const arguments a = read_arguments(argc, argv);
    const double begun = bench_now();
    bench_rig rig;
    if (a.wrong) {
        fprintf(stderr, "usage: qmm_bench_cuda [--device cuda:N] [--quick] [--seconds LIMIT] [--json FILE]\n");
        return 2;
    }
    bench_rig_open(&rig, a.device, a.quick, a.seconds > 0.0 ? begun + a.seconds : 0.0);
    rig.json = bench_json_open(a.json);
    print_head(&rig);
    bench_cuda_memory(&rig);
    bench_cuda_calls(&rig);
    bench_cuda_matmul(&rig);
    if (bench_time_is_over(&rig)) printf("\nThe time was over before all was measured.\n");
    bench_json_close(rig.json);
    bench_rig_close(&rig);
    return 0;
}
