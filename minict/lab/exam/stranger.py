"""Part three of the exam: a container in an unknown state, and fifteen questions that only the kernel can answer."""

from __future__ import annotations

import random
import shutil
import tempfile
import time

import minict

from ..verdict import readable, tell
from . import questions
from .results import note

HOW_MANY = 15
_WORDS = "anchor basalt cedar dune ember fjord grove heron iris juniper kelp lagoon meadow nectar otter".split()
_CAPABILITIES = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_RAW SETFCAP".split()


class Stranger:
    """A running container, about which this notebook knows nothing but ``pid``, its process 1 as this machine counts.

    ``print(stranger)`` shows the fifteen questions, and ``stranger.check({1: "none", 2: 4096, …})`` judges answers.
    """

    part = "stranger"

    def __init__(self, seed: int):
        self.seed = seed
        chance = random.Random(f"stranger {seed}")
        chosen = set(chance.sample(range(len(questions.QUESTIONS)), HOW_MANY))
        self.questions = [each for number, each in enumerate(questions.QUESTIONS) if number in chosen]
        self.nap = chance.randrange(10000, 90000)
        self.directory = tempfile.mkdtemp(prefix="minict-exam-")
        self._zombies = chance.randrange(1, 4)
        command = _command(chance, self.nap, self._zombies)
        self._options = _options(chance, self.directory)
        self._box = minict.run("tiny", ["sh", "-c", command], detach=True, **self._options)
        self.pid = self._box.pid
        try:
            self._wait()
        except BaseException:
            self.end()
            raise

    def _wait(self) -> None:
        """Until its process 1 has become what it is to be, and all that was to end has ended."""
        end = time.monotonic() + 30
        while self._names() != {"sleep"} or len(questions.zombies(self.pid)) < self._zombies:
            if time.monotonic() > end:
                raise RuntimeError(f"the container does not come to its state: {self._box.logs()}")
            time.sleep(0.01)

    def _names(self) -> set[str]:
        return {questions.status(pid, "Name") for pid in questions.members(self.pid)}

    def end(self) -> None:
        """Stop and remove the container."""
        self._box.stop(timeout=0)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __repr__(self):
        return f"<a container, whose process 1 is {self.pid} out here; {len(self.questions)} questions about it>"

    def __str__(self):
        texts = (each.text.format(nap=self.nap) for each in self.questions)
        return "\n".join(readable(f"{number}. {text}") for number, text in enumerate(texts, 1))

    def check(self, answers: dict[int, object]) -> None:
        """Compare each answer, by the number of its question, with what the kernel shows now; record how many hold."""
        answers = _by_number(answers)
        if self._box.status != "running":
            tell("○ stranger: the container has ended. Start it again: stranger = paper.stranger()")
            return
        wrong, points = self.judge(answers)
        note(self.part, self.seed, points, len(self.questions))
        sign = "●" if points == len(self.questions) else "✗" if wrong else "○"
        missing = [str(number) for number in range(1, len(self.questions) + 1) if number not in answers]
        lines = [f"{sign} stranger: {points} of {len(self.questions)} answers are right.", *wrong]
        if missing:
            lines.append(f"Not answered yet: {', '.join(missing)}.")
        tell(readable("\n".join(lines)))

    def judge(self, answers: dict[int, object]) -> tuple[list[str], int]:
        """A sentence for each answer that does not hold, and the number of those that do."""
        wrong, points = [], 0
        for number in sorted(answers):
            if not 1 <= number <= len(self.questions):
                raise ValueError(f"there is no question {number}: there are 1 to {len(self.questions)}")
            question = self.questions[number - 1]
            try:
                holds = question.is_answered_by(answers[number], self)
                why = "the kernel shows something else"
            except (ValueError, TypeError) as error:
                holds, why = False, str(error)
            points += holds
            if not holds:
                wrong.append(f"Question {number}: {why}. Look at {question.place}.")
        return wrong, points


def _by_number(answers: object) -> dict[int, object]:
    """The *answers* that were given.  Raises :class:`ValueError`, with a sentence, for what are none."""
    if not isinstance(answers, dict):
        raise ValueError("answers are given by the number of their question: stranger.check({1: 'none', 2: 4096})")
    for number in answers:
        if not str(number).strip().isdecimal():
            raise ValueError(f"{number!r} is not the number of a question")
    return {int(number): answer for number, answer in answers.items() if answer not in (None, ..., "")}


def _options(chance: random.Random, directory: str) -> dict:
    """The options of ``minict.run`` for one state out of many."""
    target, mode = chance.choice(("/data", "/srv", "/mnt")), chance.choice(("rw", "ro"))
    options = {
        "network": chance.choice(("none", "host")),
        "hostname": chance.choice(_WORDS),
        "memory": f"{chance.randrange(40, 120)}m",
        "cpus": chance.choice((0.25, 0.3, 0.4, 0.6, 0.75)),
        "pids_limit": chance.randrange(20, 90),
        "user": str(chance.randrange(1000, 9000)) if chance.random() < 0.6 else "0",
        "volume": f"{directory}:{target}:{mode}",
        "read_only": chance.random() < 0.5,
        "cap_drop": chance.sample(_CAPABILITIES, chance.randrange(0, 6)),
        "security_opt": ["seccomp=unconfined"] if chance.random() < 0.4 else [],
        "tmpfs": "/tmp",
        "env": f"COLOUR={chance.choice(_WORDS)}",
        "oom_score_adj": chance.randrange(100, 900),
        "workdir": chance.choice(("/etc", "/tmp", "/usr", "/dev")),
    }
    for kind in ("ipc", "uts"):
        if chance.random() < 0.4:
            options[kind] = "host"
    if options.get("uts"):
        del options["hostname"]  # it is the host's, then
    return options


def _command(chance: random.Random, nap: int, zombies: int) -> str:
    """The script of its process 1: children, some of which end, a deleted file, signals to ignore; then it sleeps."""
    children = ["sleep 0 &"] * zombies + [
        f"sleep {number} &" for number in chance.sample(range(100000, 200000), chance.randrange(1, 5))
    ]
    chance.shuffle(children)
    children.insert(chance.randrange(len(children)), f"sleep {nap} &")
    signals = " ".join(chance.sample(["HUP", "INT", "USR1", "USR2"], chance.randrange(1, 4)))
    name = f"/tmp/{chance.choice(_WORDS)}"
    return f"trap '' {signals}; exec 7> {name}; rm {name}; {' '.join(children)} exec sleep 1000000"
