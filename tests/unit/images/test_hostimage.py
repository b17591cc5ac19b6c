"""A root file system of the host's own programs: exactly what they need, and they run in it."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from minict.engine.images import hostimage
from minict.runtime.errors import ContainerError


def compile_c(tmp_path, name, source, *flags):
    path = tmp_path / name
    subprocess.run(["gcc", "-x", "c", "-", "-o", path, "-x", "none", *flags], input=source, text=True, check=True)
    return str(path)


def mapped_files(pid):
    with open(f"/proc/{pid}/maps") as maps:
        fields = (line.split(maxsplit=5) for line in maps)
        return {field[5].strip() for field in fields if len(field) == 6 and field[5].startswith("/")}


@pytest.mark.parametrize("name", ["sleep", "cat", "bash", "tail"])
def test_libraries_are_those_that_the_running_program_has_mapped(name):
    program = hostimage.find_program(name)
    arguments = {"sleep": ["60"], "tail": ["-f", "/dev/null"], "bash": ["--norc", "-c", "read x"]}.get(name, [])
    process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, env={})
    try:
        expected = {os.path.realpath(path) for path in [program, *hostimage.libraries(program)]}
        deadline = time.monotonic() + 10
        while mapped_files(process.pid) != expected and time.monotonic() < deadline:
            time.sleep(0.02)  # it may not have started yet
        assert mapped_files(process.pid) == expected
    finally:
        process.kill()
        process.wait()


def test_python_has_the_same_libraries_as_the_loader_says_when_it_is_asked_the_other_way():
    program = hostimage.find_program("python3")
    traced = subprocess.run([program], env={"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True).stdout
    paths = {word for word in traced.split() if word.startswith("/")}
    assert paths == set(hostimage.libraries(program))


def test_a_static_program_needs_nothing(tmp_path):
    program = compile_c(tmp_path, "still", "int main(void) { return 7; }", "-static")
    assert hostimage.interpreter(program) is None
    assert hostimage.libraries(program) == []


def test_a_static_position_independent_program_needs_nothing(tmp_path):
    program = compile_c(tmp_path, "pie", "int main(void) { return 7; }", "-static-pie")
    assert hostimage.libraries(program) == []


def test_the_environment_of_the_caller_changes_nothing(tmp_path, monkeypatch):
    compile_c(tmp_path, "libz.so.1", "int nothing;", "-shared", "-fPIC")
    before = hostimage.libraries(hostimage.find_program("python3"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert hostimage.libraries(hostimage.find_program("python3")) == before


def test_a_missing_library_is_named(tmp_path):
    library = compile_c(
        tmp_path, "libgone.so", "int gone(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libgone.so"
    )
    program = compile_c(tmp_path, "lost", "int gone(void); int main(void) { return gone(); }", library)
    os.unlink(library)
    with pytest.raises(ContainerError, match="lost .*libgone.so"):
        hostimage.libraries(program)


def test_a_program_of_32_bits_is_refused_and_not_taken_for_a_static_one(tmp_path):
    program = tmp_path / "old"
    program.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(60))
    with pytest.raises(ContainerError, match="32-bit"):
        hostimage.libraries(str(program))


def test_programs_are_looked_for_in_the_directories_of_root_and_not_in_those_of_the_caller(tmp_path, monkeypatch):
    fake = tmp_path / "ls"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hostimage.find_program("ls") in ("/usr/bin/ls", "/bin/ls")
    assert hostimage.find_program("ldconfig").endswith("sbin/ldconfig")
    assert hostimage.find_program(str(fake)) == str(fake)


@pytest.mark.parametrize("name", ["no-such-program", "/etc/passwd", "/etc", ""])
def test_something_other_than_a_program_is_one_sentence(name):
    with pytest.raises(ContainerError, match="program not found"):
        hostimage.find_program(name)
