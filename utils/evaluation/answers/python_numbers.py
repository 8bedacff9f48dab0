"""The number that a line of Python arithmetic stands for, without `eval`.

The evaluation of the paper calls `eval` on model text. Here literals, arithmetic, comparisons,
lists, the functions of `math` and a few built-in ones have a value, and nothing else has:
no names, attributes of other things, subscripts, comprehensions or formatted strings.
Work is bounded by the size of every intermediate value, never by a clock.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

_MAX_BITS = 1 << 16  # of an intermediate integer. The result becomes a float, which holds 1,024
_MAX_ITEMS = 10_000  # of an intermediate text or list, and characters of the expression


def _bounded_power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _MAX_BITS:
        raise OverflowError
    return base**exponent


def _bounded_shift(number: Any, places: Any) -> Any:
    if places > _MAX_BITS:
        raise OverflowError
    return number << places


def _bounded_product(left: Any, right: Any) -> Any:
    for items, times in ((left, right), (right, left)):
        if isinstance(items, (str, list, tuple)) and len(items) * times > _MAX_ITEMS:
            raise OverflowError
    return left * right


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, str):  # of which "%" makes a text of any size
        raise TypeError("no formatting")
    return left % right


def _bounded_factorial(number: Any) -> int:
    if number > 5_000:
        raise OverflowError
    return math.factorial(number)


def _bounded_round(number: Any, digits: Any = None) -> Any:
    if isinstance(number, int) and digits is not None and -digits > _MAX_BITS:
        raise OverflowError  # before the decimal point of a whole number, a power of ten is computed
    return round(number, digits)


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _bounded_product,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _remainder,
    ast.Pow: _bounded_power,
    ast.LShift: _bounded_shift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,  # what 2^3 is in Python
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FROM_MATH = (
    "sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "floor", "ceil",
    "fabs", "degrees", "radians", "gcd", "hypot", "pow", "pi", "e", "inf", "tau",
)  # fmt: skip
_MATH = {**{name: getattr(math, name) for name in _FROM_MATH}, "factorial": _bounded_factorial}
_BUILT_IN = {
    "abs": abs, "round": _bounded_round, "min": min, "max": max, "sum": sum, "int": int, "float": float,
    "len": len, "pow": _bounded_power,
}  # fmt: skip


def evaluate(text: str) -> Any:
    """The value of an expression.

    Raises:
        ValueError: for a text that is no expression, has no value here, or has none at all (1/0).
    """
    if len(text) > _MAX_ITEMS:
        raise ValueError(f"an expression of {len(text)} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # "5(3)" and the like
            return _value(ast.parse(text.strip(" \t"), mode="eval").body)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        SyntaxError,
        TypeError,
    ) as error:
        raise ValueError(f"no value: {error}") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() | complex() | str() | None as value):
            return value
        case ast.Tuple(elts=elements):
            return tuple(map(_value, elements))
        case ast.List(elts=elements):
            return list(map(_value, elements))
        case ast.UnaryOp(op=op, operand=operand):
            return _checked(_OPERATORS[type(op)](_value(operand)))
        case ast.BinOp(left=left, op=op, right=right):
            return _checked(_OPERATORS[type(op)](_value(left), _value(right)))
        case ast.BoolOp(op=op, values=values):
            return _first_that_decides(isinstance(op, ast.Or), values)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_value(side) for side in (left, *comparators)]
            return all(_OPERATORS[type(op)](*pair) for op, pair in zip(ops, pairwise(sides), strict=True))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test) else orelse)
        case ast.Attribute(value=ast.Name(id="math"), attr=name) if isinstance(_MATH[name], float):
            return _MATH[name]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr=name), args=arguments, keywords=[]):
            return _checked(_MATH[name](*map(_value, arguments)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _checked(_BUILT_IN[name](*map(_value, arguments)))
    raise ValueError(f"{type(node).__name__} has no value here")


def _first_that_decides(deciding: bool, values: list[ast.expr]) -> Any:
    """The value of `or` (deciding: True) and `and` (deciding: False), of which the rest is not evaluated."""
    value = None
    for node in values:
        value = _value(node)
        if bool(value) is deciding:
            break
    return value


def _checked(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise OverflowError
    return value
