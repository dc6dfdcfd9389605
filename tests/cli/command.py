"""Runs the qmm command for the tests."""
import os
import re
import subprocess
import sys

QMM = sys.argv[1]


def environment(**more):
    """What a user's shell would give: the sanitizers that the interpreter was given are not for the command."""
    env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "QMM_DATA_DIR")}
    env["ASAN_OPTIONS"] = "allocator_may_return_null=1"
    env["QMM_CUDA_LIBRARY"] = "none"  # the same devices on every machine
    return {**env, **more}


def run(*arguments, env=None, **options):
    """The finished process; text on stdout and stderr. Half a minute is a hang."""
    done = subprocess.run([QMM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30, env=env or environment(), errors="replace", **options)
    done.stderr = re.sub("==[0-9]+==WARNING: AddressSanitizer failed to allocate.*\n", "", done.stderr)
    return done


def succeed(*arguments, **options):
    done = run(*arguments, **options)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}: {done.stderr}"
    assert done.stderr == "", f"{arguments}: {done.stderr!r} on standard error"
    return done.stdout


def refuse(code, *arguments, **options):
    """Runs what must fail with `code` and one line on standard error; gives the line."""
    done = run(*arguments, **options)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr}"
    assert done.stdout == "", f"{arguments}: {done.stdout!r} on standard output"
    assert done.stderr.startswith("qmm") and done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), \
        f"{arguments}: not one line: {done.stderr!r}"
    return done.stderr
