/* SPDX-License-Identifier: Apache-2.0
 *
 * What generators of cases share: sizes, fills, quantization parameters. */
#ifndef QMM_VALIDATE_GENERATE_H
#define QMM_VALIDATE_GENERATE_H

#include "case.h"

/* Around powers of two, where kernels have their seams: 0 to 257. */
int64_t validate_pick_size(validate_random *r);

/* The codes of a type narrowed to `bits` (0: all of them). */
void validate_code_range(qmm_type type, int bits, int32_t *qmin, int32_t *qmax);

/* Fills the elements of a tensor of codes. */
void validate_fill_codes(validate_case *c, int tensor, validate_fill fill);

/* Fills the elements of a tensor of reals, for quantization with q (NULL: scale 1 and codes of 8 bits). */
void validate_fill_reals(validate_case *c, int tensor, validate_real_fill fill, const validate_quant *q);

/* What parameters of a rows x cols tensor may be. */
typedef struct validate_quant_choice {
    qmm_type type; /* of the codes */
    int64_t rows, cols, batch;
    unsigned granularities; /* bits 1 << qmm_granularity */
    double scale;           /* about; 0: any */
    int64_t group_size;     /* 0: any that divides */
    bool no_zero;
    bool written; /* the call writes them: f32 and s32 tensors */
    const char *scale_name, *zero_name;
} validate_quant_choice;

enum { VALIDATE_ALL_GRANULARITIES = 31, VALIDATE_NO_GROUPS = 7 };

void validate_choose_quant(validate_case *c, validate_quant *q, const validate_quant_choice *choice);

/* No parameters: NULL is passed. */
void validate_no_quant(validate_quant *q, qmm_type type);

/* Parameters as the API takes them; the tensors must live as long. NULL if none are given. */
typedef struct validate_quant_arguments {
    qmm_quant quant;
    qmm_tensor scale, zero, sums;
} validate_quant_arguments;

const qmm_quant *validate_quant_on_device(const validate_case *c, const validate_execution *e, const validate_quant *q,
                                          validate_quant_arguments *arguments);

/* "per row, s8 zero" for one line of text. */
void validate_describe_quant(const validate_case *c, const validate_quant *q, char *text, size_t bytes);

/* snprintf that goes on where the text ends. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void validate_append(char *text, size_t bytes, const char *format, ...);

#endif
