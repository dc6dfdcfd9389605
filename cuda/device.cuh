/* SPDX-License-Identifier: Apache-2.0
 *
 * How our CUDA files say what the compiler must know, so that nvcc and the simulator's C++ compiler read the same text:
 *
 *     KERNEL(quantize_kernel, 256, 2, qmmi_convert_problem, p) { ... }
 *         a kernel of at most 256 threads a block, 2 blocks a multiprocessor, with one struct as its argument
 *     CLUSTER_KERNEL(name, 384, 1, 2, argument_type, a) { ... }
 *         ... whose blocks run in clusters of 2 (sm_90)
 *     SHARED_ARRAY(int, sums, 32);       static shared memory, an array of 32
 *     DYNAMIC_SHARED(stages);            unsigned char *stages: the launch's dynamic shared memory, 1024-byte aligned
 *
 * Everything else is plain CUDA C++: threadIdx, __syncthreads, shuffles, atomics. Instructions that need PTX are in
 * ptx.cuh. A kernel's argument lies in constant memory: take it by reference, never copy it. */
#ifndef QMM_CUDA_DEVICE_CUH
#define QMM_CUDA_DEVICE_CUH

#if defined(QMM_SIMULATED_CUDA)

#include "simulated_device.h"

#else

#include <stdint.h>

#define KERNEL(name, threads, blocks, arguments, parameter) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ arguments parameter)
#define CLUSTER_KERNEL(name, threads, blocks, cluster, arguments, parameter)                    \
    extern "C" __global__ void __cluster_dims__(cluster, 1, 1) __launch_bounds__(threads, blocks) \
        name(const __grid_constant__ arguments parameter)
#define SHARED_ARRAY(type, name, count) __shared__ type name[count]
#define DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

#endif

#define DEVICE __device__ __forceinline__

#endif
