// SPDX-License-Identifier: Apache-2.0
//
// The stand-in driver: asynchrony, captures, memory, handles, injected failures. What is asserted of NVIDIA's driver
// here is what its manual says ("API synchronization behavior", "Stream Management", "Graph Management").
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <thread>

#include "test_rig.h"

using rig::as_pointer;
using rig::count_up;
using rig::session;

namespace {

#define OK(call) assert_int_equal(call, CUDA_SUCCESS)

long long count(const char *name) {
    return qmm_simulator_get(name);
}

constexpr std::size_t n = 300, bytes = n * sizeof(int);

test_arguments add(CUdeviceptr out, CUdeviceptr in, int what) {
    return {as_pointer(out), as_pointer(in), (int)n, what};
}

bool all_are(const std::vector<int> &numbers, int value) {
    for (const int number : numbers)
        if (number != value) return false;
    return true;
}

// ---- asynchrony -----------------------------------------------------------------------------------------------------

void test_work_waits_for_a_wait(void **) {
    session s;
    const CUdeviceptr a = s.device_memory(count_up(n)), b = s.device_memory(count_up(n));
    const long long before = count("kernels_run");
    OK(s.queue("add_kernel", 2, 256, 0, add(b, a, 5)));
    assert_int_equal(count("kernels_run"), before);
    assert_int_equal(cuStreamQuery(s.stream), CUDA_ERROR_NOT_READY); // the first of the two copies has run
    OK(cuStreamSynchronize(s.stream));
    assert_int_equal(count("kernels_run"), before + 1);
    assert_true(s.contents(b, n) == count_up(n, 5));

    qmm_simulator_set("deferred", 0);
    OK(s.queue("add_kernel", 2, 256, 0, add(b, a, 6)));
    assert_int_equal(count("kernels_run"), before + 2);
    qmm_simulator_set("deferred", 1);
}

// Pageable memory is read during the call, pinned memory when the stream gets there.
void test_copies(void **) {
    session s;
    const CUdeviceptr a = s.device_memory(count_up(n));
    std::vector<int> pageable(n, 1);
    OK(cuMemcpyHtoDAsync_v2(a, pageable.data(), bytes, s.stream));
    pageable.assign(n, 2);
    assert_true(all_are(s.contents(a, n), 1));

    void *pinned;
    OK(cuMemHostAlloc(&pinned, bytes, 0));
    int *const numbers = static_cast<int *>(pinned);
    std::fill(numbers, numbers + n, 3);
    OK(cuMemcpyHtoDAsync_v2(a, pinned, bytes, s.stream));
    std::fill(numbers, numbers + n, 4); // too early
    assert_true(all_are(s.contents(a, n), 4));

    std::fill(numbers, numbers + n, 0);
    OK(cuMemcpyDtoHAsync_v2(pinned, a, bytes, s.stream));
    assert_int_equal(numbers[7], 0); // not yet
    OK(cuStreamSynchronize(s.stream));
    assert_int_equal(numbers[7], 4);

    const CUdeviceptr b = s.device_memory(count_up(n));
    OK(cuMemcpyDtoDAsync_v2(b, a, bytes, s.stream));
    OK(cuMemsetD32Async(a, 77, n, s.stream));
    OK(cuMemsetD8Async(a, 1, 4, s.stream));
    assert_true(all_are(s.contents(b, n), 4));
    const std::vector<int> filled = s.contents(a, n);
    assert_int_equal(filled[0], 0x01010101);
    assert_int_equal(filled[n - 1], 77);
    OK(cuMemFreeHost(pinned));
}

void test_events(void **) {
    session s;
    CUstream other;
    CUevent e, timed[2];
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
    const CUdeviceptr a = s.device_memory(count_up(n)), b = s.device_memory(count_up(n));
    OK(cuStreamSynchronize(s.stream));

    // Without an event the other stream overtakes.
    OK(s.queue("add_kernel", 2, 256, 0, add(b, a, 9)));
    std::vector<int> seen(n);
    OK(cuMemcpyDtoHAsync_v2(seen.data(), b, bytes, other));
    assert_true(seen == count_up(n));
    OK(cuStreamSynchronize(s.stream));

    OK(s.queue("add_kernel", 2, 256, 0, add(b, a, 10)));
    OK(cuEventRecord(e, s.stream));
    assert_int_equal(cuEventQuery(e), CUDA_ERROR_NOT_READY);
    OK(s.queue("add_kernel", 2, 256, 0, add(b, a, 20))); // behind the event: nobody waits for it
    OK(cuStreamWaitEvent(other, e, 0));
    OK(cuMemcpyDtoHAsync_v2(seen.data(), b, bytes, other));
    assert_true(seen == count_up(n, 10));
    OK(cuEventQuery(e));
    OK(cuEventSynchronize(e));

    for (CUevent &t : timed) OK(cuEventCreate(&t, 0));
    float milliseconds;
    assert_int_equal(cuEventElapsedTime(&milliseconds, timed[0], timed[1]), CUDA_ERROR_INVALID_HANDLE); // not recorded
    OK(cuEventRecord(timed[0], s.stream));
    OK(cuEventRecord(timed[1], s.stream));
    assert_int_equal(cuEventElapsedTime(&milliseconds, timed[0], timed[1]), CUDA_ERROR_NOT_READY);
    OK(cuEventSynchronize(timed[1]));
    OK(cuEventElapsedTime(&milliseconds, timed[0], timed[1]));
    assert_true(milliseconds >= 0);
    assert_int_equal(cuEventElapsedTime(&milliseconds, e, timed[1]), CUDA_ERROR_INVALID_HANDLE); // without a time
    for (const CUevent t : timed) OK(cuEventDestroy_v2(t));
    OK(cuEventDestroy_v2(e));
    OK(cuStreamDestroy_v2(other));
}

// The legacy stream and blocking streams wait for one another, a non-blocking one does not.
void test_legacy_stream(void **) {
    session s;
    CUstream blocking;
    OK(cuStreamCreate(&blocking, 0));
    const CUdeviceptr a = s.device_memory(count_up(n)), b = s.device_memory(std::vector<int>(n, 0));
    OK(cuStreamSynchronize(s.stream));
    test_arguments arguments = add(b, a, 3);
    void *parameters[] = {&arguments};
    std::vector<int> seen(n);
    const CUfunction f = s.function("add_kernel");
    OK(cuLaunchKernel(f, 2, 1, 1, 256, 1, 1, 0, nullptr, parameters, nullptr));
    OK(cuMemcpyDtoHAsync_v2(seen.data(), b, bytes, s.stream));
    assert_true(all_are(seen, 0));
    OK(cuMemcpyDtoHAsync_v2(seen.data(), b, bytes, blocking));
    assert_true(seen == count_up(n, 3));
    arguments.way = 4;
    OK(cuLaunchKernel(f, 2, 1, 1, 256, 1, 1, 0, blocking, parameters, nullptr));
    OK(cuStreamSynchronize(reinterpret_cast<CUstream>(CU_STREAM_LEGACY)));
    assert_true(s.contents(b, n) == count_up(n, 4));
    arguments.way = 5;
    OK(cuLaunchKernel(f, 2, 1, 1, 256, 1, 1, 0, reinterpret_cast<CUstream>(CU_STREAM_PER_THREAD), parameters, nullptr));
    OK(cuMemcpyDtoHAsync_v2(seen.data(), b, bytes, nullptr));
    assert_true(seen == count_up(n, 5));
    OK(cuStreamDestroy_v2(blocking));
}

struct host_work {
    int *memory;
    int seen;
    CUresult of_a_call;
};

void look(void *data) {
    host_work *const w = static_cast<host_work *>(data);
    w->seen = w->memory[1]++;
    w->of_a_call = cuCtxSynchronize();
}

void test_host_functions(void **) {
    session s;
    const CUdeviceptr a = s.device_memory(count_up(n)), b = s.device_memory(count_up(n));
    host_work w = {as_pointer(b), -1, CUDA_SUCCESS};
    OK(s.queue("add_kernel", 2, 256, 0, add(b, a, 41)));
    OK(cuLaunchHostFunc(s.stream, look, &w));
    assert_int_equal(w.seen, -1);
    OK(cuStreamSynchronize(s.stream));
    assert_int_equal(w.seen, 42);
    assert_int_equal(w.of_a_call, CUDA_ERROR_NOT_PERMITTED);
    assert_int_equal(s.contents(b, n)[1], 43);
}

// ---- captures -------------------------------------------------------------------------------------------------------

void test_graphs(void **) {
    session s;
    CUgraph graph;
    CUgraphExec executable;
    int status;
    const CUdeviceptr a = s.device_memory(count_up(n));
    OK(cuStreamSynchronize(s.stream));
    OK(cuStreamIsCapturing(s.stream, &status));
    assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_NONE);
    OK(cuStreamBeginCapture_v2(s.stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    assert_int_equal(cuStreamBeginCapture_v2(s.stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
    OK(cuStreamIsCapturing(s.stream, &status));
    assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(s.queue("add_kernel", 2, 256, 0, add(a, a, 1)));
    OK(s.queue("add_kernel", 2, 256, 0, add(a, a, 2)));
    OK(cuStreamEndCapture(s.stream, &graph));
    std::size_t nodes = 0;
    OK(cuGraphGetNodes(graph, nullptr, &nodes));
    assert_int_equal(nodes, 2);
    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    OK(cuGraphDestroy(graph));
    OK(cuStreamSynchronize(s.stream));
    assert_true(s.contents(a, n) == count_up(n)); // captured, not run
    for (int i = 0; i < 100; i++) OK(cuGraphLaunch(executable, s.stream));
    assert_true(s.contents(a, n) == count_up(n, 300));
    OK(cuGraphExecDestroy(executable));
}

// Another stream takes part by events.
void test_capture_of_two_streams(void **) {
    session s;
    CUstream other;
    CUevent fork, join;
    CUgraph graph;
    CUgraphExec executable;
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
    OK(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
    const CUdeviceptr a = s.device_memory(count_up(n));
    for (const bool joins : {true, false}) {
        OK(cuStreamBeginCapture_v2(s.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
        OK(cuEventRecord(fork, s.stream));
        OK(cuStreamWaitEvent(other, fork, 0));
        test_arguments arguments = add(a, a, 1);
        void *parameters[] = {&arguments};
        OK(cuLaunchKernel(s.function("add_kernel"), 2, 1, 1, 256, 1, 1, 0, other, parameters, nullptr));
        OK(cuEventRecord(join, other));
        if (joins) OK(cuStreamWaitEvent(s.stream, join, 0));
        assert_int_equal(cuStreamEndCapture(s.stream, &graph),
                         joins ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
        if (!joins) break;
        OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
        OK(cuGraphLaunch(executable, s.stream));
        OK(cuGraphLaunch(executable, s.stream));
        assert_true(s.contents(a, n) == count_up(n, 2));
        OK(cuGraphExecDestroy(executable));
        OK(cuGraphDestroy(graph));
    }
    OK(cuEventDestroy_v2(fork));
    OK(cuEventDestroy_v2(join));
    OK(cuStreamDestroy_v2(other));
}

// What a capture does not allow gives its error, and the capture is lost.
void test_illegal_in_captures(void **) {
    session s;
    CUstream other, blocking;
    CUevent event;
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&blocking, 0));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    const CUdeviceptr a = s.device_memory(count_up(n));
    OK(cuEventRecord(event, other));
    CUmodule module;
    void *host;
    CUdeviceptr device;
    const struct {
        const char *name;
        std::function<CUresult()> call;
        CUresult result;
    } calls[] = {
        { "synchronize", [&] { return cuStreamSynchronize(s.stream); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "query", [&] { return cuStreamQuery(s.stream); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "synchronize all", [&] { return cuCtxSynchronize(); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "allocate", [&] { return cuMemAlloc_v2(&device, 16); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "free", [&] { return cuMemFree_v2(a); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "pin", [&] { return cuMemHostAlloc(&host, 16, 0); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "load", [&] { return cuModuleLoadData(&module, ""); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "query an event", [&] { return cuEventQuery(event); }, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED },
        { "wait for outside", [&] { return cuStreamWaitEvent(s.stream, event, 0); },
          CUDA_ERROR_STREAM_CAPTURE_ISOLATION },
    };
    CUgraph graph;
    for (const auto &c : calls) {
        OK(cuStreamBeginCapture_v2(s.stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
        const CUresult result = c.call();
        if (result != c.result) print_error("%s gave %u\n", c.name, result);
        assert_int_equal(result, c.result);
        int status;
        OK(cuStreamIsCapturing(s.stream, &status));
        assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_INVALIDATED);
        assert_int_equal(s.queue("add_kernel", 2, 256, 0, add(a, a, 1)), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        assert_int_equal(cuStreamEndCapture(s.stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        assert_null(graph);
        OK(cuStreamIsCapturing(s.stream, &status));
        assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_NONE);
    }
    assert_int_equal(cuStreamEndCapture(s.stream, &graph), CUDA_ERROR_ILLEGAL_STATE);
    assert_int_equal(cuStreamBeginCapture_v2(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL),
                     CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);

    // The legacy stream would have to wait for a blocking stream that is captured.
    OK(cuStreamBeginCapture_v2(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    assert_int_equal(cuMemsetD32Async(a, 0, n, nullptr), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    assert_int_equal(cuStreamEndCapture(blocking, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    // Relaxed captures let their thread allocate; a local one is no concern of other threads, which may not end it.
    OK(cuStreamBeginCapture_v2(s.stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuMemAlloc_v2(&device, 16));
    OK(cuStreamEndCapture(s.stream, &graph));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(device));
    CUcontext context;
    OK(cuCtxGetCurrent(&context));
    for (const int mode : {CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_GLOBAL}) {
        OK(cuStreamBeginCapture_v2(s.stream, mode));
        CUresult allocated = CUDA_SUCCESS, ended = CUDA_SUCCESS;
        std::thread([&] {
            CUgraph none;
            CUdeviceptr memory;
            cuCtxPushCurrent_v2(context);
            ended = cuStreamEndCapture(s.stream, &none);
            allocated = cuMemAlloc_v2(&memory, 16);
            if (allocated == CUDA_SUCCESS) cuMemFree_v2(memory);
        }).join();
        const bool local = mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        assert_int_equal(ended, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        assert_int_equal(allocated, local ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        assert_int_equal(cuStreamEndCapture(s.stream, &graph),
                         local ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        if (local) OK(cuGraphDestroy(graph));
    }

    // A thread may say that it knows what it does: of other threads' captures, or of all.
    for (const int mode : {CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_RELAXED}) {
        CUresult allocated = CUDA_ERROR_UNKNOWN;
        int exchanged = mode;
        OK(cuStreamBeginCapture_v2(s.stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
        std::thread([&] {
            CUdeviceptr memory;
            int own = mode;
            cuCtxPushCurrent_v2(context);
            cuThreadExchangeStreamCaptureMode(&own);
            allocated = cuMemAlloc_v2(&memory, 16);
            if (allocated == CUDA_SUCCESS) cuMemFree_v2(memory);
        }).join();
        assert_int_equal(allocated, CUDA_SUCCESS);
        OK(cuThreadExchangeStreamCaptureMode(&exchanged));
        assert_int_equal(exchanged, CU_STREAM_CAPTURE_MODE_GLOBAL);
        const bool relaxed = mode == CU_STREAM_CAPTURE_MODE_RELAXED;
        assert_int_equal(cuMemAlloc_v2(&device, 16), relaxed ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        if (relaxed) OK(cuMemFree_v2(device));
        OK(cuThreadExchangeStreamCaptureMode(&exchanged));
        assert_int_equal(exchanged, mode);
        assert_int_equal(cuStreamEndCapture(s.stream, &graph),
                         relaxed ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        if (relaxed) OK(cuGraphDestroy(graph));
    }
    OK(cuEventDestroy_v2(event));
    OK(cuStreamDestroy_v2(blocking));
    OK(cuStreamDestroy_v2(other));
}

// ---- memory ---------------------------------------------------------------------------------------------------------

void test_memory(void **) {
    session s({{"memory", 1 << 20}});
    CUdeviceptr a, b;
    std::size_t free_bytes, total;
    assert_int_equal(cuMemAlloc_v2(&a, 0), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemAlloc_v2(&a, (1 << 20) - 1000));
    assert_int_equal(a % 256, 0);
    assert_int_equal(cuMemAlloc_v2(&b, 1001), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemAlloc_v2(&b, 1000));
    OK(cuMemGetInfo_v2(&free_bytes, &total));
    assert_int_equal(free_bytes, 0);
    assert_int_equal(total, 1 << 20);
    assert_int_equal(count("live_bytes"), 1 << 20);

    unsigned type;
    CUdeviceptr start;
    std::size_t size;
    int attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                        CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void *values[] = {&type, &start, &size};
    OK(cuPointerGetAttributes(3, attributes, values, b + 999));
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    assert_true(start == b);
    assert_int_equal(size, 1000);
    OK(cuPointerGetAttributes(3, attributes, values, (CUdeviceptr)(uintptr_t)&type));
    assert_true(type == 0 && start == 0 && size == 0);
    assert_int_equal(cuPointerGetAttributes(0, attributes, values, b), CUDA_ERROR_INVALID_VALUE);
    attributes[1] = 99;
    assert_int_equal(cuPointerGetAttributes(3, attributes, values, b), CUDA_ERROR_NOT_SUPPORTED);

    int host[4] = {0, 0, 0, 0};
    assert_int_equal(cuMemcpyHtoDAsync_v2(b + 992, host, 16, s.stream), CUDA_ERROR_INVALID_VALUE); // 8 too many
    assert_int_equal(cuMemcpyDtoHAsync_v2(host, b + 992, 16, s.stream), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuMemcpyDtoDAsync_v2(a, b + 992, 16, s.stream), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuMemsetD8Async(b, 0, 1001, s.stream), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuMemsetD32Async(b + 2, 0, 1, s.stream), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemcpyHtoDAsync_v2(b, host, 0, s.stream));

    assert_int_equal(cuMemFree_v2(b + 256), CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(0));
    OK(cuMemFree_v2(a));
    OK(cuMemFree_v2(b));
    assert_int_equal(cuMemFree_v2(b), CUDA_ERROR_INVALID_VALUE);

    OK(cuMemAlloc_v2(&a, 4096)); // noise, never zeros
    std::vector<unsigned char> noise(4096);
    OK(cuMemcpyDtoHAsync_v2(noise.data(), a, 4096, s.stream));
    for (const unsigned char byte : noise) assert_int_not_equal(byte, 0);
    OK(cuMemFree_v2(a));
}

// What is still there when the context goes is counted, reported, and freed.
void test_leaks(void **) {
    CUcontext context;
    const std::string text = [&] {
        int status;
        return rig::output_of([&] {
            CUdeviceptr memory;
            CUstream stream;
            CUevent event;
            cuInit(0);
            cuDevicePrimaryCtxRetain(&context, 0);
            cuCtxPushCurrent_v2(context);
            cuMemAlloc_v2(&memory, 123);
            cuStreamCreate(&stream, 0);
            cuEventCreate(&event, 0);
            cuDevicePrimaryCtxRelease_v2(0);
            fprintf(stderr, "leaks %lld, bytes %lld, then %u", count("leaks"), count("live_bytes"),
                    cuMemAlloc_v2(&memory, 1));
        }, &status);
    }();
    assert_non_null(strstr(text.c_str(), "went with 3 objects in it, among them 1 blocks of memory of 123 bytes"));
    assert_non_null(strstr(text.c_str(), "leaks 3, bytes 0, then 709"));
}

// ---- failures -------------------------------------------------------------------------------------------------------

void test_injected_failures(void **) {
    session s;
    CUdeviceptr memory;
    CUstream stream;
    CUevent event;
    CUmodule module;
    void *host;
    qmm_simulator_set("fail_allocation", 2);
    OK(cuMemAlloc_v2(&memory, 16));
    OK(cuMemFree_v2(memory));
    assert_int_equal(cuMemAlloc_v2(&memory, 16), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemAlloc_v2(&memory, 16)); // recoverable
    OK(cuMemFree_v2(memory));
    qmm_simulator_set("fail_host_allocation", 1);
    assert_int_equal(cuMemHostAlloc(&host, 16, 0), CUDA_ERROR_OUT_OF_MEMORY);
    qmm_simulator_set("fail_stream", 1);
    assert_int_equal(cuStreamCreate(&stream, 0), CUDA_ERROR_OUT_OF_MEMORY);
    qmm_simulator_set("fail_event", 1);
    assert_int_equal(cuEventCreate(&event, 0), CUDA_ERROR_OUT_OF_MEMORY);
    qmm_simulator_set("fail_module", 1);
    assert_int_equal(cuModuleLoadData(&module, ""), CUDA_ERROR_OUT_OF_MEMORY);
    qmm_simulator_set("no_image", 1);
    assert_int_equal(cuModuleLoadData(&module, ""), CUDA_ERROR_NO_BINARY_FOR_GPU);
    qmm_simulator_set("no_image", 0);
    qmm_simulator_set("fail_call", 2);
    qmm_simulator_set("fail_call_error", CUDA_ERROR_INVALID_VALUE);
    OK(cuStreamSynchronize(s.stream));
    assert_int_equal(cuStreamSynchronize(s.stream), CUDA_ERROR_INVALID_VALUE);
    OK(cuStreamSynchronize(s.stream));

    // A launch that fails at once leaves nothing behind; one that fails on the device leaves the device unusable.
    const CUdeviceptr a = s.device_memory(count_up(n));
    qmm_simulator_set("fail_launch", 1);
    qmm_simulator_set("fail_launch_error", CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    assert_int_equal(s.queue("add_kernel", 2, 256, 0, add(a, a, 1)), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    OK(s.run("add_kernel", 2, 256, 0, add(a, a, 1)));
    qmm_simulator_set("fail_launch", 2);
    qmm_simulator_set("fail_launch_error", CUDA_ERROR_ILLEGAL_ADDRESS);
    OK(s.queue("add_kernel", 2, 256, 0, add(a, a, 1)));
    OK(s.queue("add_kernel", 2, 256, 0, add(a, a, 1)));
    assert_int_equal(cuStreamSynchronize(s.stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(cuStreamSynchronize(s.stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(cuMemAlloc_v2(&memory, 16), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(cuStreamCreate(&stream, 0), CUDA_ERROR_ILLEGAL_ADDRESS);
}

void test_sticky(void **) {
    session s;
    qmm_simulator_set("sticky", CUDA_ERROR_ECC_UNCORRECTABLE);
    assert_int_equal(cuStreamSynchronize(s.stream), CUDA_ERROR_ECC_UNCORRECTABLE);
    qmm_simulator_set("sticky", 0);
    assert_int_equal(cuStreamSynchronize(s.stream), CUDA_ERROR_ECC_UNCORRECTABLE);
}

// What would work here and on no device: host memory in a kernel, device memory on the host (seen under ASan).
void test_memory_of_the_other_side(void **) {
    session s;
    const CUdeviceptr a = s.device_memory(count_up(n));
    const std::vector<int> host = count_up(n);
    qmm_simulator_set("host_addresses", 0);
    assert_int_equal(s.queue("add_kernel", 2, 256, 0, test_arguments{as_pointer(a), host.data(), (int)n, 1}),
                     CUDA_ERROR_INVALID_VALUE);
    assert_non_null(strstr(qmm_simulator_report(), "the argument holds a host address, at byte 8"));
    if (!rig::has_asan) return;
    int status;
    const std::string text = rig::output_of([&] { fprintf(stderr, "%d", *as_pointer(a)); }, &status);
    assert_non_null(strstr(text.c_str(), "use-after-poison"));
}

// ---- what is not there is refused -----------------------------------------------------------------------------------

void test_refusals(void **) {
    session s;
    CUfunction f;
    int value;
    test_arguments arguments = {};
    void *parameters[] = {&arguments};
    assert_int_equal(cuModuleGetFunction(&f, s.module, "no_such_kernel"), CUDA_ERROR_NOT_FOUND);
    assert_int_equal(cuDeviceGetAttribute(&value, 9999, 0), CUDA_ERROR_NOT_SUPPORTED);
    f = s.function("add_kernel");
    assert_int_equal(cuFuncGetAttribute(&value, 1, f), CUDA_ERROR_NOT_SUPPORTED);
    OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, f));
    assert_int_equal(value, 256);
    const auto launch = [&](unsigned blocks, unsigned blocks_y, unsigned threads, unsigned shared) {
        return cuLaunchKernel(f, blocks, blocks_y, 1, threads, 1, 1, shared, s.stream, parameters, nullptr);
    };
    assert_int_equal(launch(0, 1, 32, 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(1, 1, 0, 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(1, 1, 257, 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(1u << 31, 1, 32, 0), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(1, 2, 32, 0), CUDA_ERROR_NOT_SUPPORTED);
    assert_int_equal(launch(1, 1, 32, (48 << 10) + 1), CUDA_ERROR_INVALID_VALUE);
    OK(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 227 << 10));
    OK(launch(1, 1, 32, 227 << 10));
    OK(cuStreamSynchronize(s.stream));
    assert_int_equal(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (227 << 10) + 1),
                     CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(cuStreamSynchronize(reinterpret_cast<CUstream>(&value)), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(cuEventSynchronize(reinterpret_cast<CUevent>(&value)), CUDA_ERROR_INVALID_HANDLE);

    assert_int_not_equal(qmm_simulator_set("no_such_option", 1), 0);
    assert_int_not_equal(qmm_simulator_set("compute", 77), 0);
    assert_int_not_equal(qmm_simulator_set("order", 3), 0);
    assert_true(qmm_simulator_get("no_such_counter") == LLONG_MIN);
    assert_int_not_equal(qmm_simulator_set("reset", 1), 0); // things are live
}

// A new process with this in the environment.
std::string with_environment(const char *variable, const char *value) {
    int status;
    return rig::output_of([&] {
        setenv(variable, value, 1);
        char program[4096];
        const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
        program[length > 0 ? length : 0] = '\0';
        execl(program, program, "--describe", static_cast<char *>(nullptr));
    }, &status);
}

int describe() {
    char name[100] = "";
    int devices = 0, major = 0, version = 0, shared = 0;
    std::size_t memory = 0;
    const CUresult result = cuInit(0);
    cuDriverGetVersion(&version);
    cuDeviceGetCount(&devices);
    cuDeviceGetName(name, sizeof name, 0);
    cuDeviceGetAttribute(&major, 75, 0);
    cuDeviceGetAttribute(&shared, 97, 0);
    cuDeviceTotalMem_v2(&memory, 0);
    fprintf(stderr, "init %u, %d devices, %s, major %d, shared %d, %zu bytes, driver %d, order %lld\n", result, devices,
            name, major, shared, memory, version, count("order"));
    return 0;
}

void test_environment(void **) {
    const struct {
        const char *variable, *value, *expected;
    } cases[] = {
        { "QMM_SIMULATOR", "", "init 0, 1 devices, simulated CUDA device (sm_90), major 9, shared 232448" },
        { "QMM_SIMULATOR", "compute=75,memory=2m,devices=2,driver_version=11040,order=reverse",
          "init 0, 2 devices, simulated CUDA device (sm_75), major 7, shared 65536, 2097152 bytes, driver 11040, order "
          "2" },
        { "QMM_SIMULATOR", "name=A very new one", "A very new one" },
        { "QMM_SIMULATOR", "devices=0", "init 100, 0 devices" },
        { "QMM_SIMULATOR", "init_error=804", "init 804, 0 devices" },
        { "QMM_SIMULATOR", "comptue=75", "there is no option comptue\ninit 1" },
        { "QMM_SIMULATOR", "compute=x", "option compute: 'x' is no number\ninit 1" },
        { "QMM_SIMULATOR", "compute", "option 'compute' has no value\ninit 1" },
        { "CUDA_VISIBLE_DEVICES", "", "init 100, 0 devices" },
        { "CUDA_VISIBLE_DEVICES", "-1", "init 100, 0 devices" },
        { "CUDA_VISIBLE_DEVICES", "0,7", "init 0, 1 devices" },
    };
    for (const auto &c : cases) {
        const std::string text = with_environment(c.variable, c.value);
        if (text.find(c.expected) == std::string::npos) print_error("%s=%s: %s\n", c.variable, c.value, text.c_str());
        assert_true(text.find(c.expected) != std::string::npos);
    }
}

// Threads with streams of their own, and one context.
void test_threads(void **) {
    session s;
    CUcontext context;
    OK(cuCtxGetCurrent(&context));
    std::vector<std::thread> threads;
    bool right[4] = {};
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            CUstream stream;
            CUdeviceptr memory;
            CUfunction f;
            std::vector<int> numbers(n, t);
            cuCtxPushCurrent_v2(context);
            cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
            cuMemAlloc_v2(&memory, bytes);
            cuModuleGetFunction(&f, s.module, "add_kernel");
            cuMemcpyHtoDAsync_v2(memory, numbers.data(), bytes, stream);
            test_arguments arguments = add(memory, memory, 1);
            void *parameters[] = {&arguments};
            for (int i = 0; i < 20; i++) cuLaunchKernel(f, 2, 1, 1, 256, 1, 1, 0, stream, parameters, nullptr);
            cuMemcpyDtoHAsync_v2(numbers.data(), memory, bytes, stream);
            right[t] = all_are(numbers, t + 20);
            cuMemFree_v2(memory);
            cuStreamDestroy_v2(stream);
        });
    for (std::thread &t : threads) t.join();
    for (const bool r : right) assert_true(r);
}

} // namespace

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--describe")) return describe();
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_work_waits_for_a_wait),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_legacy_stream),
        cmocka_unit_test(test_host_functions),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_capture_of_two_streams),
        cmocka_unit_test(test_illegal_in_captures),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_leaks),
        cmocka_unit_test(test_injected_failures),
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_memory_of_the_other_side),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
