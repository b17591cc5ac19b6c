"""``minict.run(…)`` from Python: results, the background, threads, forks, the zygote, a learner's own functions."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import minict
from minict.kernel import process
from minict.lab import host
from minict.runtime import launch, namespaces, rootfs, state
from tests.support.command_line import PATIENCE, comes_to_rest, containers, wait_until
from tests.support.in_child import forked


@pytest.fixture
def threads():
    """Another thread, as a notebook's kernel has a dozen; containers then come from the zygote."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield
    stop.set()
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)


def run(image, command, **options):
    return minict.run(image, command, network="none", **options)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---- results -------------------------------------------------------------------------------------------------------


def test_the_result_has_output_and_status(image):
    done = run(image, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.output, done.status) == ("out\nerr\n", 3)
    assert repr(done) == "out\nerr\n(exit status 3)"
    assert repr(run(image, "echo hello")) == "hello"


def test_a_text_is_split_as_a_shell_would(image):
    assert run(image, "printf '%s-' 'a b' c").output == "a b-c-"


def test_input_is_read_whatever_its_size(image):
    text = "ä" * 3_000_000
    assert run(image, "cat", input=text).output == text
    assert run(image, "cat", input="").output == "" == run(image, "cat").output


def test_binary_output_is_shown(image):
    assert run(image, ["printf", r"\377x"]).output == "�x"


def test_the_options_are_those_of_the_command_line(image, tmp_path):
    (tmp_path / "file").write_text("from outside")
    tmp_path.chmod(0o755)
    done = run(
        image,
        ["sh", "-c", "cat /data/file; hostname; pwd; id -u; echo $A; touch /x || true"],
        volume=[f"{tmp_path}:/data:ro"],
        hostname="web",
        workdir="/srv",
        user="1000",
        env=["A=1"],
        read_only=True,
        memory="64m",
        cpus=0.5,
        pids_limit=50,
    )
    assert done.output.startswith("from outside" + "web\n/srv\n1000\n1\n") and "Read-only" in done.output


def test_a_timeout_kills_the_container_and_says_so(image):
    with pytest.raises(minict.ContainerError, match="'sleep 100' still ran after 0.3 s"):
        run(image, "sleep 100", timeout=0.3)
    assert run(image, "echo quick", timeout=20).output == "quick\n"


def test_a_command_that_closes_its_output_is_still_waited_for(image):
    began = time.monotonic()
    assert run(image, ["sh", "-c", "exec >&- 2>&-; sleep 0.4; exit 4"]).status == 4
    assert time.monotonic() - began >= 0.4
    with pytest.raises(minict.ContainerError, match="still ran"):
        run(image, ["sh", "-c", "exec >&- 2>&-; sleep 100"], timeout=0.3)


def test_errors_have_step_errno_and_status(image):
    with pytest.raises(minict.ContainerError) as error:
        run(image, "nowhere")
    assert error.value.status == 127 and "nowhere" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(minict.ContainerError) as error:
        run(image, "true", volume=["/proc/self/mem:/etc/passwd/below"])
    assert error.value.status == 125 and error.value.errno == 20 and "/etc/passwd/below" in error.value.step


def test_an_unknown_option_is_refused(image):
    with pytest.raises(TypeError, match="memroy"):
        run(image, "true", memroy="64m")


def test_a_terminal_is_refused_with_the_way_to_get_one(image):
    with pytest.raises(minict.ContainerError, match="minict run -it"):
        run(image, "sh", tty=True)


def test_a_container_in_the_background_may_have_a_terminal(image):
    with run(image, "sh -c 'stty -echo; read line; tty; exit 3'", tty=True, detach=True) as box:
        end = box.terminal
        os.write(end, b"\n")
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has it open any more
            while data := os.read(end, 1000):
                shown += data
        assert b"/dev/pts/0\r\n" in shown
        assert box.wait() == 3 and box.terminal == -1
    with pytest.raises(OSError):
        os.fstat(end)


def test_the_trace_is_a_table(image):
    steps = run(image, "true", trace=True).trace
    assert "pivot_root" in steps and "parent" in steps and "execve true" in steps


def test_no_file_stays_open(image):
    run(image, "true")
    before = open_files()
    for command in ("true", "nowhere"):
        for options in ({}, {"input": "text"}):
            try:
                run(image, command, **options)
            except minict.ContainerError:
                pass
    run(image, "sleep 100", detach=True).stop(timeout=0)
    with pytest.raises(minict.ContainerError):
        run(image, "nowhere", detach=True)
    assert open_files() == before


# ---- in the background ---------------------------------------------------------------------------------------------


def test_a_container_that_is_removed_at_its_end_cannot_be_restarted(image):
    box = run(image, ["sh", "-c", "trap exit TERM; echo ready; while :; do sleep 0.02; done"], detach=True)
    wait_until(lambda: "ready" in box.logs())
    with pytest.raises(minict.ContainerError, match="minict.create"):
        box.restart()
    assert box.status == "running" and box.stop(None) == 0


def test_a_container_in_the_background_is_looked_at_and_stopped(image):
    with run(
        image,
        ["sh", "-c", "echo begun; trap 'echo ended; exit 5' TERM; while :; do sleep 0.02; done"],
        detach=True,
        name="web",
    ) as web:
        wait_until(lambda: "begun" in web.logs())
        assert repr(web) == f"<container web of {image}: running>" and web.status == "running"
        assert os.readlink(f"/proc/{web.pid}/exe").endswith("busybox")
        ours = namespaces.identify()
        assert {kind for kind, number in web.namespaces.items() if number == ours[kind]} == {"user", "time"}
        assert web.stats()
        assert web.stop() == 5
        assert web.logs() == "begun\nended\n" and web.status == "ended"
        assert web.stop() is None, "a second stop is not an error"
        with pytest.raises(minict.ContainerError, match="web has ended"):
            _ = web.pid


def test_a_container_is_seen_from_outside_piece_by_piece(image):
    from minict.engine.system.prune import prune

    with run(image, "sleep 1000", detach=True) as box:
        assert box.exec(["sh", "-c", "echo inside > /note"]).status == 0
        with open(box.root + "/note", "r+") as note:
            assert note.read() == "inside\n" and not os.path.exists("/note")
            note.write("outside\n")
        assert box.exec("cat /note").output == "inside\noutside\n"
        assert box.address is None
        assert (
            len(box.capabilities) == 14 and "CAP_CHOWN" in box.capabilities and "CAP_SYS_ADMIN" not in box.capabilities
        )
    with minict.run(image, "sleep 1000", detach=True, user="1000", cap_drop=["ALL"]) as web:
        assert web.exec("hostname -i").output.strip() == web.address
        assert web.capabilities == []
    assert web.address is None, "its address is released"
    assert prune() == ["network bridge"]
    for question in ("root", "capabilities"):
        with pytest.raises(minict.ContainerError, match="has ended"):
            getattr(web, question)


def test_a_container_of_this_python_is_found_as_it_was_given(image):
    """Only this Python sees its end: another object of the same container would wait for a monitor that does not come."""
    with run(image, "sleep 1000", detach=True) as box:
        assert minict.container(box.id) is box and box in list(minict.containers())
        minict.container(box.name).remove(force=True)
        assert box.id not in [each.id for each in minict.containers()]


def test_a_container_that_ignores_sigterm_is_killed(image):
    deaf = run(image, "sleep 1000", detach=True)
    assert deaf.stop(timeout=0.2) == 137


def test_wait_returns_the_status_and_cleans_up(image):
    assert run(image, "sh -c 'exit 6'", detach=True).wait() == 6
    assert containers() == []


def test_a_limit_changes_while_it_runs(image):
    with run(image, ["sh", "-c", "while :; do :; done"], detach=True, cpus=1, memory="64m") as busy:
        busy.update(cpus=0.2, memory="32m", pids_limit=7)

        def limit(controller, *names):
            for name in names:
                if os.path.exists(f"{busy.cgroups[controller]}/{name}"):
                    with open(f"{busy.cgroups[controller]}/{name}") as file:
                        return file.read().split()[0]

        assert limit("cpu", "cpu.cfs_quota_us", "cpu.max") == "20000"
        assert limit("memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
        assert limit("pids", "pids.max") == "7"
        busy.stop(timeout=0)


def test_what_a_container_was_made_with_can_not_be_updated(image):
    with run(image, "sleep 1000", detach=True) as box:
        with pytest.raises(minict.ContainerError, match="cannot update read_only, user: a container keeps"):
            box.update(user="1000", read_only=True, memory="64m")
        assert not box._record.settings.get("memory"), "none of it was done"


def test_a_paused_container_stands_still(image):
    with run(image, ["sh", "-c", "while :; do echo x; sleep 0.01; done"], detach=True) as clock:
        wait_until(lambda: clock.logs())
        clock.pause()
        comes_to_rest(lambda: len(clock.logs()))
        size = len(clock.logs())
        clock.unpause()
        wait_until(lambda: len(clock.logs()) > size)
        clock.pause()
        assert clock.stop(timeout=0.1) == 137, "a paused one can be stopped too"


def test_a_signal_is_sent_to_the_first_process(image):
    with run(
        image, ["sh", "-c", "trap 'echo got it' USR1; echo ready; while :; do sleep 0.02; done"], detach=True
    ) as one:
        wait_until(lambda: "ready" in one.logs())
        one.kill(signal.SIGUSR1)
        wait_until(lambda: "got it" in one.logs())
        one.stop(timeout=0)


def test_a_name_in_use_is_refused_and_free_again_afterwards(image):
    with run(image, "sleep 1000", detach=True, name="web") as web:
        with pytest.raises(minict.ContainerError, match=f"'web' is in use by the container {web.id[:12]}:"):
            run(image, "true", name="web")
        web.stop(timeout=0)
    assert run(image, "true", name="web").status == 0


def test_the_name_of_a_container_whose_python_was_killed_is_free_at_once(image):
    code = (
        f"import minict, os, signal; one = minict.run({image!r}, 'sleep 1000', detach=True, name='web', "
        "network='none')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert run(image, "echo mine", name="web").output == "mine\n"


def test_it_ends_with_the_python_that_made_it(image):
    code = (
        f"import minict, os; one = minict.run({image!r}, 'sleep 1000', detach=True, network='none')\n"
        "print(one.pid, flush=True); os._exit(0)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wait_until(lambda: state.begin_time(int(made.stdout)) is None)
    from minict.engine.system.prune import prune

    assert len(prune()) == 1


# ---- containers that stay --------------------------------------------------------------------------------------------


def test_a_container_is_created_started_and_outlives_this_python(image):
    code = (
        f"import minict; print(minict.create({image!r}, ['sh', '-c', 'echo here; sleep 1000'], name='stays', "
        "network='none').start().pid)"
    )
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    box = minict.container("stays")
    try:
        assert box.pid == pid and box.status == "running" and repr(box) == f"<container stays of {image}: running>"
        wait_until(lambda: box.logs())
        assert box.logs() == "here\n" and box.exec("hostname").output.strip() == box.id[:12]
        assert box.inspect()["State"]["Pid"] == pid
        box.exec(["sh", "-c", "echo new > /new"])
        assert ("A", "/new") in box.diff()
        box.rename("other")
        assert [each.name for each in minict.containers()] == ["other"]
        box.pause()
        assert box.status == "paused"
        box.unpause()
        assert box.stop(timeout=0) == 137 and minict.containers(all=False) == []
        assert box.restart().status == "running"
        wait_until(lambda: box.logs().count("here") == 2)
        assert box.logs(tail=1) == "here\n"
        with pytest.raises(minict.ContainerError, match="use -f"):
            box.remove()
    finally:
        box.remove(force=True)
    assert minict.containers() == []
    with pytest.raises(minict.ContainerError, match="no such container"):
        minict.container("stays")


def test_lists_show_themselves_as_tables_in_which_all_is_escaped(image):
    box = minict.create(image, ["echo", "<b>&"], name="box", network="none")
    try:
        assert "&lt;b&gt;&amp;" in minict.containers()._repr_html_() and "<b>" not in box._repr_html_()
        assert image in minict.images()._repr_html_() and image in minict.image(image)._repr_html_()
        assert "bridge" in minict.networks()._repr_html_() and minict.volumes()._repr_html_() is not None
    finally:
        box.remove()


# ---- who forks -----------------------------------------------------------------------------------------------------


def test_fifty_at_once_from_a_pool_of_threads(image):
    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(lambda number: run(image, ["echo", str(number)]), range(50)))
    assert [each.output for each in results] == [f"{number}\n" for number in range(50)]
    assert containers() == []


def test_threads_that_begin_at_once_share_one_zygote(image):
    def child():  # a new process, which has none yet
        with ThreadPoolExecutor(20) as pool:
            outputs = list(pool.map(lambda _: run(image, "true").status, range(20)))
        return outputs, [each.name for each in host.process_table().values() if each.parent == os.getpid()]

    assert forked(child) == ([0] * 20, ["minict-zygote"])


def test_with_threads_the_container_comes_from_the_zygote_and_is_our_child(image, threads):
    with run(image, "sleep 1000", detach=True) as one:
        assert zygote_pid() != one.pid
        with open(f"/proc/{one.pid}/stat") as file:
            assert int(file.read().rpartition(")")[2].split()[1]) == os.getpid()
        one.stop(timeout=0)


def test_errors_come_through_the_zygote_as_they_are(image, threads):
    with pytest.raises(minict.ContainerError) as error:
        run(image, "nowhere")
    assert error.value.status == 127
    assert run(image, "echo alive").output == "alive\n"


def zygote_pid() -> int:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as command:
                if (
                    stat.read().rpartition(")")[2].split()[1] == str(os.getpid())
                    and "runtime import zygote" in command.read()
                ):
                    return int(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    raise AssertionError("there is no zygote")


def test_a_killed_zygote_is_replaced(image, threads):
    run(image, "true")
    for number in (signal.SIGKILL, signal.SIGTERM):
        pid = zygote_pid()
        os.kill(pid, number)
        os.waitpid(pid, 0)
        assert run(image, "echo alive").output == "alive\n"


def test_a_zygote_killed_at_its_work_is_an_error_and_the_next_call_works(image, threads):
    """It is stopped, so that the request lies in its socket when it is killed."""
    run(image, "true")
    pid = zygote_pid()
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(run, image, "true")
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(minict.ContainerError, match=r"\(minict-zygote\) was killed"):
            request.result(10)
    assert run(image, "echo alive").output == "alive\n"
    assert containers() == []


def test_a_container_is_made_inside_a_forked_child(image):
    assert forked(lambda: run(image, "echo from a child").output) == "from a child\n"


def test_a_forked_child_of_a_process_with_threads_gets_its_own_zygote(image, threads):
    run(image, "true")

    def child():
        thread = threading.Thread(target=time.sleep, args=[1], daemon=True)
        thread.start()
        return run(image, "echo from a child").output

    assert forked(child) == "from a child\n"
    assert run(image, "echo still ours").output == "still ours\n"


def test_the_zygote_executes_a_sealed_copy_of_the_interpreter(image, threads):
    run(image, "true")
    assert os.readlink(f"/proc/{zygote_pid()}/exe").startswith("/memfd:minict")
    with pytest.raises(OSError):
        open(f"/proc/{zygote_pid()}/exe", "r+b")


@pytest.mark.parametrize("many", [False, True], ids=["one thread", "threads"])
def test_a_learners_pivot_root_is_really_used(image, many, request, monkeypatch):
    if many:
        request.getfixturevalue("threads")
    original = rootfs.pivot_root

    def theirs(root):
        original(root)
        with open("/made-by-the-learner", "w") as file:
            file.write("yes")

    monkeypatch.setattr(rootfs, "pivot_root", theirs)
    monkeypatch.setattr(launch, "replaced", {"minict.runtime.rootfs.pivot_root"})
    assert run(image, "cat /made-by-the-learner").output == "yes"


def test_a_learners_mistake_is_an_error_and_no_damage(image, monkeypatch):
    def wrong(root):
        raise ValueError("I forgot something")

    monkeypatch.setattr(rootfs, "pivot_root", wrong)
    monkeypatch.setattr(launch, "replaced", {"minict.runtime.rootfs.pivot_root"})
    with pytest.raises(minict.ContainerError, match="I forgot something") as error:
        run(image, "true")
    assert error.value.step == "pivot_root"


def test_in_a_thread_that_ends_the_container_goes_on(image):
    """The kernel's signal at a parent's death refers to the parent's thread, which must not be one of the pool."""

    def child():  # a new process, so that the zygote is made by the very thread
        made = []
        thread = threading.Thread(target=lambda: made.append(run(image, "sleep 1000", detach=True)))
        thread.start()
        thread.join()
        while os.path.exists(f"/proc/self/task/{thread.native_id}"):
            time.sleep(0.001)
        time.sleep(0.1)
        status = made[0].status
        made[0].stop(timeout=0)
        return status

    assert forked(child) == "running"


def test_descriptors_in_unusual_places_do_no_harm(image):
    """With our own streams closed, the pipes get the numbers 0 to 2."""

    def child():
        for fd in (0, 1, 2):
            os.close(fd)
        return run(image, ["sh", "-c", "echo out; echo err >&2; cat"], input="in\n").output

    assert forked(child) == "out\nerr\nin\n"


def test_no_new_process_survives_its_container(image):
    with run(
        image, ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo ready; wait"], detach=True
    ) as one:
        wait_until(lambda: "ready" in one.logs())
        one.kill(signal.SIGKILL)
        assert one.wait() == 137


def test_the_owner_of_a_shared_pid_namespace_stops_before_its_guest(image):
    """Its first process cannot end before this Python has collected the guest's process, too."""
    owner = run(image, "sleep 1000", detach=True)
    guest = run(image, "sleep 1000", pid=f"container:{owner.name}", detach=True)
    assert owner.stop(timeout=0) == 137
    assert guest.wait() == 137 and guest.stop() is None and containers() == []


def test_a_container_that_has_ended_by_itself_can_be_stopped(image):
    one = run(image, "true", detach=True)
    wait_until(lambda: one.status == "ended")
    assert one.stop() == 0


def test_a_container_of_this_python_is_removed_only_by_force_while_it_runs(image):
    one = run(image, "sleep 1000", detach=True)
    with pytest.raises(minict.ContainerError, match="use force=True"):
        one.remove()
    assert one.status == "running"
    one.remove(force=True)
    one.remove()  # harmless when it is gone
    assert one.status == "ended" and containers() == []


def test_the_caller_stays_as_it_was(image):
    before = (
        os.getcwd(),
        os.umask(0o022),
        namespaces.identify(),
        process.prctl(process.PR_GET_NO_NEW_PRIVS),
        signal.getsignal(signal.SIGTERM),
    )
    run(image, "true")
    assert before == (
        os.getcwd(),
        os.umask(before[1]),
        namespaces.identify(),
        process.prctl(process.PR_GET_NO_NEW_PRIVS),
        signal.getsignal(signal.SIGTERM),
    )


def test_after_wait_the_log_is_whole_and_the_container_can_be_removed(image):
    """The monitor may still be reading the pipe when the first process has ended."""
    for _ in range(10):
        box = minict.create(image, "seq 1 20000", network="none", log_opt=["max-size=20k", "max-file=3"])
        box.start()
        box.wait()
        assert box.logs().split()[-1] == "20000"
        box.remove()


@pytest.mark.parametrize(("verb", "command"), [("wait", "true"), ("rm -f", "sleep 1000")])
def test_a_python_that_does_not_ask_for_the_end_is_left_alone(image, verb, command):
    """No command ends a monitor that may be the kernel of a notebook; and after ``rm -f`` the name is free."""
    code = f"""import minict, sys
box = minict.run({image!r}, {command!r}, name="lazy", network="none", detach=True)
print(box.id, flush=True)
sys.stdin.readline()
if {verb!r} == "rm -f":
    minict.run({image!r}, "true", name="lazy", network="none")
box.wait()"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        words = [sys.executable, "-m", "minict", *verb.split(), owner.stdout.readline().strip()]
        assert subprocess.run(words, capture_output=True, timeout=PATIENCE).returncode == 0
        assert owner.poll() is None
        owner.stdin.close()
        assert owner.wait() == 0
