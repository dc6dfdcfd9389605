#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_static.sh LIBRARY: every name the archive gives to the linker begins with qmm_ or qmmi_.
set -eu
strange=$(nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | grep -Ev '^qmmi?_' || true)
[ -z "$strange" ] || {
    echo "FAILED: names that may clash with a program's own:" $strange
    exit 1
}
