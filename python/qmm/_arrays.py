# SPDX-License-Identifier: Apache-2.0
"""numpy arrays and the library's layouts: element types, 4-bit codes two to a byte, bf16 as uint16."""
import numpy as np

from ._abi import Type

# What an element looks like in numpy. 4-bit codes are unpacked there, one to an int8 or uint8.
DTYPES = {Type.S4: np.int8, Type.U4: np.uint8, Type.S8: np.int8, Type.U8: np.uint8, Type.S16: np.int16,
          Type.U16: np.uint16, Type.S32: np.int32, Type.F32: np.float32, Type.F16: np.float16, Type.BF16: np.uint16}
_TYPES = {np.dtype(DTYPES[kind]): kind for kind in (Type.S8, Type.U8, Type.S16, Type.U16, Type.S32, Type.F32, Type.F16)}
FOUR_BITS = (Type.S4, Type.U4)
REALS = (Type.F32, Type.F16, Type.BF16)
_CODE_LIMITS = {Type.S4: (-8, 7), Type.U4: (0, 15)}


def type_of(name):
    """A Type from "s8", "f16" ... or a Type."""
    if isinstance(name, Type):
        return name
    try:
        return Type[str(name).upper()]
    except KeyError:
        raise ValueError(f"no such type: {name!r}; there are {', '.join(kind.name.lower() for kind in Type)}") from None


def as_array(values, type=None):
    """`values` as a contiguous array and its Type: `type`, or the one its dtype says.

    float64 is rounded to f32. Integers of another width than the type's must be codes of it. bf16 must be said, and is
    uint16.
    """
    array = np.asarray(values)
    if type is None:
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype not in _TYPES:
            raise TypeError(f"no qmm type for {array.dtype}; say type=, or convert the array")
        return np.asarray(array, order="C"), _TYPES[array.dtype]
    kind = type_of(type)
    dtype = np.dtype(DTYPES[kind])
    floats = array.dtype.kind == "f"
    if floats != (dtype.kind == "f") or array.dtype.kind not in "fiu":
        raise TypeError(f"{array.dtype} values are no {kind.name.lower()}"
                        + ("; see f32_to_bf16" if kind == Type.BF16 else ""))
    if not floats and array.size:
        low, high = _CODE_LIMITS.get(kind, (np.iinfo(dtype).min, np.iinfo(dtype).max))
        if array.min() < low or array.max() > high:
            raise ValueError(f"values {array.min()} .. {array.max()} leave the range of {kind.name.lower()}")
    return np.asarray(array, dtype, order="C"), kind


def pack4(codes):
    """4-bit codes two to a byte, element 0 in the low nibble, every row padded to a byte."""
    nibbles = np.asarray(codes).astype(np.uint8) & 15
    if nibbles.shape[-1] % 2:
        nibbles = np.concatenate([nibbles, np.zeros(nibbles.shape[:-1] + (1,), np.uint8)], axis=-1)
    return nibbles[..., 0::2] | nibbles[..., 1::2] << 4


def unpack4(packed, cols, signed=True):
    """The reverse of pack4: `cols` codes of every row, as int8 if signed, else uint8."""
    nibbles = np.stack([packed & 15, packed >> 4], axis=-1).reshape(packed.shape[:-1] + (2 * packed.shape[-1],))
    nibbles = np.ascontiguousarray(nibbles[..., :cols])
    return (nibbles.astype(np.int8) ^ 8) - np.int8(8) if signed else nibbles


def f32_to_bf16(values):
    """f32 rounded to bf16, ties to even, as uint16; a NaN stays one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    quiet = bits >> np.uint32(16) | np.uint32(0x40)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


def bf16_to_f32(values):
    """bf16 as uint16, exactly as f32."""
    return (np.asarray(values, dtype=np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
