/* SPDX-License-Identifier: Apache-2.0
 *
 * Text that others wrote (names in a file, a driver's words) where it must stay within its line. */
#ifndef QMM_CLI_TEXT_H
#define QMM_CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Bytes of the UTF-8 character at s, 0 if there is none (RFC 3629: no overlong forms, no surrogates). */
size_t text_utf8_length(const unsigned char *s);

/* Is the character at s a control character, of one byte or of C1 (U+0080..U+009F)? A terminal would obey it. */
int text_is_control(const unsigned char *s);

/* In a line: control characters become spaces, bytes that are not UTF-8 U+FFFD. Gives how many characters that were. */
int text_print(FILE *out, const char *text);

/* The same as a cell of CSV (RFC 4180), in quotes where it must be. */
void text_print_cell(FILE *out, const char *text);

#endif
