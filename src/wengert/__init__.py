"""wengert: automatic differentiation of NumPy programs.

import wengert as wg

wg.grad(lambda x: 1.0 / (1.0 + np.exp(-x)))(0.0)    # 0.25
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wengert import errors
    from wengert.api import (
        Graph,
        check_grads,
        checkpoint,
        compile,
        cond,
        custom_jvp,
        custom_vjp,
        explain,
        fori_loop,
        grad,
        hessian,
        hvp,
        invertible,
        jacobian,
        jvp,
        linearize,
        load_compiled,
        replaying,
        scan,
        stop_gradient,
        trace,
        value_and_grad,
        vjp,
        vmap,
        while_loop,
    )

__version__ = "0.1.0"

__all__ = [
    "Graph",
    "check_grads",
    "checkpoint",
    "compile",
    "cond",
    "custom_jvp",
    "custom_vjp",
    "errors",
    "explain",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "invertible",
    "jacobian",
    "jvp",
    "linearize",
    "load_compiled",
    "replaying",
    "scan",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

#: Modules that are attributes of the package without an import of their own.
_MODULES = frozenset({"errors", "nn", "numpy", "optim"})


def __getattr__(name: str) -> Any:
    # A program that imports the package pays for it when it first uses it (PEP 562).
    if name in _MODULES:
        return importlib.import_module(f"wengert.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'wengert' has no attribute {name!r}")
    api = importlib.import_module("wengert.api")
    globals().update({key: getattr(api, key) for key in __all__ if key not in _MODULES})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
