"""What the compiled loops tell the processor beyond what numba makes of Python.

``Lanes`` is a type of numba's compiler: four float64 that lie in one register, or in two where registers are shorter.
Numba's own loops become instructions on several numbers too, but only where these lie one after the other in one
loop; sums that stay in registers over all rows of a loop have to be said.  So has memory that is to be read ahead.

What is here is compiled into `dask_onestep.kernels.compiled.loops` and `dask_onestep.kernels.compiled.philox`.  Numba
looks only at the date of these files: after a change here, touch them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import signature
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

__all__ = ["add", "exponential", "halves", "load", "multiply", "multiply_add", "prefetch", "same", "store", "totals"]

_FOUR = ir.VectorType(ir.DoubleType(), 4)
_BITS = ir.VectorType(ir.IntType(64), 4)


class Lanes(types.Type):
    """Four float64."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, _FOUR)


def _operation(build: Callable[..., ir.Value]) -> Any:
    """Return a function of lanes that the compiler writes as `build` does, given its builder and the operands."""
    form = signature(build)
    operands = (lanes,) * (len(form.parameters) - 1)

    def typed(typing, *_):
        return lanes(*operands), lambda context, builder, _, given: build(builder, *given)

    typed.__signature__ = form  # type: ignore[attr-defined]  # numba asks how many operands there are
    return intrinsic(typed)


def _places(*numbers: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), list(numbers))


def _address(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, at: ir.Value) -> ir.Value:
    first = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(first, [at]), _FOUR.as_pointer())


def _load(typing, array, at):
    """Return four elements of a vector whose elements lie one after the other, from one on; nothing is checked."""

    def generate(context, builder, signature, given):
        found = builder.load(_address(context, builder, signature.args[0], *given))
        found.align = 8  # bytes: rows begin anywhere
        return found

    return lanes(array, types.intp), generate


def _store(typing, array, at, value):
    """Write four elements of a vector whose elements lie one after the other, from one on; nothing is checked."""

    def generate(context, builder, signature, given):
        array, at, value = given
        builder.store(value, _address(context, builder, signature.args[0], array, at)).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


def _same(typing, number):
    """Return one number four times."""

    def generate(context, builder, signature, given):
        nothing = ir.Constant(_FOUR, ir.Undefined)
        first = builder.insert_element(nothing, given[0], ir.IntType(32)(0))
        return builder.shuffle_vector(first, nothing, _places(0, 0, 0, 0))

    return lanes(types.float64), generate


def _prefetch(typing, address):
    """Ask for a line of memory, of an address that need not exist; nothing waits for it."""

    def generate(context, builder, signature, given):
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], form)
        to_read, into_l2, data = flag(0), flag(2), flag(1)
        builder.call(function, [builder.inttoptr(given[0], byte), to_read, into_l2, data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


def _halves(typing, a, b):
    """Return the upper and the lower 64 of the 128 bits of ab."""
    pair = types.UniTuple(types.uint64, 2)

    def generate(context, builder, signature, given):
        wide, half = ir.IntType(128), ir.IntType(64)
        product = builder.mul(*(builder.zext(value, wide) for value in given))
        parts = builder.trunc(builder.lshr(product, wide(64)), half), builder.trunc(product, half)
        return context.make_tuple(builder, pair, parts)

    return pair(types.uint64, types.uint64), generate


halves: Any = intrinsic(_halves)
load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
same: Any = intrinsic(_same)
prefetch: Any = intrinsic(_prefetch)


@_operation
def add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return a + b."""
    return builder.fadd(a, b)


@_operation
def multiply(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return ab."""
    return builder.fmul(a, b)


@_operation
def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Return ab + c, rounded once where the processor can."""
    form = ir.FunctionType(_FOUR, [_FOUR] * 3)
    return builder.call(builder.module.declare_intrinsic("llvm.fmuladd.v4f64", (), form), [a, b, c])


@_operation
def totals(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value, d: ir.Value) -> ir.Value:
    """Return the sum of a's four numbers, of b's, of c's and of d's."""

    def pairs(left, right):
        even, odd = _places(0, 4, 2, 6), _places(1, 5, 3, 7)
        return builder.fadd(builder.shuffle_vector(left, right, even), builder.shuffle_vector(left, right, odd))

    ab, cd = pairs(a, b), pairs(c, d)
    low, high = _places(0, 1, 4, 5), _places(2, 3, 6, 7)
    return builder.fadd(builder.shuffle_vector(ab, cd, low), builder.shuffle_vector(ab, cd, high))


@_operation
def _where_less(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
    """Return `yes` where a < b, and `no` elsewhere and where a is NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b), yes, no)


@_operation
def _half_a_power(builder: ir.IRBuilder, shifted: ir.Value) -> ir.Value:
    """Return 2ⁿ⁻¹ of `_SHIFT` + n, whose last bits are n's."""
    exponent = builder.shl(builder.bitcast(shifted, _BITS), ir.Constant(_BITS, [52] * 4))
    return builder.bitcast(builder.add(exponent, ir.Constant(_BITS, [1022 << 52] * 4)), _FOUR)


# Adding it to a number rounds that to an integer.
_SHIFT = 1.5 * 2.0**52
_PER_LOG_2 = 1.0 / math.log(2.0)
# log 2 in two parts, of which the first has so few digits that n times it is exact.
_LOG_2 = float.fromhex("0x1.62e42feep-1")
_LOG_2_REST = float.fromhex("0x1.a39ef35793c76p-33")
# Above the one exp is infinite; below the other it is so small that it soon loses digits, and is taken for zero.
_GREATEST, _LEAST = 709.782712893384, -707.0
_SERIES = tuple(1.0 / math.factorial(k) for k in range(14))


@numba.njit(nogil=True)
def exponential(x):
    """Return exp x: 2ⁿ by its bits, times the series of exp r, where r = x − n log 2 is at most log(2)/2 from 0.

    The error is below one unit in the last place; what is below exp(−707), 9e-308, is zero.  Of scalars numba takes
    one exponential after the other, in four times the time.
    """
    near = _where_less(x, same(_LEAST), same(_LEAST), x)
    shifted = multiply_add(near, same(_PER_LOG_2), same(_SHIFT))
    n = add(shifted, same(-_SHIFT))
    r = multiply_add(n, same(-_LOG_2_REST), multiply_add(n, same(-_LOG_2), near))
    series = same(_SERIES[-1])
    for k in range(len(_SERIES) - 2, -1, -1):
        series = multiply_add(series, r, same(_SERIES[k]))
    half = multiply(series, _half_a_power(shifted))
    finite = _where_less(same(_GREATEST), x, same(math.inf), add(half, half))
    return _where_less(x, same(_LEAST), same(0.0), finite)
