"""The passes that put fragments in the place of the nodes that they consist of (see `fragments`).

They are functions of words on arrays of integers, as those of `passes` are. Fragment p has the
families `families[begins[p]:begins[p + 1]]`, one per node; each operand of its nodes has one of the
`specs` from `spec_begins[p]` on: the number of the node of the fragment that computes it, or
`-1 - e` for operand number e of the fragment, numbered in the order in which they are met.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from wengert.codegen.restricted import words

__all__ = ["find_fragments", "find_last_uses", "merge_nodes"]

#: An odd number of 31 bits: products of hashes with it fit into a word.
_MIX = 0x5BD1E995


@words
def find_last_uses(count, starts, args, last):
    """Fill `last`: for each value the last node that uses it."""
    for j in range(count):
        for k in range(starts[j], starts[j + 1]):
            if last[args[k]] < j:
                last[args[k]] = j
    return 0


@words
def is_fragment(
    count,
    first,
    p,
    family,
    starts,
    args,
    firsts,
    producer,
    last,
    begins,
    families,
    kept,
    spec_begins,
    specs,
    seen,
):
    """Whether fragment p begins at node `first`; `kept` says which of its values may be used
    outside, `seen` gets its operands."""
    begin = begins[p]
    length = begins[p + 1] - begin
    if first + length > count:
        return 0
    known = 0
    at = spec_begins[p]
    for k in range(length):
        j = first + k
        if family[j] != families[begin + k]:
            return 0
        if kept[begin + k] == 0 and last[firsts[j]] >= first + length:
            return 0
        for a in range(starts[j], starts[j + 1]):
            value = args[a]
            spec = specs[at]
            at += 1
            if spec >= 0:
                if producer[value] != first + spec:
                    return 0
            elif producer[value] >= first:
                return 0
            elif -1 - spec == known:
                seen[known] = value
                known += 1
            elif seen[-1 - spec] != value:
                return 0
    return 1


@words
def find_fragments(
    count,
    family,
    starts,
    args,
    firsts,
    producer,
    last,
    heads,
    following,
    begins,
    families,
    kept,
    spec_begins,
    specs,
    seen,
    chosen,
):
    """Fill `chosen`, which is -1 everywhere, with the fragment that begins at a node. Those to try
    are `heads[f]`, where f is the family of the node, and the `following` ones."""
    i = 0
    while i < count:
        p = heads[family[i]]
        while (
            p >= 0
            and is_fragment(
                count,
                i,
                p,
                family,
                starts,
                args,
                firsts,
                producer,
                last,
                begins,
                families,
                kept,
                spec_begins,
                specs,
                seen,
            )
            == 0
        ):
            p = following[p]
        if p >= 0:
            chosen[i] = p
            i += begins[p + 1] - begins[p]
        else:
            i += 1
    return 0


@words
def is_same(node, other, family, starts, args):
    """Whether two nodes compute the same."""
    if family[node] != family[other]:
        return 0
    begin = starts[node]
    length = starts[node + 1] - begin
    if length != starts[other + 1] - starts[other]:
        return 0
    for k in range(length):
        if args[begin + k] != args[starts[other] + k]:
            return 0
    return 1


@words
def merge_nodes(
    count,
    family,
    starts,
    args,
    firsts,
    results,
    chosen,
    begins,
    spec_begins,
    specs,
    result_begins,
    result_nodes,
    own_families,
    values,
    mask,
    table,
    value_of,
    node_of,
    new_family,
    new_starts,
    new_args,
    new_firsts,
    sizes,
):
    """Make the chosen fragments one node each, and those that compute the same one node.

    `results` is how many results a node has; those of fragment p are computed by its nodes
    `result_nodes[result_begins[p]:result_begins[p + 1]]`, and it is a node of family
    `own_families[p]`. `table` has `mask + 1` places, all -1. `values` is how many values there are;
    `value_of`, which holds the numbers of all, gets those that take their places. `sizes` gets the
    numbers of operands and of values; the number of nodes is returned.
    """
    nodes = 0
    new_starts[0] = 0
    i = 0
    while i < count:
        p = chosen[i]
        total = new_starts[nodes]
        length = 1
        if p < 0:
            new_family[nodes] = family[i]
            for a in range(starts[i], starts[i + 1]):
                new_args[total] = value_of[args[a]]
                total += 1
        else:
            new_family[nodes] = own_families[p]
            length = begins[p + 1] - begins[p]
            known = 0
            at = spec_begins[p]
            for a in range(starts[i], starts[i + length]):
                if -1 - specs[at] == known:
                    new_args[total] = value_of[args[a]]
                    total += 1
                    known += 1
                at += 1
        new_starts[nodes + 1] = total
        hashed = new_family[nodes]
        for a in range(new_starts[nodes], total):
            # All bits matter: values of neighbouring nodes are neighbours.
            product = (hashed ^ new_args[a]) * _MIX
            hashed = (product ^ (product >> 31)) & 0x7FFFFFFF
        place = hashed & mask
        while (
            table[place] >= 0
            and is_same(nodes, table[place], new_family, new_starts, new_args) == 0
        ):
            place = (place + 1) & mask
        node = table[place]
        if node < 0:
            node = nodes
            table[place] = node
            new_firsts[node] = firsts[i]
            if p >= 0:
                new_firsts[node] = values
                values += result_begins[p + 1] - result_begins[p]
            nodes += 1
        if p < 0:
            for k in range(results[i]):
                value_of[firsts[i] + k] = new_firsts[node] + k
        else:
            for k in range(result_begins[p + 1] - result_begins[p]):
                value = firsts[i + result_nodes[result_begins[p] + k]]
                value_of[value] = new_firsts[node] + k
        for k in range(length):
            node_of[i + k] = node
        i += length
    sizes[0] = new_starts[nodes]
    sizes[1] = values
    return nodes
