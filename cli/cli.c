/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

int cli_error(int code, const char *command, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "qmm %s: ", command);
    text_print(stderr, text); /* one line, whatever a path or a driver's text holds */
    putc('\n', stderr);
    return code;
}

static int code_of(qmm_status status) {
    switch (status) {
    case QMM_OK: return CLI_OK;
    case QMM_INVALID_ARGUMENT: return CLI_USAGE;
    case QMM_NO_DEVICE: return CLI_NO_DEVICE;
    case QMM_UNSUPPORTED:
    case QMM_OUT_OF_MEMORY:
    case QMM_BUILD_FAILED:
    case QMM_DEVICE_FAILED:
    case QMM_INTERNAL: break;
    }
    return CLI_FAILED;
}

int cli_status_error(const char *command, const qmm_context *context, qmm_status status) {
    const int code = code_of(status);
    return cli_error(code == CLI_OK ? CLI_FAILED : code, command, "%s", cli_why(context, status));
}

int cli_qmm_error(const char *command, qmm_context *context) {
    return cli_status_error(command, context, qmm_context_error_status(context));
}

const char *cli_why(const qmm_context *context, qmm_status status) {
    if (status == QMM_OK) return "something failed, and nothing says what";
    if (qmm_context_error_status(context) == status) return qmm_context_error(context);
    return status == QMM_OUT_OF_MEMORY ? "no host memory" : qmm_status_name(status);
}

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* getopt_long names a short option in optopt; of a long one it leaves the word in argv, and its value, where it is
 * known, in optopt. The values of long options are no printable characters but 'h', so the two are told apart. */
int cli_bad_option(const char *command, int result, char *const *argv) {
    const char *word = argv[optind - 1];
    if (result == ':') return cli_error(CLI_USAGE, command, "option %s needs a value", word);
    if (optopt == 0) return cli_error(CLI_USAGE, command, "unknown option %s; see qmm %s --help", word, command);
    if (optopt > ' ' && optopt < 0x7f && optopt != 'h')
        return cli_error(CLI_USAGE, command, "unknown option -%c; see qmm %s --help", optopt, command);
    return cli_error(CLI_USAGE, command, "option %.*s takes no value", (int)strcspn(word, "="), word);
}

bool cli_read_int(const char *text, int64_t min, int64_t max, int64_t *value) {
    char *end;
    long long number;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < min || number > max) return false;
    *value = number;
    return true;
}

bool cli_read_double(const char *text, double min, double max, double *value) {
    char *end;
    double number;
    errno = 0;
    number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= min && number <= max)) return false;
    *value = number;
    return true;
}

int cli_read_number(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                    int64_t *value) {
    if (cli_read_int(text, min, max, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%s' is not a whole number from %" PRId64 " to %" PRId64, option, text,
                     min, max);
}

int cli_read_word(const char *command, const char *option, const char *text, const cli_word *words, int *value) {
    char list[256] = "";
    for (; words->word; words++) {
        const size_t length = strlen(list);
        if (strcmp(text, words->word) == 0) {
            *value = words->value;
            return CLI_OK;
        }
        snprintf(list + length, sizeof list - length, " %s", words->word);
    }
    return cli_error(CLI_USAGE, command, "%s '%s' is none of%s", option, text, list);
}

int cli_open_with(const char *command, const char *device, const qmm_context_options *given, qmm_context **context) {
    char text[2048] = "";
    qmm_context_options options = *given;
    qmm_status status;
    options.error_text = text;
    options.error_text_size = sizeof text;
    status = qmm_context_open(device, &options, context);
    return status == QMM_OK ? CLI_OK : cli_error(code_of(status), command, "%s", text);
}

int cli_open(const char *command, const char *device, qmm_context **context) {
    const qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    return cli_open_with(command, device, &options, context);
}

int cli_make_directory(const char *command, const char *path) {
    struct stat status;
    if (mkdir(path, 0777) == 0) return CLI_OK;
    if (errno != EEXIST) return cli_error(CLI_USAGE, command, "--save %s: %s", path, strerror(errno));
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return cli_error(CLI_USAGE, command, "--save %s is not a directory", path);
    if (access(path, W_OK | X_OK) != 0) return cli_error(CLI_USAGE, command, "--save %s: %s", path, strerror(errno));
    return CLI_OK;
}
