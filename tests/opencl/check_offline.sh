#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: check_offline.sh FOLDER WORK
#
# Compiles the matmul programs for devices that are not here, from the joined sources in FOLDER, and looks for their
# instructions: for NVIDIA with clang's nvptx64, and where there is ptxas, for its registers and spills; for Intel's
# GPUs with ocloc, where there is one. CLANG, PTXAS, OCLOC: other commands than those. Without clang: says so, exit
# code 77.
set -eu

folder=$1
work=$2
here=$(dirname "$0")
clang=${CLANG:-clang}
ptxas=${PTXAS:-ptxas}
ocloc=${OCLOC:-ocloc}
wrong=0
mkdir -p "$work"

command -v "$clang" >/dev/null || { echo 'skipped: no clang'; exit 77; }
"$clang" --print-targets 2>/dev/null | grep -q nvptx64 || { echo "skipped: this clang has no nvptx64"; exit 77; }

# expect WHAT NUMBER LEAST: is there as much of it as there should be?
expect() {
    if [ "$2" -ge "$3" ]; then
        printf '%-40s %5d %s\n' "$name" "$2" "$1"
    else
        printf '%-40s %5d %s, expected %d\n' "$name" "$2" "$1" "$3"
        wrong=1
    fi
}

# ---- NVIDIA --------------------------------------------------------------------------------------------------------

# registers ARCHITECTURE MOST: of the program's one kernel, spilling none; MOST is what lets two groups of 256 items run
# at a time.
registers() {
    "$ptxas" -v -arch="$1" --maxrregcount="$2" -o "$work/$name.cubin" "$work/$name.ptx" >"$work/$name.log" 2>&1 ||
        { cat "$work/$name.log"; wrong=1; return; }
    used=$(sed -n 's/.*Used \([0-9]*\) registers.*/\1/p' "$work/$name.log")
    spilled=$(sed -n 's/.* \([0-9]*\) bytes spill loads.*/\1/p' "$work/$name.log")
    printf '%-40s %5d registers, %d bytes of spills on %s\n' "$name" "$used" "$spilled" "$1"
    [ "$spilled" -le 32 ] || { echo "    too many spills"; wrong=1; }
}

# nvptx NAME SOURCE OPTIONS INSTRUCTION LEAST REGISTERS
nvptx() {
    name=$1
    cat "$here/nvptx_builtins.cl" "$folder/$2.cl" >"$work/$name.cl"
    # shellcheck disable=SC2086
    "$clang" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -D__OPENCL_VERSION__=120 -Dasm=__asm__ \
        -DQMM_EXACT_DIVISION=1 $3 -target nvptx64-nvidia-nvcl -Xclang -target-cpu -Xclang sm_80 \
        -Xclang -target-feature -Xclang +ptx70 -O3 -w -S -o "$work/$name.ptx" "$work/$name.cl"
    expect "$4" "$(grep -c "$4" "$work/$name.ptx")" "$5"
    command -v "$ptxas" >/dev/null || return 0
    for architecture in sm_80 sm_90; do registers "$architecture" "$6"; done
}

nvptx matmul_nv_dp4a matmul_dot -DQMM_DOT_NV dp4a.s32.s32 128 128
nvptx matmul_nv_mma matmul_nv_mma '' mma.sync.aligned.m16n8k32 16 128
nvptx matmul_nv_mma_small matmul_nv_mma -DQMM_NV_MMA_SMALL mma.sync.aligned.m16n8k32 8 168
command -v "$ptxas" >/dev/null || echo 'no ptxas: registers not looked at'

# ---- Intel ---------------------------------------------------------------------------------------------------------

# intel NAME SOURCE DEVICE OPTIONS INSTRUCTION LEAST. Where the first compilation spills, the compiler tries again and
# unrolls less: the last listing is the one that counts.
intel() {
    name=$1
    rm -rf "${work:?}/$name"
    mkdir -p "$work/$name"
    {
        # An offline compiler may know the function and not declare it.
        echo '#ifdef QMM_DPAS_SUBGROUP'
        for a in int8 short8; do
            echo "int8 __attribute__((overloadable)) intel_sub_group_i8_i8_matrix_mad_k32($a a, int8 b, int8 acc);"
        done
        echo '#endif'
        cat "$folder/$2.cl"
    } >"$work/$name.cl"
    IGC_ShaderDumpEnable=1 IGC_DumpToCustomDir="$work/$name/" "$ocloc" compile -q -file "$work/$name.cl" -device "$3" \
        -options "-cl-std=CL1.2 $4" -out_dir "$work/$name" -output program >"$work/$name.log" 2>&1 ||
        { cat "$work/$name.log"; wrong=1; return; }
    listing=
    for file in "$work/$name"/*.asm; do
        case $file in *_1_simd*) listing=$file ;; *) [ -n "$listing" ] || listing=$file ;; esac
    done
    [ -e "$listing" ] || { echo "$name: the compiler wrote no listing"; return; }
    expect "$5" "$(grep -c "$5" "$listing")" "$6"
}

if command -v "$ocloc" >/dev/null; then
    intel matmul_dot_dg2 matmul_dot dg2 '' 'dp4a' 16
    intel matmul_intel_dpas8_dg2 matmul_intel_dpas dg2 -DQMM_DPAS_SUBGROUP=8 'dpas\.8x8' 4
    intel matmul_intel_dpas16_pvc matmul_intel_dpas pvc -DQMM_DPAS_SUBGROUP=16 'dpas\.8x8' 4
else
    echo 'no ocloc: nothing looked at for Intel'
fi
exit "$wrong"
