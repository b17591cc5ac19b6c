"""Chapter 04: what the first line of a script says, which libraries a loader finds, and a root for one program."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager

from minict.engine.images import hostimage
from minict.kernel import mount as k
from minict.runtime.errors import ContainerError

from ..exercise import Exercise, Feedback, same_fate

_IMPORTS = """
    import os
    import shutil
    import subprocess
    from minict import ContainerError
    from minict.engine.images.hostimage import copy_file, find_program, libraries, interpreter
"""


# ---- root-1 ----------------------------------------------------------------------------------------------------

# (the beginning of the file, the words, why)
_FILES = (
    (b"#!/bin/sh\necho hello\n", ["/bin/sh"], "That is the plainest of scripts."),
    (b"#! /bin/sh\n", ["/bin/sh"], "A blank after the two signs is allowed: execve(2)."),
    (
        b"#!/usr/bin/env -S python3 -u\nprint()\n",
        ["/usr/bin/env", "-S", "python3", "-u"],
        "The interpreter may have arguments; each word counts.",
    ),
    (b"echo hello\n#!/bin/sh\n", [], "The kernel looks at the first two bytes of the file, and these are not #!."),
    (b"# a note: #!/bin/sh\n", [], "The kernel looks at the first two bytes of the file, and these are not #!."),
    (b"! #/bin/sh\n", [], "The kernel looks at the first two bytes of the file, and these are not #!."),
    (b"#!/bin/sh", ["/bin/sh"], "A file may end without an end of line."),
    (b"", [], "An empty file is no script."),
    (
        b"\x7fELF\xff\xfe\x00\x01",
        [],
        "That is how a program begins that is no script. It is no text at all: keep the "
        "line as bytes until you know "
        "that it is a script.",
    ),
    (
        b"#!/opt/caf\xe9/sh\n",
        [os.fsdecode(b"/opt/caf\xe9/sh")],
        "A path may hold any byte, and os.fsdecode() turns each into text.",
    ),
)


def check_shebang(shebang):
    """Small files of all kinds; and one that the kernel really starts: does it start what shebang() says?"""
    for beginning, words, why in _FILES:
        with open("file", "wb") as file:
            file.write(beginning)
        answer = _shebang_of(shebang, beginning)
        if answer is None:
            raise Feedback(
                f"shebang() returned None for a file that begins with {beginning!r}. Every way through the "
                "function must end with return and a list."
            )
        if isinstance(answer, (str, bytes)):
            raise Feedback(
                f"shebang() returned the text {answer!r} for a file that begins with {beginning!r}. "
                "Expected is a "
                f"list of words: {words}. text.split() makes one."
            )
        if any(isinstance(word, bytes) for word in answer):
            raise Feedback(
                f"shebang() returned {answer!r} for a file that begins with {beginning!r}. These words "
                "are bytes, and "
                f"expected is text: {words}. os.fsdecode() makes text of bytes."
            )
        if answer != words:
            raise Feedback(
                f"shebang() returned {answer!r} for a file that begins with {beginning!r}. Expected: {words}. {why}"
            )
    reader = hostimage.find_program("cat")
    with open("file", "w") as file:
        file.write(f"#!{reader}\nread by the kernel's choice\n")
    os.chmod("file", 0o755)
    started = subprocess.run([os.path.abspath("file")], capture_output=True, text=True).stdout  # cat shows the script
    if shebang("file") != started.splitlines()[0].removeprefix("#!").split():
        raise Feedback(f"the kernel started {reader} for a script, and shebang() says {shebang('file')!r}.")


def _shebang_of(shebang, beginning: bytes):
    try:
        return shebang("file")
    except UnicodeDecodeError:
        raise Feedback(
            f"shebang() could not read a file that begins with {beginning!r} as text. It need not be "
            "text: keep the line as "
            "bytes until you know that it is a script, then use os.fsdecode()."
        ) from None


Exercise(
    "root-1",
    "Who runs this script?",
    minutes=5,
    difficulty=1,
    reference=hostimage.shebang,
    check=check_shebang,
    imports=_IMPORTS,
    starter='''
        def shebang(program):
            """The words after #! in the first line of a script; an empty list when program is no script."""
            with open(program, "rb") as file:
                line = file.readline(256)    # bytes: a program need not be text
            ...
    ''',
    hints=[
        'Two cases: line.startswith(b"#!") or not. What does the function return in each?',
        "What follows the first two bytes is line[2:]. os.fsdecode() makes text of bytes, as paths need it.",
        'os.fsdecode(line[2:]).split() is the list, if the line starts with b"#!"; else it is [].',
    ],
    wrong={
        "as a text": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).strip() if line.startswith(b"#!") else []
        """,
            "Expected is a list of words",
        ),
        "nothing for others": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                if line.startswith(b"#!"):
                    return os.fsdecode(line[2:]).split()
        """,
            "returned None",
        ),
        "does not look": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).split()
        """,
            "looks at the first two bytes",
        ),
        "anywhere in the line": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line.partition(b"#!")[2]).split()
        """,
            "looks at the first two bytes",
        ),
        "the interpreter alone": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).split()[:1] if line.startswith(b"#!") else []
        """,
            "each word counts",
        ),
        "bytes": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return line[2:].split() if line.startswith(b"#!") else []
        """,
            "These words are bytes",
        ),
        "with the two signs": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line).split() if line.startswith(b"#!") else []
        """,
            "Expected: ['/bin/sh']",
        ),
        "reads text": (
            """
            def shebang(program):
                with open(program) as file:
                    line = file.readline()
                return line[2:].split() if line.startswith("#!") else []
        """,
            "keep the line as bytes",
        ),
        "splits at single blanks": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).rstrip().split(" ") if line.startswith(b"#!") else []
        """,
            "A blank after the two signs",
        ),
    },
)


# ---- root-2 ----------------------------------------------------------------------------------------------------


@contextmanager
def running(*words: str):
    """The pid of a program that repeats its input, once it has done so: it is started then, and waits for more."""
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})
    try:
        process.stdin.write(b"echo\n")
        process.stdin.flush()
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def code_of(pid: int) -> set[str]:
    """The files whose code the process *pid* has in memory: what the kernel shows in /proc/PID/maps."""
    with open(f"/proc/{pid}/maps") as maps:
        fields = [line.split(maxsplit=5) for line in maps]
    return {field[5].strip() for field in fields if len(field) == 6 and "x" in field[1] and field[5].startswith("/")}


def check_ask_loader(ask_loader):
    """Two programs that are running: are the libraries that ask_loader() tells those that they have in memory?"""
    for name, *options in (("cat",), ("bash", "--norc", "-s")):
        program = hostimage.find_program(name)
        loader = hostimage.interpreter(program)
        if loader is None:
            continue  # a static one; bash is none anywhere
        call = f"ask_loader(LOADER, {program!r})"
        with running(program, *options) as pid:
            truth = code_of(pid) - {os.path.realpath(program)}
        answer = ask_loader(loader, program)
        check_paths(answer, call)
        check_against_memory({os.path.realpath(path) for path in answer}, truth, os.path.realpath(loader), call)
    os.symlink(program, "link")  # a name without a slash would be looked for among the libraries
    if ask_loader(loader, "link") != answer:
        raise Feedback(
            f"ask_loader(LOADER, 'link'), with a link to {program} in the working directory, gives "
            "another answer than "
            f"{call}. os.path.realpath(file) was there for that."
        )
    check_missing(ask_loader, hostimage.find_program("bash"), truth - {os.path.realpath(loader)})


def check_paths(answer, call: str) -> None:
    if answer is None:
        raise Feedback(f"{call} returned None. Collect the paths in a list, and return it at the end.")
    if not isinstance(answer, list) or not all(isinstance(path, str) for path in answer):
        raise Feedback(f"{call} returned {answer!r}. Expected is a list of paths.")
    for path in answer:
        if "vdso" in path:
            raise Feedback(
                f"{call} returned {path!r} among others. linux-vdso is no file: the kernel gives it to "
                "each program "
                "by itself. Take only what begins with a slash."
            )
        if "=>" in path:
            raise Feedback(
                f'{call} returned {path!r}, a whole line. The path stands after the arrow; line.split(" '
                '=> ")[-1] is '
                "what comes after it, or all of the line when there is no arrow."
            )
        if "(0x" in path:
            raise Feedback(f'{call} returned {path!r}: the address is still there. Cut the line at " (0x".')
        if not path.startswith("/") or not os.path.exists(path):
            raise Feedback(
                f"{call} returned {path!r}, which is no path of a file. Take what stands between the "
                "arrow and "
                "the address, without blanks around it."
            )


def check_against_memory(answer: set[str], truth: set[str], loader: str, call: str) -> None:
    if not answer & truth:
        raise Feedback(
            f"{call} returned no library at all. The program runs with {_names(truth - {loader})} in memory."
        )
    if missing := truth - answer - {loader}:
        raise Feedback(f"{call} forgets {_names(missing)}: the running program has that in memory (/proc/PID/maps).")
    if too_many := answer - truth:
        raise Feedback(f"{call} has {_names(too_many)} too, which the running program does not have in memory.")


def check_missing(ask_loader, program: str, libraries: set[str]) -> None:
    """With an empty file in the place of one of its libraries the program could not be started."""
    open("empty", "w").close()
    k.mount("empty", min(libraries), None, k.MS_BIND)
    try:
        answer = ask_loader(hostimage.interpreter(program), program)
    except ContainerError:
        return
    raise Feedback(
        f"{os.path.basename(min(libraries))} was made unusable, and ask_loader() returned {answer!r} as "
        "if all were well. "
        "When the loader ends with another status than 0, raise ContainerError."
    )


def _names(paths) -> str:
    return ", ".join(sorted(os.path.basename(path) for path in paths))


Exercise(
    "root-2",
    "Ask the loader",
    minutes=8,
    difficulty=2,
    reference=hostimage.ask_loader,
    check=check_ask_loader,
    imports=_IMPORTS,
    starter='''
        def ask_loader(loader, file):
            """The paths of the shared libraries that loader finds for file."""
            result = subprocess.run([loader, "--list", os.path.realpath(file)], env={}, capture_output=True, text=True)
            if result.returncode:
                raise ContainerError(f"{file} could not be started even here: {result.stderr}")
            paths = []
            for line in result.stdout.splitlines():
                ...    # the path in this line, if there is one
            return paths
    ''',
    hints=[
        'Cut the line from both sides. What comes before " (0x"? Of that, what comes after " => ", if that is there?',
        'line.split(" (0x")[0] is what comes before the address. text.split(" => ")[-1] is what comes after the '
        "arrow, or all of "
        "the text when there is no arrow. text.strip() takes the tab away.",
        'path = line.split(" (0x")[0].split(" => ")[-1].strip(), and paths.append(path) if path.startswith("/").',
    ],
    wrong={
        "whole lines": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                return [line.strip() for line in result.stdout.splitlines() if "=>" in line]
        """,
            "a whole line",
        ),
        "with the address": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                return [line.split(" => ")[1] for line in result.stdout.splitlines() if " => " in line]
        """,
            "the address is still there",
        ),
        "the kernel's own as well": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                return [line.split(" (0x")[0].split(" => ")[-1].strip() for line in result.stdout.splitlines()]
        """,
            "linux-vdso is no file",
        ),
        "names": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                return [line.split(" => ")[0].strip() for line in result.stdout.splitlines() if " => " in line]
        """,
            "which is no path of a file",
        ),
        "with the tab": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                paths = [line.split(" (0x")[0].split(" => ")[-1] for line in result.stdout.splitlines()]
                return [path for path in paths if "/" in path]
        """,
            "without blanks around it",
        ),
        "the first one": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                for line in result.stdout.splitlines():
                    path = line.split(" (0x")[0].split(" => ")[-1].strip()
                    if path.startswith("/"):
                        return [path]
        """,
            "forgets libc.so.6",
        ),
        "nothing is missing": (
            """
            def ask_loader(loader, file):
                file = os.path.realpath(file)
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                paths = [line.split(" (0x")[0].split(" => ")[-1].strip() for line in result.stdout.splitlines()]
                return [path for path in paths if path.startswith("/")]
        """,
            "as if all were well",
        ),
        "forgets to return": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                paths = []
                for line in result.stdout.splitlines():
                    paths.append(line.split(" (0x")[0].split(" => ")[-1].strip())
        """,
            "returned None",
        ),
    },
)


# ---- root-3 ----------------------------------------------------------------------------------------------------


def check_copy_program(copy_program):
    """A program and a script, each alone in an empty root: they must run there, and nothing else may be there."""
    shell, script = hostimage.find_program("bash"), os.path.abspath("greet")
    with open(script, "w") as file:
        file.write(f"#!{shell}\necho hello\n")
    os.chmod(script, 0o755)
    for root, program, words in (("one", shell, ["bash", "-c", "echo hello"]), ("two", script, ["greet"])):
        os.mkdir(root)
        call = f"copy_program({program!r}, rootfs)" if program == shell else "copy_program() with a script of bash"
        copy_program(program, os.path.abspath(root))
        expected = {os.path.realpath(path) for path in [program, *hostimage.libraries(program)]}
        check_place(root, program, expected, call)
        check_run(root, program, words, call)


def check_place(root: str, program: str, expected: set[str], call: str) -> None:
    top = os.path.abspath(root)
    if not os.listdir(root):
        raise Feedback(f"after {call} rootfs is still empty.")
    if not os.path.lexists(f"{top}{program}"):
        raise Feedback(
            f"after {call} there is no {program} below rootfs: each file must have the same path inside "
            "as outside. "
            f"In rootfs is: {', '.join(sorted(os.listdir(root))[:4])}."
        )
    files = {
        path[len(top) :]: path
        for parent, _, names in os.walk(top)
        for name in names
        if not os.path.islink(path := f"{parent}/{name}")
    }
    if missing := {path for path in expected if path not in files}:
        kind = "what the loader and the program name" if len(missing) > 1 else "one file"
        raise Feedback(
            f"after {call} something is missing ({kind}): {_names(missing)}. All of libraries(program) "
            "must be there, and "
            "as files: a link to the host leads nowhere from inside."
        )
    for inside, path in files.items():
        if os.path.exists(inside) and os.path.samefile(inside, path):
            raise Feedback(
                f"after {call} {os.path.basename(inside)} is not a copy: it is the host's own file under "
                "a second name, and whoever "
                "writes to it in there changes the host's program."
            )
    if too_many := files.keys() - expected:
        raise Feedback(
            f"after {call} there are {len(too_many)} files more than needed, such as {min(too_many)}. "
            "Copy exactly the program "
            "and libraries(program)."
        )


def check_run(root: str, program: str, words: list[str], call: str) -> None:
    def inside():
        os.chroot(root)
        os.chdir("/")
        return subprocess.run(words, executable=program, capture_output=True, text=True, env={}).stdout

    try:
        said = same_fate(inside)
    except OSError as error:
        raise Feedback(
            f"after {call} it can't be started in rootfs: {errno.errorcode[error.errno]}, "
            f"{error.strerror}. Is its mode the "
            "same? copy_file() keeps it."
        ) from None
    if said != "hello\n":
        raise Feedback(f"after {call} it was started in rootfs and should have said hello; it said {said!r}.")


Exercise(
    "root-3",
    "Pack the suitcase",
    minutes=5,
    difficulty=1,
    reference=hostimage.copy_program,
    check=check_copy_program,
    imports=_IMPORTS,
    starter='''
        def copy_program(program, rootfs):
            """Copy program, with all that it needs to start, to the same places below rootfs."""
            ...
    ''',
    hints=[
        "You have both parts: libraries(program) says what is needed, copy_file(path, rootfs) copies one file.",
        "The program itself is not among its libraries: [program, *libraries(program)] is the whole list.",
        "for path in [program, *libraries(program)]: copy_file(path, rootfs)",
    ],
    wrong={
        "the program alone": (
            """
            def copy_program(program, rootfs):
                copy_file(program, rootfs)
        """,
            "something is missing",
        ),
        "without the program": (
            """
            def copy_program(program, rootfs):
                for path in libraries(program):
                    copy_file(path, rootfs)
        """,
            "the same path inside as outside",
        ),
        "without the loader": (
            """
            def copy_program(program, rootfs):
                for path in [program, *libraries(program)]:
                    if path != interpreter(program):
                        copy_file(path, rootfs)
        """,
            "something is missing",
        ),
        "all in one place": (
            """
            def copy_program(program, rootfs):
                for path in [program, *libraries(program)]:
                    shutil.copy(path, rootfs)
        """,
            "the same path inside as outside",
        ),
        "links to the host": (
            """
            def copy_program(program, rootfs):
                for path in [program, *libraries(program)]:
                    os.makedirs(rootfs + os.path.dirname(path), exist_ok=True)
                    os.symlink(os.path.realpath(path), rootfs + path)
        """,
            "leads nowhere from inside",
        ),
        "the directories": (
            """
            def copy_program(program, rootfs):
                for path in [program, *libraries(program)]:
                    copy_file(path, rootfs)
                for name in ("passwd", "group"):
                    copy_file(f"/etc/{name}", rootfs)
        """,
            "files more than needed",
        ),
        "without the mode": (
            """
            def copy_program(program, rootfs):
                for path in [program, *libraries(program)]:
                    copy_file(path, rootfs)
                    os.chmod(rootfs + os.path.realpath(path), 0o644)
        """,
            "can't be started",
        ),
        "the first library": (
            """
            def copy_program(program, rootfs):
                for path in [program, *libraries(program)]:
                    return copy_file(path, rootfs)
        """,
            "something is missing",
        ),
    },
)
