"""Loading an object file into this process without LLVM, where that is simple: ELF for x86-64.

LLVM takes longer to import than a small program takes to run; an object file from the disk needs
no more of it than what stands here: place the sections, apply the relocations, make the code
executable. Whatever this loader does not know makes it give up (None), and LLVM loads the file.
Sources: System V ABI, Edition 4.1, chapter 4, and its AMD64 supplement, section 4.4.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Mapping
from typing import Any

from wengert.graph.tuples import NamedTuple

__all__ = ["Loaded", "load"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_RELOCATABLE, _X86_64 = 1, 62
_SYMBOLS, _RELA, _NO_BITS = 2, 4, 8
_WRITE, _ALLOCATE = 1, 2
_UNDEFINED, _RESERVED = 0, 0xFF00

#: Relocations: 64-bit address; 32-bit distance (plain, to a function); 32-bit distance to a word
#: that holds the address.
_ABSOLUTE, _DISTANCE, _TO_WORD = {1}, {2, 4}, {9, 41, 42}
_TO_FUNCTION = 4
#: jmp *[rip+0], followed by the address.
_JUMP = b"\xff\x25\x00\x00\x00\x00"
_STUB = 16
_PAGE = mmap.PAGESIZE


class Loaded(NamedTuple):
    """An object file in memory: the addresses of its symbols, which are valid while it lives."""

    addresses: dict[str, int]
    memory: Any


class _Section(NamedTuple):
    name: bytes
    kind: int
    flags: int
    body: bytes
    size: int
    link: int
    info: int
    alignment: int


class _Unknown(Exception):
    """Something that only LLVM can load."""


def load(body: bytes, known: Mapping[str, int]) -> Loaded | None:
    """Load an object file; None if LLVM has to do it.

    `known` holds the addresses of data that it uses; functions that are not in it are the C
    library's.
    """
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return None
    try:
        return _load(body, known)
    except (_Unknown, OSError, ValueError, struct.error):
        return None


def _sections(body: bytes) -> list[_Section]:
    head = _HEADER.unpack_from(body)
    if head[0][:6] != b"\x7fELF\x02\x01" or head[1:3] != (_RELOCATABLE, _X86_64):
        raise _Unknown
    offset, size, count, names_at = head[6], head[11], head[12], head[13]
    rows = [_SECTION.unpack_from(body, offset + size * k) for k in range(count)]
    names = body[rows[names_at][4] : rows[names_at][4] + rows[names_at][5]]
    return [
        _Section(
            names[name : names.index(b"\0", name)],
            kind,
            flags,
            b"" if kind == _NO_BITS else body[at : at + length],
            length,
            link,
            info,
            max(1, alignment),
        )
        for name, kind, flags, _, at, length, link, info, alignment, _ in rows
    ]


class _Image:
    """Sections in memory: first what is only read and run, then stubs, then what is written."""

    def __init__(self, sections: list[_Section], outside: int) -> None:
        self.at: dict[int, int] = {}
        end = 0
        for writable in (False, True):
            for k, s in enumerate(sections):
                wanted = s.flags & _ALLOCATE and bool(s.flags & _WRITE) == writable
                if wanted and s.name != b".eh_frame":  # no exception passes through kernels
                    end = -(-end // s.alignment) * s.alignment
                    self.at[k] = end
                    end += s.size
            if not writable:
                self.stubs = end = -(-end // _STUB) * _STUB
                self.words = self.stubs + _STUB * outside
                end = self.words + 8 * outside
                self.fixed = end = -(-end // _PAGE) * _PAGE
        self.memory = mmap.mmap(-1, max(_PAGE, end))
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for k, at in self.at.items():
            self.memory[at : at + len(sections[k].body)] = sections[k].body

    def put(self, at: int, form: str, value: int) -> None:
        struct.pack_into(form, self.memory, at, value)


def _load(body: bytes, known: Mapping[str, int]) -> Loaded:
    sections = _sections(body)
    table = next(k for k, s in enumerate(sections) if s.kind == _SYMBOLS)
    count = len(sections[table].body) // _SYMBOL.size
    symbols = [_SYMBOL.unpack_from(sections[table].body, _SYMBOL.size * k) for k in range(count)]
    texts = sections[sections[table].link].body
    image = _Image(sections, count)
    values: list[int | None] = []
    addresses: dict[str, int] = {}
    outside: set[int] = set()
    for k, (name_at, info, _, section, value, _) in enumerate(symbols):
        name = texts[name_at : texts.index(b"\0", name_at)].decode()
        address: int | None = None
        if section == _UNDEFINED and name:
            address = known[name] if name in known else _outside(name)
            stub = image.stubs + _STUB * k
            image.memory[stub : stub + len(_JUMP)] = _JUMP
            image.put(stub + len(_JUMP), "<Q", address)
            outside.add(k)
        elif section in image.at:
            address = image.base + image.at[section] + value
            if info >> 4:  # not local
                addresses[name] = address
        elif section >= _RESERVED and info & 15 != 4:  # 4: the name of the source file
            raise _Unknown
        values.append(address)
        image.put(image.words + 8 * k, "<Q", address or 0)
    for s in sections:
        if s.kind == _RELA and s.info in image.at:
            for place, info, addend in _RELOCATION.iter_unpack(s.body):
                number, kind = info >> 32, info & 0xFFFFFFFF
                value = values[number]
                if kind == _TO_FUNCTION and number in outside:  # it may be too far away
                    value = image.base + image.stubs + _STUB * number
                _relocate(image, image.at[s.info] + place, number, kind, addend, value)
    _protect(image)
    return Loaded(addresses, image.memory)


def _relocate(
    image: _Image, at: int, number: int, kind: int, addend: int, value: int | None
) -> None:
    if value is None:
        raise _Unknown
    if kind in _ABSOLUTE:
        image.put(at, "<Q", value + addend)
    elif kind in _DISTANCE:
        image.put(at, "<i", value + addend - (image.base + at))
    elif kind in _TO_WORD:
        image.put(at, "<i", image.words + 8 * number + addend - at)
    else:
        raise _Unknown


def _outside(name: str) -> int:
    """The address of a function of the C library."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError:
        raise _Unknown from None
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _protect(image: _Image) -> None:
    # Never writable and executable at once.
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(image.base, image.fixed, mmap.PROT_READ | mmap.PROT_EXEC):
        raise _Unknown
