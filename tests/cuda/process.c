/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/support.h"

static void set_variables(const char *const *variables) {
    for (; variables[0]; variables += 2)
        if (variables[1] ? setenv(variables[0], variables[1], 1) : unsetenv(variables[0])) _exit(2);
}

static void describe(const char *const *variables) {
    for (; variables[0]; variables += 2)
        fprintf(stderr, "    ^ %s=%s\n", variables[0], variables[1] ? variables[1] : "(not set)");
}

void in_process(const char *const *variables, void (*check)(void *argument), void *argument) {
    const int64_t failures = failure_count(), checks = check_count();
    int status = 0;
    pid_t child;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed assertion ends the child, not only this test of the copy */
        set_variables(variables);
        check(argument);
        fflush(NULL);
        _exit(failure_count() > failures || check_count() == checks);
    }
    if (!expect(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
                "the process ended with %d", status))
        describe(variables);
}
