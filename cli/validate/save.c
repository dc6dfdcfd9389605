/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensors of a failure as .npy files, dense, one element of the tensor an element of the array: codes of 4 bits
 * take a byte, bf16, which NumPy lacks, becomes f4. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../npy.h"
#include "generate.h"
#include "session.h"

enum { PATH = 1024, IMAGES_MAX = 3 * VALIDATE_TENSORS };

/* ---- one array --------------------------------------------------------------------------------------------------- */

static npy_type array_type(qmm_type type) {
    switch (type) {
    case QMM_S4:
    case QMM_S8: return NPY_I1;
    case QMM_U4:
    case QMM_U8: return NPY_U1;
    case QMM_S16: return NPY_I2;
    case QMM_U16: return NPY_U2;
    case QMM_S32: return NPY_I4;
    case QMM_F32:
    case QMM_BF16: return NPY_F4;
    case QMM_F16: return NPY_F2;
    }
    return NPY_F4;
}

/* The same array as a tensor without anything between its elements. */
static validate_tensor dense(const validate_tensor *t) {
    validate_tensor d = *t;
    d.type = t->type == QMM_S4 ? QMM_S8 : t->type == QMM_U4 ? QMM_U8 : t->type == QMM_BF16 ? QMM_F32 : t->type;
    d.row_stride = t->cols;
    d.batch_stride = t->rows * t->cols;
    d.offset = 0;
    return d;
}

/* *elements is to be freed; NULL if there is no memory for them. */
static npy_array array_of(const validate_image *image, unsigned char **elements) {
    const validate_tensor *t = image->tensor, d = dense(t);
    const int64_t shape[NPY_DIMS_MAX] = { t->batch, t->rows, t->cols };
    const int skipped = t->batch == 1 ? 1 : 0;
    const size_t count = (size_t)(t->batch * t->rows * t->cols);
    *elements = malloc(count * npy_type_bytes(array_type(t->type)) + 1);
    for (int64_t b = 0; *elements && b < t->batch; b++)
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t j = 0; j < t->cols; j++)
                validate_store(&d, *elements, b, i, j, validate_load(t, image->bytes, b, i, j));
    return npy_view(array_type(t->type), NPY_DIMS_MAX - skipped, shape + skipped, *elements);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* DIR/LABEL-NAME.ENDING, what no file's name should hold replaced. */
static void make_path(const validate_session *s, const char *label, const char *name, const char *ending, char *path) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
    char *at;
    path[0] = '\0';
    validate_append(path, PATH, "%s/", s->options->save);
    at = path + strlen(path);
    validate_append(path, PATH, "%s%s%s", label, name[0] ? "-" : "", name);
    for (; *at; at++)
        if (!strchr(plain, *at)) *at = '-';
    validate_append(path, PATH, "%s", ending);
}

static bool save_arrays(const validate_session *s, const validate_failure *f, const validate_image *images, int count,
                        char *error, size_t bytes) {
    unsigned char *elements[IMAGES_MAX] = { NULL };
    char paths[IMAGES_MAX][PATH];
    npy_file files[IMAGES_MAX] = { { .path = NULL } };
    bool whole = count <= IMAGES_MAX;
    for (int n = 0; n < count && whole; n++) {
        make_path(s, f->label, images[n].name, ".npy", paths[n]);
        files[n] = (npy_file){ paths[n], array_of(&images[n], &elements[n]) };
        whole = elements[n] != NULL;
    }
    if (!whole) snprintf(error, bytes, "no memory for them");
    if (whole) whole = npy_write(files, (size_t)count, error, bytes);
    for (int n = 0; n < count && n < IMAGES_MAX; n++) free(elements[n]);
    return whole;
}

static bool save_text(const validate_session *s, const validate_failure *f) {
    char path[PATH];
    FILE *file;
    bool whole;
    make_path(s, f->label, "", ".txt", path);
    file = fopen(path, "w");
    if (!file) return false;
    whole = fprintf(file, "%s\n%s\n%s\n", f->repro, f->description, f->mismatch) > 0;
    return fclose(file) == 0 && whole;
}

void validate_save(const validate_session *s, const validate_failure *failure, const validate_image *images,
                   int count) {
    char error[NPY_ERROR_BYTES] = "";
    if (!save_arrays(s, failure, images, count, error, sizeof error))
        fprintf(stderr, "qmm validate: cannot save the tensors of %s: %s\n", failure->label, error);
    else if (!save_text(s, failure))
        fprintf(stderr, "qmm validate: cannot save the text of %s in %s\n", failure->label, s->options->save);
}

/* ---- the tensors of a case --------------------------------------------------------------------------------------- */

static void add_image(validate_image *images, int *count, const validate_tensor *t, const char *which,
                      const unsigned char *bytes) {
    validate_image *image = &images[(*count)++];
    *image = (validate_image){ .tensor = t, .bytes = bytes };
    validate_append(image->name, sizeof image->name, "%s%s", t->name, which);
}

void validate_save_case(const validate_session *s, const validate_failure *failure, const validate_case *c) {
    validate_image images[IMAGES_MAX];
    int count = 0;
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        add_image(images, &count, t, t->output ? ".before" : "", t->before);
        if (!t->output) continue;
        add_image(images, &count, t, ".expected", t->want);
        add_image(images, &count, t, ".got", t->after);
    }
    validate_save(s, failure, images, count);
}
