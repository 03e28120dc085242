"""Vectors of eight numbers in Numba: what `products.py` needs to keep sums in registers.

LLVM turns a loop over an array into vector instructions by itself, but it does not keep a tile of a matrix in
registers over a loop, because it cannot know that two arrays do not overlap. A value of type `Lanes` is a vector of
its own, so it stays in a register. The width is a number of the source, not of the machine: LLVM splits or pairs
the eight lanes into what the processor has.

Compiled functions here pass pointers, not arrays: an array is seven numbers and a count of its references, kept in
step by atomic additions, at every call. A pointer's offsets count elements and are not checked.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LANES = 8
"""Numbers in a vector."""

_INDEX = ir.IntType(32)


class Lanes(types.Type):
    """The Numba type of a vector of `LANES` numbers of one real type."""

    def __init__(self, real: Any) -> None:
        self.real = real
        super().__init__(name=f"Lanes({real})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.real).get_value_type(), LANES))


@intrinsic
def pointer(typing_context: Any, array: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return the address of the first element of a contiguous array, which the caller keeps alive."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), build


@intrinsic
def further(typing_context: Any, start: Any, offset: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return a pointer to the element `offset` places on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return builder.gep(*arguments[:1], [arguments[1]])

    return start(start, types.intp), build


@intrinsic
def number(typing_context: Any, like: Any, value: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return a number as the type a pointer points to, so that arithmetic stays in it."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.cast(builder, arguments[1], signature.args[1], signature.return_type)

    return like.dtype(like, types.unliteral(value)), build


@intrinsic
def zeros(typing_context: Any, like: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return zeros of the type a pointer points to."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Lanes(like.dtype)(like), build


@intrinsic
def load(typing_context: Any, start: Any, offset: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return the `LANES` numbers from `start[offset]` on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(_vector_at(context, builder, arguments, signature.return_type))
        loaded.align = start.dtype.bitwidth // 8
        return loaded

    return Lanes(start.dtype)(start, types.intp), build


@intrinsic
def spread(typing_context: Any, start: Any, offset: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return `start[offset]` in every lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        return _in_every_lane(builder, vector, builder.load(builder.gep(arguments[0], [arguments[1]])))

    return Lanes(start.dtype)(start, types.intp), build


@intrinsic
def store(typing_context: Any, start: Any, offset: Any, lanes: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Write lanes to the `LANES` numbers from `start[offset]` on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stored = builder.store(arguments[2], _vector_at(context, builder, arguments, signature.args[2]))
        stored.align = start.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(start, types.intp, lanes), build


@intrinsic
def add_product(typing_context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return `a b + c`, lane by lane, rounded once."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        name = f"llvm.fma.v{LANES}f{a.real.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        return builder.call(function, arguments)

    return a(a, b, c), build


@intrinsic
def plus(typing_context: Any, a: Any, b: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return `a + b`, lane by lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return builder.fadd(*arguments)

    return a(a, b), build


@intrinsic
def minus(typing_context: Any, a: Any, b: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return `a - b`, lane by lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return builder.fsub(*arguments)

    return a(a, b), build


@intrinsic
def larger(typing_context: Any, a: Any, b: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return the larger of a and b, lane by lane; b where one of them is NaN."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return a(a, b), build


@intrinsic
def largest(typing_context: Any, lanes: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return the largest of the lanes in every lane; any of them where one is NaN."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        value, apart = arguments[0], LANES // 2
        while apart:
            # Every lane is compared with the one `apart` places on, around the end.
            places = [(lane + apart) % LANES for lane in range(LANES)]
            moved = builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(_INDEX, LANES), places))
            value = builder.select(builder.fcmp_ordered(">", value, moved), value, moved)
            apart //= 2
        return value

    return lanes(lanes), build


@intrinsic
def every(typing_context: Any, value: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return a number in every lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        return _in_every_lane(builder, vector, arguments[0])

    return Lanes(value)(value), build


@intrinsic
def total(typing_context: Any, lanes: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return the sum of the lanes, in any order."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        vector, real = context.get_value_type(lanes), context.get_value_type(lanes.real)
        name = f"llvm.vector.reduce.fadd.v{LANES}f{lanes.real.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(real, [real, vector]), name)
        return builder.call(function, [real(0), *arguments], fastmath=("reassoc",))

    return lanes.real(lanes), build


@intrinsic
def pointer_to(typing_context: Any, address: Any, like: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return an address as a pointer of the same type as `like`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return like(types.intp, like), build


@intrinsic
def byte_pointer_to(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return an address as a pointer to bytes."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.intp), build


def _in_every_lane(builder: Any, vector: Any, value: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, _INDEX(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))


def _vector_at(context: Any, builder: Any, arguments: Any, lanes: Lanes) -> Any:
    address = builder.gep(arguments[0], [arguments[1]])
    return builder.bitcast(address, context.get_value_type(lanes).as_pointer())
