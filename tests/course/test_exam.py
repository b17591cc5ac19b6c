"""The final exam: untouched it says clearly what is missing, what is right passes, what is wrong fails with a reason."""

from __future__ import annotations

import ast
import os

import pytest

import minict
from minict.lab import record, witnesses
from minict.lab.assembly import assemble
from minict.lab.exam import certificate, exam
from minict.lab.exam.bodies import GROUPS, Bodies
from minict.lab.exam.faults import FAULTS, HOW_MANY, choose, plant, whole
from minict.lab.exam.questions import QUESTIONS, members, read
from minict.lab.exam.repair import Repair
from minict.lab.exam.results import PARTS, note, own_number
from minict.lab.exam.stranger import HOW_MANY as QUESTIONS_ASKED
from minict.lab.exam.stranger import Stranger
from minict.lab.exercise import exercises

SEED = 10  # the notebook's, where CI is set


@pytest.fixture
def own_record(monkeypatch, tmp_path):
    """A home with a record of its own, as outside of CI."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(record, "_here", {})
    return tmp_path


@pytest.fixture
def paper(monkeypatch):
    """Make a paper, and remove its file afterwards."""
    made = []

    def make(kind, seed=SEED):
        made.append(kind(seed))
        return made[-1]

    yield make
    for each in made:
        each.remove()


# ---- the forty faults ------------------------------------------------------------------------------------------------


def test_there_are_forty_and_each_changes_one_place():
    text = whole()
    tree = ast.dump(ast.parse(text))
    assert len(FAULTS) == len({fault.name for fault in FAULTS}) == len({fault.apply(text) for fault in FAULTS}) == 40
    for fault in FAULTS:
        assert fault.check in witnesses.CHECKS
        assert ast.dump(ast.parse(fault.apply(text))) != tree, fault
        with pytest.raises(ValueError, match="times in the file"):
            fault.apply(fault.apply(text).replace(fault.old, ""))


def test_every_exam_has_five_that_fit_together_and_not_always_the_same():
    chosen, text = [choose(seed) for seed in range(100)], whole()
    for faults in chosen:
        assert len({fault.check for fault in faults}) == len(faults) == HOW_MANY
        compile(plant(faults, text), "exam", "exec")
    assert {fault.name for faults in chosen for fault in faults} == {fault.name for fault in FAULTS}
    assert choose(3) == choose(3) != choose(4)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_is_found_by_its_check(fault, tiny):
    examination = witnesses.examine(fault.apply(whole()), [fault.check])
    assert examination.failed == [fault.check]
    assert len(examination[fault.check].split()) > 2, "the reason says nothing"


# ---- part one --------------------------------------------------------------------------------------------------------


def test_faults_untouched_and_half_repaired(paper, tiny, capsys, monkeypatch):
    repair = paper(Repair)
    repair.check()
    told = capsys.readouterr().out
    # one fault is seen by two
    assert told.startswith("○ faults: nothing is changed yet. 6 of 12 checks fall:")
    assert all(f"The check {fault.check!r} says:" in told for fault in repair.faults)
    assert not any(fault.new in told or fault.name in told for fault in repair.faults)
    assert (
        "One fault can make several checks fall" in told
        and "says: \n" not in told
        and ":\n  The check" not in told[99:]
    )
    first = repair.faults[0]
    repair.replace(first.new, first.old)
    assert capsys.readouterr().out.startswith("line ")
    monkeypatch.setattr(witnesses, "CHECKS", {fault.check: witnesses.CHECKS[fault.check] for fault in repair.faults})
    repair.check()
    told = capsys.readouterr().out
    assert told.startswith("✗ faults: 1 of 5 faults are repaired. 4 of 5 checks fall:")
    assert f"The check {first.check!r}" not in told


def test_a_repair_counts_also_while_another_fault_hides_it(paper, tiny, monkeypatch):
    named = {fault.name: fault for fault in FAULTS}
    hidden, hides = named["signals count down"], named["the old root stays"]
    monkeypatch.setattr("minict.lab.exam.faults.choose", lambda seed: [hidden, hides])
    repair = paper(Repair)
    repair.replace("os.chdir(rootfs)", "os.chdir('/nowhere')")
    falls = witnesses.Examination({"status": "it ended with 126", "root": "it ended with 126"})
    assert repair.points(falls) == 0
    repair.text = repair.start
    repair.replace(hidden.new, hidden.old)
    assert repair.points(falls) == 1, "the check of this fault falls because of the other one"
    repair.replace("os.chdir(rootfs)", "os.chdir('/nowhere')")
    assert repair.points(falls) == 0, "what the learner has spoiled is not a fault of the exam"


def test_what_many_checks_say_is_said_once_and_not_at_length(paper):
    repair, names = paper(Repair), list(witnesses.CHECKS)
    told = repair.report(
        witnesses.Examination(
            {
                **dict.fromkeys(names, ""),
                **{name: f"after {name}: mini_docker: pivot: busy:\n  umount2()" for name in names[:3]},
                names[3]: "left: " + " ".join(f"/sys/fs/cgroup/{number}" for number in range(99)),
                names[4]: "gave the status 0, not 7:",
            }
        ),
        3,
    )
    assert told.splitlines()[1:] == [
        f"The checks {names[0]!r}, {names[1]!r}, {names[2]!r} say: mini_docker: pivot: busy: umount2()",
        *told.splitlines()[2:3],
        f"The check {names[4]!r} says: gave the status 0, not 7",
        "One fault can make several checks fall, and hide another fault.",
    ]
    assert len(told.splitlines()[2]) < 350 and " … " in told


def test_each_fault_can_be_taken_back_alone(paper, monkeypatch):
    text = whole()
    monkeypatch.setattr("minict.lab.exam.faults.whole", lambda: text)
    for fault in FAULTS:
        monkeypatch.setattr("minict.lab.exam.faults.choose", lambda seed, only=fault: [only])
        repair = paper(Repair)
        assert repair._without(fault, repair.text) == f"# exam {SEED}\n{text}", fault
        assert repair._without(fault, "nothing of it") == "nothing of it"


def test_the_file_can_be_looked_at_and_edited_from_the_notebook(paper, capsys):
    repair = paper(Repair)

    def shown(name=""):
        repair.show(name)
        return capsys.readouterr().out

    assert shown("exit_status").startswith("def exit_status(status):")
    assert shown("Group").startswith("class Group:") and shown("Group.join") == shown("join") != shown("Group")
    assert "RESOLVE_IN_ROOT" in shown("RESOLVE_IN_ROOT") and "MS_BIND" in shown("k")
    assert shown("exit_statu") == "there is no exit_statu in the file; it has exit_status\n"
    assert "exit_status" in shown() and "Group.join" not in shown()
    line = next(n for n, text in enumerate(repair.text.splitlines(), 1) if text.startswith("def exit_status("))
    repair.replace("def exit_status(status):", "def exit_status(status):\n    'mine'")
    assert capsys.readouterr().out.startswith(f"line {line}: def exit_status(status):")
    for text, words in (("nowhere at all", "is not in the file"), ("def ", "times: add some of what stands")):
        with pytest.raises(ValueError, match=words):
            repair.replace(text, "")
    repair.text = "def main(:\n    pass\n"
    assert shown("main") == "the file is not Python any more: invalid syntax, line 1:\ndef main(:\n    pass\n"


def test_faults_repaired_and_spoiled(paper, tiny, capsys):
    repair = paper(Repair)
    for fault in repair.faults:
        repair.replace(fault.new, fault.old)
    assert repair.text == f"# exam {SEED}\n{whole()}" and capsys.readouterr().out.count("line ") >= HOW_MANY
    repair.check()
    assert capsys.readouterr().out == "● faults: all 5 are repaired, and all 12 checks pass.\n"
    repair.text = "def main(:\n"
    repair.check()
    told = capsys.readouterr().out
    assert told.startswith("✗ faults: the file is not Python any more: ") and "line 1" in told


def test_the_file_is_kept_as_the_learner_has_left_it_until_they_start_again(paper, own_record, capsys):
    repair = paper(Repair, 7)
    repair.text += "# mine\n"
    assert paper(Repair, 7).text.endswith("# mine\n") and not repair.is_untouched
    own = paper(Repair, own_number())
    own.text += "# my own\n"
    assert paper(Repair, 8).is_untouched and paper(Repair, own.seed).text.endswith("# my own\n")
    repair.start_again()
    assert paper(Repair, 7).is_untouched
    repair.remove()
    repair.check()
    assert "exam_faults_7.py: the file is gone" in capsys.readouterr().out
    assert paper(Repair, 8).text.startswith("# exam 8\n")


def test_the_files_lie_beside_the_learners_notebooks_and_stay_there(own_record, monkeypatch):
    monkeypatch.setenv("MINICT_WORK", str(own_record))
    elsewhere, kept = exam(7), exam()
    left = elsewhere.faults().path
    monkeypatch.chdir(own_record)
    papers = [kept.faults(), kept.bodies()]
    assert [each.path for each in papers] == [f"{own_record}/exam_faults.py", f"{own_record}/exam_bodies.py"]
    elsewhere.end(), kept.end()
    assert not os.path.exists(left) and all(os.path.exists(each.path) for each in papers)


# ---- part two --------------------------------------------------------------------------------------------------------


def test_bodies_untouched_wrong_and_right(paper, tiny, capsys, monkeypatch):
    bodies, parts = paper(Bodies), assemble({}).parts
    names = [parts[id].name for id in bodies.ids]
    bodies.check()
    told = capsys.readouterr().out
    assert told.startswith("○ bodies: 0 of 6 functions are right.")
    assert all(f"{name}(): its body is still empty." in " ".join(told.split()) for name in names)
    program = bodies.text
    for id in bodies.ids:
        bodies.text = program.replace("    ...\n", "    return 42\n")
        state, why = bodies.judge(id)
        assert state == "failing" and why
        bodies.text = program.replace(f"def {parts[id].name}(", "def another(")
        assert bodies.judge(id) == ("failing", f"the file has no function {parts[id].name}() any more.")
    bodies.text = next(fault for fault in FAULTS if fault.name == "zero is null").apply(whole())
    with monkeypatch.context() as patch:
        patch.setattr(witnesses, "CHECKS", {"places": witnesses.CHECKS["places"]})
        bodies.check()
    told = capsys.readouterr().out
    assert told.startswith("✗ bodies: 6 of 6 functions") and "in the file, these checks fall: places." in told
    bodies.text = whole()
    bodies.check()
    told = capsys.readouterr().out
    assert told.startswith("● bodies: 6 of 6 functions are right.") and "The file works: all 12 checks pass." in told
    bodies.text = "def main(:\n"
    assert "the file is not Python: " in bodies.judge(bodies.ids[0])[1]
    bodies.check()
    assert capsys.readouterr().out.startswith("✗ bodies: the file is not Python any more: ")


def test_an_answer_may_use_what_the_file_defines(paper, tiny):
    bodies = paper(Bodies)
    own = "def read_flat_keyed(path):\n    if not os.path.exists(path): return {}\n"
    own += "    return {name: int(number) for name, number in map(str.split, read(path).splitlines())}\n"
    bodies.text = own
    assert bodies.judge("cgroups-1") == ("mine", "")
    bodies.text = "def reap(pid=nobody):\n    return 1\n"
    assert bodies.judge("init-1") == ("failing", "Python can't define it: NameError: name 'nobody' is not defined")


@pytest.mark.parametrize("id", [id for group in GROUPS for id in group])
def test_the_courses_own_function_is_right_and_an_empty_one_is_not(id, paper, monkeypatch, tiny):
    monkeypatch.setattr("minict.lab.exam.bodies.choose", lambda seed: [id])
    bodies = paper(Bodies)
    assert bodies.judge(id) == ("todo", "")
    bodies.text = whole()
    assert bodies.judge(id) == ("mine", "")


# ---- part three ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(request, tiny):
    made = Stranger(request.param)
    yield made
    made.end()
    made.check({1: "none"})
    assert not os.path.exists(made.directory)


def answers(stranger) -> dict[int, object]:
    """What the kernel shows, as a learner would type it."""
    words = {True: "yes", False: "no"}
    found = [question.look(stranger) for question in stranger.questions]
    return {
        number: words[value]
        if isinstance(value, bool)
        else ", ".join(value) or "none"
        if isinstance(value, set)
        else value
        for number, value in enumerate(found, 1)
    }


@pytest.mark.parametrize("stranger", [SEED, 1, 5], indirect=True)
def test_fifteen_questions_unanswered_wrong_and_right(stranger, capsys):
    assert len(stranger.questions) == QUESTIONS_ASKED == str(stranger).count("?")
    stranger.check({})
    assert capsys.readouterr().out.startswith("○ stranger: 0 of 15 answers are right.\n  Not answered yet: 1, 2,")
    right = answers(stranger)
    stranger.check(right)
    assert capsys.readouterr().out == "● stranger: 15 of 15 answers are right.\n"
    for number, value in right.items():
        wrong = {"yes": "no", "no": "yes"}.get(value, "time" if isinstance(value, str) else value + 1)
        if value in ("yes", "no"):
            assert stranger.judge({number: wrong})[1] == 0
        told, points = stranger.judge({**right, number: wrong})
        assert points == 14 and told[0].startswith(f"Question {number}: the kernel shows something else. Look at ")
    stranger.check({1: "", 2: None, 3: ...})
    assert "Not answered yet: 1, 2, 3, 4" in capsys.readouterr().out
    for nonsense, words in (
        ({16: 1}, "there is no question 16"),
        ({"two": 1}, "'two' is not the number of a question"),
        ([1, 2], "by the number of their question"),
    ):
        with pytest.raises(ValueError, match=words):
            stranger.check(nonsense)


@pytest.mark.parametrize("stranger", [2, 3, 4, 6], indirect=True)
def test_the_kernel_shows_what_was_asked_for(stranger):
    options = stranger._options
    shown = {question.text.partition("?")[0]: question.look(stranger) for question in QUESTIONS}
    for text, wanted in {
        "How many bytes of memory may it use": int(options["memory"][:-1]) << 20,
        "How many processes may it have at the same time": options["pids_limit"],
        "How much of a processor may it use": options["cpus"],
        "Which host name does it see": options.get("hostname", os.uname().nodename),
        "One directory of the host is mounted in it as a volume. At which path": options["volume"].split(":")[1],
        "Is that volume mounted read-only": options["volume"].endswith(":ro"),
        "Is its root file system mounted read-only": options["read_only"],
        "Which user id does its process 1 have": int(options["user"]),
        "How many capabilities are in its bounding set": 14 - len(options["cap_drop"]),
        "How many filters judge its system calls": 0 if options["security_opt"] else 1,
        "What does its environment say that COLOUR is": options["env"].partition("=")[2],
        "In which directory does its process 1 work": options["workdir"],
        "Which process is the parent of its process 1": os.getpid(),
    }.items():
        assert shown[text] == wanted, text
    host = {
        kind
        for kind, option in (("network", "network"), ("ipc", "ipc"), ("uts", "uts"))
        if options.get(option) == "host"
    }
    assert next(iter(shown.values())) == host
    with minict.run("tiny", "sleep 1000", network="none", detach=True):  # of another container, nothing is counted
        assert shown["How many processes are in it, zombies counted"] == len(members(stranger.pid))


def test_an_answer_is_read_as_it_is_typed_and_nonsense_is_refused_in_words():
    assert read(set, "mnt, net uts") == read(set, ["mount", "network", "UTS"]) == {"mount", "network", "uts"}
    assert read(set, "SIGINT hup") == {"int", "hup"} and read(set, "none") == set()
    assert read(bool, "Yes") is read(bool, True) is True and read(bool, "no") is False
    assert read(set, "ipc and uts") == {"ipc", "uts"} and read(int, 3.0) == 3 and read(int, "3.5") != 3
    assert read(int, " 42 ") == 42 and read(float, "0.50") == 0.5 and read(str, " /data ") == "/data"
    assert read(str, "/tmp/oak (deleted)") == "/tmp/oak" and read(str, "/srv/") == "/srv" and read(str, "/") == "/"
    assert read(str, "COLOUR=oak") == "oak"
    for kind, answer, words in ((int, "64m", "not a number"), (bool, "rw", "neither 'yes'"), (set, 3, "not a text")):
        with pytest.raises(ValueError, match=words):
            read(kind, answer)


# ---- the number, and the certificate ---------------------------------------------------------------------------------


def test_the_number_is_drawn_once_for_each_learner_and_fixed_where_ci_is_set(own_record, monkeypatch):
    number = exam().seed
    assert exam().seed == number and exam(7).seed == 7
    monkeypatch.setenv("CI", "1")
    assert exam().seed == SEED


def test_the_certificate_says_what_was_reached_and_nothing_of_time(own_record):
    assert "white belt, chapters 00 to 05: not yet (0 of " in str(certificate("Ada"))
    assert "What Ada Lovelace has done on this machine:\n" in str(certificate("Ada\nLovelace"))
    page = certificate("<b>").page
    assert "<h2>Containers" in page and "<ul><li>white belt" in page and page.count("<ul>") == 2 and "<b>" not in page
    note("faults", 7, 5, 5), note("faults", 7, 2, 5), note("bodies", 7, 3, 6), note("stranger", 7, 10, 15)
    for id, task in exercises().items():
        if int(task.chapter[2:]) < 11:
            record.note("exercises", id, source="")
    text = str(certificate("Ada"))
    for words in (
        "What Ada has done",
        "white belt, chapters 00 to 05: earned",
        "green belt, chapters 06 to 10: earned",
        "faults repaired: 5 of 5 (exam 7)",
        "functions written from memory: 3 of 6 (exam 7)",
        "questions answered by looking: 10 of 15 (exam 7)",
    ):
        assert words in text
    assert "brown belt, chapters 11 to 15: not yet (0 of" in text
    assert "black belt, chapters 16 to 19 and the exam: not yet (2 of" in text
    assert [part.is_passed for part in PARTS] == [True, False, True]
    with open(f"{own_record}/.minict/certificate.md", encoding="utf-8") as file:
        assert file.read() == text
    assert not any(word in text for word in ("minute", "hour", "202"))


def test_where_ci_is_set_no_certificate_is_written(own_record, monkeypatch):
    monkeypatch.setenv("CI", "1")
    certificate()
    assert not os.path.exists(f"{own_record}/.minict")
