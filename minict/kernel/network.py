"""Network interfaces: the one step that a container's own process does itself."""

from __future__ import annotations

import os

from . import native
from .syscall import failure, libc

# bits/socket.h; socket(2)
AF_INET = 2
SOCK_DGRAM = 2
SOCK_CLOEXEC = 0o2000000

# linux/sockios.h, linux/if.h; netdevice(7)
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

_ioctl = libc.ioctl
_ioctl.argtypes = (native.c_int, native.c_ulong, native.c_void_p)


class _InterfaceRequest(native.Structure):
    """struct ifreq of linux/if.h: an interface's name and a union, of which only the flags are used here."""

    _fields_ = [("name", native.c_char * 16), ("flags", native.c_short), ("rest", native.c_char * 22)]


def loopback_up() -> None:
    """Switch on the interface ``lo`` of the caller's network namespace; the kernel then assigns 127.0.0.1/8 to it.

    A new network namespace has it switched off, and without it a program cannot even connect to
    itself. Needs CAP_NET_ADMIN. Raises :class:`OSError`. Source: netdevice(7).
    """
    # ioctl needs a socket, any socket; the module socket would add 9 ms to each start
    door = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    if door == -1:
        raise failure("socket", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    try:
        request = _InterfaceRequest(b"lo")
        for operation in (SIOCGIFFLAGS, SIOCSIFFLAGS):
            if _ioctl(door, operation, native.byref(request)):
                raise failure("ioctl", door, operation, request.name)
            request.flags |= IFF_UP
    finally:
        os.close(door)
