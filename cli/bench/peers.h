/* SPDX-License-Identifier: Apache-2.0
 *
 * What the device's kernels are measured beside: other libraries, the driver, other devices, memcpy. Each is a row of
 * the table in peers.c. */
#ifndef QMM_BENCH_PEERS_H
#define QMM_BENCH_PEERS_H

#include "session.h"

/* A peer that is ready to run a case. */
typedef struct bench_peer_run {
    void *state;
    char what[BENCH_WHAT];    /* what it computes */
    double operations, bytes; /* of a run */
    bool other_peak;          /* as of bench_row */
    qmm_context *context;     /* this and the next two as of bench_work */
    bool on_device;
    const bench_rig *rig;
    char reason[256]; /* why it cannot run the case */
} bench_peer_run;

typedef struct bench_peer {
    const char *name;    /* of --peers */
    const char *who;     /* in the figures */
    const char *devices; /* beside devices whose names begin with one of these */
    unsigned operations; /* a bit for each bench_operation that it knows */
    /* Makes it ready; false: it cannot, and run->reason says why. */
    bool (*open)(bench_session *s, const bench_case *c, bench_peer_run *run);
    qmm_status (*run)(void *state, int turn);
    void (*close)(void *state);
    const char *about;
} bench_peer;

/* Ended by a row without a name. */
extern const bench_peer bench_peers[];

/* all, none, or names with commas between, to bits. Prints what is wrong, and gives CLI_USAGE. */
int bench_peers_read(const char *command, const char *text, unsigned *peers);
void bench_peers_list(void); /* a line each, on standard output */

/* Is the peer to be measured here? One that was asked for by name and is not beside this device is noted as skipped. */
bool bench_peer_is_wanted(bench_session *s, const bench_case *c, const char *name);

/* Closes other devices that were peers. */
void bench_others_close(bench_session *s);

enum { BENCH_PEERS_MAX = 12 };

/* The peers of a case that are ready: their works, to be measured with ours. The others are noted as skipped. */
typedef struct bench_peer_set {
    const bench_peer *peers[BENCH_PEERS_MAX];
    bench_peer_run runs[BENCH_PEERS_MAX];
    int count;
} bench_peer_set;

void bench_peers_open(bench_session *s, const bench_case *c, bench_peer_set *set);
void bench_peers_works(const bench_peer_set *set, bench_work *works);

/* Their figures into the report. */
void bench_peers_report(bench_session *s, const bench_case *c, const bench_peer_set *set, const bench_work *works);
void bench_peers_close(bench_peer_set *set);

/* Bytes that a conversion reads and writes, each once. */
double bench_conversion_bytes(const bench_case *c);

/* Of peers_cuda.c. */
bool bench_open_cublaslt(bench_session *s, const bench_case *c, bench_peer_run *run);
bool bench_open_cublaslt_dequantize(bench_session *s, const bench_case *c, bench_peer_run *run);
bool bench_open_cublas_f16(bench_session *s, const bench_case *c, bench_peer_run *run);
qmm_status bench_run_cublas(void *state, int turn);
void bench_close_cublas(void *state);

#endif
