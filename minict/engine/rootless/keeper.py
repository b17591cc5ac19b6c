"""The keeper: the process that makes a user's namespaces, and keeps them while no container does.

It is inside the user and the mount namespace, but stays in the host's network. So it can give a process that is behind
the bridge a socket of the host (:mod:`.outside`), and it is the parent of the program that is the way out. It holds no
container and no lock: if it is killed, the containers go on, and the next command makes another keeper, in the same
namespaces.

Source: user_namespaces(7); mount_namespaces(7), "Restrictions on mount namespaces"; podman, pkg/rootless.
"""

from __future__ import annotations

import _socket  # instead of socket, which would cost 9 ms at each start
import os
import select

from minict.engine.util.daemonize import fork_away
from minict.kernel import mount as k
from minict.kernel import namespaces as ns
from minict.kernel import process as kernel
from minict.kernel.network import loopback_up
from minict.runtime.errors import ContainerError
from minict.runtime.init import set_title
from minict.runtime.process import spawn
from minict.runtime.state import begin_time

from . import home, idmaps, wayout

_REQUEST = 64  # bytes: the longest request


def begin(relative: int = -1) -> None:
    """Start a keeper, and return when it is ready. The caller holds the lock.

    *relative*: a pidfd of a process in namespaces that exist already. Raises :class:`ContainerError`.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        os.unlink(home.path("socket"))
    except FileNotFoundError:
        pass

    def work(told) -> None:
        set_title(b"minict-keeper")
        try:
            if relative >= 0:
                ns.setns(relative, ns.CLONE_NEWUSER | ns.CLONE_NEWNS)
            else:
                _make_namespaces(uid, gid)
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
            listener = _listen()
            with open(home.path("keeper.new"), "w") as file:
                file.write(f"{os.getpid()} {begin_time(os.getpid())}")
            os.rename(home.path("keeper.new"), home.path("keeper"))
        except (OSError, ContainerError) as error:
            return told(ContainerError(str(error) if isinstance(error, ContainerError) else _why(error)))
        told(None)
        return _serve(listener)

    fork_away(b"minict-keeper", work, keep=[relative] if relative >= 0 else [])


def _make_namespaces(uid: int, gid: int) -> None:
    """Move this process into a new user and mount namespace, and make the network namespace beside them."""
    this = os.getpid()
    ready, begin = os.pipe2(os.O_CLOEXEC)
    report, told = os.pipe2(os.O_CLOEXEC)

    def helper() -> None:  # it stays outside, where the ids are mapped
        os.close(begin)
        if os.read(ready, 1):
            try:
                idmaps.write(this, uid, gid)
            except (OSError, ContainerError) as error:
                os.write(told, str(error).encode(errors="replace"))

    pid = spawn(helper)
    os.close(ready)
    os.close(told)
    try:
        ns.unshare(ns.CLONE_NEWUSER | ns.CLONE_NEWNS)
        os.write(begin, b"!")
        refusal = os.read(report, 4096).decode(errors="replace")
        if refusal:
            raise ContainerError(refusal)
    finally:
        os.close(begin)
        os.close(report)
        os.waitpid(pid, 0)
    k.mount(None, "/", None, k.MS_SLAVE | k.MS_REC)  # the host's later mounts arrive here; ours never go there
    _make_network()


def _make_network() -> None:
    """Make the network namespace of the user's containers: a process makes it, and a mount keeps it."""
    made, tell = os.pipe2(os.O_CLOEXEC)
    wait, end = os.pipe2(os.O_CLOEXEC)

    def inside() -> None:
        os.close(end)
        ns.unshare(ns.CLONE_NEWNET)
        loopback_up()
        os.write(tell, b"!")
        os.read(wait, 1)

    pid = spawn(inside)
    os.close(tell)
    os.close(wait)
    try:
        if not os.read(made, 1):
            raise ContainerError("the kernel refuses a network namespace: see /proc/sys/user/max_net_namespaces")
        open(home.path("net"), "w").close()
        k.mount(f"/proc/{pid}/ns/net", home.path("net"), None, k.MS_BIND)
    finally:
        os.close(made)
        os.close(end)
        os.waitpid(pid, 0)


def _why(error: OSError) -> str:
    """Why the kernel refuses a user namespace, and what an administrator can do."""
    if os.path.exists(path := "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"):
        with open(path) as file:
            if file.read().strip() == "1":
                return (
                    "AppArmor forbids user namespaces to ordinary users: an administrator runs "
                    "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or gives python3 a profile with userns"
                )
    return (
        f"the kernel refuses namespaces to this user ({os.strerror(error.errno or 0)}): an administrator runs "
        "sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1, or root runs minict (sudo)"
    )


# ---- its service ---------------------------------------------------------------------------------------------------


def _listen():
    """The socket at which processes of this user ask. Its directory is the user's alone."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(home.path("socket")), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{directory}/socket")  # an address has at most 107 bytes (unix(7))
    finally:
        os.close(directory)
    listener.listen(64)
    return listener


def _serve(listener) -> None:
    """Answer requests, one after the other: each takes a moment, but for the first one for a way out."""
    way = wayout.WayOut()
    poll = select.poll()
    poll.register(listener.fileno(), select.POLLIN)
    while True:
        poll.poll()
        fd, _ = listener._accept()
        client = _socket.socket(fileno=fd)
        try:
            client.settimeout(5.0)
            _answer(client, client.recv(_REQUEST).decode(errors="replace").split(), way)
        except (OSError, ValueError):
            pass  # it has left
        finally:
            client.close()


def _answer(client, words: list[str], way: wayout.WayOut) -> None:
    """``socket FAMILY TYPE``: a socket of the host's network. ``out``: a way out, or the reason why there is none.
    ``end``: this process ends.
    """
    if words[:1] == ["socket"]:
        made = _socket.socket(int(words[1]), int(words[2]) | _socket.SOCK_CLOEXEC)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, made.fileno().to_bytes(4, "little"))]
        client.sendmsg([b"ok"], rights)
        made.close()
    elif words == ["out"]:
        client.send((way.open() or "ok").encode(errors="replace"))
    elif words == ["end"]:
        way.close()
        os.unlink(home.path("keeper"))
        client.send(b"ok")
        os._exit(0)
