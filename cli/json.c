/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <math.h>

#include "text.h"

void json_print_string(FILE *out, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    putc('"', out);
    while (*s) {
        const size_t length = text_utf8_length(s);
        if (length == 0) {
            fputs("\\ufffd", out);
        } else if (*s == '"' || *s == '\\') {
            fprintf(out, "\\%c", *s);
        } else if (text_is_control(s)) { /* the code of those of C1 is their second byte */
            fprintf(out, "\\u%04x", (unsigned)s[length - 1]);
        } else {
            fwrite(s, 1, length, out);
        }
        s += length ? length : 1;
    }
    putc('"', out);
}

void json_print_number(FILE *out, double value) {
    if (isfinite(value)) {
        fprintf(out, "%.17g", value);
    } else {
        fputs("null", out);
    }
}

void json_print_member(FILE *out, const char *key, const char *text) {
    fprintf(out, "\"%s\": ", key);
    json_print_string(out, text);
}

static void print_device(FILE *out, const qmm_device_info *device) {
    fputs("\"device\": {", out);
    json_print_member(out, "name", device->name);
    fputs(", ", out);
    json_print_member(out, "description", device->description);
    fputs(", ", out);
    json_print_member(out, "driver", device->driver);
    fputs(", ", out);
    json_print_member(out, "kind", qmm_device_kind_name(device->kind));
    putc('}', out);
}

void json_print_head(FILE *out, const char *command, const qmm_device_info *device) {
    fprintf(out, "\"tool\": \"qmm %s\", \"schema\": 1, \"version\": \"%s\",\n  ", command, qmm_version());
    if (device) {
        print_device(out, device);
    } else {
        fputs("\"device\": null", out);
    }
}
