"""NumPy's functions, as spellings of the operators of the rule table.

Importing this package fills the tables by which `Variable` answers NumPy's protocols, and attaches
the methods of `Variable`.
"""

from wengert.capture.functions import (
    contracting,
    creating,
    joining,
    linalg,
    methods,
    numeric,
    reducing,
    searching,
    selecting,
    shaping,
    statistics,
    ufuncs,
)
from wengert.capture.functions.registry import PUBLIC

__all__ = [
    "PUBLIC",
    "contracting",
    "creating",
    "joining",
    "linalg",
    "methods",
    "numeric",
    "reducing",
    "searching",
    "selecting",
    "shaping",
    "statistics",
    "ufuncs",
]
