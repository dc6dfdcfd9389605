/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm demo: examples/digits on a device. */
#define _POSIX_C_SOURCE 200809L
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "digits.h"
#include "json.h"
#include "progress.h"

static const char help[] =
    "usage: qmm demo [--device NAME] [--data DIRECTORY] [--format text|json]\n\n"
    "Reads 500 handwritten digits with a small network, in float32 and in four quantized formats, and compares\n"
    "accuracy, error, size and time. examples/digits holds the same as a program to copy from.\n\n"
    "  --device NAME     a device of `qmm devices`; auto (the default) is the best one\n"
    "  --data DIRECTORY  the network and its images; without it $QMM_DATA_DIR, the source tree next to the\n"
    "                    build folder, or the installed share/qmm/digits, the first that is there\n"
    "  --format FORMAT   text (the default) or json\n"
    "  -h, --help        this text\n";

typedef struct arguments {
    const char *device, *data;
    int json;
    bool help;
} arguments;

static int parse(int argc, char **argv, arguments *a) {
    enum { DEVICE = 1, DATA, FORMAT };
    static const struct option options[] = { { "device", required_argument, NULL, DEVICE },
                                             { "data", required_argument, NULL, DATA },
                                             { "format", required_argument, NULL, FORMAT },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    static const cli_word formats[] = { { "text", 0 }, { "json", 1 }, { NULL, 0 } };
    int option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case DEVICE: a->device = optarg; break;
        case DATA: a->data = optarg; break;
        case FORMAT:
            if ((code = cli_read_word(argv[0], "--format", optarg, formats, &a->json)) != CLI_OK) return code;
            break;
        case 'h': a->help = true; return CLI_OK;
        default: return cli_bad_option(argv[0], option, argv);
        }
    }
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    return CLI_OK;
}

/* The folder this program lies in, "." if the system does not say. */
static void find_program(char *folder, size_t size) {
    const ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    char *slash;
    folder[length > 0 ? length : 0] = '\0';
    slash = strrchr(folder, '/');
    if (slash) {
        *slash = '\0';
    } else {
        snprintf(folder, size, ".");
    }
}

/* The data next to the program, in a build folder within the source tree or in an installed tree. */
static bool find_data(char *path, size_t size) {
    static const char *const places[] = { "../examples/digits/data", QMM_INSTALLED_DATA };
    char program[PATH_MAX];
    find_program(program, sizeof program);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char probe[2 * PATH_MAX];
        if (snprintf(path, size, "%s/%s", program, places[i]) >= (int)size) continue;
        snprintf(probe, sizeof probe, "%s/images.npy", path);
        if (access(probe, R_OK) == 0) return true;
    }
    return false;
}

static int load(const char *command, const char *directory, digits_data *data) {
    char found[PATH_MAX], error[1024];
    if (!directory) directory = getenv("QMM_DATA_DIR");
    if (!directory && find_data(found, sizeof found)) directory = found;
    if (!directory)
        return cli_error(CLI_USAGE, command,
                         "the demo's data is not next to the program; name it with --data or QMM_DATA_DIR");
    return digits_load(directory, data, error, sizeof error) ? CLI_OK : cli_error(CLI_USAGE, command, "%s", error);
}

static void print_text(const qmm_device_info *device, const digits_data *data, const digits_result *results) {
    printf("device: %s (%s)\n"
           "handwritten digits, network 64-128-64-10, %lld test images of 8x8\n\n",
           device->name, device->description, (long long)data->images.shape[0]);
    digits_print(stdout, data, results);
    puts("\nThe int8 and int4 results are the same bytes on every device: compare the checksums.");
}

static void print_json(const qmm_device_info *device, const digits_data *data, const digits_result *results) {
    fputs("{\n  \"device\": ", stdout);
    json_print_string(stdout, device->name);
    printf(",\n  \"images\": %lld,\n  \"results\": [", (long long)data->images.shape[0]);
    for (int i = 0; i < DIGITS_FORMATS; i++) {
        const digits_result *r = &results[i];
        printf(
            "%s\n    {\"format\": \"%s\", \"weights\": \"%s\", \"inputs\": \"%s\", \"right\": %lld, \"same\": %lld, ",
            i ? "," : "", r->name, r->weights, r->inputs, (long long)r->right, (long long)r->same);
        printf("\"weight_bytes\": %zu, \"seconds\": %.9f, \"checksum\": \"%08x\", \"sqnr_db\": ", r->weight_bytes,
               r->seconds, (unsigned)r->checksum);
        json_print_number(stdout, r->sqnr_db);
        putchar('}');
    }
    fputs("\n  ]\n}\n", stdout);
}

static void show(void *user, int done, int total) {
    progress_show(user, done, total);
}

static int run(const char *command, qmm_context *context, const digits_data *data, bool json) {
    digits_result results[DIGITS_FORMATS];
    qmm_device_info device = QMM_DEVICE_INFO_INIT;
    char error[1024];
    progress bar;
    bool good;
    progress_start(&bar, "demo");
    good = digits_run(context, data, results, show, &bar, error, sizeof error);
    progress_end(&bar);
    if (!good) return cli_error(CLI_FAILED, command, "%s", error);
    if (qmm_context_get_device_info(context, &device) != QMM_OK) return cli_qmm_error(command, context);
    (json ? print_json : print_text)(&device, data, results);
    return CLI_OK;
}

int cmd_demo(int argc, char **argv) {
    arguments a = { .device = "auto" };
    digits_data data;
    qmm_context *context;
    int code = parse(argc, argv, &a);
    if (code != CLI_OK) return code;
    if (a.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    if ((code = load(argv[0], a.data, &data)) != CLI_OK) return code;
    code = cli_open(argv[0], a.device, &context);
    if (code == CLI_OK) {
        code = run(argv[0], context, &data, a.json);
        qmm_context_close(context);
    }
    digits_free(&data);
    return code;
}
