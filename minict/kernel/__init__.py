"""The system calls that a container runtime needs and that Python's standard library lacks.

=====================  ===========================================================================
:mod:`.syscall`        how a call is made, and how its errno becomes an OSError
:mod:`.namespaces`     unshare, setns, clone3
:mod:`.mount`          mount, umount2, pivot_root, openat2, mount_setattr
:mod:`.process`        prctl, pidfd_open, pidfd_send_signal, close_range, sethostname
:mod:`.capability`     capget, capset
:mod:`.seccomp`        seccomp
:mod:`.bpf`            bpf: small programs that the kernel runs, here to decide about devices
:mod:`.network`        the loopback device, by its one ioctl
=====================  ===========================================================================

Nothing here knows what a container is, and nothing imports more than ctypes and os.
"""
