/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm devices: what can be opened, and why other backends have nothing. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "json.h"

static const char help[] =
    "usage: qmm devices [--format text|json]\n\n"
    "Lists the devices of every backend, best first, then the backends that have none, with the reason.\n\n"
    "  NAME   what --device of the other subcommands takes; \"auto\" is the first\n"
    "  KIND   cpu, gpu or accelerator: an OpenCL device may be any\n"
    "  INT8   how the device multiplies int8: none, dp4a, mma, wgmma, tcgen05, reduced, vnni\n"
    "  UNITS  cores or multiprocessors\n\n"
    "  --format FORMAT  text (the default) or json\n"
    "  -h, --help       this text\n";

static void print_memory(uint64_t bytes) {
    if (bytes == 0) {
        printf("  %10s", "unknown");
    } else {
        printf("  %6.1f GiB", (double)bytes / (1024.0 * 1024.0 * 1024.0));
    }
}

static void print_text(void) {
    printf("%-10s  %-11s  %-8s %5s  %10s  %s\n", "NAME", "KIND", "INT8", "UNITS", "MEMORY", "DESCRIPTION");
    for (int i = 0; i < qmm_device_count(); i++) {
        qmm_device_info d = QMM_DEVICE_INFO_INIT;
        if (qmm_device_get_info(i, &d) != QMM_OK) continue; /* unplugged meanwhile */
        printf("%-10s  %-11s  %-8s %5d", d.name, qmm_device_kind_name(d.kind), qmm_int8_class_name(d.int8_class),
               (int)d.compute_units);
        print_memory(d.memory_bytes);
        printf("  %s", d.description);
        if (d.compute_major > 0) printf(", compute capability %d.%d", (int)d.compute_major, (int)d.compute_minor);
        if (d.driver[0]) printf(", %s", d.driver);
        putchar('\n');
    }
    for (int i = 0; i < qmm_backend_count(); i++) {
        qmm_backend_info b = QMM_BACKEND_INFO_INIT;
        if (qmm_backend_get_info(i, &b) == QMM_OK && b.devices == 0) printf("%-10s  no device: %s\n", b.name, b.reason);
    }
}

static void print_member(const char *key, const char *text) {
    printf("\"%s\": ", key);
    json_print_string(stdout, text);
    fputs(", ", stdout);
}

static void print_json_device(const qmm_device_info *d) {
    fputs("    {", stdout);
    print_member("name", d->name);
    print_member("description", d->description);
    print_member("driver", d->driver);
    print_member("kind", qmm_device_kind_name(d->kind));
    print_member("int8_class", qmm_int8_class_name(d->int8_class));
    printf("\"compute_units\": %d, \"compute_capability\": [%d, %d], \"memory_bytes\": %" PRIu64
           ", \"memory_bandwidth\": %" PRIu64 "}",
           (int)d->compute_units, (int)d->compute_major, (int)d->compute_minor, d->memory_bytes, d->memory_bandwidth);
}

static void print_json(void) {
    const char *separator = "\n";
    printf("{\n  \"version\": \"%s\",\n  \"devices\": [", qmm_version());
    for (int i = 0; i < qmm_device_count(); i++) {
        qmm_device_info d = QMM_DEVICE_INFO_INIT;
        if (qmm_device_get_info(i, &d) != QMM_OK) continue;
        fputs(separator, stdout);
        print_json_device(&d);
        separator = ",\n";
    }
    fputs("\n  ],\n  \"backends\": [", stdout);
    separator = "\n";
    for (int i = 0; i < qmm_backend_count(); i++) {
        qmm_backend_info b = QMM_BACKEND_INFO_INIT;
        if (qmm_backend_get_info(i, &b) != QMM_OK) continue;
        printf("%s    {", separator);
        print_member("name", b.name);
        print_member("reason", b.reason);
        printf("\"devices\": %d}", (int)b.devices);
        separator = ",\n";
    }
    fputs("\n  ]\n}\n", stdout);
}

int cmd_devices(int argc, char **argv) {
    enum { FORMAT = 1 };
    static const struct option options[] = { { "format", required_argument, NULL, FORMAT },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    static const cli_word formats[] = { { "text", 0 }, { "json", 1 }, { NULL, 0 } };
    int json = 0, option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case FORMAT:
            if ((code = cli_read_word(argv[0], "--format", optarg, formats, &json)) != CLI_OK) return code;
            break;
        case 'h': fputs(help, stdout); return CLI_OK;
        default: return cli_bad_option(argv[0], option, argv);
        }
    }
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    (json ? print_json : print_text)();
    return CLI_OK;
}
