"""`cond`, `while_loop`, `fori_loop`, `scan`: control flow that stays part of the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import unflatten
from wengert.capture.trees import flatten
from wengert.errors import ArgumentError, DTypeError, ShapeError
from wengert.graph import Traced, Type
from wengert.transform.control import branching, looping, scanning
from wengert.transform.control.bodies import rearranged
from wengert.transform.control.closures import (
    Closure,
    Tree,
    as_bool,
    closed,
    described,
    fitted,
    leaves_of,
    promoted,
    shown,
)
from wengert.transform.control.results import call, type_of_leaf
from wengert.transform.control.staging import Layout

__all__ = ["cond", "fori_loop", "scan", "while_loop"]


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """The result of `true_fun(*operands)` or of `false_fun(*operands)`; only the chosen one runs.

    Parameters
    ----------
    pred : a scalar; true if it is not 0
    true_fun, false_fun : functions that return trees of one structure, shapes and dtypes. Each is
        captured once, without values; both may use values of enclosing transformations
    operands : trees of arrays

    Returns
    -------
    The tree that the chosen function returns.

    Derivative
    ----------
    That of the chosen branch; the other contributes nothing. Under `vmap` with a predicate that
    differs between examples both branches run, and values and derivatives are selected.

    Raises
    ------
    ShapeError if `pred` is no scalar, ArgumentError or DTypeError if the branches return different
    trees or types.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> def root(x):
    ...     return wg.cond(x > 0.0, np.sqrt, lambda x: 0.0 * x, x)
    >>> print(root(4.0), wg.grad(root)(4.0), wg.grad(root)(-1.0))
    2.0 0.25 0.0
    """
    (choice,) = _scalar(pred, "cond: the predicate")
    trees = [leaves_of(x, f"cond: operand {k}", f"operands[{k}]") for k, x in enumerate(operands)]
    blanks = [tree.stand_in for tree in trees]
    functions = (true_fun, false_fun)
    made = [closed(f, blanks, "cond") for f in functions]
    made = [
        _meeting(f, blanks, own, other)
        for f, own, other in zip(functions, made, reversed(made), strict=True)
    ]
    _check_branches(made, functions)
    extras, places = _merged(made)
    own = sum(len(tree.leaves) for tree in trees)
    types = [type_of_leaf(x) for x in extras]
    graphs = [
        rearranged(c.graph, [*range(own), *_places(own, at, types)])
        for c, at in zip(made, places, strict=True)
    ]
    values = [x for tree in trees for x in tree.leaves]
    results = call(
        branching.cond,
        [choice, *values, *extras],
        {"true": graphs[0], "false": graphs[1], "linear": ()},
    )
    return unflatten(made[0].structure, results)


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init: Any) -> Any:
    """`carry = init`, then `carry = body_fun(carry)` as long as `cond_fun(carry)` holds.

    Parameters
    ----------
    cond_fun : from the carry to a scalar; the loop goes on while it is not 0
    body_fun : from the carry to the next, a tree of the same structure, shapes and dtypes
    init : the first carry, a tree of arrays

    Both functions are captured once, without values, and may use values of enclosing
    transformations. Python numbers in `init` take the dtype that the body gives them.

    Returns
    -------
    The last carry.

    Derivative
    ----------
    The number of steps is locally constant; both modes, of any order. Under `vmap` the loop runs
    until all examples are done, and those that are done stay as they are.

    Cost
    ----
    Forward mode: memory for one step. Reverse mode: the loop runs once more to count its n steps,
    and once to keep what its reverse needs, memory for n steps.

    Raises
    ------
    ArgumentError, DTypeError if the carry changes its structure or a type, ShapeError if the
    condition is no scalar.

    Example
    -------
    >>> import wengert as wg
    >>> def newton(a):
    ...     return wg.while_loop(lambda x: abs(x * x - a) > 1e-12,
    ...                          lambda x: 0.5 * (x + a / x), 1.0 + 0.0 * a)
    >>> print(round(newton(2.0), 6), round(wg.grad(newton)(2.0), 6))
    1.414214 0.353553
    """
    return _while("while_loop", cond_fun, body_fun, init)


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init: Any) -> Any:
    """`carry = init`, then `carry = body_fun(i, carry)` for each i from `lower` to `upper` - 1.

    Parameters
    ----------
    lower, upper : integers; where one is traced the loop is a `while_loop`, else a `scan`
    body_fun : from the index and the carry to the next carry, of the same types
    init : the first carry, a tree of arrays

    Returns
    -------
    The last carry.

    Example
    -------
    >>> import wengert as wg
    >>> def power(x, n):
    ...     return wg.fori_loop(0, n, lambda i, y: y * x, 1.0)
    >>> print(power(3.0, 4), wg.grad(power)(3.0, 4))
    81.0 108.0
    """
    bounds = [_integer(x, f"fori_loop: {name}") for x, name in ((lower, "lower"), (upper, "upper"))]
    if not any(isinstance(x, Traced) for x in bounds):
        numbers = np.arange(int(bounds[0]), int(bounds[1]))

        @functools.wraps(body_fun, assigned=("__name__",))
        def step(carry: Any, i: Any) -> Any:
            return body_fun(i, carry), None

        return _scan("fori_loop", step, init, numbers, None, reverse=False)[0]
    dtype = np.result_type(*[type_of_leaf(x).dtype for x in bounds])
    first, last = [x.astype(dtype) for x in bounds]

    @functools.wraps(body_fun, assigned=("__name__",))
    def body(state: Any) -> Any:
        i, carry = state
        return i + dtype.type(1), body_fun(i, carry)

    return _while("fori_loop", lambda state: state[0] < last, body, (first, init))[1]


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """A loop over the first axis of `xs` that carries a value along and stacks its results.

    In Python: `for x in xs: carry, y = f(carry, x); ys.append(y)`.

    Parameters
    ----------
    f : from the carry and one element to a pair: the next carry (a tree of the same structure,
        shapes and dtypes) and any tree. It is captured once, without values, and may use values of
        enclosing transformations
    init : the first carry, a tree of arrays. Python numbers take the dtype that `f` gives them
    xs : a tree of arrays with n elements along their first axes, or None
    length : n, needed if `xs` is None
    reverse : begin with the last element; `ys` stays in the order of `xs`

    Returns
    -------
    The last carry, and the second results stacked along a new first axis.

    Derivative
    ----------
    Both modes, of any order. Reverse mode is a scan in the other direction over what the forward
    scan kept of each step; what is the same in every step is kept once.

    Cost
    ----
    Time and memory linear in n; a part of a constant that a step reads, as in `table[i]`, costs its
    own size in the reverse step, not that of the whole.

    Raises
    ------
    ArgumentError if `f` returns no pair or the carry changes its structure, DTypeError if the carry
    changes a type, ShapeError if the lengths differ.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> def running(x):
    ...     return wg.scan(lambda total, x: (total + x, total + x), 0.0, x)[1]
    >>> print(running(np.array([1.0, 2.0, 3.0])))
    [1. 3. 6.]
    >>> print(wg.grad(lambda x: np.sum(running(x)))(np.array([1.0, 2.0, 3.0])))
    [3. 2. 1.]
    """
    return _scan("scan", f, init, xs, length, reverse=reverse)


# ---------------------------------------------------------------- arguments


def _scalar(x: Any, what: str) -> list[Any]:
    found = leaves_of(x, what, "value")
    if len(found.leaves) != 1 or found.types[0].shape:
        got = shown(found.structure) if len(found.leaves) != 1 else str(found.types[0])
        raise ShapeError(
            f"{what} must be a scalar, not {got}",
            hint="use np.where for a choice per element, or wg.vmap for a batch",
        )
    return [as_bool(found.leaves[0])]


def _integer(x: Any, what: str) -> Any:
    found = leaves_of(x, what, "value")
    if len(found.leaves) != 1 or found.types[0].shape or found.types[0].dtype.kind not in "iu":
        got = found.types[0] if len(found.leaves) == 1 else shown(found.structure)
        raise DTypeError(f"{what} must be an integer, not {got}")
    return found.leaves[0]


def _stack(xs: Any, length: int | None, what: str) -> tuple[Tree, int]:
    """The elements (their types are those of one), and how many there are."""
    tree = leaves_of(xs, f"{what}: xs", "xs")
    count = None if length is None else int(length)
    if count is not None and count < 0:
        raise ArgumentError(f"{what}: length must not be negative, but it is {count}")
    for type_, name in zip(tree.types, tree.names, strict=True):
        if not type_.shape:
            raise ShapeError(f"{what}: {name} is {type_}, which has no axis to loop over")
        if count is not None and type_.shape[0] != count:
            raise ShapeError(
                f"{what}: expected {count} elements along the first axis, but {name} is {type_}"
            )
        count = type_.shape[0]
    if count is None:
        raise ArgumentError(
            f"{what}: without xs the number of steps is not known", hint="pass length="
        )
    types = [t.with_shape(t.shape[1:]) for t in tree.types]
    return tree._replace(types=types), count


# ---------------------------------------------------------------- captured functions


def _carrying(
    what: str, f: Any, init: Any, elements: Sequence[Any], parts: Callable[[Any], Any]
) -> tuple[Tree, Closure]:
    """The first carry and the captured body, in types that fit each other.

    `parts` takes the result of the body apart into the new carry and the rest.
    """
    carry = leaves_of(init, f"{what}: init", "init")
    weak = [type(x) in (bool, int, float) for x in flatten(init)[0]]
    seen: dict[str, Any] = {}

    def check(result: Any) -> Any:
        new, rest = parts(result)
        seen["structure"], seen["rest"] = flatten(new)[1], flatten(rest)[1]
        return flatten(new)[0], flatten(rest)[0]

    targets: Sequence[Type] | None = None
    for _ in range(3):
        made = closed(f, [carry.stand_in, *elements], what, check=check, targets=targets)
        if seen["structure"] != carry.structure:
            break
        count = len(carry.types)
        found = made.graph.output_types
        taken = [
            new if own is not new and is_weak and promoted(own.dtype.type, new) else own
            for own, new, is_weak in zip(carry.types, found, weak, strict=False)
        ]
        wanted = [*taken, *found[count:]]
        given_numbers = any(
            number and new is not own
            for number, new, own in zip(made.numbers, found, wanted, strict=True)
        )
        if taken == carry.types and not given_numbers:
            break
        carry = carry._replace(types=taken)
        targets = wanted
    fitted(what, carry, made, range(len(carry.types)), f, seen["structure"])
    leaves = [
        x if isinstance(x, Traced) or x.dtype == t.dtype else t.dtype.type(x)
        for x, t in zip(carry.leaves, carry.types, strict=True)
    ]
    return carry._replace(leaves=leaves), made._replace(structure=seen["rest"])


def _scan(
    what: str, f: Any, init: Any, xs: Any, length: int | None, *, reverse: bool
) -> tuple[Any, Any]:
    stack, count = _stack(xs, length, what)

    def parts(result: Any) -> Any:
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError(
                f"{what}: {described(f)} must return a pair (carry, y), not "
                f"{type(result).__name__}",
                hint="return (carry, None) where nothing is stacked",
            )
        return result

    carry, made = _carrying(what, f, init, [stack.stand_in], parts)
    layout = Layout(len(made.extras), len(carry.leaves), len(stack.leaves))
    order = [*range(made.own, made.own + layout.consts), *range(made.own)]
    params = scanning.scan_params(rearranged(made.graph, order), layout, count, reverse=reverse)
    results = call(scanning.scan, [*made.extras, *carry.leaves, *stack.leaves], params)
    return (
        unflatten(carry.structure, results[: layout.carries]),
        unflatten(made.structure, results[layout.carries :]),
    )


def _while(what: str, cond_fun: Any, body_fun: Any, init: Any) -> Any:
    carry, body = _carrying(what, body_fun, init, [], lambda result: (result, None))

    def check(result: Any) -> Any:
        return _scalar(result, f"{what}: the condition {described(cond_fun)}")

    going = closed(cond_fun, [carry.stand_in], what, check=check)
    extras, places = _merged([going, body])
    own = len(carry.leaves)
    types = [type_of_leaf(x) for x in extras]
    graphs = [
        rearranged(c.graph, [*_places(own, at, types), *range(own)])
        for c, at in zip((going, body), places, strict=True)
    ]
    results = call(
        looping.while_loop,
        [*extras, *carry.leaves],
        {"cond": graphs[0], "body": graphs[1], "consts": len(extras), "steps": ()},
    )
    return unflatten(carry.structure, results)


def _merged(closures: Sequence[Closure]) -> tuple[list[Any], list[dict[int, int]]]:
    """What several functions close over, each value once; and for each function, where among
    them its own are: place -> number of its own."""
    extras: list[Any] = []
    known: dict[Any, int] = {}
    places = []
    for made in closures:
        own: dict[int, int] = {}
        for number, value in enumerate(made.extras):
            traced = isinstance(value, Traced)
            key = (id(value._tape), value._index) if traced else id(value)
            if key not in known:
                known[key] = len(extras)
                extras.append(value)
            own[known[key]] = number
        places.append(own)
    return extras, places


def _places(own: int, at: dict[int, int], types: Sequence[Type]) -> list[Any]:
    return [own + at[k] if k in at else type_ for k, type_ in enumerate(types)]


# ---------------------------------------------------------------- branches


def _meeting(f: Any, blanks: Sequence[Any], own: Closure, other: Closure) -> Closure:
    """The branch with Python numbers among its results taken in the types of the other's."""
    types = other.graph.output_types
    if len(types) != len(own.numbers) or not any(
        number and mine is not theirs
        for number, mine, theirs in zip(own.numbers, own.graph.output_types, types, strict=True)
    ):
        return own
    return closed(f, blanks, "cond", targets=types)


def _check_branches(made: Sequence[Closure], functions: Sequence[Any]) -> None:
    true, false = made
    names = [described(f) for f in functions]
    if true.structure != false.structure:
        raise ArgumentError(
            f"cond: both branches must return the same tree, but {names[0]} returned "
            f"{shown(true.structure)} and {names[1]} returned {shown(false.structure)}"
        )
    for name, a, b in zip(
        true.names, true.graph.output_types, false.graph.output_types, strict=True
    ):
        if a is not b:
            raise DTypeError(
                f"cond: both branches must return the same types, but {name} is {a} from "
                f"{names[0]} and {b} from {names[1]}",
                hint="convert one of them, for instance with .astype or np.broadcast_to",
            )
