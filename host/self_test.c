/* SPDX-License-Identifier: Apache-2.0
 *
 * Known-answer tests: what a kernel row must get right before a context trusts it. Vendors' libraries and capability
 * bits are known to lie, so the cases sit at the extremes: -128 * -128, 255 * -128, runs that saturate 16-bit lanes,
 * tails of K, odd shapes, the longest K.
 *
 * Where a row has passed them, and says which variant it picks, a variant has the few that tell one tile from another:
 * tails on all sides, and more steps along K than a tile has stages; the extremes, and codes that all differ; and a C of
 * halves, which may leave a tile by another way than one of s32. */
#include <string.h>

#include "context.h"
#include "kernel.h"
#include "numerics.h"

typedef struct matmul_case {
    int64_t m, n, k;
    bool transpose_a, transpose_b, zero_points;
    bool of_variants; /* each tile has it, not only the row */
    bool halves;      /* C is f16, not s32 */
} matmul_case;

#define K_LIMIT INT32_MAX

static const matmul_case matmul_cases[] = {
    { 1, 1, 1, false, false, false, false, false },
    { 3, 5, 7, false, false, false, false, false },
    { 17, 33, 65, false, true, true, true, false },
    { 16, 32, 64, true, false, false, false, false },
    { 5, 19, 130, true, true, true, false, false },
    { 2, 3, 1025, false, false, false, true, false },
    { 21, 40, 65, false, true, false, true, true },
    { 1, 1, K_LIMIT, false, false, false, false, false }, /* the longest K of the pair of types, with the largest sum alone */
};

static const qmm_type a_types[] = { QMM_S8, QMM_U8 };
static const qmm_type b_types[] = { QMM_S8, QMM_U8 };

typedef enum fill { LOWEST, HIGHEST, OPPOSED, MIXED, FILLS } fill;

/* The byte of element `index` of operand `side`. */
static uint8_t fill_byte(fill f, qmm_type type, int side, int64_t index) {
    const uint8_t low = type == QMM_S8 ? 0x80 : 0x00, high = type == QMM_S8 ? 0x7f : 0xff;
    switch (f) {
    case LOWEST: return low;
    case HIGHEST: return high;
    case OPPOSED: return side == 0 ? high : type == QMM_S8 ? low : high;
    case MIXED:
    case FILLS: break;
    }
    return (uint8_t)(((uint64_t)index * 2654435761u + (uint64_t)side * 40503u) >> 7);
}

static int64_t value_of(qmm_type type, uint8_t byte) {
    return type == QMM_S8 ? (int8_t)byte : byte;
}

/* Of the longest K, a tile of a kernel that is given one element takes thousands of steps: the fill whose sum comes
 * nearest to the end of int32 will do. `alone`: it is for a variant that is tested by itself. No tile reads a B that is
 * u8, which is rewritten as s8 for all of them. */
static bool is_left_out(const matmul_case *c, qmm_type a_type, qmm_type b_type, fill f, bool alone) {
    const fill extreme = a_type != b_type ? OPPOSED : a_type == QMM_S8 ? LOWEST : HIGHEST;
    if (alone) return !c->of_variants || b_type != QMM_S8 || (f != MIXED && (f != extreme || c->k > 1000));
    return c->k == K_LIMIT && f != extreme;
}

/* Everything a case needs, in one allocation on either side: A, B, then C. */
typedef struct rig {
    qmm_buffer *buffer;
    uint8_t *host;
    size_t bytes, b_offset, c_offset;
} rig;

static qmm_status open_rig(const qmmi_call *call, rig *r) {
    enum { OPERAND_BYTES = 192 * 1024, C_BYTES = 4096 }; /* 131,071 codes of the longest K */
    qmm_context *const context = call->context;
    qmm_status status;
    r->b_offset = OPERAND_BYTES;
    r->c_offset = 2 * OPERAND_BYTES;
    r->bytes = 2 * OPERAND_BYTES + C_BYTES;
    status = qmm_buffer_create(context, r->bytes, &r->buffer);
    if (status == QMM_OUT_OF_MEMORY)
        return qmmi_fail(context, status, call->function, "no device memory for the %zu bytes of a known-answer test",
                         r->bytes);
    QMMI_TRY(status);
    r->host = qmmi_allocate(context, r->bytes);
    return r->host ? QMM_OK
                   : qmmi_fail(context, QMM_OUT_OF_MEMORY, call->function, "no host memory for a known-answer test");
}

static void close_rig(qmm_context *context, rig *r) {
    qmm_buffer_free(r->buffer);
    qmmi_release(context, r->host, r->bytes);
}

static int32_t product(const matmul_case *c, qmm_type a_type, qmm_type b_type, int32_t za, int32_t zb, const rig *r,
                       int64_t i, int64_t j) {
    int64_t sum = 0;
    for (int64_t k = 0; k < c->k; k++) {
        const int64_t a = value_of(a_type, r->host[c->transpose_a ? k * c->m + i : i * c->k + k]);
        const int64_t b =
            value_of(b_type, r->host[r->b_offset + (size_t)(c->transpose_b ? j * c->k + k : k * c->n + j)]);
        sum += (a - za) * (b - zb);
    }
    return (int32_t)sum;
}

static bool is_right(const matmul_case *c, const rig *r, int64_t index, int32_t wanted) {
    const unsigned char *const got = r->host + r->c_offset;
    const uint32_t half = qmmn_f32_to_f16((float)wanted);
    int32_t word;
    uint16_t bits;
    memcpy(&word, got + 4 * index, sizeof word);
    memcpy(&bits, got + 2 * index, sizeof bits);
    return c->halves ? bits == half : word == wanted;
}

/* *wrong: whether some element is. A problem the row does not take, with that variant, is passed over. */
static qmm_status run_case(const qmmi_call *call, const qmmi_row *row, int variant, const matmul_case *c,
                           qmm_type a_type, qmm_type b_type, fill f, rig *r, int *ran, bool *wrong) {
    qmm_context *const context = call->context;
    qmm_tensor a = qmm_matrix(r->buffer, a_type, c->transpose_a ? c->k : c->m, c->transpose_a ? c->m : c->k);
    qmm_tensor b = qmm_matrix(r->buffer, b_type, c->transpose_b ? c->n : c->k, c->transpose_b ? c->k : c->n);
    qmm_tensor out = qmm_matrix(r->buffer, c->halves ? QMM_F16 : QMM_S32, c->m, c->n);
    qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT, checked;
    qmmi_problem problem;
    const size_t c_bytes = (size_t)(c->m * c->n) * (c->halves ? 2 : 4);
    size_t workspace;
    b.offset = r->b_offset;
    out.offset = r->c_offset;
    if (c->zero_points) {
        qa.zero_value = a_type == QMM_S8 ? -128 : 255;
        qb.zero_value = b_type == QMM_S8 ? 127 : 3;
    }
    desc.quant_a = &qa, desc.quant_b = &qb;
    desc.transpose_a = c->transpose_a, desc.transpose_b = c->transpose_b;
    QMMI_TRY(qmmi_check_matmul(call, &desc, &a, &b, &out, &checked, &problem));
    problem.as.matmul.variant = variant;
    if (row->accepts && row->accepts(context, &problem)) return QMM_OK;

    for (int64_t n = 0; n < c->m * c->k; n++) r->host[n] = fill_byte(f, a_type, 0, n);
    for (int64_t n = 0; n < c->k * c->n; n++) r->host[r->b_offset + (size_t)n] = fill_byte(f, b_type, 1, n);
    memset(r->host + r->c_offset, 0x5a, c_bytes);
    QMMI_TRY(qmm_buffer_upload(context, r->buffer, 0, r->host, r->bytes));
    workspace = qmmi_row_workspace(context, row, &problem);
    QMMI_TRY(qmmi_workspace_reserve(context, workspace, call->function));
    QMMI_TRY(row->run(context, &problem, context->workspace, 0));
    QMMI_TRY(qmm_buffer_download(context, r->buffer, r->c_offset, r->host + r->c_offset, c_bytes));
    ++*ran;
    for (int64_t i = 0; i < c->m; i++)
        for (int64_t j = 0; j < c->n; j++)
            *wrong = *wrong ||
                     !is_right(c, r, i * c->n + j, product(c, a_type, b_type, qa.zero_value, qb.zero_value, r, i, j));
    return QMM_OK;
}

static qmm_status run_cases(const qmmi_call *call, const qmmi_row *row, int variant, bool alone, rig *r, int *ran,
                            bool *wrong) {
    qmm_status status = QMM_OK;
    for (size_t n = 0; n < sizeof matmul_cases / sizeof matmul_cases[0]; n++) {
        for (int pair = 0; pair < 4; pair++) {
            const qmm_type a_type = a_types[pair / 2], b_type = b_types[pair % 2];
            matmul_case c = matmul_cases[n];
            if (c.k == K_LIMIT) c.k = qmm_matmul_k_limit(a_type, 0, b_type, 0);
            for (int f = LOWEST; f < FILLS && status == QMM_OK && !*wrong; f++)
                if (!is_left_out(&matmul_cases[n], a_type, b_type, (fill)f, alone))
                    status = run_case(call, row, variant, &c, a_type, b_type, (fill)f, r, ran, wrong);
        }
    }
    return status;
}

/* A row is tested as it chooses by itself, and with each of its variants, unless those are tested one by one. */
static qmm_status test_matmul(const qmmi_call *call, const qmmi_row *row, int variant, int *ran, bool *wrong) {
    const int last = variant || row->picks ? variant : qmmi_row_variants(row);
    rig r = { 0 };
    qmm_status status = open_rig(call, &r);
    for (int v = variant; v <= last && status == QMM_OK && !*wrong; v++)
        status = run_cases(call, row, v, variant != 0, &r, ran, wrong);
    close_rig(call->context, &r);
    return status;
}

qmm_status qmmi_self_test(const qmmi_call *call, qmmi_operation operation, const qmmi_row *row, int variant,
                          const char **reason) {
    int ran = 0;
    bool wrong = false;
    *reason = NULL;
    switch (operation) {
    case QMMI_MATMUL: QMMI_TRY(test_matmul(call, row, variant, &ran, &wrong)); break;
    case QMMI_QUANTIZE:
    case QMMI_QUANTIZE_DYNAMIC:
    case QMMI_DEQUANTIZE:
    case QMMI_REQUANTIZE:
    case QMMI_OPERATION_COUNT: *reason = "this operation has no known-answer test yet"; return QMM_OK;
    }
    if (wrong)
        *reason = "it gave a wrong result in its known-answer test";
    else if (ran == 0)
        *reason = "it took none of the problems of its known-answer test";
    return QMM_OK;
}
