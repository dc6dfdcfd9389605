#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_shared.sh LIBRARY SONAME HEADER NEEDED
# The shared library needs nothing but the libraries NEEDED (names joined by |), bears its SONAME, exports exactly what
# the header declares, and imports nothing that could end, or speak for, the program it is in.
set -eu
library=$1 soname=$2 header=$3 needed=$4
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

strange=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev "^($needed)[-.]" || true)
[ -z "$strange" ] || fail "it needs" $strange

[ "$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')" = "$soname" ] || fail "its SONAME is not $soname"
case $soname in
libqmm.so.[0-9]*) ;;
*) fail "the SONAME $soname has no number" ;;
esac

declared=$(sed -n 's/^QMM_API [^(]*\b\(qmm_[a-z0-9_]*\)(.*/\1/p' "$header" | sort)
[ "$(echo "$declared" | wc -l)" -eq "$(grep -c '^QMM_API ' "$header")" ] ||
    fail 'a QMM_API declaration has its name not on its first line, or is no function'
exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' | sort)
[ "$declared" = "$exported" ] || {
    fail 'header and exported symbols differ: declared (-) and exported (+)'
    work=$(mktemp -d)
    echo "$declared" >"$work/declared"
    echo "$exported" >"$work/exported"
    diff -U0 "$work/declared" "$work/exported" | grep '^[-+][^-+]'
    rm -r "$work"
}

unwelcome='abort|exit|_exit|quick_exit|_Exit|puts|putchar|printf|vprintf|perror|stdout|stderr|system|signal|sigaction|setlocale'
imported=$(nm -D --undefined-only "$library" | awk '{ print $2 }' | sed 's/@.*//' | grep -Ex "$unwelcome" || true)
[ -z "$imported" ] || fail "it may end, print for or change the program it is in:" $imported

echo "$(echo "$exported" | wc -l) functions exported, $failures failures"
[ "$failures" -eq 0 ]
