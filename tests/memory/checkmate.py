"""The cheapest schedule of a planning problem as a mixed-integer linear program.

After Jain et al., "Checkmate: breaking the memory wall with optimal tensor rematerialization",
2020. The operations in their order are the stages; stage t ends with operation t, run for the first
time. What runs again in a stage does so in that order too.

    R[t, i]     operation i runs in stage t
    S[t, i]     its value is held when stage t begins
    F[t, i, k]  its value is given up in stage t after operation k has run
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix


def optimum(problem, budget, nodes=20_000):
    """The cost of the cheapest schedule; inf if there is none, None if it was not found within a
    number of nodes of the search. Every operation makes one value."""
    count = len(problem.reads)
    size, cost = problem.size, problem.cost
    reads = problem.reads
    users = [[j for j in range(count) if i in reads[j]] for i in range(count)]
    number = {}

    def variable(*key):
        return number.setdefault(key, len(number))

    for t in range(count):
        for i in range(t + 1):
            variable("R", t, i)
            if i < t:
                variable("S", t, i)
            for k in (i, *users[i]):
                if k <= t:
                    variable("F", t, i, k)
    rows, low = [], []

    def at_least(bound, **terms):
        rows.append(terms["terms"])
        low.append(bound)

    def held_after(t, i):
        """The terms and the constant for the value being held when stage t is over."""
        if t + 1 == count:
            return {}, float(i in problem.results)
        return {number["S", t + 1, i]: 1.0}, 0.0

    for t in range(count):
        at_least(1.0, terms={number["R", t, t]: 1.0})
        for j in range(t + 1):
            for i in reads[j]:
                terms = {number["R", t, i]: 1.0, number["R", t, j]: -1.0}
                if i < t:
                    terms[number["S", t, i]] = 1.0
                at_least(0.0, terms=terms)
            if t + 1 < count or j in problem.results:
                terms = {number["R", t, j]: 1.0}
                if j < t:
                    terms[number["S", t, j]] = 1.0
                held, constant = held_after(t, j)
                for key, value in held.items():
                    terms[key] = terms.get(key, 0.0) - value
                at_least(constant, terms=terms)
        for i in range(t + 1):
            for k in (i, *users[i]):
                if k > t:
                    continue
                freed = number["F", t, i, k]
                at_least(0.0, terms={number["R", t, k]: 1.0, freed: -1.0})
                held, constant = held_after(t, i)
                at_least(constant - 1.0, terms={freed: -1.0, **{v: -c for v, c in held.items()}})
                for j in users[i]:
                    if k < j <= t:
                        at_least(-1.0, terms={freed: -1.0, number["R", t, j]: -1.0})
        used = {number["S", t, i]: float(size[i]) for i in range(t)}
        for k in range(t + 1):
            used[number["R", t, k]] = used.get(number["R", t, k], 0.0) + size[k]
            at_least(-float(budget), terms={v: -c for v, c in used.items()})
            for i in (k, *reads[k]):
                freed = number["F", t, i, k]
                used[freed] = used.get(freed, 0.0) - size[i]
    at = [(r, v, c) for r, terms in enumerate(rows) for v, c in terms.items()]
    matrix = coo_matrix(
        ([c for *_, c in at], ([r for r, *_ in at], [v for _, v, _ in at])),
        shape=(len(rows), len(number)),
    ).tocsr()
    weight = np.zeros(len(number))
    for (kind, _, i, *_), v in number.items():
        if kind == "R":
            weight[v] = cost[i]
    found = milp(
        weight,
        integrality=np.ones(len(number)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, np.array(low)),
        options={"node_limit": nodes, "mip_rel_gap": 1e-6},
    )
    if found.status == 2:
        return np.inf
    return float(found.fun) if found.status == 0 else None
