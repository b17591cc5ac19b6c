"""Chapter 16: the order of a birth, an end that leaves nothing, and the command line; from an empty cell, top."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import socket
import subprocess
import sys

from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWPID, unshare
from minict.runtime import paths, process

from .. import assembly, host, mini_docker
from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback

_IMPORTS = """
    import os, signal, sys
    from contextlib import suppress
    from minict.lab.mini_docker import COMMANDS, ContainerError, Group, launch, options, save, unplug
    from minict.runtime.namespaces import identify
"""
_IFF_UP = 1
_PATIENCE = 2  # seconds for a group to become empty: a wrong answer that kills nobody is not to cost half a minute


def _home_in_memory() -> None:
    """Let mini_docker keep its containers in memory, in the mount namespace of this check."""
    os.makedirs(mini_docker.HOME, exist_ok=True)
    k.mount("tmpfs", mini_docker.HOME, "tmpfs")


# ---- own-1 -----------------------------------------------------------------------------------------------------------

_LOOK = (
    "echo /proc/[0-9]*; cat /proc/timer_list /proc/keys 2> /dev/null | wc -c; cat /sys/class/net/lo/flags; "
    "ls /here; hostname"
)


def check_order(order):
    """A birth in that order, on a host whose mounts are shared: does it work, and what does the host see of it?"""
    names = sorted(name for name in vars(mini_docker.Birth) if not name.startswith("_"))
    call = f"order({names[:2]}…)".replace("]", "")
    steps = order(list(names))
    try:
        steps = list(steps)
    except TypeError:
        raise Feedback(f"{call} returned {steps!r}. Expected: a list of the same names.") from None
    if missing := [name for name in names if name not in steps]:
        raise Feedback(f"{call} returned {steps!r}: {', '.join(missing)} is missing.")
    if sorted(steps) != names:
        strange = next(name for name in steps if name not in names or steps.count(name) > 1)
        raise Feedback(f"{call} returned {steps!r}. Expected: each of the names once; what is {strange!r}?")
    _home_in_memory()
    os.mkdir("volume")
    open("volume/present", "w").close()
    text = assembly.assemble({}).text.replace("if __name__", f"order = lambda steps: {steps!r}\n\nif __name__")
    with open("mini_docker.py", "w") as file:
        file.write(text.replace(" ip hostname", " hostname"))  # most images lack the program ip, so this root does too
    k.mount(None, "/", None, k.MS_SHARED | k.MS_REC)
    before = _mounts()
    volume = ["run", "--name", "born", "--network", "none", "-v", f"{os.getcwd()}/volume:/here", ""]
    words = [sys.executable, "-I", "mini_docker.py", *volume, "sh", "-c", _LOOK]
    done = subprocess.run(words, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    told = f"in the order {' '.join(steps)}"
    if new := [entry for entry in _mounts() if entry not in before]:
        shared = any(new[0][0] == point for point, _ in before)
        what = "changed the propagation of" if shared else "left a mount on"
        raise Feedback(
            f"{told}, the birth has {what} the host's {new[0][0]}. What comes first, so that all that follows is in a "
            "mount table of its own, and then is kept from the host?"
        )
    if done.returncode:
        step, _, why = done.stderr.strip().removeprefix("mini_docker: ").partition(": ")
        if step not in names:  # Python itself has failed, and the child says nothing: see spawn
            raise Feedback(
                f"{told}, the birth ends half-way, with status {done.returncode}. A step needed something of the host "
                "when it was out of reach: Python loads modules from the host's files, too. Which steps need the host?"
            )
        raise Feedback(f"{told}, the step {step!r} failed: {why}. {_WHY.get(step, '')}".strip())
    processes, size, loopback, *files, name = done.stdout.split("\n")[:-1]
    if "present" not in files:
        raise Feedback(
            f"{told}, the volume is not to be seen: what was mounted later covers it. First the root, then on it."
        )
    if int(size):
        raise Feedback(f"{told}, /proc/timer_list can be read. A file that is not there yet can't be hidden.")
    if name != "born" or len(processes.split()) > 4:
        raise Feedback(f"{told}, it is called {name!r} and sees {processes}.")
    if not int(loopback, 16) & _IFF_UP:
        raise Feedback(
            f"{told}, lo is off in the container: network has switched on the interfaces of the network namespace in "
            "which it was. Whose was that?"
        )


def _mounts() -> list[tuple[str, str]]:
    """Each mount of the caller: where, and how changes spread."""
    return [(entry["point"], " ".join(tag.partition(":")[0] for tag in entry["tags"])) for entry in host.mount_table()]


_WHY = {
    "limits": "The files of control groups are in /sys/fs/cgroup of the host: as long as that can be seen.",
    "network": "The caller still has the host's network, or the program ip is out of reach already.",
    "pivot": "It moves into a root that has to be mounted before.",
    "system": "It writes into /proc, /dev and /etc: these must be the container's own.",
    "volumes": "Their directories are the host's, and the target is in the new root: both must be in reach.",
}
_ORDER = """
def order(steps):
    return ["namespaces", "private", "root", "volumes", "limits", "network", "pivot", "system", "hide"]
"""

Exercise(
    "own-1",
    "Nine steps",
    minutes=8,
    difficulty=2,
    reference=mini_docker.order,
    check=check_order,
    imports=_IMPORTS,
    seconds=60,
    starter='''
        def order(steps):
            """Return the names of the steps of a birth in an order in which they work."""
            ...
    ''',
    hints=[
        "What needs the host, and what needs to be rid of it? pivot is the border between the two.",
        "Before all: a mount table of one's own (namespaces), and no word of it to the host (private). Then root, and "
        "volumes on it. The control groups and the program ip are the host's too: limits and network come before pivot.",
        'After pivot: system mounts /proc and makes the files, hide covers some of them. So the list begins "namespaces", '
        '"private", "root", "volumes" and ends "pivot", "system", "hide".',
    ],
    right={
        "limits first": """
            def order(steps):
                return ["limits", "namespaces", "private", "root", "volumes", "network", "pivot", "system", "hide"]
        """,
        "a tuple, and volumes late": """
            def order(steps):
                return "namespaces", "private", "network", "limits", "root", "volumes", "pivot", "system", "hide"
        """,
        "sorted by a rank": """
            def order(steps):
                ranks = dict(namespaces=0, private=1, limits=2, network=3, root=4, volumes=5, pivot=6, system=7, hide=8)
                return sorted(steps, key=ranks.get)
        """,
    },
    wrong={
        "from a to z": (
            """
            def order(steps):
                return steps
        """,
            "first",
        ),
        "private too late": (
            edited(_ORDER, ('"private", "root", "volumes",', '"root", "volumes", "private",')),
            "left a mount on the host",
        ),
        "private too early": (
            edited(_ORDER, ('"namespaces", "private"', '"private", "namespaces"')),
            "changed the propagation",
        ),
        "limits after pivot": (
            edited(_ORDER, ('"limits", "network", "pivot"', '"network", "pivot", "limits"')),
            "the step 'limits' failed",
        ),
        "limits at the end": (
            edited(_ORDER, ('"limits", ', ""), ('"hide"', '"hide", "limits"')),
            "the step 'limits' failed",
        ),
        "the host's network": (
            edited(_ORDER, ('"limits", "network"', '"limits"'), ('["namespaces"', '["network", "namespaces"')),
            "lo is off in the container",
        ),
        "network after pivot": (
            edited(_ORDER, ('"network", "pivot"', '"pivot", "network"')),
            "the step 'network' failed",
        ),
        "system before pivot": (
            edited(_ORDER, ('"pivot", "system"', '"system", "pivot"')),
            "the step 'system' failed",
        ),
        "hides too early": (
            edited(_ORDER, ('"pivot", "system", "hide"', '"hide", "pivot", "system"')),
            "can't be hidden",
        ),
        "volumes under the root": (
            edited(_ORDER, ('"root", "volumes"', '"volumes", "root"')),
            "First the root, then on it",
        ),
        "pivot before root": (
            edited(
                _ORDER,
                ('"root", "volumes", "limits", "network", "pivot"', '"pivot", "root", "volumes", "limits", "network"'),
            ),
            "the step 'pivot' failed",
        ),
        "one is missing": (
            edited(_ORDER, (', "hide"', "")),
            "hide is missing",
        ),
    },
)


# ---- own-2 -----------------------------------------------------------------------------------------------------------

_LINES = (
    (["/bin/sh", "-c", "exit 7"], 7, "That is the status of the command; launch(…) returns it."),
    (["/bin/sh", "-c", "kill -9 $$"], 137, "launch(…) returns it."),
    (["no-such-command"], 127, "launch(…) returns it."),
    (["ps"], 0, "The functions in COMMANDS return nothing when all is well: a shell knows no None."),
    (
        ["exec", "home", "sh", "-c", "exit 5"],
        5,
        "The function for exec returns its command's status. main() has to return that, and not to go on to launch(…).",
    ),
    (["logs", "quiet"], 125, "An error is a sentence and the status 125, returned by `except`; an OSError has none."),
    (["exec", "nobody", "true"], 125, "Its other words are arguments: COMMANDS[word](*words)."),
    (["run", "no-such-image", "true"], 125, "It takes options(words) without the word run."),
)


def check_main(main):
    """The program's main() with a list of command lines: which exit status comes of each?"""
    _home_in_memory()
    os.makedirs(mini_docker.directory("quiet"))  # has a record, and no log: a FileNotFoundError
    mini_docker.save(dict(name="quiet", command=[], pid=0, status=0))
    with contextlib.redirect_stdout(io.StringIO()):
        same_fate(lambda: mini_docker.main(["run", "-d", "--name", "home", "--network", "none", "", "sleep", "1000"]))
    try:
        for words, wanted, why in _LINES:
            status = same_fate(lambda: _called(main, words))
            if status != wanted:
                raise Feedback(f"main({words!r}) returned {status}. Expected: {wanted}. {why}")
    finally:
        mini_docker.rm("home")


def _called(main, words: list[str]):
    status = main(list(words))
    return "None" if status is None else status


Exercise(
    "own-2",
    "What the shell gets",
    minutes=7,
    difficulty=2,
    reference=mini_docker.main,
    check=check_main,
    imports=_IMPORTS,
    seconds=90,
    starter='''
        def main(words):
            """Do what the words of the command line say; return the exit status, as a shell would report it."""
            try:
                if words[0] in COMMANDS:
                    ...    # ps, exec, logs, stop, rm
                ...        # run, or a program of this machine
            except (OSError, ContainerError) as error:
                print(f"mini_docker: {error}", file=sys.stderr)
                ...
    ''',
    hints=[
        "Three ways out, and each has to return a number. The functions in COMMANDS mostly return None: (value or 0).",
        'options(words) wants what comes after run. For a program of this machine there is no image: options(["", *words]).',
        'An OSError has no status: getattr(error, "status", 125).',
    ],
    right={
        "one return": """
            def main(words):
                first, *rest = words
                status = 0
                try:
                    if first in COMMANDS:
                        status = COMMANDS[first](*rest)
                    elif first == "run":
                        status = launch(options(rest))
                    else:
                        status = launch(options(["", first, *rest]))
                except ContainerError as error:
                    print(error, file=sys.stderr)
                    status = error.status
                except OSError as error:
                    print(error, file=sys.stderr)
                    status = 125
                return int(status or 0)
        """,
        "by match": """
            def main(words):
                try:
                    match words:
                        case ["run", *rest]:
                            return launch(options(rest)) or 0
                        case [command, *rest] if command in COMMANDS:
                            return COMMANDS[command](*rest) or 0
                        case _:
                            return launch(options(["", *words])) or 0
                except Exception as error:
                    print("mini_docker:", error)
                    return getattr(error, "status", 125)
        """,
        "a default": """
            def main(words):
                def start(*rest):
                    return launch(options(rest[1:] if rest[0] == "run" else ["", *rest]))
                call = COMMANDS.get(words[0])
                try:
                    found = call(*words[1:]) if call else start(*words)
                except (OSError, ContainerError) as error:
                    sys.stderr.write(f"{error}\\n")
                    return 125 if isinstance(error, OSError) else error.status
                return found or 0
        """,
    },
    wrong={
        "None for a number": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        return COMMANDS[words[0]](*words[1:])
                    return launch(options(words[1:] if words[0] == "run" else ["", *words]))
                except (OSError, ContainerError) as error:
                    return getattr(error, "status", 125)
        """,
            "a shell knows no None",
        ),
        "always 0": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        COMMANDS[words[0]](*words[1:])
                    else:
                        launch(options(words[1:] if words[0] == "run" else ["", *words]))
                except (OSError, ContainerError) as error:
                    return getattr(error, "status", 125)
                return 0
        """,
            "That is the status of the command",
        ),
        "goes on to launch": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        COMMANDS[words[0]](*words[1:])
                    return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
                except (OSError, ContainerError) as error:
                    return getattr(error, "status", 125)
        """,
            "not to go on to launch",
        ),
        "0 for every exec": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        COMMANDS[words[0]](*words[1:])
                        return 0
                    return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
                except (OSError, ContainerError) as error:
                    return getattr(error, "status", 125)
        """,
            "exec returns its command's status",
        ),
        "catches one of the two": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        return COMMANDS[words[0]](*words[1:]) or 0
                    return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
                except ContainerError as error:
                    return error.status
        """,
            "raised FileNotFoundError",
        ),
        "status 1 for everything": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        return COMMANDS[words[0]](*words[1:]) or 0
                    return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
                except (OSError, ContainerError) as error:
                    return 1
        """,
            "status 125",
        ),
        "the word run is an image": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        return COMMANDS[words[0]](*words[1:]) or 0
                    return launch(options(["", *words])) or 0
                except (OSError, ContainerError) as error:
                    return getattr(error, "status", 125)
        """,
            "without the word run",
        ),
        "a list for an argument": (
            """
            def main(words):
                try:
                    if words[0] in COMMANDS:
                        return COMMANDS[words[0]](words[1:]) or 0
                    return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
                except (OSError, ContainerError) as error:
                    return getattr(error, "status", 125)
        """,
            "raised TypeError",
        ),
    },
)


# ---- own-3 -----------------------------------------------------------------------------------------------------------


def check_clean_up(clean_up):
    """Containers that have died in several places: is everything gone, and is everybody else's still there?"""
    _home_in_memory()
    wait = mini_docker.wait_until
    mini_docker.wait_until = lambda condition: wait(condition, _PATIENCE)
    for words, has_process, has_cable in (
        ("a container in full life", True, True),
        ("a container whose process has just ended by itself", None, True),
        ("a container that died before it had a cable", True, False),
        ("a container that died before it had a process", False, False),
    ):
        call = f"clean_up(state), for {words},"
        state = _container(has_process, has_cable)
        if not state["pid"]:
            _spares_its_caller(clean_up, state, call)
        _called_well(clean_up, state, call)
        _nothing_of(state, call)
        if state["status"] != 125:
            raise Feedback(f"after {call} the status is {state['status']!r}. It is not known, so it has to be 125.")
        if mini_docker.load(state["name"])["status"] != 125:
            raise Feedback(
                f"{call} has changed state, and not saved it: ps and stop read what save(state) has written."
            )
        _called_well(clean_up, state, f"{call} a second time")
    for status in (7, 0):
        _respects_an_end(clean_up, status)


def _spares_its_caller(clean_up, state: dict, call: str) -> None:
    """Call it in a process group of its own: the pid 0 means the whole group of the caller."""
    pid = process.spawn(lambda: (os.setpgid(0, 0), clean_up(dict(state))))
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (-signal.SIGKILL, -signal.SIGTERM):
        raise Feedback(
            f"{call} has killed its own caller. There, state['pid'] is 0, and os.kill(0, …) signals every process of "
            "the caller's process group."
        )


def _respects_an_end(clean_up, status: int) -> None:
    """A container that has ended by itself: its pid may be somebody else's, and its status is known."""
    state, innocent = _container(False, False), process.spawn(signal.pause)
    state.update(pid=innocent, status=status)
    _called_well(clean_up, state, f"clean_up(state), for a container that has ended with status {status},")
    if os.waitpid(innocent, os.WNOHANG)[0]:
        raise Feedback(
            f"clean_up(state) has killed a process that it does not own. The container had ended (its status is {status}), "
            "and the kernel had given its pid to somebody else."
        )
    os.kill(innocent, 9)
    os.waitpid(innocent, 0)
    if state["status"] != status:
        raise Feedback(
            f"the container had ended with status {status}, and after clean_up(state) it is {state['status']!r}. "
            "None means that nobody knows it; 0 is a status like any other."
        )


def _container(has_process: bool, has_cable: bool) -> dict:
    """The record of a container that is stuck, with what it has on the host: a group, a process, a cable, rules."""
    name = f"stuck-{os.urandom(2).hex()}"
    state = dict(name=name, group=f"/{paths.cgroup_parent()}/{name}", pid=0, status=None, publish=[["8080", "80"]])
    os.makedirs(mini_docker.directory(name))
    group = mini_docker.Group(state["group"])
    if has_process or has_cable:
        group.create({})
    if has_process is None:
        state["pid"] = process.spawn(lambda: None)
        os.waitpid(state["pid"], 0)
    if has_process:
        told, tell = os.pipe()
        state["pid"] = process.spawn(lambda: _stay_in(group, tell))
        os.read(told, 1)
        os.close(told)
        os.close(tell)
    mini_docker.save(state)
    if has_cable and has_process:
        mini_docker.plug(state)
    return state


def _stay_in(group, tell: int) -> None:
    group.join()
    unshare(1 << 30)  # a network of its own
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(tell, b"!")
    while True:
        signal.pause()


def _called_well(clean_up, state: dict, call: str) -> None:
    """Call it, and say what an exception means."""
    try:
        clean_up(state)
    except (OSError, KeyError, mini_docker.ContainerError) as error:
        why = "What is gone already does not matter."
        if isinstance(error, KeyError):
            why = "Look at the table above."
        if isinstance(error, FileNotFoundError) and error.filename == state["group"]:
            why = "That is its path below the mounts of the control groups, which Group(path) knows."
        raise Feedback(f"{call} raised {type(error).__name__}: {error}. {why}") from None


def _nothing_of(state: dict, call: str) -> None:
    if os.path.exists(f"/proc/{state['pid'] or 'none'}"):
        descriptor = os.pidfd_open(state["pid"])
        if not select.select([descriptor], [], [], 2)[0]:
            os.kill(state["pid"], 9)
            raise Feedback(f"after {call} its process is still running. SIGTERM can be ignored, SIGKILL can't.")
        os.waitpid(state["pid"], 0)
    places = mini_docker.Group(state["group"]).places
    if left := [place for place in places if os.path.isdir(place)]:
        raise Feedback(f"after {call} its control group is still there: {left[0]}. A group has remove().")
    if f"mini{state['pid']}" in mini_docker_links():
        raise Feedback(f"after {call} the host's end of its cable is still there: unplug(state) removes it.")
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    if f"mini{state['pid']}" in tables.split():
        raise Feedback(f"after {call} its table of rules is still there: unplug(state) removes it.")


def mini_docker_links() -> list[str]:
    """The names of all interfaces of this network namespace."""
    return [name for _, name in socket.if_nameindex()]


_CLEAN_UP = """
def clean_up(state):
    if state["status"] is None and state["pid"]:
        with suppress(ProcessLookupError):
            os.kill(state["pid"], signal.SIGKILL)
    Group(state["group"]).remove()
    unplug(state)
    state["status"] = 125 if state["status"] is None else state["status"]
    save(state)
"""

Exercise(
    "own-3",
    "The last one out turns off the light",
    minutes=8,
    difficulty=2,
    reference=mini_docker.clean_up,
    check=check_clean_up,
    imports=_IMPORTS,
    seconds=90,
    starter='''
        def clean_up(state):
            """Take back all that a container has on the host.  What is gone already does not matter."""
            if state["status"] is None and state["pid"]:
                ...    # the birth has failed half-way: the process may still be there
            ...        # its group; its cable and rules
            ...        # a status that nobody knows becomes 125
            save(state)
    ''',
    hints=[
        "Processes first: a group that has a process in it can't be removed.",
        'os.kill(state["pid"], signal.SIGKILL), in `with suppress(ProcessLookupError):`. Then '
        'Group(state["group"]).remove() and unplug(state): both know that something may be gone.',
        "The status: only if it is None. A container that has ended with 7 keeps its 7.",
    ],
    right={
        "try and finally": """
            def clean_up(state):
                known = state["status"]
                try:
                    if known is None and state["pid"] > 0:
                        os.kill(state["pid"], 9)
                except OSError:
                    pass
                finally:
                    unplug(state)
                    Group(state["group"]).remove()
                    state["status"] = known if known is not None else 125
                    save(state)
        """,
        "asks first": """
            def clean_up(state):
                if state["status"] is None:
                    if state["pid"] and os.path.exists(f"/proc/{state['pid']}"):
                        os.kill(state["pid"], signal.SIGKILL)
                    state["status"] = 125
                for step in (Group(state["group"]).remove, lambda: unplug(state), lambda: save(state)):
                    step()
        """,
        "by a pidfd": """
            def clean_up(state):
                if state["status"] is None and state["pid"]:
                    try:
                        fd = os.pidfd_open(state["pid"])
                        signal.pidfd_send_signal(fd, signal.SIGKILL)
                        os.close(fd)
                    except ProcessLookupError:
                        pass
                Group(state["group"]).remove()
                unplug(state)
                if state["status"] is None:
                    state["status"] = 125
                save(state)
        """,
    },
    wrong={
        "kills nobody": (
            edited(_CLEAN_UP, ('            os.kill(state["pid"], signal.SIGKILL)', "            pass")),
            "its process is still running",
        ),
        "asks politely": (
            edited(_CLEAN_UP, ("SIGKILL", "SIGTERM")),
            "SIGTERM can be ignored",
        ),
        "kills the next owner of the number": (
            edited(_CLEAN_UP, ('state["status"] is None and state["pid"]:', 'state["pid"]:')),
            "has killed a process that it does not own",
        ),
        "an error for what is gone": (
            edited(_CLEAN_UP, ("        with suppress(ProcessLookupError):\n    ", "")),
            "What is gone already does not matter",
        ),
        "forgets the group": (
            edited(_CLEAN_UP, ('    Group(state["group"]).remove()\n', "")),
            "its control group is still there",
        ),
        "removes a path": (
            edited(_CLEAN_UP, ('Group(state["group"]).remove()', 'os.rmdir(state["group"])')),
            "below the mounts of the control groups",
        ),
        "forgets the cable": (
            edited(_CLEAN_UP, ("    unplug(state)\n", "")),
            "unplug(state) removes it",  # the kernel removes the cable itself, soon after the process has ended
        ),
        "does not save": (
            edited(_CLEAN_UP, ("    save(state)\n", "    return None\n")),
            "and not saved it",
        ),
        "always 125": (
            edited(_CLEAN_UP, ('125 if state["status"] is None else state["status"]', "125")),
            "had ended with status 7, and",
        ),
        "takes 0 for unknown": (
            edited(_CLEAN_UP, ('125 if state["status"] is None else state["status"]', 'state["status"] or 125')),
            "0 is a status like any other",
        ),
        "kills whatever the pid is": (
            edited(_CLEAN_UP, ('    if state["status"] is None and state["pid"]:', "    if True:")),
            "has killed its own caller",
        ),
        "leaves the status open": (
            edited(_CLEAN_UP, ('    state["status"] = 125 if state["status"] is None else state["status"]\n', "")),
            "it has to be 125",
        ),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------------


def check_top(top):
    """Two pid namespaces with orphans and grandchildren: which pids belong to the first one?"""
    first, second = _family(), _family()
    try:
        found = top(first)
        try:
            found = {int(pid) for pid in found}
        except (TypeError, ValueError):
            raise Feedback(f"top({first}) returned {found!r}. Expected: pids, as numbers.") from None
        wanted = _pids_of(first)
        if strangers := found - wanted:
            whose = "of another container" if strangers & _pids_of(second) else "of the host"
            raise Feedback(f"top(pid) returned {len(strangers)} processes {whose} too. Whose pid namespace is it?")
        if missing := wanted - found:
            raise Feedback(
                f"top(pid) lacks {len(missing)} of {len(wanted)} processes of the container. It is not a question of who "
                "is whose child: an exec comes from outside, and an orphan has a new parent."
            )
    finally:
        for pid in (first, second):
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def _family() -> int:
    """The pid of a process 1 in a new pid namespace, with two children, each of which has a child."""
    told, tell = os.pipe()
    home = os.open("/proc/self/ns/pid", os.O_RDONLY)
    unshare(CLONE_NEWPID)

    def live():
        for _ in range(2):
            process.spawn(lambda: (process.spawn(signal.pause), os.write(tell, b"!"), signal.pause()))
        while True:
            signal.pause()

    pid = process.spawn(live)
    mini_docker.setns(home, CLONE_NEWPID)
    os.close(home)
    for _ in range(2):
        os.read(told, 1)
    os.close(told)
    os.close(tell)
    return pid


def _pids_of(pid: int) -> set[int]:
    wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                found.add(int(name))
    return found


Challenge(
    "top",
    "Who is in there?",
    name="top",
    minutes=6,
    difficulty=2,
    check=check_top,
    imports=_IMPORTS,
    solution='''
        def top(pid):
            """The pids of all processes in the container whose process 1 is pid, as the host numbers them."""
            wanted, found = identify(pid)["pid"], []
            for name in os.listdir("/proc"):
                with suppress(OSError):
                    if name.isdigit() and identify(name)["pid"] == wanted:
                        found.append(int(name))
            return found
    ''',
    hints=[
        "What do all processes of a container have in common, also those that came from outside? identify() of chapter 02 tells.",
        'Go through os.listdir("/proc"), take the names that are numbers, and compare identify(name)["pid"] with '
        'identify(pid)["pid"]. A process may end while you look.',
    ],
    right={
        "by links": """
            def top(pid):
                import glob
                mine = os.readlink(f"/proc/{pid}/ns/pid")
                def same(place):
                    try:
                        return os.readlink(f"{place}/ns/pid") == mine
                    except OSError:
                        return False
                return {int(place[6:]) for place in glob.glob("/proc/[0-9]*") if same(place)}
        """,
        "by NSpid": """
            def top(pid):
                wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino
                for name in os.listdir("/proc"):
                    try:
                        if name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                            yield int(name)
                    except FileNotFoundError:
                        continue
        """,
        "samestat": """
            def top(pid):
                here, pids = os.stat(f"/proc/{pid}/ns/pid"), []
                for number in map(int, filter(str.isdigit, os.listdir("/proc"))):
                    with suppress(FileNotFoundError, ProcessLookupError):
                        pids += [number] * os.path.samestat(here, os.stat(f"/proc/{number}/ns/pid"))
                return pids
        """,
    },
    wrong={
        "everybody": (
            """
            def top(pid):
                return [int(name) for name in os.listdir("/proc") if name.isdigit()]
        """,
            "processes of",
        ),
        "its children": (
            """
            def top(pid):
                with open(f"/proc/{pid}/task/{pid}/children") as file:
                    return [pid, *map(int, file.read().split())]
        """,
            "who is whose child",
        ),
        "process 1 alone": (
            """
            def top(pid):
                return [pid]
        """,
            "lacks",
        ),
        "by the network": (
            """
            def top(pid):
                found = []
                for name in os.listdir("/proc"):
                    with suppress(OSError):
                        if name.isdigit() and identify(name)["network"] == identify(pid)["network"]:
                            found.append(int(name))
                return found
        """,
            "Whose pid namespace is it?",
        ),
    },
)
