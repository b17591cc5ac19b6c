"""Guards that keep a notebook, and the machine that it runs on, safe from a cell.

* A child that a cell forks by hand and that raises, or reaches the end of the cell, would go on as a second kernel on
  the same connection, and the first would wait forever: here it ends with the cell.
* A child that never ends is ended by an alarm after a minute, and at once when the kernel ends.
* A call that would move the kernel itself, end it, or change the whole machine, raises an error that names the remedy.

The guards look at the caller. They refuse a cell's own code, and a function of the runtime that a cell calls directly,
such as ``make_private()``; they let the engine pass, which calls it in the right place.
"""

from __future__ import annotations

import functools
import io
import mmap
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings

from minict.kernel import process

notebook: int | None = None  # the process that is the kernel of a notebook, once it is protected
NAIVE_FORK_LIMIT = 60  # seconds that a process forked by a cell may run

_MOVES = "{call} here would move the notebook itself: start the cell with %%child"
_MOUNTS = (
    "{call} here would change the mounts of the whole machine: "
    "start the cell with %%child, and unshare(CLONE_NEWNS) first"
)
_WIRES = (
    "{call} here would change the network of the whole machine: "
    "start the cell with %%child, and unshare(CLONE_NEWNET) first"
)
_ENDS = "{call} here would end the notebook itself: start the cell with %%child"
_BECOMES = "{call} here would replace the notebook by another program: start the cell with %%child"
_RENAMES = "{call} here would rename the whole machine: unshare(CLONE_NEWUTS) first, in a %%child"
_KILLS = "{call} here would reach every process of the machine: name one process"

# Calls that the kernel of a notebook must not apply to itself: module -> (call, sentence).
_IN_THE_KERNEL = {
    "os": [(name, _MOVES) for name in ("chroot", "unshare", "setns")]
    + [(name, _BECOMES) for name in ("execv", "execve", "execvp", "execvpe", "execl", "execle", "execlp", "execlpe")]
    + [("_exit", _ENDS), ("abort", _ENDS)],
    "minict.kernel.namespaces": [("unshare", _MOVES), ("setns", _MOVES)],
    "minict.lab.escape": [("escape", _MOVES)],
}
# Calls that are refused in the machine's own namespaces: module -> (call, the namespace's file, sentence).
_IN_THE_MACHINE = {
    "minict.kernel.mount": [
        (name, "mnt", _MOUNTS) for name in ("mount", "umount2", "pivot_root", "move_mount", "mount_setattr")
    ],
    "minict.kernel.process": [("sethostname", "uts", _RENAMES), ("setdomainname", "uts", _RENAMES)],
    "socket": [("sethostname", "uts", _RENAMES)],
}
# Modules through which a cell's call may pass; a call from any other module is not the cell's own.
_TRANSPARENT = re.compile(r"minict\.(kernel|runtime)\.|(minict\.lab\.escape|subprocess|os)$")


class Guards:
    """The guards of one notebook: *space* holds its cells' names, this process is its kernel."""

    def __init__(self, space: dict):
        self.space, self.kernel = space, os.getpid()
        self.is_child = False  # a child in a pid namespace of its own may have the same number as the kernel
        os.register_at_fork(after_in_child=functools.partial(setattr, self, "is_child", True))
        self.machines = {file: os.readlink(f"/proc/self/ns/{file}") for file in ("mnt", "uts", "pid", "net", "user")}
        self.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)  # a cell may be in a root without /proc

    def asked_by_a_cell(self, depth: int = 2) -> bool:
        """Whether the guarded call, *depth* frames above, comes from a cell."""
        frame = sys._getframe(depth)
        while frame:
            names = frame.f_globals
            if names is self.space or getattr(names, "notebook", None) is self.space:
                return True
            if not _TRANSPARENT.match(names.get("__name__", "")):
                return False
            frame = frame.f_back
        return False

    def in_the_machines(self, file: str) -> bool:
        """Whether this thread is in the machine's own namespace of this kind, and could change it.

        In a user namespace of its own it could not, and the kernel itself says so; but its signals reach others.
        """
        kinds = [file] if file == "pid" else [file, "user"]
        try:
            return all(os.readlink(f"thread-self/ns/{each}", dir_fd=self.proc) == self.machines[each] for each in kinds)
        except OSError:
            return False  # a container, where this descriptor is closed

    def guard(self, module, name: str, is_refused, sentence: str) -> None:
        """Let ``module.name`` raise *sentence* for a cell for which ``is_refused(*arguments)``, in all modules that
        know it."""
        original = getattr(module, name, None)
        if original is None:  # os.unshare and os.setns exist from Python 3.12 on
            return

        @functools.wraps(original)
        def guarded(*arguments, **options):
            if is_refused(*arguments, **options) and self.asked_by_a_cell():
                raise RuntimeError(sentence.format(call=f"{name}()"))
            return original(*arguments, **options)

        for known in [
            module,
            *(each for title, each in list(sys.modules.items()) if title.startswith("minict.runtime") and each),
        ]:
            for attribute, value in list(vars(known).items()):
                if value is original:
                    setattr(known, attribute, guarded)

    def in_the_kernel(self, *arguments, **options) -> bool:
        """Whether this is the notebook's own process."""
        return not self.is_child and os.getpid() == self.kernel

    def reaches_all(self, pid, *arguments) -> bool:
        """Whether ``kill(pid, …)`` would reach every process, or the notebook's own group."""
        return (pid == -1 and self.in_the_machines("pid")) or (pid == 0 and self.in_the_kernel())

    def refuse_words(self, command) -> None:
        """Raise if a shell's *command* would rename the machine, change its mounts or network, or kill all."""
        for file, sentence, pattern in _SHELL:
            match = pattern.search(_text_of(command))
            if match and self.in_the_machines(file):
                raise RuntimeError(sentence.format(call=match[0].strip(" ;&|")))


_SUDO = r"(?:^|[;&|(]\s*|\bsudo\s+)"
_SHELL = [  # what a shell command does, as far as its text shows
    ("uts", _RENAMES, re.compile(_SUDO + r"hostname\s+(?:-b\s+)?[\w\"'$][^;&|)]*", re.M)),
    ("uts", _RENAMES, re.compile(_SUDO + r"hostnamectl\s+(?:set-)?hostname\s+\S+", re.M)),
    ("mnt", _MOUNTS, re.compile(_SUDO + r"mount\s+(?:-\S+\s+)*[^\s;&|)-][^;&|)]*", re.M)),
    ("mnt", _MOUNTS, re.compile(_SUDO + r"(?:umount|pivot_root)\s+[^\s;&|)][^;&|)]*", re.M)),
    ("net", _WIRES, re.compile(_SUDO + r"ip\s+(?:-\S+\s+)*[lar]\w*\s+(?:add|set|change|replace)\b[^;&|)]*", re.M)),
    ("pid", _KILLS, re.compile(_SUDO + r"kill\s+(?:-\S+\s+)?(?:--\s+)?-1\b", re.M)),
]


def _text_of(command) -> str:
    if isinstance(command, (list, tuple)):
        return " ".join(shlex.quote(os.fsdecode(word)) for word in command)
    return os.fsdecode(command)


def protect_kernel(shell) -> None:
    """Put up the guards in the notebook *shell*: see the top of this module."""
    global notebook
    space = shell.user_module.__dict__
    guards = Guards(space)
    notebook = guards.kernel
    _protect_from_forks(shell, space, guards.kernel)
    for module, calls in _IN_THE_KERNEL.items():
        for name, sentence in calls:
            guards.guard(_module(module), name, guards.in_the_kernel, sentence)
    for module, calls in _IN_THE_MACHINE.items():
        for name, file, sentence in calls:

            def is_refused(*arguments, file=file, **options):
                return guards.in_the_machines(file)

            guards.guard(_module(module), name, is_refused, sentence)
    for name in ("kill", "killpg"):
        guards.guard(os, name, guards.reaches_all, _KILLS)
    _protect_from_shells(shell, guards)
    _explain_missing_names(shell)


def stay_here(call: str) -> None:
    """Raise the sentence that *call* would move the notebook, if this process is the notebook's own: for functions of
    the lab that move their caller."""
    if os.getpid() == notebook:
        raise RuntimeError(_MOVES.format(call=call))


def _explain_missing_names(shell) -> None:
    """After a restart, or out of order, a cell lacks the names that a cell above defines: say what helps."""

    def show(shell, kind, error, trace, tb_offset=None):
        add_remedy(error)
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

    shell.set_custom_exc((NameError,), show)


def add_remedy(error: BaseException) -> None:
    """Complete the words of a NameError, in place."""
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError) and _REMEDY not in str(error):
        error.args = (f"{error}. {_REMEDY}",)


_REMEDY = "After a restart of the kernel: Run > Run All Above Selected Cell"


def _module(name: str):
    return sys.modules.get(name) or __import__(name, fromlist=["*"])


def _protect_from_shells(shell, guards: Guards) -> None:
    """``!hostname x``, ``%%sh``, ``os.system`` and :mod:`subprocess` are looked at before they run."""

    def look_first(run):
        @functools.wraps(run)
        def looked(command, *arguments, **options):
            command = shell.var_expand(command, depth=1)  # now: run() would take this frame for that of the cell
            guards.refuse_words(command)
            shell.var_expand = lambda words, *_, **__: words
            try:
                return run(command, *arguments, **options)
            finally:
                del shell.var_expand

        return looked

    shell.system, shell.getoutput = look_first(shell.system), look_first(shell.getoutput)
    system, begin = os.system, subprocess.Popen.__init__

    @functools.wraps(system)
    def guarded_system(command):
        if guards.asked_by_a_cell():
            guards.refuse_words(command)
        return system(command)

    @functools.wraps(begin)
    def guarded_begin(self, args, *arguments, **options):
        if guards.asked_by_a_cell() and not options.get("preexec_fn"):
            guards.refuse_words(args)
        return begin(self, args, *arguments, **options)

    os.system, subprocess.Popen.__init__ = guarded_system, guarded_begin
    for name in ("sh", "bash", "script"):
        magic = shell.find_cell_magic(name)
        if magic:
            shell.register_magic_function(_looked_magic(guards, magic), "cell", name)


def _looked_magic(guards: Guards, magic):
    def looked(line, cell):
        guards.refuse_words(cell)
        return magic(line, cell)

    return looked


# ---- forks by hand ---------------------------------------------------------------------------------------------


def _protect_from_forks(shell, space: dict, kernel: int) -> None:
    def after_fork():
        if not _called_from_cell(space, sys._getframe(1)):
            # The runtime makes a container, perhaps with a learner's function in it, whose print() must appear where
            # the container's output does. The kernel's own connection to the browser ends at the first namespace.
            sys.stdout = sys.stderr = DescriptorOne()
        else:
            process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(NAIVE_FORK_LIMIT)

    def end_strays(result=None):
        if os.getpid() != kernel:
            error = result and (result.error_before_exec or result.error_in_exec)
            how = f"raised {type(error).__name__}: {error}" if error else "reached the end of the cell"
            print(f"[process {os.getpid()}, forked in this cell, {how}. It ends here: end a child with os._exit()]")
            sys.stdout.flush()
            time.sleep(0.1)  # the output reaches the browser through a thread of the parent
            os._exit(1)
        print(_notes.take(), end="")

    os.register_at_fork(after_in_child=after_fork)
    shell.events.register("post_run_cell", end_strays)
    warnings.filterwarnings("ignore", message=r".*multi-threaded, use of fork", category=DeprecationWarning)


def _called_from_cell(space: dict, frame) -> bool:
    """Whether *frame* is a cell's code, called only by a cell's code.

    A learner's function that the runtime calls to make a container is not: a container may run for hours.
    """
    if frame.f_globals is not space:
        return False
    while frame and frame.f_globals is space:
        frame = frame.f_back
    return bool(frame) and not frame.f_globals.get("__name__", "").startswith("minict.")


# ---- print() wherever a learner's function runs --------------------------------------------------------------------


class DescriptorOne(io.TextIOBase):
    """Text that is written at once to descriptor 1, whatever that is by then; needs no import and no lock.

    A container's init has no descriptor any more.  What is printed there goes through memory that it shares with the
    notebook, which shows it at the end of the cell.
    """

    def write(self, text: str) -> int:
        """Write *text*; how many characters that were."""
        try:
            os.write(1, text.encode(errors="replace"))
        except OSError:
            _notes.put(text.encode(errors="replace"))
        return len(text)

    def writable(self) -> bool:
        """Always."""
        return True


class _Notes:
    """Memory that a process shares with all that it forks: the first four bytes say how many of the others are used."""

    _SIZE = 1 << 16

    def __init__(self):
        self.memory = mmap.mmap(-1, self._SIZE)  # shared, and in no file
        self.taken = 0

    def put(self, data: bytes) -> None:
        used = int.from_bytes(self.memory[:4], "little")
        data = data[: self._SIZE - 4 - used]
        self.memory[4 + used : 4 + used + len(data)] = data
        self.memory[:4] = (used + len(data)).to_bytes(4, "little")

    def take(self) -> str:
        """What was written since the last call."""
        used = int.from_bytes(self.memory[:4], "little")
        data = self.memory[4 + self.taken : 4 + used]
        self.taken = used
        if used > self._SIZE // 2:  # half full: start over, and lose what is written at this very moment
            self.memory[:4], self.taken = bytes(4), 0
        return data.decode(errors="replace")


_notes = _Notes()
