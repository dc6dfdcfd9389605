/* SPDX-License-Identifier: Apache-2.0
 *
 * a / b in binary32, rounded to nearest even, in integer arithmetic: OpenCL lets a device be 2.5 ulp off.
 *
 *     a = x 2^e, b = y 2^f with 2^23 <= x, y < 2^24:    q = floor(x 2^26 / y) has 26 or 27 bits, and the remainder
 *     says on which side of q the quotient lies, so that q with a sticky bit rounds as the quotient does. */

/* The significand, with its leading bit at 23, and the exponent that goes with it; x is finite and not 0. */
static uint significand(uint magnitude, int *exponent) {
    const uint fraction = magnitude & 0x7fffffu;
    int shift;
    *exponent = (int)(magnitude >> 23);
    if (*exponent > 0) return fraction | 0x800000u;
    shift = (int)clz(fraction) - 8;
    *exponent = 1 - shift;
    return fraction << shift;
}

static float divide(float a, float b) {
    const uint sign = (as_uint(a) ^ as_uint(b)) & 0x80000000u;
    const uint x = as_uint(a) & 0x7fffffffu, y = as_uint(b) & 0x7fffffffu;
    int e, f, exponent;
    uint sx, sy, q, drop;
    ulong wide;
    if (x > 0x7f800000u || y > 0x7f800000u || (x == y && (x == 0 || x == 0x7f800000u))) return as_float(0x7fc00000u);
    if (x == 0x7f800000u || y == 0) return as_float(sign | 0x7f800000u);
    if (x == 0 || y == 0x7f800000u) return as_float(sign);
    sx = significand(x, &e);
    sy = significand(y, &f);
    exponent = e - f + 127;
    if (sx < sy) {
        sx <<= 1;
        exponent--;
    }
    wide = (ulong)sx << 26; /* the quotient has 27 bits: 24, and 3 to round by */
    q = (uint)(wide / sy);
    q |= (ulong)q * sy != wide;
    if (exponent >= 255) return as_float(sign | 0x7f800000u);
    drop = 3;
    if (exponent < 1) { /* subnormal: fewer bits stay */
        drop = (uint)min(4 - exponent, 31);
        exponent = 0;
        q = (q >> (drop - 3)) | ((q & ((1u << (drop - 3)) - 1u)) != 0);
    } else {
        q -= 1u << 26; /* the leading bit is the exponent's */
    }
    /* Rounding up may carry into the exponent, to infinity at the end of it, as it should. */
    q = (q >> 3) + (((q & 7u) > 4u) || ((q & 7u) == 4u && ((q >> 3) & 1u)));
    return as_float(sign | (((uint)exponent << 23) + q));
}
