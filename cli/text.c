/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <string.h>

size_t text_utf8_length(const unsigned char *s) {
    static const struct {
        unsigned char lead_min, lead_max, second_min, second_max, length;
    } forms[] = {
        { 0x01, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t n = 1;
        if (s[0] < forms[i].lead_min || s[0] > forms[i].lead_max) continue;
        if (forms[i].length > 1 && (s[1] < forms[i].second_min || s[1] > forms[i].second_max)) return 0;
        while (n < forms[i].length && (n < 2 || (s[n] & 0xc0) == 0x80)) n++;
        return n == forms[i].length ? n : 0;
    }
    return 0;
}

int text_is_control(const unsigned char *s) {
    return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0);
}

/* The character at s; gives the bytes that it took. */
static size_t put_character(FILE *out, const unsigned char *s) {
    const size_t length = text_utf8_length(s);
    if (length == 0) {
        fputs("\xef\xbf\xbd", out);
    } else if (text_is_control(s)) {
        putc(' ', out);
    } else {
        fwrite(s, 1, length, out);
    }
    return length ? length : 1;
}

int text_print(FILE *out, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    int count = 0;
    for (; *s; count++) s += put_character(out, s);
    return count;
}

void text_print_cell(FILE *out, const char *text) {
    const char *const quote = strpbrk(text, ",\"") ? "\"" : "";
    const unsigned char *s = (const unsigned char *)text;
    fputs(quote, out);
    while (*s) {
        if (*s == '"') putc('"', out);
        s += put_character(out, s);
    }
    fputs(quote, out);
}
