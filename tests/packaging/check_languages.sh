#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_languages.sh FOLDER
# The arithmetic that all backends share compiles as OpenCL C 1.2 and as CUDA, where there is a compiler for them.
# Exit 77 (skipped) where there is none.
set -eu
folder=$1
unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
done=""

if command -v clang >/dev/null && clang -x cl -cl-std=CL1.2 -fsyntax-only /dev/null 2>/dev/null; then
    printf '#include "numerics_activation.h"\n' >"$unit"
    printf '__kernel void k(__global float *x) { *x = qmmn_gelu(*x) + qmmn_silu(*x) + qmmn_gelu_tanh(*x) +\n' >>"$unit"
    printf 'qmmn_f16_to_f32(qmmn_f32_to_f16(qmmn_dequantize(qmmn_quantize(*x, 0.1f, 3, -128, 127), 3, 0.1f))); }\n' >>"$unit"
    clang -x cl -cl-std=CL1.2 -Wall -Wextra -Werror -Wno-unused-function "-I$folder" -fsyntax-only "$unit"
    done="$done OpenCL C 1.2"
fi
if command -v nvcc >/dev/null; then
    printf '#include "numerics_activation.h"\n' >"$unit"
    printf '__global__ void k(float *x) { *x = qmmn_gelu(*x) + qmmn_silu(*x) + qmmn_gelu_tanh(*x); }\n' >>"$unit"
    nvcc -x cu -arch=sm_80 -fmad=false "-I$folder" -ptx -o /dev/null "$unit"
    done="$done CUDA"
fi
[ -n "$done" ] || { echo "neither clang with OpenCL C nor nvcc is here" && exit 77; }
echo "numerics_activation.h and numerics.h compile as:$done"
