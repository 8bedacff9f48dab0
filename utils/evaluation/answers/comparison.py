"""Whether two answers say the same: only if all of their parts do.

A part that is neither a number nor a formula is compared as text. A unit, or a name on the left of "=",
may be missing on one side, but may not differ: `5 cm` is 5 and is not `5 m`.
"""

from collections.abc import Iterable, Sequence

from .formulas import equal_equations, equal_formulas, is_formula
from .notation import as_text
from .quantities import Quantity
from .values import Collection, Comparison, Equation, Named, Value


def same_value(one: Value, other: Value) -> bool | None:
    """Whether two answers are the same, None if algebra ran into one of its limits."""
    if isinstance(one, Named) and isinstance(other, Named):
        return same_value(one.value, other.value) if one.name == other.name else False
    if isinstance(one, Equation) or isinstance(other, Equation):
        return _same_equations(one, other)
    if isinstance(one, Named):
        return same_value(one.value, other)
    if isinstance(other, Named):
        return same_value(one, other.value)
    if isinstance(one, Quantity) and isinstance(other, Quantity):
        return _same_quantities(one, other)
    if isinstance(one, Comparison) and isinstance(other, Comparison):
        return _all(pairwise_same(one.sides, other.sides)) if one.signs == other.signs else False
    if isinstance(one, Collection) and isinstance(other, Collection):
        return _same_collections(one, other)
    return False


def pairwise_same(ones: Sequence[Value], others: Sequence[Value]) -> list[bool | None]:
    return [same_value(one, other) for one, other in zip(ones, others, strict=True)]


def _same_quantities(one: Quantity, other: Quantity) -> bool | None:
    if one.unit and other.unit and one.unit != other.unit:
        return False
    if one.number is not None and other.number is not None:
        return one.number == other.number
    if as_text(one.text) == as_text(other.text):
        return True
    if is_formula(one.text) and is_formula(other.text):
        return equal_formulas(one.text, other.text)
    return False


def _same_equations(one: Value, other: Value) -> bool | None:
    sides = _sides(one)
    other_sides = _sides(other)
    if sides is None or other_sides is None:
        return False
    if tuple(map(as_text, sides)) == tuple(map(as_text, other_sides)):
        return True
    if all(map(is_formula, (*sides, *other_sides))):
        return equal_equations(sides, other_sides)
    return False


def _sides(value: Value) -> tuple[str, str] | None:
    if isinstance(value, Equation):
        return value.left, value.right
    if isinstance(value, Named) and isinstance(value.value, Quantity) and not value.value.unit:
        return value.name, value.value.text
    return None


def _same_collections(one: Collection, other: Collection) -> bool | None:
    kinds = {one.kind, other.kind}
    if len(kinds) > 1 and kinds != {"list", "set"}:
        return False
    if "set" in kinds:  # in which an item may stand twice
        return _all([_all_among(one.items, other.items), _all_among(other.items, one.items)])
    if len(one.items) != len(other.items):
        return False
    if one.ordered:
        return _all(pairwise_same(one.items, other.items))
    name = _only_name(one.items)
    other_name = _only_name(other.items)
    if name and other_name and name != other_name:
        return False
    return _matching(_with_needed_names(one.items), _with_needed_names(other.items))


def _all_among(items: tuple[Value, ...], others: tuple[Value, ...]) -> bool | None:
    return _all(_any(same_value(item, other) for other in others) for item in items)


def _only_name(items: tuple[Value, ...]) -> str:
    """The name that the values belong to, empty where there is none, or more than one."""
    names = {item.name for item in items if isinstance(item, Named)}
    return names.pop() if len(names) == 1 else ""


def _with_needed_names(items: tuple[Value, ...]) -> list[Value]:
    """The items, with names only where several occur: `x = 1 or x = 2`, and `x = 1, 2`, as 1 and 2."""
    names = {item.name if isinstance(item, Named) else "" for item in items}
    if isinstance(items[0], Named) and not any(isinstance(item, Named) for item in items[1:]):
        return [items[0].value, *items[1:]]
    return [item.value if isinstance(item, Named) and len(names) == 1 else item for item in items]


def _matching(ones: list[Value], others: list[Value]) -> bool | None:
    """Whether each item has an equal of its own among the others, in any order."""
    if any(isinstance(item, Named) for item in ones) != any(isinstance(item, Named) for item in others):
        return False  # x = 1, y = 2 says more than 1, 2
    answers = [[same_value(one, other) for other in others] for one in ones]
    if _can_be_paired([[answer is True for answer in of_one] for of_one in answers]):
        return True
    may_pair = [[answer is not False for answer in of_one] for of_one in answers]
    return None if _can_be_paired(may_pair) else False


def _can_be_paired(may_pair: list[list[bool]]) -> bool:
    """Whether each row can have a column of its own, of those that are true in it."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    column_of_row = maximum_bipartite_matching(csr_matrix(may_pair), perm_type="column")
    return bool((column_of_row >= 0).all())


def _all(answers: Iterable[bool | None]) -> bool | None:
    """Like `all`, where one unknown answer makes the result unknown unless another one is False."""
    answers = list(answers)
    if False in answers:
        return False
    return None if None in answers else True


def _any(answers: Iterable[bool | None]) -> bool | None:
    """Like `any`, where one unknown answer makes the result unknown unless another one is True."""
    answers = list(answers)
    if True in answers:
        return True
    return None if None in answers else False
