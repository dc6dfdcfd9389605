#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: driver.sh FOLDER DRIVER COMMAND [ARGUMENT ...]
#
# Runs a command with one OpenCL driver of this machine, and no other: pocl, oclgrind, rusticl or intel (its runtime for
# CPUs). What the driver keeps goes to FOLDER. Without the driver: says so, exit code 77.
set -eu

folder=$1
driver=$2
shift 2
vendors=${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# The driver's file as its .icd file in the vendors' folder names it.
registered() { # PATTERN
    [ -d "$vendors" ] || return 0
    grep -h -- "$1" "$vendors"/*.icd 2>/dev/null | head -n 1
}

# The first of these files that is there.
first_file() {
    for file in "$@"; do
        [ -e "$file" ] || continue
        printf '%s\n' "$file"
        return
    done
}

case $driver in
pocl)
    library=$(registered libpocl)
    [ -n "$library" ] || skip 'no PoCL (Debian: pocl-opencl-icd)'
    export POCL_CACHE_DIR="${QMM_TEST_POCL_CACHE:-$folder/pocl-cache}"
    mkdir -p "$POCL_CACHE_DIR"
    ;;
oclgrind)
    library=$(first_file /usr/lib/oclgrind/liboclgrind-rt-icd.so /usr/lib/*/oclgrind/liboclgrind-rt-icd.so \
        /usr/local/lib/liboclgrind-rt-icd.so)
    [ -n "$library" ] || skip 'no Oclgrind (Debian: oclgrind)'
    ;;
rusticl)
    library=$(registered libRusticlOpenCL)
    [ -n "$library" ] || skip 'no Rusticl (Debian: mesa-opencl-icd)'
    export RUSTICL_ENABLE=llvmpipe
    ;;
intel) # from Python wheels, which bring no .icd file that is right
    library=$(first_file "${QMM_INTEL_OPENCL:-/nonexistent}/libintelocl.so" "$folder/../intel-opencl/lib/libintelocl.so" \
        "${VIRTUAL_ENV:-/nonexistent}/lib/libintelocl.so" /usr/local/lib/libintelocl.so)
    [ -n "$library" ] || skip "no OpenCL runtime of Intel's for CPUs (PyPI: intel-opencl-rt intel-cmplr-lib-rt tbb)"
    # Not its folder as it is: a libOpenCL.so.1 lies there too.
    mkdir -p "$folder/intel-libraries"
    for file in "${library%/*}"/*; do
        case ${file##*/} in
        libOpenCL*) ;;
        *) ln -sf "$file" "$folder/intel-libraries/" ;;
        esac
    done
    library=$folder/intel-libraries/libintelocl.so
    export LD_LIBRARY_PATH="$folder/intel-libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    ;;
*)
    printf 'driver.sh: no driver %s\n' "$driver" >&2
    exit 2
    ;;
esac

# Tests run at the same time: the file is never there in part.
mkdir -p "$folder/$driver"
printf '%s\n' "$library" >"$folder/$driver/driver.$$"
mv "$folder/$driver/driver.$$" "$folder/$driver/driver.icd"
export OCL_ICD_VENDORS="$folder/$driver"
exec "$@"
