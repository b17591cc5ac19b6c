"""Every exercise of the course: untouched, solved, and answered with each known mistake."""

from __future__ import annotations

import ast
import os
import sys
import time

import pytest

import minict.lab.exercise  # noqa: F401
from minict.lab import record
from minict.lab.challenge import challenges
from minict.lab.verdict import readable
from tests.support.notebook_kernel import Kernel

exercise = sys.modules["minict.lab.exercise"]

ALL = exercise.exercises()
CHALLENGES = challenges()
_GENERIC = {  # wrong answers to anything, and what the feedback should say
    "returns nothing": ("return None", ""),
    "raises": ("raise ValueError('oh dear')", "raised ValueError: oh dear"),
    "is still to do": ("raise NotImplementedError('later')", "still raises NotImplementedError"),
    "sleeps": ("import time; time.sleep(60)", "gave no answer within"),
    "forks and falls through": ("import os; os.fork()", "a child process that you forked came back"),
    "ends the caller": ("import os; os._exit(0)", "never came back"),
    "prints forever": ("while True: print('again')", "gave no answer within"),
    "becomes another program": ("import os; os.execv('/bin/true', ['true'])", "never came back"),
    "kills the caller": ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
}

_NEVER_RETURN = {"init-3"}  # the right answers end the process that calls them
# what the package does without, or does in another language; an engine's work; parts of mini_docker.py
_THE_LABS = {"net-2", "oci-1", "apps-1", "apps-2", "own-1", "own-2", "own-3"}


def answer(task, source, seconds=None):
    return exercise.judge(task, task.function(source), seconds)


@pytest.mark.parametrize("id", ALL)
class TestEvery:
    def test_untouched_is_todo(self, id):
        assert answer(ALL[id], ALL[id].starter) == ("todo", "")

    def test_comments_and_docstrings_do_not_touch_it(self, id):
        lines = ALL[id].starter.splitlines()
        assert answer(ALL[id], "\n".join([lines[0], "    # I wonder", "", *lines[1:]]) + "\n\n") == ("todo", "")

    def test_reference_is_right(self, id):
        assert answer(ALL[id], ALL[id].solution) == ("mine", "")

    def test_each_known_mistake_is_named(self, id):
        assert len(ALL[id].wrong) >= 3
        for name, (source, phrase) in ALL[id].wrong.items():
            state, feedback = answer(ALL[id], source)
            assert state == "failing" and phrase and phrase in feedback, f"{name}: {feedback or 'passed'}"

    def test_unusual_right_answers_are_accepted(self, id):
        assert len(ALL[id].right) >= 3
        for name, source in ALL[id].right.items():
            assert answer(ALL[id], source) == ("mine", ""), name

    @pytest.mark.parametrize("mistake", _GENERIC)
    def test_answers_that_are_wrong_everywhere(self, id, mistake):
        body, phrase = _GENERIC[mistake]
        seconds = 1 if mistake in ("sleeps", "prints forever") else None
        if id in _NEVER_RETURN and phrase in ("never came back", "killed by SIGKILL"):
            phrase = "before the command did anything"
        state, feedback = answer(ALL[id], f"def {ALL[id].name}(*arguments, **options):\n    {body}\n", seconds)
        assert state == "failing" and phrase in feedback, feedback

    def test_the_packages_own_function_is_not_an_answer(self, id):
        task = ALL[id]
        module = task.reference.__module__
        source = (
            f"def {task.name}(*arguments, **options):\n    import {module}\n"
            f"    return {module}.{task.name}(*arguments, **options)\n"
        )
        state, feedback = answer(task, source)
        assert state == "failing" and f"calls the package's own {task.name}()" in feedback, feedback
        state, feedback = answer(task, source.replace(f"return {module}.", "return "))
        assert state == "failing" and f"{task.name}() calls itself without end" in feedback, feedback

    def test_another_name_is_not_an_answer(self, id):
        source = ALL[id].solution.replace(f"def {ALL[id].name}(", "def another(", 1)
        function = exercise._function_of(ALL[id].imports + source, "another")
        state, feedback = exercise.judge(ALL[id], function)
        assert state == "failing" and "keep its name" in feedback

    def test_hints(self, id):
        hints = ALL[id].hints
        assert 2 <= len(hints) <= 4 and all(hint.strip() and hint.strip() != ALL[id].solution.strip() for hint in hints)

    def test_form(self, id):
        task = ALL[id]
        assert len(task.starter.splitlines()) <= 12 and "..." in task.starter and '"""' in task.starter
        assert task.starter.startswith(f"def {task.name}(") and 1 <= task.difficulty <= 3 and 2 <= task.minutes <= 30
        module = sys.modules[task.reference.__module__]
        assert task.reference.__module__.split(".")[1] in (
            ("lab",) if id in _THE_LABS else ("kernel", "runtime", "oci", "engine")
        )
        assert getattr(module, task.name) is task.reference


@pytest.mark.parametrize("id", CHALLENGES)
class TestEveryChallenge:
    def test_solution_is_right(self, id):
        assert answer(CHALLENGES[id], CHALLENGES[id].solution) == ("mine", "")

    def test_unusual_right_answers_are_accepted(self, id):
        assert len(CHALLENGES[id].right) >= 3
        for name, source in CHALLENGES[id].right.items():
            assert answer(CHALLENGES[id], source) == ("mine", ""), name

    def test_each_known_mistake_is_named(self, id):
        assert len(CHALLENGES[id].wrong) >= 2
        for name, (source, phrase) in CHALLENGES[id].wrong.items():
            state, feedback = answer(CHALLENGES[id], source)
            assert state == "failing" and phrase and phrase in feedback, f"{name}: {feedback or 'passed'}"

    def test_form(self, id):
        task = CHALLENGES[id]
        assert 2 <= len(task.hints) <= 4 and 1 <= task.difficulty <= 3 and 2 <= task.minutes <= 30
        assert task.solution.startswith(f"def {task.name}(")


@pytest.mark.parametrize(
    "id, source, words",
    [
        ("init-1", "def reap(pid):\n    while True:\n        child, status = ...\n        return status",
         "a ... is still there: `child, status = ...`"),
        ("ns-1", "def identify(pid):\n    print({})", "identify() prints what it has found: it must be returned"),
        ("ns-1", "def identify(pid):\n    x = {}", "identify(PID) returned None"),
        ("ns-1", "def identify(pid):\n    for each in ['uts', 'pid']:\n        return {each: 1}",
         "the return stands inside the loop"),
        ("init-1", "def reap(pid):\n    options = 'x'\n    return os.waitpid(options, pid)[1]",
         "that is os.waitpid('x', 3)\n  os.waitpid() wants (pid, options), in this order"),
        ("init-1", "def reap(pid):\n    return os.waitpid(pid, 0, 0)[1]", "that is os.waitpid("),
        ("init-1", "def reap(pid):\n    return os.waitpid(pid)[1]", "os.waitpid() wants (pid, options), in this order"),
        ("init-1", "def reap(pid):\n    raise ValueError(pid)", "reap(3) raised ValueError: 3"),
        ("init-1", "def reap(pid):\n    many = bytes(16)\n    return len(many, pid)", "that is len(<16 bytes>, 3)"),
        ("ns-2", "def flags(kinds):\n    for kind in kinds:\n        if kind not in FLAGS:\n"
         "            raise ContainerError('unknown', kind)\n    return sum(map(FLAGS.get, set(kinds)))",
         "ContainerError() wants (message, step=…, errno=…, status=…): write the name"),
        ("ns-2", "def flags(kinds):\n    for kind in kinds:\n        if kind not in FLAGS:\n"
         "            raise ContainerError('unknown kind {kind!r}')\n    return sum(map(FLAGS.get, set(kinds)))",
         "put an f before the text 'unknown kind {kind!r}'"),
        ("ns-1", "def identify(pid):\n    return pid.namespaces", "what stands before .namespaces is a number: 3"),
        ("init-1", "def reap(pid):\n    return os.stat('/proc/' + pid)", "str(number) makes a text"),
        ("init-1", "def reap(pid):\n    return pid + '/status'", "str(number) makes a text"),
        ("proc-1", "def spawn(function):\n    pid = os.fork()\n    if pid == 0:\n        os._exit(function())\n"
         "    return pid", "in your line: os._exit(function())"),
        ("ns-3", "def enter(kind, path):\n    setns(os.open(path, os.O_RDONLY), flags([kind]))",
         "it is called as enter(path, kind)"),
        ("proc-1", "def spawn(function):\n    function()\n    while True:\n        pass",
         "the process that called it still runs in your line: "),
        ("proc-1", "def spawn(function):\n    pid = os.fork()\n    while pid == 0:\n        pass\n    return pid",
         "a child that it has forked still runs in your line: "),
        ("init-1", "def reap(pid):\n    while True:\n        __import__('time').sleep(100)",
         "the process that called it still waits in your line: __import__('time').sleep(100)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_all_exercises_alike_is_said_first(id, source, words):
    state, feedback = answer(ALL[id], source + "\n", 3)
    assert state == "failing" and words in feedback, feedback


@pytest.mark.parametrize(
    "id, source, words",
    [
        ("init-1", "def reap(pid):\n    return os.waitpid('x', 0)[1]", "in this order"),  # its type is wrong
        ("init-1", "def reap(pid):\n    return os.WEXITSTATUS(os.wait())", "in this order"),  # it has one parameter
        ("init-1", "def reap(pid):\n    return '{pid}'.format(pid=pid)", "put an f before"),
        ("init-1", "def reap(pid):\n    return f'{pid}' + '{} {x}'", "put an f before"),
        ("init-1", "def reap(pid):\n    while True:\n        child, status = os.waitpid(-1, 0)\n"
         "        if child != pid:\n            continue\n        return 4711", "inside the loop"),
    ],
)  # fmt: skip
def test_a_reason_is_given_once_and_only_when_true(id, source, words):
    state, feedback = answer(ALL[id], source + "\n", 3)
    assert state == "failing" and words not in feedback, feedback


def test_no_signal_of_an_answer_reaches_another_process():
    """In the answer's own pid namespace ``kill(-1)`` reaches no process; outside it would kill this test."""
    state, _ = answer(ALL["init-1"], "def reap(pid):\n    os.kill(-1, 9)\n    return os.wait()[1]\n")
    assert state == "failing"
    seen = "def reap(pid):\n    raise ValueError(sorted(int(n) for n in os.listdir('/proc') if n.isdigit())[:3])\n"
    assert "ValueError: [1, 2, 3]" in answer(ALL["init-1"], seen)[1]


def test_endless_printing_keeps_its_verdict():
    _, feedback = answer(ALL["init-1"], "def reap(pid):\n    while True:\n        print('x' * 100)\n", 2)
    assert "gave no answer within 2 s" in feedback and "more lines" in feedback and len(feedback) < 6000


def test_a_child_that_falls_through_is_always_seen():
    """However slow it is: the check waits until the child has ended, or has returned."""
    late = "def reap(pid):\n    if os.fork() == 0:\n        for _ in range(3_000_000): pass\n"
    for _ in range(3):
        assert "a child process that you forked came back" in answer(ALL["init-1"], late)[1]


def test_a_learners_prints_are_shown_when_the_answer_is_wrong():
    task = ALL["pivot-1"]
    assert "It printed:\n    looking at /" in answer(task, "def pivot_root(rootfs):\n    print('looking at /')\n")[1]


def test_what_an_answer_leaves_on_the_host_is_named_and_removed():
    path = f"/sys/fs/cgroup/memory/{os.environ['MINICT_CGROUP']}/left"
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        path = f"/sys/fs/cgroup/{os.environ['MINICT_CGROUP']}/left"
    source = ALL["init-1"].solution.replace("    while", f"    os.makedirs({path!r}, exist_ok=True)\n    while", 1)
    state, feedback = answer(ALL["init-1"], source)
    assert state == "failing" and "leaves this behind" in feedback and path in feedback
    assert not os.path.exists(path)


def test_an_endless_answer_costs_its_time_limit_and_no_more():
    start = time.monotonic()
    exercise.judge(ALL["init-1"], ALL["init-1"].function("def reap(pid):\n    while True: pass\n"), seconds=0.5)
    assert time.monotonic() - start < 3


# ---- in a notebook ---------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(tiny):
    with Kernel() as kernel:
        kernel.run(ALL["pivot-1"].imports)
        yield kernel


def cell(task, source):
    return f'@exercise("{task.id}")\n{source}'


def test_the_three_banners(kernel):
    task = ALL["pivot-1"]
    assert (
        kernel.run(cell(task, task.starter))
        == "○ pivot-1: not attempted yet. The cells below use the course's pivot_root().\n"
    )
    assert kernel.run(cell(task, task.solution)) == "● pivot-1: correct. From here on minict uses YOUR pivot_root().\n"
    words = kernel.run(cell(task, task.wrong["chroot"][0]))
    assert words.startswith("✗ pivot-1: ") and 'Stuck? hint("pivot-1")' in words


def test_the_last_words_of_an_answers_child_explain_it_in_a_notebook_too(kernel):
    """A child that is forked there gets a sys.stderr of its own, which the check must not depend on."""
    task = CHALLENGES["visit"]
    kernel.run(task.imports)
    kernel.run(task.wrong["mount first"][0])
    told = " ".join(kernel.run('challenge("visit")').split())
    assert "so enter mount as the last one" in told and "No such file or directory: '/proc/" in told


def test_a_right_answer_runs_in_the_containers_below(kernel):
    """The proof: the learner's function leaves a mark that only its own code could leave."""
    task = ALL["pivot-1"]
    mark = task.solution.replace('os.chdir("/")', 'os.chdir("/")\n    print("through my own pivot_root", flush=True)')
    run = 'import minict; minict.run("tiny", "echo hello", network="none")'
    assert kernel.run(run) == "hello\n"
    assert "YOUR pivot_root()" in kernel.run(cell(task, mark))
    assert kernel.run(run) == "through my own pivot_root\nhello\n"
    kernel.run(cell(task, task.wrong["chroot"][0]))  # a wrong answer must not reach a container
    assert kernel.run(run) == "hello\n"
    kernel.run(cell(task, mark))
    assert kernel.run('use_reference("pivot-1")') == ""
    assert kernel.run(run) == "hello\n"


def test_each_paragraph_of_a_verdict_stands_below_its_sign():
    shown = readable(
        "✗ proc-2: it is None.\na process ended.\nexit_status(7) did.\n  in your line: x\nlast " + "w " * 60
    )
    assert shown.splitlines()[:4] == [
        "✗ proc-2: it is None.", "  A process ended.", "  exit_status(7) did.", "  in your line: x",
    ]  # fmt: skip
    assert all(line.startswith("  ") for line in shown.splitlines()[1:])


def test_a_function_without_a_name_is_judged_by_what_it_does():
    source = "identify = lambda pid='self': {k: os.stat(f'/proc/{pid}/ns/{f}').st_ino for k, f in FILES.items()}\n"
    assert answer(ALL["ns-1"], source) == ("mine", "")
    state, feedback = answer(ALL["ns-1"], "identify = lambda pid: {}\n")
    assert state == "failing" and "<lambda>" not in feedback and "no return" not in feedback


def test_long_feedback_is_broken_between_words_and_code_is_not():
    code = "  in your line: " + "x" * 200
    shown = readable("umount2 /a/" + "b" * 120 + " refuses " + "word " * 60 + "\n" + code).splitlines()
    assert shown[-1] == code and shown[1] == "  /a/" + "b" * 120
    assert max(map(len, shown[2:-1])) <= 96 and " ".join(shown).count("word") == 60


def test_hints_come_one_by_one_and_the_solution_last(kernel):
    task = ALL["pivot-1"]
    for number, hint in enumerate(task.hints, 1):
        words = " ".join(kernel.run('hint("pivot-1")').split())
        assert words.startswith(f"Hint {number} of {len(task.hints)}") and hint in words
    assert task.solution in kernel.run('hint("pivot-1")')
    assert "there is no exercise 'pivot-9'" in kernel.run('hint("pivot-9")')


def test_a_solution_is_shown_with_the_private_functions_that_it_calls(kernel):
    task = ALL["cgroups-3"]
    assert task.helpers.startswith("def _kill_by_file(") and not ALL["pivot-1"].helpers
    for _ in task.hints:
        kernel.run('hint("cgroups-3")')
    shown = kernel.run('hint("cgroups-3")')
    assert task.solution in shown and shown.index(task.solution) < shown.index(task.helpers)


def test_where_the_packages_own_cares_for_more_a_plain_solution_is_shown(kernel):
    task = ALL["powers-2"]
    for _ in task.hints:
        kernel.run('hint("powers-2")')
    shown = kernel.run('hint("powers-2")')
    assert task.right["plain"] in shown and task.solution not in shown and task.target in shown


def test_progress_of_this_notebook(kernel):
    assert "○ exercise  pivot-1" in kernel.run("print(progress())")
    kernel.run(cell(ALL["pivot-1"], ALL["pivot-1"].solution))
    assert "● exercise  pivot-1" in kernel.run("print(progress())")


def test_progress_is_kept_for_other_notebooks(monkeypatch, tmp_path):
    monkeypatch.delenv("CI")
    monkeypatch.setenv("HOME", str(tmp_path))
    task = ALL["pivot-1"]
    exercise._remember(task, task.function(task.solution))
    monkeypatch.setattr(record, "_here", {})
    assert task.solution.strip() in exercise.my_sources()["pivot-1"]


def test_another_notebooks_container_survives_a_check(tiny):
    """A container started elsewhere while an answer is judged does not belong to the answer."""
    import threading

    import minict

    boxes = []
    other = threading.Timer(0.2, lambda: boxes.append(minict.run(tiny, "sleep 60", network="none", detach=True)))
    slow = "def reap(pid):\n    __import__('time').sleep(1.5)\n" + ALL["init-1"].solution.split("\n", 1)[1]
    other.start()
    try:
        _, feedback = answer(ALL["init-1"], slow)
        other.join()
        assert "leaves this behind" not in feedback and boxes[0].status == "running", feedback
    finally:
        other.join()
        boxes[0].stop(timeout=0)


def test_a_solution_can_be_pasted_into_a_notebook_that_knows_no_types():
    source = (
        "def f(a: Callable[[], int], *b: list[str], c: int = 1, **d: x) -> dict[str,\n    int]:\n"
        "    n: int = 1  # a comment: stays\n    def g(x: y) -> z:\n        return {1: 2}\n    return lambda q: g\n"
    )
    assert exercise.without_annotations(source) == (
        "def f(a, *b, c = 1, **d):\n"
        "    n = 1  # a comment: stays\n    def g(x):\n        return {1: 2}\n    return lambda q: g\n"
    )
    for task in ALL.values():
        names = {node.arg: node.annotation for node in ast.walk(ast.parse(task.solution)) if isinstance(node, ast.arg)}
        assert not any(names.values()), task.id
