"""Batching across examples: equal operators of a dynamic graph run together."""

from wengert.batching.mode import autobatching
from wengert.batching.reading import compute_together
from wengert.batching.run import run_gradient

__all__ = ["autobatching", "compute_together", "run_gradient"]
