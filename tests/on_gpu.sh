#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# on_gpu.sh [--part PART] [--build FOLDER] [--simulated LIBRARY] OUTDIR
#
# Everything that only a machine with an NVIDIA GPU can say, as far as ten minutes go; the summary names what was left
# out. Builds the library for that GPU, then runs every kernel row against the oracle, streams, graphs, determinism and
# large shapes, the four tools of compute-sanitizer, the benchmark and the tuner; and the same GPU by way of OpenCL, where
# its driver has it. It needs the CUDA toolkit, CMake, a C compiler and GNU coreutils; no network, no package of ours.
#
#   --part PART           correct, sanitize, bench or opencl: that alone, and more of it; all (the default) does less
#   --build FOLDER        build there, and keep it, for the next part; else in a temporary folder
#   --simulated LIBRARY   no GPU: FOLDER is built already, LIBRARY is its simulated device; steps that need a GPU are
#                         skipped, the others are cut short
#
# OUTDIR receives at most eight files: summary.txt, log.txt (what each step printed), validate.json, memory.json,
# decode.json and gemm.json (qmm bench, with PyTorch's figures), tuning.txt, opencl.json. The summary is printed last: a
# line for each step, clocks and power, and the goals that bench/goals.py reads off the figures.
# Exit code: 0 all steps passed or were skipped with a reason, 1 one failed or had no time left, 2 bad usage.
# shellcheck disable=SC2086,SC2317 # lists of words are split on purpose; steps are called by name
set -u

usage() {
    sed -n '4,19p' "$0" | sed 's/^# \{0,1\}//'
    exit 2
}

# ---- what the steps share ------------------------------------------------------------------------------------------

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

# Runs of qmm validate go on beside each other: most of the time goes into the oracle, on the CPU.
begin() { # NAME COMMAND ...: in the background; its output, which is JSON, into a file of that name
    name=$1
    shift
    "$@" >"$work/$name" 2>"$work/$name.errors" &
    echo $! >"$work/$name.id"
}

totals() { sed -n 's/.*"totals": {\(.*\)},*$/\1/p' "$work/$1" | tr -d '"'; }

finish() { # NAME ...: waits for them; 1 if one failed
    finished=0
    for name in "$@"; do
        wait "$(cat "$work/$name.id")" || {
            finished=1
            echo "$name failed:"
            sed -n '/"failures"/,$p' "$work/$name" | head -n 20
            tail -n 5 "$work/$name.errors"
        }
        printf '%-34s %s\n' "$name" "$(totals "$name")"
    done
    return "$finished"
}

keep_json() { # NAME ...: in validate.json, a list
    for name in "$@"; do
        [ -s "$work/$name" ] || continue
        [ -s "$work/validate" ] && echo , >>"$work/validate"
        cat "$work/$name" >>"$work/validate"
    done
    { echo '[' && cat "$work/validate" && echo ']'; } >"$out/validate.json"
}

# Multiprocessors' and memory's clocks (MHz), W, degrees, and why clocks are held back, as NVML's bits. The card's
# settings are left alone.
query_clocks() {
    if [ -n "$simulated" ]; then
        echo '1000, 2000, 100.5, 40, 0x0'
    else
        nvidia-smi --format=csv,noheader,nounits --id=0 \
            --query-gpu="clocks.sm,clocks.mem,power.draw,temperature.gpu,$reasons"
    fi
}

# Least, median and largest of column $1.
spread() {
    cut -d, -f"$1" "$work/clocks" | sort -n |
        awk '{ v[NR] = $1 } END { printf "%g %g %g", v[1], v[int((NR + 1) / 2)], v[NR] }'
}

with_clocks() { # COMMAND ...: the GPU's state before, during (twice a second) and after
    reasons=clocks_event_reasons.active # its name since driver 535
    [ -n "$simulated" ] || nvidia-smi --format=csv --query-gpu=$reasons >/dev/null 2>&1 ||
        reasons=clocks_throttle_reasons.active
    before=$(query_clocks)
    : >"$work/clocks"
    (while :; do
        query_clocks >>"$work/clocks"
        sleep 0.5
    done) &
    sampler=$!
    "$@"
    code=$?
    kill "$sampler" && wait "$sampler" 2>/dev/null
    {
        echo "$step: before $before; after $(query_clocks)"
        echo "    least, median, largest of $(wc -l <"$work/clocks"): SM $(spread 1) MHz; memory $(spread 2) MHz; $(
            spread 3) W; $(spread 4) C; held back: $(
            cut -d, -f5 "$work/clocks" | sort | uniq -c | awk '{ printf "%s%s in %d", s, $2, $1; s = ", " }')"
    } >>"$work/all_clocks"
    return "$code"
}

# ---- the steps: each a function, run in a process of its own with a limit; 77 means skipped, the last line says why --

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
    facts=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,memory.total
    [ -n "$simulated" ] || nvidia-smi --format=csv --query-gpu=$facts
    "$build/qmm" devices | grep -q '^cuda:0'
}

# Each row alone, in a process of its own: one that hangs is found here, and named, before it can hang all others.
step_rows() {
    rows=$("$build/qmm" bench --device cuda --list | sed -n 's/^  \(cuda:[^/]*\)$/\1/p')
    [ -z "$small" ] || rows='cuda:quantize:vector cuda:matmul:small'
    for row in $rows; do
        operation=${row#cuda:}
        begin "row.$row" timeout -k 2 "$((limit - 10))" "$build/qmm" validate --device cuda --kernel "$row" \
            --operation "${operation%%:*}" --start 1740 --cases "${row_cases:-20}" --format json
    done
    verdict=0
    for row in $rows; do
        wait "$(cat "$work/row.$row.id")"
        code=$?
        case $code,$(totals "row.$row") in
        0,*) result=passed ;;
        124,* | 137,*) result="HANGS: no end after $((limit - 10)) seconds" ;;
        1,'passed: 0, failed: 0,'*) result='refuses all of these cases' ;;
        *) result="FAILED: exit code $code: $(tail -n 1 "$work/row.$row.errors")" ;;
        esac
        printf '%-34s %s; %s\n' "$row" "$result" "$(totals "row.$row")"
        case $result in
        HANGS*) touch "$work/hangs" && verdict=1 ;;
        FAILED*) verdict=1 ;;
        esac
    done
    return "$verdict"
}

step_check_device() { "$work/check_device" ${large:+--large} ${small:+--again 2 graphs}; }

step_check_large() { "$work/check_large" ${small:+--small}; }

# Every operation that qmm validate knows.
step_validate() {
    operations=$("$build/qmm" validate --list | awk 'NR > 1 && !NF { exit } NR > 1 { print $1 }')
    [ -z "$small" ] || operations='quantize matmul'
    [ -n "$operations" ] || return 1
    for operation in $operations; do
        begin "$operation" "$build/qmm" validate --device cuda --operation "$operation" --seconds "$((limit - 5))" \
            --format json ${validate_cases:+--cases $validate_cases --start 1740}
    done
    finish $operations
    verdict=$?
    keep_json $operations
    return "$verdict"
}

# Every tile variant: the shapes where kernels go wrong, with every kind of operands and epilogue; and every operation
# 100 times on each, on two contexts.
step_variants() {
    shapes=${variant_shapes:-edges,300x520x4096,130x260x1056,17x8192x8192,1x8192x8192,1000x1040x2048}
    shape() { # NAME OPTION ...
        name=$1
        shift
        begin "$name" "$build/qmm" validate --device cuda --format json --seconds "$((limit - 10))" --shapes "$shapes" \
            "$@"
    }
    names=everything
    shape everything --types u8,s8,s8 --zeros --bias --residual --activation gelu --plain
    if [ -z "$small" ]; then
        names="$names f16 s32 s4 groups transposed"
        shape f16
        shape s32 --types s8,s8,s32 --plain --transpose-b
        shape s4 --types s8,s4,bf16 --scales row-group:128 --residual
        shape groups --types s8,s8,f32 --scales group:32 --zeros
        shape transposed --types s8,u8,s16 --plain --transpose-a --activation silu
    fi
    begin determinism "$build/qmm" validate --device cuda --format json --seconds "$((limit - 10))" \
        --mode determinism ${small:+--operation quantize} --start 1740 --cases "${determinism_cases:-$((25 * more))}" \
        --repeat "${repeats:-100}"
    finish $names determinism
    verdict=$?
    keep_json $names determinism
    return "$verdict"
}

# Cases of all operations in turn, until the time is over, and every tile variant; padding shows reads past the end of a
# tensor. cuBLASLt stays away: it is not ours to check. Without a GPU the same commands run without the tool.
step_sanitizer() {
    [ -n "$simulated" ] || command -v compute-sanitizer >/dev/null || skip 'there is no compute-sanitizer'
    QMM_CUBLASLT_LIBRARY=none
    export QMM_CUBLASLT_LIBRARY
    sanitize() { # TOOL NAME COMMAND ...
        tool=$1 name=$1.$2
        shift 2
        padding=
        [ "$tool" != memcheck ] || padding='--padding 65536'
        [ -n "$simulated" ] || set -- compute-sanitizer --tool "$tool" $padding --error-exitcode 99 \
            --log-file "$work/$name.log" "$@"
        begin "$name" "$@"
    }
    tools='memcheck racecheck initcheck synccheck'
    [ -z "$small" ] || tools=memcheck
    for tool in $tools; do
        sanitize "$tool" cases "$build/qmm" validate --device cuda --format json --seconds "$((limit - 30))" \
            --mode fuzz --start 1740 --cases "${sanitizer_cases:-$((40 * more))}"
        sanitize "$tool" variants "$build/qmm" validate --device cuda --format json --seconds "$((limit - 30))" \
            --shapes "${variant_shapes:-130x260x288,3x132x1056}"
    done
    verdict=0
    for tool in $tools; do
        for kind in cases variants; do
            finish "$tool.$kind" || {
                verdict=1
                tail -n 60 "$work/$tool.$kind.log"
            }
            [ -n "$simulated" ] || tail -n 1 "$work/$tool.$kind.log"
        done
        passed=$(totals "$tool.cases" | sed -n 's/^passed: \([0-9]*\),.*/\1/p')
        [ "${passed:-0}" -ge "${sanitizer_least:-300}" ] || {
            verdict=1
            echo "$tool: ${passed:-0} cases, fewer than ${sanitizer_least:-300}"
        }
    done
    return "$verdict"
}

# The sections of the GPU preset, each in a process of its own. Half a minute stays for the case that is begun when the
# time is over.
run_bench() { # PRESET FILE
    with_clocks "$build/qmm" bench --device cuda --preset "$1" --seconds 0.02 --runs 3 \
        --time-limit "$((limit > 60 ? limit - 30 : limit / 2))" --verify --output "$out/$2"
}

# Without a GPU all three at once.
step_memory() { run_bench "${small:+gpu}${large:+memory}" memory.json; }

step_decode() {
    [ -z "$small" ] || skip 'on this device it went with memory'
    run_bench decode decode.json
}

step_gemm() {
    [ -z "$small" ] || skip 'on this device it went with memory'
    run_bench gemm gemm.json
}

# The operations that the most telling layer of all runs in decoding and in a prompt.
step_tune() {
    "$build/qmm" tune --device cuda --output "$out/tuning.txt" --seconds "${tune_seconds:-0.02}" \
        --shapes "${tune_shapes:-llama3-8b/o,llama3-70b/o}" --m 1,16,4096
}

step_peers() {
    [ -z "$simulated" ] || skip 'PyTorch needs a GPU'
    command -v python3 >/dev/null || skip 'there is no python3'
    verdict=77
    for results in gemm memory decode; do
        [ -s "$out/$results.json" ] || continue
        python3 "$tree/bench/peers.py" --from "$out/$results.json" --into "$out/$results.json" \
            --seconds "$(((limit - 20) / 3))"
        case $? in
        0) [ "$verdict" -eq 1 ] || verdict=0 ;;
        3) ;;
        *) verdict=1 ;;
        esac
    done
    return "$verdict"
}

# NVIDIA's driver has OpenCL, but the loader may be the toolkit's only, which is then told where the driver is.
step_opencl() {
    [ -z "$simulated" ] || skip 'it needs a GPU'
    if ! "$build/qmm" devices | grep -q '^opencl:0  *gpu'; then
        QMM_OPENCL_LIBRARY=$(find /usr/local/cuda/lib64/ /usr/local/cuda/targets -name libOpenCL.so.1 2>/dev/null |
            head -n 1)
        OCL_ICD_FILENAMES=libnvidia-opencl.so.1
        export QMM_OPENCL_LIBRARY OCL_ICD_FILENAMES
    fi
    "$build/qmm" devices | grep -q '^opencl:0  *gpu' || skip "$("$build/qmm" devices | grep '^opencl')"
    begin opencl "$build/qmm" validate --device opencl --seconds "$((limit / 2))" --format json
    finish opencl
    verdict=$?
    keep_json opencl
    with_clocks timeout "$((limit / 2 - 5))" "$build/qmm" bench --device opencl --preset opencl --seconds 0.02 \
        --runs 3 --time-limit "$((limit / 2 - 20))" --output "$out/opencl.json" || verdict=1
    return "$verdict"
}

# ---- running them --------------------------------------------------------------------------------------------------

tree=$(cd "$(dirname "$0")/.." && pwd) || exit 2
PATH=$PATH:/usr/local/cuda/bin
export PATH

if [ "${1:-}" = --step ]; then # this script again, as the process of one step
    step=$2
    case $step in
    build | devices | rows | check_device | check_large | validate | variants | sanitizer | memory | decode | gemm | \
        tune | peers | opencl) "step_$step" ;;
    *) usage ;;
    esac
    exit
fi

part=all
build=
simulated=
out=
while [ $# -gt 0 ]; do
    case $1 in
    --part | --build | --simulated)
        [ $# -gt 1 ] || usage
        case $1 in
        --part) part=$2 ;;
        --build) build=$2 ;;
        *) simulated=$2 ;;
        esac
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
case $part in
correct | sanitize | bench | opencl | all) ;;
*) usage ;;
esac
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

large=yes
small=
[ "$part" = all ] && more=1 || more=4 # as many cases
if [ -n "$simulated" ]; then
    QMM_CUDA_LIBRARY=$simulated
    large=
    small=yes
    row_cases=3 validate_cases=3 determinism_cases=1 repeats=2 sanitizer_cases=1 sanitizer_least=1
    variant_shapes=17x40x96
    tune_shapes=16x64x64 tune_seconds=0.001
    export QMM_CUDA_LIBRARY row_cases validate_cases determinism_cases repeats sanitizer_cases
    export sanitizer_least variant_shapes tune_shapes tune_seconds
fi
export tree out work build simulated large small more limit

begun=$(date +%s)
TOTAL=585 # of the ten minutes
failed=0

# step NAME PARTS ALONE TOGETHER: where --part is one of PARTS; seconds of that part alone, and of all
step() {
    name=$1
    case $part,$2 in
    all,*) limit=$4 ;;
    *,*"$part"*) limit=$3 ;;
    *) return ;;
    esac
    start=$(date +%s)
    left=$((TOTAL - (start - begun)))
    [ "$limit" -le "$left" ] || limit=$left
    printf '==== %s\n' "$name" >>"$out/log.txt"
    if [ -e "$work/hangs" ]; then
        code=126
    elif [ "$limit" -lt 30 ]; then
        code=125
    else
        timeout -k 5 "$limit" sh "$0" --step "$name" >"$work/step" 2>&1
        code=$?
        cat "$work/step" >>"$out/log.txt"
    fi
    case $code in
    0) result=passed ;;
    77) result="skipped: $(tail -n 1 "$work/step")" ;;
    124 | 137) result="FAILED: more than $limit seconds" ;;
    125) result='LEFT OUT: no time left' ;;
    126) result='LEFT OUT: a kernel row hangs' ;;
    *) result="FAILED: exit code $code, see log.txt" ;;
    esac
    case $result in FAILED* | LEFT*) failed=1 ;; esac
    printf '%-14s %-44s %5s s\n' "$name" "$result" "$(($(date +%s) - start))" | tee -a "$work/summary"
}

: >"$out/log.txt"
: >"$work/validate"
: >"$work/all_clocks"
#    name         in the parts                   alone all
step build        'correct sanitize bench opencl' 240 200
step devices      'correct sanitize bench opencl'  30  30
step rows         correct                          60  45
step check_device correct                          90  40
step check_large  correct                         120  60
step validate     correct                         120  60
step variants     correct                          90  40
step sanitizer    sanitize                        500  90
step memory       bench                            70  35
step decode       bench                           100  45
step gemm         bench                           220 110
step tune         bench                            40  30
step peers        bench                            80  35
step opencl       opencl                          180  60

{
    date -u '+%Y-%m-%d %H:%M UTC'
    sed -n '/^==== devices/,/^==== /p' "$out/log.txt" | sed '/^====/d'
    printf '\n%-14s %-44s %7s\n' step result seconds
    cat "$work/summary"
    [ "$failed" -eq 0 ] && result=passed || result=FAILED
    printf '%-14s %-44s %5s s\n' "$part" "$result" "$(($(date +%s) - begun))"
    [ ! -s "$work/all_clocks" ] || printf '\n%s\n' 'clocks and power: SM MHz, memory MHz, W, C, reasons (NVML)'
    cat "$work/all_clocks"
    set --
    for results in memory decode gemm; do
        [ ! -s "$out/$results.json" ] || set -- "$@" "$out/$results.json"
    done
    echo
    if [ $# -gt 0 ] && command -v python3 >/dev/null; then
        python3 "$tree/bench/goals.py" "$@" 2>&1
    elif [ $# -gt 0 ]; then
        echo 'goals: there is no python3 for bench/goals.py'
    fi
} >"$out/summary.txt"
echo
cat "$out/summary.txt"
exit "$failed"
