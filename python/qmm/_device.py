# SPDX-License-Identifier: Apache-2.0
"""What needs no context: the library's version, its devices, the choice of static parameters."""
import ctypes
from typing import NamedTuple

from . import _abi
from ._arrays import type_of
from ._errors import check


class DeviceInfo(NamedTuple):
    """One device; the numbers are 0 where they are unknown."""
    name: str
    description: str
    driver: str
    compute_units: int
    compute_major: int
    compute_minor: int
    int8_class: str
    memory_bytes: int
    memory_bandwidth: int
    kind: str


class BackendInfo(NamedTuple):
    """A family of devices this library was built with, and why none of it was found, if none was."""
    name: str
    devices: int
    reason: str


def _values(struct, kind):
    values = {field: getattr(struct, field) for field in kind._fields}
    return kind(**{key: value.decode() if isinstance(value, bytes) else value for key, value in values.items()})


def device_info(library, struct):
    info = _values(struct, DeviceInfo)
    return info._replace(int8_class=library.qmm_int8_class_name(info.int8_class).decode(),
                         kind=library.qmm_device_kind_name(info.kind).decode())


def version(library=None):
    """The version of the library in use, as "major.minor.patch"."""
    return _abi.load(library).qmm_version().decode()


def devices(library=None):
    """The facts of every device, best first, the CPU last."""
    lib, found = _abi.load(library), []
    for index in range(lib.qmm_device_count()):
        info = _abi.qmm_device_info()
        check(lib.qmm_device_get_info(index, info), lambda: f"qmm_device_get_info: device {index}")
        found.append(device_info(lib, info))
    return found


def backends(library=None):
    """The facts of every backend in this build, present or not."""
    lib, found = _abi.load(library), []
    for index in range(lib.qmm_backend_count()):
        info = _abi.qmm_backend_info()
        check(lib.qmm_backend_get_info(index, info), lambda: f"qmm_backend_get_info: backend {index}")
        found.append(_values(info, BackendInfo))
    return found


def type_range(type="s8", bits=0, library=None):
    """(qmin, qmax) of the codes of `bits` bits in `type`; bits 0 means all of the type's."""
    qmin, qmax = ctypes.c_int32(), ctypes.c_int32()
    check(_abi.load(library).qmm_type_range(type_of(type), bits, qmin, qmax),
          lambda: f"qmm_type_range: {type} has no range of {bits} bits")
    return qmin.value, qmax.value


def choose_params(min, max, type="s8", bits=0, symmetric=True, library=None):
    """(scale, zero) for a range, in double, rounded to float once; `real = scale * (code - zero)`.

    symmetric: absmax / qmax and 0; asymmetric: (max - min) / (qmax - qmin) and clamp(rint(qmin - min / scale)).
    """
    scale, zero = ctypes.c_float(), ctypes.c_int32()
    check(_abi.load(library).qmm_choose_params(min, max, type_of(type), bits, bool(symmetric), scale, zero),
          lambda: f"qmm_choose_params: no parameters of {type} with {bits} bits for the range {min} .. {max}")
    return scale.value, zero.value


def k_limit(a="s8", b="s8", a_has_zero=False, b_has_zero=False, library=None):
    """The largest K whose int32 accumulator cannot overflow."""
    return _abi.load(library).qmm_matmul_k_limit(type_of(a), a_has_zero, type_of(b), b_has_zero)
