"""A root file system of the host's own programs: exactly what they need, and they run in it."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from minict.engine.images import hostimage
from minict.kernel import mount, namespaces
from minict.runtime.errors import ContainerError
from tests.unit.images.test_hostimage import compile_c


def run_inside(rootfs, *command):
    """Run *command* with *rootfs* as its root and a /proc in it; return (status, output)."""

    def enter():
        namespaces.unshare(namespaces.CLONE_NEWNS)
        if os.path.isdir(f"{rootfs}/proc"):  # by it the loader learns where its program is ($ORIGIN)
            mount.mount("/proc", f"{rootfs}/proc", None, mount.MS_BIND)
        os.chroot(rootfs)
        os.chdir("/")

    result = subprocess.run(
        command, preexec_fn=enter, capture_output=True, text=True, env={"PATH": hostimage.ROOT_PATH}, timeout=60
    )
    return result.returncode, result.stdout + result.stderr


def files_below(directory):
    return {f"{parent}/{name}"[len(str(directory)) :] for parent, _, names in os.walk(directory) for name in names}


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"], ids=["RUNPATH", "RPATH"])
def test_a_library_found_beside_the_program_is_copied_to_where_it_is_found_again(tmp_path, tags):
    for name in ("bin", "lib", "rootfs/proc"):
        (tmp_path / name).mkdir(parents=True)
    compile_c(
        tmp_path,
        "lib/libanswer.so.1.2",
        "int answer(void) { return 42; }",
        "-shared",
        "-fPIC",
        "-Wl,-soname,libanswer.so.1",
    )
    (tmp_path / "lib/libanswer.so.1").symlink_to("libanswer.so.1.2")
    compile_c(
        tmp_path,
        "bin/ask",
        "int answer(void); int main(void) { return answer(); }",
        str(tmp_path / "lib/libanswer.so.1"),
        f"-Wl,{tags},-rpath,$ORIGIN/../lib",
    )
    (tmp_path / "ask").symlink_to("bin/ask")
    hostimage.copy_program(str(tmp_path / "ask"), str(tmp_path / "rootfs"))
    inside = str(tmp_path / "rootfs") + str(tmp_path)
    assert os.readlink(f"{inside}/ask") == "bin/ask"
    assert os.readlink(f"{inside}/lib/libanswer.so.1") == "libanswer.so.1.2"
    assert run_inside(tmp_path / "rootfs", str(tmp_path / "ask")) == (42, "")


def test_a_script_needs_its_interpreter_and_the_interpreters_libraries(tmp_path):
    script = tmp_path / "script"
    script.write_text("#! /bin/sh -e\necho $0\n")
    script.chmod(0o755)
    (tmp_path / "rootfs").mkdir()
    assert hostimage.shebang(str(script)) == ["/bin/sh", "-e"]
    assert hostimage.libraries(str(script)) == ["/bin/sh", *hostimage.libraries("/bin/sh")]
    hostimage.copy_program(str(script), str(tmp_path / "rootfs"))
    assert run_inside(tmp_path / "rootfs", str(script)) == (0, f"{script}\n")


@pytest.mark.parametrize("line", ["#!/usr/bin/env bash", "#!/usr/bin/env -S LANG=C bash --norc"])
def test_a_script_with_env_needs_env_and_the_program_that_env_starts(tmp_path, line):
    script = tmp_path / "script"
    script.write_text(line + "\necho hello\n")
    script.chmod(0o755)
    (tmp_path / "rootfs").mkdir()
    hostimage.copy_program(str(script), str(tmp_path / "rootfs"))
    assert run_inside(tmp_path / "rootfs", str(script)) == (0, "hello\n")


def test_a_copied_program_brings_its_own_files_and_no_other(tmp_path):
    hostimage.copy_program("/bin/sh", str(tmp_path))
    needed = {os.path.realpath(path) for path in ["/bin/sh", *hostimage.libraries("/bin/sh")]}
    found = files_below(tmp_path)
    assert {path for path in found if not os.path.islink(f"{tmp_path}{path}")} == needed
    for path in found:
        assert os.path.islink(path) == os.path.islink(f"{tmp_path}{path}")
    hostimage.copy_program("/bin/sh", str(tmp_path))  # a second time changes nothing
    assert files_below(tmp_path) == found


def test_mode_owner_and_times_are_kept(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"data")
    os.chown(program, 12, 34)
    program.chmod(0o6751)
    os.utime(program, ns=(10**18 + 1, 10**18 + 123456789))
    (tmp_path / "rootfs").mkdir()
    hostimage.copy_file(str(program), str(tmp_path / "rootfs"))
    copied = os.stat(f"{tmp_path}/rootfs{program}")
    assert (copied.st_uid, copied.st_gid, stat.S_IMODE(copied.st_mode)) == (12, 34, 0o6751)
    assert copied.st_mtime_ns == 10**18 + 123456789


def test_links_are_followed_as_on_the_host(tmp_path):
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/file").write_text("found")
    (tmp_path / "one").symlink_to(tmp_path / "two")  # absolute, and to a link
    (tmp_path / "two").symlink_to("real/../real/deep")  # relative, with ..
    (tmp_path / "rootfs").mkdir()
    hostimage.copy_file(f"{tmp_path}/one/../deep/./file", str(tmp_path / "rootfs"))
    inside = f"{tmp_path}/rootfs{tmp_path}"
    assert os.readlink(f"{inside}/one") == f"{tmp_path}/two" and os.readlink(f"{inside}/two") == "real/../real/deep"
    with open(f"{inside}/real/deep/file") as file:
        assert file.read() == "found"


def test_a_root_file_system_of_commands_runs_them(tmp_path):
    hostimage.make_rootfs(str(tmp_path), ["sh", "ls", "cat", "head"])
    assert run_inside(tmp_path, "sh", "-c", "cat /etc/passwd | head -n 1") == (0, "root:x:0:0:root:/root:/bin/sh\n")
    status, output = run_inside(tmp_path, "sh", "-c", "ls -d /tmp /proc /sys /dev /root /etc /run /var/tmp")
    assert status == 0 and len(output.split()) == 8
    assert stat.S_IMODE(os.stat(tmp_path / "tmp").st_mode) == 0o1777
    assert stat.S_IMODE(os.stat(tmp_path / "root").st_mode) == 0o700
    programs = {os.path.basename(path) for path in files_below(tmp_path) if "/bin/" in path}
    assert programs <= {"sh", "dash", "bash", "ls", "cat", "head", "coreutils"}  # and nothing that was not asked for


def test_a_directory_can_be_made_at_each_link_of_the_top(tmp_path):
    hostimage.make_skeleton(str(tmp_path))
    for name in os.listdir(tmp_path):  # /lib64, for one, is a link to /usr/lib64
        os.makedirs(tmp_path / name, exist_ok=True)


def test_a_strict_umask_of_the_caller_does_not_reach_the_image(tmp_path):
    (tmp_path / "rootfs").mkdir(mode=0o700)
    old = os.umask(0o077)
    try:
        hostimage.make_rootfs(str(tmp_path / "rootfs"), ["busybox", "sh"])
    finally:
        os.umask(old)
    wrong = [
        path
        for path in [str(tmp_path / "rootfs")]
        + [
            f"{parent}/{name}"
            for parent, directories, files in os.walk(tmp_path / "rootfs")
            for name in directories + files
        ]
        if not os.path.islink(path) and not os.stat(path).st_mode & 0o004
    ]
    assert wrong == [f"{tmp_path}/rootfs/root"]


def test_python_runs_with_the_directory_of_its_library(tmp_path):
    program = os.path.realpath(hostimage.find_program("python3"))
    library = subprocess.run(
        [program, "-I", "-c", "import os; print(os.path.dirname(os.__file__))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    hostimage.make_rootfs(str(tmp_path), ["python3", library])
    code = "import ctypes, json, sqlite3, os; print(json.dumps(os.listdir('/home')), ctypes.CDLL(None).getpid() > 0)"
    assert run_inside(tmp_path, "python3", "-I", "-c", code) == (0, "[] True\n")


def test_missing_programs_come_from_the_hosts_busybox(tmp_path):
    assert hostimage.busybox_applets(), "the tests need Debian's busybox"
    missing = [
        name
        for name in map(os.path.basename, hostimage.busybox_applets())
        if not any(os.path.exists(f"{place}/{name}") for place in hostimage.ROOT_PATH.split(":"))
    ]
    hostimage.make_rootfs(str(tmp_path), ["sh", missing[0]])
    links = {path for path in files_below(tmp_path) if os.path.basename(path) == missing[0]}
    assert len(links) == 1 and os.readlink(f"{tmp_path}{links.pop()}") == hostimage.find_program("busybox")
    assert not os.path.lexists(tmp_path / "bin/ls")


def test_the_default_image_is_a_shell_with_the_usual_small_tools(tmp_path):
    hostimage.make_rootfs(str(tmp_path), hostimage.default_commands())
    for tool in "sh bash ls cat ip ps hostname mount vi ping id env sleep grep sed awk tar wget nc top".split():
        assert run_inside(tmp_path, "/bin/sh", "-c", f"command -v {tool}")[0] == 0, tool
    assert run_inside(tmp_path, "/bin/bash", "-c", "echo $((6 * 7)) $(ls -d /tmp)") == (0, "42 /tmp\n")
    assert os.readlink(tmp_path / "bin/ls") == hostimage.find_program("busybox")
    assert not os.path.islink(os.path.realpath("/bin/bash"))
    assert sum(os.lstat(f"{tmp_path}{path}").st_size for path in files_below(tmp_path)) < 20_000_000


def test_without_busybox_the_default_image_is_made_of_the_hosts_own_tools(tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "ls", "ip", "hostname", "mount"):  # a host where nothing else is installed
        (programs / name).symlink_to(hostimage.find_program(name))
    monkeypatch.setattr(hostimage, "ROOT_PATH", str(programs))
    (tmp_path / "rootfs").mkdir()
    assert [name for name in hostimage.default_commands() if "/" not in name] == ["sh", "ls", "hostname", "mount", "ip"]
    hostimage.make_rootfs(str(tmp_path / "rootfs"), hostimage.default_commands())
    command = "ip -V >/dev/null 2>&1 && hostname >/dev/null && echo yes"
    assert run_inside(tmp_path / "rootfs", f"{programs}/sh", "-c", command) == (0, "yes\n")


def test_an_unknown_command_is_an_error(tmp_path):
    with pytest.raises(ContainerError, match="no-such-program"):
        hostimage.make_rootfs(str(tmp_path), ["sh", "no-such-program"])
