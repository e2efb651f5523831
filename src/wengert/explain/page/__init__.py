"""The explainer page: one self-contained HTML file, filled with one JSON payload.

`template.html` is built from the typed sources in `web/` and committed; `template.py` fills it,
`payload.py` says what goes in and makes it from an explanation.
"""

from wengert.explain.page.pages import make_page
from wengert.explain.page.payload import Payload, Schedule, View, make_payload, make_view
from wengert.explain.page.template import fill_template

__all__ = ["Payload", "Schedule", "View", "fill_template", "make_page", "make_payload", "make_view"]
