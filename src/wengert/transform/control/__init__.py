"""Structured control flow: branches and loops as operators, with derivatives of any order."""

from wengert.transform.control.api import cond, fori_loop, scan, while_loop

__all__ = ["cond", "fori_loop", "scan", "while_loop"]
