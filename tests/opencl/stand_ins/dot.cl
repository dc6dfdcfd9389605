/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for the built-in functions behind opencl/dot.cl, whose own text stays: prepend this to the program's
 * source. QMM_DOT_INTEGER and QMM_DOT_ARM, of the program's options, say which function is wanted. */
static int stand_in_byte(uint word, int n) {
    const int byte = (int)(word >> 8 * n & 255u);
    return byte < 128 ? byte : byte - 256;
}

static int stand_in_dot(uint a, uint b) {
    int sum = 0;
    for (int n = 0; n < 4; n++) sum += stand_in_byte(a, n) * stand_in_byte(b, n);
    return sum;
}

#ifdef QMM_DOT_INTEGER
static int dot_4x8packed_ss_int(uint a, uint b) {
    return stand_in_dot(a, b);
}
#endif

#ifdef QMM_DOT_ARM
static int arm_dot_acc(char4 a, char4 b, int acc) {
    return acc + stand_in_dot(as_uint(a), as_uint(b));
}
#endif
