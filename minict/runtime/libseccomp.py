"""libseccomp: compiles a seccomp profile to a program of classic BPF.

It is called by ctypes and not through a binding: Debian's works with its own Python alone, and those of the
package index lack builds for some Python from 3.11 to 3.14. Eleven functions suffice.
"""

from __future__ import annotations

import ctypes
import os

from ..kernel.seccomp import (
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from . import notify
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .spec import Seccomp, Syscall

_EPERM, _ENOSYS = 1, 38  # as in the module errno

# seccomp.h of libseccomp: an action is a value that a filter returns; ERRNO and TRACE carry a number in the lower half
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,  # this thread, by SIGSYS
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,  # a SIGSYS that the process may catch
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,  # ask an agent: see :mod:`.notify`
    "SCMP_ACT_TRACE": 0x7FF00000,  # ask a tracer; without one, ENOSYS
    "SCMP_ACT_LOG": 0x7FFC0000,  # allow, and write it to the audit log
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")

COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": SECCOMP_FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}

_MAXIMUM = 4096  # instructions, BPF_MAXINSNS of linux/bpf_common.h
_OPTIMIZE, _BINARY_TREE = 8, 2  # seccomp_attr_set(3): SCMP_FLTATR_CTL_OPTIMIZE


def flags(profile: Seccomp) -> int:
    """The *flags* of a profile, as a number. Raises :class:`ContainerError`. Source: seccomp(2)."""
    return sum(_look_up(FLAGS, name, "flag") for name in dict.fromkeys(map(str, profile.flags)))


def compile(profile: Seccomp) -> bytes:
    """The program of classic BPF, 8 bytes an instruction, for a profile.

    A system call that libseccomp does not know is ignored: it does not exist here, or gets the default action.
    Raises :class:`ContainerError` for an invalid profile, and when libseccomp is missing.
    Source: OCI runtime-spec, config-linux.md, "Seccomp"; seccomp_rule_add(3).
    """
    notify.check(profile)
    library = _library()
    default = _action(profile.defaultAction, profile.defaultErrnoRet)
    context = library.seccomp_init(default)
    if not context:
        raise ContainerError(
            f"libseccomp refuses the default action {profile.defaultAction}: update libseccomp or the kernel"
        )
    try:
        architectures = _add_architectures(library, context, profile.architectures)
        for rule in profile.syscalls:
            _add_rule(library, context, rule, default)
        if (
            len(profile.syscalls) > 8
        ):  # for fewer it gains nothing, and for none libseccomp 2.5.3 generates a wrong program
            _check(library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE), "its size")
        program = _export(library, context)
    except (TypeError, AttributeError, ctypes.ArgumentError) as error:
        raise ContainerError(
            f"the seccomp profile has a value of the wrong type ({error}): see config-linux.md of the "
            'OCI runtime specification, "Seccomp"'
        ) from None
    finally:
        library.seccomp_release(context)
    if profile.defaultAction not in _PERMISSIVE and default != ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS:
        program = _answer_newer_calls(library, architectures, profile.syscalls) + program
    if len(program) > 8 * _MAXIMUM:
        raise ContainerError(
            f"the seccomp profile needs {len(program) // 8} instructions, the kernel accepts "
            f"{_MAXIMUM}: name fewer architectures, or fewer conditions on arguments"
        )
    return program


def _look_up(table: dict[str, int], name: str, what: str) -> int:
    if name not in table:
        raise ContainerError(f"the seccomp profile has the unknown {what} {name!r}: use one of {', '.join(table)}")
    return table[name]


def _action(name: str, number: int | None) -> int:
    """The value that a filter returns for the action *name*, with the errno *number* where the action takes one
    (default: EPERM)."""
    value = _look_up(ACTIONS, name, "action")
    if name not in _WITH_NUMBER:
        if number is not None:
            raise ContainerError(f"the seccomp profile gives an errno to {name}, which takes none: use SCMP_ACT_ERRNO")
        return value
    if number is None:
        return value | _EPERM
    if not isinstance(number, int) or not 0 <= number <= 0xFFFF:
        raise ContainerError(f"the seccomp profile has the errno {number!r}: write one from 0 to 65535, see errno(3)")
    return value | number


def _add_architectures(library: Any, context: int, names: list[str]) -> list[int]:
    """Let the filter also check calls by the conventions *names*; return them, and the machine's own, as numbers.

    A call by any other convention ends the process: otherwise a 32-bit program, in which the same
    numbers mean other calls, would be checked by the 64-bit table.
    """
    architectures: list[int] = [library.seccomp_arch_native()]
    for name in names:
        token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
        if not token:
            raise ContainerError(
                f"the seccomp profile has the architecture {name!r}, which libseccomp does not know: "
                "correct its spelling, or update libseccomp"
            )
        if token not in architectures:
            _check(library.seccomp_arch_add(context, token), f"the architecture {name}")
            architectures.append(token)
    return architectures


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: argument number, comparison, and one operand, or for MASKED_EQ the mask and the operand."""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _add_rule(library: Any, context: int, rule: Syscall, default: int) -> None:
    """Add the *rule* for each of its system calls, unless its action is the default."""
    action = _action(rule.action, rule.errnoRet)
    if action == default:  # libseccomp refuses it, because it would not change anything
        return
    comparisons = [
        _Comparison(each.index, _look_up(COMPARISONS, each.op, "comparison"), each.value, each.valueTwo)
        for each in rule.args
    ]
    if len({each.arg for each in comparisons}) == len(comparisons):
        alternatives = [comparisons]
    else:  # two conditions on one argument: any of them suffices, as in Docker's first profiles and in runc
        alternatives = [[each] for each in comparisons]
    for name in rule.names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            continue
        for conditions in alternatives:
            array = (_Comparison * len(conditions))(*conditions)
            _check(
                library.seccomp_rule_add_array(context, action, number, len(conditions), array),
                f"the rule {rule.action} for {name}",
            )


def _export(library: Any, context: int) -> bytes:
    """The program that libseccomp has generated. It writes to a descriptor, here one of a file in memory."""
    descriptor = os.memfd_create("seccomp")
    try:
        _check(library.seccomp_export_bpf(context, descriptor), "the complete program")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise ContainerError(
            f"libseccomp refuses a part of the seccomp profile, {what} ({os.strerror(-result)}): "
            "correct the profile, or update libseccomp",
            errno=-result,
        )


# ---- system calls that are newer than the profile --------------------------------------------------------------

# linux/bpf_common.h: operation, jump if true, jump if false, operand; linux/seccomp.h: the call is at 0, its
# architecture at 4
LOAD, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
ALLOW, ERRNO = ACTIONS["SCMP_ACT_ALLOW"], ACTIONS["SCMP_ACT_ERRNO"]
OTHER_TABLES = 0xF0000  # from here on lie the private calls of 32-bit ARM, and the x32 table of x86-64


def _answer_newer_calls(library: Any, architectures: list[int], rules: list[Syscall]) -> bytes:
    """Instructions to put before a filter: a call that is newer than any in *rules* fails with ENOSYS.

    A C library tries the newest call first and falls back to an older one when it gets ENOSYS, "no such call". The
    usual default, EPERM, is final to it: a program from next year's distribution would then fail for no
    apparent reason. The numbers of calls only grow, so a number above the highest one
    in the profile belongs to a call that is newer than the profile. runc does the same, since version 1.0.
    """
    program = b""
    for architecture in architectures:
        numbers = [
            library.seccomp_syscall_resolve_name_arch(architecture, name.encode())
            for rule in rules
            for name in rule.names
        ]
        newest = max((number for number in numbers if 0 <= number < OTHER_TABLES), default=OTHER_TABLES)
        program += answer_newer_calls(architecture, newest)
    return program


def answer_newer_calls(architecture: int, newest: int) -> bytes:
    """Instructions to put before a filter: a call with a number above *newest* fails with ENOSYS.

    All other calls, and those of another architecture, go on to what follows. Source: seccomp(2).
    """
    return (
        instruction(LOAD, 0, 0, 4)
        + instruction(JUMP_EQUAL, 0, 4, architecture)
        + instruction(LOAD, 0, 0, 0)
        + instruction(JUMP_GREATER_OR_EQUAL, 2, 0, OTHER_TABLES)
        + instruction(JUMP_GREATER, 0, 1, newest)
        + instruction(RETURN, 0, 0, ERRNO | _ENOSYS)
    )


def instruction(operation: int, if_true: int, if_false: int, operand: int) -> bytes:
    """One instruction of a filter, 8 bytes: the operation, how many instructions a jump skips, the operand.

    It is struct sock_filter of linux/filter.h; the processors that minict supports are little-endian.
    Source: seccomp(2).
    """
    return operation.to_bytes(2, "little") + bytes([if_true, if_false]) + operand.to_bytes(4, "little")


def call_number(name: str) -> int:
    """The number that the system call *name* has on this machine; -1 for an unknown name.

    Raises :class:`ContainerError` when libseccomp is missing. Source: seccomp_syscall_resolve_name(3).
    """
    number: int = _library().seccomp_syscall_resolve_name(name.encode())
    return number


def native_architecture() -> int:
    """The number of this machine's calling convention, as a filter finds it at 4.

    Raises :class:`ContainerError` when libseccomp is missing. Source: seccomp_arch_native(3).
    """
    number: int = _library().seccomp_arch_native()
    return number


# ---- the library -----------------------------------------------------------------------------------------------

_loaded: Any = None


def _library() -> Any:
    """libseccomp, with the types of the functions that are used here. Raises :class:`ContainerError`."""
    global _loaded
    if _loaded is None:
        try:
            library = ctypes.PyDLL("libseccomp.so.2")
        except OSError:
            raise ContainerError(
                "libseccomp, which compiles seccomp filters, is missing: apt-get install "
                "libseccomp2, or run without a filter by --security-opt seccomp=unconfined"
            ) from None
        context, word, text = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p
        for name, result, arguments in (
            ("seccomp_init", context, (word,)),
            ("seccomp_release", None, (context,)),
            ("seccomp_attr_set", ctypes.c_int, (context, ctypes.c_int, word)),
            ("seccomp_arch_native", word, ()),
            ("seccomp_arch_resolve_name", word, (text,)),
            ("seccomp_arch_add", ctypes.c_int, (context, word)),
            ("seccomp_syscall_resolve_name", ctypes.c_int, (text,)),
            ("seccomp_syscall_resolve_name_arch", ctypes.c_int, (word, text)),
            (
                "seccomp_rule_add_array",
                ctypes.c_int,
                (context, word, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison)),
            ),
            ("seccomp_export_bpf", ctypes.c_int, (context, ctypes.c_int)),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        _loaded = library
    return _loaded
