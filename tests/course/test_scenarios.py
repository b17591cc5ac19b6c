"""Every broken container, every flag and every challenge of the course, and the warm-up, the map and the record behind
them."""

from __future__ import annotations

import inspect
import os
import re
import sys

import pytest

import minict
import minict.lab
from minict.lab import course, recall, record
from minict.lab.challenge import challenges
from minict.lab.quiz import quizzes
from tests.support.notebook_kernel import Kernel

scenario, flag = sys.modules["minict.lab.scenario"], sys.modules["minict.lab.flag"]
exercise = sys.modules["minict.lab.exercise"]

SCENARIOS, FLAGS, CHALLENGES = scenario.scenarios(), flag.flags(), challenges()


@pytest.fixture
def own_record(monkeypatch, tmp_path):
    """A home with a record of its own, as outside of CI."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(record, "_here", {})
    return tmp_path


# ---- broken containers -------------------------------------------------------------------------------------------


@pytest.fixture
def broken(request, tiny):
    task = SCENARIOS[request.param]
    box = task.start()
    yield task, box
    task.end(box)


@pytest.mark.parametrize("broken", SCENARIOS, indirect=True)
def test_what_is_broken_fails_its_check_and_the_solution_repairs_it(broken):
    task, box = broken
    assert scenario.judge(task, box), "nothing is wrong with it"
    assert scenario.judge(task, box) == scenario.judge(task, box), "the words differ from look to look"
    task.solution(box)
    assert scenario.judge(task, box) == ""


@pytest.mark.parametrize("broken", ["shut-out"], indirect=True)  # its first container makes an image, which is told
def test_a_repair_is_right_at_the_first_look_too(broken):
    task, box = broken
    task.solution(box)
    assert scenario.judge(task, box) == ""


@pytest.mark.parametrize(
    "broken, name", [(id, name) for id, task in SCENARIOS.items() for name in task.wrong], indirect=["broken"]
)
def test_a_wrong_repair_is_refused_with_a_reason(broken, name):
    task, box = broken
    repair, phrase = task.wrong[name]
    repair(box)
    why = scenario.judge(task, box)
    assert phrase and phrase in why, why or "taken for right"


@pytest.mark.parametrize("id", SCENARIOS)
def test_the_form_of_a_scenario(id):
    task = SCENARIOS[id]
    assert len(task.wrong) >= 2 and 1 <= len(task.clues) <= 3 and task.symptom.endswith(".") and 2 <= task.minutes <= 20
    assert not any("box." in clue for clue in task.clues), "a clue names the variable that the notebook has"
    private = re.findall(r"(?<!\w)_[a-z]\w*", inspect.getsource(task.solution))
    assert not private, "a reader who sees the solution lacks these"


def test_in_a_notebook(tiny):
    with Kernel() as kernel:
        assert "not started yet" in kernel.run('check("crowded")')
        assert kernel.run('box = sad("crowded")').startswith("Nothing that ends in this container")
        assert "○ crowded: not repaired yet." in kernel.run('check("crowded")')
        for number in (1, 2, 3):
            assert f"Clue {number} of 3" in kernel.run('clue("crowded")')
        assert "def repair(box):" in kernel.run('clue("crowded")')
        kernel.run("from minict.lab.scenarios import ch03\nch03.repair(box)")
        assert kernel.run('check("crowded")') == "● crowded: repaired.\n"
        kernel.run('box = sad("crowded")')
        assert "repaired before" in kernel.run('check("crowded")')
        assert "there is no broken container 'x'" in kernel.run('sad("x")')
        assert "left no trace on the host" in kernel.run("leave_no_trace()"), "it ends the broken containers by itself"


# ---- flags -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", FLAGS)
def test_a_flag_is_reached_through_its_weakness_and_not_where_that_is_mended(id, tiny):
    game = FLAGS[id]
    for way, reached in ((game.solution, True), (game.closed, False)):
        start = flag._placed[id] = game.place("otter-lantern-42")
        try:
            assert (way(start).strip() == "otter-lantern-42") is reached
        except OSError:
            assert not reached
        finally:
            flag.remove(id)


def test_a_flag_in_a_notebook(tiny):
    with Kernel() as kernel:
        words = kernel.run('room = flag("04")')
        word = kernel.run("from minict.lab.flag import word\nprint(word('04'))").strip()
        assert 'capture("04"' in words and word not in words
        for guess in ('"otter"', "4711"):
            assert kernel.run(f'capture("04", {guess})') == "✗ flag 04: that is not the word.\n"
        found = kernel.run(
            '%%child\nroom.enter()\nos.mkdir("x"); os.chroot("x")\nfor _ in range(64): os.chdir("..")\n'
            'os.chroot(".")\nprint(open(room.file).read())'.replace("%%child\n", "%%child\nimport os\n")
        )
        assert kernel.run(f'capture("04", "{found.strip()}")') == "● flag 04: captured.\n"
        assert "left no trace on the host" in kernel.run("leave_no_trace()")


def test_a_room_that_has_ended_says_how_to_get_another(tiny):
    room = flag.flag("12-1")
    try:
        room.boxes[0].stop(timeout=0)
        with pytest.raises(minict.ContainerError, match=r"run the cell with its flag\(…\) again"):
            room.sh("id")
    finally:
        flag.remove("12-1")


@pytest.mark.parametrize("id", [id for id in FLAGS if id in ("04", "05")])  # the others have no enter()
def test_a_flags_room_does_not_swallow_the_notebook(id, tiny):
    with Kernel() as kernel:
        kernel.run(f'room = flag("{id}")')
        assert "enter() here would move the notebook itself" in kernel.run("room.enter()")
        assert kernel.run("import os\nos.path.exists('/proc/self/ns')") == "True\n"
        assert "left no trace on the host" in kernel.run("leave_no_trace()")


def test_the_rooms_of_a_closed_notebook_leave_nothing_on_the_host(tiny):
    """As when JupyterLab is closed before the last cell has run."""
    kernel = Kernel()
    kernel.client.shutdown_kernel = "graceful"
    with kernel:
        kernel.run('rooms = [flag("12-1"), flag("12-4"), flag("15"), sad("stale")]')
        found = kernel.run("print(*[room.directory for room in rooms])").split()
        assert len(found) == 4 and all(map(os.path.isdir, found))
    assert not any(map(os.path.exists, found))
    minict.prune()  # the containers themselves, which ended with their kernel


def test_the_word_differs_on_each_machine(own_record):
    first = flag.word("04")
    assert flag.word("04") == first
    record._here.clear()
    assert flag.word("04") == first, "this machine's stays"
    os.remove(record.path())
    record._here.clear()
    assert flag.word("04") != first


# ---- challenges --------------------------------------------------------------------------------------------------


def test_a_challenge_in_a_notebook():
    with Kernel() as kernel:
        kernel.run("""from minict.lab.challenge import Challenge
from minict.lab.feedback import Feedback
def check(double):
    if double(21) != 42:
        raise Feedback(f"double(21) returned {double(21)}, and not 42")
_ = Challenge("double", "Twice", name="double", minutes=2, difficulty=1, check=check, hints=["add", "multiply"],
              solution="def double(n): return 2 * n", wrong={"half": ("def double(n): return n / 2", "and not 42")})""")
        assert "○ double: not attempted yet" in kernel.run('challenge("double")')
        kernel.run("def double(n):\n    return n")
        assert "✗ double: double(21) returned 21, and not 42" in kernel.run('challenge("double")')
        assert "Hint 1 of 2" in kernel.run('hint("double")')
        kernel.run("def double(n):\n    return n + n")
        shown = kernel.cell('challenge("double")').outputs[0]
        assert (
            shown.data["text/plain"].startswith("● double: correct.")
            and "--jp-success-color1" in shown.data["text/html"]
        )


# ---- warm-up -----------------------------------------------------------------------------------------------------


def test_the_warm_up_without_a_record_is_always_the_same(monkeypatch):
    monkeypatch.setattr(record, "_here", {})
    for chapter in range(1, 21):
        places = recall.pick(chapter)
        assert places == recall.pick(chapter) and len(set(places)) == len(places) == 3
        assert all(int(quizzes()[quiz].chapter[2:]) < chapter for quiz, _ in places)
    assert recall.pick(0) == [] and "first chapter" in repr(recall.warm_up(0))


def test_missed_questions_come_first_and_the_oldest_next(own_record, monkeypatch):
    record.note("quizzes", "process/4", missed=True)
    record.note("quizzes", "namespaces/2", missed=False)
    record.note("quizzes", "pivot-root/1", missed=True)  # a later chapter's
    monkeypatch.setattr(recall.time, "time", lambda: record.section("quizzes")["namespaces/2"]["at"] + 7200)
    assert recall.pick(4)[:2] == [("process", 4), ("namespaces", 2)] and len(recall.pick(4)) == 3
    record.note("quizzes", "process/4", missed=False)
    assert recall.pick(4)[0] == ("namespaces", 2) or recall.pick(4)[0] == ("process", 4)


def test_what_was_answered_a_moment_ago_is_not_asked_again(own_record):
    count = len(quizzes()["process"].questions)
    for number in range(1, count + 1):
        record.note("quizzes", f"process/{number}", missed=False)
    assert {quiz for quiz, _ in recall.pick(2)} == {"what-is-a-container"}
    record.note("quizzes", "process/2", missed=True)
    assert recall.pick(2)[0] == ("process", 2)


def test_a_click_and_an_answer_are_remembered(own_record):
    quiz = sys.modules["minict.lab.quiz"]
    quiz._answered.clear()
    warm = recall.warm_up(2)
    box, (id, number) = quiz._buttons(warm), warm.place(1)
    wrong = next(place for place, option in enumerate(warm.questions[0].options) if not option.is_right)
    box.children[2 + wrong].click()
    assert record.section("quizzes")[f"{id}/{number}"]["missed"] is True
    assert recall.pick(3)[0] == (id, number)


# ---- the map and the record ----------------------------------------------------------------------------------------


def test_the_map_names_every_chapter_and_what_is_next(own_record):
    assert "Next: chapter 00, what is a container: begin to read" in str(course.course_map())
    course.open_chapter(1)
    record.note("exercises", "proc-1", source="def spawn(): pass")
    words = str(course.course_map())
    assert "◐ 01 a process of its own" in words and "Next: chapter 01, a process of its own: exercise proc-2, " in words
    page = course.course_map().page
    assert page.count("docmanager:open") == len(course.chapters()) + 1 and "locked" not in page.replace(
        "locked-out", ""
    )
    assert repr(course.course_map()) == "[The course map: every chapter, what is done in it, and where to go on]"
    assert "● exercise  proc-1" in str(course.progress())


def test_the_record_survives_a_notebook_and_two_at_once(own_record):
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            record.note("exercises", f"some-{number}", source="def f(): pass")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert len(record.section("exercises")) == 8


def test_a_damaged_record_is_ignored_and_the_first_format_is_read(own_record):
    os.makedirs(own_record / ".minict")
    (own_record / ".minict/progress.json").write_text('{"pivot-1": "def pivot_root(): pass"}')
    assert exercise.my_sources() == {"pivot-1": "def pivot_root(): pass"}
    (own_record / ".minict/progress.json").write_text("{")
    assert record.section("exercises") == {}


def test_ci_reads_and_writes_no_record(own_record, monkeypatch):
    monkeypatch.setenv("CI", "1")
    record.note("exercises", "pivot-1", source="def f(): pass")
    assert not os.path.exists(record.path()) and "pivot-1" in record.section("exercises")
