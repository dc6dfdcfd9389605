/* SPDX-License-Identifier: Apache-2.0
 *
 * One run of qmm bench: the device, the options that its parts look at, the report; and the parts. */
#ifndef QMM_BENCH_SESSION_H
#define QMM_BENCH_SESSION_H

#include "report.h"
#include "verify.h"

/* The speed of a row at its last shape: a row that would be too slow at the next one is left out. */
typedef struct bench_pace {
    char name[100]; /* ROW or ROW/VARIANT */
    double seconds; /* of an operation */
} bench_pace;

enum { BENCH_PACES = 64 };

/* Another device of qmm, as a peer; opened when it is first needed. */
typedef struct bench_other {
    qmm_context *context; /* NULL: there is none, and why */
    bench_rig rig;
    char reason[256];
    bool tried;
} bench_other;

enum { BENCH_OTHER_CUDA, BENCH_OTHER_CPU, BENCH_OTHERS };

typedef struct bench_session {
    const char *command;
    bench_device device;
    bench_report report;
    const char *kernels; /* "auto", "all", "variants", or names with commas between */
    unsigned peers;      /* a bit for each of the table in peers.c */
    bool verify, wrong;  /* a wrong result was seen */
    uint64_t seed;
    bench_verifier verifier;
    bench_pace paces[BENCH_PACES];
    int pace_count;
    bench_other others[BENCH_OTHERS];
} bench_session;

/* Each measures a case into the report and prints nothing. A status other than QMM_OK ends the run: the device is lost
 * or the library has failed; the text is on the context. */
qmm_status bench_run_copy(bench_session *s, const bench_case *c);
qmm_status bench_run_calls(bench_session *s, const bench_case *c);
qmm_status bench_run_matmul(bench_session *s, const bench_case *c);
qmm_status bench_run_tokens(bench_session *s, const bench_case *c);
qmm_status bench_run_conversion(bench_session *s, const bench_case *c);

/* A name of --kernel that is no row of the device: prints so, and gives CLI_USAGE. */
int bench_kernels_check(const bench_session *s);

/* ---- what they share --------------------------------------------------------------------------------------------- */

/* Rows and variants to be measured for an operation. */
typedef struct bench_candidate {
    char kernel[64], variant[32]; /* kernel "": not known, the library's choice */
    char force[100];              /* what qmm_kernel_force takes; "": it is not forced */
    bool named;                   /* asked for by name: measured however slow it is */
} bench_candidate;

enum { BENCH_CANDIDATES = 96 };

/* The candidates that --kernel means. `chosen`, unless NULL, is what the library picks, which comes first and once. */
int bench_candidates(const bench_session *s, bench_operation operation, const bench_candidate *chosen,
                     bench_candidate *list);

/* The only row that the device has for an operation; "" if there are none or several. */
const char *bench_only_row(const bench_session *s, bench_operation operation);

/* Lost devices and defects end a run; what a device has no kernel or no memory for, or does not compile, is skipped. */
bool bench_is_fatal(qmm_status status);

/* Notes what was not measured. */
void bench_skip_case(bench_session *s, const bench_case *c, const char *who, const char *kernel, const char *what,
                     const char *reason);

/* The same, once for a reason and not for each shape. */
void bench_skip_once(bench_session *s, const bench_case *c, const char *who, const char *kernel, const char *what,
                     const char *reason);

/* The row of a case, with nothing measured yet. */
bench_row bench_row_of(const bench_case *c, const char *who, const char *what);

#endif
