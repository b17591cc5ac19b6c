"""``exec``: a further process in a running container."""

from __future__ import annotations

from minict.runtime import exec as runtime_exec
from minict.runtime import seccomp
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Capabilities, Linux, Process

from . import bundle, descriptors, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.container import RuntimeContainer
    from minict.runtime.spec import Spec

    from .log import Log


def execute(options: dict[str, Any], operands: list[str], log: Log) -> int:
    """``exec``: the process's exit status, or 0 at once with ``--detach``. Source: runc-exec(8)."""
    container = record.find_whole(operands[0])
    check_status(container, options)
    spec = container.state.read_spec()
    process = wanted(spec, options, operands[1:])
    preserved = descriptors.preserved(options, process)
    console = descriptors.console(options, process, detached=options["detach"])
    ours = -1
    if not options["detach"]:
        from . import attend

        attend.prepare(options)
        if process.terminal:
            ours, console = attend.open_console()
    profile = spec.linux.seccomp
    pid, pidfd = runtime_exec.execute(
        container,
        process,
        console=console,
        seccomp_filter=seccomp.cached(profile) if profile else b"",
        seccomp_flags=seccomp.flags(profile) if profile else 0,
        preserved=preserved,
        cgroup=options["cgroup"],
        even_frozen=options["ignore_paused"],
        linux=Linux(seccomp=profile, personality=spec.linux.personality, memoryPolicy=spec.linux.memoryPolicy),
        hook_state=container.hook_state(spec, record.document(container.state)["bundle"]),
    )
    descriptors.tell_pid(options, pid, pidfd)
    if options["detach"]:
        return 0
    return attend.attend(pid, pidfd, attend.receive(ours, console) if process.terminal else -1)


def check_status(container: RuntimeContainer, options: dict[str, Any]) -> None:
    """Refuse a container without processes, and a paused one. Raises :class:`ContainerError`. Source: runc-exec(8)."""
    word = record.status(container.state)
    if word == "paused" and not options["ignore_paused"]:
        raise ContainerError(f"cannot exec in a paused container: resume {container.id}, or add --ignore-paused")
    if word in ("stopped", "creating"):
        raise ContainerError(f"cannot exec in a container that is {word}: {container.id}")


def wanted(spec: Spec, options: dict[str, Any], words: list[str]) -> Process:
    """The process that the *options* describe: a file, or the container's own with another command.

    Raises :class:`ContainerError`. Source: runc-exec(8).
    """
    if options["process"]:
        process = bundle.load_process(options["process"])
    else:
        if not words:
            raise ContainerError("exec needs a command, or --process FILE")
        process = Process.from_dict(spec.process.to_dict())
        process.args, process.terminal = words, options["tty"]
        process.cwd = options["cwd"] or process.cwd
        process.env = [*process.env, *options["env"]]
    if not process.args:
        raise ContainerError("the process lacks a command: add args")
    process.apparmorProfile = options["apparmor"] or process.apparmorProfile
    process.selinuxLabel = options["process_label"] or process.selinuxLabel
    process.noNewPrivileges = process.noNewPrivileges or options["no_new_privs"]
    if options["cap"]:
        process.capabilities = add_capabilities(process.capabilities, options["cap"])
    if options["user"]:
        uid, _, gid = options["user"].partition(":")
        process.user.uid, process.user.gid = number(uid), number(gid) if gid else process.user.gid
    if options["additional_gids"]:
        process.user.additionalGids = [number(each) for each in options["additional_gids"]]
    if options["tty"] or process.terminal:
        process.terminal = True
    return process


def add_capabilities(capabilities: Capabilities | None, more: list[str]) -> Capabilities:
    """*capabilities* with *more* in the sets that matter for root. Source: runc-exec(8), --cap; capabilities(7)."""
    found = capabilities or Capabilities()
    for kind in ("bounding", "effective", "permitted"):
        setattr(found, kind, [*getattr(found, kind), *more])
    return found


def number(word: str) -> int:
    """The id *word*. Raises :class:`ContainerError` for a name: names are the engine's business."""
    if not word.isdigit():
        raise ContainerError(f"invalid id {word!r}: write a number")
    return int(word)
