"""A scope of this user's systemd, so that a command is where control groups are delegated.

A login by ssh is in ``session-1.scope``, which is root's. There the user may not limit anything, and may not put a
process into a group elsewhere. The user's service manager may, and moves a process that asks: by one message of D-Bus,
through the socket that it has for its own programs. There a connection needs no bus.

Source: systemd, docs/CONTROL_GROUP_INTERFACE.md, "Creating and Starting Scopes"; org.freedesktop.systemd1(5),
StartTransientUnit; the D-Bus Specification, "Message Protocol"; podman, which asks for ``podman-PID.scope``.
"""

from __future__ import annotations

import _socket  # instead of socket, which would cost 9 ms at each start
import os
import struct

TREE = "/sys/fs/cgroup"
_PATIENCE = 10.0  # seconds for systemd's answer
_LARGEST = 1 << 20  # bytes of all its messages
_RETURN, _ERROR = 2, 3  # types of messages


def socket_path() -> str:
    """Where this user's service manager listens; empty without one, and without cgroup v2."""
    path = f"{os.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{os.getuid()}'}/systemd/private"
    return path if os.path.exists(f"{TREE}/cgroup.controllers") and os.path.exists(path) else ""


def begin() -> None:
    """Have systemd move this process into a delegated scope. Where it does not, everything stays as it is."""
    path = socket_path()
    if not path:
        return
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        channel.settimeout(_PATIENCE)
        channel.connect(path)
        user = str(os.getuid()).encode().hex()
        channel.sendall(f"\0AUTH EXTERNAL {user}\r\nBEGIN\r\n".encode() + message(os.getpid()))
        _wait(channel)
    except OSError:
        pass
    finally:
        channel.close()


def _wait(channel) -> None:
    """Read until the scope is there: the answer names a job, and a signal with that name follows when it is done."""
    data, job = b"", b""
    while b"\r\n" not in data:
        data += _more(channel)
    data = data.partition(b"\r\n")[2]
    while True:
        while len(data) < 16 or len(data) < (size := _size(data)):
            data += _more(channel)
        one, data = data[:size], data[size:]
        if one[1] == _ERROR:
            return
        if one[1] == _RETURN:
            job = one[-int.from_bytes(one[4:8], "little") :][4:-1]
        elif job and b"JobRemoved" in one and job in one:
            return


def _more(channel) -> bytes:
    data = channel.recv(_LARGEST)
    if not data:
        raise OSError("systemd has closed the connection")
    return data


def _size(data: bytes) -> int:
    """The length of the message that begins *data*."""
    body, _, fields = struct.unpack("<III", data[4:16])
    return 16 + -(-fields // 8) * 8 + body


# ---- the message -----------------------------------------------------------------------------------------------------


class Writer:
    """Values as D-Bus marshals them. Each begins at a multiple of its size, which the caller knows."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def number(self, value: int) -> None:
        self.align(4)
        self.data += struct.pack("<I", value)

    def text(self, value: str) -> None:
        self.number(len(value))
        self.data += value.encode() + b"\0"

    def signature(self, value: str) -> None:
        self.data += bytes([len(value)]) + value.encode() + b"\0"

    def array(self, size: int, write) -> None:
        """An array, whose elements *write()* appends, each at a multiple of *size*."""
        self.number(0)
        place = len(self.data)
        self.align(size)
        first = len(self.data)
        write()
        struct.pack_into("<I", self.data, place - 4, len(self.data) - first)

    def field(self, name: int | str, signature: str, write) -> None:
        """A pair of a name and a variant: a header field, or a property of a unit."""
        self.align(8)
        self.text(name) if isinstance(name, str) else self.data.append(name)
        self.signature(signature)
        write()


def message(pid: int) -> bytes:
    """The call ``StartTransientUnit("minict-PID.scope", "fail", [PIDs, Delegate, CollectMode], [])``."""
    body = Writer()

    def properties() -> None:
        body.field("PIDs", "au", lambda: body.array(4, lambda: body.number(pid)))
        body.field("Delegate", "b", lambda: body.number(1))
        body.field("CollectMode", "s", lambda: body.text("inactive-or-failed"))

    body.text(f"minict-{pid}.scope")
    body.text("fail")
    body.array(8, properties)
    body.array(8, lambda: None)
    head = Writer()

    def fields() -> None:
        head.field(1, "o", lambda: head.text("/org/freedesktop/systemd1"))
        head.field(2, "s", lambda: head.text("org.freedesktop.systemd1.Manager"))
        head.field(3, "s", lambda: head.text("StartTransientUnit"))
        head.field(6, "s", lambda: head.text("org.freedesktop.systemd1"))
        head.field(8, "g", lambda: head.signature("ssa(sv)a(sa(sv))"))

    head.data += b"l\1\0\1"  # little-endian, a call, no flags, version 1
    head.number(len(body.data))
    head.number(1)  # its serial number
    head.array(8, fields)
    head.align(8)
    return bytes(head.data + body.data)
