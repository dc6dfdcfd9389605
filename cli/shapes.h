/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul shapes as the subcommands validate, bench, tune and explain take them: by hand, by the name of a set that is
 * built in, or from a file. */
#ifndef QMM_CLI_SHAPES_H
#define QMM_CLI_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* C (m x n) = A (m x k) B (k x n), `batch` times. */
typedef struct cli_shape {
    char name[48]; /* "llama3-8b/qkv"; "" if it was given by its numbers */
    int64_t m, n, k, batch;
} cli_shape;

typedef struct cli_shapes {
    cli_shape *items;
    int count;
} cli_shapes;

/* Whole numbers with commas between: 1,16,300; first..last, all between; first..last*f, each f times the one before;
 * first..last+s. At most 100,000 of them, each within min..max. Prints why not, and gives CLI_USAGE. Free *values. */
int cli_numbers_read(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                     int64_t **values, int *count);

/* Adds the shapes that `text` names to *shapes, which begins as { NULL, 0 }. Commas between any of
 *     MxNxK or MxNxKxBATCH    numbers
 *     the name of a built-in set, as llama3-8b
 *     the path of a file of at most 1 MiB: lines `NAME M N K [BATCH]`, M a list as of cli_numbers_read, # begins a
 *     comment; a path that is the name of a set is written ./NAME
 * m, unless NULL, takes the place of the M of sets and files (not of MxNxK).
 * A name may go on with /LAYER: llama3-8b/qkv. M, N and K are 0 to 2^31 - 1, the batch is 1 or more. Prints what is
 * wrong, with file and line, gives CLI_USAGE, and frees *shapes. */
int cli_shapes_read(const char *command, const char *text, const int64_t *m, int m_count, cli_shapes *shapes);

void cli_shapes_free(cli_shapes *shapes);

/* "16x4096x4096", with a batch above 1 "16x4096x4096x8": as cli_shapes_read takes it back. */
void cli_shape_sizes(const cli_shape *shape, char *text, size_t bytes);

/* Operations of its matmul: 2MNK, over the batch. */
double cli_shape_operations(const cli_shape *shape);

/* The built-in sets, with the shapes' count: a line each, on standard output. */
void cli_shapes_list(void);

#endif
