"""Chapter 07: the full name of an image, the right platform, the digest of what arrives, the names in an archive."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess

from minict.engine.archive import extract
from minict.engine.distribution import manifest as documents
from minict.engine.distribution import reference
from minict.engine.images.hostimage import find_program
from minict.runtime.errors import ContainerError

from .. import postcard
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback

# ---- images-1: complete ------------------------------------------------------------------------------------------

_DIGEST = f"sha256:{'0123456789abcdef' * 4}"
_NAMES = (
    ("ubuntu", "docker.io/library/ubuntu:latest", "Host, owner and tag are left out: add all three."),
    ("ubuntu:24.04", "docker.io/library/ubuntu:24.04", "Keep the tag. And a first word is a host only if a / follows."),
    (
        "alice/site",
        "docker.io/alice/site:latest",
        "Its first word is an owner: library/ is added only to a single word.",
    ),
    (
        "alice/site:2",
        "docker.io/alice/site:2",
        "Its first word is an owner and no host: it has neither a dot nor a port. The tag stands in the last word.",
    ),
    (
        "ghcr.io/alice/site:2",
        "ghcr.io/alice/site:2",
        "Its first word has a dot, so it is a host: nothing is left out.",
    ),
    ("ghcr.io/site", "ghcr.io/site:latest", "library/ belongs to Docker Hub: other hosts do without it."),
    (
        "localhost:5000/site",
        "localhost:5000/site:latest",
        "This : is in front of a port. A tag stands after the last /, so look for the : in the last word only.",
    ),
    (
        "registry:5000/alice/site:1.0",
        "registry:5000/alice/site:1.0",
        "This name has both a port and a tag, and a first word with a : is a host.",
    ),
    (
        "alice/site:1.2",
        "docker.io/alice/site:1.2",
        "This dot is in the tag. Whether the first word is a host is told by that word alone.",
    ),
    ("localhost/site", "localhost/site:latest", "localhost is the one host without a dot and without a port."),
    ("localhost-fans/site", "docker.io/localhost-fans/site:latest", "Only the very word localhost is a host."),
    (
        "docker.io/ubuntu",
        "docker.io/library/ubuntu:latest",
        "On Docker Hub a single word gets library/, also when the host is written.",
    ),
    (
        "node.js",
        "docker.io/library/node.js:latest",
        "A word with a dot is a host only if a / follows. Here nothing follows.",
    ),
    ("a/b/c", "docker.io/a/b/c:latest", "A path may have more than two words; the first one is still not a host."),
    (f"ubuntu@{_DIGEST}", f"docker.io/library/ubuntu@{_DIGEST}", "After the @ comes a digest, and no tag is needed."),
    (f"alice/site:2@{_DIGEST}", f"docker.io/alice/site@{_DIGEST}", "With a digest the tag is dropped."),
)


def check_complete(complete):
    """Every kind of name that people write, and what Docker makes of it."""
    for name, expected, why in _NAMES:
        full = complete(name)
        if full != expected:
            raise Feedback(f"complete({name!r}) returned {full!r}. Expected: {expected!r}. {_what_is_odd(full) or why}")


def _what_is_odd(full) -> str:
    """What is wrong with *full* whatever the name was."""
    if not isinstance(full, str):
        return "" if full is None else "Return one string, with the / and : between its parts."
    if full.endswith(":"):
        return "The tag is empty: where there is no : in a text, partition() and rpartition() find nothing after it."
    if full.startswith("registry-1."):
        return "In a name, Docker Hub is called docker.io; the address of its registry comes later."
    return ""


Exercise(
    "images-1",
    "What was left out",
    minutes=9,
    difficulty=2,
    reference=reference.complete,
    check=check_complete,
    starter='''
        def complete(name):
            """name with all that was left out: HOST/PATH:TAG, or HOST/PATH@DIGEST."""
            path, at, digest = name.partition("@")     # "ubuntu" gives "ubuntu", "", ""
            host, tag = "docker.io", "latest"
            ...    # change path, host and tag by what path has in it
            return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
    ''',
    hints=[
        "Three questions, in this order: does the last word have a tag? Is the first word a host? Is a single word "
        "left, on docker.io?",
        'The last word is path.rpartition("/")[2]. If there is a ":" in it, the tag is what comes after the last ":" of '
        "path.",
        'first, slash, rest = path.partition("/"): it is a host if there is a slash and "." in first or ":" in first '
        'or first == "localhost".',
        'At the end: if host == "docker.io" and "/" not in path, path is f"library/{path}".',
    ],
    right={
        "searches for signs": """
            def complete(name):
                import re
                host, slash, rest = name.partition("/")
                if not slash or not re.search("[.:]|^localhost$", host):
                    host, rest = "docker.io", name
                if host == "docker.io" and "/" not in rest:
                    rest = f"library/{rest}"
                rest = re.sub(":[^:]+@", "@", rest)
                return f"{host}/{rest}" if re.search("[:@]", rest) else f"{host}/{rest}:latest"
        """,
        "splits into words": """
            def complete(name):
                name, at, digest = name.partition("@")
                *before, last = name.split("/")
                last, _, tag = last.partition(":")
                words = [*before, last]
                if len(words) == 1 or not (set(".:") & set(words[0]) or words[0] == "localhost"):
                    words.insert(0, "docker.io")
                if len(words) == 2 and words[0] == "docker.io":
                    words.insert(1, "library")
                return "/".join(words) + ("@" + digest if at else ":" + (tag or "latest"))
        """,
        "a regular expression": r"""
            def complete(name):
                import re
                match = re.fullmatch(r"(?:((?=[^/]*[.:]|localhost/)[^/]+)/)?([^:@]+)(?::([^@]+))?(?:@(.+))?", name)
                host, path, tag, digest = match.groups()
                host = host or "docker.io"
                path = path if "/" in path or host != "docker.io" else "library/" + path
                return f"{host}/{path}@{digest}" if digest else f"{host}/{path}:{tag or 'latest'}"
        """,
        "fills the blanks": """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if path.rfind(":") > path.rfind("/"):
                    path, tag = path.rsplit(":", 1)
                if "/" in path:
                    first, rest = path.split("/", 1)
                    if first == "localhost" or any(sign in first for sign in ".:"):
                        host, path = first, rest
                if (host, path.count("/")) == ("docker.io", 0):
                    path = "library/" + path
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
    },
    wrong={
        "takes the port for a tag": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if ":" in path:
                    path, _, tag = path.rpartition(":")
                first, slash, rest = path.partition("/")
                if slash and ("." in first or ":" in first or first == "localhost"):
                    host, path = first, rest
                if host == "docker.io" and "/" not in path:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "in front of a port",
        ),
        "library for everybody": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if ":" in path.rpartition("/")[2]:
                    path, _, tag = path.rpartition(":")
                first, slash, rest = path.partition("/")
                if slash and ("." in first or ":" in first or first == "localhost"):
                    host, path = first, rest
                if "/" not in path:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "library/ belongs to Docker Hub",
        ),
        "library for owners": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                path, _, tag = path.partition(":") if ":" in path else (path, "", tag)
                return f"{host}/library/{path}@{digest}" if at else f"{host}/library/{path}:{tag}"
        """,
            "Its first word is an owner",
        ),
        "the first word is the host": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if ":" in path.rpartition("/")[2]:
                    path, _, tag = path.rpartition(":")
                if "/" in path:
                    host, _, path = path.partition("/")
                else:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "Its first word is an owner",
        ),
        "forgets localhost": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if ":" in path.rpartition("/")[2]:
                    path, _, tag = path.rpartition(":")
                first, slash, rest = path.partition("/")
                if slash and ("." in first or ":" in first):
                    host, path = first, rest
                if host == "docker.io" and "/" not in path:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "the one host without a dot",
        ),
        "a dot makes a host": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if ":" in path.rpartition("/")[2]:
                    path, _, tag = path.rpartition(":")
                first, slash, rest = path.partition("/")
                if "." in first or ":" in first or first == "localhost":
                    host, path = first, rest
                if host == "docker.io" and "/" not in path:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "is a host only if a / follows",
        ),
        "a dot anywhere makes a host": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if "/" in path and ("." in path or ":" in path.partition("/")[0] or path.startswith("localhost/")):
                    host, _, path = path.partition("/")
                if ":" in path:
                    path, _, tag = path.rpartition(":")
                if host == "docker.io" and "/" not in path:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "This dot is in the tag",
        ),
        "begins with localhost": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                if ":" in path.rpartition("/")[2]:
                    path, _, tag = path.rpartition(":")
                first, slash, rest = path.partition("/")
                if slash and ("." in first or ":" in first or first.startswith("localhost")):
                    host, path = first, rest
                if host == "docker.io" and "/" not in path:
                    path = f"library/{path}"
                return f"{host}/{path}@{digest}" if at else f"{host}/{path}:{tag}"
        """,
            "Only the very word localhost",
        ),
        "an empty tag": (
            """
            def complete(name):
                path, _, tag = name.partition(":")
                return f"docker.io/library/{path}:{tag}"
        """,
            "The tag is empty",
        ),
        "the address": (
            'def complete(name):\n    return f"registry-1.docker.io/library/{name}:latest"',
            "the address of its registry comes later",
        ),
        "a tuple": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                host, tag = "docker.io", "latest"
                return host, path, tag
        """,
            "Return one string",
        ),
        "always latest": (
            """
            def complete(name):
                path, at, digest = name.partition("@")
                if "/" not in path:
                    path = f"library/{path}"
                return f"docker.io/{path}:latest"
        """,
            "Keep the tag",
        ),
    },
)


# ---- images-2: fits ------------------------------------------------------------------------------------------------


def check_fits(fits):
    """Platforms as indexes have them; then programs: the one that is chosen must run here."""
    arm, v7 = {"os": "linux", "architecture": "arm"}, {"variant": "v7"}
    for platform, wanted, expected, why in (
        (arm, arm, True, "It is the same."),
        (arm | {"architecture": "arm64"}, arm, False, "arm and arm64 are two processors, although the words begin alike."),
        (arm | {"os": "windows"}, arm, False, "The processor is right, but the program is for another system: compare os, too."),
        (arm | {"variant": "v6"}, arm | v7, False, "Both name a variant, and these differ."),
        (arm | v7, arm | v7, True, "It is the same, the variant, too."),
        (arm | v7, arm, True, "Only one of the two names a variant: a request without a variant takes any."),
        (arm, arm | v7, True, "Only one of the two names a variant: then it does not count."),
        (arm | {"variant": ""}, arm | v7, True, "An empty variant counts as none."),
        (arm | {"os.version": "6.1"}, arm, True, "An index may say more about a platform. That is nothing to compare."),
        ({"os": "unknown", "architecture": "unknown"}, arm, False, "Such entries are not images, but notes about some."),
        ({}, arm, False, "An entry need not have a platform at all. Use .get(), which gives None for what is missing."),
    ):  # fmt: skip
        try:
            answer = fits(dict(platform), dict(wanted))
        except KeyError as error:
            raise Feedback(
                f"fits({platform}, {wanted}) raised KeyError: {error}. Fields may be missing: .get({error}) gives None "
                "then."
            ) from None
        if bool(answer) is not expected:
            raise Feedback(f"fits({platform}, {wanted}) returned {answer!r}. Expected: {expected}. {why}")
    _check_that_it_runs(fits)


def _check_that_it_runs(fits) -> None:
    """An index of a program for this processor and of three that are not; the kernel says which one runs."""
    with open(find_program("true"), "rb") as file:
        here = file.read()
    there = here[:18] + b"\x0d\xf0" + here[20:]  # elf(5), e_machine: a processor that nobody builds
    machine = documents.parse_platform(None)
    strangers = [machine | {"architecture": "s390x"}, machine | {"os": "plan9"}, {"os": "linux"}]
    for place in range(4):
        offered = [*strangers[:place], machine, *strangers[place:]]
        chosen = next((each for each in offered if fits(dict(each), dict(machine))), None)
        with open("program", "wb") as file:
            file.write(here if chosen is machine else there)
        os.chmod("program", 0o755)
        try:
            subprocess.run(["./program"], check=True)
        except OSError as error:
            raise Feedback(
                f"from an index with {offered} fits() chose {chosen}, for a machine that is {machine}. The kernel "
                f"refused to run its program: {errno.errorcode[error.errno]}, {error.strerror}."
            ) from None
        os.remove("program")


Exercise(
    "images-2",
    "For this machine",
    minutes=6,
    difficulty=1,
    reference=documents.fits,
    check=check_fits,
    starter='''
        def fits(platform, wanted):
            """Whether what is made for platform runs where wanted is; both are dictionaries of an index."""
            ...
    ''',
    hints=[
        'Two fields must be equal, "os" and "architecture". The third, "variant", only counts if both have one.',
        'platform.get("os") gives None where platform["os"] would raise KeyError.',
        'for field in ("os", "architecture"): if platform.get(field) != wanted[field]: return False. Then the variants.',
        'Variants differ if platform.get("variant") and wanted.get("variant") are both there, and not equal.',
    ],
    right={
        "field by field": """
            def fits(platform, wanted):
                for field in ("os", "architecture"):
                    if platform.get(field) != wanted.get(field):
                        return False
                one, other = platform.get("variant"), wanted.get("variant")
                return not one or not other or one == other
        """,
        "what both have": """
            def fits(platform, wanted):
                both = {"os", "architecture"} | {key for key in ("variant",) if platform.get(key) and wanted.get(key)}
                return {key: platform.get(key) for key in both} == {key: wanted.get(key) for key in both}
        """,
        "match": """
            def fits(platform, wanted):
                match platform:
                    case {"os": system, "architecture": machine, **rest} if (system, machine) == (
                        wanted["os"], wanted["architecture"]
                    ):
                        return (rest.get("variant") or wanted.get("variant")) in (wanted.get("variant"), None) or (
                            "variant" not in wanted
                        )
                return False
        """,
        "1 and 0": """
            def fits(platform, wanted):
                alike = platform.get("os") == wanted["os"] and platform.get("architecture") == wanted["architecture"]
                variants = {platform.get("variant"), wanted.get("variant")} - {None, ""}
                return int(alike and len(variants) < 2)
        """,
    },
    wrong={
        "equal": (
            "def fits(platform, wanted):\n    return platform == wanted",
            "a request without a variant takes any",
        ),
        "the processor alone": (
            'def fits(platform, wanted):\n    return platform.get("architecture") == wanted["architecture"]',
            "compare os, too",
        ),
        "without the variant": (
            """
            def fits(platform, wanted):
                return all(platform.get(field) == wanted[field] for field in ("os", "architecture"))
        """,
            "Both name a variant, and these differ",
        ),
        "the variant must be equal": (
            """
            def fits(platform, wanted):
                return all(platform.get(field) == wanted.get(field) for field in ("os", "architecture", "variant"))
        """,
            "Only one of the two names a variant",
        ),
        "begins alike": (
            """
            def fits(platform, wanted):
                return platform["os"] == wanted["os"] and platform["architecture"].startswith(wanted["architecture"])
        """,
            "although the words begin alike",
        ),
        "KeyError": (
            """
            def fits(platform, wanted):
                if platform["os"] != wanted["os"] or platform["architecture"] != wanted["architecture"]:
                    return False
                return not (platform.get("variant") and wanted.get("variant")) or platform["variant"] == wanted["variant"]
        """,
            "raised KeyError",
        ),
        "all fields are there": (
            """
            def fits(platform, wanted):
                return all(platform[field] == wanted[field] for field in ("os", "architecture", "variant"))
        """,
            "Fields may be missing",
        ),
        "everything": ("def fits(platform, wanted):\n    return True", "although the words begin alike"),
    },
)


# ---- images-3: verify ----------------------------------------------------------------------------------------------


def check_verify(verify):
    """Right data pass; one bit, one byte more, another name are refused.  The command sha256sum says which digest is
    right."""
    # a digest that begins with a character of "sha256:", which lstrip() would take away
    tricky = next(data for data in map(b"layer %d".__mod__, range(100)) if documents.digest_of(data)[7] in "sha256:")
    for data in (b"", tricky, b"a layer\n" * 10_000):
        printed = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.split()[0].decode()
        digest = f"sha256:{printed}"
        call = f"verify(data, {digest[:15]!r}…, 'the layer')"
        try:
            verify(data, digest, "the layer")
        except ContainerError as error:
            raise Feedback(
                f"{call} refused {len(data)} bytes for which sha256sum prints {printed[:8]}…: {error}. "
                f"{_why_refused(verify, data, printed)}"
            ) from None
        end = "0" if digest[-1] != "0" else "1"
        for changed, name, what in (
            (data + b"\n", digest, "with one byte more than was asked for"),
            (data[:-1] + bytes([data[-1] ^ 1]) if data else b"x", digest, "with one bit flipped in its last byte"),
            (data, digest[:-1] + end, "whose digest differs in its last digit: compare all of it"),
        ):
            told = _refuse(verify, changed, name, call)
            if told is not None:
                raise Feedback(f"{call} accepted data {what}.{told} Raise ContainerError.")


def _why_refused(verify, data: bytes, printed: str) -> str:
    """Why *verify* refuses *data*, of which sha256sum has *printed* the right digits: told by what it accepts."""

    def accepts(data: bytes, digest: str) -> bool:
        try:
            verify(data, digest, "the layer")
        except ContainerError:
            return False
        return True

    if accepts(data + b"other data", f"sha256:{printed}"):
        return "With the same digest it accepts other data: is it the wrong way round?"
    if accepts(data, printed):
        return 'The digest begins with "sha256:", which hexdigest() does not have.'
    if len(data) > 65536 and accepts(data[:65536], documents.digest_of(data[:65536])):
        return "Its beginning, with the digest of the beginning, was accepted: compute the digest of all the data."
    if accepts(b"", documents.digest_of(b"")):
        return (
            'A digest of other digits was accepted. lstrip("sha256:") removes each of these characters from the '
            'beginning, digits, too: removeprefix("sha256:") removes the word.'
        )
    return (
        'Nothing is accepted. What must be equal are two strings, "sha256:" with hexdigest() behind it and the digest.'
    )


def _refuse(verify, data: bytes, digest: str, call: str) -> str | None:
    """Call *verify* with wrong data: None if it refuses them as it should, else what it did instead."""
    try:
        returned = verify(data, digest, "the layer")
    except ContainerError as error:
        if "the layer" not in str(error):
            raise Feedback(
                f"{call} raised ContainerError({str(error)!r}). Say in it what is wrong: use name."
            ) from None
        return None
    except AssertionError:
        raise Feedback(
            f"{call} raised an AssertionError. With python -O no assert runs: raise ContainerError yourself."
        ) from None
    except (ValueError, RuntimeError, OSError) as error:
        raise Feedback(
            f"{call} raised {type(error).__name__}: {error}. Callers of minict catch ContainerError: raise that."
        ) from None
    return "" if returned is None else f" It returned {returned!r}, but nobody looks at that."


Exercise(
    "images-3",
    "What did you send me?",
    minutes=5,
    difficulty=1,
    reference=documents.verify,
    check=check_verify,
    imports="import hashlib\nfrom minict import ContainerError",
    starter='''
        def verify(data, digest, name):
            """Raise ContainerError, with name in its text, unless data has this digest."""
            ...
    ''',
    hints=[
        "Compute the digest of the data, and compare it with the one that was asked for.",
        'hashlib.sha256(data).hexdigest() has 64 digits; the digest has "sha256:" before them.',
        'if f"sha256:{…}" != digest: raise ContainerError(f"{name} …")',
    ],
    right={
        "without the prefix": """
            def verify(data, digest, name):
                algorithm, _, expected = digest.partition(":")
                if hashlib.new(algorithm, data).hexdigest() != expected:
                    raise ContainerError(f"{name} is not what was asked for")
        """,
        "piece by piece": """
            def verify(data, digest, name):
                import hmac
                total = hashlib.sha256()
                for place in range(0, len(data), 64):
                    total.update(data[place:place + 64])
                if not hmac.compare_digest("sha256:" + total.hexdigest(), digest):
                    raise ContainerError(name + ": other bytes than expected")
                return True
        """,
        "the command sha256sum": """
            def verify(data, digest, name):
                import subprocess
                printed = subprocess.run(["sha256sum"], input=data, capture_output=True).stdout.decode()
                if not digest.endswith(printed.split()[0]):
                    raise ContainerError(f"wrong data for {name}")
        """,
    },
    wrong={
        "tells instead of raising": (
            'def verify(data, digest, name):\n    return f"sha256:{hashlib.sha256(data).hexdigest()}" == digest',
            "nobody looks at that",
        ),
        "without the prefix": (
            """
            def verify(data, digest, name):
                if hashlib.sha256(data).hexdigest() != digest:
                    raise ContainerError(f"{name} is wrong")
        """,
            'begins with "sha256:"',
        ),
        "the first twelve digits": (
            """
            def verify(data, digest, name):
                if hashlib.sha256(data).hexdigest()[:12] != digest[7:19]:
                    raise ContainerError(f"{name} is wrong")
        """,
            "compare all of it",
        ),
        "an assert": (
            """
            def verify(data, digest, name):
                assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest, name
        """,
            "no assert runs",
        ),
        "the text without the name": (
            """
            def verify(data, digest, name):
                if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
                    raise ContainerError("wrong digest")
        """,
            "use name",
        ),
        "another error": (
            """
            def verify(data, digest, name):
                if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
                    raise ValueError(name)
        """,
            "Callers of minict catch ContainerError",
        ),
        "lstrip": (
            """
            def verify(data, digest, name):
                if hashlib.sha256(data).hexdigest() != digest.lstrip("sha256:"):
                    raise ContainerError(f"{name} is wrong")
        """,
            "removeprefix",
        ),
        "the beginning of the data": (
            """
            def verify(data, digest, name):
                if "sha256:" + hashlib.sha256(data[:65536]).hexdigest() != digest:
                    raise ContainerError(f"{name} is wrong")
        """,
            "all the data",
        ),
        "bytes of the digest": (
            """
            def verify(data, digest, name):
                if hashlib.sha256(data).digest() != digest:
                    raise ContainerError(f"{name} is wrong")
        """,
            "Nothing is accepted",
        ),
        "the wrong way round": (
            """
            def verify(data, digest, name):
                if f"sha256:{hashlib.sha256(data).hexdigest()}" == digest:
                    raise ContainerError(f"{name} is wrong")
        """,
            "the wrong way round",
        ),
    },
)


# ---- images-4: inside ----------------------------------------------------------------------------------------------

# what an archive may call a file, and why it is difficult
_PATHS = (
    ("note", "It is already a path from the root, without the first /."),
    ("a/note", "It is already a path from the root, without the first /."),
    ("./a/note", "A . is the directory itself."),
    (
        "/a/note",
        "An absolute name means the same as without its first /. And os.path.normpath() keeps two slashes at the "
        "beginning: strip those first that the name has.",
    ),
    ("//a//note", "Several / count as one."),
    ("a/b/../note", "A .. goes up by one directory."),
    ("../../note", "Above the root there is nothing: .. at / leads to /."),
    ("a/../../../b/note", "It goes up further than it went down, and ends below the root all the same."),
    ("../.note", ".note is an ordinary name that begins with a dot: strip slashes only."),
    ("a/..note", "..note is an ordinary name that begins with two dots: do not remove dots, resolve names."),
    (
        "proc/self/note",
        "On your machine /proc/self is a link, in the archive's root it is a directory: do not ask the disk, as "
        "os.path.realpath() does. Work with the words of the name alone.",
    ),
    ("a/b/", "A / at the end says that it is a directory, and does not belong to its name."),
    ("a/caf\udce9", "The name is bytes that are not UTF-8: encoded() returns them as they were."),
)


def check_inside(inside):
    """The kernel opens each name in a chroot; the path must lead to the same file, from the outside."""
    for number, (name, why) in enumerate(_PATHS):
        room = os.path.abspath(f"house/{number}/room")
        os.makedirs(f"{room}/a/b")
        os.makedirs(f"{room}/b")
        os.makedirs(f"{room}/proc/self")

        def create(room=room, name=name):
            os.chroot(room)
            os.chdir("/")
            if not name.endswith("/"):
                os.close(os.open(os.fsencode(name), os.O_CREAT | os.O_WRONLY))
            return os.stat(os.fsencode(name)).st_ino

        inode = same_fate(create)
        path = inside(name)
        call = f"inside({name!r}) returned {path!r}."
        if not isinstance(path, bytes):
            raise Feedback(f"{call} Expected: bytes, as the archive has them. encoded(name) turns its text into them.")
        if path[:1] != b"/":
            raise Feedback(f"{call} It must begin with one /: it is a path from the root directory.")
        try:
            found = os.lstat(os.fsencode(room) + path).st_ino
        except OSError as error:
            found = errno.errorcode[error.errno]
        if found != inode:
            raise Feedback(
                f"{call} The kernel, in a chroot, has the file elsewhere: at your path below that root there is "
                f"{'another one' if isinstance(found, int) else f'nothing ({found})'}. {why}"
            )
        if any(word in path.split(b"/")[1:] for word in (b"", b".", b"..")):
            raise Feedback(f"{call} It is the right file, but two paths of one file must not look different. {why}")


Exercise(
    "images-4",
    "Where does this name lead?",
    minutes=7,
    difficulty=2,
    reference=extract.inside,
    check=check_inside,
    imports="import os\nfrom minict.engine.archive.extract import encoded",
    starter='''
        def inside(name):
            """The path of an archive's name in a root that no .. leads out of: inside("../x") is b"/x"."""
            ...
    ''',
    hints=[
        "Put a / in front, and let os.path.normpath() resolve the . and the .. in it.",
        "os.path.normpath() takes bytes, too, and knows that /.. is /. But it keeps two slashes at the beginning.",
        'So take those away that the name has: encoded(name).lstrip(b"/").',
    ],
    right={
        "word by word": """
            def inside(name):
                words = []
                for word in encoded(name).split(b"/"):
                    if word == b"..":
                        words = words[:-1]
                    elif word not in (b"", b"."):
                        words.append(word)
                return b"/" + b"/".join(words)
        """,
        "pathlib": """
            def inside(name):
                path = os.path.abspath("/./" + name.lstrip("/"))
                return os.fsencode(path)
        """,
        "join": """
            def inside(name):
                path = os.path.normpath(os.path.join(b"/", encoded(name)))
                return b"/" + path.lstrip(b"/")
        """,
    },
    wrong={
        "joins": ('def inside(name):\n    return b"/" + encoded(name)', "two paths of one file"),
        "removes dots": (
            'def inside(name):\n    return os.path.normpath(b"/" + encoded(name.replace("..", "")).lstrip(b"/"))',
            "A .. goes up by one directory",
        ),
        "two slashes": ('def inside(name):\n    return os.path.normpath(b"/" + encoded(name))', "strip those first"),
        "asks the disk": (
            'def inside(name):\n    return os.path.realpath(b"/" + encoded(name).lstrip(b"/"))',
            "do not ask the disk",
        ),
        "keeps the last slash": (
            """
            def inside(name):
                path = os.path.normpath(b"/" + encoded(name).lstrip(b"/"))
                return path + b"/" if name.endswith("/") else path
        """,
            "A / at the end",
        ),
        "text": ('def inside(name):\n    return os.path.normpath("/" + name.lstrip("/"))', "Expected: bytes"),
        "relative": ('def inside(name):\n    return os.path.normpath(encoded(name).lstrip(b"/"))', "begin with one /"),
        "utf-8 only": (
            'def inside(name):\n    return os.path.normpath("/" + name.lstrip("/")).encode(errors="replace")',
            "encoded() returns them",
        ),
        "strips the dots": (
            'def inside(name):\n    return os.path.normpath(b"/" + encoded(name).lstrip(b"./"))',
            "strip slashes only",
        ),
        "refuses": (
            """
            def inside(name):
                if ".." in name or name.startswith("/"):
                    raise ValueError("hostile")
                return os.path.normpath(b"/" + encoded(name))
        """,
            "raised ValueError: hostile",
        ),
    },
)


# ---- the challenge: an image of nothing ----------------------------------------------------------------------------

_CARD = b"Made of nothing.\n"


def check_make_image(make_image):
    """Documents that agree with each other, files that arrive, and a program that runs."""
    program = postcard.program(documents.architecture())
    files, command = {"bin/greet": program, "card": _CARD}, ["/bin/greet"]
    call = f"make_image({{'bin/greet': …, 'card': {_CARD!r}}}, {command})"
    made = make_image(dict(files), list(command))
    if not (isinstance(made, tuple) and len(made) == 3 and all(isinstance(each, bytes) for each in made)):
        kinds = ", ".join(type(each).__name__ for each in made) if isinstance(made, tuple) else type(made).__name__
        raise Feedback(f"{call} returned {kinds}. Expected: layer, config, manifest, each as bytes.")
    layer, config, data = made
    if layer[:1] == b"{" or data[:1] != b"{":
        raise Feedback(f"{call}: the order is layer, config, manifest. The last of yours is not a JSON document.")
    try:
        manifest, document = documents.parse_manifest(data), documents.parse_config(config)
        documents.kind(data, "the manifest")
    except ContainerError as error:
        raise Feedback(f"{call} was read as minict reads it: {error}.") from None
    if json.loads(data).get("schemaVersion") != 2:
        raise Feedback(f'{call}: registries refuse a manifest without "schemaVersion": 2.')
    if len(manifest.layers) != 1:
        raise Feedback(f"{call}: the manifest has {len(manifest.layers)} layers. Expected: one.")
    for blob, descriptor, what in ((config, manifest.config, "config"), (layer, manifest.layers[0], "layer")):
        if documents.digest_of(blob) != descriptor.digest:
            raise Feedback(f"{call}: the digest of the {what} in the manifest is not that of the {what}'s bytes.")
        if len(blob) != descriptor.size:
            raise Feedback(f"{call}: the {what} has {len(blob)} bytes, and the manifest says {descriptor.size}.")
    if (manifest.layers[0].media_type == documents.LAYER_GZIP) != (layer[:2] == b"\x1f\x8b"):
        raise Feedback(f"{call}: the manifest calls the layer {manifest.layers[0].media_type}. Its bytes are not that.")
    if document["rootfs"].get("type") != "layers":
        raise Feedback(f'{call}: the rootfs of the config lacks "type": "layers", which the specification demands.')
    os.mkdir("room")
    try:
        contents = extract.unpack(io.BytesIO(layer), "room", whiteouts=True, name="the layer")
    except ContainerError as error:
        raise Feedback(f"{call}: {error}.") from None
    if document["rootfs"]["diff_ids"] != [f"sha256:{contents.digest}"]:
        hint = " That is the digest of the compressed layer." if documents.digest_of(layer) in str(document) else ""
        raise Feedback(
            f"{call}: diff_ids in the config must hold the digest of the archive before it is compressed.{hint}"
        )
    _check_platform_and_command(document, command, call)
    if empty := [path for path in files if not os.path.getsize(f"room/{path}")]:
        raise Feedback(f"{call}: {empty[0]} is empty. A TarInfo has the size 0 until you set it.")
    said = _said_in("room", command, call)
    if said != _CARD:
        raise Feedback(f"{call}: the image was unpacked, and its command wrote {said!r}. Expected: {_CARD!r}.")


def _check_platform_and_command(document: dict, command: list[str], call: str) -> None:
    if not documents.fits(document, documents.parse_platform(None)):
        raise Feedback(
            f"{call}: the config says that it is for {documents.platform_name(document) or 'no platform'}. It needs "
            f'"os": "linux" and "architecture": architecture().'
        )
    given = (document.get("config") or {}).get("Cmd")
    if given != command:
        raise Feedback(f'{call}: Cmd in the "config" of the config is {given!r}. Expected: {command}.')


def _said_in(room: str, command: list[str], call: str) -> bytes:
    def inside():
        os.chroot(room)
        os.chdir("/")
        return subprocess.run(command, capture_output=True).stdout

    try:
        return same_fate(inside)
    except OSError as error:
        why = " Give it the mode 0o755." if error.errno == errno.EACCES else ""
        raise Feedback(
            f"{call}: its command can't be started: {errno.errorcode[error.errno]}, {error.strerror}.{why}"
        ) from None


_MAKE_IMAGE = '''
    def make_image(files, command):
        """An image with these files, {path: content}: its layer, its config and its manifest, as bytes."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
        archive = stream.getvalue()
        layer = gzip.compress(archive)

        def descriptor(media_type, data):
            return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

        config = json.dumps({
            "os": "linux", "architecture": architecture(), "config": {"Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(archive)]},
        }).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config), "layers": [descriptor(LAYER_GZIP, layer)],
        }).encode()
        return layer, config, manifest
'''

Challenge(
    "from-nothing",
    "An image from nothing",
    name="make_image",
    minutes=15,
    difficulty=3,
    check=check_make_image,
    imports="""
        import gzip, io, json, tarfile
        from minict.engine.distribution.manifest import CONFIG, LAYER_GZIP, MANIFEST, architecture, digest_of
    """,
    solution=_MAKE_IMAGE,
    hints=[
        "From the leaves to the root: the archive, the layer, the config with the archive's digest, the manifest with "
        "the digests of config and layer. Print manifest and config of the postcard, and make yours like them.",
        "A tarfile.TarInfo(path) has the size 0 and the mode 0o644 until you set both; tar.addfile(member, "
        "io.BytesIO(content)) adds it. stream.getvalue() is the archive, when the tar is closed.",
        'A descriptor is {"mediaType": …, "digest": digest_of(data), "size": len(data)}; json.dumps(…).encode() makes '
        "bytes of a document.",
    ],
    right={
        "not compressed": _MAKE_IMAGE.replace("gzip.compress(archive)", "archive").replace(
            "LAYER_GZIP", '"application/vnd.oci.image.layer.v1.tar"'
        ),
        "without its own media type": _MAKE_IMAGE.replace('"mediaType": MANIFEST,', ""),
        "the command tar": """
            def make_image(files, command):
                import os, subprocess, tempfile
                with tempfile.TemporaryDirectory() as room:
                    for path, content in files.items():
                        os.makedirs(os.path.dirname(f"{room}/{path}"), exist_ok=True)
                        with open(f"{room}/{path}", "wb") as file:
                            file.write(content)
                        os.chmod(f"{room}/{path}", 0o755)
                    archive = subprocess.run(["tar", "-C", room, "-c", "."], capture_output=True, check=True).stdout
                layer = subprocess.run(["gzip"], input=archive, capture_output=True).stdout
                describe = lambda kind, data: dict(mediaType=kind, digest=digest_of(data), size=len(data))
                config = json.dumps(dict(architecture=architecture(), os="linux", config=dict(Cmd=command), rootfs=dict(
                    type="layers", diff_ids=[digest_of(archive)]))).encode()
                return layer, config, json.dumps(dict(schemaVersion=2, mediaType=MANIFEST, config=describe(
                    CONFIG, config), layers=[describe(LAYER_GZIP, layer)])).encode()
        """,
    },
    wrong={
        "the compressed layer's digest": (
            _MAKE_IMAGE.replace('"diff_ids": [digest_of(archive)]', '"diff_ids": [digest_of(layer)]'),
            "That is the digest of the compressed layer",
        ),
        "the archive's digest": (
            _MAKE_IMAGE.replace("descriptor(LAYER_GZIP, layer)", "descriptor(LAYER_GZIP, archive)"),
            "the digest of the layer in the manifest",
        ),
        "without the mode": (
            _MAKE_IMAGE.replace("member.size, member.mode = len(content), 0o755", "member.size = len(content)"),
            "Give it the mode 0o755",
        ),
        "without the size": (
            _MAKE_IMAGE.replace("member.size, member.mode = len(content), 0o755", "member.mode = 0o755"),
            "has the size 0",
        ),
        "texts": (_MAKE_IMAGE.replace(".encode()", ""), "Strings must be encoded"),
        "without a command": (_MAKE_IMAGE.replace('"config": {"Cmd": command},', ""), "Cmd in the"),
        "for nobody": (_MAKE_IMAGE.replace('"os": "linux", "architecture": architecture(), ', ""), "for no platform"),
        "the order of the result": (
            _MAKE_IMAGE.replace("return layer, config, manifest", "return manifest, config, layer"),
            "the order is layer, config, manifest",
        ),
        "not compressed": (_MAKE_IMAGE.replace("gzip.compress(archive)", "archive"), "Its bytes are not that"),
        "xz": (
            _MAKE_IMAGE.replace("gzip.compress(archive)", "__import__('lzma').compress(archive)"),
            "Its bytes are not that",
        ),
        "without the version": (_MAKE_IMAGE.replace('"schemaVersion": 2, ', ""), "registries refuse"),
        "without the type": (_MAKE_IMAGE.replace('"type": "layers", ', ""), 'lacks "type"'),
        "a command of one string": (
            _MAKE_IMAGE.replace('{"Cmd": command}', '{"Cmd": command[0]}'),
            "Cmd in its config",
        ),
    },
)
