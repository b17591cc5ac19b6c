"""Chapter 11: Ada and her account, the picture of a map, and a container that goes through the learner's functions."""

from __future__ import annotations

import os

import pytest

from minict.kernel.namespaces import CLONE_NEWUSER, unshare
from minict.lab import host
from minict.lab.exercise import exercises
from minict.lab.exercises.ch11_users import _where_groups_are_fixed
from minict.lab.ordinary import ADA, FIRST, Account, account, become_ada, close_all
from minict.lab.rulers import NOBODY, rulers, shown_inside
from minict.runtime.process import set_user
from minict.runtime.spec import User
from tests.support.in_child import forked
from tests.support.notebook_kernel import Kernel


def files() -> list[str]:
    """What the account covers, as the machine has it."""
    texts = []
    for name in ("passwd", "group", "subuid", "subgid"):
        with open(f"/etc/{name}") as file:
            texts.append(file.read())
    return texts


def test_an_account_serves_containers_and_leaves_nothing():
    before, texts = host.snapshot(), files()
    ada = account()
    try:
        assert ada.says("id -un; id -u").split() == ["ada", str(ADA)]
        ada.says("minict run -d --name web --network none tiny sleep 1000")
        assert ada.says("minict exec web cat /proc/self/uid_map").split() == ["0", "1815", "1", "1", "300000", "65536"]
        ada.says("touch mine; minict unshare chown 33 mine")
        assert os.stat(f"{ada.home}/mine").st_uid == FIRST + 32
        assert ada.says("cat /etc/shadow").endswith("Permission denied")
    finally:
        close_all()
    assert files() == texts and not os.path.exists(ada.directory)
    _reap()
    assert not host.settle(before)


def _reap() -> None:
    """Wait for what Ada's processes have left to us: on a machine, process 1 does it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def test_a_new_account_replaces_the_one_before():
    first, second = account(), account()
    assert not os.path.exists(first.directory) and os.path.exists(second.directory)
    second.close()
    second.close()
    assert not os.path.exists(second.directory)


def test_an_account_needs_the_hosts_root():
    def ask():
        unshare(CLONE_NEWUSER)
        with open("/proc/self/uid_map", "w") as file:
            file.write("0 0 1")
        account()

    with pytest.raises(AssertionError, match="start the course with sudo make lab"):
        forked(ask)


def test_two_accounts_do_not_disturb_each_other():
    one, other = Account(), Account()
    try:
        one.says("minict run -d --name web --network none tiny sleep 1000")
        other.says("minict run --rm --network none tiny true")
        other.close()
        assert one.says("minict ps --format '{{.Names}}'") == "web"
    finally:
        one.close()
        other.close()


def test_becoming_ada_is_for_good():
    def become():
        become_ada([4242])
        with pytest.raises(PermissionError):
            os.setuid(0)
        return [*os.getresuid(), *os.getresgid(), *os.getgroups()], os.access("/proc/self/uid_map", os.W_OK)

    assert forked(become) == ([ADA] * 6 + [4242], True)


def test_the_rulers_show_what_the_kernel_shows():
    assert shown_inside([(0, 4, 1), (1, 8, 2)], [0, 4, 8, 9, 10]) == [NOBODY, 0, 1, 2, NOBODY]
    world = rulers([(0, 4, 1), (1, 8, 3)])
    assert "4 is 0 inside, 8 is 1 inside, 9 is 2 inside, 10 is 3 inside; 12 others are shown as 65534" in repr(world)
    assert world.draw().startswith("<img") and "alt='16 files" in world.draw()
    with pytest.raises(OSError):
        rulers([(0, 4, 2), (1, 8, 2)])


@pytest.mark.parametrize("id", ["users-1", "users-2", "users-3"])
def test_a_container_goes_through_the_learners_function(id, tiny):
    task = exercises()[id]
    first = task.solution.index("\n", task.solution.index('"""', task.solution.index('"""') + 3)) + 1
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nimport minict\nfrom minict.runtime.process import _groups_are_fixed")
        kernel.run("from minict.runtime.errors import ContainerError")
        theirs = f"{task.solution[:first]}    print('through mine')\n{task.solution[first:]}"
        assert "YOUR" in kernel.run(f'@exercise("{id}")\n{theirs}')
        told = kernel.run("print(minict.run('tiny', 'id -u', network='none', userns='private', user='33').output)")
    assert "through mine" in told and "33" in told


def test_a_learners_set_user_works_where_the_groups_are_fixed():
    def simple(user):
        os.setgroups(user.additionalGids)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)

    def become(function):
        become_ada([4242])
        unshare(CLONE_NEWUSER)
        for file, text in (("setgroups", "deny"), ("uid_map", "0 1815 1"), ("gid_map", "0 1815 1")):
            with open(f"/proc/self/{file}", "w") as opened:
                opened.write(text)
        function(User())
        return os.getuid(), os.getgid()

    assert forked(lambda: become(set_user)) == (0, 0)
    assert forked(lambda: become(lambda user: _where_groups_are_fixed(simple, user))) == (0, 0)
    with pytest.raises(AssertionError, match="PermissionError"):
        forked(lambda: become(simple))


def test_root_of_a_user_namespace_hears_from_the_kernel_and_not_from_the_guard():
    rename = "from minict.kernel.process import sethostname; sethostname('other')"
    inside = "%%child\nfrom minict.kernel.namespaces import *; unshare(CLONE_NEWUSER)\n"
    with Kernel() as kernel:
        told = kernel.run(f"{inside}{rename}")
        assert "Operation not permitted" in told and "would rename" not in told
        assert "would rename the whole machine" in kernel.run(f"%%child\n{rename}")
        assert "name one process" in kernel.run(f"{inside}import os; os.kill(-1, 0)")
