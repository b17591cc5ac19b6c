"""System call filters that make mount(2) fail, as on a kernel without overlayfs, or under a security module."""

from __future__ import annotations

import ctypes
import os
import struct

from minict.kernel import process

MOUNT = {"x86_64": 165, "aarch64": 40}


def fail_mount_without_flags(errno: int) -> None:
    """From now on mount(2) with no flags and with options fails with *errno*, in this process and its children.

    That is how an overlay is mounted.  The program loads the call's number, then the low half of the fourth argument
    (flags), then of the fifth (options).  Source: seccomp(2), struct seccomp_data.
    """
    number, flags, data = 0, 16 + 3 * 8, 16 + 4 * 8
    program = [
        (0x20, 0, 0, number),
        (0x15, 0, 5, MOUNT[os.uname().machine]),
        (0x20, 0, 0, flags),
        (0x15, 0, 3, 0),
        (0x20, 0, 0, data),
        (0x15, 1, 0, 0),
        (0x06, 0, 0, 0x00050000 | errno),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    _install(program)


def fail_every_mount(errno: int) -> None:
    """From now on mount(2) fails with *errno*, in this process and its children."""
    _install(
        [
            (0x20, 0, 0, 0),
            (0x15, 0, 1, MOUNT[os.uname().machine]),
            (0x06, 0, 0, 0x00050000 | errno),
            (0x06, 0, 0, 0x7FFF0000),
        ]
    )


def _install(program: list[tuple[int, int, int, int]]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in program))
    head = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code)))
    process.prctl(22, 2, ctypes.addressof(head))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER; root needs no no_new_privs
