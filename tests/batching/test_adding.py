"""Rows are added where numbers say, natively as by NumPy."""

import numpy as np
import pytest

from wengert.batching import adding
from wengert.codegen.engine import runtime_address
from wengert.errors import BoundsError
from wengert.ops import TABLE


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (128,), (3, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_added(rng, dtype, shape, native, monkeypatch):
    runtime_address("run_steps")
    monkeypatch.setattr(adding, "is_started", lambda: native)
    target = rng.standard_normal((9, *shape)).astype(dtype)
    rows = rng.integers(0, 9, 40)
    found = rng.standard_normal((40, *shape)).astype(dtype)
    wanted = target.copy()
    np.add.at(wanted, rows, found)
    adding.add_rows(target, rows, found)
    np.testing.assert_allclose(target, wanted, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_summed_as_the_operator_does(rng, dtype, native, monkeypatch):
    runtime_address("run_steps")
    monkeypatch.setattr(adding, "is_started", lambda: native)
    found = rng.standard_normal((40, 6)).astype(dtype)
    wide = rng.standard_normal((6, 40)).astype(dtype).T
    rows = rng.integers(-9, 9, 40)
    several = rng.integers(-9, 9, (40, 1))
    params = {"shape": (9, 6), "parts": (("gather", (0,)),)}
    for values, index in ((found, rows), (wide, rows.astype(np.int16)), (found[:, None], several)):
        wanted = TABLE["scatter_sum"].evaluate(values, index, **params)
        got = adding.sum_rows(values, index, **params)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)
        assert got.dtype == wanted.dtype
    with pytest.raises(BoundsError):
        adding.sum_rows(found, rows + 9, **params)
    columns = {"shape": (6, 9), "parts": (("gather", (1,)),)}
    np.testing.assert_allclose(
        adding.sum_rows(found, rows, **columns),
        TABLE["scatter_sum"].evaluate(found, rows, **columns),
    )
