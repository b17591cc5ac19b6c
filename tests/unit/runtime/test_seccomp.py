"""minict.runtime.seccomp and minict.engine.spec.seccomp: the meaning of a filter's text, and what the kernel does with
it."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

from minict.engine.spec import seccomp as profiles
from minict.kernel import mount, namespaces
from minict.kernel.process import PR_SET_NO_NEW_PRIVS, prctl
from minict.kernel.syscall import libc
from minict.runtime import capabilities, libseccomp, seccomp
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Seccomp
from tests.support.in_child import errno_of, exit_code, forked

ALLOW, ENOSYS, EPERM, KILL = 0x7FFF0000, 0x50000 | errno.ENOSYS, 0x50000 | errno.EPERM, 0


X86_64, X86, ARM, X32_BIT = 0xC000003E, 0x40000003, 0x40000028, 0x40000000  # linux/audit.h, asm/unistd.h


MACHINE = os.uname().machine


NATIVE = {"x86_64": X86_64, "aarch64": 0xC00000B7}[MACHINE]


def profile(*rules, default="SCMP_ACT_ALLOW", **fields):
    return Seccomp.from_dict({"defaultAction": default, "syscalls": list(rules), **fields})


def deny(*names, **fields):
    return {"names": list(names), "action": "SCMP_ACT_ERRNO", **fields}


def when(index, op, value, value_two=0):
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


def under(program, function, *arguments):
    """What *function* returns in a child under the filter *program*."""

    def child():
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        seccomp.install(program)
        return function(*arguments)

    return forked(child)


def judge(program, call, arguments=(0,) * 6, architecture=NATIVE):
    """What *program* returns for a system call, found by running it as the kernel's machine would."""
    number = libseccomp._library().seccomp_syscall_resolve_name(call.encode()) if isinstance(call, str) else call
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments)
    accumulator, scratch, at = 0, [0] * 16, 0
    while True:
        operation, if_true, if_false, operand = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x02:
            scratch[operand] = accumulator
        elif operation == 0x60:
            accumulator = scratch[operand]
        elif operation == 0x05:
            at += operand
        else:
            true = {
                0x15: accumulator == operand,
                0x25: accumulator > operand,
                0x35: accumulator >= operand,
                0x45: accumulator & operand,
            }[operation]
            at += if_true if true else if_false


def test_a_call_fails_with_the_errno_of_the_rule(tmp_path):
    program = seccomp.compile(profile(deny("mkdir", "mkdirat", errnoRet=errno.EXDEV)))
    assert under(program, errno_of, os.mkdir, tmp_path / "a") == errno.EXDEV
    assert under(program, errno_of, os.listdir, tmp_path) == 0
    assert not (tmp_path / "a").exists()


def test_without_an_errno_it_is_eperm(tmp_path):
    program = seccomp.compile(profile(deny("mkdir", "mkdirat")))
    assert under(program, errno_of, os.mkdir, tmp_path / "a") == errno.EPERM


def test_a_call_kills_the_process(tmp_path):
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"):
        program = seccomp.compile(profile({"names": ["mkdir", "mkdirat"], "action": action}))
        assert exit_code(under_and_call, program, os.mkdir, tmp_path / "a") == -signal.SIGSYS, action
        assert exit_code(under_and_call, program, os.getpid) == 0, action


def under_and_call(program, function, *arguments):
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(program)
    function(*arguments)


def test_log_allows_and_trace_fails_without_a_tracer(tmp_path):
    program = seccomp.compile(profile({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_LOG"}))
    assert under(program, errno_of, os.mkdir, tmp_path / "a") == 0
    program = seccomp.compile(profile({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_TRACE", "errnoRet": 7}))
    assert under(program, errno_of, os.mkdir, tmp_path / "b") == errno.ENOSYS


@pytest.mark.parametrize(
    "condition, refused",
    [
        (when(0, "EQ", socket.AF_UNIX), [socket.AF_UNIX]),
        (when(0, "NE", socket.AF_UNIX), [socket.AF_INET, socket.AF_INET6]),
        (when(0, "LT", socket.AF_INET), [socket.AF_UNIX]),
        (when(0, "LE", socket.AF_INET), [socket.AF_UNIX, socket.AF_INET]),
        (when(0, "GE", socket.AF_INET6), [socket.AF_INET6]),
        (when(0, "GT", socket.AF_UNIX), [socket.AF_INET, socket.AF_INET6]),
        (when(0, "MASKED_EQ", 0b11, 0b10), [socket.AF_INET, socket.AF_INET6]),  # 1, 2 and 10
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else "",
)
def test_every_comparison_of_an_argument(condition, refused):
    program = seccomp.compile(profile(deny("socket", args=[condition], errnoRet=errno.ENOTTY)))

    def answers():
        return [
            errno_of(lambda: socket.socket(family, socket.SOCK_DGRAM).close())
            for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
        ]

    assert under(program, answers) == [
        errno.ENOTTY if family in refused else 0 for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
    ]


def test_conditions_on_two_arguments_must_both_hold():
    both = [when(0, "EQ", socket.AF_INET), when(1, "MASKED_EQ", 0xF, socket.SOCK_STREAM)]
    program = seccomp.compile(profile(deny("socket", args=both)))
    assert under(program, errno_of, socket.socket, socket.AF_INET, socket.SOCK_STREAM) == errno.EPERM
    assert under(program, errno_of, socket.socket, socket.AF_INET, socket.SOCK_DGRAM) == 0


def test_of_conditions_on_one_argument_any_suffices():
    either = [when(0, "EQ", socket.AF_INET), when(0, "EQ", socket.AF_INET6)]
    program = seccomp.compile(profile(deny("socket", args=either)))
    assert under(program, errno_of, socket.socket, socket.AF_INET6) == errno.EPERM
    assert under(program, errno_of, socket.socket, socket.AF_INET) == errno.EPERM
    assert under(program, errno_of, socket.socket, socket.AF_UNIX) == 0


def test_all_64_bits_of_an_argument_are_compared():
    program = seccomp.compile(profile(deny("lseek", args=[when(1, "EQ", 1 << 32 | 5)])))
    assert judge(program, "lseek", (0, 1 << 32 | 5, 0, 0, 0, 0)) == EPERM
    assert judge(program, "lseek", (0, 5, 0, 0, 0, 0)) == ALLOW


def test_it_holds_for_the_children_and_through_execve(tmp_path):
    program = seccomp.compile(profile(deny("mkdir", "mkdirat", errnoRet=errno.EXDEV)))
    shell = ["/bin/sh", "-c", f"mkdir {tmp_path}/a 2>&1; true"]
    assert "cross-device" in under(program, lambda: subprocess.run(shell, capture_output=True, text=True).stdout)


def test_without_privileges_a_filter_needs_no_new_privs():
    program = seccomp.compile(profile(deny("mkdir")))

    def child(promise):
        os.setuid(65534)
        if promise:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
        return errno_of(seccomp.install, program)

    assert forked(child, False) == errno.EACCES
    assert forked(child, True) == 0


def test_a_list_of_what_is_allowed(tmp_path):
    """The other way round: nothing but what is named."""
    allowed = {"names": ["getppid", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}
    program = seccomp.compile(profile(allowed, default="SCMP_ACT_KILL_PROCESS"))

    def child(function):
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        seccomp.install(program)
        function()

    assert exit_code(child, os.getppid) == 0
    assert exit_code(child, os.getpgrp) == -signal.SIGSYS


def test_a_name_that_does_not_exist_is_skipped():
    program = seccomp.compile(profile(deny("mkdir", "make_coffee")))
    assert program == seccomp.compile(profile(deny("mkdir")))


def test_a_rule_that_repeats_the_default_is_skipped():
    assert judge(seccomp.compile(profile({"names": ["mkdirat"], "action": "SCMP_ACT_ALLOW"})), "mkdirat") == ALLOW


def test_the_errno_of_the_default_action():
    allowed = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    for number in (0, 1, errno.EXDEV):
        program = seccomp.compile(
            profile(
                allowed,
                {"names": ["mount_setattr"], "action": "SCMP_ACT_ALLOW"},
                default="SCMP_ACT_ERRNO",
                defaultErrnoRet=number,
            )
        )
        assert judge(program, "write") == 0x50000 | number
    assert judge(seccomp.compile(profile(allowed, default="SCMP_ACT_ERRNO")), "openat") in (EPERM, ENOSYS)


def test_a_call_that_is_newer_than_the_profile_does_not_exist():
    """A new C library then uses the older call; it would take EPERM for the final answer."""
    rules = {"names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW"}
    for default, older, newer in (
        ("SCMP_ACT_ERRNO", EPERM, ENOSYS),
        ("SCMP_ACT_KILL", KILL, ENOSYS),
        ("SCMP_ACT_LOG", 0x7FFC0000, 0x7FFC0000),
    ):
        program = seccomp.compile(profile(rules, default=default))
        assert judge(program, "write") == older
        assert judge(program, "openat2") == ALLOW
        assert judge(program, 438) == newer  # the number after openat2's is pidfd_getfd's, on every processor
        assert judge(program, 9999) == newer
    ending = {"names": ["write", "exit_group"], "action": "SCMP_ACT_ALLOW"}  # what the child needs to tell the answer
    program = seccomp.compile(profile(rules, ending, default="SCMP_ACT_ERRNO"))
    assert under(program, lambda: [libc.syscall(9999), ctypes.get_errno()]) == [-1, errno.ENOSYS]


def test_the_architectures():
    """39 is mkdir for a 32-bit x86 program, 83 for a 64-bit one; an x32 program sets a bit in the number."""
    native_only = seccomp.compile(profile(deny("mkdir", "mkdirat")))
    assert judge(native_only, "mkdirat") == EPERM
    assert judge(native_only, 39, architecture=X86) == KILL
    program = seccomp.compile(
        profile(deny("mkdir"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
    )
    assert judge(program, 83, architecture=X86_64) == EPERM and judge(program, 39, architecture=X86_64) == ALLOW
    assert judge(program, 39, architecture=X86) == EPERM and judge(program, 83, architecture=X86) == ALLOW
    assert judge(program, X32_BIT | 83, architecture=X86_64) == EPERM
    without = seccomp.compile(profile(deny("mkdir"), architectures=["SCMP_ARCH_X86_64"]))
    assert [judge(without, X32_BIT | number, architecture=X86_64) for number in (39, 83)] == [KILL, KILL]


def test_calls_that_only_another_architecture_has():
    """socketcall is 102 on 32-bit x86; 64-bit processors have no such call."""
    program = seccomp.compile(profile(deny("socketcall"), architectures=["SCMP_ARCH_X86"]))
    assert judge(program, 102, architecture=X86) == EPERM


def test_numbers_far_above_the_others_are_not_newer_calls():
    """x32 has its own table from 2**30 on; 32-bit ARM has private calls, such as cacheflush, from 0xf0000 on."""
    names = {"names": ["getpid", "cacheflush"], "action": "SCMP_ACT_ALLOW"}
    program = seccomp.compile(
        profile(names, default="SCMP_ACT_ERRNO", architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"])
    )
    assert judge(program, X32_BIT | 39, architecture=X86_64) == ALLOW
    assert judge(program, 0xF0002, architecture=ARM) == ALLOW
    assert judge(program, 9999, architecture=ARM) == judge(program, 9999, architecture=X86_64) == ENOSYS


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(default="SCMP_ACT_BLESS"), "action 'SCMP_ACT_BLESS'.*SCMP_ACT_ALLOW"),
        (dict(default="SCMP_ACT_ALLOW", defaultErrnoRet=1), "errno to SCMP_ACT_ALLOW"),
        (dict(rules=[{"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]), "errno to SCMP_ACT_KILL"),
        (dict(rules=[{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]), "SCMP_ACT_NOTIFY.*no listenerPath"),
        (dict(rules=[deny("mkdir", args=[when(0, "LIKE", 1)])]), "comparison 'SCMP_CMP_LIKE'"),
        (dict(rules=[deny("mkdir", args=[when(6, "EQ", 1)])]), "SCMP_ACT_ERRNO for mkdir"),
        (dict(rules=[deny("mkdir", args=[when(0, "EQ", "one")])]), "wrong type"),
        (dict(rules=[deny(7)]), "wrong type"),
        (dict(rules=[deny("mkdir", errnoRet=0x20001)]), "errno 131073"),
        (dict(default="SCMP_ACT_ERRNO", defaultErrnoRet="EPERM"), "not 'EPERM'"),
        (dict(architectures=["SCMP_ARCH_PDP11"]), "architecture 'SCMP_ARCH_PDP11'"),
    ],
)
def test_an_unsupported_profile_is_refused_in_a_sentence(wrong, words):
    wrong = dict(wrong)
    with pytest.raises(ContainerError, match=words) as refusal:
        seccomp.compile(profile(*wrong.pop("rules", ()), **wrong))
    assert ":" in str(refusal.value) and "\n" not in str(refusal.value)  # the cause, then the remedy


def test_an_unknown_flag_is_refused():
    with pytest.raises(ContainerError, match="flag 'SECCOMP_FILTER_FLAG_NEW_LISTENER'"):
        seccomp.flags(profile(flags=["SECCOMP_FILTER_FLAG_NEW_LISTENER"]))


def test_too_many_conditions_are_refused():
    rules = [deny("lseek", args=[when(1, "EQ", value << 32 | value)]) for value in range(1500)]
    with pytest.raises(ContainerError, match="the kernel accepts 4096"):
        seccomp.compile(profile(*rules))


@pytest.fixture
def run_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))
    return tmp_path / "run"


def test_cached_equals_fresh(run_root, monkeypatch):
    wanted = profiles.default(capabilities.DEFAULT)
    fresh = seccomp.compile(wanted)
    assert seccomp.cached(wanted) == fresh
    monkeypatch.setattr(seccomp, "compile", None)  # from here on it can only be read
    assert seccomp.cached(profiles.default(capabilities.DEFAULT)) == fresh
    assert os.stat(run_root / "seccomp").st_mode & 0o777 == 0o700
    assert len(os.listdir(run_root / "seccomp")) == 1


def test_whatever_differs_has_its_own_program(run_root):
    programs = {
        seccomp.cached(wanted)
        for wanted in (
            profile(),
            profile(deny("mkdirat")),
            profile(deny("unlinkat")),
            profile(deny("mkdirat", errnoRet=2)),
            profile(deny("mkdirat", args=[when(0, "EQ", 1)])),
            profile(deny("mkdirat", args=[when(0, "EQ", 2)])),
        )
    }
    assert len(programs) == len(os.listdir(run_root / "seccomp")) == 6


def test_the_default_program_is_the_default_profile_compiled(run_root, monkeypatch):
    for names in (capabilities.DEFAULT, ["CAP_SYS_ADMIN"]):
        assert profiles.default_program(names) == seccomp.compile(profiles.default(names))
    monkeypatch.setattr(profiles, "default", None)  # from here on it can only be read
    assert judge(profiles.default_program(["CAP_SYS_ADMIN"]), "mount") == ALLOW
    assert judge(profiles.default_program(list(reversed(capabilities.DEFAULT))), "mount") == EPERM


def test_another_kernel_has_its_own_program(run_root, monkeypatch):
    seccomp.cached(profile())
    other = os.uname_result(("Linux", "x", "99.0", "#1", MACHINE))
    monkeypatch.setattr(os, "uname", lambda: other)
    seccomp.cached(profile())
    assert len(os.listdir(run_root / "seccomp")) == 2


def test_an_empty_file_is_no_filter(run_root):
    """As a power failure may leave it: the kernel would refuse it, or worse, allow everything."""
    program = seccomp.cached(profile(deny("mkdir")))
    (name,) = os.listdir(run_root / "seccomp")
    (run_root / "seccomp" / name).write_bytes(b"")
    assert seccomp.cached(profile(deny("mkdir"))) == program
    assert (run_root / "seccomp" / name).read_bytes() == program


def test_a_program_that_cannot_be_cached_is_still_compiled(run_root):
    run_root.mkdir()
    (run_root / "seccomp").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        os.listdir(run_root / "seccomp")
    assert seccomp.cached(profile(deny("mkdir"))) == seccomp.compile(profile(deny("mkdir")))


def test_the_cache_loads_no_slow_module(run_root):
    """Each of these costs more than the look-up."""
    program = (
        "import sys\n"
        "from minict.engine.spec import seccomp as profiles\n"
        "from minict.runtime import capabilities, seccomp\n"
        "seccomp.cached(profiles.default(capabilities.DEFAULT))\n"
        "print(*{'json', 're', 'hashlib', 'enum', 'typing'} & set(sys.modules))\n"
        "print('minict.runtime.libseccomp' not in sys.modules)"
    )
    from tests.support.paths import ROOT as root

    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {root!r})\n{program}"]
    answers = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert answers == ["\nFalse\n", "\nTrue\n"]  # the second one did not even load libseccomp


ATTACKS = {  # what Docker's documentation promises that the default profile stops
    "mount": lambda: mount.mount("none", "/tmp", "tmpfs"),
    "umount2": lambda: mount.umount2("/nowhere", 0),
    "pivot_root": lambda: mount.pivot_root("/", "/"),
    "unshare": lambda: namespaces.unshare(namespaces.CLONE_NEWUSER),
    "setns": lambda: namespaces.setns(0),
    "keyctl": lambda: raw("keyctl", 0, -3, 0),
    "add_key": lambda: raw("add_key", 0, 0, 0, 0, 0),
    "bpf": lambda: raw("bpf", 0, 0, 0),
    "perf_event_open": lambda: raw("perf_event_open", 0, 0, 0, 0, 0),
    "userfaultfd": lambda: raw("userfaultfd", 0),
    "init_module": lambda: raw("init_module", 0, 0, 0),
    "kexec_load": lambda: raw("kexec_load", 0, 0, 0, 0),
    "open_by_handle_at": lambda: raw("open_by_handle_at", -1, 0, 0),
    "reboot": lambda: raw("reboot", 0, 0, 0, 0),
    "settimeofday": lambda: raw("settimeofday", 0, 0),
    "swapon": lambda: raw("swapon", 0, 0),
    "io_uring_setup": lambda: raw("io_uring_setup", 0, 0),
    "kcmp": lambda: raw("kcmp", 0, 0, 0, 0, 0),
    "acct": lambda: raw("acct", 0),
    "quotactl": lambda: raw("quotactl", 0, 0, 0, 0),
    "clone": lambda: raw("clone", namespaces.CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0),
    "personality": lambda: raw("personality", 0x0040000),
}


def raw(name, *arguments):
    """The system call *name*, whose number libseccomp knows."""
    number = libseccomp._library().seccomp_syscall_resolve_name(name.encode())
    assert number >= 0
    if libc.syscall(number, *[ctypes.c_long(argument) for argument in arguments]) == -1:
        raise OSError(ctypes.get_errno(), name)


def test_the_default_profile_stops_the_known_attacks():
    program = seccomp.compile(profiles.default(capabilities.DEFAULT))
    assert under(program, lambda: {name: errno_of(attack) for name, attack in ATTACKS.items()}) == dict.fromkeys(
        ATTACKS, errno.EPERM
    )


def test_clone3_hides_its_flags_behind_a_pointer_and_so_does_not_exist():
    """The C library then falls back to clone, whose flags the filter can see."""
    program = seccomp.compile(profiles.default(capabilities.DEFAULT))
    assert under(program, errno_of, namespaces.clone3, namespaces.CLONE_NEWUSER) == errno.ENOSYS


def test_under_the_default_profile_a_shell_and_python_run(tmp_path):
    program = seccomp.compile(profiles.default(capabilities.DEFAULT))

    def output(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    def shell():
        text = "mkdir a && echo words | cat > a/b && ls a && chmod 600 a/b && rm -r a && pwd"
        return output("/bin/sh", "-c", text).stdout

    def python():
        text = (
            "import threading, socket, subprocess, tempfile, time, hashlib, os\n"
            "thread = threading.Thread(target=print, args=('thread',), kwargs={'flush': True})\n"
            "thread.start(); thread.join()\n"
            "a, b = socket.socketpair(); a.send(b'socket'); print(b.recv(9).decode(), flush=True)\n"
            "subprocess.run(['/bin/echo', 'child'])\n"
            "with tempfile.TemporaryFile() as file: print(file.write(b'12345'))"
        )
        result = output(sys.executable, "-c", text)
        return result.stdout or result.stderr

    assert under(program, shell) == f"b\n{tmp_path}\n"
    assert under(program, python) == "thread\nsocket\nchild\n5\n"


@pytest.mark.parametrize(
    "capability, call",
    [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_ADMIN", "unshare"),
        ("CAP_SYS_ADMIN", "clone3"),
        ("CAP_SYS_ADMIN", "bpf"),
        ("CAP_BPF", "bpf"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_MODULE", "init_module"),
        ("CAP_SYS_TIME", "settimeofday"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_SYS_PTRACE", "kcmp"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_NICE", "mbind"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_SYS_PACCT", "acct"),
    ],
)
def test_a_capability_opens_its_calls(capability, call):
    without = seccomp.compile(profiles.default([]))
    assert judge(without, call) in (EPERM, ENOSYS)
    assert judge(seccomp.compile(profiles.default([capability])), call) == ALLOW


def test_clone_makes_processes_but_no_namespaces():
    program = seccomp.compile(profiles.default(capabilities.DEFAULT))
    plain = (signal.SIGCHLD, 0, 0, 0, 0, 0)
    assert judge(program, "clone", plain) == ALLOW
    for flag in ("NEWNS", "NEWUTS", "NEWIPC", "NEWUSER", "NEWPID", "NEWNET", "NEWCGROUP"):
        forbidden = (plain[0] | getattr(namespaces, f"CLONE_{flag}"), 0, 0, 0, 0, 0)
        assert judge(program, "clone", forbidden) == EPERM, flag


def test_the_default_profile_judges_32_bit_programs_too():
    """On x86 and ARM alike the old numbers are 20 for getpid, 21 for mount."""
    program = seccomp.compile(profiles.default(capabilities.DEFAULT))
    narrow = {"x86_64": X86, "aarch64": ARM}[MACHINE]
    assert judge(program, 20, architecture=narrow) == ALLOW
    assert judge(program, 21, architecture=narrow) == EPERM
    assert judge(program, 9999, architecture=narrow) == judge(program, 9999) == ENOSYS


@pytest.mark.parametrize(
    "condition, applies",
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_KILL"]}}, True),
        ({"includes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_KILL"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"arches": ["amd64", "arm64"]}}, True),
        ({"includes": {"arches": ["s390x"]}}, False),
        ({"excludes": {"arches": ["amd64", "arm64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "99.1"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "99.1"}}, True),
        ({"includes": {"caps": ["CAP_KILL"]}, "excludes": {"arches": ["s390x"]}}, True),
        ({"includes": {"caps": ["CAP_KILL"]}, "excludes": {"minKernel": "4.8"}}, False),
        ({"includes": {}, "excludes": None}, True),
    ],
)
def test_the_conditions_of_a_rule(condition, applies):
    docker = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny("mkdir", **condition)]}
    resolved = profiles.resolve(docker, ["CAP_KILL"])
    assert len(resolved.syscalls) == applies


def test_a_kernel_of_two_digits_is_newer_than_one_of_one():
    assert profiles._version("6.18.44-fc-v669") == (6, 18) > profiles._version("6.8")
    assert profiles._version("6.1-rc3") == (6, 1)


def test_the_oci_form_and_the_old_form_of_a_file(tmp_path):
    (tmp_path / "oci.json").write_text(json.dumps(profile(deny("mkdirat", "mkdir"), architectures=[]).to_dict()))
    (tmp_path / "old.json").write_text(
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"name": name, "action": "SCMP_ACT_ERRNO", "args": None} for name in ("mkdirat", "mkdir")],
            }
        )
    )
    for name in ("oci.json", "old.json"):
        read = profiles.from_file(str(tmp_path / name), [])
        assert seccomp.compile(read) == seccomp.compile(profile(deny("mkdirat", "mkdir")))


def test_redundant_rules():
    """Podman's own profile has such: a rule twice, an allowance with and without conditions, ENOSYS as default."""
    netlink_audit = [when(0, "EQ", socket.AF_NETLINK), when(2, "EQ", 9)]
    narrow = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [when(2, "NE", 9)]}
    program = seccomp.compile(
        profile(
            deny("userfaultfd"),
            {"names": ["socket", "read"], "action": "SCMP_ACT_ALLOW"},
            narrow,
            narrow,
            deny("socket", args=netlink_audit, errnoRet=errno.EINVAL),
            deny("userfaultfd"),
            default="SCMP_ACT_ERRNO",
            defaultErrnoRet=errno.ENOSYS,
        )
    )
    assert judge(program, "read") == judge(program, "socket") == ALLOW
    assert judge(program, "userfaultfd") == EPERM
    assert judge(program, "write") == judge(program, 9999) == ENOSYS


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "not a seccomp profile"),
        ("[]", "no defaultAction"),
        ("{}", "no defaultAction"),
        ('{"defaultAction": 3}', "no defaultAction"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ERRNO"}]}', "'name'"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [3]}', "not a seccomp profile"),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "includes": {"minKernel": "?"}}]}',
            "profile",
        ),
    ],
)
def test_a_bad_file_is_refused_by_its_name(tmp_path, text, words):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ContainerError, match="bad.json.*" + words):
        profiles.from_file(str(tmp_path / "bad.json"), [])


def test_a_missing_file_is_refused_by_its_name(tmp_path):
    with pytest.raises(ContainerError, match="none.json can't be read.*No such file"):
        profiles.from_file(str(tmp_path / "none.json"), [])


# ---- families of sockets ---------------------------------------------------------------------------------------


def test_the_default_profile_closes_af_alg_and_af_vsock_by_every_way():
    """CVE-2026-31431 came through AF_ALG. socketcall(2) of 32-bit programs has its arguments in memory."""
    program = seccomp.compile(profiles.default(list(capabilities.DEFAULT)))
    families = {1: ALLOW, 2: ALLOW, 10: ALLOW, 16: ALLOW, 17: ALLOW, 38: EPERM, 40: EPERM}
    assert {family: judge(program, "socket", (family, 1, 0, 0, 0, 0)) for family in families} == families
    if MACHINE == "x86_64":
        assert {family: judge(program, 359, (family, 1, 0, 0, 0, 0), X86) for family in families} == families
        assert {judge(program, 102, (number, 0, 0, 0, 0, 0), X86) for number in range(21)} == {ENOSYS}
