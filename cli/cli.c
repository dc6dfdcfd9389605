/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_error(int code, const char *command, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* One line, whatever a path or a driver's text holds. */
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
    fprintf(stderr, "qmm %s: %s\n", command, text);
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

int cli_qmm_error(const char *command, qmm_context *context) {
    return cli_error(code_of(qmm_context_error_status(context)), command, "%s", qmm_context_error(context));
}

/* getopt_long names a short option in optopt; of a long one it leaves the word in argv, and its value, where it is
 * known, in optopt. The values of long options are below ' ' or 'h', so the two are told apart. */
int cli_bad_option(const char *command, int result, char *const *argv) {
    const char *word = argv[optind - 1];
    if (result == ':') return cli_error(CLI_USAGE, command, "option %s needs a value", word);
    if (optopt == 0) return cli_error(CLI_USAGE, command, "unknown option %s; see qmm %s --help", word, command);
    if (optopt > ' ' && optopt != 'h')
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

int cli_open(const char *command, const char *device, qmm_context **context) {
    char text[2048] = "";
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_status status;
    options.error_text = text;
    options.error_text_size = sizeof text;
    status = qmm_context_open(device, &options, context);
    return status == QMM_OK ? CLI_OK : cli_error(code_of(status), command, "%s", text);
}
