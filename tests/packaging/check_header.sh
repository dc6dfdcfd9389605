#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_header.sh HEADER LANGUAGE STANDARD COMPILER ...
# The header compiles alone, twice in one file, pedantically, with and without QMM_STATIC; and every QMM_..._INIT macro
# initialises its struct.
set -eu
header=$1 language=$2 standard=$3
shift 3

structs=$(sed -n 's/^#define QMM_\([A-Z0-9_]*\)_INIT\b.*/\1/p' "$header" | tr '[:upper:]' '[:lower:]')
[ -n "$structs" ] || { echo "no _INIT macro found in $header" && exit 1; }

translation_unit() {
    echo '#include <qmm/qmm.h>'
    echo '#include <qmm/qmm.h>'
    for name in $structs; do
        macro=$(echo "$name" | tr '[:lower:]' '[:upper:]')
        echo "extern qmm_$name a_$name; qmm_$name a_$name = QMM_${macro}_INIT;"
    done
}

for define in QMM_SHARED QMM_STATIC; do
    translation_unit | "$@" -x "$language" "-std=$standard" -pedantic-errors -Wall -Wextra -Wconversion -Wshadow -Werror \
        "-D$define" "-I$(dirname "$(dirname "$header")")" -fsyntax-only -
done
echo "$header compiles as $standard, with" $structs
