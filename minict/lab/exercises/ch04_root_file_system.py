"""Chapter 04: what the first line of a script says, which libraries a loader finds, and a root for one program."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
from contextlib import contextmanager

from minict.engine.images import hostimage
from minict.kernel import mount as k
from minict.runtime.errors import ContainerError

from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback

_IMPORTS = """
    import os
    import shutil
    import subprocess
    from minict import ContainerError
    from minict.engine.images.hostimage import copy_file, find_program, libraries, interpreter
"""


# ---- root-1 ----------------------------------------------------------------------------------------------------

_NO_SCRIPT = "The kernel looks at the first two bytes of the file, and these are not #!."

# (the beginning of the file, the answer, why)
_FILES = (
    (b"#!/bin/sh\necho hello\n", ["/bin/sh"], "That is the plainest of scripts."),
    (b"#! /bin/sh\n", ["/bin/sh"], "A blank after the two signs is allowed: execve(2)."),
    (b"#!/bin/sh -e\n", ["/bin/sh", "-e"], "An interpreter may have an argument."),
    (
        b"#!/usr/bin/env -S python3 -u\nprint()\n",
        ["/usr/bin/env", "-S python3 -u"],
        "The kernel passes all that follows the interpreter as ONE argument: split only once, text.split(maxsplit=1).",
    ),
    (b"#!/bin/sh -e \n", ["/bin/sh", "-e"], "The kernel drops blanks at the end."),
    (
        b"#!/bin/sh \t -e\n",
        ["/bin/sh", "-e"],
        "Several blanks and tabs count as one: text.split(maxsplit=1) knows that.",
    ),
    (b"echo hello\n#!/bin/sh\n", [], _NO_SCRIPT),
    (b"# a note: #!/bin/sh\n", [], _NO_SCRIPT),
    (b"! #/bin/sh\n", [], _NO_SCRIPT),
    (b"#!/bin/sh", ["/bin/sh"], "A file may end without an end of line."),
    (b"", [], "An empty file is not a script."),
    (
        b"\x7fELF\xff\xfe\x00\x01",
        [],
        "That is how machine code begins. It is not text: keep the line as bytes until you know that it is a script.",
    ),
    (
        b"#!/opt/caf\xe9/sh\n",
        [os.fsdecode(b"/opt/caf\xe9/sh")],
        "A path may hold any byte, and os.fsdecode() turns each into text.",
    ),
)


def check_shebang(shebang):
    """Small files of all kinds; and one that the kernel really starts: is what it gets what shebang() returns?"""
    for beginning, expected, why in _FILES:
        with open("file", "wb") as file:
            file.write(beginning)
        call = f"shebang(program), with a file that begins with {beginning!r},"
        answer = _shebang_of(shebang, beginning)
        if answer is None:
            raise Feedback(f"{call} returned None. Every way through the function must end with return and a list.")
        if isinstance(answer, (str, bytes)):
            raise Feedback(
                f"{call} returned the text {answer!r}. Expected: a list, {expected}. text.split(maxsplit=1) makes one."
            )
        answer = list(answer)
        if any(isinstance(word, bytes) for word in answer):
            raise Feedback(
                f"{call} returned {answer!r}, which are bytes. Expected: text, {expected}. os.fsdecode() makes text of "
                "bytes."
            )
        if [word.strip() for word in answer] == expected and b"\t" not in beginning:
            why = "The kernel drops blanks and the end of the line: text.strip()."
        if answer and answer[0].startswith("#!"):
            why = "The first two bytes, #!, are not a part of the path: line[2:] is what follows them."
        if answer != expected:
            raise Feedback(f"{call} returned {answer!r}. Expected: {expected}. {why}")
    _check_with_kernel(shebang)


def _check_with_kernel(shebang) -> None:
    """A script of a script of printf: the kernel passes the interpreter, its one argument and the path."""
    printf = hostimage.find_program("printf")
    with open("file", "w") as file:
        file.write(f"#!{printf} <%s> a b\n")
    os.chmod("file", 0o755)
    shown = subprocess.run([os.path.abspath("file")], capture_output=True, text=True).stdout
    answer = list(shebang("file"))
    if len(answer) != 2 or shown != answer[1].replace("%s", os.path.abspath("file")):
        raise Feedback(f"the kernel gave {printf} one argument, '<%s> a b', and shebang() returned {answer!r}.")


def _shebang_of(shebang, beginning: bytes):
    try:
        return shebang("file")
    except UnicodeDecodeError:
        raise Feedback(
            f"shebang() could not read a file that begins with {beginning!r} as text. It need not be text: keep the "
            "line as bytes until you know that it is a script, then use os.fsdecode()."
        ) from None


Exercise(
    "root-1",
    "Who runs this script?",
    minutes=7,
    difficulty=2,
    reference=hostimage.shebang,
    check=check_shebang,
    imports=_IMPORTS,
    starter='''
        def shebang(program):
            """Return [interpreter] or [interpreter, argument] of a script; [] if program is not a script."""
            with open(program, "rb") as file:
                line = file.readline(256)    # bytes: a program need not be text
            ...
    ''',
    hints=[
        'Two cases: line.startswith(b"#!") or not. What does the function return in each?',
        "What follows the first two bytes is line[2:]. os.fsdecode() makes text of bytes, .strip() removes blanks at "
        "both ends.",
        'os.fsdecode(line[2:]).strip().split(maxsplit=1) is the list, if the line starts with b"#!"; else return [].',
    ],
    right={
        "a regular expression": """
            def shebang(program):
                import re
                with open(program, "rb") as file:
                    found = re.match(rb"#![ \\t]*(\\S+)[ \\t]*([^\\n]*)", file.readline(256))
                if not found:
                    return []
                words = [os.fsdecode(found[1]), os.fsdecode(found[2]).rstrip()]
                return words if words[1] else words[:1]
        """,
        "partition": """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                if line[:2] != b"#!":
                    return []
                first, _, rest = os.fsdecode(line[2:]).strip().partition(" ")
                return [word for word in (first, rest.strip()) if word]
        """,
        "bytes to the end": """
            def shebang(program):
                with open(program, "rb") as file:
                    start = file.read(2)
                    rest = file.readline(254)
                return [os.fsdecode(each) for each in rest.strip().split(None, 1)] if start == b"#!" else []
        """,
    },
    wrong={
        "as a text": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).strip() if line.startswith(b"#!") else []
        """,
            "Expected: a list",
        ),
        "nothing for others": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                if line.startswith(b"#!"):
                    return os.fsdecode(line[2:]).strip().split(maxsplit=1)
        """,
            "returned None",
        ),
        "does not look": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).strip().split(maxsplit=1)
        """,
            "looks at the first two bytes",
        ),
        "anywhere in the line": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line.partition(b"#!")[2]).strip().split(maxsplit=1)
        """,
            "looks at the first two bytes",
        ),
        "every word": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
        """,
            "as ONE argument",
        ),
        "the interpreter alone": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).split()[:1] if line.startswith(b"#!") else []
        """,
            "may have an argument",
        ),
        "bytes": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return line[2:].strip().split(maxsplit=1) if line.startswith(b"#!") else []
        """,
            "which are bytes",
        ),
        "with the two signs": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line).strip().split(maxsplit=1) if line.startswith(b"#!") else []
        """,
            "line[2:] is what follows them",
        ),
        "reads text": (
            """
            def shebang(program):
                with open(program) as file:
                    line = file.readline()
                return line[2:].strip().split(maxsplit=1) if line.startswith("#!") else []
        """,
            "keep the line as bytes",
        ),
        "at the first single blank": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).strip().split(" ", 1) if line.startswith(b"#!") else []
        """,
            "Several blanks and tabs count as one",
        ),
        "keeps the blanks": (
            """
            def shebang(program):
                with open(program, "rb") as file:
                    line = file.readline(256)
                return os.fsdecode(line[2:]).split(maxsplit=1) if line.startswith(b"#!") else []
        """,
            "drops blanks and the end",
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
    """Two programs that are running: does ask_loader() return the libraries that they have in memory?"""
    for name, *options in (("cat",), ("bash", "--norc", "-s")):
        program = hostimage.find_program(name)
        loader = hostimage.interpreter(program)
        if loader is None:
            continue  # a static one; bash is none anywhere
        call = f"ask_loader(LOADER, {program!r})"
        with running(program, *options) as pid:
            truth = code_of(pid) - {os.path.realpath(program)}
        answer = _answer_of(ask_loader, loader, program, call)
        check_paths(answer, call)
        check_against_memory({os.path.realpath(path) for path in answer}, truth, os.path.realpath(loader), call)
        check_names(answer, loader, program, call)
    os.symlink(program, "link")  # a name without a slash would be looked for among the libraries
    if ask_loader(loader, "link") != answer:
        raise Feedback(
            f"ask_loader(LOADER, 'link'), with a link to {program} in the working directory, gives "
            "another answer than "
            f"{call}. Keep the os.path.realpath(file) of the starter."
        )
    check_missing(ask_loader, hostimage.find_program("bash"), truth - {os.path.realpath(loader)})


def _answer_of(ask_loader, loader: str, program: str, call: str):
    try:
        return ask_loader(loader, program)
    except IndexError as error:
        line = f"\n  in your line: {error.learners_line}" if getattr(error, "learners_line", "") else ""
        raise Feedback(
            f"{call} raised IndexError: {error}. Not every line has an arrow, and then nothing comes after it: [-1] is the "
            f"last piece, however many there are.{line}"
        ) from None


def check_names(answer: list[str], loader: str, program: str, call: str) -> None:
    """A program asks for a library by a name, often that of a link to the file: the path must end with it."""
    names = {os.path.basename(path) for path in answer}
    for path in hostimage.ask_loader(loader, program):
        name, file = os.path.basename(path), os.path.realpath(path)
        if os.path.realpath(loader) != file and name not in names:
            raise Feedback(
                f"{call} returned {file!r}. The loader said {path}, a link to that file, and programs ask for the library "
                f"by the name {name}: without the link they don't find it. Return the loader's own words, without "
                "os.path.realpath()."
            )


def check_paths(answer, call: str) -> None:
    if answer is None:
        raise Feedback(f"{call} returned None. Collect the paths in a list, and return it at the end.")
    if not isinstance(answer, list) or not all(isinstance(path, str) for path in answer):
        raise Feedback(f"{call} returned {answer!r}. Expected: a list of paths.")
    for path in answer:
        if "vdso" in path:
            raise Feedback(
                f"{call} returned {path!r} among others. linux-vdso is not a file: the kernel gives it to "
                "each program itself. Take only what begins with a slash."
            )
        if "=>" in path:
            raise Feedback(
                f'{call} returned {path!r}, a whole line. The path stands after the arrow; line.split(" '
                '=> ")[-1] is '
                "what comes after it, or all of the line when there is no arrow."
            )
        if "(0x" in path:
            raise Feedback(f'{call} returned {path!r}: the address is still there. Cut the line at " (0x".')
        if len(path) == 1:
            raise Feedback(
                f"{call} returned {path!r} among others, a single letter: += adds a text letter by letter. "
                "paths.append(path) adds it as a whole."
            )
        if not path.startswith("/") or not os.path.exists(path):
            raise Feedback(
                f"{call} returned {path!r}, which is not the path of a file. Take what stands between the "
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
        "if nothing were wrong. "
        "When the loader ends with another status than 0, raise ContainerError."
    )


def _names(paths) -> str:
    return ", ".join(sorted(os.path.basename(path) for path in paths))


Exercise(
    "root-2",
    "Ask the loader",
    minutes=10,
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
    right={
        "in one call": r"""
            def ask_loader(loader, file):
                import re
                result = subprocess.run([loader, "--list", os.path.realpath(file)], env={}, capture_output=True, text=True)
                if result.returncode:
                    raise ContainerError(result.stderr)
                return re.findall(r"(/\S+) \(0x", result.stdout)
        """,
        "a regular expression": """
            def ask_loader(loader, file):
                import re
                command = [loader, "--list", os.path.realpath(file)]
                result = subprocess.run(command, env={}, capture_output=True, text=True)
                if result.returncode:
                    raise ContainerError(result.stderr)
                return re.findall(r"(/\\S+) \\(0x", result.stdout)
        """,
        "by words": """
            def ask_loader(loader, file):
                command = [loader, "--list", os.path.realpath(file)]
                result = subprocess.run(command, env={}, capture_output=True, text=True)
                if result.returncode != 0:
                    raise ContainerError(f"{file}: {result.stderr}")
                words = [line.split() for line in result.stdout.splitlines()]
                return [each[-2] for each in words if len(each) > 1 and each[-2].startswith("/")]
        """,
        "without the loader itself": """
            def ask_loader(loader, file):
                try:
                    command = [loader, "--list", os.path.realpath(file)]
                    output = subprocess.check_output(command, env={}, text=True, stderr=subprocess.STDOUT)
                except subprocess.CalledProcessError as error:
                    raise ContainerError(error.output)
                return [line.split(" => ")[1].split()[0] for line in output.splitlines() if " => /" in line]
        """,
    },
    wrong={
        "real paths": (
            """
            def ask_loader(loader, file):
                file = os.path.realpath(file)
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                paths = [line.split(" (0x")[0].split(" => ")[-1].strip() for line in result.stdout.splitlines()]
                return [os.path.realpath(path) for path in paths if path.startswith("/")]
        """,
            "programs ask for the library by the name",
        ),
        "always an arrow": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                return [line.split(" => ")[1].split(" (0x")[0] for line in result.stdout.splitlines()]
        """,
            "Not every line has an arrow",
        ),
        "letter by letter": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                paths = []
                for line in result.stdout.splitlines():
                    path = line.split(" (0x")[0].split(" => ")[-1].strip()
                    if path.startswith("/"):
                        paths += path
                return paths
        """,
            "paths.append(path)",
        ),
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
            "linux-vdso is not a file",
        ),
        "names": (
            """
            def ask_loader(loader, file):
                result = subprocess.run([loader, "--list", file], env={}, capture_output=True, text=True)
                return [line.split(" => ")[0].strip() for line in result.stdout.splitlines() if " => " in line]
        """,
            "which is not the path of a file",
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
            "as if nothing were wrong",
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
        _call_copy_program(copy_program, program, os.path.abspath(root), call)
        check_place(root, program, call)
        check_run(root, program, words, call)


def _call_copy_program(copy_program, program: str, root: str, call: str) -> None:
    try:
        copy_program(program, root)
    except (AttributeError, TypeError) as error:
        if "NoneType" in str(error) and hostimage.shebang(program):
            raise Feedback(
                f"{call} raised {type(error).__name__}: {error}. A script names no loader of its own: interpreter() returns "
                "None for it. libraries(program) knows what scripts need, too."
            ) from None
        if "list" not in str(error):
            raise
        raise Feedback(
            f"{call} raised {type(error).__name__}: {error}. libraries(program) is a list of paths, and copy_file() takes "
            "one path: call it in a loop. [program, *libraries(program)] is a list of all."
        ) from None


def check_place(root: str, program: str, call: str) -> None:
    """Each file that the program needs is in *root* at its own path, by its content, and nothing else is there."""
    top = os.path.abspath(root)
    needed = [program, *hostimage.libraries(program)]
    if not os.listdir(root):
        raise Feedback(f"after {call} rootfs is still empty: nothing called copy_file(path, rootfs).")
    contents = {path: _digest(path) for path in needed}
    found = same_fate(lambda: (os.chroot(top), os.chdir("/"), {path: _digest(path) for path in needed})[2])
    if [path for path in needed if not found[path]] == [program] != needed and not os.path.islink(f"{top}{program}"):
        raise Feedback(
            f"after {call} the program itself is missing inside rootfs: libraries(program) are only the files that it "
            f"needs. {program} must be copied too."
        )
    if not found[program] and not os.path.islink(f"{top}{program}"):
        raise Feedback(
            f"after {call} nothing can be opened at {program} inside rootfs: each file must have the same path inside "
            "as "
            f"outside. In rootfs is: {', '.join(sorted(os.listdir(root))[:4])}."
        )
    if missing := [path for path in needed if not found[path]]:
        link = next((path for path in missing if os.path.islink(f"{top}{path}")), None)
        why = " Keep each path as it is, without os.path.realpath()."
        if link:
            why = " A link to the host leads nowhere from inside."
        elif any(os.path.exists(f"{root}/{os.path.basename(path)}") for path in missing):
            why = " Some lie in rootfs itself: inside, each must have the same path as outside. copy_file() does that."
        raise Feedback(
            f"after {call} something is missing inside rootfs: {', '.join(missing)}. All of libraries(program) must be "
            f"there.{why}"
        )
    if changed := [path for path in needed if found[path] != contents[path]]:
        raise Feedback(f"after {call} the file at {changed[0]} inside rootfs is not the same as outside.")
    files = [
        path for parent, _, names in os.walk(top) for name in names if not os.path.islink(path := f"{parent}/{name}")
    ]
    hosts = {(status.st_dev, status.st_ino) for status in map(os.stat, needed)}
    for path in files:
        if (os.stat(path).st_dev, os.stat(path).st_ino) in hosts:
            raise Feedback(
                f"after {call} {os.path.basename(path)} is not a copy: it is the host's own file under a second name, "
                "and a process that writes to it in there changes the host's program."
            )
    if too_many := [path for path in files if _digest(path) not in contents.values()]:
        raise Feedback(
            f"after {call} there are {len(too_many)} files more than needed, such as "
            f"{min(too_many).removeprefix(top)}. "
            "Copy the program and libraries(program), nothing else."
        )


def _digest(path: str) -> str:
    """The checksum of a file's content; nothing when there is no file at *path*."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def check_run(root: str, program: str, words: list[str], call: str) -> None:
    def inside():
        os.chroot(root)
        os.chdir("/")
        return subprocess.run(words, executable=program, capture_output=True, text=True, env={}).stdout

    try:
        said = same_fate(inside)
    except OSError as error:
        why = " Is its mode the same as outside? copy_file() keeps it." if error.errno == errno.EACCES else ""
        raise Feedback(
            f"after {call} it can't be started in rootfs: {errno.errorcode[error.errno]}, {error.strerror}.{why}"
        ) from None
    if said != "hello\n":
        raise Feedback(f"after {call} it was started in rootfs and should have said hello; it said {said!r}.")


Exercise(
    "root-3",
    "Pack the suitcase",
    minutes=6,
    difficulty=1,
    reference=hostimage.copy_program,
    check=check_copy_program,
    imports=_IMPORTS,
    starter='''
        def copy_program(program, rootfs):
            """Copy program, with all that it needs to start, to the same paths below rootfs."""
            ...
    ''',
    right={
        "makedirs and copy2": """
            def copy_program(program, rootfs):
                import shutil
                for path in [program, *libraries(program)]:
                    target = rootfs + path
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    shutil.copy2(path, target)
        """,
        "cp --parents": """
            def copy_program(program, rootfs):
                import subprocess
                subprocess.run(["cp", "--parents", "-L", program, *libraries(program), rootfs], check=True)
        """,
        "tar": """
            def copy_program(program, rootfs):
                import subprocess
                names = [path.lstrip("/") for path in {program, *libraries(program)}]
                packed = subprocess.run(["tar", "-C", "/", "-ch", *names], capture_output=True, check=True).stdout
                subprocess.run(["tar", "-C", rootfs, "-x"], input=packed, check=True)
        """,
        "copy_file backwards": """
            def copy_program(program, rootfs):
                needed = libraries(program) + [program]
                while needed:
                    copy_file(needed.pop(), rootfs)
        """,
    },
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
        "real paths": (
            """
            def copy_program(program, rootfs):
                import shutil
                for path in [program, *libraries(program)]:
                    path = os.path.realpath(path)
                    os.makedirs(rootfs + os.path.dirname(path), exist_ok=True)
                    shutil.copy2(path, rootfs + path)
        """,
            "without os.path.realpath()",
        ),
        "without the program": (
            """
            def copy_program(program, rootfs):
                for path in libraries(program):
                    copy_file(path, rootfs)
        """,
            "the program itself is missing",
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
        "the list as a path": (
            """
            def copy_program(program, rootfs):
                copy_file(program, rootfs)
                copy_file(libraries(program), rootfs)
        """,
            "call it in a loop",
        ),
        "the libraries in one place": (
            """
            def copy_program(program, rootfs):
                copy_file(program, rootfs)
                for path in libraries(program):
                    shutil.copy(path, rootfs)
        """,
            "Some lie in rootfs itself",
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
        "asks the loader itself": (
            """
            def copy_program(program, rootfs):
                from minict.engine.images.hostimage import ask_loader
                for path in [program, interpreter(program), *ask_loader(interpreter(program), program)]:
                    copy_file(path, rootfs)
        """,
            "A script names no loader of its own",
        ),
        "calls itself": (
            """
            def copy_program(program, rootfs):
                for path in libraries(program):
                    copy_program(path, rootfs)
        """,
            "nothing called copy_file",
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


# ---- the challenge: lock_in ------------------------------------------------------------------------------------


def _open_high(path: str) -> int:
    """Open *path*, to be inherited, by a number that is about as high as a process may have by default."""
    low = os.open(path, os.O_RDONLY)
    highest = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1001) - 1
    os.dup2(low, highest, inheritable=True)
    os.close(low)
    return highest


def _watch_close(descriptor: int) -> None:
    """Let os.closerange() say what is wrong when it would close *descriptor* in this process, and not in a child."""
    caller, closerange = os.getpid(), os.closerange

    def watched(first: int, end: int) -> None:
        if os.getpid() == caller and first <= descriptor < end:
            raise Feedback(
                f"os.closerange({first}, {end}) ran in the process that called lock_in(), which needs its files. "
                "Only the command must not have them: call it in the child."
            )
        closerange(first, end)

    os.closerange = watched


def check_lock_in(lock_in):
    """A room with a shell and a /proc, and a caller that holds the host's / open: what can the shell reach?"""
    shell = hostimage.find_program("sh")
    os.makedirs("room/inside")
    open("outside", "w").close()
    hostimage.copy_program(shell, os.path.abspath("room"))
    os.makedirs("room/proc", exist_ok=True)
    k.mount("proc", "room/proc", "proc")
    door = _open_high("/")
    _watch_close(door)
    for script, expected, why in (
        ("exit 7", 7, "It is the exit status of the command."),
        ("kill -9 $$", 137, "Signal 9 has ended the command: 128 + 9, which exit_status() knows."),
        ("test -d /inside", 0, "/inside is a directory of the room: os.chroot(rootfs) comes first."),
        ("test -e outside", 1, "The working directory is still outside of the room: os.chdir('/') after the chroot."),
        (
            "test . -ef /",
            0,
            "The working directory is not the root of the room. Before os.chroot(), os.chdir('/') leads to the host's /, and "
            "there the command still stands: it comes after.",
        ),
        (
            f"test -e /proc/self/fd/{door}",
            1,
            f"The caller has the host's / open, by the number {door}, and the command has inherited that: through it leads "
            "a way out. Close all that is above 2 before exec: os.closerange(3, 1024).",
        ),
        (
            "test -e /proc/self/fd/0 && test -e /proc/self/fd/1 && test -e /proc/self/fd/2",
            0,
            "The command lacks one of its first three files, its input, output and error output. Close those above 2 "
            "alone.",
        ),
    ):
        call = f"lock_in(rootfs, ['sh', '-c', {script!r}])"
        status = lock_in(os.path.abspath("room"), [shell, "-c", script])
        if status is None:
            raise Feedback(f"{call} returned None. Return the exit status.")
        if status != expected:
            raw = " That is the raw wait status." if isinstance(status, int) and status == expected << 8 else ""
            if status == 128 + expected:
                raw = " exit_status() wants the wait status that os.waitpid() returns; a returncode has been decoded already."
            raise Feedback(f"{call} returned {status!r}. Expected: {expected}. {why}{raw}")


_LOCK_IN = '''
def lock_in(rootfs, words):
    """Run the command words with rootfs as its root directory; return how it ended, as a shell reports it."""
    def work():
        os.chroot(rootfs)
        os.chdir("/")
        os.closerange(3, 1024)
        os.execvp(words[0], words)
    return exit_status(os.waitpid(spawn(work), 0)[1])
'''

Challenge(
    "lock-in",
    "Lock the door, and the window",
    name="lock_in",
    minutes=10,
    difficulty=2,
    check=check_lock_in,
    imports="""
        import os
        from minict.runtime.process import exit_status, spawn
    """,
    solution=_LOCK_IN,
    hints=[
        "In a child: chroot, and go there; close what the caller has open; execute.",
        "os.closerange(3, 1024) closes all open files but the first three: input, output, error output.",
        "After the child's function: return exit_status(os.waitpid(spawn(work), 0)[1]).",
    ],
    right={
        "subprocess": """
            def lock_in(rootfs, words):
                import subprocess
                def enter():
                    os.chroot(rootfs)
                    os.chdir("/")
                code = subprocess.run(words, preexec_fn=enter, close_fds=True).returncode
                return code if code >= 0 else 128 - code
        """,
        "close on exec": """
            def lock_in(rootfs, words):
                import fcntl
                pid = os.fork()
                if pid == 0:
                    try:
                        for name in os.listdir("/proc/self/fd"):
                            try:
                                if int(name) > 2:
                                    os.set_inheritable(int(name), False)
                            except OSError:
                                pass
                        os.chdir(rootfs)
                        os.chroot(".")
                        os.execv(words[0], words)
                    finally:
                        os._exit(127)
                return exit_status(os.waitpid(pid, 0)[1])
        """,
        "the command chroot": """
            def lock_in(rootfs, words):
                import subprocess
                code = subprocess.Popen(["chroot", rootfs, *words]).wait()
                return code if code >= 0 else 128 - code
        """,
    },
    wrong={
        "no chdir": (
            edited(_LOCK_IN, ('        os.chdir("/")\n', "")),
            "working directory is still outside",
        ),
        "chdir too early": (
            edited(
                _LOCK_IN,
                (
                    '        os.chroot(rootfs)\n        os.chdir("/")',
                    '        os.chdir("/")\n        os.chroot(rootfs)',
                ),
            ),
            "the host's /",
        ),
        "decodes twice": (
            """
            def lock_in(rootfs, words):
                import subprocess
                def enter():
                    os.chroot(rootfs)
                    os.chdir("/")
                return exit_status(subprocess.run(words, preexec_fn=enter).returncode)
        """,
            "has been decoded already",
        ),
        "the window": (
            edited(_LOCK_IN, ("        os.closerange(3, 1024)\n", "")),
            "a way out",
        ),
        "half of the window": (
            edited(_LOCK_IN, ("os.closerange(3, 1024)", "os.closerange(3, 64)")),
            "Close all that is above 2",
        ),
        "closes the caller's files": (
            edited(
                _LOCK_IN,
                ("    def work():", "    os.closerange(3, 1024)\n    def work():"),
                ("        os.closerange(3, 1024)\n", ""),
            ),
            "call it in the child",
        ),
        "no chroot": (
            edited(_LOCK_IN, ('        os.chroot(rootfs)\n        os.chdir("/")', "        os.chdir(rootfs)")),
            "os.chroot(rootfs) comes first",
        ),
        "in the caller": (
            """
            def lock_in(rootfs, words):
                os.chroot(rootfs)
                os.chdir("/")
                return exit_status(os.waitpid(spawn(lambda: os.execvp(words[0], words)), 0)[1])
        """,
            "moved the process that called it",
        ),
        "the first three too": (
            edited(_LOCK_IN, ("os.closerange(3, 1024)", "os.closerange(0, 1024)")),
            "one of its first three files",
        ),
    },
)
