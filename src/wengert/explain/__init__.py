"""Explaining derivatives: every number that automatic differentiation computes, step by step."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from wengert.explain.explanation import Explanation
from wengert.explain.function import explain, explain_formula

__all__ = ["Explanation", "explain", "explain_formula"]


class _Explaining(ModuleType):
    # Importing this package binds its name in `wengert`, where `wg.explain` is the function: so the
    # package can be called like it.
    def __call__(self, f: Callable[..., Any]) -> Callable[..., Explanation]:
        return explain(f)


sys.modules[__name__].__class__ = _Explaining
