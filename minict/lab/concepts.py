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
:func:`walls`                   chapter 12: what a system call of a container has to pass
:func:`two_doors`               chapter 15: two paths to one directory, and names that lead to inodes
:func:`a_birth`                 chapter 16: what parent and child do, and where one waits for the other
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
    sheet.box(30, 24, 400, 180, FAINT, HOST, 12, 2)
    sheet.box(490, 24, 400, 180, "#fff7ed", LIT, 12, 2)
    for x, name, colour in ((50, "laptop", MUTED), (510, "box", LIT_EDGE)):
        sheet.text(x, 48, "uts namespace, with the host name", 11, MUTED)
        sheet.text(x, 72, name, 16, colour, "bold", mono=True)
    for x, y, name in ((50, 100, "browser"), (180, 100, "shell"), (50, 150, "this notebook")):
        _block(sheet, x, y, 120 if len(name) < 9 else 160, 36, name, "", CARD, HOST)
    for x, y, name in ((640, 100, "sleep"), (640, 150, "its child")):
        _block(sheet, x, y, 130, 36, name, "", CARD, LIT)
    sheet.arrow(302, 110, 638, 110, LIT_EDGE)
    sheet.box(376, 84, 180, 22, CARD, LIT, 6)
    sheet.text(466, 95, "unshare: a new room", 12, LIT_EDGE, "bold", "center")
    sheet.arrow(212, 178, 638, 178, _BLUE)
    sheet.box(356, 184, 220, 22, CARD, _BLUE, 6)
    sheet.text(466, 195, "setns: into an existing room", 12, _BLUE, "bold", "center")
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
