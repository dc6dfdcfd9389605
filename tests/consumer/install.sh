#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install.sh CMAKE BUILD_DIR PREFIX: installs into an empty PREFIX, by way of another folder, because an installed tree
# may be moved.
set -eu
cmake=$1 build_dir=$2 prefix=$3
rm -rf "$prefix" "$prefix.first"
"$cmake" --install "$build_dir" --prefix "$prefix.first"
mv "$prefix.first" "$prefix"
if found=$(grep -rIlF "$build_dir" "$prefix"); then
    echo "FAILED: the build folder's name is in" "$found"
    exit 1
fi
[ ! -x "$prefix/bin/qmm" ] || "$prefix/bin/qmm" --version
