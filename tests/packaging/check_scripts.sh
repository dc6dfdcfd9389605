#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_scripts.sh TREE: shellcheck has nothing to say about the tree's shell scripts. 77: there is no shellcheck.
set -eu
cd "$1"
command -v shellcheck >/dev/null || {
    echo 'skipped: no shellcheck here'
    exit 77
}
shellcheck -e SC2086 bootstrap .ci/run tests/*.sh tests/*/*.sh
