# SPDX-License-Identifier: Apache-2.0
"""qmm: quantize, dequantize and multiply int8 and int4 matrices, with int32 accumulation, on a CPU or a GPU.

    import numpy, qmm
    with qmm.Context("auto") as ctx:
        a, quant_a = ctx.quantize_dynamic(activations, granularity="row")     # per token
        b, quant_b = ctx.quantize_dynamic(weights, granularity="column")      # per channel
        y = ctx.matmul(a, b, quant_a=quant_a, quant_b=quant_b)                # f32

A thin layer over qmm/qmm.h, whose comments say what every call computes. `qmm.load()` gives the C functions themselves.
"""
from ._abi import Activation, Granularity, Int8Class, LogLevel, RangeMethod, Status, Type, load
from ._arrays import bf16_to_f32, f32_to_bf16, pack4, unpack4
from ._context import (Buffer, Calibrator, CompareResult, Context, ErrorMeasure, MatmulPlan, Quant, Timer, Trial,
                       VerifyResult, Weights)
from ._device import BackendInfo, DeviceInfo, backends, choose_params, devices, k_limit, type_range, version
from ._errors import (BuildFailed, DeviceFailed, Error, Internal, InvalidArgument, NoDevice, OutOfMemory, Unsupported)

__all__ = [
    "Activation", "BackendInfo", "Buffer", "BuildFailed", "Calibrator", "CompareResult", "Context", "DeviceFailed",
    "DeviceInfo", "Error", "ErrorMeasure", "Granularity", "Int8Class", "Internal", "InvalidArgument", "LogLevel",
    "MatmulPlan", "NoDevice", "OutOfMemory", "Quant", "RangeMethod", "Status", "Timer", "Trial", "Type", "Unsupported",
    "VerifyResult", "Weights", "backends", "bf16_to_f32", "choose_params", "devices", "f32_to_bf16", "k_limit", "load", "pack4", "type_range",
    "unpack4", "version",
]
