"""Plans: a graph as flat steps over memory laid out ahead."""

from wengert.plan.executable import Executable, SpareMemory, ready_array
from wengert.plan.linking import link
from wengert.plan.native import NativeCallable, enter_directly
from wengert.plan.plan import Plan, make_plan, unlinked_plan
from wengert.plan.site import Site
from wengert.plan.steps import NativeStep, NumpyStep

__all__ = [
    "Executable",
    "NativeCallable",
    "NativeStep",
    "NumpyStep",
    "Plan",
    "Site",
    "SpareMemory",
    "enter_directly",
    "link",
    "make_plan",
    "ready_array",
    "unlinked_plan",
]
