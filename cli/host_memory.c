/* SPDX-License-Identifier: Apache-2.0
 *
 * How much memory the host has left: asked beforehand, because a system that lends more than it has would stop the
 * program later. */
#include <stdio.h>

#include "host_memory.h"

/* A number of the first line that `format` finds it in; below 0 if there is no such file or line. */
static double read_number(const char *path, const char *format) {
    FILE *file = fopen(path, "r");
    char line[256];
    double value = -1.0;
    if (!file) return -1.0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, format, &value) == 1) break;
    fclose(file);
    return value;
}

double cli_memory_available(void) {
    const double system = read_number("/proc/meminfo", "MemAvailable: %lf");
    const double limit = read_number("/sys/fs/cgroup/memory.max", "%lf"); /* "max" where there is none */
    const double used = read_number("/sys/fs/cgroup/memory.current", "%lf");
    const double here = limit >= 0.0 && used >= 0.0 && used <= limit ? limit - used : -1.0;
    if (system < 0.0) return here;
    return here >= 0.0 && here < system * 1024.0 ? here : system * 1024.0;
}
