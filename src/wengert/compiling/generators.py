"""NumPy's random generators in a function that is compiled: what they draw is drawn once.

A compiled function runs in Python when it is captured, and never again; what a generator gives then
is a constant. The generators that a function can reach are looked at before and after: those of its
globals, closures, defaults, and of the objects it is a method of. One that is reached in another
way is not seen.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["warning_of_draws"]

_MOST = 500


def _reached(f: Any) -> list[Any]:
    """The generators that a function can reach."""
    random = sys.modules.get("numpy.random")
    if random is None:
        return []
    kinds = (random.Generator, random.RandomState)
    found, stack = [random.mtrand._rand], [f]
    seen: set[int] = set()
    while stack and len(seen) < _MOST:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, kinds):
            found.append(value)
        elif isinstance(value, types.MethodType):
            stack += [value.__func__, value.__self__]
        elif isinstance(value, types.FunctionType):
            stack += [c.cell_contents for c in value.__closure__ or () if _is_filled(c)]
            # The closures of `wg.grad(f)` lead to the user's function; its globals lead nowhere.
            if not (value.__module__ or "").startswith(("wengert.", "numpy.")):
                stack += [value.__globals__.get(name) for name in _names(value.__code__)]
                stack += value.__defaults__ or ()
        elif not isinstance(value, (type, types.ModuleType)):
            parts = getattr(value, "__dict__", {})
            stack += [part for part in parts.values() if isinstance(part, kinds)]
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _state(generator: Any) -> Any:
    if hasattr(generator, "bit_generator"):
        return repr(generator.bit_generator.state)
    _, words, *rest = generator.get_state()
    return words.tobytes(), rest


@contextmanager
def warning_of_draws(f: Callable[..., Any]) -> Iterator[None]:
    """Warn if a generator that `f` can reach draws meanwhile."""
    generators = _reached(f)
    before = [_state(g) for g in generators]
    yield
    if before != [_state(g) for g in generators]:
        name = getattr(f, "__qualname__", "the function")
        warnings.warn(
            f"compile: {name} drew from a random generator of NumPy while it was captured: every "
            "call gets the same numbers. Hint: give it a key, and draw with wg.random",
            UserWarning,
            stacklevel=2,
        )
