"""Batching across examples: equal operators of a dynamic graph run together."""

from wengert.batching.mode import autobatching
from wengert.batching.run import compute_together, run_gradient

__all__ = ["autobatching", "compute_together", "run_gradient"]
