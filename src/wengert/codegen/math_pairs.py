"""Unevaluated sums of two floats: error-free sums and products.

T. J. Dekker, "A floating-point technique for extending the available precision", 1971;
D. E. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2.
"""

from __future__ import annotations

from wengert.codegen.vector import Lanes, fma
from wengert.graph.tuples import NamedTuple

__all__ = ["Pair", "fast_two_sum", "two_product", "two_sum"]


class Pair(NamedTuple):
    """high + low, where low is at most about an ulp of high."""

    high: Lanes
    low: Lanes

    def times(self, high: Lanes, low: Lanes) -> Pair:
        """The product with another pair; the low part is not normalised."""
        product, lost = two_product(self.high, high)
        return Pair(product, fma(self.high, low, fma(self.low, high, lost)))


def fast_two_sum(a: Lanes, b: Lanes) -> Pair:
    """a + b exactly, where a is zero only if b is, or else not the smaller in magnitude."""
    total = a + b
    return Pair(total, b - (total - a))


def two_sum(a: Lanes, b: Lanes) -> Pair:
    """a + b exactly."""
    total = a + b
    of_b = total - a
    return Pair(total, (a - (total - of_b)) + (b - of_b))


def two_product(a: Lanes, b: Lanes) -> Pair:
    """a * b exactly."""
    product = a * b
    return Pair(product, fma(a, b, -product))
