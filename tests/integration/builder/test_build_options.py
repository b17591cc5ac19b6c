"""``minict build``: its options, its context on standard input, and what is left when it is ended."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile

import pytest

from minict.engine.images import image as images
from minict.engine.images.image import Image
from tests.support.command_line import PATIENCE, begin, containers, image, minict, run, wait_until  # noqa: F401


@pytest.fixture(autouse=True)
def nothing_is_left(image):
    yield
    assert containers() == []
    assert minict("builder", "prune", "-f").returncode == 0
    for each in images.images():
        if each.names != ["tiny:latest"]:
            images.remove(each.id, force=True)
    minict("prune")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "hello").write_text("hello\n")
    return tmp_path


def built(place, text: str, *flags: str, name: str = "made", **options):
    """Build *text* in *place*."""
    (place / "Dockerfile").write_text(text)
    done = minict("build", "--network", "none", "-t", name, *flags, str(place), **options)
    assert done.returncode == 0, done
    return done


def shell(script: str, name: str = "made") -> str:
    done = run(name, "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(place, text: str, *flags: str, told: str) -> None:
    (place / "Dockerfile").write_text(text)
    done = minict("build", "--network", "none", *flags, str(place))
    assert done.returncode == 1 and told in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, done


# ---- options ---------------------------------------------------------------------------------------------------------

PLAIN = "FROM tiny\nRUN echo a > /o\n"


@pytest.mark.parametrize(
    "flag,note",
    [
        ("--progress=plain", ""),
        ("--progress=tty", ""),
        ("--compress", ""),
        ("--load", ""),
        ("--provenance=false", ""),
        ("--disable-content-trust=true", ""),
        ("--isolation=default", ""),
        ("--allow=network.host", ""),
        ("--output=type=docker", ""),
        ("--sbom=false", ""),
        ("--cache-from=tiny", "note: --cache-from is ignored"),
        ("--cache-to=type=inline", "note: --cache-to is ignored"),
        ("--builder=default", "note: --builder is ignored"),
    ],
)
def test_options_that_scripts_use_are_accepted(place, flag, note):
    done = built(place, PLAIN, flag)
    assert done.stderr == "" if not note else note in done.stderr


@pytest.mark.parametrize(
    "flag,told",
    [
        ("--ssh=default", "--ssh is not supported"),
        ("--squash", "--squash is not supported"),
        ("--attest=type=sbom", "--attest is not supported"),
        ("--annotation=a=b", "--annotation is not supported"),
        ("--allow=security.insecure", "security.insecure"),
        ("--platform=linux/amd64,linux/arm64", "one platform at a time"),
        ("--platform=windows/amd64", "only images for Linux"),
        ("--progress=loud", "auto, plain"),
        ("--isolation=hyperv", "hyperv"),
        ("--output=type=x", "type=local"),
        ("--secret=src=x", "id=NAME"),
        ("--secret=id=x,src=/nowhere/at/all", "/nowhere/at/all"),
        ("--build-context=x", "NAME=DIRECTORY"),
        ("--build-context=x=https://example.org", "docker-image://"),
        ("--build-arg==x", "NAME=VALUE"),
        ("--call=outline", "outline"),
        ("-t=A:b:c", "A:b:c"),
    ],
)
def test_options_that_are_refused_by_name(place, flag, told):
    refused(place, "FROM tiny\nRUN echo never >&2 && false\n", flag, told=told)


def test_a_remote_context_is_refused_by_name():
    for context in ("https://example.org/a.git", "git@example.org:a/b", "https://example.org/a.tar.gz"):
        done = minict("build", context)
        assert done.returncode == 1 and "fetch it first" in done.stderr, done


def test_quiet_prints_the_id_alone_and_the_output_when_it_fails(place):
    done = built(place, "FROM tiny\nRUN echo said\n", "-q")
    assert done.stdout == f"sha256:{Image.find('made').id}\n" and done.stderr == ""
    (place / "Dockerfile").write_text("FROM tiny\nRUN echo why; exit 3\n")
    failed = minict("build", "--network", "none", "-q", str(place))
    assert failed.returncode == 3 and failed.stdout == "" and "why\n" in failed.stderr


def test_the_ids_file_is_never_that_of_an_older_build(place):
    file, metadata = place / "id", place / "metadata"
    built(place, PLAIN, "--iidfile", str(file), "--metadata-file", str(metadata))
    id = f"sha256:{Image.find('made').id}"
    assert file.read_text() == id and json.loads(metadata.read_text())["containerimage.config.digest"] == id
    refused(place, "FROM tiny\nFLY\n", "--iidfile", str(file), told="FLY")
    assert not file.exists()


def test_check_does_nothing(place):
    (place / "Dockerfile").write_text("FROM tiny\nRUN false\n")
    for flag in ("--check", "--call=check"):
        done = minict("build", flag, str(place))
        assert done.returncode == 0 and "no errors" in done.stdout
    refused(place, "FROM tiny\nRUN false\nCMD [1]\n", "--check", told="line 3")


def test_every_error_is_found_before_the_first_step(place):
    for line in (
        "FLY x",
        "STOPSIGNAL SIGFOO",
        "ENV A=${V",
        "COPY --chmod=9 hello /x",
        "COPY --chmod=$MODE hello /x",
        "COPY nothing /x",
        "COPY --from=7 a /x",
        "EXPOSE $PORT",
        "RUN --mount=type=$TYPE,target=/x true",
        "HEALTHCHECK --interval=1 CMD x",
        "WORKDIR ${D:?is needed}",
        "ADD --checksum=x http://localhost/x /x",
        "ADD https://example.org/a.git /x",
    ):
        text = f"FROM tiny\nENV MODE=9z PORT=x TYPE=x\nRUN echo never\n{line}\n"
        (place / "Dockerfile").write_text(text)
        done = minict("build", "--network", "none", str(place))
        assert done.returncode == 1 and done.stdout == "" and "line 4" in done.stderr, (line, done)


def test_the_output_can_be_a_directory_an_archive_or_the_image(place, tmp_path):
    text = "FROM scratch\nCOPY hello /d/hello\n"
    built(place, text, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/d/hello").read_text() == "hello\n"
    built(place, text, "-o", f"type=tar,dest={tmp_path}/out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert "d/hello" in [name.removeprefix("./") for name in archive.getnames()]
    built(place, text, "--output", f"type=docker,dest={tmp_path}/image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        assert {"manifest.json", "index.json"} <= set(archive.getnames())
    done = minict("build", "-o", "-", str(place), text=False)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.extractfile("d/hello" if "d/hello" in archive.getnames() else "./d/hello").read() == b"hello\n"


def test_further_contexts_are_directories_images_and_stages(place, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/file").write_text("more\n")
    text = "FROM base AS one\nRUN echo one > /one\nFROM tiny\nCOPY --from=extra file /f\nCOPY --from=one /one /one\n"
    text += "RUN --mount=from=extra,target=/m cat /m/file > /mounted\n"
    built(place, text, "--build-context", f"extra={tmp_path}/more", "--build-context", "base=docker-image://tiny")
    assert shell("cat /f /one /mounted") == "more\none\nmore\n"
    refused(place, "FROM extra\n", "--build-context", f"extra={tmp_path}/more", told="is a directory")


def test_another_platform_is_recorded_in_the_image(place):
    other = "arm64" if os.uname().machine == "x86_64" else "amd64"
    text = "FROM scratch\nARG TARGETARCH\nCOPY hello /$TARGETARCH\n"
    built(place, text, "--platform", f"linux/{other}")
    document = Image.find("made").document
    assert document["architecture"] == other
    assert f"/{other}" in [entry["created_by"].split()[-1] for entry in document["history"]]


def test_stages_without_the_cache(place):
    text = "FROM tiny AS one\nRUN echo 1\nFROM one AS two\nRUN echo 2\n"
    built(place, text)
    said = built(place, text, "--no-cache-filter", "two").stdout
    assert said.count("from the cache") == 1 and said.index("from the cache") < said.index("echo 2")


# ---- the context -----------------------------------------------------------------------------------------------------


def archive(mode: str, **files: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_on_standard_input_is_the_context(mode):
    data = archive(mode, Dockerfile="FROM tiny\nCOPY f /f\n", f="in it\n", other="FROM tiny\nCOPY f /g\n")
    done = minict("build", "-t", "made", "-", input=data, text=False)
    assert done.returncode == 0 and shell("cat /f") == "in it\n", done
    assert minict("build", "-t", "made", "-f", "other", "-", input=data, text=False).returncode == 0
    assert shell("cat /g") == "in it\n"


def test_a_dockerfile_on_standard_input_has_an_empty_context_or_a_directory(place):
    done = minict("build", "--network", "none", "-t", "made", "-", input=PLAIN)
    assert done.returncode == 0 and shell("cat /o") == "a\n"
    assert minict("build", "-t", "made", "-f", "-", str(place), input="FROM tiny\nCOPY hello /h\n").returncode == 0
    assert shell("cat /h") == "hello\n"
    done = minict("build", "-", input="FROM tiny\nCOPY hello /h\n")
    assert done.returncode == 1 and "hello" in done.stderr


def test_an_archive_keeps_owners_and_has_no_dockerignore():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in (("Dockerfile", "FROM tiny\nCOPY f /f\n"), ("f", "x"), (".dockerignore", "f\n")):
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid = len(text), 7, 8
            tar.addfile(member, io.BytesIO(text.encode()))
    assert minict("buildx", "build", "-t", "made", "-", input=data.getvalue(), text=False).returncode == 0
    assert shell("stat -c %u:%g /f") == "7:8\n", "as Docker 20.10 does"


def test_a_link_in_an_archive_leads_nowhere(tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, target in (("Dockerfile", "/etc/passwd"), ("d", "/etc")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    done = minict("build", "-", input=data.getvalue(), text=False)
    assert done.returncode == 1 and b"no Dockerfile" in done.stderr and done.stdout == b"", done
    hostile = archive("w", **{"../../../../../../tmp/minict-hostile": "x", "Dockerfile": "FROM tiny\nCOPY /tmp /t/\n"})
    done = minict("build", "-t", "made", "-", input=hostile, text=False)
    assert done.returncode == 0 and not os.path.exists("/tmp/minict-hostile")
    assert shell("ls /t") == "minict-hostile\n"


def test_a_dockerfile_has_a_dockerignore_of_its_own(place):
    (place / ".dockerignore").write_text("hello\n")
    (place / "other").write_text("FROM tiny\nCOPY . /x/\n")
    (place / "other.dockerignore").write_text("other*\n.dockerignore\n")
    assert minict("build", "-t", "made", "-f", str(place / "other"), str(place)).returncode == 0
    assert shell("ls -A /x") == "hello\n"


# ---- the cache -------------------------------------------------------------------------------------------------------

STEPS = """FROM tiny
LABEL a=1
EXPOSE 80
CMD ["a"]
RUN echo 1 > /1
HEALTHCHECK CMD true
MAINTAINER me
COPY link /link
ENTRYPOINT ["x"]
RUN echo 2 > /2
"""


def cached(said: str) -> int:
    return said.count("(from the cache)")


def test_a_step_does_not_depend_on_instructions_that_change_no_file(place):
    os.symlink("hello", place / "link")
    built(place, STEPS)
    for old, new in (
        ("a=1", "a=2"),
        ("80", "81"),
        ('["a"]', '["b"]'),
        ("CMD true", "NONE"),
        ("me", "you"),
        ('["x"]', '["y"]'),
    ):
        assert cached(built(place, STEPS.replace(old, new)).stdout) == 3, new
    image = Image.find("made")
    assert image.config["Entrypoint"] == ["y"] and image.config["Labels"] == {"a": "1"}, (
        "the configuration is this build's"
    )
    (place / "hello").write_text("changed\n")
    assert cached(built(place, STEPS).stdout) == 1, "what a link leads to is what is copied"
    done = minict("run", "--rm", "--network", "none", "--entrypoint", "cat", "made", "/link")
    assert done.stdout == "changed\n"
    for line in ("ENV A=1", "USER 0:0", "WORKDIR /tmp", "ARG X=1"):
        assert cached(built(place, STEPS.replace("EXPOSE 80", line)).stdout) < 3, line


def test_the_key_includes_bind_mounts_but_not_secrets_and_caches(place):
    (place / "secret").write_text("1")
    text = (
        "FROM tiny\nRUN --mount=type=secret,id=s --mount=type=cache,target=/c true\n"
        "RUN --mount=source=hello,target=/h cat /h\n"
    )
    flags = ("--secret", f"id=s,src={place}/secret")
    built(place, text, *flags)
    (place / "secret").write_text("2")
    assert cached(built(place, text, *flags).stdout) == 2
    (place / "hello").write_text("changed\n")
    assert cached(built(place, text, *flags).stdout) == 1


def test_caches_stay_until_they_are_pruned(place):
    text = (
        "FROM tiny\n"
        "RUN --mount=type=cache,target=/c,uid=7,mode=700 echo {} >> /c/f; stat -c %u:%a /c >> /c/f; cat /c/f > /o\n"
    )
    built(place, text.format(1))
    built(place, text.format(2))
    assert shell("cat /o") == "1\n7:700\n2\n7:700\n"
    assert "1 cache mounts" in minict("builder", "prune", "-f").stdout
    built(place, text.format(3))
    assert shell("cat /o") == "3\n7:700\n"


def test_a_cache_can_begin_with_what_a_stage_has(place):
    text = (
        "FROM tiny AS one\nRUN mkdir /seed && echo s > /seed/f\nFROM tiny\n"
        "RUN --mount=type=cache,from=one,source=/seed,target=/c cat /c/f > /o\n"
    )
    built(place, text)
    assert shell("cat /o") == "s\n"


def test_mounts_leave_nothing_in_the_layer(place):
    text = (
        "FROM tiny\nRUN --mount=type=cache,target=/a/b/c/d --mount=type=tmpfs,target=/t "
        "--mount=source=hello,target=/a/b/h "
        "touch /a/b/kept\nRUN ls / > /ls\n"
    )
    built(place, text)
    assert shell("find /a; grep -c '^t$' /ls || true") == "/a\n/a/b\n/a/b/kept\n0\n"


# ---- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ended_by_a_signal_it_leaves_no_container(place, number):
    (place / "Dockerfile").write_text("FROM tiny\nRUN echo begun && sleep 1000\n")
    file = place / "id"
    file.write_text("old")
    one = begin("build", "--network", "none", "--iidfile", str(file), str(place))
    while "begun" not in one.stdout.readline():
        pass
    while "begun" not in one.stdout.readline():  # the command's own process, and not one that only names it
        pass
    one.send_signal(number)
    one.communicate(timeout=PATIENCE)
    assert one.returncode == -number and containers() == [] and not file.exists()
    assert minict("ps", "-aq").stdout == ""


def test_killed_it_leaves_no_container_in_the_list(place):
    (place / "Dockerfile").write_text("FROM tiny\nRUN echo begun && sleep 1000\n")
    one = begin("build", "--network", "none", str(place))
    while "begun" not in one.stdout.readline():
        pass
    while "begun" not in one.stdout.readline():
        pass
    one.kill()
    one.communicate(timeout=PATIENCE)
    wait_until(lambda: minict("ps", "-aq").stdout == "" and containers() == [])


# ---- ADD of a URL ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A web server with the files ``plain`` and ``archive.tar``, as its address."""
    import functools
    import http.server
    import threading

    (tmp_path / "served").mkdir()
    (tmp_path / "served/plain").write_text("plain\n")
    (tmp_path / "served/archive.tar").write_bytes(archive("w", inner="in the archive\n"))
    os.utime(tmp_path / "served/plain", (1_000_000_000, 1_000_000_000))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    handler.func.log_message = lambda *words: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_url_is_fetched(place, server):
    built(
        place,
        f"FROM tiny\nADD {server}/plain {server}/archive.tar /x/\nADD --chmod=644 --chown=7 {server}/plain?a=b /y\n",
    )
    assert shell("cat /x/plain /y; stat -c '%a %u %Y' /x/plain; stat -c '%a %u' /y; ls /x") == (
        "plain\nplain\n600 0 1000000000\n644 7\narchive.tar\nplain\n"
    )
    built(place, f"FROM tiny\nADD --unpack=true {server}/archive.tar /x/\n")
    assert shell("cat /x/inner") == "in the archive\n"


def test_a_checksum_is_checked(place, server):
    import hashlib

    digest = hashlib.sha256(b"plain\n").hexdigest()
    built(place, f"FROM tiny\nADD --checksum=sha256:{digest} {server}/plain /x\n")
    assert shell("cat /x") == "plain\n"
    refused(place, f"FROM tiny\nADD --checksum=sha256:{digest[::-1]} {server}/plain /x\n", told="checksum mismatch")
    refused(place, f"FROM tiny\nADD {server}/none /x\n", told="404")
    refused(place, f"FROM tiny\nCOPY {server}/plain /x\n", told="use ADD")
