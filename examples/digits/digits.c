/* SPDX-License-Identifier: Apache-2.0
 *
 * From a float network to a quantized one, step by step:
 *
 *     1  upload the float weights, quantize them on the device, pack them once              load_layer
 *     2  choose how inputs become int8:
 *        dynamic  each image's scale is found when it is there, at every layer              run_dynamic
 *        static   one scale a layer, chosen beforehand from calibration images              calibrate, run_static
 *     3  a layer is one qmm_matmul: int8 product, scales, bias and ReLU in one pass
 *
 * Every function here that talks to the device gives a qmm_status; the text of an error is qmm_context_error(). */
#define _POSIX_C_SOURCE 200809L
#include "digits.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define TRY(call)                                    \
    do {                                             \
        const qmm_status try_status = (call);        \
        if (try_status != QMM_OK) return try_status; \
    } while (0)

typedef struct format {
    const char *name, *weights, *inputs;
    qmm_type type;               /* of the weights' codes */
    qmm_granularity granularity; /* which weights share a scale */
    int64_t group_size;
    bool dynamic; /* the inputs' scales: found per image, or fixed beforehand */
} format;

static const format formats[DIGITS_FORMATS] = {
    [DIGITS_FLOAT] = { "float32", "float32", "float32", QMM_F32, QMM_PER_TENSOR, 0, false },
    [DIGITS_INT8_STATIC] = { "int8", "int8 per tensor", "int8 static", QMM_S8, QMM_PER_TENSOR, 0, false },
    [DIGITS_INT8_CHANNEL] = { "int8", "int8 per channel", "int8 per token", QMM_S8, QMM_PER_COLUMN, 0, true },
    [DIGITS_INT4_GROUP] = { "int4", "int4 in groups of 32", "int8 per token", QMM_S4, QMM_PER_COLUMN_GROUP, 32, true },
    [DIGITS_INT4_CHANNEL] = { "int4", "int4 per channel", "int8 per token", QMM_S4, QMM_PER_COLUMN, 0, true },
};

/* ---- float32, the baseline: plain loops on the host -------------------------------------------------------------- */

/* y = x w + bias, then ReLU where asked. restrict lets the compiler work on several columns at once. */
static void dense(const float *restrict x, int64_t rows, const npy_array *weight, const npy_array *bias, bool relu,
                  float *restrict y) {
    const int64_t k_count = weight->shape[0], n = weight->shape[1];
    const float *restrict w = weight->data, *restrict b = bias->data;
    for (int64_t i = 0; i < rows; i++, x += k_count, y += n) {
        for (int64_t j = 0; j < n; j++) y[j] = 0.0f;
        for (int64_t k = 0; k < k_count; k++)
            for (int64_t j = 0; j < n; j++) y[j] += x[k] * w[k * n + j];
        for (int64_t j = 0; j < n; j++) {
            y[j] += b[j];
            if (relu && y[j] < 0.0f) y[j] = 0.0f;
        }
    }
}

/* outputs[i] holds what layer i gives, rows x N of floats. */
static void run_float(const digits_data *data, const npy_array *images, float *const outputs[DIGITS_LAYERS]) {
    const float *x = images->data;
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        dense(x, images->shape[0], &data->weight[i], &data->bias[i], i + 1 < DIGITS_LAYERS, outputs[i]);
        x = outputs[i];
    }
}

/* ---- the quantized network, on the device ------------------------------------------------------------------------ */

typedef struct layer {
    qmm_weights *weights; /* packed: codes, their sums and scales, in the layout the device likes */
    qmm_tensor bias;      /* 1 x N, f32 */
    qmm_tensor codes;     /* the layer's input as int8, images x K */
    qmm_tensor scale;     /* dynamic: the scale of each image's input, images x 1 */
    float input_scale;    /* static: the scale of every input */
    qmm_tensor output;    /* images x N, f32; static: of the last layer only */
} layer;

typedef struct network {
    const format *format;
    qmm_tensor images; /* f32 */
    layer layers[DIGITS_LAYERS];
    size_t weight_bytes;
} network;

/* A matrix in memory of its own on the device; values may be NULL. */
static qmm_status create_matrix(qmm_context *context, qmm_type type, int64_t rows, int64_t cols, const void *values,
                                qmm_tensor *matrix) {
    qmm_buffer *buffer;
    size_t bytes;
    TRY(qmm_matrix_bytes(type, rows, cols, 1, &bytes));
    TRY(qmm_buffer_create(context, bytes, &buffer));
    *matrix = qmm_matrix(buffer, type, rows, cols);
    return values ? qmm_buffer_upload(context, buffer, 0, values, bytes) : QMM_OK;
}

/* The scale of an f32 matrix as int8 codes around 0, from its largest magnitude. */
static qmm_status find_scale(qmm_context *context, const qmm_tensor *x, float *scale) {
    double min, max;
    int32_t zero;
    TRY(qmm_find_range(context, x, NULL, &min, &max)); /* NULL: min and max, symmetric, for s8 */
    return qmm_choose_params(min, max, QMM_S8, 0, 1, scale, &zero);
}

/* Static scales: run the float network on the calibration images and see how large each layer's input becomes. */
static qmm_status calibrate(qmm_context *context, const digits_data *data, float *const outputs[DIGITS_LAYERS],
                            float scales[DIGITS_LAYERS]) {
    run_float(data, &data->calibration, outputs);
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        const float *inputs = i == 0 ? data->calibration.data : outputs[i - 1];
        qmm_tensor x;
        qmm_status status;
        TRY(create_matrix(context, QMM_F32, data->calibration.shape[0], data->weight[i].shape[0], inputs, &x));
        status = find_scale(context, &x, &scales[i]);
        qmm_buffer_free(x.buffer);
        TRY(status);
    }
    return QMM_OK;
}

/* One scale for the tensor, for each column of W (an output channel), or for each group of a column: finer scales cost
 * a little memory and follow the weights more closely, which int4 needs. */
static qmm_status quantize_weights(qmm_context *context, const format *f, const qmm_tensor *w, qmm_tensor *scale,
                                   qmm_tensor *codes, qmm_quant *quant) {
    const int64_t scale_rows = f->granularity == QMM_PER_COLUMN_GROUP ? w->rows / f->group_size : 1;
    const int64_t scale_cols = f->granularity == QMM_PER_TENSOR ? 1 : w->cols;
    TRY(create_matrix(context, QMM_F32, scale_rows, scale_cols, NULL, scale));
    TRY(create_matrix(context, f->type, w->rows, w->cols, NULL, codes));
    quant->granularity = f->granularity;
    quant->group_size = f->group_size;
    quant->scale = scale; /* no zero tensor: symmetric, so that the products need no correction */
    return qmm_quantize_dynamic(context, w, quant, codes);
}

/* Quantizes and packs. Packing costs once what every matmul would otherwise do again. */
static qmm_status load_weights(qmm_context *context, const format *f, const npy_array *weight, network *net, layer *l) {
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_tensor w, scale, codes;
    TRY(create_matrix(context, QMM_F32, weight->shape[0], weight->shape[1], weight->data, &w));
    TRY(quantize_weights(context, f, &w, &scale, &codes, &quant));
    options.quant = &quant;
    TRY(qmm_weights_create(context, &codes, &options, &l->weights));
    net->weight_bytes += qmm_buffer_bytes(codes.buffer) + qmm_buffer_bytes(scale.buffer);
    /* The packed weights hold copies. (Where a step above fails, closing the context frees what is left.) */
    qmm_buffer_free(codes.buffer);
    qmm_buffer_free(scale.buffer);
    qmm_buffer_free(w.buffer);
    return QMM_OK;
}

static qmm_status load_layer(qmm_context *context, const digits_data *data, int index, network *net) {
    const int64_t images = data->images.shape[0], k = data->weight[index].shape[0], n = data->weight[index].shape[1];
    layer *l = &net->layers[index];
    TRY(load_weights(context, net->format, &data->weight[index], net, l));
    TRY(create_matrix(context, QMM_F32, 1, n, data->bias[index].data, &l->bias));
    TRY(create_matrix(context, QMM_S8, images, k, NULL, &l->codes));
    if (net->format->dynamic) TRY(create_matrix(context, QMM_F32, images, 1, NULL, &l->scale));
    if (net->format->dynamic || index + 1 == DIGITS_LAYERS)
        TRY(create_matrix(context, QMM_F32, images, n, NULL, &l->output));
    return QMM_OK;
}

static qmm_status load_network(qmm_context *context, const digits_data *data, const float scales[DIGITS_LAYERS],
                               network *net) {
    TRY(create_matrix(context, QMM_F32, data->images.shape[0], data->images.shape[1], data->images.data, &net->images));
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        net->layers[i].input_scale = scales[i];
        TRY(load_layer(context, data, i, net));
    }
    return QMM_OK;
}

static void free_network(network *net) {
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        qmm_weights_free(net->layers[i].weights);
        qmm_buffer_free(net->layers[i].bias.buffer);
        qmm_buffer_free(net->layers[i].codes.buffer);
        qmm_buffer_free(net->layers[i].scale.buffer);
        qmm_buffer_free(net->layers[i].output.buffer);
    }
    qmm_buffer_free(net->images.buffer);
}

static qmm_activation activation_of(int index) {
    return index + 1 < DIGITS_LAYERS ? QMM_ACTIVATION_RELU : QMM_ACTIVATION_NONE;
}

/* Each image of each layer's input gets a scale of its own, so a faint image is not crushed by a strong one. */
static qmm_status run_dynamic(qmm_context *context, const network *net) {
    const qmm_tensor *x = &net->images;
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        const layer *l = &net->layers[i];
        qmm_quant input = QMM_QUANT_INIT;
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        input.granularity = QMM_PER_ROW;
        input.scale = &l->scale; /* written by the quantization, read by the matmul */
        TRY(qmm_quantize_dynamic(context, x, &input, &l->codes));
        desc.quant_a = &input;
        desc.weights = l->weights;
        desc.bias = &l->bias;
        desc.activation = activation_of(i);
        TRY(qmm_matmul(context, &desc, &l->codes, NULL, &l->output));
        x = &l->output;
    }
    return QMM_OK;
}

/* With scales known beforehand a layer's matmul writes the next layer's int8 input itself: between the layers no float
 * is ever stored. */
static qmm_status run_static(qmm_context *context, const network *net) {
    qmm_quant input = QMM_QUANT_INIT, next = QMM_QUANT_INIT;
    input.scale_value = net->layers[0].input_scale;
    TRY(qmm_quantize(context, &net->images, &input, &net->layers[0].codes));
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        const layer *l = &net->layers[i];
        const bool last = i + 1 == DIGITS_LAYERS;
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        if (!last) next.scale_value = net->layers[i + 1].input_scale;
        desc.quant_a = &input;
        desc.weights = l->weights;
        desc.bias = &l->bias;
        desc.activation = activation_of(i);
        desc.quant_c = last ? NULL : &next;
        TRY(qmm_matmul(context, &desc, &l->codes, NULL, last ? &l->output : &net->layers[i + 1].codes));
        input = next;
    }
    return QMM_OK;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static int largest(const float *logits) {
    int best = 0;
    for (int i = 1; i < DIGITS_CLASSES; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static uint32_t checksum(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < bytes; i++) sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

static void judge(const digits_data *data, const float *reference, const float *logits, digits_result *result) {
    const int64_t images = data->images.shape[0];
    const int32_t *labels = data->labels.data;
    for (int64_t i = 0; i < images; i++) {
        const int class = largest(logits + i * DIGITS_CLASSES);
        result->right += class == labels[i];
        result->same += class == largest(reference + i * DIGITS_CLASSES);
    }
    result->checksum = checksum(logits, (size_t)images * DIGITS_CLASSES * sizeof *logits);
}

static qmm_status time_runs(qmm_context *context, const network *net, double *seconds) {
    double runs[DIGITS_RUNS];
    for (int i = -1; i < DIGITS_RUNS; i++) { /* the first is not counted: it builds kernels and takes workspace */
        const double start = now();
        TRY(net->format->dynamic ? run_dynamic(context, net) : run_static(context, net));
        TRY(qmm_context_synchronize(context)); /* the calls above only queue the work */
        if (i >= 0) runs[i] = now() - start;
    }
    *seconds = median(runs, DIGITS_RUNS);
    return QMM_OK;
}

/* reference: the float logits on the host. logits: room for as many. */
static qmm_status measure(qmm_context *context, const digits_data *data, const network *net, const float *reference,
                          float *logits, digits_result *result) {
    const qmm_tensor *output = &net->layers[DIGITS_LAYERS - 1].output;
    qmm_error_measure error = QMM_ERROR_MEASURE_INIT;
    qmm_tensor expected;
    qmm_status status;
    TRY(time_runs(context, net, &result->seconds));
    TRY(qmm_buffer_download(context, output->buffer, 0, logits, qmm_buffer_bytes(output->buffer)));
    judge(data, reference, logits, result);
    result->weight_bytes = net->weight_bytes;
    TRY(create_matrix(context, QMM_F32, output->rows, output->cols, reference, &expected));
    status = qmm_measure_error(context, &expected, output, &error);
    qmm_buffer_free(expected.buffer);
    result->sqnr_db = error.sqnr_db;
    return status;
}

static void measure_float(const digits_data *data, float *const outputs[DIGITS_LAYERS], digits_result *result) {
    double runs[DIGITS_RUNS];
    for (int i = 0; i < DIGITS_RUNS; i++) {
        const double start = now();
        run_float(data, &data->images, outputs);
        runs[i] = now() - start;
    }
    result->seconds = median(runs, DIGITS_RUNS);
    result->sqnr_db = INFINITY;
    for (int i = 0; i < DIGITS_LAYERS; i++) result->weight_bytes += data->weight[i].bytes;
    judge(data, outputs[DIGITS_LAYERS - 1], outputs[DIGITS_LAYERS - 1], result);
}

/* ---- all formats ------------------------------------------------------------------------------------------------- */

/* Host memory of a run. */
typedef struct scratch {
    float *calibration[DIGITS_LAYERS]; /* what each layer gives on the calibration images */
    float *reference[DIGITS_LAYERS];   /* and on the test images; the last are the logits */
    float *logits;                     /* of a quantized format */
} scratch;

static float *allocate_floats(int64_t rows, int64_t cols) {
    return calloc((size_t)rows, (size_t)cols * sizeof(float));
}

static bool allocate(const digits_data *data, scratch *s) {
    bool good = true;
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        s->calibration[i] = allocate_floats(data->calibration.shape[0], data->weight[i].shape[1]);
        s->reference[i] = allocate_floats(data->images.shape[0], data->weight[i].shape[1]);
        good = good && s->calibration[i] && s->reference[i];
    }
    s->logits = allocate_floats(data->images.shape[0], DIGITS_CLASSES);
    return good && s->logits;
}

static void release(scratch *s) {
    for (int i = 0; i < DIGITS_LAYERS; i++) {
        free(s->calibration[i]);
        free(s->reference[i]);
    }
    free(s->logits);
}

static qmm_status run_formats(qmm_context *context, const digits_data *data, scratch *s,
                              digits_result results[DIGITS_FORMATS], digits_step step, void *user) {
    const float *reference = s->reference[DIGITS_LAYERS - 1];
    float scales[DIGITS_LAYERS];
    TRY(calibrate(context, data, s->calibration, scales));
    for (int i = 0; i < DIGITS_FORMATS; i++) {
        const format *f = &formats[i];
        qmm_status status = QMM_OK;
        results[i] = (digits_result){ .name = f->name, .weights = f->weights, .inputs = f->inputs };
        if (i == DIGITS_FLOAT) {
            measure_float(data, s->reference, &results[i]);
        } else {
            network net = { .format = f };
            status = load_network(context, data, scales, &net);
            if (status == QMM_OK) status = measure(context, data, &net, reference, s->logits, &results[i]);
            free_network(&net);
        }
        if (status != QMM_OK) return status;
        if (step) step(user, i + 1, DIGITS_FORMATS);
    }
    return QMM_OK;
}

bool digits_run(qmm_context *context, const digits_data *data, digits_result results[DIGITS_FORMATS], digits_step step,
                void *user, char *error, size_t error_bytes) {
    scratch s = { 0 };
    qmm_status status = QMM_OUT_OF_MEMORY;
    snprintf(error, error_bytes, "no host memory");
    if (allocate(data, &s)) {
        status = run_formats(context, data, &s, results, step, user);
        if (status != QMM_OK) snprintf(error, error_bytes, "%s", qmm_context_error(context));
    }
    release(&s);
    return status == QMM_OK;
}
