"""Sizes that are not known yet: integers that remember how they were made, and what was asked.

A function of graphs that runs on such sizes takes the same way for all sizes of which the same
answers are true. So it need not run again for other sizes: its result is written down with the
sizes put in, as long as the *conditions* hold that it asked on its way (`transform.templates`).

What makes this safe is that a `Size` is no integer to C: whatever would read its number in a way
that can't be repeated (an array of that length, a format, a division to a float) raises
`NotSymbolicError`, and the work is then done for each size anew. The same holds of a `Number`: a
constant of the program that depends on sizes, such as the length that a mean divides by.

Comparisons are noted where Python calls them. Looking something up by its hash compares with all
that is *not* found too: for that, all sizes and numbers that occur are noted (`note`), and have to
be as different from each other as they were.
"""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import numpy as np

__all__ = [
    "Fields",
    "NotSymbolicError",
    "Number",
    "Run",
    "Size",
    "decides",
    "is_size",
    "is_watched",
    "note",
    "note_constant",
    "note_tape",
]


class Fields:
    """What a template can write down that is more than a tuple: a class whose objects are made of
    `fields`, in this order."""

    __slots__ = ()

    fields: ClassVar[tuple[str, ...]] = ()


class NotSymbolicError(BaseException):
    """A size was read in a way that can't be repeated for another. Control flow, not an error:
    `except Exception` is not to swallow it."""


#: How many runs on sizes there are at this moment, in all threads: what others ask first.
watching = 0
_lock = threading.Lock()
_local = threading.local()
_fresh = itertools.count()

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

#: A polynomial: pairs of a monomial (the sorted numbers of its atoms) and its factor, sorted.
_Terms = tuple[tuple[tuple[int, ...], int], ...]


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotSymbolicError


class Run:
    """One run of a function on sizes: what it made and what it asked.

    Attributes
    ----------
    sizes, numbers : those that were made
    conditions : what was asked, and the answer: (comparison, left, right) or (function, argument)
    integers, constants : those that sizes and numbers must stay different from
    tapes : what recorded meanwhile
    """

    def __init__(self) -> None:
        self.sizes: dict[_Terms, Size] = {}
        self.numbers: dict[Any, Number] = {}
        self.conditions: dict[Any, tuple[Any, Any, bool]] = {}
        self.noted: set[Size] = set()
        self.integers: set[int] = {0, 1}
        self.tapes: list[Any] = []
        self.constants: set[tuple[Any, bytes]] = set()
        #: By the number of an atom: its text in a formula over the symbols `s[0]`, `s[1]`, ….
        self._texts: dict[int, str] = {}
        self._atoms: dict[Any, Size] = {}
        #: The values of the symbols.
        self._symbols: list[int] = []

    def symbol(self, value: int) -> Size:
        """A size that is given, number by number."""
        made = self._atom(f"s[{len(self._symbols)}]", value)
        self._symbols.append(value)
        return made

    def _atom(self, text: str, value: int) -> Size:
        # Numbers of atoms are never used twice: what is remembered of one run means no other.
        number = next(_fresh)
        self._texts[number] = text
        found = self.size({(number,): 1}, value)
        assert type(found) is Size
        return found

    def size(self, terms: dict[tuple[int, ...], int], value: int) -> Any:
        """The size with this polynomial; an integer if it has no atoms."""
        kept: _Terms = tuple(sorted((m, f) for m, f in terms.items() if f))
        if not kept:
            return 0
        if len(kept) == 1 and not kept[0][0]:
            return kept[0][1]
        found = self.sizes.get(kept)
        if found is None:
            found = self.sizes[kept] = Size(self, kept, value)
        return found

    def quotient(self, how: str, a: Any, b: Any) -> Any:
        """The size a // b or a % b."""
        if not (b != 0 and a >= 0):
            raise NotSymbolicError
        if type(a) is Size and type(b) is not Size and all(f % b == 0 for _, f in a.terms):
            return self.size({m: f // b for m, f in a.terms}, a.value // b) if how == "//" else 0
        key = (how, a, b)
        found = self._atoms.get(key)
        if found is None:
            value = _value(a) // _value(b) if how == "//" else _value(a) % _value(b)
            text = f"(({self.text(a)}){how}({self.text(b)}))"
            found = self._atoms[key] = self._atom(text, value)
        return found

    def text(self, size: Any) -> str:
        """A formula for a size over the symbols."""
        if type(size) is not Size:
            return repr(int(size))
        terms = []
        for monomial, factor in size.terms:
            parts = [self._texts[k] for k in monomial]
            terms.append("*".join(parts if factor == 1 and parts else [str(factor), *parts]))
        return "+".join(terms)

    def number(self, key: Any, recipe: Any, value: Any) -> Number:
        """The number that is made in this way."""
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = Number(self, recipe, value, len(self.numbers))
        return found

    def ask(self, how: str, a: Any, b: Any) -> bool:
        """The answer to a comparison, which is noted."""
        answer = bool(_COMPARISONS[how](_value(a), _value(b)))
        self.conditions.setdefault((how, _key(a), _key(b)), (how, (a, b), answer))
        return answer

    def decide(self, predicate: Callable[..., Any], *args: Any) -> bool:
        """The answer of a function of numbers, which is noted."""
        answer = bool(predicate(*[_value(a) for a in args]))
        key = (predicate, *[_key(a) for a in args])
        self.conditions.setdefault(key, (predicate, args, answer))
        return answer

    def beyond(self) -> list[tuple[int, int]]:
        """Symbols, by number, with the values from which on an answer that was given would be
        another, where that is known; those first that are nearest to the values given."""
        found: dict[tuple[int, int], float] = {}
        for how, args, answer in self.conditions.values():
            if how not in ("<", "<=", ">", ">=") or not isinstance(args[1], int):
                continue
            line, bound = self._line(args[0]), _value(args[1])
            if line is None or is_size(args[1]):
                continue
            symbol, factor, constant = line
            given = self._symbols[symbol]
            near = (bound - constant) // factor
            tried = range(near - 1, near + 3)
            for x in tried if given < near else reversed(tried):
                if x > 1 and _COMPARISONS[how](factor * x + constant, bound) != answer:
                    found[symbol, x] = max(x, given) / min(x, given) if given > 0 else x
                    break
        return sorted(found, key=lambda pair: found[pair])

    def _line(self, size: Any) -> tuple[int, int, int] | None:
        """A size as symbol, factor and constant; None if it is more than that."""
        if type(size) is not Size:
            return None
        terms = dict(size.terms)
        constant = terms.pop((), 0)
        symbols = {f"s[{k}]": k for k in range(len(self._symbols))}
        for monomial, factor in terms.items():
            if len(terms) == 1 and len(monomial) == 1 and self._texts[monomial[0]] in symbols:
                return symbols[self._texts[monomial[0]]], factor, constant
        return None

    def note_tapes(self) -> None:
        """Note what was recorded meanwhile, also where no operator was asked for its type."""
        for tape in self.tapes:
            for _, _, params, type_ in tape.entries:
                note(params, type_)
            for value in tape.constants.values():
                note_constant(value)
        self.tapes.clear()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A block in which what this thread does is noted."""
        global watching
        outer = getattr(_local, "run", None)
        with _lock:
            watching += 1
        _local.run = self
        try:
            yield
        finally:
            _local.run = outer
            with _lock:
                watching -= 1


def _value(a: Any) -> Any:
    return a.value if type(a) in (Size, Number) else a


def _key(a: Any) -> Any:
    if type(a) is Size:
        return a.terms
    if type(a) is Number:
        return ("number", a.place)
    if isinstance(a, np.generic):
        return (a.dtype, a.tobytes())
    return (type(a), repr(a))


def _combined(a: Size, other: Any, factor: int, value: Callable[[int, int], int]) -> Any:
    if type(other) is Size:
        terms = dict(a.terms)
        for monomial, f in other.terms:
            terms[monomial] = terms.get(monomial, 0) + factor * f
        return a.run.size(terms, value(a.value, other.value))
    if isinstance(other, (int, np.integer)):
        terms = dict(a.terms)
        terms[()] = terms.get((), 0) + factor * int(other)
        return a.run.size(terms, value(a.value, int(other)))
    return NotImplemented


def _comparison(how: str) -> Any:
    def method(self: Any, other: Any) -> Any:
        if other is self and type(self) is Size:
            return how in ("==", "<=", ">=")
        if type(other) in (Size, Number) or isinstance(other, (int, float, np.number)):
            return self.run.ask(how, self, other)
        return NotImplemented

    return method


class Size:
    """An integer with a formula: a polynomial of the sizes that are given."""

    __slots__ = ("_hash", "run", "terms", "value")

    def __init__(self, run: Run, terms: _Terms, value: int) -> None:
        self.run = run
        self.terms = terms
        self.value = value
        self._hash = hash(terms)

    __class__: Any = property(lambda self: int)

    def __hash__(self) -> int:
        return self._hash

    __eq__ = _comparison("==")
    __ne__ = _comparison("!=")
    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")

    def __bool__(self) -> bool:
        return self.run.ask("!=", self, 0)

    def __add__(self, other: Any) -> Any:
        return _combined(self, other, 1, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return _combined(self, other, -1, operator.sub)

    def __neg__(self) -> Any:
        return self.run.size({m: -f for m, f in self.terms}, -self.value)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if type(other) is Size:
            terms: dict[tuple[int, ...], int] = {}
            for (m, f), (n, g) in itertools.product(self.terms, other.terms):
                both = tuple(sorted(m + n))
                terms[both] = terms.get(both, 0) + f * g
            return self.run.size(terms, self.value * other.value)
        if isinstance(other, (int, np.integer)):
            times = int(other)
            return self.run.size({m: f * times for m, f in self.terms}, self.value * times)
        return NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return self.run.quotient("//", self, other)

    def __mod__(self, other: Any) -> Any:
        return self.run.quotient("%", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self.run.quotient("//", other, self)

    def __rmod__(self, other: Any) -> Any:
        return self.run.quotient("%", other, self)

    def __pos__(self) -> Size:
        return self

    __index__ = __int__ = __float__ = __complex__ = __round__ = __trunc__ = _refuse
    __repr__ = __str__ = __format__ = __reduce__ = __array__ = _refuse
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __divmod__ = __rdivmod__ = _refuse
    __lshift__ = __rshift__ = __rlshift__ = __rrshift__ = __and__ = __or__ = __xor__ = _refuse
    __rand__ = __ror__ = __rxor__ = __invert__ = __abs__ = __floor__ = __ceil__ = _refuse


def _operation(function: Callable[..., Any], *, reflected: bool = False) -> Any:
    def method(self: Number, *other: Any) -> Any:
        return self.made(function, *((*other, self) if reflected else (self, *other)))

    return method


class Number:
    """A constant without axes that depends on sizes: a NumPy scalar, and how to make it again."""

    __slots__ = ("place", "recipe", "run", "value")

    def __init__(self, run: Run, recipe: Any, value: Any, place: int) -> None:
        self.run = run
        self.recipe = recipe
        self.value = value
        self.place = place

    __class__: Any = property(lambda self: type(self.value))

    dtype = property(lambda self: self.value.dtype)
    shape = property(lambda self: ())
    ndim = property(lambda self: 0)
    size = property(lambda self: 1)
    nbytes = property(lambda self: self.value.nbytes)
    itemsize = property(lambda self: self.value.itemsize)

    def tobytes(self) -> bytes:
        """Its bits: not known, but different from all others (see `Run.constants`)."""
        return b"number %d" % self.place

    def __hash__(self) -> int:
        return hash(("number", id(self.run), self.place))

    def made(self, function: Callable[..., Any], *args: Any) -> Any:
        """The number that a function gives of these; a bool is decided now."""
        for a in args:
            if is_size(a):
                raise NotSymbolicError
            if not isinstance(a, (int, float, np.generic)):
                return NotImplemented
        value = function(*[_value(a) for a in args])
        if isinstance(value, (bool, np.bool_)):
            return self.run.decide(function, *args)
        if not isinstance(value, np.generic):
            raise NotSymbolicError
        key = (function, *[_key(a) for a in args])
        return self.run.number(key, (function, args), value)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc.nout != 1:
            raise NotSymbolicError
        return self.made(ufunc, *args)

    __eq__ = _comparison("==")
    __ne__ = _comparison("!=")
    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")
    __add__, __radd__ = _operation(operator.add), _operation(operator.add, reflected=True)
    __sub__, __rsub__ = _operation(operator.sub), _operation(operator.sub, reflected=True)
    __mul__, __rmul__ = _operation(operator.mul), _operation(operator.mul, reflected=True)
    __truediv__ = _operation(operator.truediv)
    __rtruediv__ = _operation(operator.truediv, reflected=True)
    __neg__, __abs__ = _operation(operator.neg), _operation(operator.abs)

    def __bool__(self) -> bool:
        return self.run.ask("!=", self, 0)

    __index__ = __int__ = __float__ = __complex__ = __round__ = __trunc__ = _refuse
    __repr__ = __str__ = __format__ = __reduce__ = __array__ = _refuse
    __pow__ = __rpow__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _refuse


def decides(predicate: Callable[..., bool]) -> Callable[..., bool]:
    """Declare a function of numbers alone to be a question: asked of a `Number`, it is noted."""

    def decided(*args: Any) -> bool:
        for a in args:
            if type(a) is Number:
                return a.run.decide(predicate, *args)
        return predicate(*args)

    return decided


def is_size(value: Any) -> bool:
    """Whether a value is a `Size`, which says of itself that it is an integer."""
    return type(value) is Size


def note(*found: Any) -> None:
    """Note the sizes and integers in types and parameters of an entry, if this thread watches."""
    run: Run | None = getattr(_local, "run", None)
    if run is None:
        return
    stack = list(found)
    while stack:
        item = stack.pop()
        if type(item) is Size:
            run.noted.add(item)
        elif isinstance(item, (tuple, list)):
            stack.extend(item)
        elif isinstance(item, (int, np.integer)):
            run.integers.add(int(item))
        elif hasattr(item, "shape") and hasattr(item, "is_float"):
            stack.extend(item.shape)


def note_tape(tape: Any) -> None:
    """Note, at the end, what a tape has recorded, if this thread watches."""
    run: Run | None = getattr(_local, "run", None)
    if run is not None:
        run.tapes.append(tape)


def note_constant(value: Any) -> None:
    """Note a constant, if this thread watches."""
    run: Run | None = getattr(_local, "run", None)
    if run is not None and type(value) is not Number and not value.shape:
        run.constants.add((value.dtype, value.tobytes()))


def is_watched() -> bool:
    """Whether this thread runs on sizes."""
    return watching > 0 and getattr(_local, "run", None) is not None
