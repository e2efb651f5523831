"""wengert: automatic differentiation of NumPy programs.

import wengert as wg

wg.grad(lambda x: 1.0 / (1.0 + np.exp(-x)))(0.0)    # 0.25
"""

from __future__ import annotations

import importlib
from typing import Any

from wengert import errors
from wengert.graph.collecting import importing

with importing():
    from wengert.api import (
        Graph,
        autobatching,
        check_grads,
        checkpoint,
        compile,
        cond,
        custom_jvp,
        custom_vjp,
        explain,
        finish_compiling,
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
    "autobatching",
    "check_grads",
    "checkpoint",
    "compile",
    "cond",
    "custom_jvp",
    "custom_vjp",
    "errors",
    "explain",
    "finish_compiling",
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

#: Parts of the package that only some programs need: imported when they are first asked for.
_PARTS = frozenset({"nn", "numpy", "optim", "random"})


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"wengert.{name}")
    raise AttributeError(f"module 'wengert' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})
