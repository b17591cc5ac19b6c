"""``minict run`` as a user types it: each option, what is inside, what comes out, and how it ends."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from minict.kernel import mount
from minict.runtime import namespaces
from tests.support.command_line import (
    MINICT,
    PATIENCE,
    Terminal,
    begin,
    containers,
    interrupted,
    minict,
    output,
    refused,
    run,
    wait_until,
)

SIX = ("pid", "mount", "uts", "ipc", "cgroup", "network")  # as Docker's default; user and time are the host's


# ---- limits --------------------------------------------------------------------------------------------------------


def test_more_memory_than_allowed_ends_the_command(image):
    assert (
        run(image, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", flags=["--memory", "16m"]).returncode
        == 137
    )
    assert (
        run(image, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", flags=["--memory", "256m"]).returncode
        == 0
    )


def test_the_limit_of_memory_is_a_file_inside(image):
    files = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true"
    assert output(image, files, "-m", "64m") == str(64 << 20)


def test_half_a_processor_is_half_of_each_period(image):
    names = "*/cpu.cfs_quota_us /sys/fs/cgroup/*/cpu.cfs_period_us /sys/fs/cgroup/cpu.max"
    files = f"cat /sys/fs/cgroup/{names} 2>/dev/null || true"
    assert output(image, files, "--cpus", "0.5").split() == ["50000", "100000"]


def test_a_fork_bomb_stops_at_the_limit_of_processes(image):
    bomb = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1"
    assert "can't fork" in run(image, "sh", "-c", bomb, flags=["--pids-limit", "6"]).stdout
    assert run(image, "sh", "-c", bomb, flags=["--pids-limit", "0"]).stdout == ""  # 0: no limit


# ---- names, variables, directories, users --------------------------------------------------------------------------


def test_the_host_name_is_the_containers_own(image):
    before = os.uname().nodename
    assert output(image, "hostname; cat /etc/hostname; grep -c web /etc/hosts", "--hostname", "web").split() == [
        "web",
        "web",
        "1",
    ]
    assert os.uname().nodename == before


def test_without_a_host_name_it_is_the_id(image):
    name = output(image, "hostname")
    assert len(name) == 12 and int(name, 16) >= 0


def test_variables_are_given_handed_on_and_overridden(image):
    flags = [
        "-e",
        "A=1=2",
        "-e",
        "EMPTY=",
        "-e",
        "FROM_OUTSIDE",
        "-e",
        "NOWHERE",
        "--env",
        "HOME=/tmp",
        "-e",
        "UMLAUT=grün",
    ]
    inside = output(image, "env", *flags, env={**os.environ, "FROM_OUTSIDE": "yes"}).splitlines()
    assert {"A=1=2", "EMPTY=", "FROM_OUTSIDE=yes", "HOME=/tmp", "UMLAUT=grün"} <= set(inside)
    assert not [line for line in inside if line.startswith(("NOWHERE", "PYTHON", "MINICT"))], "nothing of ours leaks in"


def test_a_working_directory_that_is_missing_is_made(image):
    assert output(image, "pwd", "-w", "/srv/new/deep") == "/srv/new/deep"
    assert output(image, "pwd", "-w", "/srv/new/deep", "--read-only") == "/srv/new/deep"


@pytest.mark.parametrize(
    "user,ids",
    [
        ("1000", "1000 0"),
        ("1000:2000", "1000 2000"),
        ("nobody", "65534 65534"),
        ("nobody:tty", "65534 5"),
        ("0:nogroup", "0 65534"),
        ("root", "0 0"),
    ],
)
def test_the_command_runs_as_the_user(image, user, ids):
    assert output(image, "echo $(id -u) $(id -g)", "-u", user) == ids


def test_another_user_than_root_has_no_capabilities(image):
    assert output(image, "grep CapEff /proc/self/status", "-u", "nobody").split()[1] == "0" * 16


def test_the_groups_of_the_host_stay_outside(image):
    os.setgroups([4242])
    try:
        assert output(image, "id -G", "-u", "nobody") == "65534"
    finally:
        os.setgroups([])


@pytest.mark.parametrize("user", ["stranger", "0:strangers", "-1"])
def test_a_user_that_the_image_does_not_know_is_refused(image, user):
    refused(run(image, "true", flags=["-u", user]), image, user.split(":")[-1])


def test_the_entry_point_can_be_replaced(image):
    assert run(image, "a", "b", flags=["--entrypoint", "echo"]).stdout == "a b\n"


# ---- volumes -------------------------------------------------------------------------------------------------------


def test_a_volume_is_read_and_written_from_both_sides(image, tmp_path):
    (tmp_path / "in").write_text("from outside")
    assert output(image, "cat /data/in; echo from inside > /data/out", "-v", f"{tmp_path}:/data") == "from outside"
    assert (tmp_path / "out").read_text() == "from inside\n"


def test_a_single_file_can_be_a_volume(image, tmp_path):
    (tmp_path / "file").write_text("alone")
    assert output(image, "cat /new/place", "-v", f"{tmp_path}/file:/new/place:ro") == "alone"


def test_a_source_below_the_present_directory_is_found(image, tmp_path):
    (tmp_path / "here").mkdir()
    output(
        image, "echo 1 > /data/file", "-v", "./here:/data", cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert (tmp_path / "here" / "file").exists()


def test_a_read_only_volume_is_so_in_the_mounts_inside_it_too(image, tmp_path):
    (tmp_path / "inner").mkdir()
    mount.mount("inner", str(tmp_path / "inner"), "tmpfs")
    try:
        for place in ("/data", "/data/inner"):
            done = run(image, "touch", f"{place}/file", flags=["-v", f"{tmp_path}:/data:ro"])
            assert done.returncode == 1 and "Read-only file system" in done.stderr
        output(image, "touch /data/inner/file", "-v", f"{tmp_path}:/data")
        assert (tmp_path / "inner" / "file").exists()
    finally:
        mount.umount2(str(tmp_path / "inner"))


def test_a_container_cannot_make_its_read_only_volume_writable(image, tmp_path):
    script = "exec 2>/dev/null; mount -o remount,rw,bind /data; umount /data; touch /data/file || echo refused"
    assert output(image, script, "-v", f"{tmp_path}:/data:ro") == "refused"
    assert output(image, script, "-v", f"{tmp_path}:/data:ro", "--cap-add", "SYS_RESOURCE") == "refused"


def test_a_read_only_root_still_has_writable_volumes(image, tmp_path):
    done = run(
        image,
        "sh",
        "-c",
        "touch /file; touch /data/file /dev/shm/file",
        flags=["--read-only", "-v", f"{tmp_path}:/data"],
    )
    assert done.returncode == 0 and done.stderr.count("Read-only") == 1
    assert (tmp_path / "file").exists()


def test_what_a_container_writes_is_gone_with_it(image):
    assert output(image, "echo mine > /file; cat /file") == "mine"
    assert run(image, "cat", "/file").returncode == 1


# ---- powers --------------------------------------------------------------------------------------------------------


def capabilities(image, *flags) -> int:
    return int(output(image, "grep CapEff /proc/self/status", *flags).split()[1], 16)


def test_the_capabilities_are_dockers(image):
    assert capabilities(image) == 0xA80425FB


def test_a_capability_is_dropped_and_added(image):
    assert capabilities(image, "--cap-drop", "NET_RAW", "--cap-drop", "chown") == 0xA80425FB & ~(1 << 13 | 1)
    assert capabilities(image, "--cap-add", "SYS_TIME") == 0xA80425FB | 1 << 25
    assert capabilities(image, "--cap-drop", "ALL", "--cap-add", "CAP_CHOWN") == 1
    with open("/proc/self/status") as status:
        ours = next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd"))
    assert capabilities(image, "--cap-add", "ALL") == ours


def test_without_the_capability_the_call_is_refused(image):
    assert run(image, "chown", "1:1", "/bin").returncode == 0
    assert "not permitted" in run(image, "chown", "1:1", "/bin", flags=["--cap-drop", "CHOWN"]).stderr


def test_a_filter_of_system_calls_is_on(image):
    assert output(image, "grep -w Seccomp: /proc/self/status").split()[1] == "2"
    assert "not permitted" in run(image, "unshare", "-m", "true").stderr
    assert run(image, "mount", "-t", "tmpfs", "none", "/mnt").returncode != 0


# ---- inside --------------------------------------------------------------------------------------------------------


def test_the_command_is_process_1_and_sees_no_other(image):
    assert output(image, "echo $$ /proc/[0-9]*").split() == ["1", "/proc/1"], "the shell itself looks: it starts nobody"


def test_a_command_of_the_default_shell_is_a_process_with_its_own_name(image):
    """It is not a second shell: Ubuntu's busybox would do the work of a tool itself."""
    assert (
        output(image, "sleep 60 & until grep -q ^sleep /proc/$!/cmdline; do :; done; echo seen", timeout=60) == "seen"
    )


def test_six_namespaces_are_its_own(image):
    ours = namespaces.identify()
    lines = output(image, "for each in /proc/1/ns/*; do readlink -n $each; echo; done").split()
    theirs = dict(line.rstrip("]").split(":[") for line in lines)
    shared = {kind for kind, number in ours.items() if theirs.get(namespaces.FILES[kind]) == str(number)}
    assert shared == set(ours) - set(SIX)


def test_paths_that_reveal_the_host_are_hidden(image):
    assert output(
        image, "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware | wc -l"
    ).split() == ["0", "0"]


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/cgroup.procs",
    ],
)
def test_paths_that_change_the_host_are_read_only(image, path):
    done = run(image, "sh", "-c", f"echo x > {path}", flags=["--cap-add", "ALL"])
    assert (done.returncode != 0 and "Read-only" in done.stderr) or "nonexistent" in done.stderr, done


def test_no_open_file_of_the_host_leaks_in(image, tmp_path):
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        assert output(image, "ls /proc/1/fd; true", close_fds=False).split() == ["0", "1", "2"]
    finally:
        os.close(secret)


def test_its_control_group_is_the_root_of_what_it_sees(image):
    for line in output(image, "cat /proc/self/cgroup").splitlines():
        assert line.endswith(":/") or ":name=" in line, line


def test_the_devices_are_the_harmless_ones(image):
    found = set(output(image, "ls /dev").split())
    assert found == {
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    assert output(
        image, "echo gone > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c"
    ).split() == ["4", "4"]
    assert "No space left" in run(image, "sh", "-c", "echo x > /dev/full").stderr


def test_its_pseudo_terminals_are_its_own(image):
    assert output(image, "ls /dev/pts") == "ptmx"


def test_a_host_disk_cannot_be_read_through_a_new_node(image):
    with open("/proc/partitions") as file:
        major, minor = file.read().split("\n")[2].split()[:2]
    done = run(image, "sh", "-c", f"mknod /disk b {major} {minor} && head -c 1 /disk", flags=["--cap-add", "ALL"])
    assert done.returncode != 0 and "not permitted" in done.stderr and done.stdout == ""


def test_no_signal_is_blocked_or_ignored(image):
    ignored = subprocess.run(
        [
            "sh",
            "-c",
            'trap "" HUP TERM; exec "$@"',
            "sh",
            *MINICT,
            "run",
            "--rm",
            "--network",
            "none",
            image,
            "grep",
            "Sig[BI]",
            "/proc/self/status",
        ],
        capture_output=True,
        text=True,
    ).stdout
    words = dict(line.split() for line in ignored.splitlines())
    assert int(words["SigBlk:"], 16) & 0x7FFFFFFF == int(words["SigIgn:"], 16) & 0x7FFFFFFF == 0


def test_the_default_file_mode_is_not_the_callers(image):
    assert output(image, "umask", umask=0o077) == "0022"


# ---- network -------------------------------------------------------------------------------------------------------


def test_without_a_network_there_is_only_loopback_and_it_works(image):
    assert output(image, "ls /sys/class/net; ping -c 1 -W 2 127.0.0.1 >/dev/null && echo alive").split() == [
        "lo",
        "alive",
    ]


def test_the_network_of_the_host_can_be_shared(image):
    net = output(image, "readlink -n /proc/self/ns/net", network="host")
    assert net == os.readlink("/proc/self/ns/net")


def test_on_the_bridge_it_has_an_address_and_reaches_the_host(image, bridge):
    lines = output(
        image, "ip -4 -o addr show eth0; ip route; ping -c 1 -W 2 10.210.0.1 >/dev/null && echo alive", network="bridge"
    )
    assert "inet 10.210." in lines and "default via 10.210.0.1" in lines and lines.endswith("alive")


def test_the_bridge_is_the_default(image, bridge):
    assert "eth0" in minict("run", "--rm", image, "ls", "/sys/class/net").stdout


def test_containers_at_the_same_time_have_different_addresses_and_reach_each_other(image, bridge):
    script = "ip -4 -o addr show eth0 | sed 's/.*inet //;s,/.*,,'; read end"
    those = [begin("run", "--rm", "-i", image, "sh", "-c", script, stdin=subprocess.PIPE) for _ in range(6)]
    addresses = [each.stdout.readline().strip() for each in those]
    assert len(set(addresses)) == 6 and all(addresses)
    assert run(image, "ping", "-c", "1", "-W", "2", addresses[0], network="bridge").returncode == 0
    assert [each.communicate("\n")[1] for each in those] == [""] * 6


def test_of_two_containers_with_the_same_name_one_gets_it(image):
    those = [
        begin("run", "--rm", "--network", "none", "--name", "web", "-i", image, "cat", stdin=subprocess.PIPE)
        for _ in range(6)
    ]
    wait_until(lambda: sum(each.poll() is not None for each in those) == 5)
    losers = [each for each in those if each.poll() is not None]
    for each in losers:
        words = each.communicate()[1]
        assert each.returncode == 125 and "'web' is in use" in words and words.count("\n") == 1, words
    winner = next(each for each in those if each not in losers)
    assert winner.communicate("end")[0] == "end" and winner.returncode == 0
    assert run(image, "true", flags=["--name", "web"]).returncode == 0, "the name is free again"


# ---- how it ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["alone", "with init"])
def test_the_exit_status_is_the_commands(image, init):
    assert [run(image, "sh", "-c", f"exit {status}", flags=init).returncode for status in (0, 1, 7, 125, 255)] == [
        0,
        1,
        7,
        125,
        255,
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_command_ended_by_a_signal_gives_128_and_its_number(image, number):
    assert run(image, "sh", "-c", f"kill -{int(number)} $$", flags=["--init"]).returncode == 128 + number


def test_a_missing_command_is_127_and_a_non_executable_one_126(image):
    refused(run(image, "nowhere"), "nowhere", status=127)
    refused(run(image, "/etc/passwd"), "/etc/passwd", status=126)
    refused(run(image, "/etc"), "/etc", status=126)


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["alone", "with init"])
def test_sigterm_to_the_command_reaches_the_process_inside(image, init):
    script = "trap 'echo tidied up; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    one = begin("run", "--rm", "--network", "none", *init, image, "sh", "-c", script)
    assert one.stdout.readline() == "ready\n"
    one.send_signal(signal.SIGTERM)
    assert one.communicate(timeout=PATIENCE) == ("tidied up\n", "") and one.returncode == 3


def test_with_an_init_a_plain_program_ends_on_sigterm(image):
    one = begin("run", "--rm", "--network", "none", "--init", image, "sh", "-c", "echo ready; exec sleep 100")
    one.stdout.readline()
    assert interrupted(one) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_during_the_start_waits_for_its_end(image, number):
    """Whenever it arrives, the process inside gets it, and nothing is left behind."""
    statuses = set()
    for hurry in range(12):
        one = begin("run", "--rm", "--network", "none", "--init", image, "sleep", "100")
        wait_until(lambda: containers() or one.poll() is not None)
        for _ in range(hurry * 40):
            os.getppid()
        statuses.add(interrupted(one, number))
        assert containers() == []
    assert statuses == {128 + number}


def test_killed_outright_it_takes_its_processes_along(image):
    one = begin("run", "--rm", "--network", "none", image, "sh", "-c", "sleep 1000 & echo ready; sleep 1000")
    one.stdout.readline()
    assert interrupted(one, signal.SIGKILL) == -9  # communicate has read to the end: none of them has the pipe any more
    assert minict("prune").stdout.count("container") == 1


def test_with_an_init_orphans_are_reaped(image):
    script = "(sleep 0.05 & ) ; sleep 0.3; ps -o stat | grep -c Z"
    assert run(image, "sh", "-c", script, flags=["--init"]).stdout == "0\n"
    assert output(image, "cat /proc/1/comm; tr -d '\\0' < /proc/1/cmdline", "--init") == "minict-init\nminict-init"


# ---- what goes in and comes out ------------------------------------------------------------------------------------


def test_output_and_error_come_out_of_their_own_streams(image):
    done = run(image, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_without_i_there_is_nothing_to_read(image):
    assert run(image, "cat", input="not for you").stdout == ""


def test_ten_megabytes_go_in_and_out_unchanged(image):
    data = os.urandom(10 << 20)
    assert run(image, "cat", flags=["-i"], input=data, text=False).stdout == data
    assert (
        run(image, "sha256sum", flags=["-i"], input=data, text=False).stdout.split()[0].decode()
        == hashlib.sha256(data).hexdigest()
    )


def test_large_output_is_whole(image):
    assert len(run(image, "head", "-c", "30000000", "/dev/zero").stdout) == 30_000_000


def test_when_the_reader_leaves_the_command_ends(image):
    one = begin("run", "--rm", "--network", "none", image, "yes")
    one.stdout.readline()
    one.stdout.close()
    assert one.wait(PATIENCE) != 0
    one.stderr.close()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams_are_like_dev_null(image, closed, tmp_path):
    def close():
        for fd in closed:
            os.close(fd)

    script = "echo out; echo err >&2; readlink -n /proc/self/fd/0 > /data/stdin; cat"
    done = run(
        image, "sh", "-c", script, flags=["-i", "-v", f"{tmp_path}:/data"], preexec_fn=close, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "" if 1 in closed else "out\n",
        "" if 2 in closed else "err\n",
    )
    assert (tmp_path / "stdin").read_text().startswith("pipe:[")


def test_the_trace_names_the_steps_and_leaves_the_output_alone(image):
    done = run(image, "echo", "hi", flags=["--trace"])
    assert done.stdout == "hi\n"
    for step in ("create the cgroup", "clone", "mount proc on /proc", "pivot_root", "drop capabilities", "execve echo"):
        assert f" {step}\n" in done.stderr
    assert {"parent", "child"} <= set(done.stderr.split())


# ---- a terminal ----------------------------------------------------------------------------------------------------


def at_terminal(image, script: str, *options: str) -> Terminal:
    """A container that runs *script* at a terminal of its own."""
    return Terminal("run", "--rm", "-it", "--network", "none", *options, image, "sh", "-c", script)


def test_a_person_works_in_a_shell(image):
    with Terminal("run", "--rm", "-it", "--network", "none", image, "sh") as screen:
        screen.expect("# ")
        screen.type("tty; stty size; echo $TERM\r")
        assert "/dev/pts/0" in screen.expect("30 100\r\nxterm\r\n")
        screen.type("exit 5\r")
        assert screen.status() == 5


def test_the_window_s_size_follows(image):
    with at_terminal(image, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done") as screen:
        screen.expect("ready")
        screen.resize(44, 133)
        screen.expect("44 133")
        screen.type("\x03")
        assert screen.status() == 130


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["alone", "with init"])
def test_ctrl_c_reaches_the_command_and_not_us(image, init):
    with at_terminal(
        image, "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done", *init
    ) as screen:
        screen.expect("ready")
        screen.type("\x03")
        screen.expect("caught")
        assert screen.status() == 9


def test_what_was_written_last_is_still_shown(image):
    for _ in range(5):
        with Terminal(
            "run", "--rm", "-t", "--network", "none", image, "sh", "-c", "seq 1 3000; echo the end"
        ) as screen:
            screen.expect("the end")
            assert screen.status() == 0


def test_large_input_at_the_terminal_arrives(image):
    """More than the terminal's own buffer holds: neither side may wait for the other forever."""
    with at_terminal(image, "stty raw -echo; echo ready; head -c 30000 | md5sum") as screen:
        screen.expect("ready")
        for _ in range(30):
            screen.type("x" * 1000)
        screen.expect(hashlib.md5(b"x" * 30000).hexdigest())
        assert screen.status() == 0


def test_a_failed_start_leaves_the_terminal_alone(image):
    with Terminal("run", "--rm", "-it", "--network", "none", image, "nowhere") as screen:
        screen.expect("there is no command 'nowhere'")
        assert screen.status() == 127


def test_killed_at_the_terminal_it_leaves_a_terminal_that_works(image):
    with Terminal("run", "--rm", "-it", "--network", "none", image, "sh") as screen:
        screen.expect("# ")
        screen.process.send_signal(signal.SIGTERM)  # the shell ignores it; the next one can't be ignored
        screen.type("kill -9 $$; echo still here\r")
        screen.expect("still here\r\n")
        screen.type("exit\r")
        assert screen.status() == 0


def test_i_without_a_terminal_but_t_is_refused(image):
    refused(run(image, "sh", flags=["-it"], stdin=subprocess.DEVNULL), "not a terminal")


# ---- many ----------------------------------------------------------------------------------------------------------


def test_twenty_at_once(image):
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda number: run(image, "echo", str(number)), range(20)))
    assert [each.stdout for each in done] == [f"{number}\n" for number in range(20)], [each.stderr for each in done]
