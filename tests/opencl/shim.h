/* SPDX-License-Identifier: Apache-2.0
 *
 * A loader that stands between the library and the machine's libOpenCL.so.1: QMM_OPENCL_LIBRARY names it. It forwards
 * every call, and does to it what the options say: of the environment variable QMM_OPENCL_SHIM="report=arm,rewrite=x.txt"
 * when the first call comes, and of qmm_shim_set. An option that is not understood ends the program, with a line on
 * standard error.
 *
 *   fail=FUNCTION:N:CODE     the N-th call of that function from now on gives CODE, once; with a + behind the CODE so does
 *                            every later one. FUNCTION may be any: all that do not release something
 *   fail=none                takes that back
 *   report=NAME              the device says that it has what a kernel row asks for, and the functions of
 *                            stand_ins/ take the place of its instructions, in front of every program: nvidia, arm,
 *                            khr_dot, intel8, intel16. gpu: the device says only that it is no CPU
 *   rewrite=FILE             a planted fault: FILE holds a text, a line of ====, another text; the first text becomes the
 *                            other, at its first place in every program (and in the stand-ins before it)
 *   device=QUESTION:NUMBER   what clGetDeviceInfo answers to that question (a number, as 0x1023), in as many bytes as the
 *                            driver's own answer has
 *   device_text=QUESTION:TEXT, platform_text=QUESTION:TEXT
 *   times=NAME               what events say of their times: right, constant, backwards, or slow: a thousandfold
 *
 * Counters: calls; live_contexts, live_queues, live_buffers, live_programs, live_kernels, live_events: references held
 * through here; builds (of programs from source), binaries (programs made from one); failing: 1 while a `fail` waits
 * for its call. */
#ifndef QMM_TEST_OPENCL_SHIM_H
#define QMM_TEST_OPENCL_SHIM_H

void qmm_shim_set(const char *options);

/* LLONG_MIN for an unknown name. */
long long qmm_shim_get(const char *counter);

#endif
