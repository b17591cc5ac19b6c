"""bpf: programs that the kernel runs at certain points, such as the opening of a device."""

from __future__ import annotations

from . import native
from .syscall import syscall

# linux/bpf.h; bpf(2)
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2


class _Load(native.Structure):
    """The part of union bpf_attr that BPF_PROG_LOAD reads, up to what every kernel with the call knows."""

    _fields_ = [
        ("prog_type", native.c_uint32),
        ("insn_cnt", native.c_uint32),
        ("insns", native.c_uint64),
        ("license", native.c_uint64),
        ("log_level", native.c_uint32),
        ("log_size", native.c_uint32),
        ("log_buf", native.c_uint64),
        ("kern_version", native.c_uint32),
        ("prog_flags", native.c_uint32),
    ]


class _Attach(native.Structure):
    """The part of union bpf_attr that BPF_PROG_ATTACH reads."""

    _fields_ = [(name, native.c_uint32) for name in ("target_fd", "attach_bpf_fd", "attach_type", "attach_flags")]


def prog_load(prog_type: int, program: bytes, license: bytes) -> int:
    """Hand *program* (instructions of eBPF, 8 bytes each) to the kernel, which verifies that it ends and is harmless.

    *license*: the kernel offers some helper functions only to programs under "GPL".
    Returns a file descriptor, closed on exec. Raises :class:`OSError`: EINVAL when this kernel lacks *prog_type* or
    rejects the program, EPERM without CAP_SYS_ADMIN or CAP_BPF. Source: bpf(2).
    """
    code = native.create_string_buffer(program, len(program))
    words = native.create_string_buffer(license)
    attributes = _Load(prog_type, len(program) // 8, native.addressof(code), native.addressof(words))
    return syscall("bpf", BPF_PROG_LOAD, native.byref(attributes), native.sizeof(attributes))


def prog_attach(target: int, program: int, attach_type: int, flags: int = 0, path: str | None = None) -> None:
    """Let the kernel run the *program* of :func:`prog_load` at the point *attach_type* of the open cgroup *target*.

    It stays as long as the cgroup does. With BPF_F_ALLOW_MULTI a cgroup can have several programs, those of its
    ancestors included, and all of them must agree. Raises :class:`OSError` with *path*. Source: bpf(2).
    """
    attributes = _Attach(target, program, attach_type, flags)
    syscall("bpf", BPF_PROG_ATTACH, native.byref(attributes), native.sizeof(attributes), path=path)
