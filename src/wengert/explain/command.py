"""`wengert explain FORMULA name=value …`"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from wengert.errors import ArgumentError, FormulaError
from wengert.explain.comparison import Comparison
from wengert.explain.formula import parse_assignment
from wengert.explain.function import explain_formula
from wengert.explain.text import ascii_only

__all__ = ["add_arguments", "run"]

_EPILOG = """\
The formula is written as in Python with NumPy's functions (exp, sin, where, …; np. may be left
out) and is parsed, never run as code. Values are numbers (x=0.5, x=pi/2) or arrays (x=[1,2,3]).

  wengert explain "1/(exp(-(w*x+b))+1)" x=1 w=0 b=0 --svg graph.svg
  wengert explain "x*sin(x)" x=2 --latex
  wengert explain "(x+y)*(x+y)+(x+y)" x=1 y=2 --html page.html --optimised
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("formula", metavar="FORMULA", help='such as "1/(exp(-(w*x+b))+1)"')
    parser.add_argument("values", metavar="NAME=VALUE", nargs="*", help="where to differentiate")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw the graph into FILE")
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="write the explanation as one page that can be stepped through",
    )
    parser.add_argument(
        "--optimised",
        action="store_true",
        help="put the graph after optimisation beside it, on the page and in the text",
    )
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.add_argument(
        "--latex", action="store_true", help="print the derivation in LaTeX instead"
    )


def run(arguments: argparse.Namespace) -> int:
    """Explain; the exit status is 0."""
    explanation = explain_formula(arguments.formula, _values(arguments.values))
    both = explanation.compare(explanation.optimised()) if arguments.optimised else None
    page = arguments.html
    if page is None and arguments.open:
        page = Path(tempfile.mkdtemp(prefix="wengert-")) / "explanation.html"
    # Files come first: a reader of the text (`| head`) may leave early.
    written = []
    if arguments.svg is not None:
        written.append(_write(arguments.svg, explanation.to_svg()))
    if page is not None:
        written.append(_write(page, (both or explanation).to_html()))
    _print(explanation.latex() if arguments.latex else str(explanation))
    if both is not None and not arguments.latex:
        _print(_optimised(both))
    for path in written:
        _print(f"wrote {path}")
    if arguments.open:
        webbrowser.open(page.resolve().as_uri())
    return 0


def _optimised(both: Comparison) -> str:
    log = both.right.optimisation
    title = "Before and after optimisation"
    return f"{title}\n{'─' * len(title)}\n{both}\n\n{log}\n"


def _values(texts: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        name, value = parse_assignment(text)
        if name in values:
            raise FormulaError(f"{name!r} was given two values", location="")
        values[name] = value
    return values


def _print(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = ascii_only(text)
    print(text)


def _write(path: Path, text: str) -> Path:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise ArgumentError(
            f"can't write {path.name}: {error.strerror}",
            hint="name a file in a folder that exists",
            location="",
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return path
