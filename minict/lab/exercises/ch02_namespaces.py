"""Chapter 02: find out which namespaces a process is in, ask for new ones, and enter another process's."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import signal
import sys
import tempfile
import time
from contextlib import contextmanager

from minict.kernel import mount
from minict.kernel.namespaces import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    unshare,
)
from minict.kernel.process import sethostname
from minict.runtime import namespaces
from minict.runtime.errors import ContainerError
from minict.runtime.namespaces import FILES, FLAGS

from .. import host
from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback


@contextmanager
def stranger(flags: int):
    """The pid of a process with new namespaces, as *flags* say; its host name is ``stranger`` if it may have one."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            unshare(flags)
            if flags & CLONE_NEWUTS:
                sethostname("stranger")
            os.write(told, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    try:
        if not os.read(ready, 1):
            raise RuntimeError("a process for the check could not get its namespaces")
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def numbers(pid: int | str) -> dict[str, int]:
    """What the kernel says: the number of the namespace of each kind that *pid* is in."""
    return {kind: os.stat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}


def listed(kinds) -> str:
    return ", ".join(sorted(kinds)) or "none"


# ---- ns-1 ------------------------------------------------------------------------------------------------------


def check_identify(identify):
    """A process that shares half of its namespaces with us: does identify() return the kernel's numbers?"""
    with stranger(CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC) as pid:
        try:
            check_numbers(identify(pid), pid, "identify(PID)")
        except FileNotFoundError as error:
            raise Feedback(_no_such_link(error)) from None
    check_numbers(identify(), "self", "identify()")


def _no_such_link(error: FileNotFoundError) -> str:
    told = f"identify(PID) raised {type(error).__name__}: {error}."
    name = os.path.basename(str(error.filename))
    if FILES.get(name, name) != name:
        return (
            f"{told} The kind {name} has another name in /proc/PID/ns, {FILES[name]}: use file in the path, not kind."
        )
    return f"{told} The links are /proc/PID/ns/FILE, with the number pid and the names on the right side in FILES."


def check_numbers(answer, pid, call: str) -> None:
    if answer is None:
        raise Feedback(f"{call} returned None. Return the dictionary at the end.")
    if not isinstance(answer, dict):
        raise Feedback(f"{call} returned {answer!r}. Expected: a dictionary such as {{'uts': 4026531838, …}}.")
    if set(answer) != set(FILES):
        missing, unknown = set(FILES) - set(answer), set(map(str, answer)) - set(FILES)
        if not answer:
            raise Feedback(f"{call} returned an empty dictionary. Put each number into it: result[kind] = ….")
        if not unknown:
            raise Feedback(
                f"{call} has nothing for {listed(missing)}: it returned after {len(answer)} of {len(FILES)} kinds."
            )
        raise Feedback(
            f"{call} has nothing for {listed(missing)}, and has {listed(unknown)} instead. Use the kinds as "
            "keys: in FILES they are on the left side; on the right side are the names of the files."
        )
    for kind, number in answer.items():
        if not isinstance(number, int):
            raise Feedback(f"{call}[{kind!r}] is {number!r}. Expected: the number alone, os.stat(path).st_ino.")
    if len(set(answer.values())) == 1:
        raise Feedback(
            f"{call} has the same number for every kind. st_dev is the file system that holds all these "
            "files; the number of the namespace itself is st_ino."
        )
    truth = numbers(pid)
    if answer == truth:
        return
    if answer["uts"] == os.lstat(f"/proc/{pid}/ns/uts").st_ino:
        raise Feedback(
            f"{call} has the inode numbers of the links themselves, and each process has its own links. "
            "os.stat() follows a link to the namespace behind it, os.lstat() does not."
        )
    if answer == numbers("self"):
        raise Feedback(f"{call} describes the calling process and not process PID. Is pid a part of the path?")
    wrong = [kind for kind in FILES if answer[kind] != truth[kind]]
    raise Feedback(
        f"{call} is wrong about {listed(wrong)}: for {wrong[0]} it returned {answer[wrong[0]]}, and the "
        f"kernel shows {truth[wrong[0]]}."
    )


Exercise(
    "ns-1",
    "Who is where?",
    minutes=6,
    difficulty=1,
    reference=namespaces.identify,
    check=check_identify,
    imports="import os\nfrom minict.runtime.namespaces import FILES",
    starter='''
        def identify(pid="self"):
            """For each kind of namespace: the inode number of the one that process pid is in."""
            result = {}
            for kind, file in FILES.items():
                ...    # the inode number behind the link /proc/PID/ns/FILE
            return result
    ''',
    hints=[
        'The path is f"/proc/{pid}/ns/{file}". Which function describes the file that a path leads to?',
        "os.stat(path) follows links and describes the file. Its inode number is the attribute st_ino.",
        "result[kind] = os.stat(…).st_ino, with the path of the first hint.",
    ],
    right={
        "by stat": """
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}
        """,
        "by readlink": """
            def identify(pid="self"):
                import re
                return {kind: int(re.search(r"\\[(\\d+)\\]", os.readlink(f"/proc/{pid}/ns/{file}"))[1])
                        for kind, file in FILES.items()}
        """,
        "by pathlib": """
            def identify(pid="self"):
                from pathlib import Path
                place = Path("/proc", str(pid), "ns")
                return dict((kind, (place / FILES[kind]).stat().st_ino) for kind in FILES)
        """,
        "by open files": """
            def identify(pid="self"):
                result = dict.fromkeys(FILES)
                for kind in result:
                    with open(f"/proc/{pid}/ns/{FILES[kind]}") as file:
                        result[kind] = os.fstat(file.fileno()).st_ino
                return result
        """,
    },
    wrong={
        "keeps nothing": (
            """
            def identify(pid="self"):
                result = {}
                for kind, file in FILES.items():
                    os.stat(f"/proc/{pid}/ns/{file}").st_ino
                return result
        """,
            "Put each number into it",
        ),
        "looks at itself": (
            """
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/self/ns/{file}").st_ino for kind, file in FILES.items()}
        """,
            "and not process PID",
        ),
        "does not follow the link": (
            """
            def identify(pid="self"):
                return {kind: os.lstat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}
        """,
            "the links themselves",
        ),
        "the text of the link": (
            """
            def identify(pid="self"):
                return {kind: os.readlink(f"/proc/{pid}/ns/{file}") for kind, file in FILES.items()}
        """,
            "Expected: the number alone",
        ),
        "names of files": (
            """
            def identify(pid="self"):
                return {file: os.stat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}
        """,
            "and has mnt, net instead",
        ),
        "kinds as files": (
            """
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in FILES}
        """,
            "use file in the path, not kind",
        ),
        "another path": (
            """
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/{pid}/{file}").st_ino for kind, file in FILES.items()}
        """,
            "The links are /proc/PID/ns/FILE",
        ),
        "the file system": (
            """
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/{pid}/ns/{file}").st_dev for kind, file in FILES.items()}
        """,
            "the same number for every kind",
        ),
        "returns in the loop": (
            """
            def identify(pid="self"):
                result = {}
                for kind, file in FILES.items():
                    result[kind] = os.stat(f"/proc/{pid}/ns/{file}").st_ino
                    return result
        """,
            "stands inside the loop",
        ),
        "forgets to return": (
            """
            def identify(pid="self"):
                result = {}
                for kind, file in FILES.items():
                    result[kind] = os.stat(f"/proc/{pid}/ns/{file}").st_ino
        """,
            "returned None",
        ),
    },
)


# ---- ns-2 ------------------------------------------------------------------------------------------------------


def check_flags(flags):
    """Pass the number to unshare(2), and look which namespaces are new."""
    for kinds in (["uts"], ["uts", "ipc"], ["mount", "pid", "network", "cgroup", "time"], ["uts", "uts"], []):
        try:
            number = flags(list(kinds))
        except ContainerError as error:
            raise Feedback(f"flags({kinds}) raised ContainerError: {error}. All of these kinds are in FLAGS.") from None
        except (IndexError, TypeError) as error:
            if kinds and "'str'" in str(error):
                raise Feedback(
                    f"flags({kinds}) raised TypeError: {error}. A kind is a name, a text. Its number is FLAGS[kind]."
                ) from None
            if kinds:
                raise
            raise Feedback(
                f"flags([]) raised {type(error).__name__}: {error}. A container may share all its namespaces with the "
                "host; then the list is empty. Expected: 0."
            ) from None
        if number is None:
            raise Feedback(f"flags({kinds}) returned None: return the number at the end.")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Feedback(
                f"flags({kinds}) returned {number!r}. Expected: one whole number with the bits of all the kinds."
            )
        check_kinds(kinds, number)
    if flags(["user"]) != FLAGS["user"]:
        raise Feedback(f"flags(['user']) returned {flags(['user']):#x}, and CLONE_NEWUSER is {FLAGS['user']:#x}.")
    check_refusal(flags)


def check_kinds(kinds: list[str], number: int) -> None:
    got = same_fate(lambda: new_kinds(number))
    what = f"flags({kinds}) returned {number:#x}, and unshare({number:#x}) "
    if isinstance(got, str):
        raise Feedback(f"{what}was refused: {got}. A number with the bits of {listed(set(kinds))} alone is accepted.")
    if set(got) == set(kinds):
        return
    cause = ""
    if len(kinds) > len(set(kinds)):
        cause = (
            " ^ flips a bit: the second time it clears what the first time set. | sets it, however often."
            if number == 0
            else " + adds the bit a second time, which carries it over into the next one. | sets it, however often."
        )
    elif number == 0 and kinds:
        cause = " 0 has no bit set. Where does the flag get into the result?"
    elif got == kinds[-1:]:
        cause = " Only the last one: each round of the loop must add a bit to the result and not replace the result."
    elif got == kinds[:1]:
        cause = (
            " Only the first one: does the loop end too early? (The word `or` picks one of two numbers; | joins them.)"
        )
    raise Feedback(f"{what}gave new namespaces of these kinds: {listed(got)}. Expected: {listed(set(kinds))}.{cause}")


def new_kinds(number: int) -> list[str] | str:
    """In a child: the kinds of the namespaces that are new after ``unshare(number)``, or the kernel's refusal.

    It is the next child that looks: a new pid or time namespace is for the children to come.
    """
    before = numbers("self")
    try:
        unshare(number)
    except OSError as error:
        return os.strerror(error.errno)
    after = same_fate(lambda: numbers("self"))
    return [kind for kind in FLAGS if after[kind] != before[kind]]


def check_refusal(flags) -> None:
    """A kind that does not exist: an error, and not a container missing one isolation layer."""
    try:
        number = flags(["uts", "disk"])
    except ContainerError as error:
        if "disk" not in str(error):
            raise Feedback(
                f"flags(['uts', 'disk']) raised ContainerError({str(error)!r}). Good, but the message should "
                "say which kind is unknown: name 'disk' in it."
            ) from None
        return
    except KeyError:
        raise Feedback(
            "flags(['uts', 'disk']) raised KeyError: 'disk'. After a typing mistake a user needs a sentence: "
            "raise ContainerError(…) when the kind is not in FLAGS."
        ) from None
    except (NameError, TypeError, AttributeError, Feedback):
        raise  # a slip, and no refusal
    except Exception as error:
        raise Feedback(
            f"flags(['uts', 'disk']) raised {type(error).__name__}. Refusing is right, but minict takes only a "
            "ContainerError for a mistake of the user: raise ContainerError(…)."
        ) from None
    raise Feedback(
        f"no kind of namespace is called disk, but flags(['uts', 'disk']) returned {number!r}. The container "
        "would silently miss one isolation layer: raise ContainerError."
    )


Exercise(
    "ns-2",
    "Many kinds, one number",
    minutes=7,
    difficulty=2,
    reference=namespaces.flags,
    check=check_flags,
    imports="from minict import ContainerError\nfrom minict.runtime.namespaces import FLAGS",
    starter='''
        def flags(kinds):
            """Join the flags of all these kinds into one number for unshare().

            A kind that is not in FLAGS: ContainerError, with a message that names the kind.
            """
            ...
    ''',
    hints=[
        "Begin with result = 0, and bring in one flag after the other in a loop. Which operator makes a number with "
        "the bits of both its sides?",
        "0b0100 | 0b1000 is 0b1100. So is the sum, until somebody asks for the same kind twice. And first: if kind not "
        "in FLAGS, raise ContainerError(…).",
        "In the loop: result |= FLAGS[kind], which means result = result | FLAGS[kind]. After it: return result.",
    ],
    right={
        "by reduce": """
            def flags(kinds):
                import functools
                import operator
                if unknown := [kind for kind in kinds if kind not in FLAGS]:
                    raise ContainerError(f"unknown namespace: {unknown}")
                return functools.reduce(operator.or_, map(FLAGS.get, kinds), 0)
        """,
        "a sum of a set": """
            def flags(kinds):
                try:
                    return sum(FLAGS[kind] for kind in set(kinds))
                except KeyError as error:
                    raise ContainerError(f"no such kind: {error}")
        """,
        "over all flags": """
            def flags(kinds):
                number = 0
                for kind, bit in FLAGS.items():
                    if kind in kinds:
                        number += bit
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(kind)
                return number
        """,
    },
    wrong={
        "the name itself": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result |= kind
                return result
        """,
            "Its number is FLAGS[kind]",
        ),
        "only the last": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result = FLAGS[kind]
                return result
        """,
            "Only the last one",
        ),
        "and instead of or": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result &= FLAGS[kind]
                return result
        """,
            "0 has no bit set",
        ),
        "adds": (
            """
            def flags(kinds):
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                return sum(FLAGS[kind] for kind in kinds)
        """,
            "carries it over",
        ),
        "flips": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result ^= FLAGS[kind]
                return result
        """,
            "clears what the first time set",
        ),
        "the word or": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result = result or FLAGS[kind]
                return result
        """,
            "picks one of two numbers",
        ),
        "does not look": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    result |= FLAGS[kind]
                return result
        """,
            "raised KeyError: 'disk'",
        ),
        "passes over": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    result |= FLAGS.get(kind, 0)
                return result
        """,
            "miss one isolation layer",
        ),
        "a list": (
            """
            def flags(kinds):
                return [FLAGS[kind] for kind in kinds]
        """,
            "one whole number",
        ),
        "returns in the loop": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result |= FLAGS[kind]
                    return result
        """,
            "does the loop end too early",
        ),
        "begins with the first": (
            """
            def flags(kinds):
                result = FLAGS[kinds[0]]
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result |= FLAGS[kind]
                return result
        """,
            "then the list is empty",
        ),
        "speechless": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError("no")
                    result |= FLAGS[kind]
                return result
        """,
            "say which kind is unknown",
        ),
        "another exception": (
            """
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ValueError(f"there is no kind {kind}")
                    result |= FLAGS[kind]
                return result
        """,
            "raise ContainerError(…)",
        ),
    },
)


# ---- ns-3 ------------------------------------------------------------------------------------------------------


def check_enter(enter):
    """A process with its own namespaces: after enter() we must be where it is, with no file left open."""
    with stranger(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP) as pid:
        for kind in ("uts", "network"):
            same_fate(lambda kind=kind: check_entered(enter, pid, kind))
        same_fate(lambda: check_kind(enter, pid))
        same_fate(lambda: check_missing(enter, pid))


def check_entered(enter, pid: int, kind: str) -> bool:
    call = f"enter('/proc/PID/ns/{FILES[kind]}', {kind!r})"
    before, files, faults = numbers("self"), open_files(), _faults_of_children()
    try:
        enter(f"/proc/{pid}/ns/{FILES[kind]}", kind)
    except ContainerError as error:
        raise Feedback(
            f"{call} raised ContainerError: {error}. flags() takes a list of kinds: flags([kind])."
        ) from None
    except ctypes.ArgumentError as error:
        raise Feedback(
            f"{call} raised {type(error).__name__}: {error}. setns() takes two numbers: the descriptor, which os.open() "
            "returns (open() returns a file object), and the flag of the kind, which is flags([kind])."
        ) from None
    except OSError as error:
        if error.errno == errno.EBADF:
            raise Feedback(
                f"{call} raised {error}. The kernel found no open file behind the first argument of setns(). That must "
                "be the number that os.open() has returned, and not the path; the second one is the flag."
            ) from None
        if error.errno != errno.EINVAL:
            raise
        raise Feedback(
            f"{call} was refused: EINVAL, invalid argument. The namespace is of kind {kind}, and the flag "
            "that setns() got is of another kind. flags([kind]) makes the flag of the kind that was asked "
            "for."
        ) from None
    mine, theirs = numbers("self"), numbers(pid)
    if mine[kind] == before[kind]:
        why = "setns() would move it."
        if _faults_of_children() != faults:
            why = (
                "A child that you started has moved, and it has ended: the process that calls enter() must move itself."
            )
        raise Feedback(f"after {call} the process is in the same {kind} namespace as before. {why}")
    if mine[kind] != theirs[kind]:
        raise Feedback(
            f"after {call} the process is in a new {kind} namespace, and not in that of PID. unshare() "
            "makes a new one, setns() enters an existing one."
        )
    moved = [each for each in FILES if each != kind and mine[each] != before[each]]
    if moved:
        raise Feedback(f"{call} also changed the namespaces of these kinds: {listed(moved)}. Enter only {kind}.")
    if open_files() != files:
        raise Feedback(
            f"after {call} the file is still open. It keeps the namespace alive, even when all processes in there "
            "have ended: os.close(fd)."
        )
    return True


def check_kind(enter, pid: int) -> bool:
    """A path and a kind that do not match, as after a mistake in a specification."""
    before, files = numbers("self"), open_files()
    try:
        enter(f"/proc/{pid}/ns/ipc", "uts")
    except OSError:
        if open_files() == files:
            return True
        raise Feedback(
            "the kernel refused enter('/proc/PID/ns/ipc', 'uts'), as it should, but the file stayed open. "
            "Close it in a finally block, which runs in every case."
        ) from None
    if numbers("self") != before:
        raise Feedback(
            "enter('/proc/PID/ns/ipc', 'uts') entered an ipc namespace, although the caller asked for uts. "
            "With flags([kind]) as its second argument setns() checks the kind and refuses."
        )
    raise Feedback(
        "enter('/proc/PID/ns/ipc', 'uts') returned as if it had worked. The kernel's OSError must reach the caller."
    )


def check_missing(enter, pid: int) -> bool:
    """A path that does not exist: the caller needs the kernel's own error, and no file may stay open."""
    files = open_files()
    try:
        enter(f"/proc/{pid}/ns/nothing", "uts")
    except FileNotFoundError:
        if open_files() == files:
            return True
        raise Feedback("enter('/proc/PID/ns/nothing', 'uts') left a file open.") from None
    except UnboundLocalError:
        raise Feedback(
            "enter('/proc/PID/ns/nothing', 'uts') raised UnboundLocalError: the file could not be opened, so "
            "fd was never set, and finally used it all the same. Open the file before try."
        ) from None
    except Exception as error:
        raise Feedback(
            f"enter('/proc/PID/ns/nothing', 'uts') raised {type(error).__name__}: {error}. That hides the real "
            "error, FileNotFoundError: open the file before try."
        ) from None
    raise Feedback(
        "enter('/proc/PID/ns/nothing', 'uts') returned as if it had worked. The kernel's FileNotFoundError must "
        "reach the caller."
    )


def open_files() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


Exercise(
    "ns-3",
    "Walk in",
    minutes=8,
    difficulty=2,
    reference=namespaces.enter,
    check=check_enter,
    imports="import os\nfrom minict.kernel.namespaces import setns\nfrom minict.runtime.namespaces import flags",
    starter='''
        def enter(path, kind):
            """Enter the namespace that path leads to (such as /proc/PID/ns/net), if it is of this kind."""
            fd = ...
            try:
                ...    # move
            finally:
                ...    # close the file
    ''',
    hints=[
        "Three calls: open the file for reading, move, close the file. os.open() returns the descriptor that setns() "
        "needs.",
        "setns(fd, 0) would enter a namespace of any kind. The second argument says which kind it must be: the number "
        "that flags() of ns-2 makes of [kind].",
        "fd = os.open(path, os.O_RDONLY), then setns(fd, flags([kind])), and in finally os.close(fd).",
    ],
    right={
        "an ExitStack": """
            def enter(path, kind):
                import contextlib
                with contextlib.ExitStack() as stack:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    stack.callback(os.close, fd)
                    setns(fd, flags([kind]))
        """,
        "with open": """
            def enter(path, kind):
                with open(path) as file:
                    setns(file.fileno(), FLAGS[kind])
        """,
        "the C library": """
            def enter(path, kind):
                import ctypes
                libc = ctypes.CDLL(None, use_errno=True)
                fd = os.open(path, os.O_RDONLY)
                failed = libc.setns(fd, flags({kind}))
                number = ctypes.get_errno()
                os.close(fd)
                if failed:
                    raise OSError(number, os.strerror(number), path)
        """,
        "by keywords": """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd=fd, nstype=flags([kind]))
                finally:
                    os.close(fd)
        """,
    },
    wrong={
        "of any kind": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd)
                finally:
                    os.close(fd)
        """,
            "although the caller asked for uts",
        ),
        "a file object": (
            """
            def enter(path, kind):
                fd = open(path)
                try:
                    setns(fd, flags([kind]))
                finally:
                    fd.close()
        """,
            "open() returns a file object",
        ),
        "leaves it open": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                setns(fd, flags([kind]))
        """,
            "the file is still open",
        ),
        "closes it on fine days": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                setns(fd, flags([kind]))
                os.close(fd)
        """,
            "in a finally block",
        ),
        "opens inside of try": (
            """
            def enter(path, kind):
                try:
                    fd = os.open(path, os.O_RDONLY)
                    setns(fd, flags([kind]))
                finally:
                    os.close(fd)
        """,
            "Open the file before try",
        ),
        "the kind itself": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd, kind)
                finally:
                    os.close(fd)
        """,
            "flags([kind])",
        ),
        "without a list": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd, flags(kind))
                finally:
                    os.close(fd)
        """,
            "takes a list of kinds",
        ),
        "always uts": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd, flags(["uts"]))
                finally:
                    os.close(fd)
        """,
            "of the kind that was asked for",
        ),
        "makes a new one": (
            """
            def enter(path, kind):
                unshare(flags([kind]))
        """,
            "unshare() makes a new one",
        ),
        "opens only": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    pass
                finally:
                    os.close(fd)
        """,
            "setns() would move it",
        ),
        "a path instead of a descriptor": (
            """
            def enter(path, kind):
                setns(path, flags([kind]))
        """,
            "and not the path",
        ),
        "a file that is gone": (
            """
            def enter(path, kind):
                setns(open(path).fileno(), flags([kind]))
        """,
            "Bad file descriptor",
        ),
        "in a child": (
            """
            def enter(path, kind):
                if os.fork() == 0:
                    setns(os.open(path, os.O_RDONLY), flags([kind]))
                    os._exit(0)
                os.wait()
        """,
            "must move itself",
        ),
        "closes the path": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd, flags([kind]))
                finally:
                    os.close(path)
        """,
            "in your line: os.close(path)",
        ),
        "swallows the refusal": (
            """
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd, flags([kind]))
                except OSError:
                    pass
                finally:
                    os.close(fd)
        """,
            "returned as if it had worked",
        ),
    },
)


# ---- the challenges: alone, visit ------------------------------------------------------------------------------


def check_alone(alone):
    """In a child: which namespaces are new, and what are the two names?"""
    sethostname("outside")
    same_fate(lambda: check_moved(alone))
    if os.uname().nodename != "outside":
        raise Feedback(
            f'a child called alone("lonely"), and now its parent has the host name {os.uname().nodename!r}. Call '
            "unshare() first, then "
            "sethostname()."
        )


def check_moved(alone) -> bool:
    before, faults = numbers("self"), _faults_of_children()
    try:
        alone("lonely")
    except TypeError as error:
        if "unshare() takes 1" in str(error):
            raise Feedback(
                'alone("lonely") calls unshare() with several arguments, and it takes one number: join the flags '
                "with |."
            ) from None
        raise
    after = numbers("self")
    new = {kind for kind in FILES if after[kind] != before[kind]}
    if missing := {"uts", "ipc"} - new:
        forked = _faults_of_children() != faults
        raise Feedback(
            f'after alone("lonely") the process is in the same namespace as before of kind: {listed(missing)}. '
            + (
                "A child that you started has moved, and it has ended: the process that calls alone() must move itself."
                if forked
                else "unshare() takes both flags at once, joined with |."
            )
        )
    if too_many := new - {"uts", "ipc"}:
        raise Feedback(
            f'alone("lonely") changed namespaces of these kinds too: {listed(too_many)}. Only uts and ipc were asked '
            "for."
        )
    if (name := os.uname().nodename) != "lonely":
        raise Feedback(
            f"after alone(\"lonely\") the host name is {name!r}. Expected: 'lonely'. sethostname(name) sets it."
        )
    return True


def _faults_of_children() -> int:
    """A count that grows with each child of this process that ends; one that has not ended gets a moment."""
    end = time.monotonic() + 3
    try:
        while not os.waitpid(-1, os.WNOHANG)[0] and time.monotonic() < end:
            time.sleep(0.005)
    except ChildProcessError:
        pass
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


Challenge(
    "alone",
    "A room of one's own",
    name="alone",
    minutes=4,
    difficulty=1,
    check=check_alone,
    moves=True,
    imports="""
        import os
        from minict.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWUTS, unshare
        from minict.kernel.process import sethostname
    """,
    solution='''
        def alone(name):
            """Move to a uts and an ipc namespace of our own, with this host name."""
            unshare(CLONE_NEWUTS | CLONE_NEWIPC)
            sethostname(name)
    ''',
    hints=[
        "Two calls, in this order: make the namespaces, then set the name.",
        "unshare(CLONE_NEWUTS | CLONE_NEWIPC) makes both namespaces.",
    ],
    right={
        "one after the other": """
            def alone(name):
                for flag in (CLONE_NEWIPC, CLONE_NEWUTS):
                    unshare(flag)
                sethostname(name)
        """,
        "by numbers": """
            def alone(name):
                unshare(0x0C000000)
                with open("/proc/sys/kernel/hostname", "w") as file:
                    file.write(name)
        """,
        "by a command": """
            def alone(name):
                unshare(CLONE_NEWUTS | CLONE_NEWIPC)
                os.system(f"hostname {name}")
        """,
        "with a sum": """
            def alone(name):
                import socket
                unshare(CLONE_NEWUTS + CLONE_NEWIPC)
                socket.sethostname(name)
        """,
    },
    wrong={
        "one kind": (
            """
            def alone(name):
                unshare(CLONE_NEWUTS)
                sethostname(name)
        """,
            "of kind: ipc",
        ),
        "no name": (
            """
            def alone(name):
                unshare(CLONE_NEWUTS | CLONE_NEWIPC)
        """,
            "sethostname(name) sets it",
        ),
        "and instead of or": (
            """
            def alone(name):
                unshare(CLONE_NEWUTS & CLONE_NEWIPC)
                sethostname(name)
        """,
            "of kind: ipc, uts",
        ),
        "two arguments": (
            """
            def alone(name):
                unshare(CLONE_NEWUTS, CLONE_NEWIPC)
                sethostname(name)
        """,
            "join the flags with |",
        ),
        "the name first": (
            """
            def alone(name):
                sethostname(name)
                unshare(CLONE_NEWUTS | CLONE_NEWIPC)
        """,
            "Call unshare() first",
        ),
        "in a child": (
            """
            def alone(name):
                if os.fork() == 0:
                    unshare(CLONE_NEWUTS | CLONE_NEWIPC)
                    sethostname(name)
                    os._exit(0)
        """,
            "must move itself",
        ),
        "in a child that is waited for": (
            """
            def alone(name):
                from minict.lab import run_in_child
                def work():
                    unshare(CLONE_NEWUTS | CLONE_NEWIPC)
                    sethostname(name)
                run_in_child(work)
        """,
            "must move itself",
        ),
    },
)


@contextmanager
def inhabitant():
    """The pid of a process with namespaces and a /proc of its own, as a container's first process has them.

    Each namespace has a mark: the host name, the largest message (4242 bytes), the packets' time to live (42), and a
    file in /mnt.
    """
    ready, told = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
            if pid := os.fork():
                os.write(told, b"%d\n" % pid)
                os.waitpid(pid, 0)
            else:
                sethostname("stranger")
                mount.mount("proc", "/proc", "proc")
                mount.mount("tmpfs", "/mnt", "tmpfs")
                for path, text in (
                    ("/mnt/marked", ""),
                    ("/proc/sys/kernel/msgmax", "4242"),
                    ("/proc/sys/net/ipv4/ip_default_ttl", "42"),
                ):
                    with open(path, "w") as file:
                        file.write(text)
                os.write(told, b"!\n")
                signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    with open(ready) as lines:
        words = sorted([lines.readline().strip(), lines.readline().strip()])
    if words[0] != "!":
        raise RuntimeError("a process for the check could not get its namespaces")
    try:
        yield int(words[1])
    finally:
        os.kill(int(words[1]), signal.SIGKILL)
        os.waitpid(between, 0)


@contextmanager
def errors():
    """What is printed meanwhile, as the only item of a list; it is printed again afterwards.

    It looks at the descriptors: in a notebook, a forked child gets a ``sys.stderr`` of its own: see
    :mod:`minict.lab.guard`.
    """
    told: list[str] = []
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        kept = os.dup(1), os.dup(2)
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield told
        finally:
            for number, copy in enumerate(kept, 1):
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            told.append(file.read())
            sys.stdout.write(told[0])


def has_children(but: int = 0) -> bool:
    """Whether this process has more children than *but*, ended or not."""
    return sum(each.parent == os.getpid() for each in host.process_table().values()) > but


def check_visit(visit):
    """A process with namespaces of its own: what a command finds in there, and what it leaves out here."""
    with inhabitant() as pid:
        sethostname("outside")
        for words, expected, why in (
            (["sh", "-c", "exit 7"], 7, "It is the exit status of the command."),
            (["sh", "-c", "kill -9 $$"], 137, "Signal 9 has ended the command: 128 + 9, which exit_status() knows."),
            (["sh", "-c", "test $(hostname) = stranger"], 0, "In the uts namespace of PID the host name is stranger."),
            (
                ["sh", "-c", "test $(cat /proc/sys/kernel/msgmax) = 4242"],
                0,
                "In the ipc namespace of PID a message has at most 4242 bytes: enter ipc too.",
            ),
            (
                ["sh", "-c", "test $(cat /proc/sys/net/ipv4/ip_default_ttl) = 42"],
                0,
                "In the network namespace of PID the packets' time to live is 42: enter network too.",
            ),
            (
                ["test", "-e", "/mnt/marked"],
                0,
                "In the mount namespace of PID there is a file /mnt/marked: enter mount too, as the last one.",
            ),
        ):
            call = f"visit(PID, {words})"
            with errors() as told:
                status = visit(pid, list(words))
            if status is None:
                raise Feedback(f"{call} returned None. Return the exit status.")
            if status != expected:
                raw = " That is the raw wait status." if isinstance(status, int) and status == expected << 8 else ""
                if expected == 7 and status == 1:
                    why = "An exception ended the child before it became the command. " + _why_it_ended(told[0])
                elif expected == 7 and status == 0:
                    why = (
                        "0 is how spawn() ends a child whose function has returned. It has not become the command: the "
                        "last step is os.execvp(words[0], words)."
                    )
                if has_children(but=1):
                    why = "Its child has not been waited for: exit_status() translates what os.waitpid(pid, 0)[1] returns."
                raise Feedback(f"{call} returned {status!r}. Expected: {expected}. {why}{raw}")


def _why_it_ended(told: str) -> str:
    """What the exception that the child has printed, in *told*, tells of the answer."""
    if found := re.search(r"No such file or directory: '/proc/\d+/ns/(\w+)'", told):
        if FILES.get(found[1], found[1]) != found[1]:
            return f"There is no door called {found[1]}: its name is FILES[kind]."
        return "In the mount namespace of PID there is another /proc, without PID: so enter mount as the last one."
    if "unknown kind of namespace" in told:
        return "enter() takes the kind, a key of FILES; only in the path it is FILES[kind]."
    if "Invalid argument: setns" in told:
        return (
            "The kernel lets no process enter the user namespace that it is in already. Enter the four that were asked "
            "for."
        )
    if "No such file or directory" in told:
        return "os.execv() takes the path of a file: os.execvp() looks for the command in PATH, and so does find()."
    return "What it printed is below."


_VISIT = '''
def visit(pid, words):
    """Execute words in four namespaces of the process pid; return its exit status, as a shell does."""
    def work():
        for kind in ("uts", "ipc", "network", "mount"):
            enter(f"/proc/{pid}/ns/{FILES[kind]}", kind)
        os.execv(find(words[0], []), words)
    return exit_status(os.waitpid(spawn(work), 0)[1])
'''

Challenge(
    "visit",
    "Your own nsenter",
    name="visit",
    minutes=10,
    difficulty=3,
    check=check_visit,
    imports="""
        import os
        from minict.kernel.namespaces import setns
        from minict.runtime.namespaces import FILES, enter, flags
        from minict.runtime.process import exit_status, find, spawn
    """,
    solution=_VISIT,
    hints=[
        "Everything that moves belongs in an inner function work(), which spawn(work) calls in a child.",
        'In work(): enter(f"/proc/{pid}/ns/{FILES[kind]}", kind) for each of the four kinds, mount as the last one. '
        "Then os.execvp(words[0], words).",
        "After it: return exit_status(os.waitpid(spawn(work), 0)[1]).",
    ],
    right={
        "all doors first": """
            def visit(pid, words):
                def work():
                    doors = [os.open(f"/proc/{pid}/ns/{file}", os.O_RDONLY) for file in ("mnt", "net", "uts", "ipc")]
                    for door in doors:
                        setns(door)
                    os.execvp(words[0], words)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
        "a pidfd": """
            def visit(pid, words):
                child = os.fork()
                if child == 0:
                    try:
                        setns(os.pidfd_open(pid), flags(["uts", "ipc", "network", "mount"]))
                        os.execvp(words[0], words)
                    finally:
                        os._exit(1)
                return exit_status(os.waitpid(child, 0)[1])
        """,
        "subprocess": """
            def visit(pid, words):
                import subprocess
                def move():
                    for kind in ("uts", "ipc", "network", "mount"):
                        enter(f"/proc/{pid}/ns/{FILES[kind]}", kind)
                code = subprocess.Popen(words, preexec_fn=move).wait()
                return code if code >= 0 else 128 - code
        """,
    },
    wrong={
        "in the caller": (
            """
            def visit(pid, words):
                for kind in ("uts", "ipc", "network"):
                    enter(f"/proc/{pid}/ns/{FILES[kind]}", kind)
                return exit_status(os.waitpid(spawn(lambda: os.execvp(words[0], words)), 0)[1])
        """,
            "moved the process that called it",
        ),
        "all of it in the caller": (
            """
            def visit(pid, words):
                for kind in ("uts", "ipc", "network", "mount"):
                    enter(f"/proc/{pid}/ns/{FILES[kind]}", kind)
                return exit_status(os.waitpid(spawn(lambda: os.execvp(words[0], words)), 0)[1])
        """,
            "moved the process that called it",
        ),
        "no mount": (
            edited(_VISIT, ('"network", "mount"', '"network"')),
            "enter mount too",
        ),
        "mount first": (
            edited(_VISIT, ('"uts", "ipc", "network", "mount"', '"mount", "uts", "ipc", "network"')),
            "so enter mount as the last one",
        ),
        "the kinds as doors": (
            edited(_VISIT, ("ns/{FILES[kind]}", "ns/{kind}")),
            "its name is FILES[kind]",
        ),
        "the files as kinds": (
            edited(_VISIT, ('"network", "mount"', '"net", "mnt"'), ("{FILES[kind]}", "{kind}")),
            "enter() takes the kind",
        ),
        "all kinds": (
            edited(_VISIT, ('("uts", "ipc", "network", "mount")', "FILES")),
            "Enter the four that were asked for",
        ),
        "without PATH": (
            edited(_VISIT, ("find(words[0], [])", "words[0]")),
            "looks for the command in PATH",
        ),
        "a shell that is waited for": (
            edited(_VISIT, ("os.execv(find(words[0], []), words)", "os.system(' '.join(words))")),
            "It has not become the command",
        ),
        "translates the number of the child": (
            edited(_VISIT, ("os.waitpid(spawn(work), 0)[1]", "spawn(work)")),
            "has not been waited for",
        ),
        "no network": (
            edited(_VISIT, ('"network", ', "")),
            "enter network too",
        ),
        "no ipc": (
            edited(_VISIT, ('"ipc", ', "")),
            "enter ipc too",
        ),
        "no name": (
            edited(_VISIT, ('"uts", ', "")),
            "the host name is stranger",
        ),
        "the raw status": (
            edited(_VISIT, ("exit_status(os.waitpid(spawn(work), 0)[1])", "os.waitpid(spawn(work), 0)[1]")),
            "the raw wait status",
        ),
    },
)
