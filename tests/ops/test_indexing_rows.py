"""Rows that are added at indices, some of them several times."""

import numpy as np
import pytest

from wengert.ops import TABLE


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.bool_])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_rows_are_added_as_numpy_does(rng, count, dtype):
    at = rng.integers(-6, 6, count)
    value = rng.integers(0, 2, (count, 3)).astype(dtype)
    found = TABLE["scatter_sum"].evaluate(value, at, shape=(6, 3), parts=(("gather", (0,)),))
    wanted = np.zeros((6, 3), dtype)
    np.add.at(wanted, at, value)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)
