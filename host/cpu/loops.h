/* SPDX-License-Identifier: Apache-2.0
 *
 * How the fast loops are built: over threads, and for the vectors of several CPUs. */
#ifndef QMMI_CPU_LOOPS_H
#define QMMI_CPU_LOOPS_H

/* A loop over threads where the build has OpenMP (QMM_OPENMP), a plain loop where it has not. */
#ifdef _OPENMP
#define QMMI_CPU_PRAGMA(text) _Pragma(#text)
#define QMMI_CPU_PARALLEL_FOR(worthwhile) QMMI_CPU_PRAGMA(omp parallel for schedule(static) if (worthwhile))
#else
#define QMMI_CPU_PARALLEL_FOR(worthwhile) (void)(worthwhile);
#endif

/* Before a function with QMMI_CPU_CLONES calls it: a part of its loop, compiled as the caller is. */
#if defined(__GNUC__)
#define QMMI_CPU_INLINE static inline __attribute__((always_inline))
#else
#define QMMI_CPU_INLINE static inline
#endif

/* Before a function: the compiler makes it once per instruction set and the loader picks. The arithmetic is the same in
 * each, since nothing is contracted or reordered. Needs ifuncs, which sanitizers do not always survive; clang 14 would
 * export the resolvers. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define QMMI_CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define QMMI_CPU_CLONES
#endif

#endif
