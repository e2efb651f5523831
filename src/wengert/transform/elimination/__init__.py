"""The order of accumulation: Jacobians by elimination of vertices, and by cutting a chain."""

from wengert.transform.elimination.accumulate import elements_of, eliminated, order_of
from wengert.transform.elimination.chain import Chain, chained
from wengert.transform.elimination.choice import Candidate, Choice, choose, element_counts
from wengert.transform.elimination.elements import has_elements
from wengert.transform.elimination.orders import ORDERS

__all__ = [
    "ORDERS",
    "Candidate",
    "Chain",
    "Choice",
    "chained",
    "choose",
    "element_counts",
    "elements_of",
    "eliminated",
    "has_elements",
    "order_of",
]
