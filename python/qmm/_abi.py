# SPDX-License-Identifier: Apache-2.0
"""qmm/qmm.h in ctypes: its enums, structs and functions, in the header's order, and how the library is found.

Nothing here knows numpy. tests/notebooks/test_binding.py holds every line against the header and the C compiler.
"""
import ctypes
import ctypes.util
import enum
import os
from ctypes import POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint8
from ctypes import c_uint64, c_void_p


class Status(enum.IntEnum):
    """What a call came to; the numbers are pinned."""
    OK = 0
    INVALID_ARGUMENT = 1
    UNSUPPORTED = 2
    NO_DEVICE = 3
    OUT_OF_MEMORY = 4
    BUILD_FAILED = 5
    DEVICE_FAILED = 6
    INTERNAL = 7


class Type(enum.IntEnum):
    """Element types: codes s4 to u16, accumulators s32, reals f32, f16, bf16."""
    S4 = 1
    U4 = 2
    S8 = 3
    U8 = 4
    S16 = 5
    U16 = 6
    S32 = 7
    F32 = 8
    F16 = 9
    BF16 = 10


class Int8Class(enum.IntEnum):
    """How fast a device multiplies int8."""
    NONE = 0
    DP4A = 1
    MMA = 2
    WGMMA = 3
    TCGEN05 = 4
    REDUCED = 5
    VNNI = 6


class DeviceKind(enum.IntEnum):
    CPU = 1
    GPU = 2
    ACCELERATOR = 3


class LogLevel(enum.IntEnum):
    ERROR = 1
    WARNING = 2
    INFO = 3
    DEBUG = 4


class Granularity(enum.IntEnum):
    """Which elements share one scale and one zero point."""
    TENSOR = 0
    ROW = 1
    COLUMN = 2
    ROW_GROUP = 3
    COLUMN_GROUP = 4


class RangeMethod(enum.IntEnum):
    """How a range is chosen from data."""
    MINMAX = 0
    PERCENTILE = 1
    MSE = 2
    ENTROPY = 3


class Activation(enum.IntEnum):
    NONE = 0
    RELU = 1
    GELU = 2
    GELU_TANH = 3
    SILU = 4


# Each enum with the start of its constants in the header.
ENUMS = {Status: "QMM_", Type: "QMM_", Int8Class: "QMM_INT8_", DeviceKind: "QMM_DEVICE_KIND_", LogLevel: "QMM_LOG_", Granularity: "QMM_PER_",
         RangeMethod: "QMM_RANGE_", Activation: "QMM_ACTIVATION_"}

# Opaque handles: qmm_context *, qmm_buffer *, qmm_weights *, qmm_calibrator *.
Handle = c_void_p

ALLOCATE = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)
RELEASE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_size_t)
LOG = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)
EXPLAIN = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_char_p)
TUNE = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_char_p, c_double, c_char_p)


class SizedStructure(Structure):
    """A struct that begins with struct_size, set as its QMM_..._INIT macro sets it: DEFAULTS, all else zero."""
    DEFAULTS = {}

    def __init__(self, **fields):
        super().__init__(**{"struct_size": ctypes.sizeof(self), **self.DEFAULTS, **fields})


class qmm_device_info(SizedStructure):
    DEFAULTS = {"kind": DeviceKind.CPU}
    _fields_ = [("struct_size", c_size_t), ("name", c_char * 32), ("description", c_char * 128),
                ("driver", c_char * 128), ("compute_units", c_int32), ("compute_major", c_int32),
                ("compute_minor", c_int32), ("int8_class", c_int), ("memory_bytes", c_uint64),
                ("memory_bandwidth", c_uint64), ("kind", c_int), ("reserved", c_int32)]


class qmm_backend_info(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("name", c_char * 32), ("devices", c_int32), ("reason", c_char * 260)]


class qmm_allocator(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("user", c_void_p), ("allocate", ALLOCATE), ("release", RELEASE),
                ("allocate_device", ALLOCATE), ("release_device", RELEASE)]


class qmm_context_options(SizedStructure):
    DEFAULTS = {"log_level": LogLevel.INFO}
    _fields_ = [("struct_size", c_size_t), ("native_context", c_void_p), ("native_queue", c_void_p),
                ("allocator", POINTER(qmm_allocator)), ("log", LOG), ("log_user", c_void_p), ("log_level", c_int),
                ("tuning_file", c_char_p), ("cache_directory", c_char_p), ("error_text", c_void_p),
                ("error_text_size", c_size_t), ("profile", c_int32), ("reserved", c_int32)]


class qmm_tensor(Structure):
    _fields_ = [("buffer", Handle), ("offset", c_size_t), ("type", c_int), ("rows", c_int64), ("cols", c_int64),
                ("row_stride", c_int64), ("batch", c_int64), ("batch_stride", c_int64)]


class qmm_quant(SizedStructure):
    DEFAULTS = {"scale_value": 1.0}
    _fields_ = [("struct_size", c_size_t), ("granularity", c_int), ("group_size", c_int64), ("bits", c_int32),
                ("scale_value", c_float), ("zero_value", c_int32), ("scale", POINTER(qmm_tensor)),
                ("zero", POINTER(qmm_tensor)), ("sums", POINTER(qmm_tensor))]


class qmm_range_options(SizedStructure):
    DEFAULTS = {"symmetric": 1, "type": Type.S8, "percentile": 99.99}
    _fields_ = [("struct_size", c_size_t), ("method", c_int), ("symmetric", c_int32), ("type", c_int),
                ("bits", c_int32), ("percentile", c_double), ("moving_average", c_double)]


class qmm_error_measure(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("count", c_int64), ("skipped", c_int64), ("mse", c_double),
                ("max_error", c_double), ("sqnr_db", c_double), ("cosine", c_double)]


class qmm_matmul_desc(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("transpose_a", c_int32), ("transpose_b", c_int32), ("activation", c_int),
                ("quant_a", POINTER(qmm_quant)), ("quant_b", POINTER(qmm_quant)), ("quant_c", POINTER(qmm_quant)),
                ("bias", POINTER(qmm_tensor)), ("residual", POINTER(qmm_tensor)), ("weights", Handle),
                ("workspace", Handle), ("workspace_offset", c_size_t), ("workspace_bytes", c_size_t)]


class qmm_matmul_plan_info(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("kernel", c_char * 64), ("variant", c_char * 32), ("tuned", c_int32),
                ("reserved", c_int32), ("workspace_bytes", c_size_t), ("estimate", c_double), ("tile", c_char * 32),
                ("split_tiles", c_int64), ("split_blocks", c_int64)]


class qmm_weights_options(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("transpose_b", c_int32), ("quant", POINTER(qmm_quant)),
                ("storage", Handle), ("storage_offset", c_size_t)]


class qmm_verify_options(SizedStructure):
    DEFAULTS = {"seed": 1, "rounds": 1}
    _fields_ = [("struct_size", c_size_t), ("seed", c_uint64), ("rounds", c_int64)]


class qmm_verify_result(SizedStructure):
    DEFAULTS = {"batch": -1, "row": -1, "col": -1}
    _fields_ = [("struct_size", c_size_t), ("passed", c_int32), ("rounds", c_int32), ("wrong_rows", c_int64),
                ("batch", c_int64), ("row", c_int64), ("col", c_int64)]


class qmm_compare_result(SizedStructure):
    DEFAULTS = {"batch": -1, "row": -1, "col": -1}
    _fields_ = [("struct_size", c_size_t), ("count", c_int64), ("mismatches", c_int64), ("batch", c_int64),
                ("row", c_int64), ("col", c_int64), ("expected", c_double), ("got", c_double)]


class qmm_tune_options(SizedStructure):
    DEFAULTS = {"seconds": 0.05}
    _fields_ = [("struct_size", c_size_t), ("seconds", c_double), ("flush_bytes", c_size_t)]


STRUCTS = [qmm_device_info, qmm_backend_info, qmm_allocator, qmm_context_options, qmm_tensor, qmm_quant,
           qmm_range_options, qmm_error_measure, qmm_matmul_desc, qmm_matmul_plan_info, qmm_weights_options,
           qmm_verify_options, qmm_verify_result, qmm_compare_result, qmm_tune_options]

_tensor, _quant, _range, _desc = POINTER(qmm_tensor), POINTER(qmm_quant), POINTER(qmm_range_options), \
    POINTER(qmm_matmul_desc)
_double, _size, _int32, _handle = POINTER(c_double), POINTER(c_size_t), POINTER(c_int32), POINTER(Handle)
_matmul = [Handle, _desc, _tensor, _tensor, _tensor]

# Every function of the header: its result and its parameters. c_int is qmm_status where the header says so.
FUNCTIONS = {
    "qmm_version": (c_char_p, []),
    "qmm_status_name": (c_char_p, [c_int]),
    "qmm_type_name": (c_char_p, [c_int]),
    "qmm_type_bits": (c_int, [c_int]),
    "qmm_type_range": (c_int, [c_int, c_int, _int32, _int32]),
    "qmm_int8_class_name": (c_char_p, [c_int]),
    "qmm_device_kind_name": (c_char_p, [c_int]),
    "qmm_backend_count": (c_int, []),
    "qmm_backend_get_info": (c_int, [c_int, POINTER(qmm_backend_info)]),
    "qmm_device_count": (c_int, []),
    "qmm_device_get_info": (c_int, [c_int, POINTER(qmm_device_info)]),
    "qmm_context_open": (c_int, [c_char_p, POINTER(qmm_context_options), _handle]),
    "qmm_context_close": (None, [Handle]),
    "qmm_context_error": (c_char_p, [Handle]),
    "qmm_context_error_status": (c_int, [Handle]),
    "qmm_context_get_device_info": (c_int, [Handle, POINTER(qmm_device_info)]),
    "qmm_context_native_queue": (c_void_p, [Handle]),
    "qmm_context_set_queue": (c_int, [Handle, c_void_p]),
    "qmm_context_synchronize": (c_int, [Handle]),
    "qmm_context_prepare": (c_int, [Handle]),
    "qmm_context_reserve_workspace": (c_int, [Handle, c_size_t]),
    "qmm_buffer_create": (c_int, [Handle, c_size_t, _handle]),
    "qmm_buffer_wrap": (c_int, [Handle, c_void_p, c_size_t, _handle]),
    "qmm_buffer_free": (None, [Handle]),
    "qmm_buffer_bytes": (c_size_t, [Handle]),
    "qmm_buffer_native": (c_void_p, [Handle]),
    "qmm_buffer_upload": (c_int, [Handle, Handle, c_size_t, c_void_p, c_size_t]),
    "qmm_buffer_download": (c_int, [Handle, Handle, c_size_t, c_void_p, c_size_t]),
    "qmm_buffer_copy": (c_int, [Handle, Handle, c_size_t, Handle, c_size_t, c_size_t]),
    "qmm_buffer_fill": (c_int, [Handle, Handle, c_size_t, c_uint8, c_size_t]),
    "qmm_buffer_upload_async": (c_int, [Handle, Handle, c_size_t, c_void_p, c_size_t]),
    "qmm_buffer_download_async": (c_int, [Handle, Handle, c_size_t, c_void_p, c_size_t]),
    "qmm_matrix": (qmm_tensor, [Handle, c_int, c_int64, c_int64]),
    "qmm_matrix_bytes": (c_int, [c_int, c_int64, c_int64, c_int64, _size]),
    "qmm_choose_params": (c_int, [c_double, c_double, c_int, c_int, c_int, POINTER(c_float), _int32]),
    "qmm_quantize": (c_int, [Handle, _tensor, _quant, _tensor]),
    "qmm_quantize_dynamic": (c_int, [Handle, _tensor, _quant, _tensor]),
    "qmm_dequantize": (c_int, [Handle, _tensor, _quant, _tensor]),
    "qmm_requantize": (c_int, [Handle, _tensor, _quant, _tensor, _quant]),
    "qmm_find_range": (c_int, [Handle, _tensor, _range, _double, _double]),
    "qmm_calibrator_create": (c_int, [Handle, _range, _handle]),
    "qmm_calibrator_observe": (c_int, [Handle, _tensor]),
    "qmm_calibrator_range": (c_int, [Handle, _double, _double]),
    "qmm_calibrator_free": (None, [Handle]),
    "qmm_measure_error": (c_int, [Handle, _tensor, _tensor, POINTER(qmm_error_measure)]),
    "qmm_matmul": (c_int, _matmul),
    "qmm_matmul_workspace": (c_int, _matmul + [_size]),
    "qmm_matmul_k_limit": (c_int64, [c_int, c_int, c_int, c_int]),
    "qmm_weights_bytes": (c_int, [Handle, _tensor, POINTER(qmm_weights_options), _size]),
    "qmm_weights_create": (c_int, [Handle, _tensor, POINTER(qmm_weights_options), _handle]),
    "qmm_weights_free": (None, [Handle]),
    "qmm_kernel_count": (c_int, [Handle]),
    "qmm_kernel_name": (c_char_p, [Handle, c_int]),
    "qmm_kernel_variant_name": (c_char_p, [Handle, c_int, c_int]),
    "qmm_kernel_force": (c_int, [Handle, c_char_p]),
    "qmm_matmul_explain": (c_int, _matmul + [EXPLAIN, c_void_p]),
    "qmm_matmul_plan": (c_int, _matmul + [POINTER(qmm_matmul_plan_info)]),
    "qmm_verify_matmul": (c_int, _matmul + [POINTER(qmm_verify_options), POINTER(qmm_verify_result)]),
    "qmm_compare": (c_int, [Handle, _tensor, _tensor, POINTER(qmm_compare_result)]),
    "qmm_timer_create": (c_int, [Handle, _handle]),
    "qmm_timer_clock": (c_char_p, [Handle]),
    "qmm_timer_start": (c_int, [Handle]),
    "qmm_timer_stop": (c_int, [Handle]),
    "qmm_timer_seconds": (c_int, [Handle, _double]),
    "qmm_timer_free": (None, [Handle]),
    "qmm_tune_matmul": (c_int, _matmul + [POINTER(qmm_tune_options), TUNE, c_void_p]),
    "qmm_tuning_count": (c_int, [Handle]),
    "qmm_tuning_save": (c_int, [Handle, c_char_p]),
    "qmm_tuning_load": (c_int, [Handle, c_char_p]),
}

_loaded = {}


def _library_path(path):
    if path or os.environ.get("QMM_LIBRARY"):
        return path or os.environ["QMM_LIBRARY"]
    folder = os.path.dirname(os.path.abspath(__file__))
    for name in ("libqmm.so", "libqmm.so.0", "libqmm.dylib"):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    found = ctypes.util.find_library("qmm")
    if not found:
        raise OSError("libqmm was not found: set QMM_LIBRARY to its file, lay it beside the package, or install it")
    return found


def load(path=None):
    """The library, every function declared: of `path`, else QMM_LIBRARY, else beside the package, else the system's."""
    path = os.fspath(_library_path(path))
    if path not in _loaded:
        library = ctypes.CDLL(path)
        for name, (result, parameters) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
        _loaded[path] = library
    return _loaded[path]
