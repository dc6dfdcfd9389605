/* SPDX-License-Identifier: Apache-2.0
 *
 * How long work is expected to take, by which a row is chosen among those that are right. Reckoned, not measured. */
#ifndef QMMI_CUDA_ESTIMATE_H
#define QMMI_CUDA_ESTIMATE_H

#define QMMI_CUDA_L2_EACH 64.0 /* bytes per cycle that the second-level cache gives to one multiprocessor */

/* What a device is expected to reach. Of a multiprocessor, s8 multiply-adds in a cycle. */
typedef struct qmmi_cuda_rates {
    double clock;   /* cycles per second */
    double memory;  /* bytes per second */
    double l2;      /* bytes per second that the second-level cache gives to all multiprocessors */
    double dp4a;    /* by that instruction */
    double mma;     /* by mma.sync m16n8k32; where there is none, by m8n8k16; 0: neither */
    double mma_k16; /* by mma.sync m8n8k16 */
    double wgmma;   /* by wgmma; 0: there is none */
    double library; /* by the best instruction of the device, which cuBLASLt has */
} qmmi_cuda_rates;

/* clock and memory: 0 where the driver does not say. */
qmmi_cuda_rates qmmi_cuda_rates_of(int compute_major, int compute_minor, int multiprocessors, double clock,
                                   double memory);

/* Work that is queued together, whose parts overlap: bytes that memory and the second-level cache move, and the cycles
 * that the busiest multiprocessor multiplies. */
typedef struct qmmi_cuda_work {
    double launches;
    double memory_bytes, l2_bytes;
    double cycles;
} qmmi_cuda_work;

double qmmi_cuda_seconds(const qmmi_cuda_rates *rates, const qmmi_cuda_work *work);

#endif
