/* SPDX-License-Identifier: Apache-2.0
 *
 * The controls of the simulated device, for tests. They are symbols of libqmm_simulated_cuda.so beside the driver's, to
 * be found by dlsym.
 *
 * Options, from the environment variable QMM_SIMULATOR="compute=80,seed=7,memory=1g" when the library is loaded, and
 * from qmm_simulator_set. An unknown name or value is refused: cuInit then fails and says so on standard error.
 *
 *   the device     compute=90           10 * major + minor that it reports
 *                  executes=0           the capability that its instructions obey; 0: as it reports
 *                  multiprocessors=4
 *                  memory=4g            bytes (k, m, g in the variable); beyond them CUDA_ERROR_OUT_OF_MEMORY
 *                  devices=1            0: cuInit gives CUDA_ERROR_NO_DEVICE
 *                  name=...             in the variable only
 *                  driver_version=13000
 *   execution      seed=1               of everything that is drawn
 *                  order=random         or forward, reverse (0, 1, 2): of threads and blocks
 *                  workers=0            OS threads that run blocks; 0: as many as there are cores
 *                  deferred=1           0: work runs when it is queued, not when somebody waits for it
 *                  host_addresses=1     0: a launch whose argument holds the address of host memory is refused; what a
 *                                       compiler leaves in the padding of a struct may look like one
 *   failures       init_error=0         what cuInit gives
 *                  no_image=0           1: cuModuleLoadData gives CUDA_ERROR_NO_BINARY_FOR_GPU
 *                  fail_allocation=0    n: the n-th cuMemAlloc from now on gives CUDA_ERROR_OUT_OF_MEMORY, once; so too
 *                  fail_host_allocation=0, fail_stream=0, fail_event=0, fail_module=0, fail_graph=0
 *                  fail_call=0          the n-th call of any of the driver's functions gives fail_call_error=2
 *                  fail_launch=0        the n-th kernel launch gives
 *                  fail_launch_error=719  a sticky one when the kernel runs, any other from the call
 *                  sticky=0             what every call gives from now on
 *   lies           lie_dp4a=0, lie_mma=0 (both shapes), lie_mma_k16=0, lie_mma_k32=0, lie_ldmatrix=0, lie_cp_async=0,
 *                  lie_wgmma=0, lie_tma=0 (loads and stores)
 *                                       1: the instruction gives a wrong result
 *   reset=1        all counters, failures and the sticky error back to those of a new process; refused (nonzero) while
 *                  anything is live
 *
 * Counters, of the whole process: allocations, host_allocations, streams, events, modules, graphs, executables made
 * so far; live_allocations ... live_executables that still exist, live_bytes of device memory; calls of the driver;
 * launches, copies, fills queued; kernels_run, blocks_run, threads_run; synchronizations (calls that wait); leaks:
 * objects that a context still had when its last reference went. An option's name gives its value. */
#ifndef QMM_SIMULATOR_H
#define QMM_SIMULATOR_H

#ifdef __cplusplus
extern "C" {
#endif

/* There so that a program can tell this driver from NVIDIA's. */
extern const int qmm_simulated_cuda;

/* 0, or nonzero for an unknown name or a value that is out of range. */
int qmm_simulator_set(const char *name, long long value);

/* LLONG_MIN for an unknown name. */
long long qmm_simulator_get(const char *name);

/* What was last reported of a kernel or of a refused call: valid until the calling thread asks again. */
const char *qmm_simulator_report(void);

#ifdef __cplusplus
}
#endif

#endif
