"""Trees of arrays: dicts, lists, tuples, named tuples and dataclasses, by optree."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from wengert.graph import Traced

__all__ = ["Leaf", "flatten", "leaf_names", "map_tree", "unflatten"]

_NAMESPACE = "wengert"
_LEAVES = (np.ndarray, np.generic, float, int, Traced)
_registered: set[type] = set()
_lock = threading.Lock()


class _LeafDef:
    """The structure of a tree that is a single leaf: the usual case needs no optree."""

    num_leaves = 1

    def __repr__(self) -> str:
        return "*"


Leaf = _LeafDef()


def _is_dataclass_leaf(node: Any) -> bool:
    return dataclasses.is_dataclass(node) and not isinstance(node, type)


def _register(cls: type) -> None:
    names = tuple(f.name for f in dataclasses.fields(cls))

    def flatten_fields(node: Any) -> tuple[tuple[Any, ...], None, tuple[str, ...]]:
        return tuple(getattr(node, name) for name in names), None, names

    def unflatten_fields(_: Any, children: Any) -> Any:
        # Not through __init__: it may convert or check values that are variables here.
        node: Any = object.__new__(cls)
        for name, child in zip(names, children, strict=True):
            object.__setattr__(node, name, child)
        return node

    with _lock:
        if cls not in _registered:
            optree.register_pytree_node(cls, flatten_fields, unflatten_fields, namespace=_NAMESPACE)
            _registered.add(cls)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a tree, and its structure for `unflatten`. None is an empty tree."""
    if isinstance(tree, _LEAVES):
        return [tree], Leaf
    while True:
        leaves, structure = optree.tree_flatten(tree, namespace=_NAMESPACE)
        unknown = {type(leaf) for leaf in leaves if _is_dataclass_leaf(leaf)}
        if not unknown:
            return leaves, structure
        for cls in unknown:
            _register(cls)


def flatten_registered(tree: Any) -> tuple[list[Any], Any]:
    """`flatten` for a tuple, at less cost: a dataclass met for the first time is a leaf."""
    return optree.tree_flatten(tree, namespace=_NAMESPACE)


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """The tree of this structure with these leaves."""
    if structure is Leaf:
        (leaf,) = leaves
        return leaf
    return optree.tree_unflatten(structure, leaves)


def map_tree(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply a function to corresponding leaves of trees of one structure."""
    leaves, structure = flatten(tree)
    others = [flatten(other)[0] for other in rest]
    return unflatten(structure, [function(*row) for row in zip(leaves, *others, strict=True)])


def leaf_names(tree: Any, prefix: str) -> list[str]:
    """A readable name per leaf: `params['w'][0]` for the tree called `params`."""
    if isinstance(tree, _LEAVES):
        return [prefix]
    flatten(tree)  # registers dataclasses
    accessors = optree.tree_accessors(tree, namespace=_NAMESPACE)
    return [a.codify(prefix) for a in accessors]
