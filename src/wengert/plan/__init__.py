"""Plans: a graph as flat steps over memory laid out ahead."""

from wengert.plan.executable import Executable
from wengert.plan.plan import NativeStep, NumpyStep, Plan, make_plan
from wengert.plan.site import Site

__all__ = ["Executable", "NativeStep", "NumpyStep", "Plan", "Site", "make_plan"]
