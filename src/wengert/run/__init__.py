"""Running graphs."""

from wengert.run.interpreter import evaluate_entry, run

__all__ = ["evaluate_entry", "run"]
