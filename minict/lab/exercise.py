"""Exercises: a learner writes one function, the kernel says whether it is right, and then the runtime uses it.

In a notebook an exercise is a function with blanks, under its decorator::

    @exercise("pivot-1")
    def pivot_root(rootfs):
        ...

Running the cell has one of three outcomes, and one fixed line tells which:

* **todo**: the function is unchanged. The course's own function stands in for it, so that the cells below work.
* **mine**: it was called in a child process, and the kernel showed what it should. So it replaces the package's
  function everywhere in this notebook: ``minict.run()`` goes through it.
* **failing**: the line says what was called, what happened, and what was expected.  The course's function stays.

The exercises themselves are in :mod:`minict.lab.exercises`.  Their solution is never typed twice: it is
the source of the package's own function.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import pkgutil
import select
import shutil
import signal
import sys
import tempfile
import textwrap
import time
import types

from minict.kernel import namespaces
from minict.kernel.network import loopback_up
from minict.runtime import launch, seccomp

from . import host, record
from .child import supervise
from .diagnosis import call_text, failing_line, first_layer, no_answer, stuck_at, trap, wrong_name
from .feedback import Feedback
from .verdict import readable, tell

TIME_LIMIT = 10.0  # seconds for all that one check does


class Exercise:
    """One exercise.  It is registered by being made.

    *id*: such as ``pivot-1``.  *title*: a few words.  *minutes*: that it should take.  *difficulty*: 1 to 3.
    *reference*: the package's function, which is the solution; or one of the lab, for what the package does otherwise.
    *starter*: the function as the learner finds it, at
    most 12 lines, with ``...`` for the blanks.  *check*: a function that gets the learner's and raises
    :class:`Feedback`; it is called in a child of its own, in new mount, pid, network, host name and IPC namespaces,
    and may do there what it likes.  *hints*: two to four, from the idea to almost the code.

    *wrong*: for each of at least three typical mistakes its name, the source of a function that makes it, and a phrase
    that the feedback must contain.  *right*: for each of at least three unusual right answers its name and source; a
    check must accept them all.  *imports*: the lines that make the starter's and the wrong answers' names known; the
    notebook has them in a cell above.  *adapt*: called in place of a right answer, as ``adapt(function, …)``, where the
    package uses its own function in a way that a learner need not know.  *plain*: one more right answer, as short as
    the starter promises, which ``hint`` shows where the package's own function has to care for more.
    """

    def __init__(
        self,
        id: str,
        title: str,
        *,
        minutes: int,
        difficulty: int,
        reference: types.FunctionType,
        starter: str,
        check,
        hints: list[str],
        wrong: dict[str, tuple[str, str]],
        right: dict[str, str] | None = None,
        imports: str = "",
        seconds: float = TIME_LIMIT,
        adapt=None,
        plain: str = "",
    ):
        if id in _exercises:
            raise ValueError(f"there are two exercises {id}")
        self.id, self.title, self.minutes, self.difficulty = id, title, minutes, difficulty
        self.reference, self.check, self.hints, self.seconds = reference, check, list(hints), seconds
        self.adapt = adapt
        self.starter = textwrap.dedent(starter).strip() + "\n"
        self.imports = textwrap.dedent(imports).strip() + "\n"
        self.wrong = {
            name: (textwrap.dedent(source).strip() + "\n", phrase) for name, (source, phrase) in wrong.items()
        }
        right = {**(right or {}), **({"plain": plain} if plain else {})}
        self.right = {name: textwrap.dedent(source).strip() + "\n" for name, source in right.items()}
        self.chapter = sys._getframe(1).f_globals["__name__"].rpartition(".")[2].partition("_")[0]  # ch05
        _exercises[id] = self

    @property
    def name(self) -> str:
        """The function's name."""
        return self.reference.__name__

    @property
    def target(self) -> str:
        """Where the function is in the package: ``minict.runtime.rootfs.pivot_root``."""
        return f"{self.reference.__module__}.{self.name}"

    @property
    def is_the_runtimes(self) -> bool:
        """Whether minict itself calls the function; one of the lab is for the cells of its notebook alone."""
        return not self.target.startswith("minict.lab.")

    @property
    def praise(self) -> str:
        """What is said when the answer is right."""
        users = "From here on minict uses" if self.is_the_runtimes else "The cells below use"
        return f"● {self.id}: correct. {users} YOUR {self.name}()."

    @property
    def solution(self) -> str:
        """The source of the package's own function, without its types: a notebook does not know their names."""
        return without_annotations(textwrap.dedent(inspect.getsource(self.reference)))

    @property
    def helpers(self) -> str:
        """The source of the private functions of its module that the solution calls: without them it says nothing."""
        module = vars(sys.modules[self.reference.__module__])
        names = {node.id for node in ast.walk(ast.parse(self.solution)) if isinstance(node, ast.Name)}
        private = [module[name] for name in sorted(names & module.keys()) if name.startswith("_")]
        return "\n\n".join(without_annotations(inspect.getsource(each)) for each in private if inspect.isfunction(each))

    @property
    def shown(self) -> str:
        """One solution, as the last hint shows it."""
        if "plain" in self.right:
            return f"{self.right['plain']}\nThe package's own, {self.target}, cares for more."
        helpers = f"\n\nIt calls, from the same module:\n\n{self.helpers}" if self.helpers else ""
        return f"{self.solution}{helpers}"

    @property
    def origin(self) -> str:
        """Where the solution comes from, as text to put after its id."""
        return "" if "plain" in self.right else f", the one in {self.reference.__module__}"

    @property
    def box(self) -> str:
        """The heading in Markdown that stands above the exercise in its notebook."""
        dots = "●" * self.difficulty + "○" * (3 - self.difficulty)
        return f"### Exercise `{self.id}`: {self.title} · {self.minutes} min · {dots}"

    def function(self, source: str) -> types.FunctionType:
        """The function that *source* defines, as a notebook with :attr:`imports` would have it."""
        return _function_of(self.imports + source, self.name)


_exercises: dict[str, Exercise] = {}
_state: dict[str, str] = {}  # id -> todo, mine, failing: in this notebook
_hints_shown: dict[str, int] = {}


def exercises() -> dict[str, Exercise]:
    """All exercises of the course, by their ids, in the order of the chapters."""
    from . import exercises as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _exercises


def find(id: str) -> Exercise:
    """The exercise *id*.  Raises :class:`KeyError` with a sentence when there is none."""
    if id not in _exercises and id not in exercises():
        raise KeyError(f"there is no exercise {id!r}: there are {', '.join(_exercises)}")
    return _exercises[id]


# ---- what a learner calls --------------------------------------------------------------------------------------


def exercise(id: str):
    """The decorator above a learner's function.  The name is then bound to theirs if it is right, else to the
    course's."""
    task = find(id)

    def decorate(function):
        use_reference(id)
        state, feedback = judge(task, function)
        _state[id] = state
        if state == "mine":
            replacement = _adapted(task, _at_home(function, task.reference))
            _replace(task, replacement)
            _remember(task, function)
            tell(task.praise)
            return replacement
        if state == "todo":
            tell(f"○ {id}: not attempted yet. The cells below use the course's {task.name}().")
        else:
            tell(
                f"{readable(f'✗ {id}: {feedback}')}\n"
                f'  The cells below use the course\'s {task.name}() meanwhile. Stuck? hint("{id}")'
            )
        return task.reference

    return decorate


def use_reference(id: str) -> None:
    """Put the course's own function back in its place, in this notebook."""
    task = find(id)
    if _state.get(id) == "mine":
        _replace(task, task.reference)
        _state[id] = "todo"


# ---- judging ---------------------------------------------------------------------------------------------------


def judge(task: Exercise, function, seconds: float | None = None) -> tuple[str, str]:
    """The verdict on *function* as an answer to *task*: ("todo", ""), ("mine", ""), or ("failing", why)."""
    if _is_untouched(task, function):
        return "todo", ""
    if why := wrong_name(task, function):
        return "failing", why
    scratch = tempfile.mkdtemp(prefix="minict-exercise-")
    before, filename, begin = host.snapshot(), function.__code__.co_filename, time.monotonic()
    try:
        guarded = _Guarded(_at_home(function, task.reference), task.name, stays=not getattr(task, "moves", True))
        outcome = supervise(
            lambda: _call_check(task, guarded, scratch, function),
            timeout=seconds or task.seconds,
            filename=filename,
            apart=True,
            ask=lambda frame, is_caller: stuck_at(frame, filename, is_caller, begin),
        )
        left = _left_behind(before)
        host.remove_cgroups(
            left
        )  # first: processes that are frozen there (version 1) would keep our pipe open for good
        guarded.close()
        why = _explain(task, outcome, seconds or task.seconds, guarded.stray)
        if left:
            why = (
                why
                or f"{task.name}() works, but leaves this behind on the host:\n  control group "
                + "\n  control group ".join(left)
            )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if why:
        why = first_layer(task, function, why)
    if why and outcome.output.strip():
        why += f"\n  It printed:\n{_some_of(outcome.output)}"
    return ("failing", why) if why else ("mine", "")


def _some_of(output: str) -> str:
    """The first lines of what an answer has printed, indented."""
    lines = output.rstrip().splitlines()
    shown = [f"    {line[:200]}" for line in lines[:_LINES_SHOWN]]
    if len(lines) > len(shown):
        shown.append(f"    … and {len(lines) - len(shown):,} more lines")
    return "\n".join(shown)


_LINES_SHOWN = 12


def without_annotations(source: str) -> str:
    """*source* with the types of arguments, results and variables cut out; nothing else changes."""
    cuts = []  # (first line, first byte, last line, last byte)
    lines = source.encode().splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg) and node.annotation:
            end = node.annotation
            cuts.append((node.lineno, node.col_offset + len(node.arg.encode()), end.end_lineno, end.end_col_offset))
        elif isinstance(node, ast.AnnAssign) and node.value:
            end = node.annotation
            cuts.append((node.lineno, node.target.end_col_offset, end.end_lineno, end.end_col_offset))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            arrow = lines[node.returns.lineno - 1].rindex(b"->", 0, node.returns.col_offset)
            begin = len(lines[node.returns.lineno - 1][:arrow].rstrip())
            cuts.append((node.returns.lineno, begin, node.returns.end_lineno, node.returns.end_col_offset))
    for first, begin, last, end in sorted(cuts, reverse=True):
        lines[first - 1 : last] = [lines[first - 1][:begin] + lines[last - 1][end:]]
    return b"".join(lines).decode()


def _is_untouched(task: Exercise, function) -> bool:
    """Whether *function* says the same as the starter, whatever its comments, blank lines, and docstrings."""
    if not task.starter:
        return False  # a challenge begins with an empty cell
    try:
        return _meaning(inspect.getsource(function)) == _meaning(task.starter)
    except (OSError, SyntaxError):
        return False


def _meaning(source: str) -> str:
    """The syntax tree of the last statement of *source*, without decorators and docstrings."""
    definition = ast.parse(textwrap.dedent(source)).body[-1]
    for node in ast.walk(definition):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.decorator_list = []
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(definition)


def _call_check(task: Exercise, function, scratch: str, learners: types.FunctionType) -> bool:
    """In the child: go where nothing can be broken, and call the check. Returns True if the check came to its end."""
    global _learners_file
    _learners_file = function.function.__code__.co_filename
    os.chdir(scratch)
    namespaces.unshare(namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWNET)
    loopback_up()
    if task.reference:
        modules = [module for name, module in sys.modules.items() if name.startswith("minict.") and module]
        trap(task, learners.__globals__, modules, _learners_file)
    task.check(function)
    return True


def same_fate(function, call: str = "", seconds: float = 1000):
    """For checks: call ``function()`` in one more child and return what it returns; this process then ends as the child
    did.

    For a check that needs two processes in different places.  Its exception is raised here too, and a signal that kills
    it kills this process.  After *seconds*, Feedback tells in which line of the learner's the *call* still waits.
    """
    begin = time.monotonic()
    outcome = supervise(
        function,
        timeout=seconds,
        show=_print,
        filename=_learners_file,
        ask=lambda frame, is_caller: stuck_at(frame, _learners_file, is_caller, begin),
    )
    if outcome.timed_out:
        raise Feedback(no_answer(call, seconds, outcome.stuck))
    _share(outcome)
    if outcome.value is None:
        os._exit(outcome.status)
    return outcome.value


def last_words(function) -> str:
    """For checks: call ``function()`` in one more child, which then executes another program; return what was written.

    If it does not come so far, this process ends as the child did, as with :func:`same_fate`.
    """
    outcome = supervise(function, timeout=1000, filename=_learners_file)
    _share(outcome)
    return outcome.output


def _share(outcome) -> None:
    if outcome.stray:
        os._exit(1)  # a process that returned from the learner's function has reported it already
    if outcome.error_text:
        error = outcome.error or RuntimeError(outcome.error_text)
        error.learners_line = outcome.error_line
        raise error
    if outcome.status < 0:
        os.kill(os.getpid(), -outcome.status)


_learners_file = None


def _print(text: str) -> None:
    sys.stdout.write(text)


def _explain(task: Exercise, outcome, seconds: float, stray: str) -> str:
    """Why the check did not pass, in words; nothing when it did."""
    call = f"{task.name}()"
    if stray or outcome.stray:
        return (
            f"a child process that you forked came back out of {call}: it must end inside, with os._exit() or an exec. "
            "(return and sys.exit() only leave the function.)" + stray[1:]
        )
    if isinstance(outcome.error, Feedback):
        return str(outcome.error)
    if outcome.timed_out:
        return no_answer(call, seconds, outcome.stuck)
    call = outcome.error_call or call
    if outcome.error_text.startswith("RecursionError"):
        return f"{task.name}() calls itself without end: {task.name}() is the function that you write here"
    if outcome.error_text.startswith("NotImplementedError"):
        return f"{call} still raises {outcome.error_text}"
    if outcome.error_text:
        line = f"\n  in your line: {outcome.error_line}" if outcome.error_line else ""
        return f"{call} raised {outcome.error_text}{line}"
    if outcome.status < 0:
        return f"the process that called {call} was killed by {signal.Signals(-outcome.status).name}"
    if outcome.value is not True:
        return (
            f"{call} never came back: it ended the process that called it, replaced its program, or closed its "
            "caller's descriptors"
        )
    return ""


_BROUGHT = 600  # bytes of a report on a child's exception: less than a pipe takes at once


class _Guarded:
    """The learner's function as a check calls it: a process that it forks can't return into the check.

    It would go on with the check a second time, at the same time.  It is ended, and :attr:`stray` tells how it came.
    With *stays* the call may not move the caller, where the check's own looks at the kernel would fail.
    """

    def __init__(self, function, name: str, stays: bool = False):
        self.function, self.name, self.stays, self.stray = function, name, stays, ""
        self.reader, self.writer = os.pipe()

    def __call__(self, *arguments, **options):
        caller, place = os.getpid(), Place() if self.stays else None
        try:
            return self._result(self.function(*arguments, **options))
        except Exception as error:
            if os.getpid() == caller and not hasattr(error, "learners_call"):
                error.learners_call = call_text(self.name, arguments, options)
                error.learners_line = failing_line(error, self.function.__code__.co_filename)
            raise
        finally:
            if os.getpid() != caller:
                os.write(self.writer, f"!{self._brought()}\0".encode())
                os._exit(1)
            if self._somebody_comes_out():
                raise Feedback("a child came back")  # the pipe says it too; but the check need not go on
            if moved := place and place.left_for():
                raise Feedback(
                    f"{call_text(self.name, arguments, options)} moved the process that called it: it is in {moved} "
                    "now. unshare(), setns() and chroot() move their caller for good: call them in a child."
                )

    def _brought(self) -> str:
        """The exception with which a child leaves the function, and the line of the answer that has raised it."""
        error = sys.exc_info()[1]
        if not isinstance(error, Exception):
            return ""
        line = failing_line(error, self.function.__code__.co_filename)
        told = f"\n  It left with {type(error).__name__}: {error}"
        return (told + (f"\n  in your line: {line}" if line else ""))[:_BROUGHT]

    def _result(self, value):
        """*value*, unless that is the coroutine of a function that begins with ``async def``."""
        if inspect.iscoroutine(value):
            value.close()  # or Python warns of it later, in the output of another cell
            raise Feedback(
                f"{self.name}() begins with async def: the call makes a coroutine, and nobody awaits it. Begin "
                "with def: your code runs outside of the event loop of the notebook and needs no await."
            )
        return value

    def _somebody_comes_out(self) -> bool:
        """Wait until each child has ended, sleeps, or has returned; return whether one has returned.  A child that runs
        may be on its way."""
        end = time.monotonic() + _ON_ITS_WAY
        while _has_children():
            if select.select([self.reader], [], [], 0)[0]:
                return True
            try:
                me = int(os.readlink("/proc/self"))  # not getpid(): /proc may show the namespace above
            except FileNotFoundError:
                break  # a /proc of other processes
            children = [each for each in host.process_table().values() if each.parent == me]
            if not any(each.state in "RD" for each in children) or time.monotonic() > end:
                break
            time.sleep(0.001)
        return bool(select.select([self.reader], [], [], 0)[0])

    def close(self) -> None:
        """In the parent, at the end: find out whether a child returned."""
        os.close(self.writer)
        self.stray = os.read(self.reader, 2 * _BROUGHT).decode(errors="replace").partition("\0")[0]
        os.close(self.reader)


class Place:
    """Where this process is: its namespaces and its root directory, with what it takes to look again from elsewhere."""

    def __init__(self):
        self.namespaces = os.open("/proc/self/ns", os.O_RDONLY | os.O_DIRECTORY)
        self.root = os.open("/", os.O_PATH)
        self.before = self._links()

    def left_for(self) -> str:
        """In words, where this process has gone meanwhile; nothing when it is where it was."""
        try:
            now, root = self._links(), os.path.samestat(os.stat("/"), os.fstat(self.root))
        except OSError:
            return ""  # the learner's function has closed what is open; the check says so
        finally:
            self._close()
        if not root:
            return "another root directory"
        kinds = [kind for kind in self.before if now[kind] != self.before[kind]]
        return f"other namespaces ({', '.join(kinds)})" if kinds else ""

    def _links(self) -> dict[str, str]:
        links = {}
        for kind in sorted(os.listdir(self.namespaces)):
            try:
                links[kind] = os.readlink(kind, dir_fd=self.namespaces)
            except FileNotFoundError:  # of a pid namespace in which nothing was born yet
                links[kind] = "new"
        return links

    def _close(self) -> None:
        for descriptor in (self.namespaces, self.root):
            try:
                os.close(descriptor)
            except OSError:
                pass


_ON_ITS_WAY = 3  # seconds of running, and never sleeping, after which a child is not taken to be about to come out


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def _left_behind(before: host.Snapshot) -> list[str]:
    """The control groups that an answer has made and left, the innermost first: all else went with its namespaces.

    A group with a container's id in its name may belong to another notebook's container, which has just started.
    """
    from minict.engine.containers.store import all_ids

    end = time.monotonic() + 3
    while True:
        new = set(host.snapshot().kinds["cgroups"]) - set(before.kinds["cgroups"])
        left = [group for group in new if not any(id in group for id in all_ids())]
        if not left or time.monotonic() > end or not any(_is_emptying(group) for group in left):
            return sorted(left, key=len, reverse=True)
        time.sleep(0.02)


def _is_emptying(group: str) -> bool:
    """Whether a control group still has processes: those of an answer have been killed, and end in a moment."""
    try:
        with open(f"{group}/cgroup.procs") as file:
            return bool(file.read())
    except OSError:
        return True


# ---- taking the place of the package's function ------------------------------------------------------------------


class _Names(dict):
    """The names that a learner's function knows: the notebook's, then those of the module that it belongs to.

    So the solution, pasted from the package, works in a notebook that has not imported what that module imports.
    """

    def __init__(self, notebook: dict, module: dict):
        super().__init__(__name__=notebook.get("__name__"), __builtins__=notebook["__builtins__"])
        self.notebook, self.module = notebook, module

    def __missing__(self, name):
        return self.notebook[name] if name in self.notebook else self.module[name]


def _at_home(function, reference):
    """*function* with the names of its notebook and, behind them, those of *reference*'s module."""
    if not isinstance(function, types.FunctionType) or reference is None:
        return function
    names = _Names(function.__globals__, vars(sys.modules[reference.__module__]))
    moved = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    moved.__kwdefaults__, moved.__doc__, moved.__module__ = (
        function.__kwdefaults__,
        function.__doc__,
        function.__module__,
    )
    moved.__minict_reference__ = reference
    names[reference.__name__] = moved  # a recursive function calls itself
    return moved


def _adapted(task: Exercise, function):
    """*function* as the package calls it, where that differs from how a learner calls it: see
    :attr:`Exercise.adapt`."""
    if task.adapt is None:
        return function
    adapted = functools.wraps(function)(lambda *arguments, **options: task.adapt(function, *arguments, **options))
    adapted.__minict_reference__ = task.reference
    return adapted


def _replace(task: Exercise, function) -> None:
    """Bind *function* wherever a module of minict has the task's function, under any name."""
    reference = task.reference
    for name, module in list(sys.modules.items()):
        if name.startswith("minict.") and not name.startswith("minict.lab") and module:
            for attribute, value in list(vars(module).items()):
                if value is reference or getattr(value, "__minict_reference__", None) is reference:
                    setattr(module, attribute, function)
    # A module that is imported later asks the function's own module, and gets what stands there.
    setattr(sys.modules[reference.__module__], task.name, function)
    if function is reference:
        launch.replaced.discard(task.target)
    elif task.is_the_runtimes:
        launch.replaced.add(task.target)
    seccomp.keeps_programs = not any(".libseccomp." in target for target in launch.replaced)


# ---- progress --------------------------------------------------------------------------------------------------


def _remember(task: Exercise, function) -> None:
    """Keep the learner's own source, for the progress and for chapter 16, which builds one program of all of them."""
    record.note("exercises", task.id, source=inspect.getsource(function))


def my_sources() -> dict[str, str]:
    """The source of each exercise that the learner has solved, in this notebook or before, by the exercise's id."""
    return {id: entry["source"] for id, entry in record.section("exercises").items() if "source" in entry}


def _function_of(source: str, name: str) -> types.FunctionType:
    """The function *name* of a text that need not be in a file; inspect finds its source all the same."""
    import linecache
    import zlib

    filename = f"<answer {zlib.crc32(source.encode()):08x}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    space = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(source, filename, "exec"), space)
    return space[name]
