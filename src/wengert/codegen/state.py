"""Words that the runtime keeps between calls.

They are memory of Python's, which object files name, so that every copy of the runtime's code (the
first and the optimised one, see `engine`) has the same.
"""

from __future__ import annotations

import ctypes

__all__ = ["STATE", "addresses"]

#: The address of the thread pool (`pool`), or 0, and that of what native recording looks up
#: (`recording_tables`). Never freed: code may read them until the process has ended.
STATE = {name: ctypes.c_int64(0) for name in ("wengert_pool", "wengert_recording")}
ctypes.pythonapi.Py_IncRef(ctypes.py_object(STATE))


def addresses() -> dict[str, int]:
    """Where the words are, by the names that code has for them."""
    return {name: ctypes.addressof(word) for name, word in STATE.items()}
