"""Capture: users' functions run on variables, whose operations are recorded as graphs."""

from wengert.capture.function import (
    Captured,
    argument_names,
    as_leaf,
    capture,
    check_argnums,
    function_name,
)
from wengert.capture.recorder import Recorder
from wengert.capture.trees import flatten, leaf_names, map_tree, unflatten
from wengert.capture.variable import FUNCTIONS, UFUNCS, Variable
from wengert.capture.view import View, view

__all__ = [
    "FUNCTIONS",
    "UFUNCS",
    "Captured",
    "Recorder",
    "Variable",
    "View",
    "argument_names",
    "as_leaf",
    "capture",
    "check_argnums",
    "flatten",
    "function_name",
    "leaf_names",
    "map_tree",
    "unflatten",
    "view",
]

# Last: it fills the tables of NumPy's functions, and needs everything above.
from wengert.capture import functions  # noqa: F401
