"""Drawings of ideas: what a chapter is about, before its first code.  They show no values of this machine.

==============================  ==================================================================
:func:`machine_or_container`    chapter 00: two kernels, or one
:func:`fork_exec_wait`          chapter 01: how one process starts another program
:func:`rooms`                   chapter 02: one kernel, two host names, and two ways into a room
:func:`two_counts`              chapter 03: a process with a number in each pid namespace
:func:`starting_a_program`      chapter 04: what the kernel starts when you start a file
:func:`two_tables`              chapter 05: the mount table as a tree, before and after pivot_root
:func:`propagation`             chapter 05: which mounts cross from one mount namespace to another
:func:`one_image`               chapter 06: three containers on the layers of one image
:func:`from_name_to_files`      chapter 07: what is asked of a registry, and what comes back
:func:`two_networks`            chapter 09: one kernel that has everything of a network twice
:func:`whose_powers`            chapter 11: each namespace belongs to a user namespace, and what root may do ends there
:func:`walls`                   chapter 12: what a system call of a container has to pass
:func:`pseudo_terminal`         chapter 13: the two ends of a terminal, and what the kernel does between them
:func:`watchman`                chapter 14: a container, its monitor, and the command that has ended
:func:`two_doors`               chapter 15: two paths to one directory, and names that lead to inodes
:func:`a_birth`                 chapter 16: what parent and child do, and where one waits for the other
:func:`step_of_a_build`         chapter 17: a line of a Dockerfile turns an image into the next one, and its key
:func:`two_tiers`               chapter 18: a browser, nginx, an app, a database, and what is left of each
:func:`three_places`            chapter 18: where a written word is, and which accident takes it
:func:`who_calls_whom`          chapter 19: from Docker, Podman and Kubernetes down to one runtime
==============================  ==================================================================
"""

from __future__ import annotations

from .figures import BUILT, BUILT_EDGE, CARD, FAINT, HOST, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

_BLUE, _GREEN, _VIOLET = HUES[0], HUES[2], HUES[3]
_KERNEL = "#1e293b"


def _block(sheet: _Sheet, x, y, width, height, name, detail="", face=CARD, edge=LINE, ink=INK) -> None:
    """A box with a name in its middle and, below that, a smaller line."""
    sheet.box(x, y, width, height, face, edge, 7, 1.4)
    middle = y + height / 2 - (9 if detail else 0)
    sheet.text(x + width / 2, middle, name, 12, ink, "bold", "center")
    if detail:
        sheet.text(x + width / 2, middle + 18, detail, 11, ink if face == _KERNEL else MUTED, align="center")


def machine_or_container() -> Picture:
    """A virtual machine beside two containers: the one brings a kernel, the others share one."""
    sheet = _Sheet(920, 300)
    sheet.text(30, 30, "two virtual machines", 13, INK, "bold")
    sheet.text(500, 30, "two containers", 13, INK, "bold")
    for x in (30, 240):
        _block(sheet, x, 48, 190, 44, "a program", "", BUILT, BUILT_EDGE)
        _block(sheet, x, 98, 190, 52, "a kernel of its own", "booted for this machine", _KERNEL, "none", "#f8fafc")
        _block(sheet, x, 156, 190, 44, "a virtual computer", "", FAINT)
    for x in (500, 710):
        sheet.box(x, 48, 190, 152, FAINT, LIT, 10, 1.8, "--")
        _block(sheet, x + 14, 62, 162, 44, "a program", "", BUILT, BUILT_EDGE)
        sheet.text(x + 95, 134, "its own view:", 11, MUTED, align="center")
        sheet.text(x + 95, 152, "name, files, processes,", 11, MUTED, align="center")
        sheet.text(x + 95, 170, "network, limits", 11, MUTED, align="center")
    for x in (30, 500):
        _block(
            sheet,
            x,
            214,
            400,
            60,
            "the host's kernel",
            "the only one" if x == 500 else "runs the virtual computers",
            _KERNEL,
            "none",
            "#f8fafc",
        )
    return sheet.picture(
        "a virtual machine brings a kernel of its own; containers are programs on the host's one kernel, each with its "
        "own view"
    )


def fork_exec_wait() -> Picture:
    """A parent, its child, and the three calls between them, from left to right."""
    sheet = _Sheet(920, 250)
    sheet.text(26, 66, "parent", 12, INK, "bold")
    sheet.text(26, 166, "child", 12, INK, "bold")
    sheet.box(110, 48, 780, 36, BUILT, BUILT_EDGE, 7)
    sheet.text(150, 66, "your shell", 12, INK, "bold")
    for x, name, says in ((290, "fork", "makes a copy"), (790, "wait", "asks how it ended")):
        sheet.line([(x, 40), (x, 92)], LIT_EDGE, 2.4)
        sheet.text(x, 28, f"{name}: {says}", 12, LIT_EDGE, "bold", "center")
    sheet.arrow(290, 92, 290, 144, LIT_EDGE)
    sheet.arrow(790, 144, 790, 94, LIT_EDGE)
    sheet.box(290, 148, 170, 36, BUILT, BUILT_EDGE, 7)
    sheet.text(375, 166, "a copy of the shell", 12, INK, "bold", "center")
    sheet.box(464, 148, 240, 36, LIT, LIT_EDGE, 7)
    sheet.text(584, 166, "ls", 12, CARD, "bold", "center", True)
    sheet.box(708, 148, 82, 36, FAINT, MUTED, 7, 1.4, "--")
    sheet.text(749, 166, "zombie", 11, MUTED, align="center")
    sheet.line([(462, 138), (462, 194)], LIT_EDGE, 2.4)
    sheet.text(470, 128, "exec: replaces the program", 12, LIT_EDGE, "bold")
    sheet.line([(292, 194), (292, 202), (458, 202), (458, 194)], MUTED, 1.4)
    sheet.text(375, 220, "the gap", 12, INK, "bold", "center")
    sheet.text(584, 220, "the same process, another program", 11, MUTED, align="center")
    return sheet.picture(
        "fork makes a copy of the shell, exec turns the copy into ls, wait tells the parent how it ended; between fork "
        "and exec is the gap"
    )


def rooms() -> Picture:
    """One kernel that keeps two host names; processes in two rooms; unshare makes a room, setns enters one."""
    sheet = _Sheet(920, 320)
    sheet.box(30, 24, 340, 180, FAINT, HOST, 12, 2)
    sheet.box(550, 24, 340, 180, "#fff7ed", LIT, 12, 2)
    for x, name, colour in ((50, "laptop", MUTED), (570, "box", LIT_EDGE)):
        sheet.text(x, 48, "uts namespace, with the host name", 11, MUTED)
        sheet.text(x, 72, name, 16, colour, "bold", mono=True)
    for x, y, name in ((50, 100, "browser"), (180, 100, "shell"), (50, 150, "this notebook")):
        _block(sheet, x, y, 120 if len(name) < 9 else 160, 36, name, "", CARD, HOST)
    for x, y, name in ((640, 100, "sleep"), (640, 150, "a visitor")):
        _block(sheet, x, y, 130, 36, name, "", CARD, LIT)
    for x, y, name, words, colour in (
        (302, 118, "unshare", "to a new room", LIT_EDGE),
        (212, 168, "setns", "to an existing room", _BLUE),
    ):
        sheet.arrow(x, y, 638, y, colour)
        sheet.text(460, y - 12, name, 12, colour, "bold", "center", mono=True)
        sheet.text(460, y + 14, words, 11.5, colour, align="center")
    sheet.box(30, 224, 860, 66, _KERNEL, "none", 9)
    sheet.text(50, 246, "one kernel", 13, "#f8fafc", "bold")
    sheet.text(
        50,
        270,
        "“What is this machine called?” It answers each process with the name of the room that the process is in.",
        11.5,
        "#cbd5e1",
    )
    return sheet.picture(
        "one kernel keeps two host names, one for each uts namespace; unshare makes a new namespace, setns enters an "
        "existing one"
    )


def two_counts() -> Picture:
    """The host's pid namespace as a box, a container's inside it: who has which numbers."""
    sheet = _Sheet(920, 280)
    sheet.box(24, 20, 872, 240, FAINT, HOST, 12, 2)
    sheet.text(46, 44, "the host's pid namespace: everybody has a number here", 12, MUTED, "bold")
    for x, number, name in ((46, 1, "systemd"), (216, 842, "this notebook")):
        _block(sheet, x, 100, 150, 56, name, f"number {number}", CARD, HOST)
    sheet.box(420, 64, 456, 176, "#fff7ed", LIT, 12, 2)
    sheet.text(440, 88, "a container's pid namespace", 12, LIT_EDGE, "bold")
    for x, inside, outside, name in ((440, 1, 907, "sh"), (660, 2, 908, "sleep")):
        sheet.box(x, 110, 196, 104, CARD, LIT, 8, 1.6)
        sheet.text(x + 98, 132, name, 13, INK, "bold", "center")
        sheet.text(x + 98, 158, f"inside: number {inside}", 12, LIT_EDGE, "bold", "center")
        sheet.text(x + 98, 184, f"on the host: number {outside}", 12, MUTED, align="center")
    sheet.text(46, 190, "The host sees all of them.", 12, INK)
    sheet.text(46, 212, "Inside, nobody sees the host.", 12, INK)
    return sheet.picture(
        "a pid namespace lies inside the host's; a process in it has two numbers, one inside and one on the host"
    )


def starting_a_program() -> Picture:
    """From a file to running code: script, interpreter, loader, libraries."""
    sheet = _Sheet(920, 268)
    sheet.text(26, 30, "execve(“greet”): the kernel reads the first bytes of the file", 12.5, INK, "bold")
    sheet.text(26, 78, "begins with #!", 12, _VIOLET, "bold")
    _block(sheet, 180, 54, 170, 50, "a script", "starts another file:", CARD, _VIOLET)
    sheet.arrow(352, 79, 420, 79, _VIOLET)
    _block(sheet, 424, 54, 190, 50, "its interpreter", "such as bash", CARD, _BLUE)
    sheet.text(26, 166, "begins with \\x7fELF", 12, _BLUE, "bold")
    _block(sheet, 180, 142, 170, 50, "a program", "names a loader:", CARD, _BLUE)
    sheet.arrow(352, 167, 420, 167, LIT_EDGE)
    _block(sheet, 424, 142, 190, 50, "its dynamic loader", "runs first", CARD, LIT)
    sheet.arrow(616, 167, 684, 167, _GREEN)
    _block(sheet, 688, 142, 200, 50, "shared libraries", "libc and others", CARD, _GREEN)
    sheet.line([(519, 104), (519, 122), (265, 122), (265, 138)], _BLUE, 1.6)
    sheet.arrow(265, 130, 265, 141, _BLUE)
    sheet.text(540, 122, "is a program too", 11, MUTED)
    sheet.text(180, 226, "the kernel looks for the file itself, the interpreter and the loader;", 11.5, MUTED)
    sheet.text(180, 246, "the loader, once it runs, looks for the libraries", 11.5, MUTED)
    return sheet.picture(
        "the kernel starts a script's interpreter and a program's dynamic loader; the loader finds the shared libraries"
    )


def propagation() -> Picture:
    """Three pairs of mount tables, host and container: what is mounted on one side, and where it appears."""
    sheet = _Sheet(920, 250)
    kinds = (
        ("shared", "both hear of each other", True, True),
        ("slave", "the container hears, and tells nothing", True, False),
        ("private", "neither hears of the other", False, False),
    )
    for number, (name, says, down, up) in enumerate(kinds):
        x = 20 + number * 298
        sheet.box(x, 16, 286, 218, FAINT, LINE, 10)
        sheet.text(x + 143, 40, name, 14, LIT_EDGE if up else INK, "bold", "center")
        sheet.text(x + 143, 62, says, 11, MUTED, align="center")
        _block(sheet, x + 28, 82, 230, 42, "the host's mount table", "", CARD, HOST)
        _block(sheet, x + 28, 174, 230, 42, "the container's copy", "", "#fff7ed", LIT)
        for side, is_open, begin, end in ((-50, down, 126, 172), (50, up, 172, 126)):
            place = x + 143 + side
            if is_open:
                sheet.arrow(place, begin, place, end, LIT_EDGE if begin > end else _BLUE)
            else:
                sheet.line([(place, 126), (place, 172)], LINE, 1.2, ":")
                sheet.text(place, 149, "×", 15, MUTED, "bold", "center")
    return sheet.picture(
        "shared mounts tell each other in both directions, a slave only hears, private mounts do neither"
    )


def two_tables() -> Picture:
    """The tree of mounts before and after pivot_root and umount: what is at /, and what is gone."""
    sheet = _Sheet(920, 240)
    columns = (
        ("1  the room hangs in the host's tree", [("the host's disk, at /", 0, "host"), ("the room", 1, "room")]),
        (
            "2  pivot_root turns the tree over",
            [("the room, at /", 0, "room"), ("the host's disk, also at /", 1, "host")],
        ),
        ("3  umount takes the host off", [("the room, at /", 0, "room")]),
    )
    looks = {"host": (HOST, INK), "room": (LIT, CARD)}
    for number, (title, entries) in enumerate(columns):
        x = 24 + number * 298
        sheet.text(x, 34, title, 12, INK, "bold")
        sheet.box(x, 52, 276, 164, FAINT, LINE, 9)
        for row, (name, level, kind) in enumerate(entries):
            left, y = x + 14 + 36 * level, 68 + 70 * row
            face, ink = looks[kind]
            if level:
                sheet.line([(left - 18, y - 22), (left - 18, y + 25), (left - 2, y + 25)], MUTED, 1.6)
            sheet.box(left, y, x + 262 - left, 50, face, "none", 8)
            sheet.text(left + 14, y + 25, name, 12, ink, "bold")
        if number:
            sheet.arrow(x - 18, 134, x - 4, 134, LIT_EDGE)
    return sheet.picture(
        "first the room hangs in the host's tree; pivot_root makes the room the root with the host on top; an umount "
        "removes the host"
    )


def one_image() -> Picture:
    """The layers of an image, and on them one upper layer and one view for each of three containers."""
    sheet = _Sheet(920, 316)
    for number, x in enumerate((190, 430, 670), 1):
        sheet.text(x + 106, 34, f"container {number} looks down", 12, INK, "bold", "center")
        sheet.text(x + 106, 54, "and sees one directory", 11, MUTED, align="center")
        for place in (46, 106, 166):
            sheet.arrow(x + place, 68, x + place, 100, MUTED)
        _block(sheet, x, 104, 212, 54, "upper layer", "its own changes", "#fff7ed", LIT)
        for place in (46, 106, 166):
            sheet.arrow(x + place, 158, x + place, 178, MUTED)
    for y, name, detail in ((182, "image layer 2", "what the second step added"), (244, "image layer 1", "the base")):
        _block(sheet, 190, y, 692, 54, name, detail, BUILT, BUILT_EDGE)
    sheet.text(26, 34, "merged", 12, INK, "bold")
    sheet.text(26, 54, "by the kernel", 11, MUTED)
    sheet.text(26, 122, "one for each,", 12, INK, "bold")
    sheet.text(26, 142, "for what it writes", 11, MUTED)
    sheet.text(26, 230, "once on the disk", 12, INK, "bold")
    sheet.text(26, 250, "for all of them,", 11, MUTED)
    sheet.text(26, 268, "and read-only", 11, MUTED)
    return sheet.picture(
        "three containers stand on the same read-only layers of one image; each has an upper layer of its own for its "
        "changes, and sees all layers as one directory"
    )


def from_name_to_files() -> Picture:
    """A pull as four requests to a registry: what is requested, and what comes back."""
    sheet = _Sheet(920, 318)
    sheet.text(30, 30, "minict asks", 12, MUTED, "bold")
    sheet.text(440, 30, "and the registry gives", 12, MUTED, "bold")
    rows = (
        ("manifests / latest", "the index", "which image is for which processor", _VIOLET),
        ("manifests / sha256:…", "the manifest", "what this image consists of", _BLUE),
        ("blobs / sha256:…", "the config", "how to start a container", _GREEN),
        ("blobs / sha256:…", "the layers", "the files, as compressed archives", "#0891b2"),
    )
    for number, (asked, name, says, colour) in enumerate(rows):
        y = 52 + 64 * number
        sheet.box(30, y, 250, 46, FAINT, LINE, 7)
        sheet.text(46, y + 23, asked, 12, INK, mono=True)
        sheet.arrow(284, y + 23, 432, y + 23, MUTED)
        sheet.box(440, y, 450, 46, CARD, colour, 7, 1.8)
        sheet.text(458, y + 23, name, 13, colour, "bold")
        sheet.text(580, y + 23, says, 11.5, MUTED)
        if number < 2:
            sheet.line([(500, y + 46), (500, y + 55), (155, y + 55)], colour, 1.4)
            sheet.arrow(155, y + 55, 155, y + 63, colour)
    sheet.line([(155, 171), (16, 171), (16, 267)], _BLUE, 1.4)  # the manifest has the digests of the layers, too
    sheet.arrow(16, 267, 29, 267, _BLUE)
    sheet.text(30, 304, "Each answer holds the digests (sha256:…) that the next request asks for.", 11.5, MUTED)
    return sheet.picture(
        "a pull asks a registry for the index of a tag, then for the manifest of one processor, the config and the "
        "layers; each answer holds the digests that the next request asks for"
    )


def two_networks() -> Picture:
    """One kernel, two network namespaces: interfaces, addresses, routes and ports of each, and a cable in between."""
    sheet = _Sheet(920, 292)
    sheet.box(24, 212, 872, 56, _KERNEL, "none", 9)
    sheet.text(460, 232, "one kernel", 13, "#f8fafc", "bold", "center")
    sheet.text(460, 252, "it keeps all of this once for each network namespace", 11, "#94a3b8", align="center")
    for x, name, colour, face in (
        (24, "the host's network namespace", HOST, FAINT),
        (536, "another one", LIT, "#fff7ed"),
    ):
        sheet.box(x, 20, 360, 176, face, colour, 12, 2)
        sheet.text(x + 18, 42, name, 12, MUTED if colour == HOST else LIT_EDGE, "bold")
        rows = (
            ("interfaces", "lo, and the ends of cables"),
            ("addresses", "each belongs to an interface"),
            ("routes", "which way to which address"),
            ("ports", "80: taken once, in here"),
        )
        for number, (what, says) in enumerate(rows):
            y = 60 + 32 * number
            sheet.box(x + 18, y, 324, 28, CARD, LINE, 6)
            sheet.text(x + 30, y + 14, what, 11.5, INK, "bold")
            sheet.text(x + 122, y + 14, says, 11, MUTED)
    sheet.line([(386, 76), (534, 76)], _GREEN, 4)
    for x in (386, 534):
        sheet.dot(x, 76, 7, _GREEN)
    sheet.text(460, 56, "a cable", 12, _GREEN, "bold", "center")
    sheet.text(460, 96, "made of software", 11, MUTED, align="center")
    return sheet.picture(
        "two network namespaces on one kernel, each with its own interfaces, addresses, routes and ports, and a "
        "virtual cable between them"
    )


def whose_powers() -> Picture:
    """Two user namespaces, one in the other; each owns things, and a root in each, whose reach ends at the border."""
    sheet = _Sheet(920, 300)
    sheet.box(18, 18, 884, 264, FAINT, HOST, 12, 2)
    sheet.text(38, 42, "the host's user namespace", 12.5, INK, "bold")
    _block(sheet, 38, 116, 130, 60, "root", "user 0", CARD, MUTED)
    for number, name in enumerate(("host name", "mounts", "network", "the clock", "disks")):
        _block(sheet, 250, 62 + 42 * number, 140, 34, name, "", CARD, HOST)
        sheet.arrow(170, 146, 247, 79 + 42 * number, MUTED)
    sheet.box(470, 62, 416, 204, "#fff7ed", LIT, 12, 2)
    sheet.text(490, 86, "Ada's user namespace", 12.5, LIT_EDGE, "bold")
    _block(sheet, 490, 130, 130, 60, "root", "outside: user 1815", CARD, LIT)
    for number, name in enumerate(("host name", "mounts", "processes")):
        _block(sheet, 720, 104 + 42 * number, 146, 34, f"{name}, new", "", CARD, LIT)
        sheet.arrow(622, 160, 717, 121 + 42 * number, LIT_EDGE)
    sheet.line([(488, 160), (412, 160)], HUES[9], 1.6, "--")
    sheet.text(440, 149, "EPERM", 11, HUES[9], "bold", "center")
    sheet.text(490, 244, "made in here, so owned by it", 11.5, LIT_EDGE)
    return sheet.picture(
        "two user namespaces, one inside the other; the host's owns the host name, mounts, network, the clock and the "
        "disks; Ada's owns a host name, mounts and processes that were made in it; root in there, who is user 1815 "
        "outside, may do everything with these and gets EPERM for those of the host"
    )


def walls() -> Picture:
    """A program's call on its way through the kernel: four walls with a question each, and what refuses it."""
    sheet = _Sheet(920, 270)
    _block(sheet, 24, 70, 128, 64, "a program", "in a container", BUILT, BUILT_EDGE)
    stations = (
        ("seccomp filter", "May this call\nbe made at all?", "EPERM, ENOSYS"),
        ("capabilities", "Has the process\nthe right to it?", "EPERM"),
        ("mounts", "Is the file there,\nand writable?", "EROFS, an empty file"),
        ("device rules", "May this device\nbe opened?", "EPERM"),
    )
    for number, (name, question, refusal) in enumerate(stations):
        x = 186 + 156 * number
        sheet.arrow(x - 32, 102, x - 4, 102, LIT_EDGE)
        _block(sheet, x, 52, 122, 100, "", "", _KERNEL, "none", "#f8fafc")
        sheet.text(x + 61, 74, name, 12, "#f8fafc", "bold", "center")
        for line, words in enumerate(question.split("\n")):
            sheet.text(x + 61, 104 + 18 * line, words, 11, "#f8fafc", align="center")
        sheet.arrow(x + 61, 154, x + 61, 180, MUTED)
        sheet.text(x + 61, 192, refusal, 11, MUTED, align="center")
    sheet.arrow(186 + 156 * 3 + 124, 102, 186 + 156 * 3 + 150, 102, LIT_EDGE)
    sheet.text(834, 102, "done", 12, LIT_EDGE, "bold", "center")
    sheet.text(186, 30, "the kernel", 12, INK, "bold")
    sheet.box(24, 216, 872, 34, FAINT, LINE, 7)
    sheet.text(
        460, 233, "and at an exec: bounding set and no_new_privs, so that nothing comes back", 12, INK, "bold", "center"
    )
    return sheet.picture(
        "a call of a program in a container passes the seccomp filter, the check of capabilities, the mounts and the "
        "device rules, each of which may refuse it; at an exec the bounding set and no_new_privs see that no right "
        "comes back"
    )


def watchman() -> Picture:
    """A container and its monitor, which has four duties; the command that started both has ended."""
    sheet = _Sheet(920, 286)
    sheet.box(24, 24, 190, 76, FAINT, MUTED, 10, 1.6, "--")
    sheet.text(119, 48, "the command", 12, MUTED, "bold", "center")
    sheet.text(119, 68, "that started it", 11, MUTED, align="center")
    sheet.text(119, 86, "ended long ago", 11, MUTED, align="center")
    sheet.line([(216, 62), (330, 62)], LINE, 1.6, ":")
    sheet.text(273, 62, "×", 16, MUTED, "bold", "center")
    sheet.box(332, 24, 240, 238, "#fff7ed", LIT, 12, 2)
    sheet.text(452, 50, "the monitor", 14, LIT_EDGE, "bold", "center")
    duties = (
        "1  waits for the end",
        "2  keeps the exit status",
        "3  reads the output",
        "4  starts it again",
    )
    for number, text in enumerate(duties):
        _block(sheet, 350, 74 + 46 * number, 204, 36, text, "", CARD, LIT)
    _block(sheet, 690, 74, 206, 128, "the container", "its first process", BUILT, BUILT_EDGE)
    sheet.arrow(574, 92, 688, 92, LIT_EDGE)
    sheet.arrow(688, 184, 574, 184, _BLUE)
    sheet.text(631, 80, "fork, signals", 11, LIT_EDGE, align="center")
    sheet.text(631, 198, "output", 11, _BLUE, align="center")
    for y, name, detail in ((116, "life.json", "when and how it ended"), (163, "log", "what it printed")):
        _block(sheet, 24, y, 190, 43, name, detail, CARD, _GREEN)
        sheet.arrow(330, y + 21, 216, y + 21, _GREEN)
    sheet.text(690, 230, "A month later, ps, logs and wait", 11.5, MUTED)
    sheet.text(690, 248, "read what the monitor has kept.", 11.5, MUTED)
    return sheet.picture(
        "the command that started a container has ended; its monitor is the parent, keeps the exit status, reads the "
        "output into a log, and starts it again"
    )


def two_doors() -> Picture:
    """A path of the host and a path of the container that lead to one directory, whose names lead to inodes."""
    sheet = _Sheet(920, 270)
    for x, name, path, ink in ((24, "the host", "/srv/kitchen", MUTED), (686, "a container", "/menu", LIT_EDGE)):
        sheet.box(x, 24, 210, 112, FAINT if ink == MUTED else "#fff7ed", HOST if ink == MUTED else LIT, 12, 2)
        sheet.text(x + 20, 48, name, 12, ink, "bold")
        _block(sheet, x + 20, 74, 170, 40, path, "", CARD, HOST if ink == MUTED else LIT)
    sheet.box(310, 24, 300, 222, CARD, BUILT_EDGE, 12, 2)
    sheet.text(330, 48, "one directory: a list of names", 12, INK, "bold")
    for y, name, inode in ((70, "monday", "inode 31: soup"), (126, "tuesday", "inode 32: stew")):
        _block(sheet, 330, y, 96, 40, name, "", FAINT)
        sheet.arrow(428, y + 20, 458, y + 20, LIT_EDGE)
        _block(sheet, 460, y, 132, 40, inode, "", BUILT, BUILT_EDGE)
    sheet.text(330, 196, "A name leads to an inode, and the", 11.5, MUTED)
    sheet.text(330, 214, "inode is the file: owner, mode, contents.", 11.5, MUTED)
    sheet.arrow(216, 94, 308, 94, _BLUE)
    sheet.arrow(704, 94, 612, 94, LIT_EDGE)
    sheet.text(24, 170, "the way without", 11.5, MUTED)
    sheet.text(24, 188, "any mount", 11.5, MUTED)
    sheet.text(686, 170, "the way through a", 11.5, LIT_EDGE)
    sheet.text(686, 188, "bind mount", 11.5, LIT_EDGE)
    return sheet.picture(
        "a path of the host and a path of a container lead to one and the same directory; it is a list of names, and "
        "each name leads to an inode, which is the file"
    )


def step_of_a_build() -> Picture:
    """An image, a line, a container with an upper layer, and the next image; below, what goes into the key."""
    sheet = _Sheet(920, 290)
    sheet.text(30, 30, "the image so far", 12, INK, "bold")
    for number, name in enumerate(("layer 2", "layer 1")):
        _block(sheet, 30, 62 + 44 * number, 150, 38, name, "", FAINT, HOST)
    sheet.arrow(186, 102, 266, 102, LIT_EDGE)
    sheet.text(270, 30, "a container, for one line", 12, LIT_EDGE, "bold")
    sheet.box(270, 48, 270, 104, "#fff7ed", LIT, 12, 2)
    _block(sheet, 288, 62, 234, 38, "RUN sharpen-knives", "", CARD, LIT)
    sheet.text(405, 126, "its upper layer takes the changes", 11.5, MUTED, align="center")
    sheet.arrow(546, 102, 626, 102, LIT_EDGE)
    sheet.text(586, 88, "commit", 11.5, MUTED, align="center")
    sheet.text(640, 30, "the next image", 12, INK, "bold")
    _block(sheet, 640, 48, 150, 38, "layer 3", "", BUILT, BUILT_EDGE)
    for number, name in enumerate(("layer 2", "layer 1")):
        _block(sheet, 640, 92 + 44 * number, 150, 38, name, "", FAINT, HOST)
    sheet.box(30, 200, 510, 66, FAINT, LINE, 8)
    for x, width, name in ((46, 140, "key before"), (202, 130, "the line"), (348, 176, "copied files")):
        _block(sheet, x, 214, width, 38, name, "", CARD, _BLUE)
    sheet.arrow(546, 233, 626, 233, _BLUE)
    sheet.text(586, 219, "digest", 11.5, MUTED, align="center")
    _block(sheet, 640, 214, 150, 38, "key of the step", "", CARD, _BLUE)
    sheet.arrow(715, 212, 715, 178, _BLUE)
    sheet.text(802, 196, "known?", 11.5, _BLUE, "bold")
    sheet.text(802, 212, "take the image", 11.5, MUTED)
    return sheet.picture(
        "a line of a Dockerfile is executed in a container of the image so far, and its changes become one more layer; "
        "the key of the step is a digest of the key before, the line and the copied files, and by it an earlier result "
        "is found"
    )


def pseudo_terminal() -> Picture:
    """Master and slave of a pseudo terminal, and the line discipline between them."""
    sheet = _Sheet(920, 236)
    for x, name, detail, end, where in (
        (
            24,
            "the person, or a stand-in",
            "a terminal window, sshd, docker",
            "master",
            "types here, and reads the screen",
        ),
        (676, "the program", "a shell, vi, a database client", "slave", "descriptors 0, 1 and 2"),
    ):
        _block(sheet, x, 40, 220, 56, name, detail, BUILT, BUILT_EDGE)
        sheet.text(x + 110, 124, end, 13, LIT_EDGE, "bold", "center", mono=True)
        sheet.text(x + 110, 144, where, 11.5, MUTED, align="center")
    sheet.box(316, 20, 288, 196, _KERNEL, radius=12)
    sheet.text(460, 44, "the kernel: line discipline", 12.5, "#f8fafc", "bold", "center")
    for y, word, detail in (
        (76, "echo", "what is typed comes back"),
        (110, "lines", "collected until Enter"),
        (144, "signals", "Ctrl-C, Ctrl-Z, a new size"),
        (178, "ends of lines", "\\n goes out as \\r\\n"),
    ):
        sheet.text(334, y, word, 12, "#fdba74", "bold")
        sheet.text(428, y, detail, 11, "#cbd5e1")
    for y, x, to_x, colour in (
        (58, 246, 314, _BLUE),
        (78, 314, 246, _GREEN),
        (58, 606, 674, _BLUE),
        (78, 674, 606, _GREEN),
    ):
        sheet.arrow(x, y, to_x, y, colour)
    sheet.text(24, 206, "blue: what is typed · green: what is shown", 11.5, MUTED)
    return sheet.picture(
        "the person's side holds the master, the program holds the slave; between them the kernel's line "
        "discipline sends the echo back, collects lines, makes signals of some keys, and changes the ends of lines"
    )


def who_calls_whom() -> Picture:
    """Three engines above one runtime: which process calls which, and what stays while the container runs."""
    sheet = _Sheet(920, 330)
    rows = (
        ("docker run", ("dockerd", "containerd"), "shim"),
        ("podman run", (), "conmon"),
        ("Kubernetes: kubelet", ("containerd",), "shim"),
    )
    for number, (asks, servers, stays) in enumerate(rows):
        y = 52 + 70 * number
        _block(sheet, 24, y, 172, 44, asks, "", CARD, HOST)
        x = 196
        for name in servers:
            sheet.arrow(x, y + 22, x + 24, y + 22, MUTED)
            _block(sheet, x + 26, y, 110, 44, name, "", BUILT, BUILT_EDGE)
            x += 136
        sheet.arrow(x, y + 22, 476, y + 22, MUTED)
        _block(sheet, 478, y, 100, 44, stays, "", BUILT, BUILT_EDGE)
        sheet.line([(578, y + 22), (606, y + 22)], LIT_EDGE, 1.4)
    sheet.line([(606, 74), (606, 214)], LIT_EDGE, 1.4)
    sheet.arrow(606, 144, 634, 144, LIT_EDGE)
    sheet.box(636, 108, 124, 72, "#fff7ed", LIT, 7, 1.8, "--")
    sheet.text(698, 132, "runtime", 12, LIT_EDGE, "bold", "center")
    sheet.text(698, 154, "runc, crun, yours", 11, MUTED, align="center")
    sheet.arrow(762, 144, 788, 144, LIT_EDGE)
    _block(sheet, 790, 108, 112, 72, "your program", "", BUILT, BUILT_EDGE)
    for x, width, words in ((24, 172, "asks"), (222, 246, "daemons"), (478, 100, "stays with it")):
        sheet.text(x + width / 2, 32, words, 11.5, MUTED, align="center")
    sheet.text(698, 94, "ends at once", 11.5, LIT_EDGE, align="center")
    sheet.box(24, 268, 16, 16, BUILT, BUILT_EDGE, 4)
    sheet.text(48, 276, "lives while the container runs", 11.5, INK)
    sheet.box(290, 268, 16, 16, "#fff7ed", LIT, 4, 1.4, "--")
    sheet.text(314, 276, "has ended by then", 11.5, INK)
    sheet.text(478, 276, "the orange line: a bundle, and words such as create and start", 11.5, LIT_EDGE)
    return sheet.picture(
        "Docker, Podman and Kubernetes all come to a small process that stays with the container, and that calls the "
        "runtime, which ends at once, while your program runs on"
    )


def two_tiers() -> Picture:
    """From the browser to the volume: who asks whom, and what a container loses when it goes."""
    sheet = _Sheet(920, 250)
    sheet.box(196, 20, 548, 150, FAINT, HOST, 12, 2)
    sheet.text(212, 42, "three containers on one network", 11, MUTED)
    parts = (
        (30, 120, "browser", "", CARD, HOST),
        (216, 140, "nginx", "port 80", BUILT, BUILT_EDGE),
        (406, 140, "app", "port 8000", BUILT, BUILT_EDGE),
        (596, 130, "MariaDB", "port 3306", BUILT, BUILT_EDGE),
    )
    for x, width, name, detail, face, edge in parts:
        _block(sheet, x, 74, width, 66, name, detail, face, edge)
    _block(sheet, 786, 74, 110, 66, "volume", "rows", "#fff7ed", LIT)
    for x, to in ((150, 214), (356, 404), (546, 594), (726, 784)):
        sheet.arrow(x, 107, to, 107, LIT_EDGE)
    sheet.text(173, 92, "8018", 11, LIT_EDGE, "bold", "center", True)
    for x, words in (
        (286, "no state:\nstart as many as you like"),
        (476, "no state:\nasks for each page anew"),
        (661, "all the state is here:\nonly one, and with care"),
        (841, "outlives\nthem all"),
    ):
        sheet.text(x, 206, words, 11, MUTED, align="center")
    return sheet.picture(
        "a browser asks nginx, nginx asks the app, the app asks MariaDB, and MariaDB keeps its rows on a volume, which "
        "outlives the containers"
    )


def three_places() -> Picture:
    """The way of a written word: the program's memory, the kernel's, the disk; and what each accident takes."""
    sheet = _Sheet(920, 300)
    places = (
        (30, "the program's memory", "a buffer", BUILT, BUILT_EDGE, INK),
        (350, "the kernel's memory", "the page cache", _KERNEL, "none", "#f8fafc"),
        (670, "the disk", "", "#fff7ed", LIT, INK),
    )
    for x, name, detail, face, edge, ink in places:
        _block(sheet, x, 60, 220, 64, name, detail, face, edge, ink)
    for x, call in ((252, "flush"), (572, "fsync")):
        sheet.arrow(x, 92, x + 96, 92, LIT_EDGE)
        sheet.text(x + 48, 76, call, 12, LIT_EDGE, "bold", "center", True)
    sheet.text(300, 108, "write(2)", 11, MUTED, align="center", mono=True)
    sheet.text(30, 34, "print(…, file=file)", 12, INK, "bold", mono=True)
    for y, name, takes in ((160, "kill -9", 1), (222, "power cut", 2)):
        sheet.text(30, y - 8, f"what a {name} takes" if takes == 2 else f"what {name} takes", 11, MUTED)
        for number, (x, *_) in enumerate(places):
            lost = number < takes
            sheet.box(x, y + 4, 220, 28, "#475569" if lost else _GREEN, "none", 6)
            sheet.text(x + 110, y + 18, "lost" if lost else "still there", 12, CARD, "bold", "center")
    return sheet.picture(
        "a written word goes from the program's memory by flush to the kernel's, and from there by fsync to the disk; "
        "kill -9 takes the first of the three, a power cut the first two"
    )


def a_birth() -> Picture:
    """Two lanes, the parent's and the child's, from the fork to the exec, with the two messages between them."""
    sheet = _Sheet(920, 288)
    for y, words, detail in ((34, "the parent", "mini_docker.py"), (176, "the child", "process 1")):
        sheet.text(24, y + 24, words, 12, INK, "bold")
        sheet.text(24, y + 44, detail, 11, MUTED)
    parent = (
        (140, 104, "group, limits", "control group"),
        (252, 104, "unshare pid", "fork"),
        (500, 104, "the cable", "ip, nft"),
        (690, 190, "wait, clean up", "exit status"),
    )
    for x, width, name, detail in parent:
        _block(sheet, x, 30, width, 58, name, detail, BUILT, BUILT_EDGE)
    child = (
        (300, "namespaces", "private"),
        (402, "root", "volumes, limits"),
        (504, "network", "waits"),
        (606, "pivot", "system, hide"),
        (708, "exec", "the command"),
    )
    for x, name, detail in child:
        _block(sheet, x, 172, 94, 58, name, detail, "#fff7ed", LIT)
    sheet.arrow(304, 92, 340, 168, LIT_EDGE)
    sheet.arrow(526, 168, 540, 92, LIT_EDGE)
    sheet.arrow(586, 92, 570, 168, LIT_EDGE)
    sheet.arrow(752, 168, 752, 92, MUTED)
    sheet.text(262, 130, "fork", 11, LIT_EDGE, "bold")
    sheet.text(448, 130, "I am in", 11, LIT_EDGE, "bold")
    sheet.text(590, 130, "plugged in", 11, LIT_EDGE, "bold")
    sheet.text(762, 130, "its end of the line closes", 11, MUTED)

    sheet.text(
        300, 254, "left of pivot: files and programs of the host are in reach; right of it: the container's", 11, MUTED
    )
    return sheet.picture(
        "the parent makes the control group and forks; the child takes its namespaces, root, volumes and limits, says "
        "that it is in, and waits while the parent plugs the cable in; then come pivot, system and hide, and the exec "
        "closes its end of the line, so that the parent knows; the parent waits for its end and cleans up"
    )
