"""minict.runtime.cgroup on the real kernel: each test makes a group, limits it, and looks at what the kernel does.

The same tests run on cgroup v1, hybrid and v2.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from minict.kernel.namespaces import clone3
from minict.runtime.cgroup import Cgroup, controllers, hierarchy, limits, mode
from minict.runtime.cgroup import group as cgroup_group
from minict.runtime.errors import ContainerError
from minict.runtime.spec import CPU, BlockIO, HugepageLimit, Memory, Pids, Resources, ThrottleDevice
from tests.support.paths import ROOT

MiB = 1 << 20
NAME = f"minict-test-{os.getpid()}"

SLEEP = "import time; time.sleep(600)"


class Box:
    """A cgroup and the processes that a test started in it."""

    def __init__(self, path):
        self.group = Cgroup(path)
        self.pids = []

    def start(self, code, group=None, stdout=None):
        """Start Python *code*, born in the group as a container's first process is; return its pid."""
        group = group or self.group
        directory = group.v2_directory()
        fd = os.open(directory, os.O_RDONLY) if directory else -1
        pid, pidfd = clone3(0, fd)
        if pid == 0:
            try:
                for file in group.join_files():
                    with open(file, "w") as tasks:
                        tasks.write("0")
                if stdout is not None:
                    os.dup2(stdout, 1)
                os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code])
            finally:
                os._exit(99)
        os.close(pidfd)
        if fd >= 0:
            os.close(fd)
        self.pids.append(pid)
        return pid

    def wait(self, pid):
        """The process's exit status, or minus the number of the signal that ended it."""
        self.pids.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self):
        self.group.remove()
        for pid in self.pids:
            os.waitpid(pid, 0)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # their children, which were reparented to this process
        except ChildProcessError:
            pass


@pytest.fixture
def box(monkeypatch):
    monkeypatch.setenv("MINICT_CGROUP", NAME)
    box = Box(f"/{NAME}/box")
    box.group.create()
    yield box
    box.close()
    assert left_over() == []


def left_over(name=NAME):
    """The existing directories of the tests' cgroups."""
    mounts = {*controllers().values(), hierarchy.find_hierarchies()[1]} - {None}
    return [f"{mount}/{name}" for mount in mounts if os.path.exists(f"{mount}/{name}")]


def eventually(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def content(group, v1_file, v2_file):
    """The content of the file for this machine's cgroup version."""
    for file, v2 in (v1_file, False), (v2_file, True):
        directory = group.directories.get(file.split(".")[0])
        if directory and (directory == group.v2_directory()) == v2:
            with open(f"{directory}/{file}") as lines:
                return lines.read().strip()
    raise AssertionError(f"neither {v1_file} nor {v2_file}")


def in_v2(controller):
    return controllers()[controller] == hierarchy.find_hierarchies()[1]


def elsewhere(code):
    """Run *code* in a new Python in a mount namespace of its own; return what it prints."""
    preamble = (
        f"import os, sys; sys.path.insert(0, {ROOT!r}); os.environ['MINICT_CGROUP'] = {NAME!r}\n"
        "from minict.kernel.namespaces import unshare, CLONE_NEWNS\n"
        "from minict.kernel.mount import mount, umount2, MS_REC, MS_PRIVATE, MS_BIND, MNT_DETACH\n"
        "unshare(CLONE_NEWNS); mount(None, '/', None, MS_REC | MS_PRIVATE)\n"
        "from minict.runtime.cgroup import group, hierarchy, limits\n"
        "from minict.runtime.cgroup import Cgroup\n"
        "from minict.runtime.errors import ContainerError\n"
        "from minict.runtime.spec import *\n"
    )
    done = subprocess.run([sys.executable, "-c", preamble + code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- numbers ---------------------------------------------------------------------------------------


def test_weight_from_shares():
    pairs = {0: 1, 1: 1, 2: 1, 3: 2, 512: 59, 1024: 100, 2000: 170, 262144: 10000, 999999: 10000}
    assert {shares: limits.weight_from_shares(shares) for shares in pairs} == pairs


def test_cpu_max():
    assert limits.cpu_max(50000, 100000) == "50000 100000"
    assert limits.cpu_max(-1, None) == "max 100000"
    assert limits.cpu_max(None, 20000, "5000 10000\n") == "5000 20000"
    assert limits.cpu_max(7000, None, "5000 10000\n") == "7000 10000"


def test_swap_max():
    assert limits.swap_max(150, 100) == "50"
    assert limits.swap_max(100, 100) == "0"
    assert limits.swap_max(-1, 100) == limits.swap_max(-1, -1) == "max"
    with pytest.raises(ContainerError, match="set memory.limit too"):
        limits.swap_max(100, -1)
    with pytest.raises(ContainerError, match="cannot be less than memory.limit"):
        limits.swap_max(99, 100)


def test_io_weight():
    assert [limits.io_weight(weight) for weight in (10, 100, 1000)] == [1, 910, 10000]


@pytest.mark.parametrize("path", ["", "/", "minict/x", "/minict/../etc", "/minict//x", "/minict/x/", "/./x"])
def test_an_invalid_path(path):
    with pytest.raises(ContainerError, match="invalid path of a cgroup"):
        Cgroup(path)


def test_a_name_makes_nothing(monkeypatch):
    monkeypatch.setenv("MINICT_CGROUP", NAME)
    group = Cgroup(f"/{NAME}/never")
    assert left_over() == []
    assert group.stats() == {} and group.processes() == []
    group.kill()
    group.remove()


# --- limits ----------------------------------------------------------------------------------------


def test_limits_are_the_kernels(box):
    box.group.limit(
        Resources(
            cpu=CPU(shares=512, quota=50000, period=200000, burst=10000, cpus="0"),
            memory=Memory(limit=64 * MiB, swap=96 * MiB, reservation=32 * MiB),
            pids=Pids(limit=33),
        )
    )
    stats = box.group.stats()
    assert stats["memory"]["limit"] == 64 * MiB
    assert stats["memory"]["swap_limit"] == 32 * MiB
    assert stats["pids"] == {"current": 0, "limit": 33}
    assert content(box.group, "memory.soft_limit_in_bytes", "memory.low") == str(32 * MiB)
    assert content(box.group, "cpuset.cpus", "cpuset.cpus") == "0"
    if in_v2("cpu"):
        assert content(box.group, "cpu.max", "cpu.max") == "50000 200000"
        assert content(box.group, "cpu.weight", "cpu.weight") == "59"
    else:
        assert content(box.group, "cpu.cfs_quota_us", "") == "50000"
        assert content(box.group, "cpu.cfs_period_us", "") == "200000"
        assert content(box.group, "cpu.shares", "") == "512"
    assert content(box.group, "cpu.cfs_burst_us", "cpu.max.burst") == "10000"


def test_no_limit(box):
    box.group.limit(Resources(memory=Memory(limit=64 * MiB, swap=64 * MiB), pids=Pids(limit=5), cpu=CPU(quota=20000)))
    box.group.limit(Resources(memory=Memory(limit=-1), pids=Pids(limit=-1), cpu=CPU(quota=-1)))
    stats = box.group.stats()
    assert stats["memory"]["limit"] is None and stats["memory"]["swap_limit"] is None and stats["pids"]["limit"] is None
    assert content(box.group, "cpu.cfs_quota_us", "cpu.max") in ("-1", "max 100000")


def test_update_while_it_runs_up_and_down(box):
    box.group.limit(
        Resources(memory=Memory(limit=64 * MiB, swap=64 * MiB), cpu=CPU(quota=20000, period=100000, burst=20000))
    )
    pid = box.start(SLEEP)
    for limit, swap, quota in (128, 192, 80000), (48, 48, 10000), (256, 256, 90000), (32, 300, 30000):
        box.group.limit(Resources(memory=Memory(limit=limit * MiB, swap=swap * MiB), cpu=CPU(quota=quota, burst=quota)))
        memory = box.group.stats()["memory"]
        assert (memory["limit"], memory["swap_limit"]) == (limit * MiB, (swap - limit) * MiB)
        assert content(box.group, "cpu.cfs_quota_us", "cpu.max").split()[0] == str(quota)
        assert content(box.group, "cpu.cfs_burst_us", "cpu.max.burst") == str(quota)
    box.group.limit(Resources(cpu=CPU(period=50000, quota=None)))
    assert content(box.group, "cpu.cfs_quota_us", "cpu.max").split()[0] == "30000", "the quota was not to change"
    assert box.group.processes() == [pid]


def test_idle_and_back(box):
    box.group.limit(Resources(cpu=CPU(idle=1)))
    assert content(box.group, "cpu.idle", "cpu.idle") == "1"
    box.group.limit(Resources(cpu=CPU(shares=1024, idle=0)))  # the kernel takes shares only after idle=0
    assert content(box.group, "cpu.idle", "cpu.idle") == "0"
    assert content(box.group, "cpu.shares", "cpu.weight") in ("1024", "100")


def test_zero_processes_would_be_no_container(box):
    box.group.limit(Resources(pids=Pids(limit=0)))
    assert box.group.stats()["pids"]["limit"] == 1
    assert box.wait(box.start("pass")) == 0


@pytest.mark.parametrize(
    "resources, sentence",
    [
        (Resources(cpu=CPU(quota=5)), "cpu.quota cannot be '5.*at least 1000 microseconds"),
        (Resources(cpu=CPU(cpus="4000")), "cpu.cpus cannot be '4000'.*numbers of existing processors"),
        (Resources(cpu=CPU(idle=7)), "cpu.idle cannot be '7'.*0 or 1"),
        (Resources(memory=Memory(limit=64 * MiB, swap=32 * MiB)), "cannot be less than memory.limit"),
        (Resources(memory=Memory(limit="64m")), "memory.limit cannot be '64m': write a whole number"),
        (Resources(hugepageLimits=[HugepageLimit(pageSize="../x", limit=1)]), "write a size such as 2MB"),
        (
            Resources(blockIO=BlockIO(throttleReadBpsDevice=[ThrottleDevice(major=4095, minor=9, rate=1)])),
            "no block device 4095:9",
        ),
    ],
)
def test_an_invalid_value_is_one_sentence(box, resources, sentence):
    with pytest.raises(ContainerError, match=sentence) as caught:
        box.group.limit(resources)
    assert caught.value.status == 125


def test_a_setting_of_the_other_cgroup_version(box):
    """Swappiness exists in cgroup v1 only."""
    resources = Resources(memory=Memory(swappiness=10))
    if in_v2("memory"):
        with pytest.raises(ContainerError, match="memory.swappiness cannot be set: it exists in cgroup v1 only"):
            box.group.limit(resources)
    else:
        box.group.limit(resources)
        assert content(box.group, "memory.swappiness", "") == "10"
    box.group.limit(Resources(memory=Memory(disableOOMKiller=False)))  # engines write this default into each container


def test_check_before_update(box):
    pid = box.start(f"x = b'x' * {40 * MiB}; {SLEEP}")
    eventually(lambda: box.group.stats()["memory"]["usage"] > 40 * MiB)
    # v1: the kernel refuses by itself, as there is no swap to put the memory into; v2: we do, as we are asked to
    with pytest.raises(ContainerError, match="memory.limit cannot be"):
        box.group.limit(Resources(memory=Memory(limit=16 * MiB, swap=16 * MiB, checkBeforeUpdate=True)))
    assert box.group.processes() == [pid]


def test_a_throttled_disk(box):
    disk = next(
        disk
        for disk in sorted(os.listdir("/sys/block"), reverse=True)
        if int(open(f"/sys/block/{disk}/size").read()) and not disk.startswith(("loop", "zram"))
    )
    number = open(f"/sys/block/{disk}/dev").read().strip()
    device = {"major": int(number.split(":")[0]), "minor": int(number.split(":")[1])}

    def limits():
        return content(box.group, "blkio.throttle.read_bps_device", "io.max")

    box.group.limit(
        Resources(
            blockIO=BlockIO(
                throttleReadBpsDevice=[ThrottleDevice(rate=MiB, **device)],
                throttleWriteIOPSDevice=[ThrottleDevice(rate=77, **device)],
            )
        )
    )
    assert limits().startswith(number) and str(MiB) in limits()
    assert "77" in content(box.group, "blkio.throttle.write_iops_device", "io.max")
    box.group.limit(Resources(blockIO=BlockIO(throttleReadBpsDevice=[ThrottleDevice(rate=0, **device)])))
    assert str(MiB) not in limits()


def test_a_disks_weight(box):
    box.group.limit(Resources(blockIO=BlockIO(weight=100)))
    expected = {"blkio.bfq.weight": "100", "blkio.weight": "100", "io.bfq.weight": "100", "io.weight": "910"}
    files = [
        (f"{directory}/{file}", text) for directory in box.group.directories.values() for file, text in expected.items()
    ]
    there = [(open(file).read(), text) for file, text in files if os.path.exists(file)]
    assert any(text in found.split() for found, text in there)


@pytest.mark.skipif(not os.path.isdir("/sys/kernel/mm/hugepages"), reason="User Mode Linux has no huge pages")
def test_huge_pages(box):
    sizes = [int(name.split("-")[1].removesuffix("kB")) for name in os.listdir("/sys/kernel/mm/hugepages")]
    resources = Resources(hugepageLimits=[HugepageLimit(pageSize=f"{min(sizes) // 1024}MB", limit=4 * MiB)])
    if "hugetlb" not in controllers():
        with pytest.raises(ContainerError, match="needs the cgroup controller hugetlb"):
            box.group.limit(resources)
    else:
        box.group.limit(resources)
        file = f"hugetlb.{min(sizes) // 1024}MB"
        assert content(box.group, f"{file}.limit_in_bytes", f"{file}.max") == str(4 * MiB)
    with pytest.raises(ContainerError, match="hugepageLimits 7MB"):
        box.group.limit(Resources(hugepageLimits=[HugepageLimit(pageSize="7MB", limit=1)]))


@pytest.mark.parametrize(
    "key",
    [
        "../box/memory.max",
        "memory.max/../../x",
        "/nowhere/x",
        "..",
        ".",
        "",
        "memory",
        "memory.",
        "memory.max\0",
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.subtree_control",
        "cgroup.kill",
        "x/memory.max",
    ],
)
def test_unified_leads_nowhere_else(box, key):
    # A value that the kernel takes for none of these files: were the key let through, nothing would happen but
    # another sentence.  A "1" in cgroup.procs would move the machine's first process.
    with pytest.raises(ContainerError, match="is not a limit"):
        box.group.limit(Resources(unified={key: "nonsense"}))


def test_unified(box):
    if mode() == "v1":
        with pytest.raises(ContainerError):
            box.group.limit(Resources(unified={"cgroup.max.depth": "3"}))
        return
    box.group.limit(Resources(unified={"cgroup.max.depth": "3"}))
    assert open(box.group.v2_directory() + "/cgroup.max.depth").read() == "3\n"
    if in_v2("memory"):
        box.group.limit(Resources(unified={"memory.high": str(64 * MiB)}))
        assert content(box.group, "", "memory.high") == str(64 * MiB)
        with pytest.raises(ContainerError, match="unified memory.nonsense cannot be set: Linux .* lacks the file"):
            box.group.limit(Resources(unified={"memory.nonsense": "1"}))
    else:
        with pytest.raises(ContainerError, match="unified is for cgroup v2, and the controller memory is mounted"):
            box.group.limit(Resources(unified={"memory.high": "1"}))


def test_a_missing_controller_is_one_sentence():
    """A machine without pids, made of this one.  v1: unmounted; v2: not handed down to the part that we see."""
    try:
        sentence = elsewhere(f"""
point = '/sys/fs/cgroup' if hierarchy.mode() == 'v2' else hierarchy.controllers()['pids']
if hierarchy.mode() == 'v2':
    os.makedirs(f'{{point}}/{NAME}-less/inner')
    open(f'{{point}}/{NAME}-less/cgroup.subtree_control', 'w').write('+memory')
    mount(f'{{point}}/{NAME}-less/inner', point, None, MS_BIND)
else:
    umount2(point, MNT_DETACH)
hierarchy._hierarchies = None
group = Cgroup('/{NAME}/less')
group.create()
try:
    group.limit(Resources(memory=Memory(limit=1 << 26), pids=Pids(limit=5)))
except ContainerError as error:
    print(error)
print(sorted(group.stats()))
group.remove()
""")
    finally:
        if mode() == "v2":
            for directory in f"{NAME}-less/inner", f"{NAME}-less":
                os.rmdir(f"/sys/fs/cgroup/{directory}")
    assert sentence.startswith("pids.limit needs the cgroup controller pids, which this machine lacks: ")
    assert ("+pids" if mode() == "v2" else "mount -t cgroup -o pids") in sentence
    assert "'memory'" in sentence and "'pids'" not in sentence.splitlines()[-1]
    assert left_over() == []


# --- what the kernel then does ---------------------------------------------------------------------


def test_an_oom_kill(box):
    box.group.limit(Resources(memory=Memory(limit=32 * MiB, swap=32 * MiB)))
    assert box.wait(box.start(f"b'x' * {128 * MiB}")) == -signal.SIGKILL
    memory = box.group.stats()["memory"]
    assert memory["oom_kills"] == 1
    assert memory["peak"] is None or 24 * MiB < memory["peak"] <= 32 * MiB


def test_a_fork_bomb(box):
    box.group.limit(Resources(pids=Pids(limit=12)))
    reading, writing = os.pipe()
    code = """import os, time
made = 0
for _ in range(50):
    try:
        if os.fork() == 0:
            time.sleep(600)
        made += 1
    except BlockingIOError:
        break
os.write(1, str(made).encode())
time.sleep(600)"""
    box.start(code, stdout=writing)
    assert os.read(reading, 100) == b"11"
    assert box.group.stats()["pids"] == {"current": 12, "limit": 12}
    assert len(box.group.processes()) == 12
    os.close(reading), os.close(writing)


def test_a_quota_throttles(box):
    box.group.limit(Resources(cpu=CPU(quota=2000, period=20000)))
    box.start("while True: pass")
    eventually(lambda: box.group.stats()["cpu"]["throttled_periods"] > 0)
    eventually(lambda: box.group.stats()["cpu"]["usage_us"] > 10000)
    eventually(lambda: box.group.stats()["cpu"]["throttled_us"] > 0)
    stats = box.group.stats()["cpu"]
    assert stats["periods"] >= stats["throttled_periods"]
    assert set(stats) == {"usage_us", "user_us", "system_us", "periods", "throttled_periods", "throttled_us"}
    assert abs(stats["user_us"] + stats["system_us"] - stats["usage_us"]) <= 1
    eventually(lambda: box.group.stats()["cpu"]["user_us"] > 0)


def test_a_frozen_counter(box, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    box.start(f"""import os
fd, number = os.open({str(counter)!r}, os.O_WRONLY), 0
while True:
    number += 1
    os.pwrite(fd, b'%12d' % number, 0)""")
    eventually(lambda: int(counter.read_text() or 0) > 10)
    box.group.freeze()
    assert (
        content(box.group, "freezer.state", "") == "FROZEN"
        if "freezer" in controllers()
        else "frozen 1" in open(box.group.v2_directory() + "/cgroup.events").read()
    )
    stopped = counter.read_text()
    time.sleep(0.3)
    assert counter.read_text() == stopped
    box.group.freeze()  # twice is once
    box.group.thaw()
    eventually(lambda: int(counter.read_text() or 0) > int(stopped))
    box.group.thaw()


def test_the_same_counters_in_both_versions(box):
    stats = box.group.stats()
    assert set(stats) == {"cpu", "memory", "pids", "io"}
    assert set(stats["memory"]) == {
        "usage",
        "limit",
        "peak",
        "oom_kills",
        "swap",
        "swap_limit",
        "anon",
        "file",
        "inactive_file",
    }
    assert set(stats["io"]) == {"read_bytes", "write_bytes"}


def test_io_is_counted(box):
    """A write past the page cache (O_DIRECT) is the process's own in both worlds."""
    number = disk_below(ROOT)
    if number is None:
        assert box.group.stats()["io"] == {"read_bytes": 0, "write_bytes": 0}  # no disk here that could count
        return
    major, minor = map(int, number.split(":"))
    throttle = ThrottleDevice(major=major, minor=minor, rate=1 << 40)  # far away: it only makes v1 count
    box.group.limit(Resources(blockIO=BlockIO(throttleWriteBpsDevice=[throttle])))
    code = f"""import mmap, os
fd = os.open({ROOT!r}, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT, 0o600)
page = mmap.mmap(-1, {MiB}); page.write(b'x' * {MiB})
assert os.pwritev(fd, [page], 0) == {MiB}"""
    assert box.wait(box.start(code)) == 0
    assert box.group.stats()["io"]["write_bytes"] >= MiB


def disk_below(path):
    """The number of the whole disk below the file system of *path*, or None."""
    device = os.stat(path).st_dev
    directory = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if os.path.exists(f"{directory}/partition"):
        directory = os.path.dirname(directory)
    return open(f"{directory}/dev").read().strip() if os.path.exists(f"{directory}/dev") else None


# --- processes and the end -------------------------------------------------------------------------


def test_add_a_running_process(box):
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEP])
    try:
        assert box.group.processes() == []
        box.group.add(process.pid)
        assert box.group.processes() == [process.pid]
        for directory in box.group._all():
            assert open(f"{directory}/cgroup.procs").read().split() == [str(process.pid)]
        with pytest.raises(ContainerError, match="process 4194305 cannot be moved"):
            box.group.add(4194305)
    finally:
        box.group.kill()
        assert process.wait() == -signal.SIGKILL


def nest(box):
    """Two groups inside the container's own, as a container that runs containers makes them, and a process in each."""
    for directory in box.group._all():
        os.makedirs(f"{directory}/inner/deeper")
    if "cpuset" in box.group.directories and not in_v2("cpuset"):
        for file in "cpuset.cpus", "cpuset.mems":
            cgroup_group.inherit_cpuset(box.group.directories["cpuset"] + "/inner/deeper", file)
    groups = [box.group, Cgroup(box.group.path + "/inner"), Cgroup(box.group.path + "/inner/deeper")]
    pids = [box.start(SLEEP, group) for group in groups]
    assert sorted(box.group.processes()) == sorted(pids)
    return pids


def test_kill_reaches_the_nested(box):
    pids = nest(box)
    box.group.kill()
    assert box.group.processes() == []
    assert [box.wait(pid) for pid in pids] == [-signal.SIGKILL] * 3
    box.group.kill()


def test_kill_the_frozen(box):
    pids = nest(box)
    box.group.freeze()
    box.group.kill()
    assert [box.wait(pid) for pid in pids] == [-signal.SIGKILL] * 3


FORKING = """import os, time
while True:
    try:
        if os.fork():
            os._exit(0)
    except BlockingIOError:
        time.sleep(0.001)"""


def test_kill_a_fork_bomb(box):
    box.group.limit(Resources(pids=Pids(limit=20)))
    for _ in range(4):
        box.start(FORKING)
    eventually(lambda: len(box.group.processes()) > 1)
    box.group.kill()
    assert box.group.processes() == []


def test_kill_a_process_that_joined_only_v1(box):
    """cgroup.kill covers the tree of v2 only; on a hybrid machine a process may be in the trees of v1 alone."""
    if mode() == "v2":
        pid = box.start(SLEEP)
    else:
        pid = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEP]).pid
        box.pids.append(pid)
        with open(f"{box.group.directories['memory']}/cgroup.procs", "w") as procs:
            procs.write(str(pid))
    box.group.kill()
    assert box.wait(pid) == -signal.SIGKILL


def test_kill_one_by_one(box, monkeypatch):
    """On kernels without cgroup.kill: one call leaves no process, although all of them fork."""
    monkeypatch.setattr(cgroup_group, "_kill_by_file", lambda group: False)
    box.group.limit(Resources(pids=Pids(limit=20)))
    pids = nest(box)
    box.start(FORKING)
    cgroup_group.kill_all(box.group)
    eventually(lambda: box.group.processes() == [])
    assert [box.wait(pid) for pid in pids] == [-signal.SIGKILL] * 3


def test_kill_on_pure_v1_or_v2():
    """Hybrid without its v2 tree is pure v1; pure v2 stays what it is."""
    out = elsewhere(f"""
found, unified = hierarchy.find_hierarchies()
if hierarchy.mode() == 'hybrid':
    umount2(unified, MNT_DETACH)
    hierarchy._hierarchies = None
    assert hierarchy.mode() == 'v1'
group = Cgroup('/{NAME}/pure')
group.create()
group.limit(Resources(memory=Memory(limit=1 << 26), pids=Pids(limit=9)))
assert (group.v2_directory() is None) == (hierarchy.mode() == 'v1')
import subprocess
child = subprocess.Popen(['sleep', '600'])
group.add(child.pid)
assert group.processes() == [child.pid]
group.freeze()
group.kill()
print(child.wait())
group.remove()
""")
    assert out == "-9\n"
    assert left_over() == []


def test_remove_all_of_it_and_twice(box):
    pids = nest(box)
    assert left_over() != []
    box.group.remove()
    assert left_over() == []
    assert [box.wait(pid) for pid in pids] == [-signal.SIGKILL] * 3
    box.group.remove()
    assert box.group.processes() == [] and box.group.stats() == {}
    with pytest.raises(ContainerError, match="is gone"):
        box.group.limit(Resources(memory=Memory(limit=64 * MiB)))


def test_remove_spares_a_foreign_parent(monkeypatch):
    monkeypatch.setenv("MINICT_CGROUP", "minict-test-other")
    outer, inner = Cgroup(f"/{NAME}"), Cgroup(f"/{NAME}/inner")
    inner.create()
    inner.remove()
    assert len(left_over()) == len(outer._all())
    outer.remove()
    assert left_over() == []


def test_a_parent_in_use_stays(box):
    other = Cgroup(f"/{NAME}/other")
    other.create()
    other.remove()
    box.group.limit(Resources(memory=Memory(limit=64 * MiB)))


def test_two_creators_at_once():
    """Each removes the common parent whenever it is empty, under the other's feet."""
    code = f"""
for number in range(120):
    group = Cgroup(f'/{NAME}/{{os.getpid()}}')
    group.create()
    group.limit(Resources(memory=Memory(limit=1 << 26), cpu=CPU(quota=50000), pids=Pids(limit=9)))
    cpuset = group.directories['cpuset']  # v1: a group without processors takes no process
    assert cpuset == group.v2_directory() or open(cpuset + '/cpuset.cpus').read().strip()
    group.remove()
"""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(elsewhere, [code] * 3)) == [""] * 3
    assert left_over() == []


def test_no_internal_processes(box):
    """v2: a group with processes of its own can't hand controllers down, which matters to a limit; v1 does not mind."""
    box.start(SLEEP)
    below = Cgroup(box.group.path + "/below")
    below.create()
    limits = {
        "pids": Resources(pids=Pids(limit=9)),
        "hugetlb": Resources(hugepageLimits=[HugepageLimit(pageSize="2MB", limit=1 << 21)]),
    }
    for name in limits.keys() & controllers().keys():
        if in_v2(name):
            with pytest.raises(ContainerError, match="no-internal-processes rule"):
                below.limit(limits[name])
        else:
            assert below.limit(limits[name]) == ""


def test_a_read_only_cgroup_file_system():
    out = elsewhere("""
from minict.kernel.mount import MS_REMOUNT, MS_RDONLY
for point in {*hierarchy.controllers().values(), hierarchy.find_hierarchies()[1]} - {None}:
    mount(None, point, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
try:
    Cgroup('/minict-test-never/x').create()
except ContainerError as error:
    print(error)
""")
    assert "mounted read-only; remount it" in out


def test_a_machine_without_cgroups():
    out = elsewhere("""
for line in reversed(open('/proc/self/mountinfo').readlines()):
    if ' - cgroup' in line:
        umount2(line.split()[4], MNT_DETACH)
group = Cgroup('/minict-test-never/x')
group.remove()
for step in hierarchy.mode, group.create, lambda: group.limit(Resources(pids=Pids(limit=5))):
    try:
        step()
    except ContainerError as error:
        print(error)
""")
    assert out.count("no control groups are mounted") == 3
