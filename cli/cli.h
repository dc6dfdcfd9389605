/* SPDX-License-Identifier: Apache-2.0
 *
 * What the subcommands of `qmm` share: exit codes, errors, arguments, devices. A subcommand is one file with one
 * function `int cmd_NAME(int argc, char **argv)`, argv[0] being its name, and one row in the table of main.c. */
#ifndef QMM_CLI_CLI_H
#define QMM_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "qmm/qmm.h"

/* What `qmm` exits with. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1,   /* a check or an operation failed */
    CLI_USAGE = 2,    /* bad usage, or a bad input file */
    CLI_NO_DEVICE = 3 /* no such device */
};

int cmd_bench(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_quantize(int argc, char **argv);
int cmd_tune(int argc, char **argv);
int cmd_validate(int argc, char **argv);

/* What `qmm validate` does where it is given --a, --b and --c; and where it is given --weights. */
int cli_validate_result(int argc, char **argv);
int cli_validate_weights(int argc, char **argv);

/* Operations (2MNK) of a matmul up to which its result is compared bit for bit with the cpu's reference row, which
 * takes about a second for so many; beyond, Freivalds' check is made. The default of --exact-limit. */
#define CLI_EXACT_LIMIT 17179869184.0

/* Prints `qmm COMMAND: TEXT` as one line on standard error and gives `code` back. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int cli_error(int code, const char *command, const char *format, ...);

/* The same for a qmm call that failed: its text, and the exit code that its status stands for; CLI_FAILED if the
 * context knows of no failure. */
int cli_qmm_error(const char *command, qmm_context *context);

/* Why a call or one of our own helpers gave this status: the context's text; or, if that is of something else, that it
 * was the host's memory, or the status' name. */
const char *cli_why(const qmm_context *context, qmm_status status);

/* The same printed, and the exit code that this status stands for. */
int cli_status_error(const char *command, const qmm_context *context, qmm_status status);

/* Gives the caller's caller the status of a call that failed. */
#define CLI_TRY(call)                                \
    do {                                             \
        const qmm_status try_status = (call);        \
        if (try_status != QMM_OK) return try_status; \
    } while (0)

/* Seconds of a clock that only goes forwards. */
double cli_now(void);

/* Prints what getopt_long has just refused (it returned ':' or '?'); optstring begins with ':', opterr is 0, and the
 * values of long options are 1, 2 ... 31, above 126, or 'h'. */
int cli_bad_option(const char *command, int result, char *const *argv);

/* A whole number or a decimal number, all of `text` and within min..max; false leaves *value alone. */
bool cli_read_int(const char *text, int64_t min, int64_t max, int64_t *value);
bool cli_read_double(const char *text, double min, double max, double *value);

/* The whole number of an option. If it is none within min..max, prints that, and gives CLI_USAGE. */
int cli_read_number(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                    int64_t *value);

/* A word of a list, for options that take one of a few. */
typedef struct cli_word {
    const char *word; /* NULL ends a list */
    int value;
} cli_word;

/* Finds `text` in `words`. If it is not there, prints which there are and gives CLI_USAGE. */
int cli_read_word(const char *command, const char *option, const char *text, const cli_word *words, int *value);

/* Opens a device by name; on failure prints why and gives the exit code. With options: their error_text is not used. */
int cli_open(const char *command, const char *device, qmm_context **context);
int cli_open_with(const char *command, const char *device, const qmm_context_options *options, qmm_context **context);

/* Makes the directory of --save unless it is there; the one above it must be. Prints why it cannot be used. */
int cli_make_directory(const char *command, const char *path);

#endif
