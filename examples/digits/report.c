/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of results. */
#include <math.h>

#include "digits.h"

static double percent(int64_t part, const digits_data *data) {
    return 100.0 * (double)part / (double)data->images.shape[0];
}

static void print_row(FILE *out, const digits_data *data, const digits_result *r) {
    fprintf(out, "%-7s  %-20s  %-20s  %6.1f %%  %6.1f %%", r->name, r->weights, r->inputs, percent(r->right, data),
            percent(r->same, data));
    if (isfinite(r->sqnr_db)) {
        fprintf(out, "  %7.1f dB  %8zu  %8.2f ms  %08x\n", r->sqnr_db, r->weight_bytes, r->seconds * 1e3,
                (unsigned)r->checksum);
    } else {
        fprintf(out, "  %10s  %8zu  %8.2f ms\n", "-", r->weight_bytes, r->seconds * 1e3);
    }
}

void digits_print(FILE *out, const digits_data *data, const digits_result results[DIGITS_FORMATS]) {
    fprintf(out, "%-7s  %-20s  %-20s  %8s  %8s  %10s  %8s  %11s  %s\n", "format", "weights", "inputs of layers",
            "right", "as float", "SQNR", "bytes", "time", "checksum");
    for (int i = 0; i < DIGITS_FORMATS; i++) print_row(out, data, &results[i]);
    fprintf(out,
            "\nright     images read correctly, of %lld; one is %.1f points, and a few more or fewer are chance\n"
            "as float  images given the class that float32 gives\n"
            "SQNR      of the logits against float32's; higher is closer\n"
            "bytes     of weights and their scales, as quantized\n"
            "time      for all images, median of %d runs: quantizing the inputs and three matmuls on the device;\n"
            "          loading, quantizing and packing the weights is not in it. float32 is plain C on the host\n"
            "checksum  of the logits' bytes\n",
            (long long)data->images.shape[0], percent(1, data), DIGITS_RUNS);
}

double digits_loss(const digits_data *data, const digits_result results[DIGITS_FORMATS]) {
    return percent(results[DIGITS_FLOAT].right - results[DIGITS_INT8_CHANNEL].right, data);
}
