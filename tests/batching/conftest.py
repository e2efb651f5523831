"""Fragments that one test's programs have taught are not there in the next one."""

import pytest

from wengert.batching.fragments import library


@pytest.fixture(autouse=True)
def no_fragments():
    """Nothing is known of earlier programs."""
    library.clear()
    yield
    library.clear()
