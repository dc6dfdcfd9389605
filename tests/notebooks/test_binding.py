# SPDX-License-Identifier: Apache-2.0
"""The Python binding against the header, the C compiler, and the formulas of the contract in numpy."""
import ctypes
import os
import re
import shlex
import subprocess
import tempfile
import unittest
import zlib
from pathlib import Path

import numpy as np

import qmm
from notebook import NotebookTest
from qmm import _abi

TREE = Path(os.environ.get("QMM_SOURCE_DIR", Path(__file__).resolve().parents[2]))
HEADER = TREE / "include" / "qmm" / "qmm.h"
F32 = np.float32


def header_text():
    """The header without comments and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", " ", HEADER.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"^#.*?(?<!\\)$", " ", text, flags=re.M | re.S)


def c_types():
    """The ctypes form of every C type that the header's functions use."""
    types = {"int": ctypes.c_int, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "size_t": ctypes.c_size_t,
             "uint8_t": ctypes.c_uint8, "double": ctypes.c_double, "void": None, "void *": ctypes.c_void_p,
             "char *": ctypes.c_char_p, "qmm_status": ctypes.c_int, "qmm_type": ctypes.c_int,
             "qmm_int8_class": ctypes.c_int, "qmm_device_kind": ctypes.c_int,
             "qmm_explain_function": _abi.EXPLAIN, "qmm_tune_function": _abi.TUNE, "qmm_tensor": _abi.qmm_tensor}
    for name in ("int32_t", "size_t", "double"):
        types[name + " *"] = ctypes.POINTER(types[name])
    types["float *"] = ctypes.POINTER(ctypes.c_float)
    for name in ("context", "buffer", "weights", "calibrator", "timer"):
        types[f"qmm_{name} *"] = _abi.Handle
        types[f"qmm_{name} **"] = ctypes.POINTER(_abi.Handle)
    for struct in _abi.STRUCTS:
        types[struct.__name__ + " *"] = ctypes.POINTER(struct)
    return types


def c_type(declaration, named):
    """`const qmm_tensor *x` as `qmm_tensor *`."""
    words = re.sub(r"\bconst\b", "", declaration).strip()
    if named:
        words = re.sub(r"\w+$", "", words)
    words = " ".join(words.replace("*", " * ").split())
    return words.replace("* *", "**")


class AgainstTheHeader(unittest.TestCase):
    def test_every_struct_is_laid_out_as_the_compiler_does(self):
        bodies = dict((name, body) for body, name in
                      re.findall(r"typedef struct qmm_\w+ \{(.*?)\} (qmm_\w+);", header_text(), flags=re.S))
        self.assertEqual(sorted(bodies), sorted(struct.__name__ for struct in _abi.STRUCTS))
        lines, expected = [], []
        for struct in _abi.STRUCTS:
            name = struct.__name__
            fields = [re.search(r"\(\*(\w+)\)|(\w+)(?:\[\d+\])?$", line.strip()) for line in bodies[name].split(";")
                      if line.strip()]
            self.assertEqual([match.group(1) or match.group(2) for match in fields], [f[0] for f in struct._fields_])
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            expected.append(f"{name} {ctypes.sizeof(struct)}")
            for field, _ in struct._fields_:
                lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
                             f'sizeof((({name} *)0)->{field}));')
                place = getattr(struct, field)
                expected.append(f"{name}.{field} {place.offset} {place.size}")
        self.assertEqual(self.output_of(lines), expected)

    def test_every_constant(self):
        text, lines, expected = header_text(), [], []
        for enum, prefix in _abi.ENUMS.items():
            for member in enum:
                lines.append(f'printf("{prefix}{member.name} %d\\n", (int){prefix}{member.name});')
                expected.append(f"{prefix}{member.name} {member.value}")
        constants = [name for body in re.findall(r"typedef enum qmm_\w+ \{(.*?)\}", text, flags=re.S)
                     for name in re.findall(r"(QMM_\w+) = \d+", body)]
        self.assertEqual(sorted(constants), sorted(line.split()[0] for line in expected))
        self.assertEqual(self.output_of(lines), expected)

    def test_initial_values_are_those_of_the_macros(self):
        text, lines, expected = HEADER.read_text(encoding="utf-8"), [], []
        sized = [struct for struct in _abi.STRUCTS if issubclass(struct, _abi.SizedStructure)]
        self.assertEqual(len(re.findall(r"^#define QMM_\w+_INIT\b", text, flags=re.M)), len(sized))
        for struct in sized:
            name = struct.__name__
            lines.append(f"{{ {name} value; memset(&value, 0, sizeof value); {name} init = {name.upper()}_INIT;")
            for field, kind in struct._fields_:
                lines.append(f"memcpy(&value.{field}, &init.{field}, sizeof value.{field});")
            lines.append('for (size_t i = 0; i < sizeof value; i++) printf("%02x", ((unsigned char *)&value)[i]);')
            lines.append('printf("\\n"); }')
            expected.append(bytes(struct()).hex())
        self.assertEqual(self.output_of(lines), expected)

    def test_every_function(self):
        types, found = c_types(), {}
        for result, name, parameters in re.findall(r"QMM_API ([\w ]+?\**) ?\b(qmm_\w+)\((.*?)\);", header_text(),
                                                   flags=re.S):
            parameters = [] if parameters == "void" else parameters.split(",")
            found[name] = (types[c_type(result, False)], [types[c_type(each, True)] for each in parameters])
        self.assertEqual(len(found), header_text().count("QMM_API "))
        self.assertEqual(sorted(found), sorted(_abi.FUNCTIONS))
        for name, declared in _abi.FUNCTIONS.items():
            self.assertEqual(declared, found[name], name)

    def output_of(self, statements):
        compiler = shlex.split(os.environ.get("CC", "cc"))
        with tempfile.TemporaryDirectory() as folder:
            source, program = Path(folder) / "layout.c", Path(folder) / "layout"
            source.write_text("#include <qmm/qmm.h>\n#include <stdio.h>\n#include <string.h>\nint main(void) {\n"
                              + "\n".join(statements) + "\nreturn 0;\n}\n", encoding="utf-8")
            subprocess.run(compiler + ["-std=c11", f"-I{HEADER.parent.parent}", "-o", program, source], check=True)
            return subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


class WithoutContext(unittest.TestCase):
    def test_version_is_the_headers(self):
        numbers = re.findall(r"#define QMM_VERSION_\w+ (\d+)", HEADER.read_text(encoding="utf-8"))
        self.assertEqual(qmm.version(), ".".join(numbers))
        project = (HEADER.parents[2] / "python" / "pyproject.toml").read_text(encoding="utf-8")
        self.assertIn(f'version = "{qmm.version()}"', project)

    def test_devices(self):
        devices = qmm.devices()
        self.assertEqual(devices[-1].name, "cpu")
        self.assertGreater(devices[-1].compute_units, 0)
        self.assertIn("cpu", [backend.name for backend in qmm.backends()])

    def test_type_range(self):
        self.assertEqual(qmm.type_range("s8"), (-128, 127))
        self.assertEqual(qmm.type_range("u8", 4), (0, 15))
        self.assertEqual(qmm.type_range(qmm.Type.S16, 9), (-256, 255))
        with self.assertRaises(qmm.InvalidArgument):
            qmm.type_range("s8", 9)
        with self.assertRaisesRegex(ValueError, "no such type: 's9'"):
            qmm.type_range("s9")

    def test_choose_params(self):
        self.assertEqual(qmm.choose_params(-1.0, 3.0), (F32(3 / 127), 0))
        self.assertEqual(qmm.choose_params(-1.0, 3.0, "u8", symmetric=False), (F32(4 / 255), 64))
        self.assertEqual(qmm.choose_params(-1.0, 3.0, "s8", 4), (F32(3 / 7), 0))
        with self.assertRaisesRegex(qmm.InvalidArgument, "2.0 .. 1.0"):
            qmm.choose_params(2.0, 1.0)

    def test_k_limit(self):
        self.assertEqual(qmm.k_limit("s8", "s8"), 131071)
        self.assertEqual(qmm.k_limit("u8", "s8"), 65793)

    def test_bf16(self):
        values = np.array([1.0, -2.5, 3.14159265, 1e-40, np.inf, -np.inf, 0.0, 1 + 2**-8, 1 + 3 * 2**-8], F32)
        back = qmm.bf16_to_f32(qmm.f32_to_bf16(values))
        np.testing.assert_allclose(back[:3], values[:3], rtol=2**-8)
        np.testing.assert_array_equal(back[4:], [np.inf, -np.inf, 0.0, 1.0, 1 + 2**-6])
        self.assertTrue(np.isnan(qmm.bf16_to_f32(qmm.f32_to_bf16(F32([np.nan])))[0]))

    def test_pack4(self):
        codes = np.array([[-8, 7, 3], [0, -1, 2]], np.int8)
        np.testing.assert_array_equal(qmm.pack4(codes), [[0x78, 0x03], [0xF0, 0x02]])
        np.testing.assert_array_equal(qmm.unpack4(qmm.pack4(codes), 3), codes)
        unsigned = np.arange(16, dtype=np.uint8).reshape(2, 8)
        np.testing.assert_array_equal(qmm.unpack4(qmm.pack4(unsigned), 8, signed=False), unsigned)


class AgainstNumpy(NotebookTest):
    def setUp(self):
        random = np.random.default_rng(3)
        self.x = random.normal(size=(6, 10)).astype(F32)
        self.a = random.integers(-128, 128, (5, 12)).astype(np.int8)
        self.b = random.integers(-128, 128, (12, 7)).astype(np.int8)
        self.random = random

    def quantized(self, scale, zero, qmin, qmax):
        return np.clip(np.rint(self.x / F32(scale)) + zero, qmin, qmax)

    def test_quantize_every_type(self):
        for type, zero in (("s8", -3), ("u8", 100), ("s4", 1), ("u4", 9), ("s16", 1000), ("u16", 30000)):
            got = self.ctx.quantize(self.x, type, 0.25, zero)
            self.assertEqual(got.dtype.name, {"s4": "int8", "u4": "uint8"}.get(
                type, type.replace("s", "int").replace("u", "uint")))
            self.assert_codes(got, self.quantized(0.25, zero, *qmm.type_range(type)))

    def test_quantize_every_granularity(self):
        shapes = {"row": (6, 1), "column": (1, 10), "row_group": (6, 2), "column_group": (2, 10)}
        for granularity, shape in shapes.items():
            scale = self.random.uniform(0.01, 0.1, shape).astype(F32)
            zero = self.random.integers(-5, 6, shape)
            group = {"row_group": 5, "column_group": 3}.get(granularity, 0)
            whole = [np.repeat(np.repeat(each, 6 // shape[0], 0), 10 // shape[1], 1) for each in (scale, zero)]
            quant = qmm.Quant(scale, zero, granularity, group)
            codes = self.ctx.quantize(self.x, quant=quant)
            self.assert_codes(codes, self.quantized(*whole, -128, 127))
            values = (codes - whole[1]).astype(F32) * whole[0]
            np.testing.assert_array_equal(self.ctx.dequantize(codes, quant=quant), values)

    def test_scales_in_other_types(self):
        half = np.full((1, 1), 0.3, np.float16)
        self.assert_codes(self.ctx.quantize(self.x, scale=half), self.quantized(half, 0, -128, 127))
        brain = qmm.f32_to_bf16(F32([[0.3]]))
        quant = qmm.Quant(brain, np.int8([[4]]), scale_type="bf16")
        self.assert_codes(self.ctx.quantize(self.x, quant=quant),
                          self.quantized(qmm.bf16_to_f32(brain), 4, -128, 127))

    def test_bits_narrow_the_range(self):
        self.assert_codes(self.ctx.quantize(self.x, "u8", 0.1, 3, bits=4), self.quantized(0.1, 3, 0, 15))

    def test_special_values(self):
        self.assert_codes(self.ctx.quantize([np.nan, np.inf, -np.inf, 0.5, 1.5], zero=2), [2, 127, -128, 2, 4])

    def test_real_types(self):
        half = self.x.astype(np.float16)
        brain = qmm.f32_to_bf16(self.x)
        self.assert_codes(self.ctx.quantize(half, scale=0.1), np.rint(half.astype(F32) / F32(0.1)))
        self.assert_codes(self.ctx.quantize(brain, scale=0.1, x_type="bf16"),
                          np.rint(qmm.bf16_to_f32(brain) / F32(0.1)))
        codes = self.ctx.quantize(self.x, scale=0.1)
        values = codes.astype(F32) * F32(0.1)
        np.testing.assert_array_equal(self.ctx.dequantize(codes, 0.1, type="f16"), values.astype(np.float16))
        np.testing.assert_array_equal(self.ctx.dequantize(codes, 0.1, type="bf16"), qmm.f32_to_bf16(values))

    def test_shapes(self):
        for shape in ((), (3,), (3, 5), (2, 3, 5), (2, 2, 3, 5), (0, 4), (2, 0)):
            x = self.random.normal(size=shape).astype(F32)
            for type in ("s8", "s4", "u4"):
                codes = self.ctx.quantize(x, type, 0.5)
                self.assertEqual(codes.shape, shape)
                self.assert_codes(codes, np.clip(np.rint(x / F32(0.5)), *qmm.type_range(type)))
                back = self.ctx.dequantize(codes, 0.5, q_type=type)
                np.testing.assert_array_equal(back, codes.astype(F32) * F32(0.5))

    def test_arrays_of_any_strides(self):
        self.assert_codes(self.ctx.quantize(self.x.T[::2], scale=0.1),
                          self.ctx.quantize(self.x, scale=0.1).T[::2])

    def test_quantize_dynamic(self):
        codes, quant = self.ctx.quantize_dynamic(self.x)
        scale = np.abs(self.x).max(1, keepdims=True) / F32(127)
        np.testing.assert_array_equal(quant.scale, scale)
        self.assertEqual((quant.zero, quant.granularity), (0, "row"))
        self.assert_codes(codes, self.quantized(scale, 0, -128, 127))
        codes, quant = self.ctx.quantize_dynamic(self.x, "u8", "column", symmetric=False)
        low, high = np.minimum(self.x.min(0), 0), np.maximum(self.x.max(0), 0)
        scale = (high - low) / F32(255)
        np.testing.assert_array_equal(quant.scale, scale[None])
        self.assert_codes(quant.zero, np.rint(-low / scale)[None])
        self.assert_codes(codes, self.quantized(scale, quant.zero, 0, 255))
        for granularity, group, shape in (("row_group", 5, (6, 2)), ("column_group", 2, (3, 10)),
                                         ("tensor", 0, (1, 1))):
            codes, quant = self.ctx.quantize_dynamic(self.x, "s8", granularity, group_size=group)
            self.assertEqual(quant.scale.shape, shape)
            scale = np.repeat(np.repeat(quant.scale, 6 // shape[0], 0), 10 // shape[1], 1)
            self.assert_codes(codes, self.quantized(scale, 0, -128, 127))

    def test_requantize(self):
        accumulators = self.random.integers(-10000, 10000, (4, 9)).astype(np.int32)
        got = self.ctx.requantize(accumulators, 0.01, qmm.Quant(0.7, 3))
        self.assert_codes(got, np.clip(np.rint(accumulators.astype(F32) * F32(0.01) / F32(0.7)) + 3, -128, 127))
        self.assert_codes(self.ctx.requantize(self.a, 2.0, 4.0, "s4"), np.clip(np.rint(self.a / 2), -8, 7))

    def test_find_range_and_calibrator(self):
        self.assertEqual(self.ctx.find_range(self.x, symmetric=False), (self.x.min(), self.x.max()))
        top = float(np.abs(self.x).max())
        for method in ("minmax", "percentile", "mse", "entropy"):
            low, high = self.ctx.find_range(self.x, method)
            self.assertEqual(low, -high)
            self.assertTrue(0 < high <= top * 1.001, (method, high, top))
        calibrator = self.ctx.calibrator(symmetric=False)
        calibrator.observe(self.x[:3])
        calibrator.observe(self.x[3:].astype(np.float16))
        low, high = calibrator.range()
        self.assertAlmostEqual(low, self.x.min(), delta=2e-3)
        self.assertAlmostEqual(high, self.x.max(), delta=2e-3)
        calibrator.free()
        with self.assertRaisesRegex(ValueError, "calibrator is freed"):
            calibrator.range()
        average = qmm.Calibrator(self.ctx, moving_average=0.25)
        average.observe(F32([4.0]))
        average.observe(F32([8.0]))
        self.assertEqual(average.range(), (-5.0, 5.0))

    def test_measure_error(self):
        got = self.x + F32(0.5)
        got[0, 0] = np.nan
        error = self.ctx.measure_error(self.x, got)
        keep = ~np.isnan(got)
        x, y = self.x[keep].astype(np.float64), got[keep].astype(np.float64)
        self.assertEqual((error.count, error.skipped), (59, 1))
        self.assertAlmostEqual(error.mse, np.mean((y - x) ** 2), delta=1e-6)
        self.assertAlmostEqual(error.max_error, 0.5, delta=1e-6)
        self.assertAlmostEqual(error.sqnr_db, 10 * np.log10(np.sum(x * x) / np.sum((y - x) ** 2)), delta=1e-4)
        self.assertAlmostEqual(error.cosine, x @ y / np.sqrt((x @ x) * (y @ y)), delta=1e-6)

    def test_matmul_accumulators(self):
        exact = self.a.astype(np.int64) @ self.b
        self.assert_codes(self.ctx.matmul(self.a, self.b, type="s32"), exact)
        self.assert_codes(self.ctx.matmul(self.a.T, self.b, type="s32", transpose_a=True), exact)
        self.assert_codes(self.ctx.matmul(self.a, self.b.T, type="s32", transpose_b=True), exact)
        self.assert_codes(self.ctx.matmul(self.a[0], self.b, type="s32"), exact[0])
        za, zb = self.random.integers(-9, 9, (5, 1)), self.random.integers(-9, 9, (1, 7))
        got = self.ctx.matmul(self.a, self.b, type="s32", quant_a=qmm.Quant(1.0, za, "row"),
                              quant_b=qmm.Quant(1.0, zb, "column"))
        self.assert_codes(got, (self.a.astype(np.int64) - za) @ (self.b.astype(np.int64) - zb))

    def test_matmul_epilogue(self):
        sa = self.random.uniform(0.001, 0.01, (5, 1)).astype(F32)
        sb = self.random.uniform(0.001, 0.01, (1, 7)).astype(F32)
        bias = self.random.normal(size=7).astype(F32)
        residual = self.random.normal(size=(5, 7)).astype(np.float16)
        y = (self.a.astype(np.int64) @ self.b).astype(F32) * sb * sa + bias + residual.astype(F32)
        y = np.maximum(y, F32(0))
        options = dict(quant_a=qmm.Quant(sa, granularity="row"), quant_b=qmm.Quant(sb, granularity="column"), bias=bias,
                       residual=residual, activation="relu")
        np.testing.assert_array_equal(self.ctx.matmul(self.a, self.b, **options), y)
        np.testing.assert_array_equal(self.ctx.matmul(self.a, self.b, type="f16", **options), y.astype(np.float16))
        np.testing.assert_array_equal(self.ctx.matmul(self.a, self.b, type="bf16", **options), qmm.f32_to_bf16(y))
        for type in ("s8", "u8", "s16", "u16"):
            self.assert_codes(self.ctx.matmul(self.a, self.b, type=type, quant_c=qmm.Quant(0.01, 5), **options),
                              np.clip(np.rint(y / F32(0.01)) + 5, *qmm.type_range(type)))
        brain = dict(options, residual=qmm.f32_to_bf16(residual), residual_type="bf16", activation="none")
        linear = (self.a.astype(np.int64) @ self.b).astype(F32) * sb * sa + bias
        np.testing.assert_array_equal(self.ctx.matmul(self.a, self.b, **brain),
                                      linear + qmm.bf16_to_f32(qmm.f32_to_bf16(residual)))
        for activation in ("gelu", "gelu_tanh", "silu"):
            got = self.ctx.matmul(self.a, self.b, quant_a=0.01, quant_b=0.01, activation=activation)
            self.assertTrue(np.all(got > -0.3))
        with_s32_bias = self.ctx.matmul(self.a, self.b, type="s32", bias=np.arange(7, dtype=np.int32))
        self.assert_codes(with_s32_bias, self.a.astype(np.int64) @ self.b + np.arange(7))

    def test_matmul_batches(self):
        a = self.random.integers(-128, 128, (3, 5, 12)).astype(np.int8)
        b = self.random.integers(0, 256, (3, 12, 7)).astype(np.uint8)
        exact = a.astype(np.int64) @ b
        self.assert_codes(self.ctx.matmul(a, b, type="s32"), exact)
        self.assert_codes(self.ctx.matmul(a, b[0], type="s32"), a.astype(np.int64) @ b[0])
        self.assert_codes(self.ctx.matmul(a[0], b, type="s32"), a[0].astype(np.int64) @ b)
        self.assert_codes(self.ctx.matmul(a, b.transpose(0, 2, 1), transpose_b=True, type="s32"), exact)

    def test_matmul_4_bit_weights_in_groups(self):
        b = self.random.integers(-8, 8, (12, 7)).astype(np.int8)
        scale = self.random.uniform(0.01, 0.1, (3, 7)).astype(F32)
        y = np.zeros((5, 7), F32)
        for group in range(3):
            k = slice(4 * group, 4 * group + 4)
            y = y + (self.a[:, k].astype(np.int64) @ b[k]).astype(F32) * scale[group]
        quant = qmm.Quant(scale, 0, "column_group", 4)
        np.testing.assert_array_equal(self.ctx.matmul(self.a, b, quant_b=quant, b_type="s4"), y)
        packed = self.ctx.pack_weights(b, quant, type="s4")
        np.testing.assert_array_equal(self.ctx.matmul(self.a, packed), y)

    def test_pack_weights(self):
        exact = self.a.astype(np.int64) @ self.b
        packed = self.ctx.pack_weights(self.b)
        self.assertEqual(packed.shape, (12, 7))
        self.assertGreaterEqual(packed.bytes, self.b.nbytes)
        self.assert_codes(self.ctx.matmul(self.a, packed, type="s32"), exact)
        turned = self.ctx.pack_weights(self.b.T, transpose=True)
        self.assertEqual(turned.shape, (12, 7))
        self.assert_codes(self.ctx.matmul(self.a, turned, type="s32"), exact)
        storage = self.ctx.buffer(packed.bytes + 256)
        placed = self.ctx.pack_weights(self.b, storage=storage, storage_offset=256)
        self.assert_codes(self.ctx.matmul(self.a, placed, type="s32"), exact)
        packed.free()
        with self.assertRaisesRegex(ValueError, "weights is freed"):
            self.ctx.matmul(self.a, packed, type="s32")

    def test_workspace(self):
        size = self.ctx.matmul_workspace(self.a, self.b, type="f16")
        workspace = self.ctx.buffer(size)
        np.testing.assert_array_equal(self.ctx.matmul(self.a, self.b, type="f32", workspace=workspace),
                                      (self.a.astype(np.int64) @ self.b).astype(F32))
        self.ctx.reserve_workspace(1 << 16)

    def test_verify_matmul(self):
        for type in ("s32", "f32", "bf16"):
            options = dict(quant_a=0.5, quant_b=0.25, type=type)
            c = self.ctx.matmul(self.a, self.b, **options)
            self.assertTrue(self.ctx.verify_matmul(self.a, self.b, c, rounds=2, seed=9, **options).passed)
            c[2, 3] += 1
            wrong = self.ctx.verify_matmul(self.a, self.b, c, **options)
            self.assertEqual((wrong.passed, wrong.wrong_rows, wrong.row), (False, 1, 2))
            self.assertEqual(wrong.col, -1 if type == "s32" else 3)

    def test_compare(self):
        other = self.x.copy()
        self.assertEqual(self.ctx.compare(self.x, other)[:2], (60, 0))
        other[1, 2], other[4, 5] = 7.0, 8.0
        result = self.ctx.compare(self.x, other)
        self.assertEqual((result.mismatches, result.row, result.col, result.got), (2, 1, 2, 7.0))
        self.assertEqual(result.expected, self.x[1, 2])

    def test_buffers(self):
        buffer = self.ctx.buffer(16)
        buffer.fill(7)
        buffer.upload(np.arange(4, dtype=np.uint8), offset=3)
        self.assert_codes(buffer.download(), [7, 7, 7, 0, 1, 2, 3] + [7] * 9)
        other = self.ctx.buffer(4)
        other.copy_from(buffer, 4, source_offset=3)
        self.assert_codes(other.download(), [0, 1, 2, 3])
        self.assertEqual(len(other), 4)
        with self.assertRaisesRegex(qmm.InvalidArgument, "qmm_buffer_upload"):
            other.upload(np.zeros(5, np.uint8))
        if self.ctx.device.name == "cpu":
            memory = np.arange(8, dtype=np.uint8)
            wrapped = qmm.Buffer(self.ctx, 8, native=memory.ctypes.data)
            self.assertEqual(wrapped.native, memory.ctypes.data)
            wrapped.fill(9, bytes=2, offset=1)
            self.assert_codes(memory, [0, 9, 9, 3, 4, 5, 6, 7])

    def test_every_kernel_row_forced(self):
        rows = self.ctx.kernels()
        self.assertTrue(rows)
        self.ctx.prepare()
        exact = self.a.astype(np.int64) @ self.b
        ran = 0
        try:
            for row in rows:
                self.ctx.force_kernel(row)
                try:
                    self.assert_codes(self.ctx.matmul(self.a, self.b, type="s32"), exact)
                    self.assert_codes(self.ctx.quantize(self.x, scale=0.1), np.rint(self.x / F32(0.1)))
                    ran += 1
                except qmm.Unsupported as refusal:
                    self.assertIn(row, str(refusal))
                self.ctx.force_kernel(None)
        finally:
            self.ctx.force_kernel(None)
        self.assertGreater(ran, 0)
        with self.assertRaisesRegex(qmm.InvalidArgument, "no:such:row"):
            self.ctx.force_kernel("no:such:row")

    def test_explain(self):
        rows = self.ctx.explain(self.a, self.b, type="s32")
        self.assertEqual([name for name, _ in rows], [name for name in self.ctx.kernels() if ":matmul:" in name])
        self.assertIn(None, [reason for _, reason in rows])

    def test_plan(self):
        plan = self.ctx.plan(self.a, self.b, type="s32")
        first = next(name for name, reason in self.ctx.explain(self.a, self.b, type="s32") if reason is None)
        self.assertEqual((plan.kernel, plan.variant, plan.tuned), (first, "", False))
        self.assertEqual(plan.workspace_bytes, self.ctx.matmul_workspace(self.a, self.b, type="s32"))
        for kernel in self.ctx.kernels():
            for variant in self.ctx.variants(kernel):
                self.ctx.force_kernel(f"{kernel}/{variant}")
        self.ctx.force_kernel(None)

    def test_timer(self):
        timer = self.ctx.timer()
        self.assertIn(timer.clock, ("device", "host"))
        with self.assertRaisesRegex(qmm.InvalidArgument, "was not started"):
            timer.stop()
        timer.start()
        self.ctx.matmul(self.a, self.b)
        timer.stop()
        self.assertGreater(timer.seconds(), 0)
        timer.free()

    def test_tuning(self):
        with tempfile.TemporaryDirectory() as folder, qmm.Context("cpu", tuning_file="") as ctx:
            trials = ctx.tune_matmul(self.a, self.b, type="s32", seconds=1e-6, flush_bytes=4096)
            self.assertEqual([trial.kernel for trial in trials if trial.variant == ""],
                             [name for name in ctx.kernels() if ":matmul:" in name])
            self.assertTrue(all((trial.seconds > 0) == (trial.reason is None) for trial in trials))
            self.assertLessEqual(ctx.tuning_count, 1)
            self.assertEqual(ctx.plan(self.a, self.b, type="s32").tuned, ctx.tuning_count == 1)
            path = Path(folder) / "tuned"
            ctx.save_tuning(path)
            with qmm.Context("cpu", tuning_file=path) as other:
                self.assertEqual(other.tuning_count, ctx.tuning_count)
                with self.assertRaisesRegex(qmm.InvalidArgument, "cannot be read"):
                    other.load_tuning(Path(folder) / "none")
            # Whichever row was the fastest above: with a choice of the last one.
            slowest = [name for name in ctx.kernels() if ":matmul:" in name][-1]
            self.choose_in_file(path, slowest)
            with qmm.Context("cpu", tuning_file="") as other:
                other.load_tuning(path)
                self.assertEqual(other.tuning_count, 1)
                plan = other.plan(self.a, self.b, type="s32")
                self.assertEqual((plan.kernel, plan.tuned), (slowest, True))
                other.save_tuning(Path(folder) / "again")
                self.assertEqual((Path(folder) / "again").read_bytes(), path.read_bytes())

    def choose_in_file(self, path, kernel):
        """Leaves one choice in a tuning file: this kernel, for the matmul of a and b to s32."""
        (m, k), n = self.a.shape, self.b.shape[1]
        lines = [line for line in path.read_text().splitlines() if not line.startswith(("matmul ", "end "))]
        lines.append(f"matmul n={n} k={k} batch=1 group=0 a=s8 b=s8 c=s32 transposed=00 packed=0 m={m} "
                     f"kernel={kernel} variant=-")
        text = "\n".join(lines) + "\n"
        path.write_text(text + f"end 1 {zlib.crc32(text.encode()):08x}\n")


class Errors(NotebookTest):
    def test_the_contexts_text(self):
        with self.assertRaisesRegex(qmm.InvalidArgument, "^qmm_matmul: K is 3 in a but 4 in b") as caught:
            self.ctx.matmul(np.zeros((2, 3), np.int8), np.zeros((4, 2), np.int8))
        self.assertEqual(caught.exception.status, qmm.Status.INVALID_ARGUMENT)
        self.assertEqual(self.ctx.error, str(caught.exception))
        self.assertEqual(self.ctx.error_status, qmm.Status.INVALID_ARGUMENT)

    def test_bad_parameters(self):
        for bad in (0.0, -1.0, np.nan, np.inf):
            with self.assertRaisesRegex(qmm.InvalidArgument, "scale"):
                self.ctx.quantize(np.float32([1.0]), scale=bad)
        with self.assertRaisesRegex(qmm.InvalidArgument, "zero"):
            self.ctx.quantize(np.float32([1.0]), zero=200)
        with self.assertRaisesRegex(qmm.InvalidArgument, "group"):
            self.ctx.quantize_dynamic(np.zeros((2, 5), np.float32), granularity="row_group", group_size=2)
        with self.assertRaises(qmm.InvalidArgument):
            self.ctx.quantize_dynamic(np.zeros((2, 5), np.float32), granularity="row_group", group_size=-1)

    def test_arrays_that_are_not_of_the_type(self):
        with self.assertRaisesRegex(TypeError, "no qmm type for int64"):
            self.ctx.dequantize(np.array([1, 2]))
        with self.assertRaisesRegex(TypeError, "float32 values are no s8"):
            self.ctx.dequantize(np.float32([1.5]), q_type="s8")
        with self.assertRaisesRegex(ValueError, "leave the range of s4"):
            self.ctx.dequantize(np.int8([8]), q_type="s4")
        with self.assertRaisesRegex(ValueError, "leave the range of u8"):
            self.ctx.dequantize([256], q_type="u8")
        with self.assertRaisesRegex(ValueError, "no such granularity: 'diagonal'"):
            self.ctx.quantize(np.float32([1.0]), granularity="diagonal")
        self.assert_codes(self.ctx.dequantize([1, -2], q_type="s8"), [1, -2])

    def test_no_device(self):
        with self.assertRaisesRegex(qmm.NoDevice, "abacus"):
            qmm.Context("abacus:0")
        with self.assertRaises(qmm.InvalidArgument):
            qmm.Context("")

    def test_a_closed_context(self):
        with qmm.Context("cpu") as ctx:
            buffer, weights = ctx.buffer(8), ctx.pack_weights(np.zeros((4, 4), np.int8))
        with self.assertRaisesRegex(ValueError, "context is closed"):
            ctx.synchronize()
        with self.assertRaisesRegex(ValueError, "its context closed"):
            buffer.download()
        weights.free()
        ctx.close()

    def test_options(self):
        lines = []
        with tempfile.TemporaryDirectory() as folder:
            with qmm.Context("cpu", log=lambda level, line: lines.append((level, line)), log_level="debug",
                             cache_directory=folder) as ctx:
                ctx.prepare()
                self.assertEqual(ctx.device.name, "cpu")
        self.assertTrue(all(isinstance(level, qmm.LogLevel) and "\n" not in line for level, line in lines))

    def test_out_of_memory_is_a_memory_error(self):
        with self.assertRaises(MemoryError) as caught:
            self.ctx.buffer(1 << 62)
        self.assertIsInstance(caught.exception, qmm.OutOfMemory)

    def test_library_by_path(self):
        self.assertIs(qmm.load(), qmm.load(os.environ["QMM_LIBRARY"]))
        with self.assertRaises(OSError):
            qmm.load("no/such/libqmm.so")


if __name__ == "__main__":
    unittest.main()
