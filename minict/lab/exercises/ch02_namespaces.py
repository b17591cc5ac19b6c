"""Chapter 02: which namespaces a process is in, how new ones are asked for, and how those of another are entered."""
from __future__ import annotations

import os
import signal
from contextlib import contextmanager

from minict.kernel.namespaces import CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS, unshare
from minict.kernel.process import sethostname
from minict.runtime import namespaces
from minict.runtime.errors import ContainerError
from minict.runtime.namespaces import FILES, FLAGS

from ..exercise import Exercise, Feedback, same_fate


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
    """A stranger that shares half of its namespaces with us: are the numbers that identify() gives the kernel's?"""
    with stranger(CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC) as pid:
        check_numbers(identify(pid), pid, "identify(PID)")
    check_numbers(identify(), "self", "identify()")


def check_numbers(answer, pid, call: str) -> None:
    if answer is None:
        raise Feedback(f"{call} returned None. The dictionary was made and then forgotten: return it at the end.")
    if not isinstance(answer, dict):
        raise Feedback(f"{call} returned {answer!r}. Expected is a dictionary such as {{'uts': 4026531838, …}}.")
    if set(answer) != set(FILES):
        missing, unknown = set(FILES) - set(answer), set(map(str, answer)) - set(FILES)
        too_many = f", and has {listed(unknown)}" if unknown else ""
        raise Feedback(f"{call} has nothing for {listed(missing)}{too_many}. Its keys are the kinds: in FILES they "
                       "are on the left side; on the right side are the names of the files.")
    for kind, number in answer.items():
        if not isinstance(number, int):
            raise Feedback(f"{call}[{kind!r}] is {number!r}. Expected is the number alone: os.stat(path).st_ino.")
    if len(set(answer.values())) == 1:
        raise Feedback(f"{call} has the same number for every kind. st_dev is the file system on which all these files "
                       "lie; the number of the namespace itself is st_ino.")
    truth = numbers(pid)
    if answer == truth:
        return
    if answer["uts"] == os.lstat(f"/proc/{pid}/ns/uts").st_ino:
        raise Feedback(f"{call} has the numbers of the links in /proc, and each process has links of its own. "
                       "os.stat() follows a link to the namespace behind it, os.lstat() does not.")
    if answer == numbers("self"):
        raise Feedback(f"{call} told of the process that asks, and not of process PID: is pid a part of the path?")
    wrong = [kind for kind in FILES if answer[kind] != truth[kind]]
    raise Feedback(f"{call} is wrong about {listed(wrong)}: for {wrong[0]} it says {answer[wrong[0]]}, and the kernel "
                   f"{truth[wrong[0]]}.")


Exercise(
    "ns-1", "Who is where?", minutes=5, difficulty=1, reference=namespaces.identify, check=check_identify,
    imports="import os\nfrom minict.runtime.namespaces import FILES",
    starter='''
        def identify(pid="self"):
            """For each kind of namespace the number of the one that process pid is in."""
            result = {}
            for kind, file in FILES.items():
                ...    # the number of what /proc/PID/ns/FILE leads to
            return result
    ''',
    hints=[
        "The path is f\"/proc/{pid}/ns/{file}\". Which function tells about the file that a path leads to?",
        "os.stat(path) follows links and returns all that is known of a file. Its number is the attribute st_ino.",
        "result[kind] = os.stat(…).st_ino, with the path of the first hint.",
    ],
    wrong={
        "looks at itself": ("""
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/self/ns/{file}").st_ino for kind, file in FILES.items()}
        """, "and not of process PID"),
        "does not follow the link": ("""
            def identify(pid="self"):
                return {kind: os.lstat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}
        """, "numbers of the links"),
        "the text of the link": ("""
            def identify(pid="self"):
                return {kind: os.readlink(f"/proc/{pid}/ns/{file}") for kind, file in FILES.items()}
        """, "Expected is the number alone"),
        "names of files": ("""
            def identify(pid="self"):
                return {file: os.stat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}
        """, "has nothing for mount, network"),
        "kinds as files": ("""
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in FILES}
        """, "No such file or directory"),
        "the file system": ("""
            def identify(pid="self"):
                return {kind: os.stat(f"/proc/{pid}/ns/{file}").st_dev for kind, file in FILES.items()}
        """, "the same number for every kind"),
        "returns in the loop": ("""
            def identify(pid="self"):
                result = {}
                for kind, file in FILES.items():
                    result[kind] = os.stat(f"/proc/{pid}/ns/{file}").st_ino
                    return result
        """, "has nothing for"),
        "forgets to return": ("""
            def identify(pid="self"):
                result = {}
                for kind, file in FILES.items():
                    result[kind] = os.stat(f"/proc/{pid}/ns/{file}").st_ino
        """, "returned None"),
    })


# ---- ns-2 ------------------------------------------------------------------------------------------------------

def check_flags(flags):
    """Give the number to unshare(2), and look which namespaces are new."""
    for kinds in (["uts"], ["uts", "ipc"], ["mount", "pid", "network", "cgroup", "time"], ["uts", "uts"], []):
        number = flags(list(kinds))
        if number is None:
            raise Feedback(f"flags({kinds}) returned None: return the number at the end.")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Feedback(f"flags({kinds}) returned {number!r}. Expected is one whole number that has the bits of all "
                           "the kinds.")
        check_kinds(kinds, number)
    if flags(["user"]) != FLAGS["user"]:
        raise Feedback(f"flags(['user']) returned {flags(['user']):#x}, and CLONE_NEWUSER is {FLAGS['user']:#x}.")
    check_refusal(flags)


def check_kinds(kinds: list[str], number: int) -> None:
    got = same_fate(lambda: new_kinds(number))
    what = f"flags({kinds}) returned {number:#x}, and unshare() with this number "
    if isinstance(got, str):
        raise Feedback(f"{what}was refused: {got}. A number with the bits of {listed(set(kinds))} alone is accepted.")
    if set(got) == set(kinds):
        return
    cause = ""
    if number == 0 and kinds:
        cause = " 0 has no bit set: where is the flag put into the result?"
    elif len(kinds) > len(set(kinds)):
        cause = " + adds the bit a second time, and so carries it over into the next one. | sets it, however often."
    elif got == kinds[-1:]:
        cause = " Only the last one: each round of the loop must add to the result and not replace it."
    elif got == kinds[:1]:
        cause = " Only the first one: does the loop end too early?"
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
    """A kind that does not exist: a sentence, and not a container that lacks a wall."""
    try:
        number = flags(["uts", "disk"])
    except ContainerError as error:
        if "disk" not in str(error):
            raise Feedback(f"flags(['uts', 'disk']) raised ContainerError({str(error)!r}). Good, but whoever reads "
                           "that should learn which kind was meant: name it in the sentence.") from None
        return
    except KeyError:
        raise Feedback("flags(['uts', 'disk']) raised KeyError: 'disk'. Whoever has made a typing mistake should read "
                       "a sentence: raise ContainerError(…) when the kind is not in FLAGS.") from None
    raise Feedback(f"there is no namespace of the kind disk, and yet flags(['uts', 'disk']) returned {number!r}. A "
                   "container would lack a wall, and nobody would know: raise ContainerError.")


Exercise(
    "ns-2", "Many wishes, one number", minutes=4, difficulty=1, reference=namespaces.flags, check=check_flags,
    imports="from minict import ContainerError\nfrom minict.runtime.namespaces import FLAGS",
    starter='''
        def flags(kinds):
            """The number that asks unshare() for a new namespace of each of these kinds."""
            result = 0
            for kind in kinds:
                if kind not in FLAGS:
                    raise ContainerError(f"there is no namespace of kind {kind!r}")
                ...    # put the bit of this kind into result
            return result
    ''',
    hints=[
        "FLAGS[kind] is a number in which one bit is 1. Which operator makes a number with the bits of both its sides?",
        "0b0100 | 0b1000 is 0b1100. So is +, until somebody asks for the same kind twice.",
        "result |= FLAGS[kind] means result = result | FLAGS[kind].",
    ],
    wrong={
        "only the last": ("""
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result = FLAGS[kind]
                return result
        """, "Only the last one"),
        "and instead of or": ("""
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result &= FLAGS[kind]
                return result
        """, "0 has no bit set"),
        "adds": ("""
            def flags(kinds):
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                return sum(FLAGS[kind] for kind in kinds)
        """, "carries it over"),
        "does not look": ("""
            def flags(kinds):
                result = 0
                for kind in kinds:
                    result |= FLAGS[kind]
                return result
        """, "raised KeyError: 'disk'"),
        "passes over": ("""
            def flags(kinds):
                result = 0
                for kind in kinds:
                    result |= FLAGS.get(kind, 0)
                return result
        """, "would lack a wall"),
        "a list": ("""
            def flags(kinds):
                return [FLAGS[kind] for kind in kinds]
        """, "one whole number"),
        "returns in the loop": ("""
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError(f"there is no namespace of kind {kind!r}")
                    result |= FLAGS[kind]
                    return result
        """, "does the loop end too early"),
        "speechless": ("""
            def flags(kinds):
                result = 0
                for kind in kinds:
                    if kind not in FLAGS:
                        raise ContainerError("no")
                    result |= FLAGS[kind]
                return result
        """, "name it in the sentence"),
    })


# ---- ns-3 ------------------------------------------------------------------------------------------------------

def check_enter(enter):
    """A stranger with namespaces of its own: who calls enter() must be where the stranger is, and hold no file open."""
    with stranger(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP) as pid:
        for kind in ("uts", "network"):
            same_fate(lambda kind=kind: check_entered(enter, pid, kind))
        same_fate(lambda: check_kind(enter, pid))


def check_entered(enter, pid: int, kind: str) -> bool:
    call = f"enter('/proc/PID/ns/{FILES[kind]}', {kind!r})"
    before, files = numbers("self"), open_files()
    enter(f"/proc/{pid}/ns/{FILES[kind]}", kind)
    mine, theirs = numbers("self"), numbers(pid)
    if mine[kind] == before[kind]:
        raise Feedback(f"after {call} the process is in the same {kind} namespace as before: setns() is what moves it.")
    if mine[kind] != theirs[kind]:
        raise Feedback(f"after {call} the process is in a new {kind} namespace, and not in that of PID. unshare() "
                       "makes a new one, setns() enters one that is there.")
    moved = [each for each in FILES if each != kind and mine[each] != before[each]]
    if moved:
        raise Feedback(f"{call} has changed the namespaces of these kinds too: {listed(moved)}. Only {kind} was "
                       f"wanted.")
    if open_files() != files:
        raise Feedback(f"after {call} the file is still open. Whoever holds it keeps the namespace alive, and a "
                       "container's program would inherit it: os.close(fd).")
    return True


def check_kind(enter, pid: int) -> bool:
    """A path and a kind that do not fit each other, as a mistake in a specification would have it."""
    before, files = numbers("self"), open_files()
    try:
        enter(f"/proc/{pid}/ns/ipc", "uts")
    except OSError:
        if open_files() == files:
            return True
        raise Feedback("enter('/proc/PID/ns/ipc', 'uts') was refused by the kernel, as it should be, but then the "
                       "file stays open: what must happen in any case belongs into finally.") from None
    if numbers("self") != before:
        raise Feedback("enter('/proc/PID/ns/ipc', 'uts') entered an ipc namespace, though one of the kind uts was "
                       "asked for. With flags([kind]) as its second argument setns() checks that, and refuses.")
    raise Feedback("enter('/proc/PID/ns/ipc', 'uts') did nothing and said nothing: the kernel's OSError must reach the "
                   "caller.")


def open_files() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


Exercise(
    "ns-3", "Walk in", minutes=6, difficulty=2, reference=namespaces.enter, check=check_enter,
    imports="import os\nfrom minict.kernel.namespaces import setns\nfrom minict.runtime.namespaces import flags",
    starter='''
        def enter(path, kind):
            """Enter the namespace that path (such as /proc/PID/ns/net) leads to, if it is of this kind."""
            fd = ...
            try:
                ...    # setns wants fd, and the flag of the kind
            finally:
                ...    # leave no file open
    ''',
    hints=[
        "Three calls: open the file for reading, move, close the file. os.open() returns the descriptor that setns() "
        "wants.",
        "setns(fd, 0) would enter a namespace of any kind. Its second argument says which kind it must be: the number "
        "that flags() of ns-2 makes of [kind].",
        "fd = os.open(path, os.O_RDONLY), then setns(fd, flags([kind])), and in finally os.close(fd).",
    ],
    wrong={
        "of any kind": ("""
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd)
                finally:
                    os.close(fd)
        """, "though one of the kind uts was asked for"),
        "leaves it open": ("""
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                setns(fd, flags([kind]))
        """, "the file is still open"),
        "closes it on fine days": ("""
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                setns(fd, flags([kind]))
                os.close(fd)
        """, "belongs into finally"),
        "makes a new one": ("""
            def enter(path, kind):
                unshare(flags([kind]))
        """, "unshare() makes a new one"),
        "opens only": ("""
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    pass
                finally:
                    os.close(fd)
        """, "setns() is what moves it"),
        "a path is no descriptor": ("""
            def enter(path, kind):
                setns(path, flags([kind]))
        """, "Bad file descriptor"),
        "a file that is gone": ("""
            def enter(path, kind):
                setns(open(path).fileno(), flags([kind]))
        """, "Bad file descriptor"),
        "swallows the refusal": ("""
            def enter(path, kind):
                fd = os.open(path, os.O_RDONLY)
                try:
                    setns(fd, flags([kind]))
                except OSError:
                    pass
                finally:
                    os.close(fd)
        """, "did nothing and said nothing"),
    })
