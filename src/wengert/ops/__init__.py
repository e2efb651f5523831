"""The rule table: every operator, declared once. Importing this package fills `TABLE`."""

from wengert.graph import Graph
from wengert.ops import (
    arithmetic,
    bounds,
    calling,
    comparing,
    contracting,
    diagonals,
    indexing,
    linalg,
    ordering,
    random,
    reducing,
    special,
    structural,
    transcendental,
)
from wengert.ops.calling import Component
from wengert.ops.elementwise import MINUS_ONE, ONE, Elementwise, Masked, plain
from wengert.ops.linear import Discrete, General, Linear, Structural, zeros
from wengert.ops.record import TABLE, Op, Unread

__all__ = [
    "MINUS_ONE",
    "ONE",
    "TABLE",
    "Component",
    "Discrete",
    "Elementwise",
    "General",
    "Linear",
    "Masked",
    "Op",
    "Structural",
    "Unread",
    "arithmetic",
    "bounds",
    "calling",
    "comparing",
    "contracting",
    "diagonals",
    "indexing",
    "linalg",
    "ordering",
    "plain",
    "random",
    "reducing",
    "special",
    "structural",
    "transcendental",
    "zeros",
]

Graph.operators = TABLE
