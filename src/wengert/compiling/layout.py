"""Trees described by plain data, for files: without classes, source or pickle.

A description is what JSON can hold: a leaf is its number, None is null, and a container is a list
of its kind, what its kind needs, and its children. Named tuples and dataclasses are described by
name and fields; reading a description makes a class of that name and those fields, unless the
caller passes an instance of one.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from wengert.capture import flatten
from wengert.errors import GraphFileError

__all__ = ["build", "describe", "leaf_count"]

_KEYS = {"str": str, "int": int, "bool": bool, "float": float}


def describe(tree: Any) -> Any:
    """The description of a tree; leaves are numbered in the order of `flatten`."""
    leaves, _ = flatten(tree)
    counter = iter(range(len(leaves)))
    return _describe(tree, lambda: next(counter))


def _describe(tree: Any, number: Callable[[], int]) -> Any:
    kind = type(tree)
    if tree is None:
        return None
    if kind in (tuple, list):
        return [kind.__name__, [_describe(x, number) for x in tree]]
    if kind is dict:
        keys = sorted(tree)
        described = [[_key_kind(k), k] for k in keys]
        return ["dict", described, [_describe(tree[k], number) for k in keys]]
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return [
            "namedtuple",
            kind.__name__,
            list(kind._fields),
            [_describe(x, number) for x in tree],
        ]
    if dataclasses.is_dataclass(tree):
        names = [f.name for f in dataclasses.fields(tree)]
        return [
            "dataclass",
            kind.__name__,
            names,
            [_describe(getattr(tree, name), number) for name in names],
        ]
    if isinstance(tree, (dict, list, set, collections.deque)):
        raise GraphFileError(
            f"a tree with a {kind.__name__} can't be saved",
            hint="use dicts, lists, tuples, named tuples and dataclasses",
        )
    return number()


def _key_kind(key: Any) -> str:
    name = type(key).__name__
    if _KEYS.get(name) is not type(key):
        raise GraphFileError(
            f"a dict with the key {key!r} of type {name} can't be saved",
            hint="use strings or numbers as keys",
        )
    return name


def leaf_count(description: Any) -> int:
    """How many leaves a tree has; raises `GraphFileError` if the description is malformed."""
    numbers: list[int] = []
    _numbers(description, numbers)
    if numbers != list(range(len(numbers))):
        raise GraphFileError("the leaves of a tree are not numbered in order")
    return len(numbers)


def _numbers(description: Any, found: list[int]) -> None:
    if type(description) is int:
        found.append(description)
    elif description is not None:
        children = description[-1]
        if description[0] not in _BUILDERS or not isinstance(children, list):
            raise GraphFileError(f"a tree of the unknown kind {description[0]!r}")
        for child in children:
            _numbers(child, found)


def _dict(keys: Any, children: list[Any]) -> Any:
    if len(keys) != len(children):
        raise GraphFileError("a dict whose keys and values differ in number")
    return {_KEYS[kind](key): child for (kind, key), child in zip(keys, children, strict=True)}


def _namedtuple(name: str, fields: list[str], children: list[Any]) -> Any:
    return _class("namedtuple", name, tuple(fields))(*children)


def _dataclass(name: str, fields: list[str], children: list[Any]) -> Any:
    made = object.__new__(_class("dataclass", name, tuple(fields)))
    for field, child in zip(fields, children, strict=True):
        object.__setattr__(made, field, child)
    return made


_BUILDERS: dict[str, Callable[..., Any]] = {
    "tuple": tuple,
    "list": list,
    "dict": _dict,
    "namedtuple": _namedtuple,
    "dataclass": _dataclass,
}
_classes: dict[Any, type] = {}


def _class(kind: str, name: str, fields: tuple[str, ...]) -> Any:
    key = (kind, name, fields)
    if key not in _classes:
        made: Any = (
            collections.namedtuple(name, fields)
            if kind == "namedtuple"
            else dataclasses.make_dataclass(name, fields)
        )
        _classes.setdefault(key, made)
    return _classes[key]


def build(description: Any, leaves: Sequence[Any]) -> Any:
    """The tree of this description with these leaves."""
    if type(description) is int:
        return leaves[description]
    if description is None:
        return None
    kind, *rest, children = description
    return _BUILDERS[kind](*rest, [build(child, leaves) for child in children])
