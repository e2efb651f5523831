"""The builder: a tape that value-numbers, folds and simplifies whatever is recorded on it.

Recording an entry that exists already gives the existing one. An entry of constants becomes a
constant. An entry that a rule matches becomes the rule's right side, which is recorded in turn.
Right sides are written with wengert's operators, on the builder's own handles.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.errors import ShapeError
from wengert.graph import CONSTANT, INPUT, Graph, Type, sizes, type_of
from wengert.ops import TABLE
from wengert.optimise.folding import fold
from wengert.optimise.printing import expression, instance
from wengert.optimise.record import Record, Rule
from wengert.optimise.terms import Family, Term, match_operands

__all__ = ["Builder", "Match", "RuleIndex"]

#: How many right sides may be under construction inside each other.
_DEEPEST = 40
#: Array constants above this many bytes are told apart by identity, not by their bytes.
_LARGE = 1 << 20


#: A rule and one of its patterns.
_Candidate = tuple[Rule, Term]


class RuleIndex:
    """Rules by the operators at the top of their left sides. Made when it is first asked."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._found: dict[Any, tuple[_Candidate, ...]] = {}

    @functools.cached_property
    def _families(self) -> list[Rule]:
        return [rule for rule in self.rules if isinstance(rule.left.op, Family)]

    @functools.cached_property
    def _by_op(self) -> dict[Any, dict[Any, list[tuple[int, Rule]]]]:
        """By operator, and by what makes one of the operands (None: anything) the rules, with their
        numbers."""
        found: dict[Any, dict[Any, list[tuple[int, Rule]]]] = {}
        for number, rule in enumerate(self.rules):
            if not isinstance(rule.left.op, Family):
                makers = [m for m in map(_maker, rule.left.args) if m is not None]
                maker = makers[0] if makers else None
                by_maker = found.setdefault(rule.left.op, {})
                by_maker.setdefault(maker, []).append((number, rule))
        return found

    def may_change(self, op: Any) -> bool:
        """Whether there are rules for applications of this operator."""
        families = [rule.left.op.of for rule in self._families]
        return op in self._by_op or any(of is op or of == op.family for of in families)

    def candidates(self, op: Any, heads: tuple[Any, ...]) -> tuple[_Candidate, ...]:
        """The rules whose left side may match `op` applied to operands made by `heads`."""
        key = (op, heads)
        found = self._found.get(key)
        if found is None:
            by_maker = self._by_op.get(op, {})
            numbered = [pair for maker in {None, *heads} for pair in by_maker.get(maker, ())]
            own = [
                (rule, pattern)
                for _, rule in sorted(numbered, key=operator.itemgetter(0))
                # Most rules are never asked for the orders of their operands.
                if _may_match(rule.left, heads) or _may_match(rule.left, heads[::-1])
                for pattern in rule.patterns
                if _may_match(pattern, heads)
            ]
            general = [
                (rule, rule.left) for rule in self._families if rule.left.op.covers(op, heads)
            ]
            found = self._found[key] = (*own, *general)
        return found


def _maker(arg: Term) -> Any:
    """What must have made an operand; None if that does not matter."""
    if arg.kind == "apply":
        return arg.op
    return CONSTANT if arg.kind in ("number", "constant") else None


def _may_match(pattern: Term, heads: tuple[Any, ...]) -> bool:
    if len(pattern.args) != len(heads):
        return False
    for arg, head in zip(pattern.args, heads, strict=True):
        maker = _maker(arg)
        if maker is not None and maker is not head:
            return False
    return True


class Match:
    """What the variables of a left side stand for: `match["x"]` is a handle on the builder.

    Attributes
    ----------
    tape : the builder
    op, operands, params, type : the entry that is being replaced
    """

    __slots__ = ("env", "op", "operands", "params", "tape", "type")

    def __init__(
        self,
        tape: Builder,
        op: Any,
        operands: tuple[int, ...],
        params: Any,
        type_: Any,
        env: dict[str, Any],
    ) -> None:
        self.tape = tape
        self.op = op
        self.operands = operands
        self.params = params
        self.type = type_
        self.env = env

    def __getitem__(self, name: str) -> Any:
        return self.tape.handle_of(self.env[name])

    def param(self, name: str) -> Any:
        """The value of a parameter variable."""
        return self.env[name]

    def type_of(self, name: str) -> Any:
        """The type of what a variable stands for."""
        return self.tape.entries[self.env[name]][3]

    def number(self, name: str) -> Any:
        """The number that a constant variable stands for."""
        return self.tape.constants[self.env[name]]

    def made_by(self, handle: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """How a value is made: operator, operands as handles, parameters."""
        op, operands, params, _ = self.tape.entries[handle._index]
        return op, tuple([self.tape.handle_of(k) for k in operands]), dict(params)

    def again(self, args: Sequence[Any]) -> Any:
        """The operator of the replaced entry with the same parameters, on other operands."""
        return self.tape.record(self.op, tuple([a._index for a in args]), self.params)

    def args(self) -> list[Any]:
        """Handles of the operands of the entry that is being replaced."""
        return [self.tape.handle_of(k) for k in self.operands]

    def used_once(self) -> bool:
        """Whether the inner values of the pattern have no use outside it."""
        inner = self.env[""]
        return all(self.tape.uses.get(k, 1) <= inner.count(k) for k in inner)


class Builder(Recorder):
    """A tape under construction whose entries are all different and simplified.

    Attributes
    ----------
    uses : value number -> how often the graph that is being rebuilt uses it (missing: once)
    origin : value number -> number of the same value in the graph that the user gave
    log : what was done
    line : the user's line of the entry that is being rebuilt
    everything : all entries, for a rule that looks at others than those its own is made from
    settled : value numbers of the entries that no rule changes, as far as that depends on what they
        are made from alone, and not on `uses` or `everything`
    """

    def __init__(self, index: RuleIndex, *, stage: str, log: list[Record]) -> None:
        super().__init__()
        self.fast = False
        self.index = index
        self.settled: set[int] = set()
        self._is_quiet = False
        #: How often a rule looked further.
        self._looks = 0
        self.stage = stage
        self.log = log
        #: On sizes that are not known no log is written: a template has none.
        self.is_silent = sizes.is_watched()
        self.line = ""
        self._uses: dict[int, int] = {}
        self.origin: dict[int, int] = {}
        self._lines: dict[int, str] = {}
        self._numbers: dict[Any, int] = {}
        self._pending: set[Any] = set()

    @property
    def uses(self) -> dict[int, int]:
        self._looks += 1
        return self._uses

    def add_uses(self, k: int, count: int) -> None:
        """Count further uses of a value."""
        self._uses[k] = self._uses.get(k, 0) + count

    @property
    def everything(self) -> list[Any]:
        self._looks += 1
        return self.entries

    # ------------------------------------------------------------ leaves

    def handle_of(self, k: int) -> Any:
        """A handle on a value number."""
        return self.handle(self, k, self.entries[k][3])

    def _constant(self, value: Any, dtype: Any) -> int:
        if type(value) is sizes.Number:
            value = value if dtype in (None, value.dtype) else value.made(dtype.type, value)
        else:
            value = dtype.type(value) if dtype is not None else np.asarray(value)[()]
        return self._number(value)

    def _array_constant(self, value: Any) -> int:
        if value.ndim == 0:
            return self._number(value[()])
        uniform = _uniform(value)
        if uniform is not None:
            number = self._number(uniform)
            return self.emit(TABLE["broadcast_to"], (number,), (("shape", value.shape),))
        return self._number(value)

    def _number(self, value: Any) -> int:
        if sizes.watching:
            sizes.note_constant(value)
        large = value.nbytes > _LARGE
        bits = id(value) if large else value.tobytes()
        key = (CONSTANT, value.dtype, value.shape, bits)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.entries)
            self.entries.append((CONSTANT, (), (), type_of(value)))
            self.constants[found] = value
        return found

    def add_constant(self, value: Any) -> int:
        """The value number of a constant of the graph that is being rebuilt."""
        if isinstance(value, np.ndarray):
            return self._array_constant(value)
        return self._number(value if isinstance(value, np.generic) else np.asarray(value)[()])

    # ------------------------------------------------------------ entries

    def record(self, op: Any, operands: tuple[int, ...], params: Any = ()) -> Any:
        """A handle of the value of an entry: existing, folded, rewritten or new."""
        return self.handle_of(self.emit(op, operands, params))

    def emit(self, op: Any, operands: tuple[int, ...], params: Any = ()) -> int:
        """As `record`, by number."""
        key = (op, operands, params)
        found = self._numbers.get(key)
        if found is not None:
            return found
        if len(operands) == 2 and "commutative" in getattr(op, "traits", ()):
            found = self._numbers.get((op, operands[::-1], params))
            if found is not None:
                self._numbers[key] = found
                return found
        entries = self.entries
        type_ = op.infer(tuple([entries[k][3] for k in operands]), params)
        found = None
        is_quiet = False
        if key not in self._pending and len(self._pending) < _DEEPEST:
            self._pending.add(key)
            found = self._simplified(op, operands, params, type_, self.index)
            is_quiet = found is None and self._is_quiet
            self._pending.discard(key)
        if found is None:
            found = self._numbers.get(key)  # a right side may have recorded it
        if found is None:
            found = self._append(op, operands, params, type_)
            if is_quiet:
                self.settled.add(found)
        self._numbers[key] = found
        return found

    def keep(
        self,
        op: Any,
        operands: tuple[int, ...],
        params: Any,
        type_: Any,
        more: RuleIndex | None,
    ) -> int:
        """As `emit`, for an entry that is known to be settled, unless the rules of `more` change
        it."""
        key = (op, operands, params)
        found = self._numbers.get(key)
        if found is None and len(operands) == 2 and "commutative" in getattr(op, "traits", ()):
            found = self._numbers.get((op, operands[::-1], params))
        if found is None and more is not None and more.may_change(op):
            self._pending.add(key)
            found = self._simplified(op, operands, params, type_, more)
            self._pending.discard(key)
            if found is None:
                found = self._numbers.get(key)
        if found is None:
            found = self._append(op, operands, params, type_)
            self.settled.add(found)
        self._numbers[key] = found
        return found

    def _append(self, op: Any, operands: tuple[int, ...], params: Any, type_: Any) -> int:
        found = len(self.entries)
        self.entries.append((op, operands, params, type_))
        if self.line:
            self._lines[found] = self.line
        return found

    def _simplified(
        self, op: Any, operands: tuple[int, ...], params: Any, type_: Any, index: RuleIndex
    ) -> int | None:
        entries = self.entries
        self._is_quiet = False
        heads = tuple([entries[k][0] for k in operands])
        if heads and heads.count(CONSTANT) == len(heads):
            value = fold(op, [self.constants[k] for k in operands], params, type_)
            if value is not None:
                found = self.add_constant(value)
                if type_.shape and type(value) is sizes.Number:  # all elements of an array
                    found = self.emit(TABLE["broadcast_to"], (found,), (("shape", type_.shape),))
                self.note(
                    "fold",
                    "its operands are constants",
                    "floats",
                    "kept",
                    (op, operands, params),
                    found,
                )
                return found
        looks = self._looks
        for rule, pattern in index.candidates(op, heads):
            if isinstance(type_, Type) and type_.dtype.kind not in rule.kinds:
                continue
            env: dict[str, Any] = {"": []}
            if not match_operands(pattern, operands, params, self, env):
                continue
            match = Match(self, op, operands, params, type_, env)
            if rule.once and not match.used_once():
                continue
            if rule.when is not None and not rule.when(match):
                continue
            noted = len(self.log)
            made = self._right_side(rule, match, type_)
            if made is not None:
                self._note_rule(rule, match, made, noted)
                return made
        self._is_quiet = self._looks == looks
        return None

    def _note_rule(self, rule: Rule, match: Match, made: int, noted: int) -> None:
        if self.is_silent:
            return
        op, env = match.op, match.env
        before = expression(self, (op, match.operands, match.params), env[""])
        if not isinstance(rule.right, Term):
            self.note(rule.name, rule.why, rule.exact_in, rule.edges, before, made)
            return
        if len(self._pending) > 1 and op.family != "elementwise" and rule.right.kind != "apply":
            return  # a right side asked for a move of no element
        # What became of the right side itself stands after it.
        after = instance(self, rule.right, env)
        self.log.insert(
            noted,
            Record(
                self.stage, rule.name, rule.why, rule.exact_in, rule.edges, self.line, before, after
            ),
        )

    def _right_side(self, rule: Rule, match: Match, type_: Any) -> int | None:
        if isinstance(rule.right, Term):
            made = self._instance(rule.right, match)
        elif isinstance(rule.right, (int, float)):
            made = self.constant(rule.right, type_.dtype)
        else:
            made = rule.right(match)
            if made is None:
                return None
        k: int = made._index
        found = self.entries[k][3]
        if found is type_:
            return k
        if not isinstance(found, Type) or found.dtype != type_.dtype:
            return None
        try:
            return self.emit(TABLE["broadcast_to"], (k,), (("shape", type_.shape),))
        except ShapeError:
            return None

    def _instance(self, term: Term, match: Match) -> Any:
        if term.kind == "apply":
            args = [self._instance(a, match) for a in term.args]
            return term.op(*args, **dict(term.params))
        if term.kind == "number":
            return term.value
        return match[term.name]

    # ------------------------------------------------------------ the log

    def note(self, rule: str, why: str, exact_in: str, edges: str, before: Any, after: int) -> None:
        """Write one line of the log; `before` is text, or what `expression` takes."""
        if self.is_silent:
            return
        if not isinstance(before, str):
            before = expression(self, before)
        self.log.append(
            Record(
                self.stage, rule, why, exact_in, edges, self.line, before, expression(self, after)
            )
        )

    # ------------------------------------------------------------ the result

    def finished(
        self, outputs: Sequence[int], inputs: Sequence[int]
    ) -> tuple[Graph, list[int], set[int]]:
        """The graph of the entries that outputs need and of all inputs.

        Also for each of its entries the number in the graph that the user gave, or -1; and which
        are settled.
        """
        entries = self.entries
        live = [False] * len(entries)
        for k in outputs:
            live[k] = True
        for i in range(len(entries) - 1, -1, -1):
            if live[i]:
                for k in entries[i][1]:
                    live[k] = True
        number = [-1] * len(entries)
        kept: list[Any] = []
        constants, lines, names = {}, {}, {}
        origin = []
        for i, (op, operands, params, type_) in enumerate(entries):
            if not live[i] and op is not INPUT:
                continue
            n = number[i] = len(kept)
            kept.append((op, tuple([number[k] for k in operands]), params, type_))
            origin.append(self.origin.get(i, -1))
            if op is CONSTANT:
                constants[n] = self.constants[i]
            if i in self._lines:
                lines[n] = self._lines[i]
            if i in self.names:
                names[n] = self.names[i]
        graph = Graph(
            kept, [number[k] for k in inputs], [number[k] for k in outputs], constants, lines, names
        )
        return graph, origin, {number[k] for k in self.settled if live[k]}


def _uniform(value: Any) -> Any:
    # The number that all elements are, to the bit; None if they differ.
    if not value.size:
        return None
    first = value.flat[0]
    bits = f"u{value.itemsize}" if value.itemsize in (1, 2, 4, 8) else None
    if bits is None:
        return None
    whole = np.ascontiguousarray(value).reshape(-1).view(bits)
    if whole[0] != whole[-1] or whole[0] != whole[whole.size // 2]:
        return None
    return first if bool((whole == whole[0]).all()) else None
