"""``minict build``: real builds, and a correct cache."""

from __future__ import annotations

import io
import itertools
import os
import signal
import tarfile
import time

import pytest

from minict.engine.builder import builder
from minict.engine.builder.context import Context
from minict.engine.images import buildcache, store
from minict.engine.images import image as images
from minict.engine.images.image import Image
from tests.support.command_line import (
    PATIENCE,
    begin,
    containers,
    minict,
    run,
    wait_until,
)


@pytest.fixture(autouse=True)
def nothing_is_left(image):
    yield
    assert containers() == []
    buildcache.forget()
    for each in images.images():
        if each.names != ["tiny:latest"]:
            images.remove(each.id, force=True)
    minict("prune")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "hello").write_text("hello\n")
    return tmp_path


def built(place, text: str, *flags: str, name: str = "made") -> str:
    """Build *text* in *place*; return the output."""
    (place / "Dockerfile").write_text(text)
    done = minict("build", "--network", "none", "-t", name, *flags, str(place))
    assert done.returncode == 0, done
    return done.stdout


def shell(script: str, name: str = "made") -> str:
    done = run(name, "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def cached(said: str) -> list[str]:
    """The instructions that came from the cache."""
    lines = said.splitlines()
    return [before.split()[0] for before, line in itertools.pairwise(lines) if "from the cache" in line]


# ---- what the instructions do ----------------------------------------------------------------------------------------


def test_run_in_both_forms_with_variables_user_and_directory(place):
    built(
        place,
        """
FROM tiny
ENV NAME="a b" OTHER=${NAME:-none}
WORKDIR /work/here
RUN echo "$NAME $OTHER" > shell && pwd >> shell
RUN ["sh", "-c", "echo exec $0 > exec", "form"]
USER 1000:1000
RUN id -u > /tmp/who
SHELL ["sh", "-e", "-c"]
RUN false || echo $- > /tmp/flags
CMD ["cat", "shell"]
""",
    )
    assert minict("run", "--rm", "--network", "none", "made").stdout == "a b none\n/work/here\n"
    assert shell("cat /work/here/exec /tmp/who; grep -c e /tmp/flags; id -u") == "exec form\n1000\n1\n1000\n"


def test_the_configuration_of_the_image(place):
    built(
        place,
        """
FROM tiny
LABEL a=b "c d"="e f"
EXPOSE 80 53/udp
VOLUME ["/data"]
STOPSIGNAL USR1
HEALTHCHECK --interval=5s --retries=2 CMD ["true"]
ENTRYPOINT ["echo"]
CMD ["from", "cmd"]
MAINTAINER somebody
""",
        "--label",
        "more=yes",
    )
    config = Image.find("made").config
    assert config["Labels"] == {"a": "b", "c d": "e f", "more": "yes"}
    assert Image.find("made").document["author"] == "somebody"
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"} and set(config["Volumes"]) == {"/data"}
    assert config["StopSignal"] == "USR1"
    assert config["Healthcheck"] == {"Test": ["CMD", "true"], "Interval": 5 * 10**9, "Retries": 2}
    assert minict("run", "--rm", "--network", "none", "made").stdout == "from cmd\n"
    history = [entry["created_by"] for entry in Image.find("made").document["history"]]
    assert "EXPOSE 53/udp 80/tcp" in history and history[-1] == "MAINTAINER somebody"


def test_copy_takes_files_directories_and_patterns(place):
    (place / "tree/sub").mkdir(parents=True)
    (place / "tree/sub/file").write_text("deep\n")
    (place / "tree/run.sh").write_text("x\n")
    (place / "tree/run.sh").chmod(0o755)
    os.symlink("run.sh", place / "tree/link")
    (place / "one.log").write_text("1\n")
    (place / "two.log").write_text("2\n")
    (place / "with blank").write_text("blank\n")
    built(
        place,
        """
FROM tiny
WORKDIR /app
COPY hello renamed
COPY hello hello /into/
COPY tree .
COPY tree/sub /other
COPY *.log /logs/
COPY ["with blank", "/with blank"]
COPY --chown=12:34 --chmod=640 hello /owned
COPY . /all/
""",
    )
    assert (
        shell(
            "cat renamed /into/hello sub/file /other/file /logs/*; cat '/with blank'; readlink link; stat -c %a run.sh"
        )
        == "hello\nhello\ndeep\ndeep\n1\n2\nblank\nrun.sh\n755\n"
    )
    assert shell("stat -c '%u:%g %a' /owned hello /app 2>/dev/null || stat -c '%u:%g %a' /owned").startswith(
        "12:34 640\n"
    )
    assert shell("stat -c %u:%g renamed") == "0:0\n"
    assert "all" in shell("ls /") and shell("cat /all/tree/sub/file") == "deep\n"


def test_add_unpacks_archives_and_copies_the_rest(place):
    with tarfile.open(place / "files.tar.gz", "w:gz") as archive:
        data = b"from the archive\n"
        member = tarfile.TarInfo("a/b")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    built(place, "FROM tiny\nADD files.tar.gz /here/\nCOPY files.tar.gz /there/\nADD hello /here/\n")
    assert shell("cat /here/a/b /here/hello; ls /there") == "from the archive\nhello\nfiles.tar.gz\n"


def test_stages_give_files_to_later_ones_and_scratch_begins_with_nothing(place):
    built(
        place,
        """
ARG BASE=tiny
FROM ${BASE} AS tools
RUN mkdir -p /out/sub && echo made > /out/sub/file && ln -s sub/file /out/link
FROM scratch AS final
COPY --from=tools /bin/busybox /bin/sh
COPY --from=tools /out /out/
COPY --from=tiny /bin/busybox /bin/cat
COPY --from=0 --chown=7:8 /out/sub/file /single
ENTRYPOINT ["/bin/sh", "-c"]
""",
    )
    assert (
        minict("run", "--rm", "--network", "none", "made", "cat /out/sub/file /out/link /single; echo /*").stdout
        == "made\nmade\nmade\n/bin /dev /etc /out /proc /single /sys\n"
    )
    assert len(Image.find("made").digests) == 4
    built(place, (place / "Dockerfile").read_text(), "--target", "tools", name="tools")
    assert shell("cat /out/link", "tools") == "made\n"


def test_onbuild_runs_in_the_next_build(place):
    built(place, "FROM tiny\nONBUILD RUN echo later > /later\nONBUILD ENV LATE=yes\n", name="base")
    assert run("base", "cat", "/later").returncode == 1
    built(place, "FROM base\nRUN echo $LATE >> /later\n")
    assert shell("cat /later") == "later\nyes\n" and not Image.find("made").config.get("OnBuild")


def test_arguments_have_defaults_values_and_a_scope(place):
    text = (
        "ARG BASE=tiny\nARG SHARED=global\nFROM $BASE\nARG WHO=nobody\nARG SHARED\nRUN echo $WHO $SHARED > /who\n"
        "ENV KEPT=$WHO\n"
    )
    built(place, text)
    assert shell("cat /who; echo $KEPT; echo ${WHO-gone}") == "nobody global\nnobody\ngone\n"
    built(place, text, "--build-arg", "WHO=me")
    assert shell("cat /who") == "me global\n"


# ---- the context -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines,path,ignored",
    [
        ("*.log", "a.log", True),
        ("*.log", "sub/a.log", False),
        ("**/*.log", "sub/deep/a.log", True),
        ("**/*.log", "a.log", True),
        ("sub", "sub/file", True),
        ("/sub/", "sub/file", True),
        ("sub/*\n!sub/keep", "sub/keep", False),
        ("*\n!keep", "keep", False),
        ("*\n!keep", "other", True),
        ("!keep\n*", "keep", True),
        ("# comment\n\nfile?", "file1", True),
        ("file[0-3]", "file2", True),
        ("file[^0-3]", "file2", False),
        ("a.b", "axb", False),
        ("..", "x", False),
        ("sub/**", "sub/a/b", True),
    ],
)
def test_what_dockerignore_leaves_out(tmp_path, lines, path, ignored):
    (tmp_path / ".dockerignore").write_text(lines)
    assert Context(str(tmp_path)).ignores(path) is ignored


def test_an_ignored_file_cannot_be_copied_even_by_name(place):
    (place / ".dockerignore").write_text("secret\nsub/*\n!sub/kept\nDockerfile\n")
    (place / "secret").write_text("x")
    (place / "sub").mkdir()
    for name in ("kept", "lost"):
        (place / "sub" / name).write_text(name)
    built(place, "FROM tiny\nCOPY . /all/\n")
    assert shell("cd /all; find . -type f | sort") == "./.dockerignore\n./hello\n./sub/kept\n"
    (place / "Dockerfile").write_text("FROM tiny\nCOPY secret /x\n")
    refused_build(place, "secret", ".dockerignore")


def test_files_outside_of_the_context_are_out_of_reach(place):
    (place / "context").mkdir()
    os.symlink("/etc", place / "context/etc")
    os.symlink("../hello", place / "context/up")
    for line, words in (
        ("COPY ../hello /x", ["hello"]),
        ("COPY etc/passwd /x", ["etc/passwd"]),
        ("COPY /etc/passwd /x", ["passwd"]),
        ("COPY up /x", ["up"]),
        ("COPY etc /x", ["etc"]),
    ):
        (place / "context/Dockerfile").write_text(f"FROM tiny\n{line}\n")
        refused_build(place / "context", *words)
    built(place / "context", "FROM tiny\nCOPY . /links/\n")
    assert shell("readlink /links/up") == "../hello\n"


def test_a_link_in_the_image_does_not_lead_a_copy_to_the_host(place):
    built(place, "FROM tiny\nRUN ln -s /../../../../etc /out && mkdir -p /etc/inner\nCOPY hello /out/inner/\n")
    assert shell("cat /etc/inner/hello") == "hello\n" and not os.path.exists("/etc/inner")


# ---- the cache -------------------------------------------------------------------------------------------------------

RECIPE = """FROM tiny
ARG WHO=nobody
RUN echo first
COPY hello /hello
RUN echo second $WHO
"""


def test_the_same_again_comes_from_the_cache_to_the_last_bit(place):
    assert cached(built(place, RECIPE)) == []
    first = Image.find("made").id
    os.utime(place / "hello", (1, 1))  # the time of a file is not its content
    assert cached(built(place, RECIPE)) == ["RUN", "COPY", "RUN"]
    assert Image.find("made").id == first


def test_a_changed_step_and_all_after_it_miss_the_cache(place):
    built(place, RECIPE)
    (place / "hello").write_text("changed\n")
    assert cached(built(place, RECIPE)) == ["RUN"]
    assert shell("cat /hello") == "changed\n"
    (place / "hello").chmod(0o600)
    assert cached(built(place, RECIPE)) == ["RUN"]
    assert cached(built(place, RECIPE, "--build-arg", "WHO=me")) == [], "every RUN can see an ARG"
    assert cached(built(place, RECIPE, "--build-arg", "UNKNOWN=1")) == ["RUN", "COPY", "RUN"], (
        "what no ARG names is not seen"
    )
    assert cached(built(place, RECIPE.replace("second", "third"))) == ["RUN", "COPY"]
    assert cached(built(place, RECIPE.replace("RUN echo first", "ENV A=1\nRUN echo first"))) == []
    assert cached(built(place, RECIPE, "--no-cache")) == []
    (place / "unrelated").write_text("x")
    assert cached(built(place, RECIPE)) == ["RUN", "COPY", "RUN"]


def test_another_parent_misses_the_cache(place):
    built(place, "FROM tiny\nRUN echo one > /one\n", name="base")
    built(place, "FROM base\nRUN echo two > /two\n")
    built(place, "FROM tiny\nRUN echo 1 > /one\n", name="base")
    assert cached(built(place, "FROM base\nRUN echo two > /two\n")) == []
    assert shell("cat /one /two") == "1\ntwo\n"


def test_steps_are_not_in_the_list_and_go_with_the_cache(place):
    built(place, RECIPE)
    names = [line.split()[0] for line in minict("images").stdout.splitlines()[1:]]
    assert sorted(names) == ["made", "tiny"]
    assert minict("image", "prune", "-f").returncode == 0
    assert cached(built(place, RECIPE)) == ["RUN", "COPY", "RUN"], "a prune of images leaves the steps"
    assert minict("builder", "prune", "-f").returncode == 0
    assert len(store.ids()) == 2
    assert shell("cat /hello") == "hello\n", "the image itself stays"


# ---- mistakes, and interruptions -------------------------------------------------------------------------------------


def refused_build(place, *words: str, status: int = 1, flags: list[str] = ()) -> None:
    done = minict("build", "--network", "none", *flags, str(place))
    assert done.returncode == status and done.stderr.splitlines()[-1].startswith("minict: "), done
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr


HERE = r"""ARG before=no
FROM tiny
ENV WHO=you
# a comment
RUN <<EOF
echo first > /script
  # for the shell
FROM=mine; echo "$WHO $FROM" >> /script
EOF
RUN echo before && \
    # in between
    cat > /fed <<one && cat >> /fed <<-"two" && echo after >> /fed
1 $WHO
one
	2 $WHO
	two
COPY <<file <<-"quoted.txt" /copied/
to ${WHO} \$WHO
file
		tabs $WHO
	quoted.txt
COPY --chown=7:8 --chmod=600 <<EOF /alone
alone
EOF
RUN <<EOF
#!/bin/sh -e
echo "$0" > /executed
EOF
RUN <<EOF
EOF
RUN echo "no <<EOF here" '<<EOF' $((1<<2)) > /shifted
CMD ["cat"]"""


def test_what_run_steps_may_use(place):
    text = (
        "FROM tiny\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max > /limit "
        "2> /dev/null; "
        "grep fetcher /etc/hosts > /hosts; ulimit -n > /files\n"
    )
    built(place, text, "--rm", "--memory", "64m", "--add-host", "fetcher:10.9.8.7", "--ulimit", "nofile=123")
    assert shell("cat /limit /files").split() == [str(64 << 20), "123"] and shell("cat /hosts").split() == [
        "10.9.8.7",
        "fetcher",
    ]
    refused_build(place, "--memory", "plenty", flags=["--no-cache", "--memory", "plenty"])


def test_here_documents(place):
    said = built(place, HERE)
    assert shell("cat /script") == "first\nyou mine\n" and shell("cat /fed") == "1 you\n2 $WHO\nafter\n"
    assert shell("cat /copied/file /copied/quoted.txt") == "to you $WHO\ntabs $WHO\n"
    assert shell("stat -c '%a %u:%g' /alone; cat /alone; stat -c %a /copied/file") == "600 7:8\nalone\n644\n"
    assert shell("cat /executed /shifted") == "/dev/pipes/EOF\nno <<EOF here <<EOF 4\n" and "pipes" not in shell(
        "ls /dev"
    )
    assert len(cached(said)) == 0 and len(cached(built(place, HERE))) == 7
    changed = built(place, HERE.replace("tabs", "more"))
    assert cached(changed) == ["RUN", "RUN"], "a here-document is content, as a file is"


@pytest.mark.parametrize(
    "text,words",
    [
        ("", ["FROM"]),
        ("RUN x", ["line 1", "FROM"]),
        ("FROM tiny\nFLY x", ["line 2", "FLY"]),
        ("FROM tiny\nRUN", ["line 2", "RUN"]),
        ("FROM a b", ["line 1"]),
        ("FROM tiny\nCOPY hello", ["line 2", "destination"]),
        ("FROM tiny\nCOPY nothing /x", ["nothing"]),
        ("FROM tiny\nCOPY --from=nowhere/x:y a /b", ["nowhere/x"]),
        ("FROM tiny\nCOPY --fly hello /x", ["--fly"]),
        ("FROM tiny\nCOPY hello hello /x", ["/x/"]),
        ("FROM tiny\nCOPY --chown=stranger hello /x", ["stranger"]),
        ("FROM tiny\nRUN <<EOT\nx\n EOT", ["line 2", "EOT", "no end"]),
        ("FROM tiny\nENV A", ["NAME=VALUE"]),
        ("FROM tiny\nEXPOSE x", ["x"]),
        ("FROM tiny\nSHELL x", ["list"]),
        ("FROM tiny\nHEALTHCHECK x", ["HEALTHCHECK"]),
        ("FROM scratch\nCMD x", ["no files"]),
        ("FROM scratch\nRUN x", ["no files yet"]),
        ("ARG X\nFROM $X", ["--build-arg"]),
        ("FROM tiny\nCOPY --chmod=9 hello /x", ["octal"]),
        ('FROM tiny\nENV A="${B:?must be there}"\n', ["must be there"]),
    ],
)
def test_an_error_is_one_sentence_with_its_line(place, text, words):
    (place / "Dockerfile").write_text(text)
    refused_build(place, *words)


def test_a_failed_command_ends_the_build_and_earlier_steps_stay_cached(place):
    (place / "Dockerfile").write_text("FROM tiny\nRUN echo fine > /fine\nRUN echo so far && exit 3\n")
    done = minict("build", "--network", "none", str(place))
    assert done.returncode == 3 and "line 3" in done.stderr and "so far" in done.stdout
    assert cached(built(place, "FROM tiny\nRUN echo fine > /fine\n")) == ["RUN"]


def test_there_is_no_dockerfile(tmp_path):
    refused_build(tmp_path, "Dockerfile", "-f")
    refused_build(tmp_path / "nowhere", "nowhere")


def test_prune_removes_everything_that_a_killed_build_leaves(place):
    (place / "Dockerfile").write_text("FROM tiny\nRUN echo one > /one\nRUN echo begun && sleep 1000\n")
    one = begin("build", "--network", "none", str(place))
    while "begun" not in one.stdout.readline():
        pass
    one.send_signal(signal.SIGKILL)
    one.communicate()
    wait_until(lambda: minict("prune").returncode == 0 and containers() == [])
    assert cached(built(place, "FROM tiny\nRUN echo one > /one\n")) == ["RUN"]


def test_two_builds_at_once(place):
    (place / "Dockerfile").write_text(RECIPE.replace("echo first", "sleep 0.3; echo first"))
    both = [begin("build", "--network", "none", "-t", f"made{number}", str(place)) for number in range(3)]
    for each in both:
        each.communicate(timeout=PATIENCE)
    assert [each.returncode for each in both] == [0, 0, 0]
    assert shell("cat /hello", "made2") == "hello\n"


def test_from_python_it_is_one_call(place, image):
    (place / "Dockerfile").write_text("FROM tiny\nRUN echo from python > /x\n")
    said = []
    made = builder.build(
        str(place),
        tag=["made"],
        settings={"network": "none"},
        say=said.append,
        output=os.open("/dev/null", os.O_WRONLY),
    )
    assert made.names == ["made:latest"] and said[0] == "FROM tiny"
    began = time.monotonic()
    builder.build(str(place), settings={"network": "none"}, say=said.append)
    assert time.monotonic() - began < 5 and "  (from the cache)" in said


def test_the_umask_of_the_caller_means_nothing(place):
    text = (
        "FROM scratch\nCOPY hello /d/hello\nFROM tiny\nCOPY --from=0 / /x\nCOPY --link hello /l/hello\nWORKDIR /w/v\n"
        "RUN --mount=target=/m stat -c '%a %n' / /m /x /x/d /l /w /w/v > /modes\n"
    )
    (place / "Dockerfile").write_text(text)
    old = os.umask(0o077)
    try:
        null = os.open("/dev/null", os.O_WRONLY)
        builder.build(str(place), tag=["made"], settings={"network": "none"}, say=lambda line: None, output=null)
        os.close(null)
    finally:
        os.umask(old)
    assert {line.split()[0] for line in shell("cat /modes").splitlines()} == {"755"}


# ---- a context that belongs to somebody else ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["fifo", "device"])
def test_a_dockerfile_that_is_not_a_file_is_not_read(tmp_path, name, make):
    if name != "Dockerfile":
        (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    make(tmp_path / name)
    done = minict("build", str(tmp_path))
    assert done.returncode == 1 and f"{name}: it is not a file" in done.stderr, done


def test_a_device_in_an_archive_is_refused_as_dockerfile():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("Dockerfile")
        info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 5
        archive.addfile(info)
    done = minict("build", "-", input=data.getvalue(), text=False)
    assert done.returncode == 1 and b"Dockerfile: it is not a file" in done.stderr, done
