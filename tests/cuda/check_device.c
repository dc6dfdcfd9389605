/* SPDX-License-Identifier: Apache-2.0
 *
 * check_device [--large] [--again N] [PART ...]: parts, all by default, on the first CUDA device, real or simulated:
 *
 *     streams       the caller's stream, one set later, the legacy default stream and the thread's: the same bytes
 *     order         one context makes what another reads, their streams ordered by an event
 *     graphs        a call recorded once and replayed N times, 100 by default, gives the same bytes each time
 *     determinism   the same call N times, on every kernel row and variant: the same bytes
 *
 * The right bytes are those of the cpu device. A program without cmocka, so that tests/on_gpu.sh can build it anywhere.
 * Exit codes: 0 all held, 1 something did not, 3 no device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "jobs.h"

enum { POISONED = 10, TEXT = 256 };

static const cuda_calls *cuda;
static job_world device, reference;
static unsigned char *wanted[32]; /* of each job */
static int checks, failures, refusals, again_count = 100;

static bool check(bool holds, const char *what) {
    checks++;
    if (holds) return true;
    failures++;
    fprintf(stderr, "FAILED: %s\n", what);
    return false;
}

/* Did a call succeed? One that no forced row takes counts as refused. */
static bool ran(qmm_context *context, qmm_status status, const char *what) {
    if (status == QMM_UNSUPPORTED) {
        refusals++;
        return false;
    }
    if (status != QMM_OK) fprintf(stderr, "%s: %s\n", qmm_status_name(status), qmm_context_error(context));
    return check(status == QMM_OK, what);
}

static void require(qmm_context *context, qmm_status status) {
    if (status == QMM_OK) return;
    fprintf(stderr, "%s: %s\n", qmm_status_name(status), qmm_context_error(context));
    exit(1);
}

/* Every job on every row of its operation, on every variant of those, and on the device's own choice. */
static void for_every_row(void (*test)(const job *j, int index, const char *what)) {
    for (int i = 0; i < job_count; i++) {
        job_kernel row;
        for (int n = 0; job_row(device.context, &jobs[i], n, &row); n++) {
            char what[TEXT];
            snprintf(what, sizeof what, "%s, %s", jobs[i].name, row.name[0] ? row.name : "the device's choice");
            require(device.context, qmm_kernel_force(device.context, NULL));
            if (row.name[0]) require(device.context, qmm_kernel_force(device.context, row.name));
            test(&jobs[i], i, what);
        }
    }
    require(device.context, qmm_kernel_force(device.context, NULL));
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static void run_all_on(qmm_context *context, const char *stream) {
    for (int i = 0; i < job_count; i++) {
        char what[TEXT];
        snprintf(what, sizeof what, "%s, on %s", jobs[i].name, stream);
        job_poison(&device, context);
        if (ran(context, jobs[i].run(&device, context), what))
            check(job_holds(&device, context, wanted[i], what), what);
    }
}

static void *make_stream(void) {
    enum { NON_BLOCKING = 1 };
    void *stream;
    cuda_require(cuda->stream_create(&stream, NON_BLOCKING), "cuStreamCreate");
    return stream;
}

static void test_streams(void) {
    static const struct {
        uintptr_t handle;
        const char *name;
    } defaults[] = { { 1, "the legacy default stream" }, { 2, "the thread's default stream" } };
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context;
    void *const first = make_stream(), *const second = make_stream();
    options.native_queue = first;
    run_all_on(device.context, "the context's own stream");
    if (!check(qmm_context_open("cuda", &options, &context) == QMM_OK, "opening on the caller's stream")) return;
    require(context, qmm_context_prepare(context));
    check(qmm_context_native_queue(context) == first, "the queue is the caller's");
    run_all_on(context, "the caller's stream");
    require(context, qmm_context_set_queue(context, second));
    run_all_on(context, "a stream set later");
    for (int i = 0; i < 2; i++) {
        require(context, qmm_context_set_queue(context, (void *)defaults[i].handle));
        run_all_on(context, defaults[i].name);
    }
    require(context, qmm_context_set_queue(context, first));
    qmm_context_close(context);
    cuda_require(cuda->stream_synchronize(first), "the caller's stream after the context is closed");
    cuda_require(cuda->stream_destroy(first), "cuStreamDestroy");
    cuda_require(cuda->stream_destroy(second), "cuStreamDestroy");
}

/* One context writes, the other copies what was written, ordered by nothing but an event. */
static void test_order(void) {
    enum { NO_TIMING = 2 };
    qmm_context *reader;
    qmm_buffer *copy;
    void *written, *read;
    if (!check(qmm_context_open("cuda", NULL, &reader) == QMM_OK, "a second context")) return;
    require(reader, qmm_buffer_create(reader, device.out_bytes, &copy));
    cuda_require(cuda->event_create(&written, NO_TIMING), "cuEventCreate");
    cuda_require(cuda->event_create(&read, NO_TIMING), "cuEventCreate");
    for (int i = 0; i < job_count; i++) {
        void *const from = qmm_context_native_queue(device.context), *const to = qmm_context_native_queue(reader);
        unsigned char *const got = malloc(device.out_bytes);
        job_poison(&device, device.context);
        require(device.context, jobs[i].run(&device, device.context));
        cuda_require(cuda->event_record(written, from), "cuEventRecord");
        cuda_require(cuda->stream_wait(to, written, 0), "cuStreamWaitEvent");
        require(reader, qmm_buffer_copy(reader, copy, 0, device.out, 0, device.out_bytes));
        cuda_require(cuda->event_record(read, to), "cuEventRecord");
        cuda_require(cuda->stream_wait(from, read, 0), "cuStreamWaitEvent"); /* the next poison must wait for it */
        if (!got) exit(1);
        require(reader, qmm_buffer_download(reader, copy, 0, got, device.out_bytes));
        check(memcmp(got, wanted[i], device.out_bytes) == 0, jobs[i].name);
        free(got);
    }
    cuda_require(cuda->event_destroy(written), "cuEventDestroy");
    cuda_require(cuda->event_destroy(read), "cuEventDestroy");
    qmm_context_close(reader);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* NULL where the row takes no such problem. */
static void *record(const job *j, const char *what) {
    enum { GLOBAL = 0 };
    void *const stream = qmm_context_native_queue(device.context);
    void *graph = NULL, *executable = NULL;
    qmm_status status;
    cuda_require(cuda->begin_capture(stream, GLOBAL), "cuStreamBeginCapture");
    status = j->run(&device, device.context);
    cuda_require(cuda->end_capture(stream, &graph), "cuStreamEndCapture");
    if (ran(device.context, status, what))
        cuda_require(cuda->graph_instantiate(&executable, graph, 0), "cuGraphInstantiate");
    cuda_require(cuda->graph_destroy(graph), "cuGraphDestroy");
    return executable;
}

static bool is_poison(void) {
    unsigned char *const bytes = job_result(&device, device.context);
    size_t at = 0;
    while (at < device.out_bytes && bytes[at] == 0x5a) at++;
    free(bytes);
    return at == device.out_bytes;
}

static void test_graph(const job *j, int index, const char *what) {
    void *const stream = qmm_context_native_queue(device.context);
    void *graph;
    bool held = true;
    job_poison(&device, device.context);
    graph = record(j, what);
    if (!graph) return;
    check(is_poison(), "recording runs nothing");
    for (int again = 1; again <= again_count && held; again++) {
        if (again % POISONED == 1) job_poison(&device, device.context);
        cuda_require(cuda->graph_launch(graph, stream), "cuGraphLaunch");
        if (again % POISONED == 0) held = job_holds(&device, device.context, wanted[index], what);
    }
    check(held, what);
    cuda_require(cuda->executable_destroy(graph), "cuGraphExecDestroy");
}

/* ---- determinism ------------------------------------------------------------------------------------------------- */

static void test_again(const job *j, int index, const char *what) {
    bool held = true;
    for (int again = 0; again < again_count && held; again++) {
        job_poison(&device, device.context);
        if (!ran(device.context, j->run(&device, device.context), what)) return;
        held = job_holds(&device, device.context, wanted[index], what);
    }
    check(held, what);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Everything that a first call would do, so that calls under capture need not. */
static void prepare(void) {
    enum { WORKSPACE = 1 << 26 };
    require(device.context, qmm_context_prepare(device.context));
    require(device.context, qmm_context_reserve_workspace(device.context, WORKSPACE));
}

static void find_wanted(void) {
    for (int i = 0; i < job_count; i++) {
        job_poison(&reference, reference.context);
        require(reference.context, jobs[i].run(&reference, reference.context));
        wanted[i] = job_result(&reference, reference.context);
    }
}

static void test_graphs(void) {
    for_every_row(test_graph);
}

static void test_determinism(void) {
    for_every_row(test_again);
}

static const struct {
    const char *name;
    void (*test)(void);
} parts[] = {
    { "streams", test_streams }, { "order", test_order }, { "graphs", test_graphs }, { "determinism", test_determinism }
};

static void run(int part) {
    const int before = checks, failed = failures, refused = refusals;
    parts[part].test();
    printf("%-12s %6d checks, %d failed, %d refused\n", parts[part].name, checks - before, failures - failed,
           refusals - refused);
    fflush(stdout);
}

/* All where none is named. */
static bool is_wanted(int part, char **names) {
    if (!*names) return true;
    while (*names && strcmp(*names, parts[part].name) != 0) names++;
    return *names != NULL;
}

int main(int argc, char **argv) {
    const job_sizes small = JOB_SIZES_SMALL, large = JOB_SIZES_LARGE;
    job_sizes sizes = small;
    int next = 1;
    if (next < argc && strcmp(argv[next], "--large") == 0) sizes = large, next++;
    if (next + 1 < argc && strcmp(argv[next], "--again") == 0) again_count = atoi(argv[next + 1]), next += 2;
    cuda = cuda_calls_open();
    if (!cuda) return 3;
    job_world_open(&device, "cuda", NULL, sizes);
    job_world_open(&reference, "cpu", NULL, sizes);
    prepare();
    find_wanted();
    for (int part = 0; part < 4; part++)
        if (is_wanted(part, argv + next)) run(part);
    job_world_close(&reference);
    job_world_close(&device);
    printf("%s: %d checks, %d failed\n", failures ? "FAILED" : "PASSED", checks, failures);
    return failures ? 1 : 0;
}
