"""Chapter 19's pictures: who lives when while an engine runs a container, what it hands over, how long each step takes.

:func:`relay` and :func:`stopwatch` draw what they have just measured, :func:`ancestors` the parents of running
containers, :func:`handed_over` and :func:`look_into` what is in bundles, and :func:`verdicts` what three runtimes say
of faulty ones.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import textwrap
import time

from minict.runtime.errors import ContainerError
from minict.runtime.state import begin_time

from . import host
from .engines import Ctr, Docker
from .figures import BUILT_EDGE, CARD, FAINT, HOST, HUES, INK, LIT, LIT_EDGE, MUTED, Picture, _Sheet
from .ociruntime import Bundle, Call, MyRuntime, plain_program
from .podman import Absent, Podman

_COLOURS = {"podman": HUES[0], "conmon": HUES[3], "minict-oci": LIT, "your program": HUES[2]}
_NAP = "0.6"  # seconds that the program of the relay takes
_TRIES = 6
_STEPS = {"create": HUES[0], "start": HUES[2], "delete": HUES[4]}


# ---- who lives when ------------------------------------------------------------------------------------------------


def relay(podman: Podman | Absent, runtime: MyRuntime) -> Relay:
    """Let Podman run a container in the background, and record from when to when each process lives."""
    if isinstance(podman, Absent):
        return Relay([])
    runtime.forget_calls()
    begin = time.monotonic_ns()
    done = podman(f"--runtime {runtime} run --detach --name relay tiny sleep {_NAP}")
    gone = time.monotonic_ns()
    if done.status:
        raise ContainerError(done.output.strip())
    bars = [("podman", "podman run --detach", begin, gone)]
    try:
        create, start = runtime.calls[:2]
        conmon_began = _began(create.caller_pid) or create.began
        bars += [("your program", "waits", create.ended, start.ended)]
        bars += [("your program", "sleep", start.ended, _end_of(create.pid))]
        bars += [("conmon", "conmon", conmon_began, _end_of(create.caller_pid))]
    finally:
        podman("rm --force --time 0 relay")
    first = {call.command: call for call in reversed(runtime.calls)}
    bars += [("minict-oci", name, first[name].began, first[name].ended) for name in _STEPS if name in first]
    return Relay([(lane, name, (start - begin) / 1e6, (end - begin) / 1e6) for lane, name, start, end in bars])


def _began(pid: int) -> int:
    """When the process *pid* began, on the monotonic clock, in nanoseconds; 0 when it has ended.

    Source: proc_pid_stat(5), starttime.
    """
    ticks = int(begin_time(pid) or 0)
    if not ticks:
        return 0
    asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return ticks * 10**9 // os.sysconf("SC_CLK_TCK") - asleep


def _end_of(pid: int) -> int:
    """Wait for the end of the process *pid*; when that was. Source: pidfd_open(2)."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return time.monotonic_ns()  # it has ended
    select.select([handle], [], [])
    os.close(handle)
    return time.monotonic_ns()


class Relay:
    """Who lived when: *bars* of (lane, name, begin and end in milliseconds). ``moments``: for a slider."""

    def __init__(self, bars: list[tuple[str, str, float, float]]):
        self.bars = bars
        self.end = max((end for *_, end in bars), default=1.0)
        self.moments = range(0, int(self.end) + 1, max(1, int(self.end / 60)))

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def draw(self, moment: int) -> str:
        """HTML: who lives at *moment*, for :func:`minict.lab.live`."""
        return self.picture(moment).as_html()

    def picture(self, moment: float | None = None) -> Picture:
        """The lanes; at *moment*, those who do not live then are pale."""
        sheet, left, right = _Sheet(920, 302), 150, 890
        unit = (right - left) / self.end
        for number, (lane, colour) in enumerate(_COLOURS.items()):
            y = 52 + 56 * number
            lives = any(each == lane and begin <= (moment or 0) < end for each, _, begin, end in self.bars)
            pale = moment is not None and not lives
            sheet.text(24, y + 17, lane, 12, MUTED if pale else INK, "bold")
            sheet.line([(left, y + 34), (right, y + 34)], HOST, 0.8)
            for _, name, begin, end in (each for each in self.bars if each[0] == lane):
                x, width = left + begin * unit, max(2.5, (end - begin) * unit)
                now = moment is None or begin <= moment < end
                waits = name == "waits"
                face = FAINT if waits or not now else colour
                sheet.box(
                    x, y, width, 32, face, colour if now else HOST, min(5, width / 2), 1.4, "--" if waits else "-"
                )
                if width > 7.5 * len(name) + 6:
                    ink = MUTED if waits or not now else CARD
                    sheet.text(x + width / 2, y + 16, name, 11, ink, "bold", "center")
                elif waits:
                    sheet.text(x - 6, y + 16, name, 11, MUTED, "bold", "right")
                elif x + width > right - 60:
                    sheet.text(x - 6, y + 16, name, 11, colour if now else MUTED, "bold", "right")
                else:
                    sheet.text(x + width + 6, y + 16, name, 11, colour if now else MUTED, "bold")
        self._axis(sheet, left, unit, moment)
        return sheet.picture(
            "who lives when: Podman has gone soon, minict-oci lives for a moment in create, start and delete, conmon "
            "and the program stay; between create and start the program is not there yet"
        )

    def _axis(self, sheet: _Sheet, left: float, unit: float, moment: float | None) -> None:
        step = next(each for each in (20, 50, 100, 200, 500, 1000, 5000, 10**6) if self.end / each <= 10)
        for place in range(0, int(self.end) + 1, step):
            sheet.text(left + place * unit, 286, f"{place} ms" if place else "0", 11, MUTED, align="center")
        if moment is None:
            return sheet.text(24, 28, "who lives when", 13, INK, "bold")
        alive = [lane for lane in _COLOURS if any(each == lane and b <= moment < e for each, _, b, e in self.bars)]
        sheet.line([(left + moment * unit, 44), (left + moment * unit, 272)], LIT_EDGE, 1.6)
        sheet.text(24, 28, f"after {moment} ms: {', '.join(alive) or 'nobody'}", 13, INK, "bold")


# ---- whose child a container is --------------------------------------------------------------------------------------


def ancestors(engines: dict[str, Podman | Ctr | Docker | Absent], name: str = "box") -> Picture:
    """The parents of the container *name* of each engine, up to the process 1 that has taken the orphans; and which
    daemons run beside."""
    table = host.process_table()
    chains = {title: _chain(table, engine.pid(name)) for title, engine in engines.items()}
    chains = {title: chain for title, chain in chains.items() if chain}
    sheet, width = _Sheet(920, 344), 868 / max(1, len(chains))
    for number, (title, chain) in enumerate(chains.items()):
        x, wide = 26 + width * number, width - 20
        sheet.text(x, 30, title, 13, INK, "bold")
        for level, (process, colour) in enumerate(zip(chain, (HOST, LIT, HUES[2]))):
            y = 52 + 62 * level
            if level:
                sheet.line([(x + 24, y - 24), (x + 24, y)], MUTED, 1.6)
            sheet.box(x, y, wide, 38, CARD, colour, 7, 1.8)
            sheet.text(x + 14, y + 19, _called(process), 12, INK, "bold", mono=True)
            sheet.text(x + wide - 12, y + 19, f"pid {process.pid}", 11, MUTED, align="right")
        beside = engines[title].daemons()
        if beside:
            sheet.box(x, 246, wide, 32, FAINT, MUTED, 7, 1.2, "--")
            sheet.text(x + 14, 262, f"beside them: {', '.join(beside)}", 11.5, INK)
        gone = [each for each in (_CLIENTS.get(title), "minict-oci") if each]
        sheet.text(x + 2, 306, f"ended: {', '.join(gone)}", 11.5, MUTED)
    told = ", ".join(f"{title}: {_called(chain[-2])}" for title, chain in chains.items())
    return sheet.picture(f"the parent of each container, and never a daemon: {told or 'no engine is here'}")


_CLIENTS = {"Podman": "podman", "containerd": "ctr", "Docker": "docker"}


def _chain(table: dict, pid: int) -> list[host.Process]:
    """The process *pid*, its parent, and that one's, from the oldest to the youngest; empty without a process."""
    chain: list[host.Process] = []
    while pid in table and len(chain) < 3:
        chain.insert(0, table[pid])
        pid = table[pid].parent
    return chain if len(chain) == 3 else []


def _called(process: host.Process) -> str:
    """Its name; and which one is the first of a pid namespace."""
    return "process 1" if host.numbers(process)[-1] == 1 and process.name != "sleep" else _whole_name(process)


def _whole_name(process: host.Process) -> str:
    """The name of its program: the kernel's has at most 15 letters. Source: proc_pid_comm(5)."""
    path = process.read("cmdline").split(b"\0")[0].decode(errors="replace")
    program = os.path.basename(path)
    return program if program.startswith(process.name) else process.name


# ---- what is handed over -------------------------------------------------------------------------------------------


def handed_over(specs: dict[str, dict | Call]) -> Picture:
    """What specifications say, side by side: a column for each of *specs*, a name and a config.json, or a call."""
    rows = [_summary((each.spec if isinstance(each, Call) else each) or {}) for each in specs.values()]
    titles = list(rows[0])
    sheet, left = _Sheet(920, 66 + 34 * len(titles)), 250
    width = (890 - left) / len(specs)
    for column, (name, row) in enumerate(zip(specs, rows)):
        x = left + width * (column + 0.5)
        sheet.text(x, 30, name, 12.5, INK, "bold", "center")
        for number, title in enumerate(titles):
            y = 50 + 34 * number
            sheet.box(x - width / 2 + 4, y, width - 8, 28, FAINT, BUILT_EDGE if row[title] else HOST, 5)
            told = "all" if title == "system calls allowed" and not row[title] else f"{row[title]:,}"
            sheet.text(x, y + 14, told, 12, INK if row[title] else MUTED, align="center")
    for number, title in enumerate(titles):
        sheet.text(24, 64 + 34 * number, title, 12, INK)
    return sheet.picture(f"what specifications contain, counted: {', '.join(specs)}")


def look_into(bundles: dict[str, Call]) -> Picture:
    """What differs between the bundles of engines: a column for each of *bundles*, a name and the call."""
    left = 168
    width = (904 - left) / max(1, len(bundles))
    letters = int((width - 14) / 7.1)
    table = {
        name: {title: _wrapped(text, letters) for title, text in _facts(call).items()} for name, call in bundles.items()
    }
    titles = list(next(iter(table.values()), {}))
    heights = [16 + 14 * max(len(row[title]) for row in table.values()) for title in titles]
    sheet = _Sheet(920, 62 + sum(heights) + 6 * len(titles))
    for column, name in enumerate(table):
        sheet.text(left + width * (column + 0.5), 28, name, 12.5, INK, "bold", "center")
    y = 46.0
    for title, height in zip(titles, heights):
        sheet.text(24, y + height / 2, title, 12, INK)
        for column, row in enumerate(table.values()):
            x, lines = left + width * column, row[title]
            nothing = lines == ["none"]
            sheet.box(x + 3, y, width - 6, height, FAINT, HOST if nothing else BUILT_EDGE, 5)
            for number, line in enumerate(lines):
                place = y + height / 2 + 14 * (number - (len(lines) - 1) / 2)
                sheet.text(x + 10, place, line, 11, MUTED if nothing else INK, mono=True)
        y += height + 6
    return sheet.picture(f"what the bundles of {', '.join(bundles) or 'no engine'} contain, side by side")


def _facts(call: Call) -> dict[str, str]:
    """What is worth a comparison in the bundle of a *call*. Long names and numbers are shortened."""
    spec = call.spec or {}
    linux, hooks = spec.get("linux") or {}, spec.get("hooks") or {}
    asked = [f"{kind}: {' '.join([hook['path'], *hook.get('args', [])[:1]])}" for kind in hooks for hook in hooks[kind]]
    notes = spec.get("annotations") or {}
    facts = {
        "called by": call.caller,
        "the bundle": call.bundle,
        "beside config.json": ", ".join(each for each in call.files if each != "config.json"),
        "root.path": (spec.get("root") or {}).get("path", ""),
        "cgroupsPath": linux.get("cgroupsPath", ""),
        "new namespaces": ", ".join(each["type"] for each in linux.get("namespaces") or [] if not each.get("path")),
        "hooks": ", ".join(asked),
        "annotations": f"{len(notes)}, such as {next(iter(notes))}" if notes else "",
    }
    return {title: _short_names(text) or "none" for title, text in facts.items()}


def _short_names(text: str) -> str:
    """Without the digits of ids and of the lab's directories; only the end of a long path."""
    text = re.sub(r"[0-9a-f]{12,}", "ID", text)
    text = re.sub(r"(minict-daemons|minict-test|libpod)-\w+", r"\1-…", text)
    return re.sub(r"/\S+?((?:/[^/\s,]+){3})(?=$|,|\s)", r"…\1", text)


def _wrapped(text: str, letters: int, most: int = 4) -> list[str]:
    """*text* in at most *most* lines of *letters* letters."""
    lines = textwrap.wrap(text, letters, break_on_hyphens=False)
    if len(lines) > most:
        lines[most - 1 :] = [textwrap.shorten(" ".join(lines[most - 1 :]), letters, placeholder=" …")]
    return lines


def _summary(spec: dict) -> dict[str, int]:
    """How much of what is in a specification."""
    linux, process = spec.get("linux") or {}, spec.get("process") or {}
    seccomp = linux.get("seccomp") or {}
    allowed = {
        name
        for rule in seccomp.get("syscalls") or []
        if rule.get("action") == "SCMP_ACT_ALLOW"
        for name in rule.get("names", [])
    }
    capabilities = process.get("capabilities") or {}
    return {
        "namespaces": len(linux.get("namespaces") or []),
        "mounts": len(spec.get("mounts") or []),
        "capabilities": len(capabilities.get("bounding") or []),
        "system calls allowed": len(allowed),
        "masked paths": len(linux.get("maskedPaths") or []),
        "environment variables": len(process.get("env") or []),
        "bytes in all": len(json.dumps(spec)),
    }


def run_by(name: str, bundle: Bundle, podman: Podman | Absent) -> str:
    """What the container of *bundle* prints when the runtime *name*, such as runc, runs it."""
    with tempfile.TemporaryDirectory(prefix="minict-run-") as place:
        words = _programs(place, podman).get(name)
        if words is None:
            return "is not on this machine"
        done = subprocess.run([*words, "run", "--bundle", str(bundle), "by-hand"], capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()


# ---- what is refused -----------------------------------------------------------------------------------------------

_MISTAKES = {
    "ociVersion 9.0.0": lambda spec: spec.update(ociVersion="9.0.0"),
    "no ociVersion": lambda spec: spec.pop("ociVersion"),
    "no root": lambda spec: spec.pop("root"),
    "no working directory": lambda spec: spec["process"].pop("cwd"),
    "an unknown capability, CAP_FLY": lambda spec: spec["process"].update(capabilities={"bounding": ["CAP_FLY"]}),
    'a memory limit of "64m"': lambda spec: spec["linux"].update(resources={"memory": {"limit": "64m"}}),
    "a memmory limit, misspelt": lambda spec: spec["linux"].update(resources={"memmory": {"limit": 1}}),
}


def verdicts(bundle: Bundle, podman: Podman | Absent) -> Picture:
    """Let each runtime of this machine run specifications with one mistake each: who refuses which?"""
    with open(f"{bundle}/config.json") as file:
        original = file.read()
    table: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="minict-verdicts-") as place:
        programs = _programs(place, podman)
        for mistake, make in _MISTAKES.items():
            spec = json.loads(original)
            make(spec)
            with open(f"{bundle}/config.json", "w") as file:
                json.dump(spec, file)
            table[mistake] = [_verdict(words, bundle) for words in programs.values()]
    with open(f"{bundle}/config.json", "w") as file:
        file.write(original)
    return _draw_verdicts(list(programs), table)


_VERDICTS = {"refuses it": HUES[2], "warns, and runs it": "#b45309", "runs it": "#475569"}


def _verdict(program: list[str], bundle: Bundle) -> str:
    words = [*program, "run", "--bundle", str(bundle), "verdict"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        return "refuses it"
    return "warns, and runs it" if b"warning" in done.stderr.lower() else "runs it"


def _draw_verdicts(names: list[str], table: dict[str, list[str]]) -> Picture:
    left, width = 330, 186
    sheet = _Sheet(left + width * len(names) + 24, 62 + 40 * len(table))
    for column, name in enumerate(names):
        sheet.text(left + width * (column + 0.5), 28, name, 12.5, INK, "bold", "center", True)
    for number, (mistake, verdicts) in enumerate(table.items()):
        y = 46 + 40 * number
        sheet.text(24, y + 17, mistake, 12, INK)
        for column, verdict in enumerate(verdicts):
            x = left + width * column
            sheet.box(x + 6, y, width - 12, 32, _VERDICTS[verdict], "none", 6)
            sheet.text(x + width / 2, y + 16, verdict, 11.5, CARD, "bold", "center")
    return sheet.picture("seven faulty specifications, and which runtimes of this machine refuse them")


# ---- where the milliseconds go -------------------------------------------------------------------------------------


def stopwatch(bundle: Bundle, podman: Podman | Absent) -> Picture:
    """Let each runtime of this machine create, start and delete the container of *bundle*; draw how long that took."""
    with tempfile.TemporaryDirectory(prefix="minict-stopwatch-") as place:
        programs = _programs(place, podman)
        python = min(_time([*programs["minict-oci"], "--version"], place) for _ in range(_TRIES))
        rounds = [{name: _once(words, bundle, place) for name, words in programs.items()} for _ in range(_TRIES)]
    # the shortest of each: what disturbs only ever makes it longer
    times = {name: {step: min(each[name][step] for each in rounds) for step in _STEPS} for name in programs}
    return _draw_times(times, python)


def _programs(place: str, podman: Podman | Absent) -> dict[str, list[str]]:
    """The runtimes of this machine: name -> the words that call it, with its state in *place*.

    Others than minict's run only beside Podman, in its namespace: crun refuses some machines with cgroup v1.
    """
    enter, paths = [], {}
    if isinstance(podman, Podman):
        enter = podman.enter()
        paths = {name: path for name in ("runc", "crun") if (path := shutil.which(name))}
    paths["minict-oci"] = plain_program(place)
    return {name: [*enter, path, "--root", f"{place}/state-{name}"] for name, path in paths.items()}


def _time(words: list[str], place: str) -> float:
    """Milliseconds that a command takes. Raises :class:`subprocess.CalledProcessError`."""
    with open(f"{place}/said", "w+") as said:
        begin = time.monotonic_ns()
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        took = (time.monotonic_ns() - begin) / 1e6
        said.seek(0)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, said.read())
    return took


def _once(program: list[str], bundle: Bundle, place: str) -> dict[str, float]:
    """How long each step of one container takes, in milliseconds."""
    created = _time([*program, "create", "--bundle", str(bundle), "--pid-file", f"{place}/pid", "stopwatch"], place)
    with open(f"{place}/pid") as file:
        ended = os.pidfd_open(int(file.read()))
    started = _time([*program, "start", "stopwatch"], place)
    select.select([ended], [], [])
    os.close(ended)
    deleted = _time([*program, "delete", "--force", "stopwatch"], place)
    return dict(zip(_STEPS, (created, started, deleted)))


def _draw_times(times: dict[str, dict[str, float]], python: float) -> Picture:
    sheet, left = _Sheet(920, 104 + 74 * len(times)), 130
    unit = 690 / max(sum(each.values()) for each in times.values())
    for number, (name, steps) in enumerate(times.items()):
        y, x = 26 + 74 * number, float(left)
        sheet.text(24, y + 20, name, 12.5, INK, "bold")
        for step, took in steps.items():
            width = took * unit
            sheet.box(x, y, width, 40, _STEPS[step], CARD, 4)
            if name == "minict-oci":
                sheet.box(x, y + 26, min(width, python * unit), 14, INK, "none", 3)
            if width > 44:
                sheet.text(x + width / 2, y + 13, f"{took:.0f}", 11.5, CARD, "bold", "center")
            x += width
        sheet.text(x + 10, y + 20, f"{sum(steps.values()):.0f} ms", 12.5, INK, "bold")
    place, y = 130, sheet.height - 44
    start = f"Python starts and loads the command line: {python:.0f} ms each time"
    for words, colour in {**_STEPS, start: INK}.items():
        sheet.box(place, y, 14, 14, colour, "none", 3)
        sheet.text(place + 22, y + 7, words, 11.5, INK)
        place += 60 + 7 * len(words)
    return sheet.picture(
        "how long create, start and delete take with each runtime of this machine; of each call of minict-oci a large "
        "part is the start of Python"
    )
