"""Transformations of functions and of graphs."""

from wengert.transform.control import cond, fori_loop, scan, while_loop
from wengert.transform.custom import custom_jvp, custom_vjp, stop_gradient
from wengert.transform.gradient import grad, jvp, linearize, value_and_grad, vjp
from wengert.transform.jacobian import hessian, hvp, jacobian
from wengert.transform.memory.checkpoint import checkpoint
from wengert.transform.memory.invertible import invertible
from wengert.transform.trace import trace
from wengert.transform.vmap import vmap

__all__ = [
    "checkpoint",
    "cond",
    "custom_jvp",
    "custom_vjp",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "invertible",
    "jacobian",
    "jvp",
    "linearize",
    "scan",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
