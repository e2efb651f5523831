"""wengert: automatic differentiation of NumPy programs.

import wengert as wg

wg.grad(lambda x: 1.0 / (1.0 + np.exp(-x)))(0.0)    # 0.25
"""

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
