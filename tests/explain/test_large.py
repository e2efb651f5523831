"""Long and wide graphs: no recursion, exact counts, bounded text."""

import numpy as np
import pytest

from wengert.explain import explain


@pytest.fixture(scope="module")
def chain():
    def f(x):
        for _ in range(100_000):
            x = np.sin(x)
        return x

    return explain(f)(0.5)


def test_a_chain_of_100_000(chain):
    assert len(chain.operators) == 100_000
    assert chain.paths().count == 1
    (d,) = chain.derivatives
    assert d.finite_difference == pytest.approx(float(d.value), rel=1e-4)
    forward, reverse = chain.memory()
    assert (forward.accumulation, reverse.accumulation) == (1, 1)
    assert forward.multiplications == reverse.multiplications == 99_999
    # sin needs its operand: h1 to h99999.
    assert reverse.tape == 99_999


def test_its_text_and_picture_are_bounded(chain):
    assert len(str(chain)) < 50_000
    assert len(chain.to_svg()) < 400_000
    assert len(chain.latex()) < 20_000


def test_its_formula_is_linear(chain):
    formula = chain.formula_of("x")
    assert len(formula.definitions) >= 99_000
    assert len(str(formula)) < 100 * 100_000


def test_paths_are_counted_exactly():
    def f(x):
        for _ in range(5000):
            x = x + x
        return x * 0.0

    paths = explain(f)(1.0).paths()
    assert paths.count == 2**5000
    assert "about 10^1505 paths" in str(paths)
    assert len(paths.listed) == 20


def test_a_wide_fan():
    def f(x):
        total = x
        for k in range(3000):
            total = total + x * float(k)
        return total

    explanation = explain(f)(1.0)
    assert explanation.paths().count == 3001
    assert float(explanation.derivatives[0].value) == 1.0 + 2999 * 3000 / 2
    assert len(str(explanation)) < 60_000


def test_many_inputs():
    explanation = explain(lambda *xs: sum(xs))(*[1.0] * 300)
    assert len(explanation.derivatives) == 300
    assert all(d.value == 1.0 for d in explanation.derivatives)
    assert len(str(explanation)) < 200_000
