"""Entries with several results: their type is a tuple of types, and `project` reads one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.ops.linear import Structural
from wengert.ops.record import type_error

__all__ = ["Component", "project"]


class Component:
    """The cotangent of result `number` of an entry with several results."""

    __slots__ = ("cotangent", "number")

    def __init__(self, number: int, cotangent: Any) -> None:
        self.number = number
        self.cotangent = cotangent


class _Project(Structural):
    """Reads one result; the tangent of an entry with several results is a list of tangents."""

    family = "project"

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        return tangents[0][params["number"]]

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        return [Component(params["number"], cotangent)]


def _project_type(op: Any, results: Any, number: int) -> Any:
    if not isinstance(results, tuple) or not 0 <= number < len(results):
        raise type_error(op, f"an entry with more than {number} results", [results])
    return results[number]


def _declare(function: Any) -> _Project:
    return _Project(
        function,
        value=lambda results, number: results[number],
        type=_project_type,
        batch=lambda args, batched, size, number: project(args[0], number=number),
        symbol="result",
        latex="{0}",
        samples=lambda rng, dtype: [],
    )


@_declare
def project(results: Any, *, number: int) -> Any:
    """Result `number` of an entry with several results."""
