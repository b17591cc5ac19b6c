"""Public Dockerfiles, which this repository may not contain: the features that they use, and how Docker reads them.

``python -m tests.bench.public_dockerfiles record DIRECTORY`` writes the facts into
``tests/data/public_dockerfiles.json``: DIRECTORY has a git repository ``OWNER+NAME`` for each one inspected.
``make test-dockerfiles DOCKERFILES=DIRECTORY`` compares how they are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys

from minict.engine.builder import dockerfile, lexer
from minict.engine.builder.dockerfile import Instruction
from minict.runtime.errors import ContainerError

RECORD = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "public_dockerfiles.json")
_NAME = re.compile(r"(^|/)(Dockerfile(\.[\w-]+)*|[\w-]+\.Dockerfile)$")
_NO_DOCKERFILE = (".dockerignore", ".go", ".md", ".template", ".sh", ".j2", ".tmpl", ".in", ".tpl", ".rego")
# A build of only these shows how they were read; ONBUILD defers the others, and the image keeps its text.
_HARMLESS = tuple("ARG CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER SHELL STOPSIGNAL USER VOLUME".split())
FIELDS = tuple("Env Labels Cmd Entrypoint ExposedPorts Volumes User StopSignal Healthcheck Shell OnBuild".split())


def files(directory: str):
    """Yield (repository, commit, path, content) of each Dockerfile in the repositories below *directory*."""
    for name in sorted(os.listdir(directory)):
        git = ["git", "-C", os.path.join(directory, name)]
        if os.path.isdir(f"{directory}/{name}/repo"):
            git = ["git", "-C", f"{directory}/{name}/repo"]
        if subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True).returncode:
            continue
        commit = _output([*git, "rev-parse", "HEAD"]).decode().strip()
        for path in _output([*git, "ls-tree", "-r", "-z", "--name-only", "HEAD"]).decode().split("\0"):
            if _NAME.search(path) and not path.endswith(_NO_DOCKERFILE) and "/testfiles" not in path:
                yield name.replace("+", "/", 1), commit, path, _output([*git, "show", f"HEAD:{path}"])


def _output(words: list[str]) -> bytes:
    return subprocess.run(words, capture_output=True, check=True).stdout


def features(data: bytes) -> list[str]:
    """The features of the language that the Dockerfile *data* uses.  Raises :class:`ContainerError` when it means
    nothing."""
    source = lexer.read(data)
    recipe = dockerfile.parse(source)
    found = set()
    for name in ("syntax", "escape", "check"):
        if re.match(rf"(#.*\n)*#\s*{name}\s*=", data.decode("utf-8", "replace"), re.IGNORECASE):
            found.add(f"# {name}=")
    if data.startswith(b"\xef\xbb\xbf"):
        found.add("byte order mark")
    if b"\r\n" in data:
        found.add("CRLF")
    if len(recipe.stages) > 1:
        found.add("several stages")
    for each in [*recipe.args, *(each for stage in recipe.stages for each in stage.instructions)]:
        found |= _of(each)
    for stage in recipe.stages:
        found |= {"FROM"} | ({"FROM AS"} if stage.name else set()) | ({"FROM --platform"} if stage.platform else set())
        found |= {"FROM with variables"} if "$" in stage.base else set()
        found |= {"FROM scratch"} if stage.base == "scratch" else set()
    if recipe.args:
        found.add("ARG before FROM")
    return sorted(found)


def _of(each: Instruction) -> set[str]:
    found = {each.name, *(f"{each.name} --{flag}" for flag in each.flags)}
    for text in each.flags.get("mount", ()):
        kind = re.search(r"(?:^|,)type=(\w+)", text)
        found.add(f"RUN --mount=type={kind[1] if kind else 'bind'}")
    if each.documents:
        found.add(f"{each.name} with a here-document")
    if each.is_list:
        found.add(f"{each.name} as a list")
    if each.name == "ONBUILD":
        found.add(f"ONBUILD {each.args[0].split()[0].upper()}")
    if each.name in ("COPY", "ADD"):
        sources = each.args[:-1]
        if any(re.search(r"[*?\[]", source) for source in sources):
            found.add(f"{each.name} with a pattern")
        if any(source.startswith(("http://", "https://")) for source in sources):
            found.add("ADD of an address")
        if len(sources) > 1:
            found.add(f"{each.name} of several sources")
    if each.name in ("ENV", "LABEL") and re.match(rf"{each.name}\s+[^\s=]+\s", each.text, re.IGNORECASE):
        found.add(f"{each.name} NAME VALUE")
    text = each.text if each.name not in ("RUN", "CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK") else ""
    for operator in re.findall(r"\$\{\w+(:?[-+?#%/])", text):
        found.add("${NAME" + operator + "…}")
    return found


def facts() -> list[dict]:
    """The facts about each: ``repository``, ``commit``, ``path``, ``sha256`` and ``features``."""
    with open(RECORD, encoding="utf-8") as file:
        return json.load(file)


def record(directory: str) -> None:
    """Write the facts about all distinct ones, and report those that cannot be read."""
    found, seen, wrong = [], set(), []
    for repository, commit, path, data in files(directory):
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        fact = {"repository": repository, "commit": commit, "path": path, "sha256": digest}
        try:
            found.append({**fact, "features": features(data)})
        except ContainerError as error:
            wrong.append(f"{repository} {path}: {error}")
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(fact, sort_keys=True) for fact in found) + "\n]\n")
    print("\n".join([*wrong, f"{len(found)} read, {len(wrong)} refused"]))


def reduced(data: bytes) -> bytes:
    """A Dockerfile of one stage whose image shows how *data* is read: ONBUILD defers every instruction with an effect.

    Raises :class:`ContainerError` when it means nothing here.
    """
    source = lexer.read(data)
    dockerfile.parse(source)
    rows = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    starts = [line.number - 1 for line in source.lines] + [len(rows)]
    begun, result = False, [b"# escape=" + source.escape.encode()]
    for line, start, end in zip(source.lines, starts, starts[1:]):
        each = dockerfile.instruction(line, source.escape)
        text = b"\n".join(rows[start:end])
        if each.name == "FROM":
            if not begun:
                result.append(b"FROM tiny")
            begun = True
        elif each.name in _HARMLESS:
            result.append(text)
        elif each.name not in ("ONBUILD",) and not each.documents:
            result.append(b"ONBUILD " + text.lstrip())
    return b"\n".join(result) + b"\n"


def compare(words: list[str], options: tuple, directory: str) -> list[str]:
    """A sentence for each Dockerfile below *directory* that *words*, which call Docker, read in another way than we
    do.
    """
    told, count, seen = [], 0, set()
    for repository, _, path, data in files(directory):
        if (digest := hashlib.sha256(data).digest()) in seen:
            continue
        seen.add(digest)
        try:
            text = reduced(data)
        except ContainerError as error:
            told.append(f"{repository} {path}: refused here: {error}")
            continue
        count += 1
        ours, theirs = _read([sys.executable, "-m", "minict"], (), text), _read(words, options, text)
        if ours != theirs:
            differ = [name for name in FIELDS if ours.get(name) != theirs.get(name)] or ["whether it is refused"]
            told.append(f"{repository} {path}: {differ[0]}: {ours.get(differ[0])} here, {theirs.get(differ[0])} there")
    return [*told, f"{count} Dockerfiles read in both ways, {len(told)} differences"]


def _read(words: list[str], options: tuple, text: bytes) -> dict:
    """The configuration of the image of the Dockerfile *text*; nothing if it is refused."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    built = subprocess.run(
        [*words, "build", *options, "-t", "read", "-"], input=text, capture_output=True, env=environment
    )
    if built.returncode:
        return {}
    inspected = subprocess.run([*words, "image", "inspect", "read"], capture_output=True, check=True).stdout
    image = json.loads(inspected)[0]
    return {"Author": image.get("Author") or None, **{name: image["Config"].get(name) or None for name in FIELDS}}


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "record":
        sys.exit(__doc__)
    record(sys.argv[2])
