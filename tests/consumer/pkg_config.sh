#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# pkg_config.sh LIBRARY_DIR SOURCE WORK_DIR COMPILER ...
# One program linked to the shared library, one to the archive, by what pkg-config says.
set -eu
# shellcheck disable=SC2034 # source_file is used within eval
library_dir=$1 source_file=$2 work=$3
shift 3
export PKG_CONFIG_PATH="$library_dir/pkgconfig"
mkdir -p "$work"

# pkg-config quotes for a shell, so its words are read by one.
eval "set -- \"\$@\" $(pkg-config --cflags qmm)"
eval "\"\$@\" \"\$source_file\" -o \"\$work/shared\" $(pkg-config --libs qmm)"
LD_LIBRARY_PATH="$library_dir" "$work/shared"

others=$(pkg-config --static --libs qmm | sed 's/-lqmm//') # the archive by its path: -lqmm would take the shared one
eval "\"\$@\" \"\$source_file\" -o \"\$work/static\" \"\$library_dir/libqmm.a\" $others"
"$work/static"
