"""Named tuples are those of `typing`, made more quickly."""

import pickle
from typing import get_type_hints

import pytest

from wengert.graph.tuples import NamedTuple


class Point(NamedTuple):
    """A point."""

    x: int
    y: float = 2.0

    @property
    def double(self) -> float:
        return self.y * 2


class Mark(Point):
    """A point with another name."""


def test_it_is_a_named_tuple():
    point = Point(1)
    assert point == (1, 2.0) == Point(x=1, y=2.0)
    assert (point.x, point.y, point.double) == (1, 2.0, 4.0)
    assert point._replace(y=3.0) == (1, 3.0)
    assert point._asdict() == {"x": 1, "y": 2.0}
    assert Point._fields == Point.__match_args__ == ("x", "y")
    assert repr(point) == "Point(x=1, y=2.0)"
    assert (Point.__doc__, Point.__module__) == ("A point.", __name__)
    assert get_type_hints(Point) == {"x": int, "y": float}
    assert pickle.loads(pickle.dumps(point)) == point
    assert repr(Mark(1)) == "Mark(x=1, y=2.0)"


def test_what_does_not_fit_is_an_error():
    with pytest.raises(TypeError):
        Point()
    with pytest.raises(TypeError):
        Point(1, 2.0, 3)
    with pytest.raises(AttributeError):
        Point(1).x = 2
