"""The passes that find where values lie (see `places`).

They are functions of words on arrays of integers, as those of `passes` are. The nodes of a
signature run in the `order` of their places in the family; batch b has those from `starts[b]` to
`starts[b + 1]`. Operand p of the node at place i is the value `operands[i * width + p]`; passes
are about `columns` operands, those with the numbers `chosen`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from wengert.codegen.restricted import words

__all__ = ["place_leaves", "place_results", "read_columns"]


@words
def place_leaves(
    count, order, operands, width, chosen, columns, producer, type_of, row, counts, leaves, found
):
    """Give each leaf that these operands of a signature read, and that has no row yet, the next one
    of its type. `leaves` has `found` of them; how many it has then is returned."""
    for c in range(columns):
        for i in range(count):
            value = operands[order[i] * width + chosen[c]]
            if producer[value] < 0 and row[value] < 0:
                type_ = type_of[value]
                row[value] = counts[type_]
                counts[type_] += 1
                leaves[found] = value
                found += 1
    return found


@words
def place_results(count, starts, order, firsts, outputs, begins, row):
    """Fill `row` for the results of the nodes of `count` batches: those of batch b begin at the
    rows `begins[b * outputs]` and following."""
    for b in range(count):
        for i in range(starts[b], starts[b + 1]):
            first = firsts[order[i]]
            for k in range(outputs):
                row[first + k] = begins[b * outputs + k] + i - starts[b]
    return 0


@words
def read_columns(
    count,
    starts,
    order,
    operands,
    width,
    chosen,
    columns,
    row,
    uses,
    active,
    rows,
    begins,
    flags,
    wholes,
):
    """Read what `Column` has of these operands of a signature: for each a row of `rows`, one of
    `begins`, three of `flags` (whether the rows of a batch are consecutive, each of its values is
    used once, and one of them is active), and an item of `wholes`."""
    total = starts[count]
    for c in range(columns):
        own = c * total
        wholes[c] = 1
        for b in range(count):
            is_range = 1
            is_single = 1
            is_active = 0
            for i in range(starts[b], starts[b + 1]):
                value = operands[order[i] * width + chosen[c]]
                at = row[value]
                rows[own + i] = at
                if i > 0 and at != rows[own + i - 1] + 1:
                    wholes[c] = 0
                    if i > starts[b]:
                        is_range = 0
                if uses[value] != 1:
                    is_single = 0
                if active[value] != 0:
                    is_active = 1
            begins[c * count + b] = rows[own + starts[b]]
            flags[3 * c * count + b] = is_range
            flags[(3 * c + 1) * count + b] = is_single
            flags[(3 * c + 2) * count + b] = is_active
    return 0
