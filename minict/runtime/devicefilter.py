"""The device filter of cgroup v2: a program of eBPF that the kernel runs when a process in the cgroup opens a device.

The program decides as the rules of :mod:`.devices` do.
"""

from __future__ import annotations

import os

from ..kernel import bpf
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .devices import Rule

# linux/bpf.h, struct bpf_cgroup_dev_ctx: three 32-bit words; the first has the rights in its upper half, the type in
# its lower one, the others are the major and the minor number
_BLOCK, _CHARACTER = 1, 2
_RIGHTS = {"m": 1, "r": 2, "w": 4}

# Registers: the kernel passes the address of that struct in r1, and reads the answer, 1 yes or 0 no, from r0.
_ANSWER, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR, _SCRATCH = 0, 1, 2, 3, 4, 5, 6

# The instructions used here, by their operation code: Documentation/bpf/standardization/instruction-set.rst
_LOAD_WORD = 0x61  # target = *(u32 *)(source + offset)
_AND, _COPY, _SET, _SHIFT_RIGHT = 0x54, 0xBC, 0xB4, 0x74  # in 32 bits, by an immediate number; _COPY from a register
_JUMP_EQUAL, _JUMP_NOT_EQUAL = 0x16, 0x56  # over *offset* instructions, after comparison with an immediate number
_EXIT = 0x95


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """struct bpf_insn of linux/bpf.h; the processors that minict supports are little-endian."""
    return (
        bytes([code, target | source << 4])
        + offset.to_bytes(2, "little", signed=True)
        + (immediate & 0xFFFFFFFF).to_bytes(4, "little")
    )


def program(decisions: list[tuple[Rule, bool]]) -> bytes:
    """The eBPF program, 8 bytes an instruction, for the result of :func:`.devices.decisions`.

    It checks the rules from the last to the first. A register holds the requested rights that are still
    undecided. A rule that allows removes its rights; when none is left the answer is yes. A rule that denies one of
    them makes the answer no, and so does the end of the program. Source: the kernel's
    Documentation/bpf/standardization/instruction-set.rst; linux/bpf.h, bpf_cgroup_dev_ctx.
    """
    code = (
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0)
        + _instruction(_AND, _TYPE, immediate=0xFFFF)
        + _instruction(_LOAD_WORD, _WANTED, _CONTEXT, 0)
        + _instruction(_SHIFT_RIGHT, _WANTED, immediate=16)
        + _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4)
        + _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8)
    )
    for rule, allow in reversed(decisions):
        code += _test(rule, allow)
    return code + _leave(0)


def _leave(answer: int) -> bytes:
    return _instruction(_SET, _ANSWER, immediate=answer) + _instruction(_EXIT)


def _test(part: Rule, allow: bool) -> bytes:
    """The instructions for one rule: skip it if it is for another device, else decide."""
    type, major, minor, access = part
    rights = sum(_RIGHTS[letter] for letter in set(access))
    if allow:
        decision = (
            _instruction(_AND, _WANTED, immediate=~rights)
            + _instruction(_JUMP_NOT_EQUAL, _WANTED, offset=2)
            + _leave(1)
        )
    else:
        decision = (
            _instruction(_COPY, _SCRATCH, _WANTED)
            + _instruction(_AND, _SCRATCH, immediate=rights)
            + _instruction(_JUMP_EQUAL, _SCRATCH, offset=2)
            + _leave(0)
        )
    wanted = [(_TYPE, _BLOCK if type == "b" else _CHARACTER), (_MAJOR, major), (_MINOR, minor)]
    for register, number in reversed(wanted):
        if number is None:
            continue
        decision = _instruction(_JUMP_NOT_EQUAL, register, offset=len(decision) // 8, immediate=number) + decision
    return decision


def attach(cgroup_directory: str, decisions: list[tuple[Rule, bool]]) -> None:
    """Let the kernel run :func:`program` before a process of the v2 cgroup creates or opens a device node.

    Raises :class:`ContainerError` when the kernel was built without this (CONFIG_CGROUP_BPF) or refuses it.
    Source: bpf(2); cgroup-v2.rst, "Device controller".
    """
    instructions = program(decisions)
    try:
        # "GPL" would give the program access to more helper functions; it calls none.
        loaded = bpf.prog_load(bpf.BPF_PROG_TYPE_CGROUP_DEVICE, instructions, b"Apache")
    except OSError as error:
        raise ContainerError(
            f"the kernel refuses the device filter ({error.strerror}), without which a container could "
            "read the host's disks: use a kernel with CONFIG_CGROUP_BPF, and CAP_SYS_ADMIN",
            errno=error.errno,
        ) from None
    try:
        directory = os.open(cgroup_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Several may be attached, here and to the groups above, and all must agree: no limit is lifted.
            bpf.prog_attach(directory, loaded, bpf.BPF_CGROUP_DEVICE, bpf.BPF_F_ALLOW_MULTI, cgroup_directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ContainerError(
            f"the device filter cannot be attached to {cgroup_directory} ({error.strerror}): it must "
            "be a cgroup of version 2, and no group above it may have a filter that forbids others",
            errno=error.errno,
        ) from None
    finally:
        os.close(loaded)  # the cgroup keeps the program
