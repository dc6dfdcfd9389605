/* SPDX-License-Identifier: Apache-2.0
 *
 * The rates of devices, and what work comes to with them.
 *
 *   dp4a            64 integer lanes of a multiprocessor, 4 multiply-adds each
 *   mma, library    dense int8 rates of NVIDIA's data sheets (T4 130, A100 624, RTX 3090 284, RTX 4090 660, H100 SXM
 *                   1979, B200 4500 TOPS; B300 150), divided by 2, multiprocessors and clock
 *                   and of that 0.78, of memory's bandwidth 0.92: what large matmuls and copies reach (torchao,
 *                   testing/training/roofline_utils.py, of H100)
 *   mma.sync on 9.0 reaches 62 to 75 % of wgmma's rate (vLLM, pull request 7174). Of 10.0 and 11.0 no figure was found:
 *                   as on 9.0
 *   m8n8k16 from 8.0 on: no figure was found; taken as half of m16n8k32
 *   L2              64 bytes a cycle for each multiprocessor, at most 6,154 for all: DeepGEMM, heuristics for sm90
 *   a launch        the time from one kernel to the next in a stream, some 2 microseconds
 *
 * What the driver does not tell: 1.5 GHz, and 8 bytes a cycle of memory for each multiprocessor, amid what devices of
 * 7.5 to 10.0 have. */
#include "estimate.h"

#include <stddef.h>

#define LAUNCH_SECONDS 2e-6
#define CLOCK_UNKNOWN 1.5e9
#define MEMORY_UNKNOWN 8.0 /* bytes per cycle and multiprocessor */
#define L2_ALL 6154.0
#define DP4A 256.0
#define WGMMA 4096.0
#define TCGEN05 8192.0
#define OF_WGMMA 0.65 /* what mma.sync reaches */
#define PRODUCTS_REACHED 0.78
#define MEMORY_REACHED 0.92

/* By compute capability: the major version, and the minor ones from .. to. */
static const struct {
    int major, minor_from, minor_to;
    double mma, library;
} rates_of_s8[] = {
    { 6, 0, 99, 0, DP4A },
    { 7, 0, 4, 0, DP4A },
    { 7, 5, 99, 1024, 1024 },
    { 8, 0, 0, 2048, 2048 },
    { 8, 7, 7, 2048, 2048 },
    { 8, 1, 99, 1024, 1024 },
    { 9, 0, 99, OF_WGMMA *WGMMA, WGMMA },
    { 10, 0, 1, OF_WGMMA *WGMMA, TCGEN05 },
    { 10, 2, 99, 256, 256 },
    { 11, 0, 99, OF_WGMMA *WGMMA, TCGEN05 },
    { 12, 0, 99, 1024, 1024 },
};

qmmi_cuda_rates qmmi_cuda_rates_of(int compute_major, int compute_minor, int multiprocessors, double clock,
                                   double memory) {
    const double cycles = clock > 0 ? clock : CLOCK_UNKNOWN;
    const double l2 = multiprocessors * QMMI_CUDA_L2_EACH;
    const double on_paper = memory > 0 ? memory : multiprocessors * MEMORY_UNKNOWN * cycles;
    double mma = 1024, library = 1024;
    for (size_t i = 0; i < sizeof rates_of_s8 / sizeof rates_of_s8[0]; i++) {
        if (compute_major != rates_of_s8[i].major || compute_minor < rates_of_s8[i].minor_from ||
            compute_minor > rates_of_s8[i].minor_to)
            continue;
        mma = rates_of_s8[i].mma;
        library = rates_of_s8[i].library;
        break;
    }
    return (qmmi_cuda_rates){ .clock = cycles,
                              .memory = MEMORY_REACHED * on_paper,
                              .l2 = (l2 < L2_ALL ? l2 : L2_ALL) * cycles,
                              .dp4a = DP4A,
                              .mma = PRODUCTS_REACHED * mma,
                              .mma_k16 = PRODUCTS_REACHED * (compute_major >= 8 ? mma / 2 : mma),
                              .wgmma = compute_major == 9 && compute_minor == 0 ? PRODUCTS_REACHED * WGMMA : 0,
                              .library = PRODUCTS_REACHED * library };
}

static double larger(double x, double y) {
    return x > y ? x : y;
}

double qmmi_cuda_seconds(const qmmi_cuda_rates *rates, const qmmi_cuda_work *work) {
    const double moving = larger(work->memory_bytes / rates->memory, work->l2_bytes / rates->l2);
    return work->launches * LAUNCH_SECONDS + larger(moving, work->cycles / rates->clock);
}
