"""Two instructions of a kernel as one: a product and the sum it goes into, a sigmoid and the one of
the negative number.

A product that only one sum reads is multiplied and added with one rounding instead of two, which
is one instruction less on processors that have it (elsewhere, and where the product is read again,
nothing is gained, and nothing changes). sigmoid(-x) beside sigmoid(x) shares its exponential.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wengert.codegen.kernel import Instruction, KernelSpec, Load, Store

__all__ = ["contracted"]

_PRODUCTS = ("multiply", "square")


def contracted(spec: KernelSpec) -> KernelSpec:
    """The same kernel with fewer instructions."""
    names = {x.name for x in spec.body}
    if names.isdisjoint(("add", "subtract", "sigmoid")) or names.isdisjoint(
        (*_PRODUCTS, "negative")
    ):
        return spec
    merged = _merged(spec)
    return spec if merged == list(spec.body) else _without_unused(spec, merged)


def _merged(spec: KernelSpec) -> list[Instruction]:
    """The body with sums that multiply; the products themselves are left behind."""
    n, full, phases = len(spec.loads), spec.is_full(), spec.phases()
    uses = Counter(k for x in spec.body for k in x.operands)
    uses.update(store.value for store in spec.stores)
    both = _both_sigmoids(spec)

    def product_of(k: int, of: int) -> Instruction | None:
        # A product in an earlier loop over the row, or before it, is computed there.
        if k < n or uses[k] != 1 or full[k] != full[of] or phases[k] != phases[of]:
            return None
        made = spec.body[k - n]
        is_float = made.dtype.kind == "f" and made.dtype.itemsize >= 4
        return made if is_float and made.name in _PRODUCTS else None

    body: list[Instruction] = []
    for number, x in enumerate(spec.body, start=n):
        found = x
        if x.name in ("add", "subtract"):
            first, second = x.operands
            # The product that was made last would be waited for.
            for k, other in sorted(((first, second), (second, first)), reverse=True):
                made = product_of(k, number)
                if made is not None:
                    how = "multiply_add"
                    if x.name == "subtract":
                        how = "multiply_subtract" if k == first else "subtract_multiply"
                    a, b = made.operands if made.name == "multiply" else made.operands * 2
                    found = Instruction(how, (a, b, other), (), x.dtype)
                    break
        elif x.name == "sigmoid" and x.operands[0] in both:
            of = both[x.operands[0]]
            minus = of != x.operands[0]
            found = Instruction("sigmoid_pair", (of,), (("minus", minus),), x.dtype)
        body.append(found)
    return body


def _both_sigmoids(spec: KernelSpec) -> dict[int, int]:
    """The operands x and -x of sigmoids of both, and for each x."""
    n = len(spec.loads)
    operands = {x.operands[0] for x in spec.body if x.name == "sigmoid"}
    found: dict[int, int] = {}
    for k in operands:
        if k >= n and spec.body[k - n].name == "negative":
            (source,) = spec.body[k - n].operands
            if source in operands:
                found[k] = found[source] = source
    return found


def _without_unused(spec: KernelSpec, body: Sequence[Instruction]) -> KernelSpec:
    n = len(spec.loads)
    needed = {store.value for store in spec.stores}
    for number in range(n + len(body) - 1, n - 1, -1):
        if number in needed:
            needed.update(body[number - n].operands)
    # Loads stay: their addresses are arguments.
    number_of: dict[int, int] = {k: k for k in range(n)}
    kept: list[Instruction] = []
    for number, x in enumerate(body, start=n):
        if number in needed:
            number_of[number] = n + len(kept)
            kept.append(x._replace(operands=tuple([number_of[k] for k in x.operands])))
    stores = tuple([Store(number_of[s.value], s.bits, s.combine) for s in spec.stores])
    loads: tuple[Load, ...] = spec.loads
    return KernelSpec(spec.rank, loads, tuple(kept), stores)
