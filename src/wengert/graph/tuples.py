"""`NamedTuple` whose classes take less than half the time to make.

`typing.NamedTuple` compiles each annotation. There are so many of these classes that this was a
twelfth of what a first call takes when its kernels are on disk, and a twentieth of the import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from collections import namedtuple

    #: What the body of a class holds that is not to be copied.
    _OWN = {"__module__", "__qualname__"}

    class _Maker(type):
        """Makes what derives from `NamedTuple`."""

        def __new__(cls, name: str, bases: Any, body: dict[str, Any]) -> Any:
            del bases
            fields = body.get("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in _OWN:
                    setattr(made, key, value)
            return made

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})

__all__ = ["NamedTuple"]
