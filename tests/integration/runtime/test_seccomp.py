"""minict.runtime.seccomp and minict.engine.spec.seccomp: the meaning of a filter's text, and what the kernel does with
it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

from minict.engine.spec import seccomp as profiles
from minict.kernel import mount, namespaces
from minict.kernel.capability import capget
from minict.kernel.process import PR_SET_KEEPCAPS, prctl
from minict.runtime import capabilities, libseccomp, seccomp
from minict.runtime.spec import Capabilities
from tests.support.in_child import errno_of, forked
from tests.unit.runtime.test_seccomp import deny, profile

# ---- what the kernel does --------------------------------------------------------------------------------------


def test_the_kernel_refuses_an_invalid_program():
    assert forked(errno_of, seccomp.install, b"") == errno.EINVAL
    assert forked(errno_of, seccomp.install, bytes([6, 0, 0, 0, 0, 0, 255, 127]) * 2) == 0
    assert forked(errno_of, seccomp.install, bytes([255]) * 8) == errno.EINVAL


def test_flags_are_given_to_the_kernel():
    flags = seccomp.flags(
        profile(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"])
    )
    assert flags == 7
    program = seccomp.compile(profile(deny("mkdir")))
    assert forked(errno_of, seccomp.install, program, flags) == 0
    assert forked(errno_of, seccomp.install, program, 1 << 20) == errno.EINVAL
    assert seccomp.flags(profile()) == 0


# ---- what the text of a profile means --------------------------------------------------------------------------


def test_without_libseccomp_there_is_a_remedy():
    """A program in a mount namespace of its own finds an empty file in the library's place."""
    libseccomp._library()
    with open("/proc/self/maps") as maps:
        path = next(line.split()[-1] for line in maps if "libseccomp" in line)

    def child():
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount("/dev/null", path, None, mount.MS_BIND)
        program = (
            "from minict.runtime import errors, seccomp, spec\n"
            "try: seccomp.compile(spec.Seccomp(defaultAction='SCMP_ACT_ALLOW'))\n"
            "except errors.ContainerError as error: print(error)"
        )
        return subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=os.path.dirname(os.path.dirname(__file__)),
        ).stdout

    assert "apt-get install libseccomp2" in forked(child)


# ---- the cache -------------------------------------------------------------------------------------------------


# ---- the default profile ---------------------------------------------------------------------------------------


# ---- Docker's form of a profile --------------------------------------------------------------------------------


def test_without_no_new_privs_the_filter_comes_before_the_capabilities_go():
    """Then the default profile must allow the steps that follow it in a container's init."""
    program = seccomp.compile(profiles.default(capabilities.DEFAULT))
    sets = Capabilities(
        bounding=capabilities.DEFAULT,
        permitted=["CAP_KILL"],
        effective=["CAP_KILL"],
        inheritable=["CAP_KILL"],
        ambient=["CAP_KILL"],
    )

    def child():
        seccomp.install(program)
        capabilities.drop_bounding(sets)
        prctl(PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        capabilities.apply(sets)
        return errno_of(seccomp.install, program), capabilities.names(capget()[0])

    assert forked(child) == (errno.EACCES, ["CAP_KILL"])
