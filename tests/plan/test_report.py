"""Numbers about plans: operations, bytes, memory."""

import numpy as np

import wengert as wg
from wengert.optimise import optimise
from wengert.plan import make_plan
from wengert.plan.report import graph_memory, memory_of, step_reports


def plan_of(f, *args):
    graph = wg.trace(f, *args)
    return graph, make_plan(optimise(graph).graph)


def test_bytes_and_operations_of_a_fused_kernel():
    x = np.ones(1000)
    _, plan = plan_of(lambda x: np.exp(x) * 2.0 + x, x)
    (step,) = step_reports(plan)
    assert step.kind == "kernel"
    assert step.operators == ["exp", "multiply", "add"]
    assert step.cost.flops == (20 + 1 + 1) * 1000
    assert 16_000 <= step.cost.bytes <= 16_008  # the scalar may be a load of its own
    assert all(line.startswith("test_report.py:") for line in step.lines)
    assert step.origin in ("memory", "disk", "llvm")


def test_operations_of_a_product():
    _, plan = plan_of(lambda a, b: a @ b, np.ones((7, 5)), np.ones((5, 3)))
    (step,) = [s for s in step_reports(plan) if s.kind == "product"]
    assert step.cost.flops == 2 * 7 * 5 * 3
    assert step.cost.bytes == 8 * (7 * 5 + 5 * 3 + 7 * 3)


def test_a_step_by_numpy_is_called_so():
    _, plan = plan_of(lambda a: np.linalg.cholesky(a), np.eye(3))
    assert "NumPy" in [s.kind for s in step_reports(plan)]


def test_every_computed_entry_is_in_a_step(rng):
    def loss(w, x):
        h = np.tanh(x @ w)
        return np.sum(h / np.sum(h * h, axis=1, keepdims=True))

    graph = wg.trace(wg.grad(loss), rng.normal(size=(4, 3)), rng.normal(size=(5, 4)))
    plan = make_plan(optimise(graph).graph)
    entries = [i for s in step_reports(plan) for i in s.entries]
    optimised = plan.graph
    live = optimised.live()
    computed = {
        i
        for i, (op, *_) in enumerate(optimised.entries)
        if live[i] and op.name not in ("input", "constant", "reshape")
    }
    assert computed <= set(entries)


def test_memory_of_a_chain_is_two_values():
    def chain(x):
        for _ in range(10):
            x = np.cumsum(x)
        return x

    x = np.ones(128)
    graph, plan = plan_of(chain, x)
    peak, everything = graph_memory(graph)
    assert peak == 2 * 1024
    assert everything == 9 * 1024
    memory = memory_of(plan, graph)
    assert memory.results == 1024
    assert memory.arena <= memory.unshared
    assert memory.unoptimised == peak
    assert memory.everything == everything
