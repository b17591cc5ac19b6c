"""No cell can hang the kernel of a notebook, or break it for the next cell."""

from __future__ import annotations

import os
import time
from itertools import groupby

import pytest

import minict.lab.child as child
from minict.kernel.namespaces import CLONE_NEWPID, unshare
from minict.lab.guard import Guards
from tests.support.notebook_kernel import Kernel, text_of


@pytest.fixture(scope="module")
def kernel():
    with Kernel() as kernel:
        yield kernel


@pytest.fixture(autouse=True)
def still_alive(kernel):
    """After each of these tests the next cell works, in the same kernel, and in its namespaces."""
    state = (
        "import os; [os.getpid(), os.getcwd(), *(os.readlink(f'/proc/self/ns/{n}') for n in "
        "sorted(os.listdir('/proc/self/ns')))]"
    )
    before = kernel.run(state)
    yield
    assert kernel.run(state) == before
    assert kernel.run("!echo $((6 * 7))").strip() == "42"


def test_a_shell_line_in_a_function_sees_its_variables(kernel):
    cell = "def f(word):\n    !echo {word}\n    told = !echo $word {{word}} $$HOME\n    return told\nprint(*f('here'))"
    assert kernel.run(cell).split() == ["here", "here", "{word}", os.environ["HOME"]]


# ---- %%child ---------------------------------------------------------------------------------------------------


def test_output_of_the_cell_and_of_its_children_comes_in_order(kernel):
    assert (
        kernel.run("""%%child
import os, subprocess
print("one")
subprocess.run(["echo", "two"])
os.system("echo three >&2")
os.write(1, b"four\\n")
print("five")
2 * 3""")
        == "one\ntwo\nthree\nfour\nfive\n6\n"
    )


def test_pictures_stand_between_the_output(kernel):
    outputs = kernel.cell("""%%child
from IPython.display import HTML, display
print("before")
display(HTML("<b>bold</b>"))
print("after")""").outputs
    # output may come in one piece or in several
    assert [kind for kind, _ in groupby(output.output_type for output in outputs)] == [
        "stream",
        "display_data",
        "stream",
    ]
    shown = next(output for output in outputs if output.output_type == "display_data")
    assert shown.data["text/html"] == "<b>bold</b>"


def test_variables_go_in_and_come_back(kernel):
    kernel.run("number = 20")
    assert kernel.run("%%child --return double, other\ndouble, other, number = number * 2, 'x', 0") == ""
    assert kernel.run("number, double, other").strip() == "(20, 40, 'x')"
    assert "NameError" in kernel.run("%%child --return nothing\n1")


def test_child_that_raises(kernel):
    words = kernel.run("%%child\ndef divide():\n    1 / 0\ndivide()")
    assert "ChildError: the child raised ZeroDivisionError: division by zero" in words
    assert "line 2, in divide" in words and "minict/lab" not in words


def test_child_that_never_ends(kernel):
    start = time.monotonic()
    assert "still running after 0.5 s and was killed" in kernel.run("%%child --timeout 0.5\nwhile True:\n    pass")
    assert time.monotonic() - start < 5


def test_grandchildren_die_with_the_child(kernel):
    kernel.run("%%child --timeout 0.5\nimport subprocess\nsubprocess.run('sleep 987.654', shell=True)")
    kernel.run("%%child\nimport subprocess\nsubprocess.Popen(['sleep', '987.654'])")
    assert "987.654" not in kernel.run("!ps ax -o args | grep 987.654 | grep -v grep")


def test_ways_to_end(kernel):
    assert "ended with status 3" in kernel.run("%%child\nimport sys; sys.exit(3)")
    assert "ended with status 4" in kernel.run("%%child\nimport os; os._exit(4)")
    assert "killed by SIGSEGV" in kernel.run("%%child\nimport ctypes; ctypes.string_at(0)")
    assert kernel.run("%%child --any\nimport os; os._exit(4)") == ""
    assert kernel.run("%%child\nimport os; os.execvp('echo', ['echo', 'replaced'])") == "replaced\n"


def test_fork_that_runs_on(kernel):
    words = kernel.run("%%child\nimport os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)")
    assert "ran on to the end of the cell" in words


def test_terminal_and_typing(kernel):
    words = kernel.run(
        "%%child --tty --stdin 'stty size\\nexit\\n'\nimport os\nos.execvpe('sh', ['sh'], {**os.environ, 'PS1': ''})"
    )
    assert "24 80" in words
    assert kernel.run("%%child --stdin 'a line\\n'\nprint(input().upper())") == "A LINE\n"


def test_unknown_option_is_named(kernel):
    assert "does not understand '--forever'" in "".join(map(text_of, kernel.cell("%%child --forever\n1").outputs))


def test_namespaces_and_chroot_stay_in_the_child(kernel):
    assert (
        kernel.run("""%%child
import os, socket
from minict.kernel.namespaces import *
unshare(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID)
os.system("hostname box")
os.chroot("/proc")
print(socket.gethostname(), os.path.exists("/self"))""")
        == "box True\n"
    )
    assert "box" not in kernel.run("!hostname")


# ---- cells that fork by hand -----------------------------------------------------------------------------------


def test_naive_fork_that_reaches_the_end_of_the_cell(kernel):
    words = kernel.run("import os\npid = os.fork()\nif pid:\n    print(os.waitpid(pid, 0)[1])")
    assert "reached the end of the cell" in words and "256" in words


def test_naive_fork_that_raises(kernel):
    words = kernel.run(
        "import os\npid = os.fork()\nif pid == 0:\n    raise ValueError('oh')\nprint('status', os.waitpid(pid, 0)[1])"
    )
    assert "raised ValueError: oh" in words and "status 256" in words


def test_naive_fork_that_exits_by_an_exception(kernel):
    assert "status 256" in kernel.run(
        "import os, sys\npid = os.fork()\nif pid == 0:\n    sys.exit()\nprint('status', os.waitpid(pid, 0)[1])"
    )


def test_naive_fork_that_never_ends_is_ended(kernel):
    kernel.run("import minict.lab.guard as g; g.NAIVE_FORK_LIMIT = 1")
    assert "signal 14" in kernel.run("""import os
pid = os.fork()
while pid == 0:
    pass
print("signal", os.waitpid(pid, 0)[1])""")


def test_moving_the_kernel_itself_is_refused(kernel):
    assert "start the cell with %%child" in kernel.run("import os; os.chroot('/tmp')")
    assert "start the cell with %%child" in kernel.run("from minict.kernel.namespaces import *; unshare(CLONE_NEWPID)")


def test_a_child_with_the_number_of_the_kernel_is_not_the_kernel():
    """In a container the kernel's number is small, and a check's children, in a pid namespace, may have the same one."""

    def kernel():  # number 1 of its pid namespace, as its child is of the next one
        guards = Guards({})
        unshare(CLONE_NEWPID)
        return os.getpid(), guards.in_the_kernel(), child.run_in_child(lambda: (os.getpid(), guards.in_the_kernel()))

    def outside():
        unshare(CLONE_NEWPID)
        return child.run_in_child(kernel)

    assert child.run_in_child(outside) == (1, True, (1, False))


@pytest.mark.parametrize("where", ["minict.kernel.process", "socket"])
def test_the_machine_is_not_renamed(kernel, where):
    """The guard is tested with the machine's own name, so that a failure does no harm."""
    rename = f"import os; from {where} import sethostname; sethostname(os.uname().nodename)"
    for cell in (rename, f"%%child\n{rename}", f"%%child\nimport os; os.chroot('/usr')\n{rename}"):
        words = kernel.run(cell)
        assert "would rename the whole machine" in words and "minict/lab" not in words
    move = "%%child\nfrom minict.kernel.namespaces import *; unshare(CLONE_NEWUTS)"
    assert kernel.run(f"{move}\n{rename}; sethostname('other'); os.uname().nodename") == "'other'\n"


@pytest.mark.parametrize(
    "call, words",
    [
        ("import os; os.execv('/bin/echo', ['echo'])", "execv() here would replace the notebook by another program"),
        ("import os; os.execlp('echo', 'echo')", "execlp() here would replace the notebook"),
        ("import os; os._exit(0)", "_exit() here would end the notebook itself"),
        ("from minict.kernel import mount as k; k.mount('t', '/mnt', 'tmpfs')", "mount() here would change the mounts"),
        ("from minict.kernel.mount import umount2; umount2('/mnt')", "umount2() here would change the mounts"),
        (
            "from minict.runtime.mounts import make_private; make_private()",
            "would change the mounts of the whole machine",
        ),
        (
            "from minict.runtime.mounts import hide; hide('/etc/hostname')",
            "would change the mounts of the whole machine",
        ),
        ("import os; os.kill(-1, 0)", "would reach every process of the machine"),
        ("import os; os.kill(0, 0)", "would reach every process of the machine"),
        ("!hostname $HOSTNAME", "would rename the whole machine"),
        ("x = !hostname nobody", "hostname nobody here would rename the whole machine"),
        ("!true; sudo hostname nobody", "would rename the whole machine"),
        ("import os; os.system('hostname nobody')", "would rename the whole machine"),
        ("import subprocess; subprocess.run(['hostname', 'nobody'])", "would rename the whole machine"),
        ("%%sh\nhostname nobody", "would rename the whole machine"),
        ("!mount -t tmpfs none /mnt/nowhere", "would change the mounts of the whole machine"),
        ("!umount /nowhere", "would change the mounts of the whole machine"),
        ("!ip link add x type dummy", "ip link add x type dummy here would change the network of the whole machine"),
        ("import os; os.system('ip addr add 192.168.1.1/24 dev x')", "would change the network of the whole machine"),
        ("!true && ip -4 route replace default via 10.0.0.1", "would change the network of the whole machine"),
        ("!kill -0 -1", "would reach every process of the machine"),
    ],
)
def test_what_would_end_the_notebook_or_change_the_machine_is_refused(kernel, call, words):
    name, mounts = os.uname().nodename, open("/proc/self/mountinfo").read()
    shown = kernel.run(call)
    assert words in shown and "%%child" in shown + "%%child" * ("name one process" in shown)
    assert (os.uname().nodename, open("/proc/self/mountinfo").read()) == (name, mounts)


@pytest.mark.parametrize(
    "call",
    [
        "from minict.kernel import mount as k; k.mount('t', '/mnt', 'tmpfs')",
        "from minict.runtime.mounts import make_private; make_private()",
        "import os; os.kill(-1, 0)",
        "!hostname nobody",
    ],
)
def test_a_child_is_refused_what_only_namespaces_make_harmless(kernel, call):
    assert "RuntimeError" in kernel.run(f"%%child\n{call}")
    assert "RuntimeError" not in kernel.run(
        "%%child\nfrom minict.kernel.namespaces import *\nunshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID)\n"
        "from minict.kernel import mount as k; k.mount(None, '/', None, k.MS_PRIVATE | k.MS_REC)\n"
        f"def work():\n    {call}\nrun_in_child(work)"
    )


def test_a_cable_of_a_cell_stays_out_of_the_machines_network(kernel):
    cables = "import os, socket\nstatus = os.system('ip link add x type veth peer name y')\nprint(len(socket.if_nameindex()))"
    assert "change the network of the whole machine" in kernel.run(f"%%child\n{cables}")
    move = "from minict.kernel.namespaces import *; unshare(CLONE_NEWNET)"
    assert kernel.run(f"%%child\n{move}\n{cables}") == "3\n"


@pytest.mark.parametrize(
    "call",
    [
        "!hostname",
        "!hostname -f",
        "!ip address",
        "!ip link show lo",
        "!ip route get 127.0.0.1",
        "!echo ip link add",
        "!mount | head -1",
        "!echo mount x",
        "!kill -0 $$",
        "!ls /mnt",
    ],
)
def test_what_only_looks_is_not_refused(kernel, call):
    assert "RuntimeError" not in kernel.run(call)


def test_what_the_engine_does_is_not_refused(kernel, tiny):
    run = "import minict; minict.run('tiny', 'echo fine', volume=['/tmp:/data'], network='none')"
    assert kernel.run(run) == "fine\n"


def test_endless_output_keeps_its_end(kernel):
    words = kernel.run("%%child --timeout 2\nwhile True:\n    print('again and again')")
    assert "still running after 2 s" in words and "more characters, which are not shown]" in words
    assert len(words) < 120_000


def test_a_missing_name_after_a_restart(kernel):
    for cell in ("nothing_of_the_kind", "%%child\nnothing_of_the_kind"):
        words = kernel.run(cell)
        assert "name 'nothing_of_the_kind' is not defined. After a restart of the kernel: Run > Run All Above" in words


def test_a_child_of_spawn_says_what_went_wrong(kernel):
    kernel.run("import os\nfrom minict.runtime.process import spawn")
    words = kernel.run("%%child\n_ = os.waitpid(spawn(lambda: missing), 0)")
    assert "NameError: name 'missing' is not defined" in words
    assert kernel.run("%%child\nimport sys\n_ = os.waitpid(spawn(lambda: sys.exit(3)), 0)") == ""


# ---- run_in_child ----------------------------------------------------------------------------------------------


def test_run_in_child_returns_the_value_and_shows_the_output(capsys):
    def work(number):
        print("in", os.getpid() != parent)
        return number * 2

    parent = os.getpid()
    assert child.run_in_child(work, 21) == 42
    assert capsys.readouterr().out == "in True\n"


def test_run_in_child_raises_for_what_the_child_did():
    for function, words in (
        (lambda: 1 / 0, "raised ZeroDivisionError"),
        (lambda: os._exit(3), "status 3"),
        (lambda: time.sleep(60), "still running after 0.3 s"),
    ):
        with pytest.raises(child.ChildError, match=words):
            child.run_in_child(function, timeout=0.3)


def test_many_children_leave_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        child.run_in_child(int)
    assert len(os.listdir("/proc/self/fd")) == before
