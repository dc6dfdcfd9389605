// SPDX-License-Identifier: Apache-2.0
//
// What the hardware would stop at. The kernels are compiled with -fsanitize=alignment,bounds in every build; the calls
// that this puts into them end here, not in a runtime library: a kernel's fault is the launch's error, with its name.
// The layouts are the sanitizers' own (compiler-rt/lib/ubsan/ubsan_handlers.h), the same for gcc and clang.
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "block.h"
#include "driver_api.h"

#if SIMULATOR_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

struct source_location {
    const char *file;
    uint32_t line, column;
};

struct type_descriptor {
    uint16_t kind, info;
    char name[1];
};

struct type_mismatch {
    source_location where;
    const type_descriptor *type;
    unsigned char log_alignment, check;
};

struct out_of_bounds {
    source_location where;
    const type_descriptor *array, *index;
};

simulator::worker &kernel_or_abort(const source_location &where) {
    simulator::worker *const w = simulator::worker::running_here();
    if (!w) {
        std::fprintf(stderr, "simulated CUDA device: fault outside of a kernel at %s:%u\n", where.file, where.line);
        std::abort();
    }
    return *w;
}

} // namespace

#define HANDLER extern "C" [[noreturn]] __attribute__((visibility("hidden")))

HANDLER void __ubsan_handle_type_mismatch_v1(type_mismatch *data, uintptr_t address) {
    simulator::worker &w = kernel_or_abort(data->where);
    w.fail(CUDA_ERROR_MISALIGNED_ADDRESS, nullptr, { data->where.file, data->where.line },
           "address %#llx is no multiple of %u, as type %s demands", (unsigned long long)address,
           1u << data->log_alignment, data->type->name);
}

HANDLER void __ubsan_handle_type_mismatch_v1_abort(type_mismatch *data, uintptr_t address) {
    __ubsan_handle_type_mismatch_v1(data, address);
}

HANDLER void __ubsan_handle_out_of_bounds(out_of_bounds *data, uintptr_t index) {
    simulator::worker &w = kernel_or_abort(data->where);
    w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, nullptr, { data->where.file, data->where.line },
           "index %lld is out of bounds of type %s", (long long)index, data->array->name);
}

HANDLER void __ubsan_handle_out_of_bounds_abort(out_of_bounds *data, uintptr_t index) {
    __ubsan_handle_out_of_bounds(data, index);
}

// A wild pointer ends the process, by ASan or by the kernel of the system; which thread of which block it was is said.
namespace simulator {

#if SIMULATOR_ASAN || SIMULATOR_TSAN

faults_named::faults_named() = default;
faults_named::~faults_named() = default;

#else

static struct sigaction before;

static void say_where(int signal) {
    if (const worker *const w = worker::running_here()) {
        const std::string text =
            "simulated CUDA device: a fault in " + w->location() + "\n"; // the process is lost anyway
        static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
    }
    sigaction(signal, &before, nullptr); // the access faults again
}

faults_named::faults_named() {
    struct sigaction handler = {};
    handler.sa_handler = say_where;
    sigaction(SIGSEGV, &handler, &before);
}

faults_named::~faults_named() {
    sigaction(SIGSEGV, &before, nullptr);
}

#endif

} // namespace simulator

#if SIMULATOR_ASAN
namespace {

void name_the_kernel() {
    if (const simulator::worker *const w = simulator::worker::running_here())
        std::fprintf(stderr, "simulated CUDA device: the error above is in %s\n", w->location().c_str());
}

[[maybe_unused]] const int installed = (__sanitizer_set_death_callback(name_the_kernel), 0);

} // namespace
#endif
