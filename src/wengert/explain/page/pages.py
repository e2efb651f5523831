"""Whole pages: one explanation, or two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from wengert.explain.drawing import escape
from wengert.explain.html import static_body
from wengert.explain.page.payload import Schedule, make_payload
from wengert.explain.page.template import fill_template
from wengert.explain.words import words_in

if TYPE_CHECKING:
    from wengert.explain.explanation import Explanation

__all__ = ["make_page"]


def make_page(
    *explanations: Explanation,
    title: str | None = None,
    names: Sequence[str] = (),
    language: Literal["en", "zh"] | None = None,
    schedules: Sequence[Schedule | None] = (),
) -> str:
    """The page of one explanation or of two side by side, as one self-contained HTML text.

    Two explanations are shown beside each other: the same function before and after optimisation,
    or at two inputs that take different branches. The parameters are those of `make_payload`.

    Example
    -------
    >>> import numpy as np
    >>> from wengert.explain import explain
    >>> from wengert.explain.page import make_page
    >>> def f(x):
    ...     return np.log(x) * x if x > 0 else np.exp(x)
    >>> page = make_page(explain(f)(2.0), explain(f)(-2.0), names=["x = 2", "x = -2"])
    >>> page.startswith("<!DOCTYPE html>")
    True
    """
    payload = make_payload(
        *explanations, title=title, names=names, language=language, schedules=schedules
    )
    words = words_in(language)
    bodies = []
    for view, explanation in zip(payload["views"], explanations, strict=True):
        heading = f"<h2>{escape(view['name'])}</h2>\n" if len(explanations) > 1 else ""
        bodies.append(heading + static_body(explanation, words))
    return fill_template(payload, "\n".join(bodies))
