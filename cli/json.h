/* SPDX-License-Identifier: Apache-2.0
 *
 * What printf does not do for JSON, and how the documents of this command begin. */
#ifndef QMM_CLI_JSON_H
#define QMM_CLI_JSON_H

#include <stdio.h>

#include "qmm/qmm.h"

/* `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
void json_print_string(FILE *out, const char *text);

/* A number that reads back as the same double; null for NaN and infinities, which JSON has no words for. */
void json_print_number(FILE *out, double value);

/* `"key": "text"`. */
void json_print_member(FILE *out, const char *key, const char *text);

/* The first members of a document: tool ("qmm COMMAND"), schema, version, device, without a comma behind them. device
 * NULL: none was opened. */
void json_print_head(FILE *out, const char *command, const qmm_device_info *device);

#endif
