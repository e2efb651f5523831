"""The flat Wengert list: types, entries, building, printing, saving."""

from wengert.graph.graph import CONSTANT, INPUT, Entry, Graph, Leaf, Node
from wengert.graph.tape import Tape, Traced, current_tape, innermost, recording
from wengert.graph.types import Type, type_of

__all__ = [
    "CONSTANT",
    "INPUT",
    "Entry",
    "Graph",
    "Leaf",
    "Node",
    "Tape",
    "Traced",
    "Type",
    "current_tape",
    "innermost",
    "recording",
    "type_of",
]
