"""Rows are added where numbers say, natively as by NumPy."""

import numpy as np
import pytest

from wengert.batching import adding
from wengert.codegen.engine import runtime_address


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
