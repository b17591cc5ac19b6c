"""The part of :mod:`ctypes` that the system calls need, with the same names, made from the module in C beneath it.

Importing ctypes takes 1.3 ms, because it makes every type of C and loads three more modules. The kernel makes a whole
container in 5 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import PyDLL as CLibrary
    from ctypes import (
        Structure,
        addressof,
        byref,
        c_char,
        c_char_p,
        c_int,
        c_long,
        c_short,
        c_uint32,
        c_uint64,
        c_ulong,
        c_ushort,
        c_void_p,
        create_string_buffer,
        get_errno,
        sizeof,
    )
else:
    import _ctypes
    from _ctypes import Structure, _SimpleCData, addressof, byref, get_errno, sizeof

    def _type(name: str, code: str) -> type:
        """The type of C with this *code*: see the attribute _type_ in ctypes."""
        return type(_SimpleCData)(name, (_SimpleCData,), {"_type_": code, "__qualname__": name})

    c_char, c_char_p, c_void_p = _type("c_char", "c"), _type("c_char_p", "z"), _type("c_void_p", "P")
    c_short, c_ushort, c_int = _type("c_short", "h"), _type("c_ushort", "H"), _type("c_int", "i")
    c_uint32, c_long, c_ulong = _type("c_uint32", "I"), _type("c_long", "l"), _type("c_ulong", "L")
    c_uint64 = c_ulong  # on x86-64 and arm64

    class _Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = c_int

    class CLibrary:
        """The functions of the shared library *name*, as attributes; None: of all that this process has loaded."""

        def __init__(self, name: str | None, use_errno: bool) -> None:
            self._handle = _ctypes.dlopen(name, 0)

        def __getattr__(self, name: str) -> _Function:
            function = _Function((name, self))
            setattr(self, name, function)
            return function

    def create_string_buffer(text: bytes, size: int | None = None):
        """An array of characters with *text* in it, and a zero byte after it unless *size* says otherwise."""
        buffer = (c_char * (len(text) + 1 if size is None else size))()
        buffer.value = text
        return buffer


__all__ = [
    "CLibrary",
    "Structure",
    "addressof",
    "byref",
    "c_char",
    "c_char_p",
    "c_int",
    "c_long",
    "c_short",
    "c_uint32",
    "c_uint64",
    "c_ulong",
    "c_ushort",
    "c_void_p",
    "create_string_buffer",
    "get_errno",
    "sizeof",
]
