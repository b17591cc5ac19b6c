"""A root file system made from the host's own programs, without a network: each program and exactly what it needs.

Copying all of /bin, /lib, /lib64 and /usr makes a root file system too, of several gigabytes. This module finds out
what a program needs.  The kernel starts a program in one of three ways (execve(2)), and the first bytes of the file say
which:

=================  =================================================================================
a script           begins with ``#!`` and the path of its interpreter, which the kernel starts instead
a dynamic program  an ELF file that names a *dynamic loader*, which the kernel starts instead; the
                   loader finds the shared libraries, maps them into memory and jumps into the program
a static program   an ELF file that names no loader: it needs no other file
=================  =================================================================================

So the loader knows which libraries a program needs and where they are (DT_NEEDED, RPATH and RUNPATH, ``$ORIGIN``,
/etc/ld.so.cache, variants for newer processors): :func:`libraries` asks it.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterable

from minict.runtime.errors import ContainerError
from minict.runtime.place import owner

ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # root's PATH on all distributions

_PT_INTERP = 3  # elf(5)

# What programs expect even in the smallest root file system: hier(7), passwd(5), group(5)
_DIRECTORIES = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "usr/lib": 0o755,
    "var": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hosts": "",
    "etc/hostname": "",
    "etc/resolv.conf": "",  # mount points for the runtime
}

# Without busybox, the default image has those of these programs that the host has.
_USUAL_COMMANDS = """sh bash ls cat cp mv rm ln mkdir rmdir mknod touch chmod chown stat readlink realpath du df
    echo printf true false test expr seq head tail cut sort uniq wc tr tee sed grep awk find xargs date sleep timeout
    env id whoami su kill nproc ps top free hostname uname dd sync tar gzip mount umount mountpoint chroot unshare
    nsenter setpriv ip ping ss nc tty stty vi less md5sum sha256sum od yes clear""".split()


def find_program(name: str) -> str:
    """The path of the program *name* in the search path of root's shell; a path is returned unchanged.

    Raises :class:`ContainerError` if there is none.
    """
    places = [""] if "/" in name else ROOT_PATH.split(":")
    for place in places:
        path = os.path.join(place, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise ContainerError(f"{name}: program not found in {ROOT_PATH}: install it, or leave it out")


def shebang(program: str) -> list[str]:
    """The interpreter in the first line of a script and, if there is one, its single argument.

    Empty if *program* is not a script.  The kernel passes everything after the interpreter as one argument, including
    blanks.  Source: execve(2).
    """
    with open(program, "rb") as file:
        line = file.readline(256)
    return os.fsdecode(line[2:]).strip().split(maxsplit=1) if line.startswith(b"#!") else []


def interpreter(program: str) -> str | None:
    """The dynamic loader that the ELF file *program* names: the kernel starts it instead of the program.

    None for a static program, a library, and a file of another type. Raises :class:`ContainerError` for a 32-bit
    program, :class:`OSError`.  Source: elf(5), PT_INTERP.
    """
    with open(program, "rb") as file:
        header = file.read(64)
        if not header.startswith(b"\x7fELF"):
            return None
        if header[4] != 2:
            raise ContainerError(f"{program} is a 32-bit program, and only 64-bit programs can be copied: leave it out")
        start, (size, count) = struct.unpack_from("<Q", header, 32)[0], struct.unpack_from("<HH", header, 54)
        for number in range(count):  # the program headers: what to map into memory, and the loader
            file.seek(start + number * size)
            kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == _PT_INTERP:
                file.seek(offset)
                return os.fsdecode(file.read(length).rstrip(b"\0"))
    return None


def libraries(program: str) -> list[str]:
    """The files that *program* needs to start: its shared libraries and their dynamic loader.

    A static program needs none; a script needs its interpreter, and everything that this one needs. Raises
    :class:`ContainerError` if one is missing.  Source: ld.so(8).
    """
    if shebang(program):
        needed = [find_program(name) for name in programs_named(shebang(program))]
        needed += [library for path in needed for library in libraries(path)]
    else:
        loader = interpreter(program)
        needed = ask_loader(loader, program) + [loader] if loader else []
    return list(dict.fromkeys(needed))  # without duplicates, in order


def ask_loader(loader: str, file: str) -> list[str]:
    """The paths of the shared libraries that *loader* finds for *file*, a dynamic program or a library.

    ``ldd`` does nearly the same, but it *starts the program* and trusts the loader that the program names, which can be
    any code in a hostile program.  ``LOADER --list`` maps the files and starts none of them; but a file can name
    "audit" libraries, whose code the loader runs.  So this, too, is only for trusted programs.
    """
    result = subprocess.run([loader, "--list", os.path.realpath(file)], env={}, capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip() or f"{loader} ended with {result.returncode}"
        raise ContainerError(f"{file} can't start on this machine either ({reason}): install what is missing")
    # "<tab>libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)"; linux-vdso has no path: it is part of the kernel
    paths = [line.rpartition(" (0x")[0].split(" => ")[-1].strip() for line in result.stdout.splitlines()]
    return [path for path in paths if path.startswith("/")]


def programs_named(words: list[str]) -> list[str]:
    """The programs that a script needs to start, from the result of :func:`shebang`: its interpreter and, after env,
    one more.

    With ``#!/usr/bin/env python3`` (or ``env -S python3 -u``), env has to find python3: both are needed.
    """
    if os.path.basename(words[0]) != "env":
        return words[:1]
    following = " ".join(words[1:]).split()
    return words[:1] + [word for word in following if not word.startswith("-") and "=" not in word][:1]


def copy_file(path: str, rootfs: str) -> None:
    """Copy the file or the single directory *path* to the same place below *rootfs*, with its mode, owner and times.

    A symbolic link anywhere on the way (``/lib -> usr/lib``, ``libz.so.1 -> libz.so.1.2.13``) is copied as a link, then
    its target: a path that works on the host works inside.
    """
    here, ahead = "/", path.split("/")
    while ahead:
        step = ahead.pop(0)
        here = os.path.dirname(here) if step == ".." else os.path.normpath(os.path.join(here, step))
        if os.path.islink(here):
            target = os.readlink(here)
            ahead = target.split("/") + ahead
        if not os.path.lexists(rootfs + here):
            _copy_one(here, rootfs + here)
        if os.path.islink(here):
            here = "/" if target.startswith("/") else os.path.dirname(here)


def _copy_one(source: str, target: str) -> None:
    import shutil

    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    elif os.path.isdir(source):
        os.mkdir(target)
    else:
        shutil.copyfile(source, target)
    status = os.lstat(source)
    os.chown(target, *owner(status), follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)  # after chown, which clears the set-user-ID bit


def copy_program(program: str, rootfs: str) -> None:
    """Copy *program* with everything that it needs to start to the same places below *rootfs*.

    Raises :class:`ContainerError`, :class:`OSError`.
    """
    for path in [program, *libraries(program)]:
        copy_file(path, rootfs)


def copy_tree(directory: str, rootfs: str) -> None:
    """Copy a *directory* with its content, such as /usr/lib/python3.11, and what its libraries need."""
    loader = interpreter(find_program("sh"))  # a library names no loader, only programs do
    for parent, directories, files in os.walk(os.path.abspath(directory)):
        copy_file(parent, rootfs)
        for name in files + [name for name in directories if os.path.islink(f"{parent}/{name}")]:
            path = f"{parent}/{name}"
            copy_file(path, rootfs)
            if loader and ".so" in name and _is_elf(path):
                for library in ask_loader(loader, path):
                    copy_file(library, rootfs)


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def make_rootfs(rootfs: str, commands: list[str]) -> None:
    """Fill the empty directory *rootfs* with a small system in which *commands* can run.

    A command is the name of a program, or the path of a program or of a directory of data.  A command that only the
    host's busybox has becomes a link to busybox; ``busybox`` itself brings all its tools. Raises
    :class:`ContainerError` for a missing command, :class:`OSError`.
    """
    make_skeleton(rootfs)
    for command in commands:
        if os.path.isdir(command):
            copy_tree(command, rootfs)
        else:
            _copy_command(command, rootfs)
    if os.path.exists("/etc/ld.so.cache"):
        copy_file("/etc/ld.so.cache", rootfs)  # the loader's index of libraries in unusual places
    if "busybox" in commands:
        link_applets(rootfs, busybox_applets())
    _settle_times(rootfs)


def make_skeleton(rootfs: str) -> None:
    """Make the directories and the few files of /etc in *rootfs* that programs expect."""
    os.chmod(rootfs, 0o755)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):  # today mostly links into /usr
        if os.path.lexists("/" + name):
            copy_file("/" + name, rootfs)  # and where the link leads: nobody can make a directory at a dangling one
    for name, mode in _DIRECTORIES.items():
        os.makedirs(f"{rootfs}/{name}", exist_ok=True)
        os.chmod(f"{rootfs}/{name}", mode)
    for name, text in _FILES.items():
        with open(f"{rootfs}/{name}", "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(f"{rootfs}/{name}", 0o644)
    os.symlink("/proc/self/mounts", f"{rootfs}/etc/mtab")


def _copy_command(command: str, rootfs: str) -> None:
    try:
        copy_program(find_program(command), rootfs)
    except ContainerError:
        applets = {path for path in busybox_applets() if os.path.basename(path) == command}
        if not applets:
            raise
        link_applets(rootfs, applets)


def busybox_applets() -> list[str]:
    """The paths of the tools in the host's busybox (``/bin/ls``); empty without busybox."""
    try:
        busybox = find_program("busybox")
    except ContainerError:
        return []
    listed = subprocess.run([busybox, "--list-full"], env={}, capture_output=True, text=True).stdout
    return ["/" + path for path in listed.split() if "/" in path]  # without /linuxrc, which is for booting


def link_applets(rootfs: str, applets: Iterable[str]) -> None:
    """Make each missing one of *applets* a link to busybox, which acts as the tool by whose name it is called."""
    busybox = find_program("busybox")
    copy_program(busybox, rootfs)
    for path in applets:
        name = os.path.basename(path)
        if not any(os.path.lexists(f"{rootfs}{place}/{name}") for place in ROOT_PATH.split(":")):
            os.makedirs(rootfs + os.path.dirname(path), exist_ok=True)
            os.symlink(busybox, rootfs + path)


def default_commands() -> list[str]:
    """The content of the default image: busybox and the host's bash, or else the usual small tools of the host.

    busybox is also the shell, unless its shell would confuse learners; then it is the host's.
    """
    commands = _USUAL_COMMANDS
    if busybox_applets():
        commands = ["sh", "busybox", "bash"] if _shell_is_its_own_tools() else ["busybox", "bash"]
    terminals = [
        path for path in ("/lib/terminfo", "/etc/terminfo") if os.path.isdir(path)
    ]  # bash needs it to edit lines
    return [name for name in commands if _is_there(name)] + terminals


def _shell_is_its_own_tools() -> bool:
    """Whether busybox's shell runs tools itself, without execve, as Ubuntu's does.

    There ``sleep 9 &`` is one more process named ``sh``, which holds everything that the shell has open: confusing for
    learners.
    """
    words = [find_program("busybox"), "sh", "-c", "sleep 60 & echo $!; wait"]
    with subprocess.Popen(words, env={}, stdout=subprocess.PIPE, start_new_session=True) as shell:
        try:
            assert shell.stdout
            sleeper = int(shell.stdout.readline())
            while "\nState:\tS" not in _read(f"/proc/{sleeper}/status"):  # then it has executed its program
                time.sleep(0.001)
            return not _read(f"/proc/{sleeper}/cmdline").startswith("sleep\0")
        except FileNotFoundError:
            return False  # there is no sleep, so the shell has ended
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _is_there(name: str) -> bool:
    try:
        return bool(find_program(name))
    except ContainerError:
        return False


def _settle_times(rootfs: str) -> None:
    """Give everything that was made here, and not copied, a fixed time, so that the same programs make the same
    image."""
    moment = os.stat("/etc/os-release").st_mtime_ns if os.path.exists("/etc/os-release") else 0
    made = [f"{rootfs}/{name}" for name in _FILES]
    for parent, directories, files in os.walk(rootfs, topdown=False):
        made += [parent] + [path for name in files + directories if os.path.islink(path := f"{parent}/{name}")]
    for path in made:
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
