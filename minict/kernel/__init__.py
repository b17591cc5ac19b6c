"""The system calls that a container runtime needs and that Python's standard library lacks.

=====================  ===========================================================================
:mod:`.syscall`        makes a call and turns its errno into an :class:`OSError`
:mod:`.native`         the part of ctypes that it needs
:mod:`.namespaces`     unshare, setns, clone3
:mod:`.mount`          mount, umount2, pivot_root, openat2, open_tree, move_mount, mount_setattr
:mod:`.process`        prctl, pidfd_open, pidfd_send_signal, close_range, sethostname, keyctl
:mod:`.capability`     capget, capset
:mod:`.seccomp`        seccomp
:mod:`.bpf`            bpf: small programs that the kernel runs, here to decide about devices
:mod:`.network`        switches the loopback device on
:mod:`.netlink`        makes and lists interfaces, addresses and routes
:mod:`.conntrack`      deletes entries of the connection tracking table
:mod:`.inotify`        watches files for changes
=====================  ===========================================================================

Nothing here knows about containers. Begin reading with :mod:`.syscall`.
"""
