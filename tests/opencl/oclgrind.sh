#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: oclgrind.sh LOG COMMAND [ARGUMENT ...]
#
# Runs a command whose OpenCL driver is Oclgrind (driver.sh), which looks for races, accesses out of bounds and calls
# that break a rule of the API; with QMM_TEST_UNINITIALIZED=1 for reads of what nobody wrote, too. Fails if the command
# does or if Oclgrind says anything: its own exit code tells nothing.
set -u

log=$1
shift
rm -f "$log"
OCLGRIND_LOG=$log OCLGRIND_CHECK_API=1 OCLGRIND_DATA_RACES=1 OCLGRIND_MAX_ERRORS=20
export OCLGRIND_LOG OCLGRIND_CHECK_API OCLGRIND_DATA_RACES OCLGRIND_MAX_ERRORS
[ "${QMM_TEST_UNINITIALIZED:-0}" = 0 ] || export OCLGRIND_UNINITIALIZED=1
"$@"
code=$?
[ -e "$log" ] || {
    echo 'Oclgrind wrote no log: it was not there' >&2
    exit 1
}
[ -s "$log" ] || exit "$code"
echo 'Oclgrind says:'
head -c 4000 "$log"
exit 1
