/* SPDX-License-Identifier: Apache-2.0
 *
 * digits DATA-DIRECTORY [DEVICE]: runs the network in every format and prints the table. Exits with 1 if something
 * fails or if int8 per channel loses more than half a point of accuracy, with 2 if it is called wrongly. */
#include "digits.h"

static const double LOSS_ALLOWED = 0.5; /* percentage points */

static int run(const digits_data *data, qmm_context *context) {
    digits_result results[DIGITS_FORMATS];
    char error[1024] = "";
    if (!digits_run(context, data, results, NULL, NULL, error, sizeof error)) {
        fprintf(stderr, "digits: %s\n", error);
        return 1;
    }
    digits_print(stdout, data, results);
    if (digits_loss(data, results) <= LOSS_ALLOWED) return 0;
    fprintf(stderr, "digits: int8 per channel lost %.1f points; %.1f are allowed\n", digits_loss(data, results),
            LOSS_ALLOWED);
    return 1;
}

int main(int argc, char **argv) {
    char error[1024] = "";
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context;
    digits_data data;
    int code;
    if (argc < 2 || argc > 3) {
        fputs("usage: digits DATA-DIRECTORY [DEVICE]\n", stderr);
        return 2;
    }
    options.error_text = error;
    options.error_text_size = sizeof error;
    if (!digits_load(argv[1], &data, error, sizeof error)) {
        fprintf(stderr, "digits: %s\n", error);
        return 2;
    }
    if (qmm_context_open(argc > 2 ? argv[2] : "auto", &options, &context) == QMM_OK) {
        code = run(&data, context);
        qmm_context_close(context);
    } else {
        fprintf(stderr, "digits: %s\n", error);
        code = 1;
    }
    digits_free(&data);
    return code;
}
