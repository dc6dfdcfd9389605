#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the CUDA kernels take of a multiprocessor, from the reports that ptxas wrote when they were compiled.

usage: check_resources.py COMPILER CUDA_FOLDER INCLUDE_FOLDER REPORT_FOLDER IMAGE ...

Prints a table, and fails on a spill, on a stack frame, on what ptxas says of wgmma it had to serialize (C7510 and its
like) or of a setmaxnreg it ignores (C7508), and where kernels.h, the .cu files and the reports name different kernels.
An IMAGE without a report was not compiled: no architecture of this build is one of its own. COMPILER is a C compiler: it
evaluates the launch bounds in the KERNEL lines and the sizes in kernels.h.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

# Of a multiprocessor, by compute capability: threads, blocks, bytes of shared memory, bytes of it taken by each block
# (CUDA programming guide, "Technical Specifications per Compute Capability"). All have 65,536 registers, given out in
# units of 256 a warp.
LIMITS = {"75": (1024, 16, 64 << 10, 0), "80": (2048, 32, 164 << 10, 1024), "86": (1536, 16, 100 << 10, 1024),
          "87": (1536, 16, 164 << 10, 1024), "89": (1536, 24, 100 << 10, 1024), "90": (2048, 32, 228 << 10, 1024),
          "100": (2048, 32, 228 << 10, 1024), "103": (2048, 32, 228 << 10, 1024), "110": (1536, 24, 228 << 10, 1024),
          "120": (1536, 24, 100 << 10, 1024), "121": (1536, 24, 100 << 10, 1024)}
REGISTERS, REGISTER_UNIT = 65536, 256

KERNEL_LINE = re.compile(r"^(?:CLUSTER_)?KERNEL\((\w+),\s*([^,]+),\s*([^,]+),", re.M)
ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)a?'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
WARNING = re.compile(r"\(C75\d\d\).*")


def launch_bounds(compiler, cuda, include, images):
    """Kernel: its image, threads, blocks a multiprocessor, dynamic shared bytes, all as the C compiler sees them."""
    lines = []
    for image in images:
        for kernel, threads, blocks in KERNEL_LINE.findall((cuda / f"{image}.cu").read_text()):
            lines.append(f'printf("%s bounds %s %d %d\\n", "{kernel}", "{image}", (int)({threads}), (int)({blocks}));')
    headers = "".join(f'#include "{path.name}"\n' for path in sorted(cuda.glob("*.h")))
    source = f"""#include <stdio.h>
{headers}int main(void) {{
#define LINE(image, kernel, shared_bytes) printf("%s shared %s %d\\n", #kernel, #image, (int)(shared_bytes));
QMMI_CUDA_KERNELS(LINE)
{chr(10).join(lines)}
return 0; }}
"""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "bounds")
        program.with_suffix(".c").write_text(source)
        subprocess.run([*compiler.split(), "-std=gnu11", f"-I{cuda}", f"-I{include}", "-o", program, f"{program}.c"], check=True)
        text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    bounds, shared = {}, {}
    for line in text.splitlines():
        kernel, what, image, *numbers = line.split()
        (bounds if what == "bounds" else shared)[kernel] = (image, *map(int, numbers))
    return bounds, shared


def read_report(text):
    """(kernel, architecture, registers, static shared, stack, spill bytes) for each that ptxas compiled."""
    kernel = architecture = frame = None
    for line in text.splitlines():
        if entry := ENTRY.search(line):
            kernel, architecture = entry.groups()
        elif found := FRAME.search(line):
            frame = [int(number) for number in found.groups()]
        elif kernel and (used := USED.search(line)):
            shared = SHARED.search(line)
            yield (kernel, architecture, int(used.group(1)), int(shared.group(1)) if shared else 0, frame[0],
                   frame[1] + frame[2])
            kernel = frame = None


def occupancy(architecture, registers, shared, threads):
    """Blocks a multiprocessor holds at once, and the share of its threads that is."""
    max_threads, max_blocks, max_shared, reserved = LIMITS[architecture]
    warps = (threads + 31) // 32
    of_warp = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    blocks = min(max_blocks, max_threads // (warps * 32), REGISTERS // of_warp // warps,
                 max_shared // (shared + reserved) if shared + reserved else max_blocks)
    return blocks, 100 * blocks * warps * 32 // max_threads


def main():
    compiler, cuda, include, reports = sys.argv[1], *map(pathlib.Path, sys.argv[2:5])
    images = sys.argv[5:]
    bounds, dynamic = launch_bounds(compiler, cuda, include, images)
    failures = [f"{kernel} is in {'kernels.h' if kernel in dynamic else 'a .cu file'} alone, or its image differs"
                for kernel in {**bounds, **dynamic}
                if bounds.get(kernel, (None,))[0] != dynamic.get(kernel, ("none",))[0]]
    print(f"{'kernel':36} {'sm':>4} {'registers':>9} {'static':>7} {'dynamic':>7} {'threads':>7} {'blocks':>6} "
          f"{'threads held':>12} {'stack':>5} {'spilled':>7}")
    seen, compiled = set(), [image for image in images if (reports / f"{image}.resources").exists()]
    for image in compiled:
        text = (reports / f"{image}.resources").read_text()
        failures += [f"{image}: {warning}" for warning in sorted(set(WARNING.findall(text)))]
        for kernel, architecture, registers, static, stack, spilled in sorted(
                read_report(text), key=lambda k: (k[0], int(k[1]))):
            seen.add(kernel)
            threads, wanted = bounds.get(kernel, (image, 1024, 1))[1:]
            shared = dynamic.get(kernel, (image, 0))[1]
            blocks, share = occupancy(architecture, registers, static + shared, threads)
            print(f"{kernel:36} {architecture:>4} {registers:>9} {static:>7} {shared:>7} {threads:>7} {blocks:>6} "
                  f"{share:>10} % {stack:>5} {spilled:>7}")
            if stack or spilled:
                failures.append(f"{kernel} for sm_{architecture}: {stack} bytes of stack, {spilled} bytes spilled")
    failures += [f"{kernel} is in no report" for kernel, (image, *_) in bounds.items()
                 if image in compiled and kernel not in seen]
    for failure in failures:
        print("FAILED:", failure)
    print(f"{len(seen)} kernels, {len(failures)} failures")
    sys.exit(1 if failures or not seen else 0)


if __name__ == "__main__":
    main()
