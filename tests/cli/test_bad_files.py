#!/usr/bin/env python3
"""Malformed, truncated and huge .npy files: qmm quantize answers with a line and exit code 2, soon, and writes nothing.
So does qmm validate --weights with .safetensors files; cli.npy and cli.safetensors have more of both.

usage: test_bad_files.py QMM
"""
import pathlib
import tempfile
import time

from command import refuse, succeed

GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"
SECONDS_ALLOWED = 1.0  # on average: a single run may wait for the machine


def npy(header, data=b"", version=1, length=None):
    header = header.encode("latin-1") if isinstance(header, str) else header
    length = len(header) if length is None else length
    return b"\x93NUMPY" + bytes((version, 0)) + length.to_bytes(2 if version == 1 else 4, "little") + header + data


def with_shape(shape, data=b""):
    return npy(GOOD.replace("(2, 3)", shape), data)


SEEDS = {
    "v1": npy(GOOD, bytes(24)),
    "v2": npy("{'descr':'<f2','fortran_order':False,'shape':(3,)}", bytes(6), version=2),
    "v3 scalar": npy("{'descr':'<f4','fortran_order':False,'shape':()}", bytes(4), version=3),
}

BAD = {
    "empty": b"",
    "text": b"1.0 2.0 3.0\n4.0 5.0 6.0\n",
    "zip": b"PK\x03\x04" + bytes(100),
    "magic": b"\x92" + npy(GOOD, bytes(24))[1:],
    "version 0": npy(GOOD, bytes(24), version=0)[:6] + bytes(2) + npy(GOOD, bytes(24))[8:],
    "version 4": npy(GOOD, bytes(24), version=4),
    "version 1.1": npy(GOOD, bytes(24))[:7] + b"\x01" + npy(GOOD, bytes(24))[8:],
    "header of 4 GiB": npy(GOOD, bytes(24), version=2, length=2**32 - 1),
    "header above the limit": npy(" " * (2**20 + 1), version=2),
    "header of blanks": npy(" " * 2**20, version=2),
    "header of brackets": npy("{" * 60000),
    "header past the end": npy(GOOD, bytes(24), length=1000),
    "header one too short": npy(GOOD, bytes(24), length=len(GOOD) - 4),
    "one byte too many": npy(GOOD, bytes(25)),
    "product 2^64": with_shape("(4294967296, 4294967296)"),
    "product 2^64 and 0": with_shape("(0, 4294967296, 4294967296)"),
    "product 2^64 plus 6": with_shape("(3, 6148914691236517207)", bytes(20)),
    "dimension 2^63": with_shape("(9223372036854775808,)"),
    "dimension 2^63 - 1": with_shape("(9223372036854775807,)"),
    "dimension of 1000 digits": with_shape(f"({'9' * 1000},)"),
    "petabytes": with_shape("(1099511627776, 1024)", bytes(24)),
    "negative": with_shape("(-2, -3)", bytes(24)),
    "minus zero": with_shape("(-0,)"),
    "float dimension": with_shape("(6.0,)", bytes(24)),
    "hexadecimal": with_shape("(0x6,)", bytes(24)),
    "name": with_shape("(six,)", bytes(24)),
    "not a tuple": with_shape("6", bytes(24)),
    "number in brackets": with_shape("(6)", bytes(24)),
    "four dimensions": with_shape("(1, 1, 2, 3)", bytes(24)),
    "nested": with_shape("((2, 3),)", bytes(24)),
    "duplicate shape": npy(GOOD.replace("}", "'shape': (2, 3)}"), bytes(24)),
    "duplicate descr": npy(GOOD.replace("}", "'descr': '<f4'}"), bytes(24)),
    "unknown key": npy(GOOD.replace("}", "'order': 'C'}"), bytes(24)),
    "missing key": npy("{'descr': '<f4', 'shape': (2, 3)}", bytes(24)),
    "not a dictionary": npy("[('descr', '<f4')]", bytes(24)),
    "code": npy("__import__('os').system('true')", bytes(24)),
    "NUL in the header": npy(GOOD.replace("descr", "de\0cr"), bytes(24)),
    "newline in a string": npy(GOOD.replace("<f4", "<f4\n\n"), bytes(24)),
    "escape sequence": npy(GOOD.replace("<f4", "\x1b[31m"), bytes(24)),
    "latin-1": npy(GOOD.replace("<f4", "\xe9\xff"), bytes(24)),
    "double": npy(GOOD.replace("<f4", "<f8"), bytes(48)),
    "big-endian": npy(GOOD.replace("<f4", ">f4"), bytes(24)),
    "complex": npy(GOOD.replace("<f4", "<c8"), bytes(48)),
    "object": npy(GOOD.replace("<f4", "|O"), bytes(24)),
    "record": npy(GOOD.replace("'<f4'", "[('a', '<f4')]"), bytes(24)),
    "Fortran order": npy(GOOD.replace("False", "True"), bytes(24)),
    "order 0": npy(GOOD.replace("False", "0"), bytes(24)),
    "codes": npy(GOOD.replace("<f4", "|i1"), bytes(6)),
}


def cases():
    for name, seed in SEEDS.items():
        for length in range(len(seed)):
            yield f"{name} cut to {length} bytes", seed[:length]
    yield from BAD.items()


def check_huge(folder):
    """A sparse file whose shape fits its size of 8 TiB: refused for lack of memory, without reading it."""
    header = npy(GOOD.replace("(2, 3)", f"({2**41},)"))
    with open(folder / "huge.npy", "wb") as file:
        file.write(header)
        try:
            file.truncate(len(header) + 2**43)
        except OSError as error:
            return print(f"skipped: a sparse file of 8 TiB: {error}")
    if pathlib.Path("/proc/sys/vm/overcommit_memory").read_text().strip() != "1":  # 1 promises any memory
        assert "no memory for its" in refuse(2, "quantize", folder / "huge.npy", folder / "q.npy")


def safetensors(header, data=b"", length=None):
    header = header.encode() if isinstance(header, str) else header
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


MATRIX = '{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
BAD_SAFETENSORS = {
    "empty": b"",
    "npy": npy(GOOD, bytes(24)),
    "header of 2^64 - 1": safetensors(MATRIX, bytes(24), 2**64 - 1),
    "header above the limit": safetensors(MATRIX, bytes(24), 100_000_001),
    "header past the end": safetensors(MATRIX, bytes(24), 1000),
    "header of blanks": safetensors(" " * 10**6),
    "one byte too many": safetensors(MATRIX, bytes(25)),
    "product 2^64": safetensors(MATRIX.replace("[2,3]", "[4294967296,4294967296]"), bytes(24)),
    "negative": safetensors(MATRIX.replace("[2,3]", "[-2,-3]"), bytes(24)),
    "another size": safetensors(MATRIX.replace("[2,3]", "[2,4]"), bytes(24)),
    "duplicate": safetensors(MATRIX[:-1] + "," + MATRIX[1:], bytes(24)),
    "overlap": safetensors(MATRIX[:-1] + "," + MATRIX[1:].replace('"w"', '"v"'), bytes(24)),
    "gap": safetensors(MATRIX.replace("[0,24]", "[4,28]"), bytes(28)),
    "deep": safetensors('{"a":' * 10**6),
    "deep arrays": safetensors('{"a":{"shape":' + "[" * 10**6),
    "long array": safetensors('{"a":{"shape":[' + "1," * 10**6),
    "name with a NUL": safetensors(MATRIX.replace("w", "\\u0000"), bytes(24)),
    "name that is no UTF-8": safetensors(MATRIX.encode().replace(b"w", b"\xff"), bytes(24)),
    "name of control characters": safetensors(MATRIX.replace("w", "\\u001b[31m").replace("F32", "X"), bytes(24)),
    "name of 100,000 characters": safetensors(MATRIX.replace("w", "w" * 10**5).replace("F32", "X"), bytes(24)),
    "no matrix": safetensors("{}"),
}


def check_safetensors(folder):
    good, path = safetensors(MATRIX, bytes(24)), folder / "bad.safetensors"
    cuts = {f"cut to {length} bytes": good[:length] for length in range(0, len(good), 7)}
    for name, content in {**cuts, **BAD_SAFETENSORS}.items():
        path.write_bytes(content)
        line = refuse(2, "validate", "--weights", path)
        assert line.startswith(f"qmm validate: --weights {path}: "), (name, line)
        assert line[:-1].isprintable() and len(line) < 300 + len(str(folder)), (name, line)
    return len(cuts) + len(BAD_SAFETENSORS)


def main():
    count, started = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, seed in SEEDS.items():
            (folder / "good.npy").write_bytes(seed)
            succeed("quantize", folder / "good.npy", folder / "out.npy")
        for path in folder.glob("out*"):
            path.unlink()
        for name, content in cases():
            (folder / "bad.npy").write_bytes(content)
            line = refuse(2, "quantize", folder / "bad.npy", folder / "q.npy")
            assert line.startswith(f"qmm quantize: {folder}/bad.npy: "), (name, line)
            assert line[:-1].isprintable() and len(line) < 300 + len(str(folder)), (name, line)
            count += 1
        count += check_safetensors(folder)
        check_huge(folder)
        assert sorted(path.name for path in folder.iterdir() if path.name[0] == "q") == []
    seconds = (time.monotonic() - started) / count
    assert seconds < SECONDS_ALLOWED, f"{seconds:.2f} s a file"
    print(f"{count} bad files, {seconds * 1e3:.1f} ms each")


if __name__ == "__main__":
    main()
