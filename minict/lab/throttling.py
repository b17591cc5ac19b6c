"""Chapter 08's pictures: a tree of control groups, processes that stand still, and memory that fills up to its limit.

:func:`stopwatch` and :func:`memory_story` draw what they have just measured in a control group of the notebook's.
"""

from __future__ import annotations

import mmap
import os
import pickle
import time

from minict.runtime.process import spawn

from .figures import CARD, FAINT, HOST, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from .groups import Group

    Lanes = list[list[tuple[float, float]]]
    Observed = tuple[Lanes, tuple[int, int]]

_BLUE, _GREEN = HUES[0], HUES[2]
_GAP = 4.0  # milliseconds without a look at the clock: the process did not run
_LENGTH = 500.0  # milliseconds that are drawn
_BEFORE, _AFTER = 150.0, 150.0  # milliseconds before that, in which the group gets into its stride, and after it
_TRIES = 4  # observations on a busy machine, of which the best is drawn
_MB = 1 << 20


def group_tree() -> Picture:
    """A tree of control groups: limits on the directories, processes in the leaves."""
    sheet = _Sheet(920, 290)

    def group(x, y, width, name, files, colour, face=CARD):
        sheet.box(x, y, width, 64, face, colour, 8, 1.8)
        sheet.text(x + 16, y + 22, name, 13, INK, "bold", mono=True)
        sheet.text(x + 16, y + 46, files, 11, MUTED, mono=True)

    group(330, 20, 260, "/sys/fs/cgroup", "the whole machine", HOST, FAINT)
    group(40, 120, 240, "user.slice", "your browser, your shell", HOST, FAINT)
    group(480, 120, 300, "minict", "memory.max  2G", LIT, "#fff7ed")
    group(380, 216, 240, "web", "memory.max  512M", LIT)
    group(640, 216, 240, "database", "pids.max  100", LIT)
    for x, y, to_x, to_y in ((400, 84, 160, 119), (520, 84, 630, 119), (560, 184, 500, 215), (700, 184, 760, 215)):
        sheet.line([(x, y), (to_x, to_y)], MUTED, 1.6)
    sheet.text(40, 224, "A directory is a group, its files are limits and counters.", 11.5, INK)
    sheet.text(40, 246, "Each process is in one group. A limit counts for", 11.5, INK)
    sheet.text(40, 268, "everything below it: web and database share 2G.", 11.5, INK)
    return sheet.picture(
        "control groups are a tree of directories: the machine at the top, minict below it with a limit, and the "
        "groups of two containers below that; a limit counts for everything below it"
    )


# ---- processor time --------------------------------------------------------------------------------------------


class Recording:
    """For each number of busy processes: when each of them ran (milliseconds), and how many of how many periods the
    kernel has cut short."""

    def __init__(
        self, group: Group, lanes: dict[int, list[list[tuple[float, float]]]], cut: dict[int, tuple[int, int]]
    ):
        quota, period = group.read("cpu.max").split()
        self.quota = None if quota == "max" else int(quota) / 1000
        self.period, self.lanes, self.cut = int(period) / 1000, lanes, cut

    def picture(self) -> Picture:
        """All of it, a block of lanes for each number of processes."""
        rows = sum(len(lanes) for lanes in self.lanes.values())
        sheet, y = _Sheet(920, 70 + 40 * len(self.lanes) + 30 * rows), 58
        left, width = 150, 740
        ticks = [left + tick * self.period / _LENGTH * width for tick in range(int(_LENGTH / self.period) + 1)]
        for tick, x in enumerate(ticks):
            sheet.text(x, 34, f"{tick * self.period:.0f} ms", 11, MUTED, align="center")
        for count, lanes in self.lanes.items():
            sheet.text(26, y + 10, f"{count} busy", 12.5, INK, "bold")
            sheet.text(left, y + 10, self.in_words(count), 11.5, MUTED)
            y += 24
            for x in ticks:
                sheet.line([(x, y - 4), (x, y + 30 * len(lanes) - 4)], LINE, 1)
            for number, runs in enumerate(lanes, 1):
                sheet.text(26, y + 11, f"process {number}", 11, MUTED)
                sheet.box(left, y, width, 22, FAINT, LINE, 4)
                for begin, end in runs:
                    wide = max(1.5, (end - begin) / _LENGTH * width)
                    sheet.box(
                        left + begin / _LENGTH * width, y + 2, wide, 18, HUES[count % 4], "none", min(3, wide / 2)
                    )
                y += 30
            y += 16
        return sheet.picture(
            f"when busy processes run that share one quota, measured with {', '.join(map(str, self.lanes))} of them: "
            "coloured while they run, empty while they stand still"
        )

    def in_words(self, count: int) -> str:
        """What the kernel has counted."""
        throttled, periods = self.cut[count]
        return f"the kernel counted {periods} periods, and stopped the group in {throttled} of them"

    def draw(self, count: int) -> str:
        """SVG: the same for one number of processes."""
        lanes = self.lanes[count]
        left, width, height = 90, 560, 64 + 30 * len(lanes)
        parts = [
            f"<svg width='680' height='{height}' viewBox='0 0 680 {height}' font-family='sans-serif' font-size='12'>",
            f"<text x='{left}' y='14' fill='{INK}'>{self.in_words(count)}</text>",
        ]
        for tick in range(int(_LENGTH / self.period) + 1):
            x = left + tick * self.period / _LENGTH * width
            parts.append(
                f"<line x1='{x:.1f}' x2='{x:.1f}' y1='40' y2='{height - 4}' stroke='{LINE}'/>"
                f"<text x='{x:.1f}' y='34' fill='{MUTED}' text-anchor='middle'>{tick * self.period:.0f} ms</text>"
            )
        for number, runs in enumerate(lanes):
            y = 46 + 30 * number
            parts.append(
                f"<text x='0' y='{y + 15}' fill='{MUTED}'>process {number + 1}</text>"
                f"<rect x='{left}' y='{y}' width='{width}' height='22' rx='4' fill='{FAINT}' stroke='{LINE}'/>"
            )
            parts += [
                f"<rect x='{left + begin / _LENGTH * width:.1f}' y='{y + 2}' height='18' rx='2' "
                f"width='{max(1.5, (end - begin) / _LENGTH * width):.1f}' fill='{HUES[count % 4]}'/>"
                for begin, end in runs
            ]
        return "".join([*parts, "</svg>"])


def stopwatch(group: Group, counts: list[int]) -> Recording:
    """Let so many processes at a time be busy in *group*, each for most of a second, and record when they ran."""
    lanes, cut = {}, {}
    for count in counts:
        # on a busy machine others take the processors, and the group does not reach its limit: then it tries again
        tries = [_observe(group, count)]
        while len(tries) < _TRIES and not _is_clear(tries[-1]):
            tries.append(_observe(group, count))
        lanes[count], cut[count] = max(tries, key=lambda each: (_is_clear(each), each[1][0], -_pieces(each)))
    return Recording(group, lanes, cut)


def _is_clear(observed: Observed) -> bool:
    """Whether it was the quota that stopped the group in most periods, and not other programs, which cut the bars into
    pieces."""
    lanes, (throttled, periods) = observed
    return throttled > 0.7 * periods and _pieces(observed) <= len(lanes) * 2 * _LENGTH / 100


def _pieces(observed: Observed) -> int:
    return sum(map(len, observed[0]))


def _observe(group: Group, count: int) -> Observed:
    """When each process ran; and how many periods were cut short, of how many."""
    before = _periods(group)
    lanes = _record(group, count)
    after = _periods(group)
    return lanes, (after[0] - before[0], after[1] - before[1])


def _periods(group: Group) -> tuple[int, int]:
    """How many periods were cut short, and how many there were."""
    stat = group.stats("cpu")["cpu"]
    return stat["throttled_periods"] or 0, stat["periods"] or 0


def _record(group: Group, count: int) -> list[list[tuple[float, float]]]:
    go, start = os.pipe()
    processors = sorted(os.sched_getaffinity(0))
    workers = []
    for number in range(count):
        reader, writer = os.pipe()
        processor = processors[number % len(processors)]
        ready, told = os.pipe()
        workers.append((reader, spawn(lambda: _be_busy(group, processor, told, go, start, writer))))
        os.close(told)
        os.close(writer)
        os.read(ready, 1)
        os.close(ready)
    begin = time.monotonic_ns()
    os.close(start)
    found = []
    for reader, pid in workers:
        with os.fdopen(reader, "rb") as stream:
            found.append(pickle.loads(stream.read()))
        os.waitpid(pid, 0)
    os.close(go)
    return _cut_out([[((a - begin) / 1e6, (b - begin) / 1e6) for a, b in runs] for runs in found])


def _cut_out(lanes: list[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    """The drawn part of each lane, from where a period begins: there somebody runs again after all had stood still."""
    starts = sorted(run[0] for runs in lanes for run in runs if _BEFORE < run[0] < _BEFORE + _AFTER)
    ends = [run[1] for runs in lanes for run in runs]
    first = next((x for x in starts if all(end < x - _GAP or end > x for end in ends)), _BEFORE)
    cut = [[(max(0, a - first), min(_LENGTH, b - first)) for a, b in runs] for runs in lanes]
    return [[run for run in runs if run[0] < run[1]] for runs in cut]


def _be_busy(group: Group, processor: int, told: int, go: int, start: int, writer: int) -> None:
    """In the worker: join, wait for the start, look at the clock without a pause, and write down when that went on."""
    os.close(start)
    os.sched_setaffinity(0, {processor})
    group.write("cgroup.procs", 0)
    os.write(told, b"!")
    os.close(told)
    os.read(go, 1)
    begin = last = first = time.monotonic_ns()
    runs = []
    while last - first < (_BEFORE + _LENGTH + _AFTER) * 1e6:
        now = time.monotonic_ns()
        if now - last > _GAP * 1e6:
            runs.append((begin, last))
            begin = now
        last = now
    runs.append((begin, last))
    os.write(writer, pickle.dumps(runs))
    os.close(writer)


# ---- memory ----------------------------------------------------------------------------------------------------


class Story:
    """What a group was charged while a process in it read a file and then asked for memory: (done, file, anon) in
    megabytes at each step."""

    def __init__(self, limit: float, read: float, steps: list[tuple[float, float, float]], status: int):
        self.limit, self.read, self.steps, self.status = limit, read, steps, status

    def picture(self) -> Picture:
        """The charge as two areas, one on the other, below the line of the limit."""
        sheet = _Sheet(920, 330)
        left, foot, width, height = 80, 270, 800, 200
        most = self.steps[-1][0] + 8
        tallest = self.limit * 1.2

        def at(done, charge):
            return left + done / most * width, foot - charge / tallest * height

        for charge in (0, self.limit / 2, self.limit):
            sheet.text(left - 10, at(0, charge)[1], f"{charge:.0f} MB", 11, MUTED, align="right")
            sheet.line([at(0, charge), at(most, charge)], LINE, 1)
        self._area(sheet, at, lambda step: (0, step[2]), LIT)
        self._area(sheet, at, lambda step: (step[2], step[1] + step[2]), _BLUE)
        sheet.line([at(0, self.limit), at(most, self.limit)], LIT_EDGE, 2, "--")
        sheet.text(left, 28, "charged to the group", 12.5, INK, "bold")
        sheet.text(left + 190, 28, "file cache", 12, _BLUE, "bold")
        sheet.text(left + 280, 28, "the program's own memory", 12, LIT_EDGE, "bold")
        sheet.text(at(most, 0)[0], at(0, self.limit)[1] - 12, "memory.max", 11, LIT_EDGE, align="right", mono=True)
        x, y = at(self.read, 0)
        sheet.line([(x, 46), (x, y + 6)], INK, 1, ":")
        sheet.text(x / 2 + left / 2, foot + 22, f"reads a file of {self.read:.0f} MB", 12, INK, align="center")
        end_x, end_y = at(self.steps[-1][0], min(self.limit, sum(self.steps[-1][1:])))
        sheet.text((x + end_x) / 2, foot + 22, "asks for memory, and uses it", 12, INK, align="center")
        if self.status < 0:
            sheet.text(end_x + 16, end_y - 2, "✕", 20, LIT_EDGE, "bold", "center")
            sheet.text(end_x + 30, end_y + 24, "killed", 12, LIT_EDGE, "bold", "center")
        sheet.text(
            left, foot + 46, "from left to right: megabytes that the process has read, and then written", 11, MUTED
        )
        end = "it was killed" if self.status < 0 else "it went on to its end"
        return sheet.picture(
            f"memory charged to a group with a limit: the file cache grows up to the limit and stays there, then the "
            f"program's own memory takes its place, until {end}"
        )

    def _area(self, sheet, at, span, colour) -> None:
        lower, upper = zip(*map(span, self.steps))
        points = [at(step[0], value) for step, value in zip(self.steps, lower)]
        tops = [at(step[0], value) for step, value in zip(self.steps, upper)]
        sheet.axes.fill(
            [x for x, _ in points + tops[::-1]], [y for _, y in points + tops[::-1]], color=colour, alpha=0.8, lw=0
        )


def memory_story(group: Group, path: str, step: int = 2) -> Story:
    """Let a process in *group* read the file *path*, and then fill memory until it is killed or has as much as that
    again; note what the group is charged after each *step* megabytes."""
    size = os.path.getsize(path)
    ready, told = os.pipe()
    orders, order = os.pipe()
    pid = spawn(lambda: _use_memory(group, path, step * _MB, told, orders, (ready, order)))
    os.close(told)
    os.close(orders)
    steps: list[tuple[float, float, float]] = []
    while os.read(ready, 1):
        charge = group.stats("memory")["memory"]
        steps.append((len(steps) * step, *((charge[kind] or 0) / _MB for kind in ("file", "anon"))))
        os.write(order, b"!")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(ready)
    os.close(order)
    limit = group.stats("memory")["memory"]["limit"] or 2 * size
    return Story(limit / _MB, size / _MB, steps, status)


def _use_memory(group: Group, path: str, step: int, told: int, orders: int, others: tuple[int, ...]) -> None:
    """In the process: a step of work after each order; its end closes the pipe."""
    for descriptor in others:
        os.close(descriptor)
    group.write("cgroup.procs", 0)

    def wait():
        os.write(told, b"!")
        os.read(orders, 1)

    wait()
    file, window = os.open(path, os.O_RDONLY), bytearray(1 << 16)
    size = os.fstat(file).st_size
    for _ in range(size // step):
        for _ in range(step // len(window)):
            os.readv(file, [window])
        wait()
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, size - step + 1, step):
        for page in range(start, start + step, mmap.PAGESIZE):
            memory[page] = 1
        wait()


def make_file(path: str, megabytes: int) -> str:
    """Make a file on the disk, and let the kernel forget it: nobody has it in the file cache.  Returns *path*."""
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(_MB))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path
