"""Chapter 08's control groups and pictures: the names of version 2 on every machine, and what was really measured."""

from __future__ import annotations

import errno
import inspect
import os
import tempfile
import threading
import time

import pytest

from minict.lab import throttling
from minict.lab.child import run_in_child
from minict.lab.groups import Group, stand_in
from minict.runtime.cgroup import Cgroup, hierarchy
from minict.runtime.process import spawn
from tests.support.notebook_kernel import Kernel


@pytest.fixture
def group():
    group = Group("test")
    yield group
    group.remove()


def test_a_limit_of_memory_can_be_lifted_in_both_versions(group):
    assert group.read("memory.max") == "max"
    group.write("memory.max", "32M")
    assert group.read("memory.max") == str(32 << 20)
    group.write("memory.max", "max")
    assert group.read("memory.max") == "max"


def test_the_files_have_the_names_of_version_2(group):
    assert [group.read(name) for name in ("pids.max", "pids.current", "cpu.max")] == ["max", "0", "max 100000"]
    group.write("memory.max", "32M")
    assert int(group.read("memory.max")) == 32 << 20 and int(group.read("memory.current")) < 1 << 20
    for given, there in (("50000 100000 7", "50000 100000"), ("20000", "20000 100000"), ("max", "max 100000")):
        group.write("cpu.max", given)
        assert group.read("cpu.max") == there


@pytest.mark.parametrize("text", ["50 100000", "-1", "50000 1", "half", "0 100000"])
def test_what_version_2_refuses_is_refused(group, text):
    with pytest.raises(OSError) as refused:
        group.write("cpu.max", text)
    assert refused.value.errno == errno.EINVAL and group.read("cpu.max") == "max 100000"


def test_who_makes_a_group_again_gets_a_new_one(group):
    again = Group("test")
    assert not os.path.isdir(os.path.dirname(group.file("pids.max"))) and again.path != group.path
    again.remove()


def test_a_caller_that_is_inside_survives_the_end_of_the_group():
    def inside():
        group = Group("inside")
        group.write("cgroup.procs", 0)
        assert os.getpid() in group.processes()
        group.remove()
        return not os.path.isdir(os.path.dirname(group.file("pids.max")))

    assert run_in_child(inside)


def test_a_notebook_does_not_move_itself():
    with Kernel() as kernel:
        kernel.run("import os\nfrom minict.lab.groups import Group\ndemo = Group('demo')")
        for pid in ("0", "os.getpid()"):
            assert "start the cell with %%child" in kernel.run(f"demo.write('cgroup.procs', {pid})")
        assert "start the cell with %%child" in kernel.run("from minict.lab.groups import stand_in\nstand_in(demo)")
        assert kernel.run("%%child\ndemo.write('cgroup.procs', 0)\nprint(os.getpid() in demo.processes())") == "True\n"
        kernel.run("demo.remove()")
        assert "left no trace on the host" in kernel.run("leave_no_trace()")


def test_a_stand_in_keeps_what_is_made_in_it(group):
    """mkdir at the top of each tree makes a group below ours; in version 2 there is one tree."""

    def make():
        stand_in(group)
        top = "/sys/fs/cgroup" if hierarchy.mode() == "v2" else "/sys/fs/cgroup/memory"
        os.mkdir(f"{top}/made")
        return os.path.exists(f"{top}/made/cgroup.procs")

    assert run_in_child(make)
    assert os.path.isdir(f"{group.directories['memory']}/made")
    assert not os.path.isdir("/sys/fs/cgroup/made") and not os.path.isdir("/sys/fs/cgroup/memory/made")


def test_version_1_takes_a_thread_into_tasks_and_leaves_the_others_outside(group):
    """What chapter 08 says of the snippet; version 2 has no such file."""
    tasks = f"{os.path.dirname(group.file('memory.max'))}/tasks"
    assert os.path.exists(tasks) == (hierarchy.mode() != "v2")
    if hierarchy.mode() == "v2":
        return

    def join():
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        with open(tasks, "w") as file:
            file.write(str(os.getpid()))
        with open(tasks) as file:
            inside = file.read().split()
        return inside == [str(os.getpid())], len(os.listdir("/proc/self/task"))

    assert run_in_child(join) == (True, 2)


def test_a_recording_shows_when_processes_ran(group):
    group.write("cpu.max", "50000 100000")
    recording = throttling.stopwatch(group, [1, 2])
    assert [len(lanes) for lanes in recording.lanes.values()] == [1, 2]
    for lanes in recording.lanes.values():
        for runs in lanes:
            assert all(0 <= begin < end <= throttling._LENGTH for begin, end in runs)
            assert [begin for begin, _ in runs] == sorted(begin for begin, _ in runs)
    assert all(0 <= throttled <= periods for throttled, periods in recording.cut.values())
    assert "busy processes" in repr(recording.picture()) and recording.picture().png.startswith(b"\x89PNG")
    assert recording.draw(2).count(">process ") == 2
    assert group.processes() == []


def test_lanes_begin_where_a_period_does():
    first, second = [(0.0, 60.0), (200.0, 225.0), (300.0, 325.0)], [(0.0, 50.0), (201.0, 230.0), (300.0, 320.0)]
    cut = throttling._cut_out([first, second])
    assert cut == [[(0.0, 25.0), (100.0, 125.0)], [(1.0, 30.0), (100.0, 120.0)]]


def test_a_story_of_memory_ends_at_the_limit(group):
    group.write("memory.max", "16M")
    group.write("memory.swap.max", 0)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        story = throttling.memory_story(group, throttling.make_file(f"{folder}/book", 24))
    assert (story.limit, story.read, story.status) == (16, 24, -9)
    charged = [file + anon for _, file, anon in story.steps]
    read = [step for step in story.steps if step[0] <= story.read]
    assert max(charged) <= 16 and charged[0] < 2 and read[-1][1] > 8 and read[-1][2] < 2
    assert story.steps[-1][2] > 8, "the program's own memory has taken the place of the cache"
    assert "until it was killed" in repr(story.picture())


def test_a_process_that_asks_for_less_lives(group):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        story = throttling.memory_story(group, throttling.make_file(f"{folder}/book", 4))
    assert story.status == 0 and "until it went on to its end" in repr(story.picture())


def test_the_tree_of_groups_is_drawn():
    assert "a limit counts for everything below it" in repr(throttling.group_tree())


_BY_FILE = "    if _kill_by_file(group):\n        return\n"


@pytest.mark.parametrize(
    ("line", "instead", "phrase"),
    [
        (_BY_FILE, "", ""),
        ("group.freeze()", "pass", "freeze first"),
        ("for pid in group.processes():", "for pid in group.processes()[:1]:", "left"),
        ("os.kill(pid, 9)", "os.kill(pid, 15)", "such as SIGTERM"),
        ("group.thaw_quietly()", "pass", "frozen"),
    ],
)
def test_the_way_of_kernels_without_cgroup_kill_answers_cgroups_3(line, instead, phrase):
    """kill_all() without its first lines is right, and a fault in any of its steps is seen."""
    from minict.lab.exercise import find, judge

    task = find("cgroups-3")
    source = inspect.getsource(task.reference)
    assert _BY_FILE in source and line in source
    body = source.replace(_BY_FILE, "").replace(line, instead).replace("except ContainerError", "except OSError")
    state, why = judge(task, task.function(body))
    assert (state, phrase) == ("mine", "") or (state == "failing" and phrase and phrase in why), why


def test_one_call_of_kill_all_reaches_who_joined_version_1_only(group):
    """As on a hybrid machine a program may do that knows version 1."""
    from minict.runtime.cgroup.group import kill_all

    pid = spawn(lambda: time.sleep(600))
    with open(group.file("pids.max").replace("pids.max", "cgroup.procs"), "w") as file:
        file.write(str(pid))
    assert isinstance(group, Cgroup) and group.processes() == [pid]
    kill_all(group)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
