"""A start of a container loads no slow module, and only the modules of the engine that it needs."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT
from tests.unit.test_imports import SLOW

# What a run needs of the engine.  Each module costs 0.1 ms at each start: modules that few runs need are imported on
# demand.
_OF_THE_ENGINE = {
    *("cli", "cli.caller", "cli.commands", "cli.commands.run", "cli.main", "cli.parser"),
    *(
        "containers",
        "containers.env",
        "containers.names",
        "containers.options",
        "containers.policies",
        "containers.store",
    ),
    *("distribution", "distribution.reference", "images", "images.image", "images.overlay", "images.store"),
    *(
        "lifecycle",
        "lifecycle.bundle",
        "lifecycle.create",
        "lifecycle.jsonlog",
        "lifecycle.monitor",
        "lifecycle.protocol",
        "lifecycle.run",
        "lifecycle.task",
    ),
    *("networks", "networks.dns", "networks.options", "networks.sandbox", "networks.state"),
    *("spec", "spec.namespaces", "spec.resources", "spec.seccomp", "spec.security", "spec.spec", "spec.user"),
    *(
        "util",
        "util.daemonize",
        "util.events",
        "util.timestamps",
        "util.units",
        "volumes",
        "volumes.mounts",
    ),
}
_BELOW_THE_ENGINE = {
    *("kernel", "kernel.capability", "kernel.mount", "kernel.namespaces", "kernel.native", "kernel.network"),
    *("kernel.process", "kernel.seccomp", "kernel.syscall"),
    *("runtime", "runtime.apparmor", "runtime.birth", "runtime.capabilities", "runtime.cgroup"),
    *("runtime.cgroup.files", "runtime.place"),
    *("runtime.cgroup.group", "runtime.cgroup.hierarchy", "runtime.cgroup.limits", "runtime.container"),
    *("runtime.devices", "runtime.errors", "runtime.files", "runtime.jsonfile", "runtime.launch", "runtime.locks"),
    *("runtime.messages", "runtime.mounts", "runtime.namespaces", "runtime.paths", "runtime.process", "runtime.procfs"),
    *("runtime.rootfs", "runtime.seccomp", "runtime.spec", "runtime.stage", "runtime.state", "runtime.trace"),
    *("runtime.delete", "runtime.start", "runtime.wait"),
}
# from Python 3.14 on, a structure itself loads it: ctypes._layout
_CTYPES = {"ctypes"} if sys.version_info < (3, 14) else set()
_OF_CGROUP_V2 = {
    "kernel.bpf",
    "runtime.devicefilter",
    "runtime.cgroup.delegation",
}  # to restrict devices, to get controllers
_OF_A_NETWORK = {
    f"networks.{name}" for name in ("bridge", "driveroptions", "endpoints", "firewall", "ipam", "nftables", "store")
} | {"rootless", "rootless.home", "rootless.outside"}


def loaded_by(*words: str) -> set[str]:
    """The modules that ``minict WORDS…`` loads, as the interpreter itself reports them (-X importtime)."""
    program = f"import sys; sys.path.insert(0, {ROOT!r}); from minict.engine.cli.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", "-c", program, *words], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}


def of_the_engine(loaded: set[str]) -> set[str]:
    return {name.removeprefix("minict.engine.") for name in loaded if name.startswith("minict.engine.")}


def below_the_engine(loaded: set[str]) -> set[str]:
    names = {name.removeprefix("minict.") for name in loaded if name.startswith(("minict.kernel", "minict.runtime"))}
    return names - _OF_CGROUP_V2


def test_a_run_loads_nothing_slow(tiny):
    loaded_by("run", "--rm", "--network", "none", tiny, "true")  # the first one may fill caches
    for words in (
        ("run", "--rm", "--network", "none", tiny, "true"),
        ("run", "--rm", "--network", "none", "--memory", "64m", "--cpus", "0.5", "-e", "A=b", tiny, "true"),
    ):
        loaded = loaded_by(*words)
        assert loaded & (SLOW | _CTYPES) == set()
        assert of_the_engine(loaded) == _OF_THE_ENGINE
        assert below_the_engine(loaded) == _BELOW_THE_ENGINE


def test_a_run_with_a_network_loads_only_its_modules(tiny, host):
    loaded = loaded_by("run", "--rm", tiny, "true")
    assert loaded & SLOW == set()
    assert of_the_engine(loaded) == _OF_THE_ENGINE | _OF_A_NETWORK
    assert "minict.kernel.conntrack" not in loaded


def test_the_library_of_the_dns_server_is_loaded_by_the_first_query(tiny, host):
    assert (
        subprocess.run([sys.executable, "-m", "minict", "network", "create", "back"], stdout=subprocess.PIPE).returncode
        == 0
    )
    try:
        loaded = loaded_by("run", "--rm", "--network", "back", tiny, "true")
    finally:
        subprocess.run([sys.executable, "-m", "minict", "network", "rm", "back"], stdout=subprocess.PIPE)
    assert loaded & SLOW == set()
    assert of_the_engine(loaded) == _OF_THE_ENGINE | _OF_A_NETWORK | {"networks.resolver", "util.eventloop"}
    assert not [name for name in loaded if name.startswith("dnslib")]


def test_commands_that_only_read_load_little(tiny):
    for words, most in ((("ps",), 26), (("version",), 14), (("--help",), 22)):
        loaded = loaded_by(*words)
        assert loaded & (SLOW | {"ctypes", "_ctypes"}) == set(), words
        assert len([name for name in loaded if name.startswith("minict")]) <= most, words
