"""What notebooks show: the proof that nothing is left, pictures, quizzes, sources; and how long loading the lab
takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from minict.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWUTS, setns, unshare
from minict.lab import figures, host
from minict.lab.quiz import Question, quizzes, right, wrong
from minict.runtime import cgroup, paths, rootfs
from tests.support.notebook_kernel import Kernel
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def kernel(tiny):
    with Kernel() as kernel:
        yield kernel


def test_the_lab_is_there_at_once_and_without_a_word():
    with Kernel(hello=None) as kernel:
        assert kernel.run("from minict.lab import *") == ""
        assert (
            kernel.run("import sys; sorted({'matplotlib', 'numpy', 'pyroute2', 'urllib3'} & set(sys.modules))")
            == "[]\n"
        ), "what takes long"


def test_the_lab_outside_of_a_notebook():
    assert (
        subprocess.run([sys.executable, "-c", "from minict.lab import *"], cwd=ROOT, capture_output=True).stdout == b""
    )


# ---- host ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "do, undo, words",
    [
        ("mount -t tmpfs none {run}", "umount {run}", "mounts: new: tmpfs on {run}"),
        ("ip link add trace0 type bridge", "ip link del trace0", "network links: new: trace0"),
        ("nft add table inet trace", "nft delete table inet trace", "firewall rules: new: table inet trace"),
        (
            "mkdir -p {data}/containers/left",
            "rm -r {data}/containers",
            "files of containers: new: {data}/containers/left",
        ),
        ("echo > {run}/state.json", "rm {run}/state.json", "files of containers: new: {run}/state.json"),
    ],
)
def test_what_changes_is_named(do, undo, words):
    place = {"run": paths.run_root(), "data": paths.data_root()}
    before = host.snapshot()
    subprocess.run(do.format(**place), shell=True, check=True, stdout=subprocess.DEVNULL)
    found = host.difference(before, host.snapshot())
    subprocess.run(undo.format(**place), shell=True, check=True)
    assert any(sentence.startswith(words.format(**place)) for sentence in found), found
    assert host.settle(before) == []


def test_a_control_group_is_named_and_one_that_is_frozen_goes():
    before = host.snapshot()
    group = cgroup.Cgroup(f"/{paths.cgroup_parent()}/trace")
    group.create()
    sleeper = subprocess.Popen(["sleep", "60"])
    directory = group.v2_directory() or next(iter(group.directories.values()))
    for each in {directory, *group.directories.values()}:
        with open(f"{each}/cgroup.procs", "w") as file:
            file.write(str(sleeper.pid))
    group.freeze()
    assert f"control groups: new: {directory}" in host.difference(before, host.snapshot())
    host.remove_cgroups([*group.directories.values(), directory])
    assert sleeper.wait(5) == -9
    assert host.settle(before) == []


def test_an_orphan_still_counts():
    """It is no longer a descendant of the notebook, but it has inherited a mark."""
    before = host.snapshot()
    os.environ["MINICT_STARTED_BY"] = str(os.getpid())
    process = subprocess.run("setsid sleep 61 > /dev/null 2>&1 & echo $!", shell=True, capture_output=True, text=True)
    del os.environ["MINICT_STARTED_BY"]
    assert any("sleep 61" in sentence for sentence in host.difference(before, host.snapshot()))
    os.kill(int(process.stdout), 9)


def test_no_trace_in_a_notebook(kernel):
    assert "This notebook left no trace on the host." in kernel.run("leave_no_trace()")
    kernel.run("import subprocess; sleeper = subprocess.Popen(['sleep', '62'])")
    kernel.run("import sys; sys.modules['minict.lab.trace']._PATIENCE = 0.1")
    words = kernel.run("leave_no_trace()")
    assert "processes            CHANGED" in words and "sleep 62: os.kill(" in words
    kernel.run("sleeper.kill(); sleeper.wait()")
    assert "left no trace" in kernel.run("leave_no_trace()")


@pytest.fixture
def quick(tiny):
    with Kernel() as kernel:
        kernel.run("import sys, os, minict; sys.modules['minict.lab.trace']._PATIENCE = 0.2")
        yield kernel
        kernel.run(
            "for each in minict.containers(): each.remove(force=True)\nfrom minict.engine.system.prune import prune; "
            "prune()"
        )
        assert "left no trace" in kernel.run("leave_no_trace()")


def test_a_container_is_one_line_with_the_command_that_removes_it(quick):
    quick.run("box = minict.run('tiny', 'sleep 50', name='web', detach=True)")
    quick.run("!minict-not-there; true")
    lines = [line.strip() for line in quick.run("leave_no_trace()").splitlines() if line.startswith(" ")]
    assert lines == ["web of tiny still runs: minict rm -f web"]
    quick.run("box.stop(timeout=0)")
    lines = [line.strip() for line in quick.run("leave_no_trace()").splitlines() if line.startswith(" ")]
    assert lines == ["the bridge of the containers' network, and its firewall rules: minict prune"]


def test_another_notebooks_things_do_not_count(quick):
    with Kernel() as other:
        other.run("import minict; box = minict.run('tiny', 'sleep 50', detach=True, name='theirs')")
        assert "left no trace" in quick.run("leave_no_trace()")
        assert "theirs of tiny still runs" in other.run("leave_no_trace()")
        other.run("box.stop(timeout=0)")


def test_a_vanished_thing_is_not_a_trace(tiny):
    import minict

    with minict.run("tiny", "sleep 50", detach=True, network="none") as box, Kernel() as kernel:
        box.stop(timeout=0)
        assert "left no trace" in kernel.run("leave_no_trace()")


@pytest.mark.parametrize(
    "do, undo, words",
    [
        ("import tempfile; room = tempfile.mkdtemp(prefix='room-')", "os.rmdir(room)", "temporary directories CHANGED"),
        (
            "from minict.kernel import mount as k; call = k.mount.__wrapped__; call(None, '/', None, k.MS_SHARED)",
            "call(None, '/', None, k.MS_PRIVATE)",
            "/ is shared now, and was private: mount --make-private /",
        ),
    ],
)
def test_propagation_and_temporary_directories_are_looked_at(quick, do, undo, words):
    quick.run(do)
    assert words in quick.run("leave_no_trace()")
    quick.run(undo)
    assert "left no trace" in quick.run("leave_no_trace()")


def test_a_changed_host_name_is_a_trace():
    trace = sys.modules["minict.lab.trace"]
    before = trace.look()
    assert trace.traces(before, {**before, "name": "nobody"}) == {
        "host name": [f"nobody, and it was {before['name']}: hostname {before['name']}"]
    }


def test_an_interrupted_run_leaves_no_zombie(quick):
    quick.run(
        "import signal, threading\nthreading.Timer(1.0, signal.pthread_kill, [threading.main_thread().ident, "
        "signal.SIGINT])"
        ".start()\nminict.run('tiny', 'sleep 100', network='none')"
    )
    assert "left no trace" in quick.run("leave_no_trace()")


# ---- pictures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", range(20))
def test_each_chapter_has_its_place_on_the_map(chapter):
    picture = figures.runtime_map(chapter)
    assert picture.png.startswith(b"\x89PNG") and len(picture.png) < 250_000
    assert ("this chapter's part is" in repr(picture)) == (chapter > 0)


def test_pictures_have_words_that_do_not_change(kernel):
    kernel.run("import minict, os\nbox = minict.run('tiny', 'sleep 50', detach=True, network='none')")
    assert "its own uts, mnt, pid, net, ipc, cgroup" in kernel.run(
        "namespace_map({'this notebook': os.getpid(), 'box': box.pid})"
    )
    assert "below the first one sleep" in kernel.run("process_tree()")
    assert kernel.run("mount_tree(box.pid)") == "[Picture: what a process has mounted where, a row for each mount]\n"
    kernel.run("box.stop(timeout=0)")
    assert {"image/png", "text/plain"} == set(kernel.cell("process_tree()").outputs[0].data)


def test_the_maps_parts_are_links_and_what_is_solved_is_blue(kernel, monkeypatch):
    shown = kernel.cell("here = runtime_map(2)\nhere").outputs[0].data
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} == set(shown)
    page = kernel.run("print(here._page())")
    assert (
        page.count("<a ") >= 4
        and "aria-label='process: chapter 01, a process of its own'" in page
        and "docmanager:open" in page
    )
    from minict.lab import course, record

    monkeypatch.setattr(record, "_here", {})
    before = figures.runtime_map(5).png
    for id, task in sys.modules["minict.lab.exercise"].exercises().items():
        if task.chapter in ("ch01", "ch04"):
            record.note("exercises", id, source="def f(): pass")
    assert course.solved_chapters() == {1, 4} and figures.runtime_map(5).png != before


def test_a_moving_drawing_has_a_name_for_screen_readers():
    page = figures._card("<svg width='4' height='4'><rect/></svg>", "a <b>")
    assert "<svg width='4' height='4' role='img'><title>a &lt;b&gt;</title><rect/></svg>" in page


def test_no_letters_are_smaller_than_11_pixels():
    sheet = figures._Sheet(100, 100)
    sheet.text(10, 10, "small", 7)
    assert sheet.axes.texts[0].get_fontsize() / 0.72 >= 11


def test_a_slider_moves_a_drawing(kernel):
    shown = kernel.cell("moving = live(lambda n: f'<svg>{n * n}</svg>', 'side', range(5))\nmoving").outputs[0]
    assert shown.data["text/plain"] == "[A drawing with a slider: side]"
    kernel.run("row, page = moving.widget.children\nrow.children[0].value = 4")
    assert "16</svg>" in kernel.run("page.value")


def test_a_curve_grows_while_no_cell_runs(kernel):
    kernel.run(
        "import time\nbegin = time.monotonic()\ncurve = watch(lambda: time.monotonic() - begin, 'time', seconds=0.6, "
        "every=0.05)"
    )
    assert (
        kernel.run(
            "import asyncio\nawait asyncio.sleep(1)\nprint(curve.widget.value.count(',') > 5, curve.task.done())"
        )
        == "True True\n"
    )


def test_shared_namespaces_are_shown_in_words_and_colours():
    sleep = ["sleep", "60"]
    one = subprocess.Popen(sleep, preexec_fn=lambda: unshare(CLONE_NEWUTS | CLONE_NEWIPC))
    two = subprocess.Popen(
        sleep, preexec_fn=lambda: (unshare(CLONE_NEWIPC), setns(os.pidfd_open(one.pid), CLONE_NEWUTS))
    )
    try:
        words = repr(figures.namespace_map({"here": os.getpid(), "one": one.pid, "two": two.pid}))
        assert (
            words == "[Picture: here: the host's namespaces; one: its own uts, ipc; two: its own ipc and with one uts]"
        )
    finally:
        for process in (one, two):
            process.kill()
            process.wait()
    rooms = {"here": {"uts": "A", "ipc": "B"}, "one": {"uts": "C", "ipc": "D"}, "two": {"uts": "C", "ipc": "E"}}
    colours = figures._colours_of_rows(rooms, {"uts": "A", "ipc": "B"})
    assert colours["A"] == colours["B"] == figures.HOST and colours["C"] == colours["D"] != colours["E"] != figures.HOST


# ---- quizzes and sources -----------------------------------------------------------------------------------------


def test_a_quiz_is_text_and_buttons(kernel):
    data = kernel.cell('quiz("pivot-root")').outputs[0].data
    assert "1. A process calls" in data["text/plain"] and "application/vnd.jupyter.widget-view+json" in data


def test_a_click_says_why(kernel):
    kernel.run(
        'import minict.lab.quiz, sys\nq = sys.modules["minict.lab.quiz"]\nbox = q._buttons(q.find("pivot-root"))'
    )
    question = quizzes()["pivot-root"].questions[0]
    for place, option in enumerate(question.options):
        assert kernel.run(f"box.children[{2 + place}].click()") == ""
        words = kernel.run(
            f"print(box.children[{2 + len(question.options)}].value, box.children[{2 + place}].button_style)"
        )
        assert ("✓" in words, "success" in words) == (option.is_right, option.is_right)
        assert option.feedback.split("`")[0][:30] in words


def test_an_answer_that_is_typed(kernel):
    assert kernel.run('answer("pivot-root", 2, "c")').startswith("✓ ")
    assert kernel.run('answer("pivot-root", 2, "a")').startswith("✗ ")
    assert kernel.run('answer("pivot-root", "2", "c")').startswith("✓ ")
    assert "invalid question 'two': use its number" in kernel.run('answer("pivot-root", "two", "c")')
    assert "Which one?" in kernel.run("hint()")
    assert "has the questions 1 to" in kernel.run('answer("pivot-root", 99, "a")')
    assert "the answers are a, b, c" in kernel.run('answer("pivot-root", 2, "x")')
    assert "there is no quiz" in kernel.run('quiz("nothing")')


def test_a_question_has_one_right_answer():
    with pytest.raises(ValueError, match="one answer must be right"):
        Question("?", wrong("a", "b"), wrong("c", "d"))
    with pytest.raises(ValueError, match="one answer must be right"):
        Question("?", right("a", "b"), right("c", "d"))


def test_source_is_the_packages_own(kernel):
    kernel.run("from minict.runtime import rootfs")
    words = kernel.run("source(rootfs.pivot_root)")
    assert words.startswith("# minict/runtime/rootfs.py\n\ndef pivot_root(") and 'k.umount2(".", k.MNT_DETACH)' in words
    kernel.run(
        "from minict.kernel import mount as k\nimport os\n@exercise('pivot-1')\ndef pivot_root(rootfs):\n    "
        "os.chdir(rootfs)\n"
        "    k.pivot_root('.', '.')\n    k.umount2('.', 2)\n    os.chdir('/')"
    )
    assert kernel.run("source(rootfs.pivot_root)") == words  # also when a learner's function is in its place
    assert (
        kernel.cell("source(rootfs.pivot_root)")
        .outputs[0]
        .data["text/markdown"]
        .startswith("[`minict/runtime/rootfs.py`](../minict/runtime/rootfs.py)\n\n```python\n")
    )
    assert "```python" in kernel.cell("source(rootfs.pivot_root)").outputs[0].data["text/markdown"]
    assert rootfs.pivot_root.__module__ == "minict.runtime.rootfs"


def test_what_a_killed_kernel_leaves_is_removed_by_the_next_one(tiny, tmp_path):
    """Directories of chapters 11, 15, 18 and 19, and a flag's file; but not what the learner keeps.  Ada's container ends,
    or the world of this test would name it."""
    kernel = Kernel()
    with kernel:
        kernel.run(f"""import os, tempfile
from minict.lab.ociruntime import MyRuntime, my_bundle, smallest
from minict.lab.ordinary import account
ada, runtime, bundle, room = account(), MyRuntime(), my_bundle(smallest(["true"])), flag("04")
with_cleanup, kept = tempfile.TemporaryDirectory(prefix="shop-"), tempfile.mkdtemp(dir="{tmp_path}")
ada.sh("minict run -d --network none tiny sleep 4711 > id")""")
        words = "ada.directory, runtime.directory, bundle, room.directory, with_cleanup.name"
        made = kernel.run(f"print({words}, kept)").split()
        assert len(made) == 6 and all(map(os.path.isdir, made)), made
        made += kernel.run(
            "from minict.runtime import paths\nprint(f'{paths.run_root()}/flags/04-{os.getpid()}')"
        ).split()
        assert os.path.exists(made[-1]) and kernel.run("print(ada.says('minict ps -q'))").strip()
        with Kernel() as other:
            assert "left no trace" in other.run("leave_no_trace()")
            assert all(map(os.path.exists, made)), "they belong to a kernel that is alive"
            os.kill(pid := int(kernel.run("os.getpid()")), 9)
            while host.Process(pid).state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1:
                time.sleep(0.01)  # the last thread closes its files
            assert "left no trace" in other.run("leave_no_trace()")
    assert [os.path.exists(path) for path in made] == [False] * 5 + [True, False]
    notes = [open(entry).read() for entry in os.scandir(f"{paths.data_root()}/lab")]
    assert not any(made[0] in each for each in notes), "those of this file's other kernel stay"
