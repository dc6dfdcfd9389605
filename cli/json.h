/* SPDX-License-Identifier: Apache-2.0
 *
 * The two things printf does not do for JSON. */
#ifndef QMM_CLI_JSON_H
#define QMM_CLI_JSON_H

#include <stdio.h>

/* `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
void json_string(FILE *out, const char *text);

/* A number that reads back as the same double; null for NaN and infinities, which JSON has no words for. */
void json_number(FILE *out, double value);

#endif
