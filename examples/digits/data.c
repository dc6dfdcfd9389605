/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the network and its images, and checks that their shapes fit together. */
#include "digits.h"

static bool load(const char *directory, const char *name, npy_type type, int dims, npy_array *array, char *error,
                 size_t error_bytes) {
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s/%s.npy", directory, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        snprintf(error, error_bytes, "the path of %s.npy is too long", name);
        return false;
    }
    if (!npy_read(path, array, error, error_bytes)) return false;
    if (array->type == type && array->dims == dims) return true;
    snprintf(error, error_bytes, "%s: %d-d %s; the network needs %d-d %s", path, array->dims,
             npy_type_name(array->type), dims, npy_type_name(type));
    return false;
}

static bool load_all(const char *directory, digits_data *data, char *error, size_t error_bytes) {
    if (!load(directory, "images", NPY_F4, 2, &data->images, error, error_bytes) ||
        !load(directory, "labels", NPY_I4, 1, &data->labels, error, error_bytes) ||
        !load(directory, "calibration", NPY_F4, 2, &data->calibration, error, error_bytes))
        return false;
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        char name[32];
        snprintf(name, sizeof name, "weight%d", i + 1);
        if (!load(directory, name, NPY_F4, 2, &data->weight[i], error, error_bytes)) return false;
        snprintf(name, sizeof name, "bias%d", i + 1);
        if (!load(directory, name, NPY_F4, 1, &data->bias[i], error, error_bytes)) return false;
    }
    return true;
}

/* Every layer takes what the one before gives, and there is one label an image. */
static bool fits_together(const digits_data *data) {
    int64_t k = data->images.shape[1];
    if (data->images.shape[0] == 0 || data->labels.shape[0] != data->images.shape[0] || data->calibration.shape[1] != k)
        return false;
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        if (data->weight[i].shape[0] != k) return false;
        k = data->weight[i].shape[1];
        if (data->bias[i].shape[0] != k) return false;
    }
    return k == DIGITS_CLASSES;
}

bool digits_load(const char *directory, digits_data *data, char *error, size_t error_bytes) {
    *data = (digits_data){ 0 };
    if (load_all(directory, data, error, error_bytes)) {
        if (fits_together(data)) return true;
        snprintf(error, error_bytes, "%s: the shapes of images, weights and biases do not fit together", directory);
    }
    digits_free(data);
    return false;
}

void digits_free(digits_data *data) {
    npy_free(&data->images);
    npy_free(&data->labels);
    npy_free(&data->calibration);
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        npy_free(&data->weight[i]);
        npy_free(&data->bias[i]);
    }
}
