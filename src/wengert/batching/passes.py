"""The passes over a program as arrays of integers, written as functions of words.

Node j has the operands `args[starts[j]:starts[j + 1]]`, which are values; `producer` has for each
value the node that computes it, or -1 for a leaf. Nodes come after those whose results they use.
They run as native code once the process has some (`codegen.restricted`), else as Python.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from wengert.batching.matching import find_fragments, find_last_uses, merge_nodes
from wengert.batching.placing import place_leaves, place_results, read_columns
from wengert.codegen.addresses import address
from wengert.codegen.engine import is_started, words_addresses
from wengert.codegen.restricted import words

__all__ = [
    "agenda",
    "close_up",
    "count_distinct",
    "count_users",
    "divide",
    "find_producers",
    "merge_sums",
    "number_rows",
    "number_types",
    "read_types",
    "renumber",
    "run_pass",
    "spread",
]


@words
def number_rows(total, args, values, mask, table, numbers):
    """Make numbers of rows, operands -1 - r, values, equal ones the same one: those from `values`
    on. Fills `numbers`, the r of each; returns how many there are. `table` has `mask + 1` places,
    all -1."""
    known = 0
    for k in range(total):
        if args[k] >= 0:
            continue
        row = -1 - args[k]
        place = (row ^ (row >> 17)) & mask
        while table[place] >= 0 and numbers[table[place]] != row:
            place = (place + 1) & mask
        if table[place] < 0:
            table[place] = known
            numbers[known] = row
            known += 1
        args[k] = values + table[place]
    return known


@words
def find_producers(count, family, result_counts, firsts, results, producer):
    """Fill `results`, how many each node has, of which its family has `result_counts`, and
    `producer`, which is -1 everywhere."""
    for j in range(count):
        results[j] = result_counts[family[j]]
        for value in range(firsts[j], firsts[j] + results[j]):
            producer[value] = j
    return 0


@words
def renumber(count, numbers, new):
    """Replace numbers by their new ones, but for negative ones."""
    for k in range(count):
        if numbers[k] >= 0:
            numbers[k] = new[numbers[k]]
    return 0


@words
def find_absorbed(count, adds, starts, args, firsts, producer, uses, into, absorbed):
    """Fill `absorbed`: which sums are used by another sum alone, and `into`, by which."""
    for j in range(count):
        for k in range(starts[j], starts[j + 1]):
            value = args[k]
            uses[value] += 1
            if adds[j] != 0 and producer[value] >= 0:
                into[producer[value]] = j
    for j in range(count):
        absorbed[j] = 0
        if adds[j] != 0 and into[j] >= 0 and uses[firsts[j]] == 1:
            absorbed[j] = 1
    return 0


@words
def merge_sums(
    count,
    adds,
    starts,
    args,
    firsts,
    producer,
    uses,
    into,
    absorbed,
    new_starts,
    new_args,
    signs,
    stack,
    stack_signs,
):
    """Give each sum the terms of the sums that are used by it alone.

    `adds` says which nodes add two numbers (1) or subtract the second (2); `uses` is how often
    values are used outside. Fills `absorbed`, the new operands and their `signs` (1 or -1; those of
    other nodes are 1); returns how many operands there are.
    """
    find_absorbed(count, adds, starts, args, firsts, producer, uses, into, absorbed)
    total = 0
    for j in range(count):
        new_starts[j] = total
        if absorbed[j] != 0:
            continue
        if adds[j] == 0:
            for k in range(starts[j], starts[j + 1]):
                new_args[total] = args[k]
                signs[total] = 1
                total += 1
            continue
        # Depth first, terms in order: a node to open is on the stack as it is, a term as its
        # negative, each with its sign.
        stack[0] = j
        stack_signs[0] = 1
        top = 1
        while top > 0:
            top -= 1
            item = stack[top]
            sign = stack_signs[top]
            if item < 0:
                new_args[total] = -1 - item
                signs[total] = sign
                total += 1
                continue
            k = starts[item + 1] - 1
            while k >= starts[item]:
                value = args[k]
                node = producer[value]
                if node >= 0 and absorbed[node] != 0:
                    stack[top] = node
                else:
                    stack[top] = -1 - value
                stack_signs[top] = sign
                if adds[item] == 2 and k > starts[item]:
                    stack_signs[top] = -sign
                top += 1
                k -= 1
    new_starts[count] = total
    return total


@words
def close_up(count, absorbed, into, family, starts, firsts, numbers):
    """Take absorbed nodes out of `family`, `starts` and `firsts`; how many are left. Fills
    `numbers`, the new number of each node, which for an absorbed one is that of its sum."""
    left = 0
    for j in range(count):
        if absorbed[j] == 0:
            numbers[j] = left
            family[left] = family[j]
            starts[left] = starts[j]
            firsts[left] = firsts[j]
            left += 1
    starts[left] = starts[count]
    j = count - 1
    while j >= 0:
        if absorbed[j] != 0:
            numbers[j] = numbers[into[j]]
        j -= 1
    return left


@words
def read_types(count, family, starts, args, firsts, results, begins, types, type_of, leaves):
    """Fill `type_of` for the results of nodes, from the `types` of their family from
    `begins[family]` on; others are -1, or those that are known. Fills `leaves`, the values that
    nodes use and that have no type then; returns how many there are."""
    for j in range(count):
        begin = begins[family[j]]
        for k in range(results[j]):
            type_of[firsts[j] + k] = types[begin + k]
    found = 0
    for k in range(starts[count]):
        if type_of[args[k]] == -1:
            type_of[args[k]] = -2
            leaves[found] = args[k]
            found += 1
    return found


@words
def number_types(count, leaves, types, known, first, type_of):
    """Number the different `types` of leaves in the order in which they are met. Fills `known`, the
    types, and `first`, the first leaf of each, and for each leaf `type_of`; returns how many types
    there are."""
    found = 0
    for k in range(count):
        type_ = types[leaves[k]]
        number = 0
        while number < found and known[number] != type_:
            number += 1
        if number == found:
            known[found] = type_
            first[found] = leaves[k]
            found += 1
        type_of[leaves[k]] = number
    return found


@words
def divide(
    count,
    kinds,
    family,
    starts,
    args,
    firsts,
    arity,
    bounds,
    cursor,
    members,
    place,
    own_firsts,
    operand_bounds,
    operands,
):
    """Sort nodes by family: family f has the `members[bounds[f]:bounds[f + 1]]`, which have the
    `own_firsts`, and for each of them a row of `arity[f]` of the `operands`, of which they have
    those from `operand_bounds[f]` on. `place` is where nodes are among the members; `bounds` and
    `cursor` are 0 everywhere."""
    for j in range(count):
        bounds[family[j] + 1] += 1
    operand_bounds[0] = 0
    for f in range(kinds):
        operand_bounds[f + 1] = operand_bounds[f] + bounds[f + 1] * arity[f]
        bounds[f + 1] += bounds[f]
    for j in range(count):
        f = family[j]
        at = cursor[f]
        cursor[f] = at + 1
        place[j] = at
        members[bounds[f] + at] = j
        own_firsts[bounds[f] + at] = firsts[j]
        for k in range(arity[f]):
            operands[operand_bounds[f] + at * arity[f] + k] = args[starts[j] + k]
    return 0


@words
def spread(count, starts, args, firsts, results, carries, floats, producer, depth, active):
    """Fill `depth`, the longest way from a leaf, and `active`, whether a value depends on those
    that derivatives are taken by; `results` is how many a node has, `floats` is about values."""
    for j in range(count):
        deepest = -1
        flows = 0
        for k in range(starts[j], starts[j + 1]):
            value = args[k]
            node = producer[value]
            if node >= 0 and depth[node] > deepest:
                deepest = depth[node]
            if active[value] != 0:
                flows = 1
        depth[j] = deepest + 1
        if flows != 0 and carries[j] != 0:
            for value in range(firsts[j], firsts[j] + results[j]):
                active[value] = floats[value]
    return 0


@words
def count_distinct(count, width, operands, stamp, seen, distinct):
    """Fill `distinct`: how many different values each of the `width` operands of `count` nodes has.
    `seen` is about all values; its items are smaller than `stamp`, and at most `stamp + width`
    then."""
    for p in range(width):
        distinct[p] = 0
        for j in range(count):
            value = operands[j * width + p]
            if seen[value] != stamp + p:
                seen[value] = stamp + p
                distinct[p] += 1
    return 0


@words
def count_users(count, starts, args, producer, waiting, bounds, users, cursor):
    """Fill `waiting`, how many operands of a node are computed, and who uses its results: the nodes
    `users[bounds[j]:bounds[j + 1]]`, once per use."""
    for j in range(count):
        for k in range(starts[j], starts[j + 1]):
            node = producer[args[k]]
            if node >= 0:
                waiting[j] += 1
                bounds[node + 1] += 1
    for j in range(count):
        bounds[j + 1] += bounds[j]
        cursor[j] = bounds[j]
    for j in range(count):
        for k in range(starts[j], starts[j + 1]):
            node = producer[args[k]]
            if node >= 0:
                users[cursor[node]] = j
                cursor[node] += 1
    return 0


@words
def enqueue(node, s, head, tail, following):
    """Put a node at the end of queue s."""
    following[node] = -1
    if head[s] < 0:
        head[s] = node
    else:
        following[tail[s]] = node
    tail[s] = node
    return 0


@words
def agenda(
    count,
    signature,
    waiting,
    bounds,
    users,
    signatures,
    rank,
    head,
    tail,
    following,
    order,
    chosen,
    ends,
):
    """Emit batches until every node has run: of the signatures with a ready node always the one of
    lowest rank, with all of its ready nodes, in the order in which they became ready.

    Fills `order` (the nodes), and for each batch `chosen` (its signature) and `ends` (where it ends
    in `order`); returns the number of batches. `head`, `tail` and `following` are the queues of
    ready nodes, one per signature.
    """
    for s in range(signatures):
        head[s] = -1
    for j in range(count):
        if waiting[j] == 0:
            enqueue(j, signature[j], head, tail, following)
    emitted = 0
    batches = 0
    while emitted < count:
        best = -1
        for s in range(signatures):
            if head[s] >= 0 and (best < 0 or rank[s] < rank[best]):
                best = s
        if best < 0:
            return -1
        begin = emitted
        node = head[best]
        head[best] = -1
        while node >= 0:
            order[emitted] = node
            emitted += 1
            node = following[node]
        for k in range(begin, emitted):
            for u in range(bounds[order[k]], bounds[order[k] + 1]):
                j = users[u]
                waiting[j] -= 1
                if waiting[j] == 0:
                    enqueue(j, signature[j], head, tail, following)
        chosen[batches] = best
        ends[batches] = emitted
        batches += 1
    return batches


_PASSES = (
    number_rows,
    find_producers,
    renumber,
    close_up,
    read_types,
    number_types,
    divide,
    merge_sums,
    spread,
    count_distinct,
    count_users,
    agenda,
    find_last_uses,
    find_fragments,
    merge_nodes,
    place_leaves,
    place_results,
    read_columns,
)
#: Nodes from which the passes are worth loading native code for.
_MANY = 1000


@functools.cache
def _compiled() -> dict[Any, Any]:
    found = {}
    for function, at in zip(_PASSES, words_addresses(_PASSES), strict=True):
        arity = function.__code__.co_argcount
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arity)
        found[function] = kind(at)
    return found


def run_pass(function: Any, count: int, *arguments: Any) -> int:
    """Run one of the passes over `count` nodes; arrays must be of 64-bit integers, and contiguous:
    passes see them as flat."""
    if not (is_started() or count >= _MANY):
        flat = [a.reshape(-1) if isinstance(a, np.ndarray) else a for a in arguments]
        return int(function(count, *flat))
    words_of = [address(a) if isinstance(a, np.ndarray) else a for a in arguments]
    return int(_compiled()[function](count, *words_of))
