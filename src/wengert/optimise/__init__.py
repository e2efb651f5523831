"""The optimiser: a function from graph to graph, with a log of what it did and why."""

from wengert.optimise.pipeline import (
    PIPELINE,
    Optimised,
    optimise,
    optimise_for_all_sizes,
    stabilise,
    stabilise_for_all_sizes,
)
from wengert.optimise.record import Record, Rule
from wengert.optimise.rules import RULES

__all__ = [
    "PIPELINE",
    "RULES",
    "Optimised",
    "Record",
    "Rule",
    "optimise",
    "optimise_for_all_sizes",
    "stabilise",
    "stabilise_for_all_sizes",
]
