"""Where arrays begin, however they are laid out."""

import numpy as np
import pytest

from wengert.codegen.addresses import address

MATRIX = np.arange(12.0).reshape(3, 4)
FIXED = np.arange(5)
FIXED.flags.writeable = False


@pytest.mark.parametrize(
    "array",
    [MATRIX, MATRIX[1:], MATRIX.T, MATRIX[:, 1::2], FIXED, np.array(1.5), np.float16(2) * FIXED],
)
def test_address_is_that_of_the_first_element(array):
    assert address(array) == array.ctypes.data


def test_empty_arrays_have_some_address():
    assert isinstance(address(np.empty((0, 3))), int)
