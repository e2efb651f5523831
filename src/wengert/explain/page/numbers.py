"""Numbers and arrays as the page reads them."""

from __future__ import annotations

import math
from typing import Any, TypedDict

import numpy as np

__all__ = ["ArraySummary", "Budget", "Value", "WireNumber", "wire_number", "wire_value"]

WireNumber = int | float | str

#: Cells of all heat maps of a page together, and the most rows and columns of one.
_ALL_CELLS = 150_000
_MOST_CELLS = 32
_FEWEST_CELLS = 6


class ArraySummary(TypedDict):
    """What an array looks like from outside; `grid` is a down-sampled picture of it."""

    shape: list[int]
    min: WireNumber
    max: WireNumber
    mean: WireNumber
    nans: int
    infs: int
    grid: list[list[WireNumber]]
    exact: bool


Value = WireNumber | ArraySummary | None


class Budget:
    """How large the heat maps of a page may be: many arrays get smaller pictures each."""

    def __init__(self, arrays: int) -> None:
        fair = int(math.sqrt(_ALL_CELLS / max(arrays, 1)))
        self.side = max(_FEWEST_CELLS, min(_MOST_CELLS, fair))


def wire_number(value: Any) -> WireNumber:
    """A number in JSON; NaN, infinities and the negative zero as strings."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return "-0" if number == 0 and math.copysign(1.0, number) < 0 else number


def wire_value(value: Any, budget: Budget) -> Value:
    """A value for the page: a number, a summary of an array, or None if it has neither."""
    if value is None or isinstance(value, (tuple, list)):
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return None
    if array.ndim == 0:
        return wire_number(array[()])
    return _summarise(array.astype(np.float64), budget.side)


def _short(value: Any) -> WireNumber:
    # Six digits are more than a colour or a table cell shows.
    return wire_number(float(f"{float(value):.6g}"))


def _summarise(array: Any, side: int) -> ArraySummary:
    finite = array[np.isfinite(array)]
    low, high, mean = (
        (finite.min(), finite.max(), finite.mean()) if finite.size else (math.nan,) * 3
    )
    rows = array.reshape(-1, array.shape[-1]) if array.size else np.zeros((0, 0))
    grid = _shrink(_shrink(rows, side, 0), side, 1)
    return {
        "shape": list(array.shape),
        "min": wire_number(low),
        "max": wire_number(high),
        "mean": wire_number(mean),
        "nans": int(np.isnan(array).sum()),
        "infs": int(np.isinf(array).sum()),
        "grid": [[_short(v) for v in row] for row in grid],
        "exact": grid.shape == rows.shape,
    }


def _shrink(grid: Any, side: int, axis: int) -> Any:
    """Means over neighbouring rows or columns until there are at most `side` of them."""
    count = grid.shape[axis]
    if count <= side:
        return grid
    starts = np.arange(side) * count // side
    sizes = np.diff([*starts, count])
    with np.errstate(all="ignore"):
        sums = np.add.reduceat(grid, starts, axis=axis)
        return sums / (sizes[:, None] if axis == 0 else sizes)
