"""Which kernels of products a graph will need."""

import numpy as np

import wengert as wg
from wengert.codegen.kernel import ProductSpec
from wengert.plan import unlinked_plan
from wengert.plan.products import foreseen


def planned(graph):
    return {spec for spec in unlinked_plan(graph).specs if isinstance(spec, ProductSpec)}


def test_what_is_foreseen_is_what_plans_ask_for():
    small, large = np.zeros((20, 30), np.float32), np.zeros((30, 40))
    for f, arrays in (
        (lambda x: x @ x.T, (small,)),
        (lambda x, y: (x.T @ x, y @ y.T), (small, large)),
        (lambda x: np.sum(x * x), (large,)),
        (lambda x, v: x @ v, (large, np.zeros(40))),  # BLAS multiplies vectors
    ):
        graph = wg.compile(f).optimized(*arrays)
        assert set(foreseen(graph)) == planned(graph)
