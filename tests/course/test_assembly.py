"""Chapter 16's mini_docker.py: what is committed is what the lab assembles, it runs by itself, and it does what it says.

Most of it is checked by the learner's own dozen checks (:mod:`minict.lab.witnesses`).
"""

from __future__ import annotations

import ast
import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

from minict.lab.assembly import MOST_LINES, NAME, OURS, YOURS, assemble, provenance
from minict.lab.exercise import exercises
from minict.lab.witnesses import CHECKS, examine
from minict.runtime import paths
from tests.support.paths import ROOT

COMMITTED = os.path.join(ROOT, "notebooks", NAME)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def mini(*words: str, **options) -> subprocess.CompletedProcess:
    """Run the committed file as somebody without minict would: the interpreter sees neither its package nor others."""
    return subprocess.run([sys.executable, "-I", "-S", COMMITTED, *words], capture_output=True, text=True, **options)


# ---- the file ------------------------------------------------------------------------------------------------------


def test_the_committed_file_is_what_the_course_assembles():
    assert read(COMMITTED) == assemble({}).text, (
        "notebooks/mini_docker.py is out of date:  python -m minict.lab.assembly notebooks/mini_docker.py"
    )


def test_it_has_at_most_400_lines_and_needs_nothing_but_python():
    text = read(COMMITTED)
    assert len(text.splitlines()) <= MOST_LINES and max(map(len, text.splitlines())) <= 120
    for node in ast.walk(ast.parse(text)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names), ast.unparse(node)


def test_without_words_it_says_what_it_can_do_and_that_it_does_not_pull():
    said = mini()
    assert said.returncode == 1
    assert "mini_docker.py /bin/bash" in said.stderr and "neither pulls nor builds" in said.stderr
    missing = mini("run", "no-such-image", "true")
    assert (missing.returncode, missing.stdout) == (125, "")
    assert "minict pull no-such-image" in missing.stderr


# ---- whose it is ---------------------------------------------------------------------------------------------------


def test_for_each_function_an_own_one_can_take_its_place():
    for id, part in assemble({}).parts.items():
        assert part.whose == OURS and part.why == "not passed yet"
        answers = [f'@exercise("{id}")\n{source}' for source in exercises()[id].right.values()]
        assert any(assemble({id: source}).parts[id].whose == YOURS for source in answers), id


def test_this_chapters_own_functions_need_nothing_but_the_file():
    for id in ("own-1", "own-2", "own-3"):
        assert assemble({id: exercises()[id].solution}).parts[id].whose == YOURS, id


def test_an_own_function_is_taken_word_for_word_without_its_decorator():
    own = 'def exit_status(status):\n    """Mine."""\n    code = os.waitstatus_to_exitcode(status)\n'
    own += "    # a shell adds 128\n    return code if code >= 0 else 128 - code\n"
    program = assemble({"proc-2": f'@exercise("proc-2")\n{own}'})
    first, _, rest = own.partition("\n")
    assert f"{first}  # proc-2: yours\n{rest}" in program.text
    assert "proc-2" in str(provenance(program)) and "5 are yours" in str(provenance(program))
    assert "1 of 29 functions are yours" in repr(program)


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ("def exit_status(status):\n    return shell_says(status)\n", "yours uses shell_says"),
        ("def exit_status(status):\n    import pyroute2\n    return 0\n", "yours uses the module pyroute2"),
        ("def exit_status(status):\n    return k.clone3(status)\n", "yours uses k.clone3"),
    ],
)
def test_a_function_that_needs_more_than_the_file_has_is_replaced_and_says_why(own, why):
    part = assemble({"proc-2": own}).parts["proc-2"]
    assert part.whose == OURS and part.why.startswith(why)


def test_a_line_can_be_taken_out_and_the_rest_is_still_python():
    program = assemble({})
    for line in program.text.splitlines():
        if program.text.count(line.strip()) == 1 and line.strip() and line[0] == " " and not line.strip().endswith(":"):
            try:
                without = program.without(line.strip())
            except ValueError:
                continue
            assert without.count("\n") == program.text.count("\n")
    ast.parse(program.without("make_private()"))
    with pytest.raises(ValueError, match="lines of the file contain"):
        program.without("return")


def test_a_long_file_of_ones_own_says_how_long_it_is():
    answers = {
        id: exercises()[id].starter.replace("...", "...\n" + "    # a comment\n" * 20) for id in assemble({}).parts
    }
    program = assemble({id: f'@exercise("{id}")\n{source}' for id, source in answers.items()})
    lines = program.text.count("\n")
    assert lines > MOST_LINES
    assert f"{lines} lines" in program.length and str(MOST_LINES) in program.length
    assert program.length in str(provenance(program))
    assert assemble({}).length == f"{assemble({}).text.count(chr(10))} lines, of at most {MOST_LINES}"


# ---- what it does --------------------------------------------------------------------------------------------------


def test_the_dozen_checks_pass(tiny):
    assert len(CHECKS) == 12
    examination = examine(read(COMMITTED))
    assert not examination.failed, examination


MISTAKES = [  # words, exit status, a part of the sentence
    ("run -p 80 tiny true", 125, "argument --publish/-p: invalid ports value: '80'"),
    ("run -p http:80 tiny true", 125, "argument --publish/-p: invalid ports value: 'http:80'"),
    ("run --cpus much tiny true", 125, "argument --cpus: invalid cpus value: 'much'"),
    ("run --cpus 0.001 tiny true", 125, "Invalid argument"),
    ("run --memory many tiny true", 125, "argument --memory/-m: invalid size value: 'many'"),
    ("run --pids few tiny true", 125, "argument --pids: invalid int value: 'few'"),
    ("run --network mine tiny true", 125, "argument --network: invalid choice: 'mine'"),
    ("run --name ../above tiny true", 125, "argument --name: invalid word value: '../above'"),
    ("run -v data tiny true", 125, "argument --volume/-v: invalid volume value: 'data'"),
    ("run -v data:inside tiny true", 125, "argument --volume/-v: invalid volume value: 'data:inside'"),
    ("run -v data:/inside:rx tiny true", 125, "argument --volume/-v: invalid volume value: 'data:/inside:rx'"),
    ("run -v /etc/passwd:/inside tiny true", 125, "File exists: '/etc/passwd'"),
    ("run --colour red tiny true", 125, "unrecognized arguments: --colour"),
    ("run --name", 125, "argument --name: expected one argument"),
    ("run", 125, "the following arguments are required: image"),
    ("run no-such-image true", 125, "there is no image no-such-image"),
    ("run tiny no-such-command", 127, "cannot run no-such-command"),
    ("run tiny /etc/passwd", 126, "cannot run /etc/passwd"),
    ("run tiny /etc", 126, "cannot run /etc"),
    ("no-such-program", 127, "cannot run no-such-program"),
    *((f"{command} nobody", 125, "no such container: 'nobody'") for command in ("exec", "logs", "stop", "rm")),
    *((command, 125, "no such container: ''") for command in ("exec", "logs", "stop", "rm")),
    ("logs one two", 125, "no such container: 'one two'"),
]


def test_what_is_wrong_is_one_sentence(tiny):
    for words, status, sentence in MISTAKES:
        said = mini(*words.split())
        assert (said.returncode, said.stdout) == (status, ""), said
        assert said.stderr.startswith("mini_docker: ") and said.stderr.count("\n") == 1, said
        assert sentence in said.stderr
    assert mini("ps").stdout == ""


def test_a_name_is_taken_once_and_an_end_is_told(tiny):
    assert mini("run", "-d", "--name", "taken", "--network", "none", "tiny", "sleep", "1000").stdout == "taken\n"
    again = mini("run", "--name", "taken", "tiny", "true")
    assert (again.returncode, again.stderr.count("\n")) == (125, 1) and "rm taken" in again.stderr
    assert mini("exec", "taken", "no-such-command").returncode == 127
    assert mini("stop", "taken").returncode == 0
    ended = mini("exec", "taken", "true")
    assert (ended.returncode, ended.stderr) == (125, "mini_docker: the container taken has ended\n")
    assert mini("rm", "taken").returncode == 0 and mini("ps").stdout == ""


def test_layers_that_are_gone_are_one_sentence(tiny, tmp_path):
    for name in ("names", "configs"):
        shutil.copytree(f"{paths.data_root()}/images/{name}", tmp_path / "images" / name)
    said = mini("run", "tiny", "true", env={**os.environ, "MINICT_ROOT": str(tmp_path)})
    assert (said.returncode, said.stderr.count("\n")) == (125, 1) and "root: [Errno 2]" in said.stderr


def test_an_exec_that_stays_outside_of_the_group_is_seen(tiny):
    before, function, after = read(COMMITTED).partition("def exec_in")
    without = before + function + after.replace('    Group(state["group"]).join()\n', "", 1)
    assert "exec is in another control group" in examine(without, ["exec"])["exec"]


def test_bash_in_a_terminal(tiny):
    """The seed's step 5, as a person types it: `python mini_docker.py /bin/bash`, with job control and Ctrl-C."""
    with Terminal("/bin/bash") as bash:
        bash.type("echo $$ $(hostname | cut -c1-5 2>/dev/null || hostname); echo e''nd\n", "end")
        assert "no job control" not in bash.said
        bash.type("sleep 98765\n")
        bash.wait(lambda: b"sleep\x0098765" in bash.processes())
        bash.type("\x03", "# ")  # Ctrl-C ends sleep, and neither bash nor mini_docker.py
        bash.type("echo sta''tus $?\n", "status 130")
        bash.type("exit 3\n")
        assert bash.status() == 3


def test_run_an_image_in_a_terminal(tiny):
    with Terminal("run", "--name", "typed", "tiny", "/bin/sh") as sh:
        sh.type("echo my na''me is $(hostname)\n", "my name is typed")
        sh.type("exit 4\n")
        assert sh.status() == 4


class Terminal:
    """mini_docker.py in a terminal of its own; *said*: all that it has shown."""

    def __init__(self, *words: str):
        self.said = ""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-I", COMMITTED, *words])

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_):
        os.close(self.master)  # SIGHUP, which mini_docker.py passes on
        if self.pid:
            os.waitpid(self.pid, 0)

    def type(self, text: str, expected: str = "") -> None:
        """Type *text*, and wait until *expected* is shown after it."""
        seen = len(self.said)
        os.write(self.master, text.encode())
        self.wait(lambda: expected in self.said[seen:])

    def wait(self, condition) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, f"it says no more than {self.said!r}"
            if select.select([self.master], [], [], 0.02)[0]:
                self.said += os.read(self.master, 4096).decode(errors="replace")

    def processes(self) -> bytes:
        """The command lines of all processes."""
        found = b""
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    found += file.read()
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def status(self) -> int:
        """Its exit status; what it still shows is read, or it would wait for us."""
        try:
            while part := os.read(self.master, 4096):
                self.said += part.decode(errors="replace")
        except OSError:  # EIO: nobody has the terminal open any more
            pass
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
