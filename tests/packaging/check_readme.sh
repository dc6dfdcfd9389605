#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_readme.sh README EXAMPLE PROGRAM
# The example in the README is the file that is compiled, and it runs.
set -eu
shown=$(sed -n '/^<!-- examples\/quickstart.c -->$/,/^```$/p' "$1" | sed '1,2d;$d')
[ "$shown" = "$(cat "$2")" ] || { echo "the example in $1 is not $2" && exit 1; }
expected='  0.00000   1.68189   1.24494
  2.28362   0.00000   4.29543'
printed=$("$3")
[ "$printed" = "$expected" ] || { printf 'the example prints\n%s\nnot\n%s\n' "$printed" "$expected" && exit 1; }
