"""Views: parts of a variable, and the same elements in another shape.

They share elements with their base as NumPy's views do: an assignment through either is seen by
both.
"""

from __future__ import annotations

from typing import Any

from wengert.capture.variable import HANDLES, Variable
from wengert.errors import MutationError
from wengert.ops import TABLE

__all__ = ["View", "view"]


class View(Variable):
    """Part of another variable, or the same elements in another shape.

    It is read from its base anew whenever the base has been assigned to, and an assignment through
    it goes into the base. `certain` is False where NumPy itself decides by memory layout whether
    elements are shared: then an assignment to either side is an error.
    """

    __slots__ = ("_at", "_base", "_certain", "_op", "_params", "_seen")

    def __init__(
        self, made: Any, base: Any, op: Any, params: tuple[tuple[str, Any], ...], certain: bool
    ) -> None:
        self._tape = made._tape
        self._type = made._type
        self._at = made._index
        self._base = base
        self._seen = base._index
        self._op = op
        self._params = params
        self._certain = certain

    @property
    def _index(self) -> int:
        base = self._base
        if base._index != self._seen:
            if not self._certain:
                self._refuse()
            self._seen = base._index
            self._at = self._tape.record(self._op, (self._seen,), self._params)._index
        return self._at  # type: ignore[no-any-return]

    def _refuse(self) -> None:
        raise MutationError(
            "an array was assigned to after it was reshaped: whether both share memory depends on "
            "its layout",
            hint="take a copy, x.reshape(...).copy(), or assign before reshaping",
        )

    def _assign(self, new: Any) -> None:
        if not self._certain:
            self._refuse()
        params = dict(self._params)
        base = self._base
        name = self._op.name
        if name == "slice_index":
            changed = TABLE["assign"](base, new, part=("slice", params["key"]))
        elif name == "reshape":
            changed = TABLE["reshape"](new, shape=base.shape)
        elif name == "transpose":
            axes = params["axes"]
            inverse = tuple(sorted(range(len(axes)), key=axes.__getitem__))
            changed = TABLE["transpose"](new, axes=inverse)
        else:
            raise MutationError(
                f"the result of {name} is read-only, as NumPy's is", hint="assign to a copy of it"
            )
        base._assign(changed)


def view(base: Any, name: str, **params: Any) -> Any:
    """The view of `base` by one of the shape operators."""
    op = TABLE[name]
    made = op(base, **params)
    if not base.shape and name != "broadcast_to" and not isinstance(base, View):
        return made  # of a NumPy scalar, which shares nothing
    certain = name != "reshape" or _reshape_shares(base.shape, params["shape"])
    return View(made, base, op, tuple(sorted(params.items())), certain)


def _reshape_shares(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    # An array with one axis longer than 1 has one stride, so that any reshape of it is a view;
    # so is a reshape that adds and removes only axes of length 1.
    long_axes = [n for n in old if n != 1]
    return len(long_axes) <= 1 or long_axes == [n for n in new if n != 1]


HANDLES.add(View)
