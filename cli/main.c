/* SPDX-License-Identifier: Apache-2.0
 *
 * The qmm command: the table of subcommands and the way into them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} command;

static const command commands[] = {
    { "devices", cmd_devices, "list the devices that can be used, and why others cannot" },
    { "demo", cmd_demo, "run a small network in float, int8 and int4, and compare" },
    { "validate", cmd_validate, "check a device's kernels against the reference, bit for bit" },
    { "quantize", cmd_quantize, "quantize a .npy file" },
    { "bench", cmd_bench, "measure a device's kernels, beside their peers" },
    { "tune", cmd_tune, "measure which kernels are fastest for given shapes, and keep that in a file" },
    { "explain", cmd_explain, "print which kernel a matmul would run, and why no other" },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static int print_help(FILE *out) {
    fputs("usage: qmm SUBCOMMAND [ARGUMENT ...]\n\n"
          "Quantize, dequantize and multiply int8 matrices; the same bytes on every device.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("  help       explain a subcommand: qmm help SUBCOMMAND, or qmm SUBCOMMAND --help\n"
          "  --version  print the version of the library\n\n"
          "Exit codes: 0 all is well, 1 a check or an operation failed, 2 bad usage or a bad input file,\n"
          "3 no such device.\n",
          out);
    return CLI_OK;
}

static const command *find(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static int unknown(const char *name) {
    char line[128];
    snprintf(line, sizeof line, "%s", name);
    line[strcspn(line, "\r\n")] = '\0';
    fprintf(stderr, "qmm: unknown subcommand '%s'; see qmm --help\n", line);
    return CLI_USAGE;
}

static int help_of(const char *name) {
    char option[] = "--help", *arguments[] = { NULL, option, NULL };
    const command *c = find(name);
    if (!c) return unknown(name);
    arguments[0] = (char *)(uintptr_t)c->name;
    return c->run(2, arguments);
}

static int dispatch(int argc, char **argv) {
    const command *c;
    if (argc < 2) {
        fputs("qmm: no subcommand; see qmm --help\n", stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("qmm %s\n", qmm_version());
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2) return help_of(argv[2]);
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(stdout);
    c = find(argv[1]);
    return c ? c->run(argc - 1, argv + 1) : unknown(argv[1]);
}

int main(int argc, char **argv) {
    const int code = dispatch(argc, argv);
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fprintf(stderr, "qmm: cannot write the output: %s\n", strerror(errno));
    return code == CLI_OK ? CLI_FAILED : code;
}
