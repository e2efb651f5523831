"""Fills the built page with a payload, so that nothing in the payload can act as markup."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

# JSON may stand in a script element once these can't be read as the end of it or as a comment, and
# in JavaScript's older grammars once the two line separators are escaped.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@cache
def _template() -> str:
    return (files(__package__) / "template.html").read_text(encoding="utf-8")


def to_script_text(payload: Mapping[str, Any]) -> str:
    """The payload as JSON that is inert inside a script element."""
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def fill_template(payload: Mapping[str, Any], static: str = "") -> str:
    """The page as one HTML text.

    Parameters
    ----------
    payload : the mapping described in `payload.py`.
    static : HTML shown until the page has started, and where JavaScript is off: a picture and
        tables. It is trusted markup; whoever makes it escapes the user's strings. The page's
        content security policy lets it carry no style elements, style attributes or scripts.
    """
    title = html.escape(str(payload["title"]))
    fields = {
        "@@WENGERT-TITLE@@": title,
        "@@WENGERT-STATIC@@": f"<h1>{title}</h1>\n{static}",
        "@@WENGERT-PAYLOAD@@": to_script_text(payload),
    }
    # Split, not replaced one after another: a value may contain another field's mark.
    page = _template()
    pieces: list[str] = []
    for mark in ("@@WENGERT-TITLE@@", "@@WENGERT-STATIC@@", "@@WENGERT-PAYLOAD@@"):
        before, found, page = page.partition(mark)
        if not found:
            raise RuntimeError(
                f"the page's template lacks {mark}; rebuild it with npm run build in web/"
            )
        pieces += [before, fields[mark]]
    return "".join([*pieces, page])
