"""The command `wengert`. Each subcommand is a module, imported only when it is asked for."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from wengert import __version__
from wengert.errors import WengertError

# name: (module with `add_arguments(parser)` and `run(arguments) -> exit status`, help)
SUBCOMMANDS = {
    "explain": ("wengert.explain.command", "show how the derivatives of a formula are computed"),
    "train": ("wengert.train.command", "train a network on handwritten digits"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 for input that can't be used."""
    top = _top_parser().parse_args(arguments)
    module_name, description = SUBCOMMANDS[top.command]
    try:
        module = importlib.import_module(module_name)
        parser = argparse.ArgumentParser(prog=f"wengert {top.command}", description=description)
        module.add_arguments(parser)
        status: int = module.run(parser.parse_args(top.rest))
        sys.stdout.flush()  # so that a closed pipe is noticed here
    except WengertError as error:
        print(f"wengert: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("wengert: interrupted", file=sys.stderr)
        return 130
    return status


def _top_parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:10}{text}" for name, (_, text) in SUBCOMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="wengert",
        description="Automatic differentiation for Python, and what it computes, step by step.",
        epilog=f"commands:\n{listing}\n\n`wengert COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wengert {__version__}")
    parser.add_argument("command", choices=SUBCOMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    return parser
