# SPDX-License-Identifier: Apache-2.0
"""Contexts, buffers, packed weights and calibrators; numpy arrays in and out.

An array is a matrix, or with more dimensions a batch of them; a vector is a matrix of one row. Results have the shape
of their input. Every operation uploads its arrays, runs on the context's device, and downloads the result.
"""
import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import _abi
from ._abi import Activation, Granularity, LogLevel, RangeMethod, Type
from ._arrays import DTYPES, FOUR_BITS, as_array, pack4, type_of, unpack4
from ._device import device_info
from ._errors import check


@dataclass
class Quant:
    """The affine map real = scale * (code - zero), and which elements share a scale and a zero point.

    scale, zero: numbers (per tensor, kept on the host), or arrays of the granularity's shape (kept on the device):
    rows x 1, 1 x cols, rows x (cols / group) or (rows / group) x cols, with the tensor's batch in front if they differ
    over it. granularity: "tensor", "row" (per token), "column" (per channel), "row_group", "column_group".
    A number for scale beside an array for zero holds for all of it. bits narrows the range of the codes; 0 is all the
    type has. scale_type "bf16" reads uint16 scales as bf16.
    """
    scale: Any = 1.0
    zero: Any = 0
    granularity: str = "tensor"
    group_size: int = 0
    bits: int = 0
    scale_type: Any = None


class ErrorMeasure(NamedTuple):
    """How far one tensor is from another: mean squared error, largest error, SQNR in dB, cosine."""
    count: int
    skipped: int
    mse: float
    max_error: float
    sqnr_db: float
    cosine: float


class VerifyResult(NamedTuple):
    """Whether every check held, and the place of the first failure (-1 where there is none)."""
    passed: bool
    rounds: int
    wrong_rows: int
    batch: int
    row: int
    col: int


class CompareResult(NamedTuple):
    """Elements whose bits differ, the first of them, and the two values there."""
    count: int
    mismatches: int
    batch: int
    row: int
    col: int
    expected: float
    got: float


class MatmulPlan(NamedTuple):
    """What would run a matmul: its kernel row, variant "" being the row's own choice; estimate in seconds, 0: none;
    tile: the variant that runs, where it has a name; so many tiles' K is shared by so many blocks, or clusters."""
    kernel: str
    variant: str
    tuned: bool
    workspace_bytes: int
    estimate: float
    tile: str
    split_tiles: int
    split_blocks: int


class Trial(NamedTuple):
    """What tuning found of a row, or of a variant of it: the median of its runs in seconds, or 0 and why it refuses."""
    kernel: str
    variant: str
    seconds: float
    reason: str


def _member(enumeration, name):
    if isinstance(name, (enumeration, int)):
        return enumeration(name)
    try:
        return enumeration[str(name).upper()]
    except KeyError:
        names = ", ".join(member.name.lower() for member in enumeration)
        raise ValueError(f"no such {enumeration.__name__.lower()}: {name!r}; there are {names}") from None


def _result(kind, struct):
    return kind(*(getattr(struct, field) for field in kind._fields))


class _Owned:
    """A handle of a context, freed once, and never after the context, with which it dies."""
    _free = None  # the C function's name

    def __init__(self, context):
        self.context, self._handle = context, ctypes.c_void_p()

    @property
    def handle(self):
        """The C handle, for the functions of qmm.load()."""
        if not self._handle or not self.context._handle:
            raise ValueError(f"this {type(self).__name__.lower()} is freed, or its context closed")
        return self._handle

    def free(self):
        if self._handle and self.context._handle:
            getattr(self.context.library, self._free)(self._handle)
        self._handle = ctypes.c_void_p()

    def __del__(self):
        if hasattr(self, "_handle"):
            self.free()


class Buffer(_Owned):
    """Device memory of `bytes` bytes; with native= the caller's own: an address, a CUdeviceptr, a cl_mem."""
    _free = "qmm_buffer_free"

    def __init__(self, context, bytes, native=None):
        super().__init__(context)
        if native is None:
            context._call("qmm_buffer_create", bytes, self._handle)
        else:
            context._call("qmm_buffer_wrap", native, bytes, self._handle)

    def __len__(self):
        return self.context.library.qmm_buffer_bytes(self.handle)

    @property
    def native(self):
        """The memory in native form, as an integer."""
        return self.context.library.qmm_buffer_native(self.handle)

    def upload(self, array, offset=0):
        """Copies the bytes of an array to the device."""
        array = np.ascontiguousarray(array)
        self.context._call("qmm_buffer_upload", self.handle, offset, array.ctypes.data, array.nbytes)

    def download(self, array=None, offset=0):
        """Fills a contiguous array from the device; without one, gives all bytes from offset on as uint8."""
        if array is None:
            array = np.empty(max(len(self) - offset, 0), np.uint8)
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise ValueError("the array to fill must be contiguous and writeable")
        self.context._call("qmm_buffer_download", self.handle, offset, array.ctypes.data, array.nbytes)
        return array

    def copy_from(self, source, bytes, offset=0, source_offset=0):
        """Queues a copy from another buffer."""
        self.context._call("qmm_buffer_copy", self.handle, offset, source.handle, source_offset, bytes)

    def fill(self, value, bytes=None, offset=0):
        """Queues the filling with one byte value, to the end if bytes is not given."""
        self.context._call("qmm_buffer_fill", self.handle, offset, value,
                           len(self) - offset if bytes is None else bytes)


class _Tensor:
    """A dense device tensor of an array's shape, in a buffer of its own."""

    def __init__(self, context, shape, kind):
        self.shape, self.kind = tuple(shape), kind
        rows, cols = ((1, 1) + self.shape)[-2:]
        batch = int(np.prod(self.shape[:-2], dtype=np.int64))
        stride = (cols + 1) // 2 * 2 if kind in FOUR_BITS else cols
        size = ctypes.c_size_t()
        check(context.library.qmm_matrix_bytes(kind, rows, cols, batch, size),
              lambda: f"a batch of {batch} matrices of {rows} x {cols} {kind.name.lower()} is too large")
        self.buffer = Buffer(context, size.value)
        self.struct = _abi.qmm_tensor(self.buffer.handle, 0, kind, rows, cols, stride, batch, rows * stride)

    @staticmethod
    def of(context, values, type=None):
        array, kind = as_array(values, type)
        tensor = _Tensor(context, array.shape, kind)
        tensor.buffer.upload(pack4(array.reshape((1, 1) + array.shape)) if kind in FOUR_BITS else array)
        return tensor

    def numpy(self):
        if self.kind not in FOUR_BITS:
            return self.buffer.download(np.empty(self.shape, DTYPES[self.kind]))
        struct = self.struct
        packed = self.buffer.download().reshape(struct.batch, struct.rows, struct.row_stride // 2)
        return unpack4(packed, struct.cols, self.kind == Type.S4).reshape(self.shape)


class _Quant:
    """A Quant as the C struct, with the tensors it points to."""

    def __init__(self, context, quant):
        quant = quant if isinstance(quant, Quant) else Quant(scale=quant)
        self.struct = _abi.qmm_quant(granularity=_member(Granularity, quant.granularity), group_size=quant.group_size,
                                     bits=quant.bits)
        self.tensors = []
        scale = quant.scale
        if np.ndim(quant.zero) and not np.ndim(scale) and self.struct.granularity != Granularity.TENSOR:
            scale = np.full(np.shape(quant.zero), scale, np.float32)  # the library has host scales per tensor only
        if np.ndim(scale):
            self.scale = self._place(context, scale, quant.scale_type)
            self.struct.scale = ctypes.pointer(self.scale.struct)
        else:
            self.struct.scale_value = scale
        if np.ndim(quant.zero):
            zero = np.asarray(quant.zero)
            self.zero = self._place(context, zero, None if zero.dtype in (np.int8, np.uint8) else Type.S32)
            self.struct.zero = ctypes.pointer(self.zero.struct)
        else:
            self.struct.zero_value = quant.zero

    def _place(self, context, values, type):
        self.tensors.append(_Tensor.of(context, values, type))
        return self.tensors[-1]


class Weights(_Owned):
    """B laid out once for a device, with its scales and zero points: the `b` of matmul. See Context.pack_weights."""
    _free = "qmm_weights_free"

    def __init__(self, context, b, quant, transpose, type, storage, storage_offset):
        super().__init__(context)
        tensor, parameters = _Tensor.of(context, b, type), _Quant(context, 1.0 if quant is None else quant)
        self.shape = tensor.shape[:-2] + (tensor.shape[-2:][::-1] if transpose else tensor.shape[-2:])
        self.storage = storage  # the caller's memory must outlive the weights
        options = _abi.qmm_weights_options(transpose_b=bool(transpose), storage_offset=storage_offset,
                                           quant=ctypes.pointer(parameters.struct),
                                           storage=storage.handle if storage else None)
        size = ctypes.c_size_t()
        context._call("qmm_weights_bytes", tensor.struct, options, size)
        self.bytes = size.value
        context._call("qmm_weights_create", tensor.struct, options, self._handle)
        context.synchronize()  # the tensors go now


class Timer(_Owned):
    """Seconds between two places of the context's queue: start(), stop(), seconds()."""
    _free = "qmm_timer_free"

    def __init__(self, context):
        super().__init__(context)
        context._call("qmm_timer_create", self._handle)

    @property
    def clock(self):
        """"device" where the device takes the times, "host" where its queue is waited for."""
        return self.context.library.qmm_timer_clock(self.handle).decode()

    def start(self):
        self.context._check(self.context.library.qmm_timer_start(self.handle))

    def stop(self):
        self.context._check(self.context.library.qmm_timer_stop(self.handle))

    def seconds(self):
        """Waits until the queue has passed both places."""
        seconds = ctypes.c_double()
        self.context._check(self.context.library.qmm_timer_seconds(self.handle, seconds))
        return seconds.value


def _range_options(method, symmetric, type, bits, percentile, moving_average):
    return _abi.qmm_range_options(method=_member(RangeMethod, method), symmetric=bool(symmetric), type=type_of(type),
                                  bits=bits, percentile=percentile, moving_average=moving_average)


class Calibrator(_Owned):
    """A range over many batches: observe() each, then range(). See Context.find_range for the options."""
    _free = "qmm_calibrator_free"

    def __init__(self, context, method="minmax", symmetric=True, type="s8", bits=0, percentile=99.99,
                 moving_average=0.0):
        super().__init__(context)
        context._call("qmm_calibrator_create",
                      _range_options(method, symmetric, type, bits, percentile, moving_average), self._handle)

    def observe(self, x, x_type=None):
        tensor = _Tensor.of(self.context, x, x_type)
        self.context._check(self.context.library.qmm_calibrator_observe(self.handle, tensor.struct))

    def range(self):
        """(min, max) of all batches so far."""
        low, high = ctypes.c_double(), ctypes.c_double()
        self.context._check(self.context.library.qmm_calibrator_range(self.handle, low, high))
        return low.value, high.value


class _Matmul:
    """The tensors and the desc of one matmul call."""

    def __init__(self, context, a, b, c=None, *, quant_a=None, quant_b=None, quant_c=None, bias=None, residual=None,
                 activation="none", transpose_a=False, transpose_b=False, type="f32", a_type=None, b_type=None,
                 residual_type=None, workspace=None, workspace_offset=0, workspace_bytes=None):
        self.keep, self.desc = [], _abi.qmm_matmul_desc(transpose_a=bool(transpose_a), transpose_b=bool(transpose_b),
                                                        activation=_member(Activation, activation))
        for name, quant in (("quant_a", quant_a), ("quant_b", quant_b), ("quant_c", quant_c)):
            if quant is not None:
                self._point(name, _Quant(context, quant))
        if bias is not None:
            self._point("bias", _Tensor.of(context, bias))
        if residual is not None:
            self._point("residual", _Tensor.of(context, residual, residual_type))
        if workspace is not None:
            self.desc.workspace, self.desc.workspace_offset = workspace.handle, workspace_offset
            self.desc.workspace_bytes = \
                len(workspace) - workspace_offset if workspace_bytes is None else workspace_bytes
        self.a = _Tensor.of(context, a, a_type)
        if isinstance(b, Weights):
            self.b, self.desc.weights, shape_b = None, b.handle, b.shape
        else:
            self.b = _Tensor.of(context, b, b_type)
            shape_b = self.b.shape
            if len(shape_b) < 2:
                raise ValueError("b must have at least two dimensions")
            if transpose_b:
                shape_b = shape_b[:-2] + shape_b[:-3:-1]
        shape_a = self.a.shape
        if transpose_a:
            shape_a = shape_a[:-2] + ((1,) + shape_a)[:-3:-1]
        # C's batch is that of A, or of B where A is one matrix for all.
        batch_a, batch_b = shape_a[:-2], shape_b[:-2]
        shape = (batch_a if np.prod(batch_a, dtype=np.int64) != 1 or not batch_b else batch_b) \
            + shape_a[-2:-1] + shape_b[-1:]
        self.c = _Tensor(context, shape, type_of(type)) if c is None else _Tensor.of(context, c, type)
        self.arguments = (self.desc, self.a.struct, self.b.struct if self.b else None, self.c.struct)

    def _point(self, name, value):
        self.keep.append(value)
        setattr(self.desc, name, ctypes.pointer(value.struct))


class Context:
    """One device, one in-order queue. Opened by name: "cpu", "cuda", "cuda:1", "opencl:0", or "auto", the best.

    A context manager; close() frees what it owns. log: a function of (LogLevel, line). native_context, native_queue:
    the caller's own, as integers. allocator: a qmm_allocator of callbacks. library: the file of libqmm, see load().
    tuning_file: choices kept by save_tuning; None is what QMM_TUNING_FILE names, "" none. profile: OpenCL's queue keeps
    times for Timer.
    """

    def __init__(self, device="auto", *, log=None, log_level=LogLevel.INFO, tuning_file=None, cache_directory=None,
                 native_context=None, native_queue=None, allocator=None, library=None, profile=False):
        self._handle = ctypes.c_void_p()
        self.library = _abi.load(library)
        self._log = _abi.LOG(lambda user, level, line: log(LogLevel(level), line.decode()) if log else None)
        self._allocator = allocator  # its callbacks must live as long as the context
        text = ctypes.create_string_buffer(4096)
        options = _abi.qmm_context_options(
            native_context=native_context, native_queue=native_queue, log_level=_member(LogLevel, log_level),
            tuning_file=_path(tuning_file), cache_directory=_path(cache_directory),
            error_text=ctypes.addressof(text), error_text_size=len(text), profile=bool(profile))
        if allocator is not None:
            options.allocator = ctypes.pointer(allocator)
        if log:
            options.log = self._log
        check(self.library.qmm_context_open(device.encode(), options, self._handle), lambda: text.value.decode())

    # ---- life -------------------------------------------------------------------------------------------------------

    def close(self):
        """Waits for the queue and closes the context with everything of it that is still alive."""
        if self._handle:
            self.library.qmm_context_close(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.close()

    def __del__(self):
        if hasattr(self, "library"):
            self.close()

    @property
    def handle(self):
        """The C handle, for the functions of qmm.load()."""
        if not self._handle:
            raise ValueError("this context is closed")
        return self._handle

    def _call(self, name, *arguments):
        self._check(getattr(self.library, name)(self.handle, *arguments))

    def _check(self, status):
        check(status, lambda: self.library.qmm_context_error(self._handle).decode(errors="replace"))

    @property
    def error(self):
        """The text of the last call that failed, "" before any."""
        return self.library.qmm_context_error(self.handle).decode(errors="replace")

    @property
    def error_status(self):
        return _abi.Status(self.library.qmm_context_error_status(self.handle))

    @property
    def device(self):
        """The DeviceInfo of the device."""
        info = _abi.qmm_device_info()
        self._call("qmm_context_get_device_info", info)
        return device_info(self.library, info)

    def synchronize(self):
        """Waits until all queued work is done."""
        self._call("qmm_context_synchronize")

    def prepare(self):
        """Does now what first uses would do later: builds kernels, runs the known-answer test of every kernel row."""
        self._call("qmm_context_prepare")

    def reserve_workspace(self, bytes):
        """Makes the context's own workspace at least this large."""
        self._call("qmm_context_reserve_workspace", bytes)

    def buffer(self, bytes):
        """Uninitialised device memory."""
        return Buffer(self, bytes)

    # ---- quantize, dequantize, requantize ---------------------------------------------------------------------------

    def quantize(self, x, type="s8", scale=1.0, zero=0, granularity="tensor", group_size=0, bits=0, quant=None,
                 x_type=None):
        """Codes clamp(rint(x / scale) + zero, qmin, qmax): true division, ties to even.

        quant, a Quant, stands for the five parameters before it. x_type "bf16" reads uint16 as bf16.
        """
        quant = quant or Quant(scale, zero, granularity, group_size, bits)
        source, parameters = _Tensor.of(self, x, x_type), _Quant(self, quant)
        codes = _Tensor(self, source.shape, type_of(type))
        self._call("qmm_quantize", source.struct, parameters.struct, codes.struct)
        return codes.numpy()

    def quantize_dynamic(self, x, type="s8", granularity="row", symmetric=True, group_size=0, bits=0, x_type=None):
        """(codes, Quant) with the parameters found from x, in float32, for every tensor, row, column or group."""
        source = _Tensor.of(self, x, x_type)
        codes = _Tensor(self, source.shape, type_of(type))
        shape = _parameter_shape(source.shape, _member(Granularity, granularity), group_size)
        struct = _abi.qmm_quant(granularity=_member(Granularity, granularity), group_size=group_size, bits=bits)
        scale = _Tensor(self, shape, Type.F32)
        struct.scale = ctypes.pointer(scale.struct)
        if not symmetric:
            zero = _Tensor(self, shape, Type.S32)
            struct.zero = ctypes.pointer(zero.struct)
        self._call("qmm_quantize_dynamic", source.struct, struct, codes.struct)
        return codes.numpy(), Quant(scale.numpy(), 0 if symmetric else zero.numpy(), granularity, group_size, bits)

    def dequantize(self, q, scale=1.0, zero=0, granularity="tensor", group_size=0, bits=0, quant=None, type="f32",
                   q_type=None):
        """Reals (float)(q - zero) * scale, rounded once to f16 or bf16 if `type` says so (bf16 comes as uint16).

        q_type "s4" or "u4" says that int8 or uint8 holds 4-bit codes.
        """
        quant = quant or Quant(scale, zero, granularity, group_size, bits)
        codes, parameters = _Tensor.of(self, q, q_type), _Quant(self, quant)
        target = _Tensor(self, codes.shape, type_of(type))
        self._call("qmm_dequantize", codes.struct, parameters.struct, target.struct)
        return target.numpy()

    def requantize(self, q, source=1.0, target=1.0, type="s8", q_type=None):
        """Codes of other parameters, or of s32 accumulators: the bits of dequantize to f32, then quantize.

        source, target: a Quant each, or a scale.
        """
        codes = _Tensor.of(self, q, q_type)
        result = _Tensor(self, codes.shape, type_of(type))
        source, target = _Quant(self, source), _Quant(self, target)
        self._call("qmm_requantize", codes.struct, source.struct, result.struct, target.struct)
        return result.numpy()

    # ---- ranges, calibration, error ---------------------------------------------------------------------------------

    def find_range(self, x, method="minmax", symmetric=True, type="s8", bits=0, percentile=99.99, moving_average=0.0,
                   x_type=None):
        """(min, max) by "minmax", "percentile", "mse" or "entropy", over finite values; what choose_params takes."""
        tensor = _Tensor.of(self, x, x_type)
        options = _range_options(method, symmetric, type, bits, percentile, moving_average)
        low, high = ctypes.c_double(), ctypes.c_double()
        self._call("qmm_find_range", tensor.struct, options, low, high)
        return low.value, high.value

    def calibrator(self, **options):
        """A Calibrator; the options are find_range's."""
        return Calibrator(self, **options)

    def measure_error(self, reference, got, reference_type=None, got_type=None):
        """The ErrorMeasure of two tensors of reals."""
        reference, got = _Tensor.of(self, reference, reference_type), _Tensor.of(self, got, got_type)
        measure = _abi.qmm_error_measure()
        self._call("qmm_measure_error", reference.struct, got.struct, measure)
        return _result(ErrorMeasure, measure)

    # ---- matmul -----------------------------------------------------------------------------------------------------

    def matmul(self, a, b, **options):
        """epilogue(A B) with A of M x K codes and B of K x N codes, or Weights.

        type          of the result: "s32" (the accumulators), "f32", "f16", "bf16", "s8", "u8", "s16", "u16"
        quant_a, quant_b, quant_c   a Quant or a scale: of A, of B (None with Weights), of a result of codes
        bias          N values, f32 or s32          residual     M x N reals (residual_type "bf16" for uint16)
        activation    "none", "relu", "gelu", "gelu_tanh", "silu"
        transpose_a, transpose_b    A is stored K x M, B is stored N x K
        a_type, b_type              where the dtype does not say it: b_type "s4" or "u4"
        workspace, workspace_offset, workspace_bytes   a Buffer of the caller's
        """
        call = _Matmul(self, a, b, **options)
        self._call("qmm_matmul", *call.arguments)
        return call.c.numpy()

    def matmul_workspace(self, a, b, **options):
        """Bytes of workspace that matmul would use."""
        call, size = _Matmul(self, a, b, **options), ctypes.c_size_t()
        self._call("qmm_matmul_workspace", *call.arguments, size)
        return size.value

    def explain(self, a, b, **options):
        """[(kernel, reason)] of that matmul, in the order tried; the first whose reason is None would run it."""
        call, rows = _Matmul(self, a, b, **options), []
        collect = _abi.EXPLAIN(lambda user, kernel, reason: rows.append(
            (kernel.decode(), reason if reason is None else reason.decode())))
        self._call("qmm_matmul_explain", *call.arguments, collect, None)
        return rows

    def plan(self, a, b, **options):
        """The MatmulPlan of that matmul."""
        call, plan = _Matmul(self, a, b, **options), _abi.qmm_matmul_plan_info()
        self._call("qmm_matmul_plan", *call.arguments, plan)
        plan = _result(MatmulPlan, plan)
        return plan._replace(kernel=plan.kernel.decode(), variant=plan.variant.decode(), tuned=bool(plan.tuned),
                             tile=plan.tile.decode())

    def verify_matmul(self, a, b, c, *, rounds=1, seed=1, **options):
        """Is c the result of that matmul, whoever computed it? Freivalds' check; `type` is c's, where it must be said.

        An s32 c that is wrong passes a round with probability at most 2^-61.
        """
        options.setdefault("type", None)
        call, result = _Matmul(self, a, b, c, **options), _abi.qmm_verify_result()
        self._call("qmm_verify_matmul", *call.arguments, _abi.qmm_verify_options(seed=seed, rounds=rounds), result)
        return _result(VerifyResult, result)._replace(passed=bool(result.passed))

    def compare(self, expected, got, type=None):
        """The CompareResult of two arrays of one type and shape, bit for bit; two NaNs are equal."""
        expected, got = _Tensor.of(self, expected, type), _Tensor.of(self, got, type)
        result = _abi.qmm_compare_result()
        self._call("qmm_compare", expected.struct, got.struct, result)
        return _result(CompareResult, result)

    def pack_weights(self, b, quant=None, transpose=False, type=None, storage=None, storage_offset=0):
        """Weights: B laid out once for the device. transpose: b is stored N x K. storage: a Buffer of the caller's."""
        return Weights(self, b, quant, transpose, type, storage, storage_offset)

    # ---- kernels ----------------------------------------------------------------------------------------------------

    def kernels(self):
        """The names of the kernel rows, in the order they are tried."""
        count = self.library.qmm_kernel_count(self.handle)
        return [self.library.qmm_kernel_name(self.handle, index).decode() for index in range(count)]

    def variants(self, kernel):
        """The names of the tile variants of a row, by its name; most have none."""
        index, names = self.kernels().index(kernel), []
        while name := self.library.qmm_kernel_variant_name(self.handle, index, len(names)):
            names.append(name.decode())
        return names

    def force_kernel(self, name):
        """Its operation runs on this row, or "ROW/VARIANT", or not at all; None takes back every such choice."""
        self._call("qmm_kernel_force", None if name is None else name.encode())

    # ---- timing and tuning ------------------------------------------------------------------------------------------

    def timer(self):
        return Timer(self)

    def tune_matmul(self, a, b, *, seconds=0.05, flush_bytes=0, **options):
        """The Trials of every row and variant that was tried for that matmul; the context keeps the fastest."""
        call, trials = _Matmul(self, a, b, **options), []
        collect = _abi.TUNE(lambda user, kernel, variant, median, reason: trials.append(
            Trial(kernel.decode(), variant.decode(), median, reason and reason.decode(errors="replace"))))
        self._call("qmm_tune_matmul", *call.arguments,
                   _abi.qmm_tune_options(seconds=seconds, flush_bytes=flush_bytes), collect, None)
        return trials

    @property
    def tuning_count(self):
        """The number of tuned choices that the context has."""
        return self.library.qmm_tuning_count(self.handle)

    def save_tuning(self, path):
        """Writes the tuned choices to a file, for contexts on this device."""
        self._call("qmm_tuning_save", _path(path))

    def load_tuning(self, path):
        """Adds a file's choices to the context's."""
        self._call("qmm_tuning_load", _path(path))


def _path(name):
    return None if name is None else str(name).encode()


def _parameter_shape(shape, granularity, group_size):
    """The shape of the scales of a tensor, with its batch in front."""
    rows, cols = ((1, 1) + tuple(shape))[-2:]
    groups = group_size if group_size > 0 else 1  # a size that is no size is the library's to refuse
    return tuple(shape[:-2]) + {Granularity.TENSOR: (1, 1), Granularity.ROW: (rows, 1), Granularity.COLUMN: (1, cols),
                                Granularity.ROW_GROUP: (rows, cols // groups),
                                Granularity.COLUMN_GROUP: (rows // groups, cols)}[granularity]
