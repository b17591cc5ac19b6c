"""Chapter 19: a night job that can only ever run once."""

from __future__ import annotations

import os
import shutil

from ..feedback import Feedback
from ..host import cgroup_trees, remove_cgroups
from ..ociruntime import Bundle, MyRuntime, smallest
from ..scenario import Scenario

_ID = "night-job"


class Office:
    """A job that an engine of three lines runs every night: ``calls`` are its calls of the OCI command line."""

    def __init__(self):
        self.runtime, self.bundle = MyRuntime(with_answers=False), Bundle(smallest(["echo", "backup done"]))
        self.calls = ["create", "start"]
        self.night()

    def __repr__(self):
        return f"an office whose engine calls {', '.join(self.calls)} for {_ID} every night"

    def oci(self, line: str):
        """One call of the OCI command line, such as ``oci("list")``."""
        return self.runtime(line)

    def night(self) -> str:
        """One night: make the engine's calls, and wait for the job's end; what the job says, or the error of a call."""
        said = ""
        for call in self.calls:
            words = [word for word in call.split() if word != _ID]  # with or without the name
            bundle = ["--bundle", str(self.bundle)] if words[0] in ("create", "run") and "--bundle" not in words else []
            done = self.oci(" ".join([*words, *bundle, _ID]))
            if done.status:
                return done.output.strip()
            if words[0] in ("start", "run"):  # run has waited for the end, and deleted the container
                said = (self.runtime.wait(_ID) if words[0] == "start" else self.runtime.output()).strip()
        return said

    @property
    def group(self) -> list[str]:
        """The job's control groups, as long as there are some."""
        places = [f"{tree}/{os.path.basename(str(self.bundle))}" for tree in cgroup_trees()]
        return [place for place in places if os.path.isdir(place)]


def start():
    """The office on the second day: last night's container has stopped, and is still there."""
    return Office()


def end(office) -> None:
    """Close it."""
    office.runtime.close()
    office.bundle.remove()
    remove_cgroups(office.group)  # of a container whose state was removed by hand


def check(office) -> None:
    """Two nights must go well, and in the morning nothing may be left of them."""
    for number in ("Tonight", "The night after"):
        said = office.night()
        if said != "backup done":
            again = " One night went well: repair it for good." if number != "Tonight" else ""
            raise Feedback(f"{number} the job says: {said!r}.{again}")
        left = office.oci("list --quiet").output.split()
        if left or office.group:
            what = f"the container {left[0]}" if left else f"the control group {office.group[0]}"
            raise Feedback(f"{number} the job ran, and in the morning {what} is still there. Repair it for good.")


def repair(office):
    """Every life cycle ends with delete: for the container of last night, and from now on each night."""
    office.oci("delete night-job")
    office.calls = ["create", "start", "delete"]


def _once(office):
    office.oci(f"delete {_ID}")


def _by_hand(office):
    shutil.rmtree(f"{office.runtime.directory}/state/containers/{_ID}")


def _kill(office):
    office.oci(f"kill {_ID} KILL")


def _start_only(office):
    office.calls = ["start"]


Scenario(
    "night",
    "Every night a job runs in a container. Last night it went well, and tonight it does not even start.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        'night.night() shows what happens tonight, night.oci("list") the containers. What is the state of that one?',
        "A container that has stopped still has its name, its directory of state and its control group. Which step of "
        "the life cycle releases them?",
        'night.oci("delete night-job") for last night. And which call is missing in night.calls?',
    ],
    solution=repair,
    wrong={
        "deletes it once": (_once, "is still there"),
        "removes the state by hand": (_by_hand, "is still there"),
        "kills it": (_kill, "exists already"),
        "starts it again": (_start_only, "only a created one"),
    },
    end=end,
)
