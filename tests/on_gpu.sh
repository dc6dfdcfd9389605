#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# on_gpu.sh [--build FOLDER] [--simulated LIBRARY] OUTDIR
#
# Everything that only a machine with an NVIDIA GPU can say, in ten minutes: builds the library for that GPU, then runs
# every kernel row against the oracle, streams, graphs, determinism and large shapes, the four tools of
# compute-sanitizer, the benchmark and the tuner; and the same GPU by way of OpenCL, where its driver has it. It needs
# the CUDA toolkit, CMake, a C compiler and GNU coreutils; no network, no package of ours.
#
#   --build FOLDER        build there, and keep it; else in a temporary folder
#   --simulated LIBRARY   no GPU: FOLDER is built already, LIBRARY is its simulated device; steps that need a GPU are
#                         skipped, the others are cut short
#
# OUTDIR receives at most ten files: summary.txt, build.log, check.log, validate.json, sanitizer.log, bench.json,
# bench.md, tuning.txt, opencl.json, bench_opencl.json. PyTorch's figures are in bench.json. The summary is printed
# last. Exit code: 0 all steps passed or were skipped with a reason, 1 one failed or had no time left, 2 bad usage.
set -u

usage() {
    sed -n '3,17p' "$0" | sed 's/^# \{0,1\}//'
    exit 2
}

# ---- the steps: each a function, run in a process of its own with a limit; 77 means skipped, the last line says why -----

skip() {
    echo "$*"
    exit 77
}

# The compute capability as CMake wants it. Hopper's own instructions have to be asked for.
architecture() {
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
    case $capability in
    90) echo 90a ;;
    '') return 1 ;;
    *) echo "$capability" ;;
    esac
}

compile() { # NAME SOURCE ...: a program of tests/cuda, with the library
    program=$1
    shift
    (cd "$tree/tests/cuda" && "${CC:-cc}" -std=c11 -O2 -I"$tree/include" -o "$work/$program" "$@" \
        "$build/host/libqmm.a" -ldl -lm -lpthread)
}

step_build() {
    if [ -z "$simulated" ]; then
        for_gpu=$(architecture) || { echo 'nvidia-smi finds no GPU' && return 1; }
        generator='Unix Makefiles'
        command -v ninja >/dev/null && generator=Ninja
        cmake -S "$tree" -B "$build" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DQMM_BUILD_TESTS=OFF \
            -DQMM_BUILD_EXAMPLES=OFF -DQMM_CUDA=ON "-DQMM_CUDA_ARCHITECTURES=$for_gpu" &&
            cmake --build "$build" -j "$(nproc)" --target qmm_cli qmm_static || return 1
    fi
    compile check_device check_device.c calls.c jobs.c && compile check_large check_large.c
}

step_devices() {
    "$build/qmm" devices
    [ -n "$simulated" ] || nvidia-smi \
        --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,memory.total \
        --format=csv
    "$build/qmm" devices | grep -q '^cuda:0'
}

step_check_device() { "$work/check_device" ${large:+--large} ${small:+--again 2 graphs}; }

step_check_large() { "$work/check_large" ${small:+--small}; }


# Each operation is a process, and so is bitwise mode: most of the time goes into the oracle, on the CPU.
step_validate() {
    for operation in $operations; do
        "$build/qmm" validate --device cuda --operation "$operation" --seconds "$((limit - 5))" --format json \
            ${validate_cases:+--cases $validate_cases --start 1740} >"$work/validate.$operation" &
        echo $! >"$work/validate.$operation.id"
    done
    "$build/qmm" validate --device cuda --mode bitwise --start 1740 --cases "${bitwise_cases:-300}" \
        --seconds "$((limit - 5))" --format json >"$work/validate.bitwise" &
    echo $! >"$work/validate.bitwise.id"
    verdict=0
    for part in $operations bitwise; do
        wait "$(cat "$work/validate.$part.id")" || {
            verdict=1
            echo "$part failed:"
            sed -n '/"failures"/,$p' "$work/validate.$part" | head -n 20
        }
        printf '%-18s %s\n' "$part" "$(sed -n 's/.*"totals": {\(.*\)},*$/\1/p' "$work/validate.$part" | tr -d '"')"
    done
    {
        separator='['
        for part in $operations bitwise; do
            echo "$separator"
            cat "$work/validate.$part"
            separator=,
        done
        echo ']'
    } >"$out/validate.json"
    return "$verdict"
}

# Cases of all operations in turn, until the time is over; padding shows reads past the end of a tensor. cuBLASLt stays
# away: it is not ours to check.
step_sanitizer() {
    [ -z "$simulated" ] || skip 'compute-sanitizer needs a GPU'
    command -v compute-sanitizer >/dev/null || skip 'there is no compute-sanitizer'
    for tool in memcheck racecheck initcheck synccheck; do
        padding=
        [ "$tool" != memcheck ] || padding='--padding 65536'
        QMM_CUBLASLT_LIBRARY=none compute-sanitizer --tool "$tool" $padding --error-exitcode 99 \
            --log-file "$work/sanitizer.$tool.log" \
            "$build/qmm" validate --device cuda --mode fuzz --start 1740 --cases 40 --seconds "$((limit - 25))" \
            --format json >"$work/sanitizer.$tool" 2>&1 &
        echo $! >"$work/sanitizer.$tool.id"
    done
    verdict=0
    for tool in memcheck racecheck initcheck synccheck; do
        wait "$(cat "$work/sanitizer.$tool.id")" || {
            echo "$tool: exit code $?"
            verdict=1
            tail -n 60 "$work/sanitizer.$tool.log"
            sed -n '/"failures"/,$p' "$work/sanitizer.$tool" | head -n 10
        }
        passed=$(sed -n 's/.*"totals": {"passed": \([0-9]*\),.*/\1/p' "$work/sanitizer.$tool")
        echo "$tool: ${passed:-0} cases passed; $(tail -n 1 "$work/sanitizer.$tool.log")"
        [ "${passed:-0}" -ge 300 ] || {
            verdict=1
            echo "$tool: fewer than 300"
        }
    done
    return "$verdict"
}

# Half a minute stays for the case that is begun when the time is over. On the simulated device the shapes are tiny, and
# every result is checked.
step_bench() {
    "$build/qmm" bench --device cuda --preset gpu --seconds 0.02 --runs 3 --time-limit "$((limit - 30))" \
        ${small:+--verify} --output "$out/bench.json"
}

# The operations that the most telling layer of all runs in decoding and in a prompt.
step_tune() {
    "$build/qmm" tune --device cuda --output "$out/tuning.txt" \
        --shapes "${tune_shapes:-llama3-8b/o,llama3-70b/o}" --m 1,16,4096
}

# NVIDIA's driver has OpenCL, but the loader may be the toolkit's only, which is then told where the driver is.
step_opencl() {
    [ -z "$simulated" ] || skip 'it needs a GPU'
    if ! "$build/qmm" devices | grep -q '^opencl:0  *gpu'; then
        QMM_OPENCL_LIBRARY=$(find /usr/local/cuda/lib64/ /usr/local/cuda/targets -name libOpenCL.so.1 2>/dev/null | head -n 1)
        OCL_ICD_FILENAMES=libnvidia-opencl.so.1
        export QMM_OPENCL_LIBRARY OCL_ICD_FILENAMES
    fi
    "$build/qmm" devices | grep -q '^opencl:0  *gpu' || skip "$("$build/qmm" devices | grep '^opencl')"
    verdict=0
    "$build/qmm" validate --device opencl --seconds "$((limit / 2))" --format json >"$out/opencl.json" || verdict=1
    sed -n 's/.*"totals": {\(.*\)},*$/\1/p' "$out/opencl.json"
    timeout "$((limit / 2 - 5))" "$build/qmm" bench --device opencl --preset opencl --seconds 0.02 --runs 3 \
        --time-limit "$((limit / 2 - 20))" --output "$out/bench_opencl.json" || verdict=1
    return "$verdict"
}

step_peers() {
    [ -z "$simulated" ] || skip 'PyTorch needs a GPU'
    python3 "$tree/bench/peers.py" --from "$out/bench.json" --into "$out/bench.json" --seconds "$((limit - 15))" ||
        { [ $? -eq 3 ] && exit 77; }
}

# ---- running them --------------------------------------------------------------------------------------------------

tree=$(cd "$(dirname "$0")/.." && pwd) || exit 2
PATH=$PATH:/usr/local/cuda/bin
export PATH

if [ "${1:-}" = --step ]; then # this script again, as the process of one step
    case $2 in
    build) step_build ;;
    devices) step_devices ;;
    check_device) step_check_device ;;
    check_large) step_check_large ;;
    validate) step_validate ;;
    sanitizer) step_sanitizer ;;
    bench) step_bench ;;
    tune) step_tune ;;
    opencl) step_opencl ;;
    peers) step_peers ;;
    esac
    exit
fi

build=
simulated=
out=
while [ $# -gt 0 ]; do
    case $1 in
    --build | --simulated)
        [ $# -gt 1 ] || usage
        [ "$1" = --build ] && build=$2 || simulated=$2
        shift
        ;;
    -*) usage ;;
    *)
        [ -z "$out" ] || usage
        out=$1
        ;;
    esac
    shift
done
[ -n "$out" ] || usage
[ -z "$simulated" ] || [ -n "$build" ] || usage

mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
if [ -n "$build" ]; then
    mkdir -p "$build" && build=$(cd "$build" && pwd) || exit 2
else
    build=$work/build
fi

operations='quantize quantize_dynamic dequantize requantize matmul weights find_range measure_error verify_matmul'
large=yes
small=
validate_cases=
bitwise_cases=
tune_shapes=
if [ -n "$simulated" ]; then
    QMM_CUDA_LIBRARY=$simulated
    large=
    small=yes
    operations='quantize matmul'
    validate_cases=3
    bitwise_cases=2
    tune_shapes=16x64x64
    export QMM_CUDA_LIBRARY
fi
export tree out work build simulated operations large small validate_cases bitwise_cases tune_shapes limit

begun=$(date +%s)
TOTAL=585 # of the ten minutes
failed=0

# step NAME SECONDS LOG
step() {
    name=$1
    log=$out/$3
    start=$(date +%s)
    left=$((TOTAL - (start - begun)))
    limit=$2
    [ "$limit" -le "$left" ] || limit=$left
    printf '==== %s\n' "$name" >>"$log"
    if [ "$limit" -lt 30 ]; then
        code=125
    else
        timeout -k 5 "$limit" sh "$0" --step "$name" >"$work/step" 2>&1
        code=$?
        cat "$work/step" >>"$log"
    fi
    case $code in
    0) result=passed ;;
    77) result="skipped: $(tail -n 1 "$work/step")" ;;
    124 | 137) result="FAILED: more than $limit seconds" ;;
    125)
        result='FAILED: no time left'
        [ "$name" != opencl ] || result='skipped: no time left'
        ;;
    *) result="FAILED: exit code $code, see $3" ;;
    esac
    case $result in FAILED*) failed=1 ;; esac
    printf '%-14s %-44s %5s s\n' "$name" "$result" "$(($(date +%s) - start))" | tee -a "$work/summary"
}

: >"$out/build.log"
: >"$out/check.log"
: >"$out/sanitizer.log"
: >"$out/bench.md"
step build 200 build.log
step devices 30 check.log
step check_device 60 check.log
step check_large 90 check.log
step validate 110 check.log
step sanitizer 120 sanitizer.log
step bench 110 bench.md
step tune 40 bench.md
step peers 60 bench.md
step opencl 90 bench.md

{
    date -u '+%Y-%m-%d %H:%M UTC'
    sed -n '/^==== devices/,/^==== check_device/p' "$out/check.log" | sed '/^====/d'
    printf '\n%-14s %-44s %7s\n' step result seconds
    cat "$work/summary"
    printf '%-14s %-44s %5s s\n' all "$([ "$failed" -eq 0 ] && echo passed || echo FAILED)" "$(($(date +%s) - begun))"
} >"$out/summary.txt"
echo
cat "$out/summary.txt"
exit "$failed"
