"""What the kernel needs of the machine and numba has no name for: words at any address, and masks of 64 bytes.

Pointers are plain; nothing here checks a bound. Whoever reads 64 bytes answers for 64 that can be read after the last.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

Bytes = MutableSequence[int]
Words = MutableSequence[int]
"""What a pointer looks like to whoever reads the kernel; numba has its own idea."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

BLANK, QUOTE, BACKSLASH, NEWLINE, DASH = 32, 34, 92, 10, 45
ZERO: Any = np.uint64(0)
ONE: Any = np.uint64(1)
ALL: Any = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
MIX: Any = np.uint64(0x9E3779B97F4A7C15)

_BYTES = types.CPointer(types.uint8)
_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_LANES = ir.VectorType(_BYTE, 64)


def compiled(function: _Function) -> _Function:
    """Leave a function to numba, with the arithmetic of the machine."""
    return njit(error_model="numpy", boundscheck=False)(function)


def word(text: bytes) -> Any:
    """Up to eight bytes as `load64` finds them."""
    return np.uint64(int.from_bytes(text, "little"))


def _at(builder: Any, pointer: Any, offset: Any, pointee: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [offset]), pointee.as_pointer())


def _lanes(builder: Any, pointer: Any, offset: Any) -> Any:
    return builder.load(_at(builder, pointer, offset, _LANES), align=1)


def _splat(builder: Any, byte: Any) -> Any:
    one = builder.insert_element(ir.Constant(_LANES, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        one, ir.Constant(_LANES, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
    )


@intrinsic
def bytes_at(typing: Any, address: Any) -> Any:
    """An address as a pointer to bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], _BYTE.as_pointer())

    return _BYTES(types.int64), generate


@intrinsic
def words_at(typing: Any, address: Any) -> Any:
    """An address as a pointer to signed words of 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], _WORD.as_pointer())

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def slots_at(typing: Any, address: Any) -> Any:
    """An address as a pointer to signed words of 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], ir.IntType(32).as_pointer())

    return types.CPointer(types.int32)(types.int64), generate


@intrinsic
def load64(typing: Any, pointer: Any, offset: Any) -> Any:
    """The 8 bytes at an offset, aligned or not, as an unsigned word, lowest byte first."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_at(builder, values[0], values[1], _WORD), align=1)

    return types.uint64(_BYTES, types.int64), generate


@intrinsic
def equal64(typing: Any, pointer: Any, offset: Any, byte: Any) -> Any:
    """Which of the 64 bytes at an offset are `byte`: bit 0 is the first."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer, offset, byte = values
        found = builder.icmp_unsigned("==", _lanes(builder, pointer, offset), _splat(builder, byte))
        return builder.bitcast(found, _WORD)

    return types.uint64(_BYTES, types.int64, types.uint8), generate


@intrinsic
def different64(typing: Any, pointer: Any, offset: Any, other: Any, other_offset: Any) -> Any:
    """Which of the 64 bytes at one place differ from those at another."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer, offset, other, other_offset = values
        found = builder.icmp_unsigned(
            "!=", _lanes(builder, pointer, offset), _lanes(builder, other, other_offset)
        )
        return builder.bitcast(found, _WORD)

    return types.uint64(_BYTES, types.int64, _BYTES, types.int64), generate


@intrinsic
def between64(typing: Any, pointer: Any, offset: Any, low: Any, high: Any) -> Any:
    """Which of the 64 bytes at an offset are from `low` to `high`, both included."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer, offset, low, high = values
        above = builder.sub(_lanes(builder, pointer, offset), _splat(builder, low))
        found = builder.icmp_unsigned("<=", above, _splat(builder, builder.sub(high, low)))
        return builder.bitcast(found, _WORD)

    return types.uint64(_BYTES, types.int64, types.uint8, types.uint8), generate


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """The number of the lowest bit that is set; 64 when none is."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def highest_bit(typing: Any, word: Any) -> Any:
    """The number of the highest bit that is set; -1 when none is."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.sub(_WORD(63), builder.ctlz(values[0], ir.Constant(ir.IntType(1), 0)))

    return types.int64(types.uint64), generate


@intrinsic
def bits_set(typing: Any, word: Any) -> Any:
    """How many bits are set."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.int64(types.uint64), generate


@intrinsic
def u64(typing: Any, word: Any) -> Any:
    """The same bits without a sign: a signed and an unsigned word together would make a float."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return values[0]

    return types.uint64(types.int64), generate


@intrinsic
def i64(typing: Any, word: Any) -> Any:
    """The same bits with a sign."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return values[0]

    return types.int64(types.uint64), generate


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the cache line at an address before it is needed."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = ir.IntType(32)
        pointer = builder.inttoptr(values[0], _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), number, number, number])
        declared = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # to read, to be kept in all caches, as data
        builder.call(declared, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate
