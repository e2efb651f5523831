"""Running a user's function on variables."""

import numpy as np

from wengert.capture import capture


def test_graphs_that_differ_in_an_entry_that_is_not_looked_at_first():
    """A structure that comes again is the same graph, told apart by all of its entries."""

    def recorded(odd):
        def f(x):
            for k in range(200):
                x = np.sin(x) if k == odd else np.cos(x)
            return x

        return capture(f, (1.0,), {}, traced=(0,), purpose="test").graph

    first, second = recorded(1), recorded(4)
    assert first != second
    assert recorded(1) is first
    assert recorded(4) is second
