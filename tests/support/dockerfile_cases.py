"""What Dockerfiles mean: small builds, each with the expected content of the image.

The expectations are in ``tests/data/dockerfile_cases.json``, as they were seen on Debian's Docker 20.10 with BuildKit,
and ``make test-dockerfiles`` checks them again. A case with ``expect`` or ``fails`` concerns something that only later
versions do, or that minict refuses on purpose: *why* names the source.
"""

from __future__ import annotations

import dataclasses
import json
import os


@dataclasses.dataclass(frozen=True)
class Case:
    """*text*: the Dockerfile.  *files*: the context: texts, ``None`` for a directory, ``("link", TARGET)``, or (text,
    mode).

    *look*: a shell command in the image.  *say*: fields of its configuration.  *options*: of ``build``.  *expect*: the
    output of *look* and *say*, where it was not recorded on Docker; *fails*: words of the error, where Docker 20.10 has
    none;
    *why*.
    *words*: words of our error, where Docker has one too.
    """

    name: str
    text: str | bytes
    files: dict = dataclasses.field(default_factory=dict)
    look: str = ""
    say: tuple = ()
    options: tuple = ()
    expect: str | None = None
    fails: tuple = ()
    words: tuple = ()
    why: str = ""

    @property
    def seen(self) -> bool:
        """Whether the expectation is Docker's."""
        return self.expect is None and not self.fails


def write(case: Case, directory: str) -> None:
    """Make the context of *case* in the empty *directory*."""
    for name, content in {"Dockerfile": case.text, **case.files}.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        content, mode = content if isinstance(content, tuple) and content[0] != "link" else (content, None)
        if content is None:
            os.makedirs(path, exist_ok=True)
        elif isinstance(content, tuple):
            os.symlink(content[1], path)
        else:
            with open(path, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
        if mode is not None:
            os.chmod(path, mode)


def said(case: Case, inspected: str) -> str:
    """The fields that *case* asks for, from the output of ``image inspect``. An empty field counts as missing."""
    image = json.loads(inspected)[0]
    values = {name: image.get(name) if name == "Author" else (image.get("Config") or {}).get(name) for name in case.say}
    return "".join(f"{name}: {json.dumps(value or None, sort_keys=True)}\n" for name, value in values.items())


def recorded() -> dict:
    """The observations on Docker, by the names of the cases: ``status`` and ``output``."""
    with open(RECORD, encoding="utf-8") as file:
        return json.load(file)


RECORD = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "dockerfile_cases.json")


def _tar(*members: tuple) -> bytes:
    """An archive of (name, mode, owner, text); None as the text makes a directory."""
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, mode, owner, text in members:
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid = mode, owner, owner
            member.type = tarfile.DIRTYPE if text is None else tarfile.REGTYPE
            member.size = len(text or "")
            archive.addfile(member, io.BytesIO((text or "").encode()))
    return file.getvalue()


def _gzip(text: str) -> bytes:
    """A text that is compressed, but not an archive."""
    import gzip

    return gzip.compress(text.encode(), mtime=0)


_TREE = {"a": "a\n", "b": "b\n", "d/in": "in\n", "d/deep/er": "er\n", "run.sh": ("x\n", 0o755)}
_SHOW = "find /x | sort"
_MODES = "cd /x && find . | sort | while read f; do stat -c '%n %a %u:%g' $f; done"
_CONFIG = ("Cmd", "Entrypoint")

CASES = [
    # ---- words, quotes, variables
    Case(
        "words-env-forms",
        'FROM tiny\nENV A=1 B="b c" C=d\\ e\nENV D the rest  of it\nENV E=\'$A\' F="$A" G=$A$B H=${A}x\n',
        say=("Env",),
    ),
    Case("words-env-same-line", "FROM tiny\nENV A=1\nENV A=2 B=$A\n", say=("Env",)),
    Case(
        "words-env-old-form-quotes",
        "FROM tiny\nENV A \"quoted\" 'and so'\nENV B a\\ b\nENV C   blanks   inside  \n",
        say=("Env",),
    ),
    Case("words-env-empty", "FROM tiny\nENV A= B=\"\" C=''\n", say=("Env",)),
    Case("words-env-escapes", 'FROM tiny\nENV A=\\$B C=\\\\ D="\\$x \\" \\\\ \\n" E=\'\\$x\' F=a\\"b\n', say=("Env",)),
    Case("words-env-tabs", "FROM\ttiny\nENV\tA=1\tB=2\nENV\tC\td e\n", say=("Env",)),
    Case("words-env-no-equals", "FROM tiny\nENV A=1 B\n", words=("line 2", "NAME=VALUE")),
    Case("words-env-one-word", "FROM tiny\nENV A\n", words=("line 2", "A")),
    Case("words-env-blank-name", "FROM tiny\nENV =x\n", words=("line 2",)),
    Case("words-env-quote-without-end", 'FROM tiny\nENV A="b\n', words=("line 2", "quote")),
    Case(
        "words-label-forms",
        'FROM tiny\nLABEL a=1 "b c"="d e" f.g=\'h i\'\nLABEL j k l\nLABEL m="two \\\nlines"\n',
        say=("Labels",),
    ),
    Case("words-label-variable", "FROM tiny\nARG V='a b'\nLABEL a=$V b='$V' $V=x\n", say=("Labels",)),
    Case(
        "words-default",
        "FROM tiny\nENV E=\nENV A=${X:-x} B=${X-x} C=${E:-x} D=${E-x} F=${X:+y} G=${PATH:+y} H=${E+y} I=${E:+y}\n",
        look='echo "<$A> <$B> <$C> <$D> <$F> <$G> <$H> <$I>"',
        expect="<x> <x> <x> <> <> <y> <y> <>\n",
        why="the reference, Environment replacement; without the colon since Dockerfile 1.5",
    ),
    Case(
        "words-default-nested",
        'FROM tiny\nENV V=v\nENV A=${X:-${V}} B=${X:-"a b"} C="${X:-a b}" D=${X:-${Y:-z}} F=${X:-\'$V\'}\n',
        say=("Env",),
    ),
    Case("words-error-modifier", 'FROM tiny\nENV A="${X:?is needed}"\n', words=("line 2", "X", "is needed")),
    Case("words-unterminated", "FROM tiny\nENV A=${V\n", words=("line 2", "}")),
    Case("words-bad-substitution", "FROM tiny\nENV A=${}\n", words=("line 2", "name of a variable")),
    Case("words-bad-modifier", "FROM tiny\nENV V=x\nENV A=${V@Q}\n", words=("line 3", "'@'")),
    Case("words-dollar-alone", "FROM tiny\nENV A=$ B=a$ C=$$ D=$1x E=$-\n", say=("Env",)),
    Case("words-name-with-digits", "FROM tiny\nENV V1=a V_2=b\nENV A=$V1-$V_2-${V1}2\n", say=("Env",)),
    Case("words-arg-with-blanks", 'FROM tiny\nARG A="x y"\nARG B=$A\nENV C=$B\n', say=("Env",)),
    Case(
        "words-workdir-quotes", "FROM tiny\nWORKDIR \"/a b\"\nWORKDIR c\nWORKDIR 'd'\n", look="pwd", say=("WorkingDir",)
    ),
    Case("words-workdir-variable", "FROM tiny\nENV D=/x/y\nWORKDIR $D/z\nWORKDIR ..\n", say=("WorkingDir",)),
    Case("words-user-quotes", 'FROM tiny\nARG U=1000\nUSER "$U:5"\n', say=("User",)),
    Case("words-expose", "FROM tiny\nARG P='81 82/udp'\nEXPOSE 80 53/udp $P 90-92/tcp\n", say=("ExposedPorts",)),
    Case("words-expose-nonsense", "FROM tiny\nEXPOSE x\n", words=("line 2", "x")),
    Case("words-expose-protocol", "FROM tiny\nEXPOSE 80/xyz\n", words=("line 2", "xyz")),
    Case("words-volume-forms", 'FROM tiny\nARG V=/v\nVOLUME /a /b "$V"\nVOLUME ["/c d", "/e"]\n', say=("Volumes",)),
    Case("words-volume-empty", 'FROM tiny\nVOLUME [""]\n', words=("line 2",)),
    Case("words-stopsignal", "FROM tiny\nARG S=INT\nSTOPSIGNAL SIG$S\n", say=("StopSignal",)),
    Case("words-stopsignal-number", "FROM tiny\nSTOPSIGNAL 9\n", say=("StopSignal",)),
    Case("words-stopsignal-nonsense", "FROM tiny\nSTOPSIGNAL SIGFOO\n", words=("line 2", "SIGFOO")),
    Case("words-copy-quotes", 'FROM tiny\nARG D=/x\nCOPY a "$D/"\nCOPY [ "b", "/x/with blank" ]\n', _TREE, look=_SHOW),
    Case("words-run-variables-stay", "FROM tiny\nENV A=1\nRUN echo \"$A ${A} \\$A '$A'\" '$A' > /o\n", look="cat /o"),
    Case("words-run-list", 'FROM tiny\nENV A=1\nRUN ["sh", "-c", "echo $A $0 > /o", "zero"]\n', look="cat /o"),
    Case("words-run-bad-list", "FROM tiny\nRUN [ -d / ] && echo yes > /o\n", look="cat /o"),
    Case("words-cmd-bad-list", "FROM tiny\nCMD ['a', 'b']\n", say=_CONFIG),
    Case("words-list-of-numbers", "FROM tiny\nCMD [1, 2]\n", words=("line 2", "quotes")),
    Case(
        "words-patterns",
        "FROM tiny\nENV V=a.b.c/d\nENV A=${V#*.} B=${V##*.} C=${V%.*} D=${V%%.*} E=${V/b/X} F=${V//./-} G=${V#?}\n",
        look="echo $A $B $C $D $E $F $G",
        expect="b.c/d c/d a.b a a.X.c/d a-b-c/d .b.c/d\n",
        why="the reference, Environment replacement",
    ),
    Case(
        "words-patterns-escaped",
        "FROM tiny\nENV V='a*b?c'\nENV A=${V#a\\*} B=${V%\\?c} C=${V/\\*/+}\n",
        look='echo "$A $B $C"',
        expect="b?c a*b a+b?c\n",
        why="the reference, Environment replacement",
    ),
    # ---- lines
    Case(
        "lines-continued",
        "FROM tiny\nRUN echo a \\\n  # comment\n\n  && echo b \\\n\t&& echo c > /o\nENV A=1 \\\n# another\n    B=2\n",
        look="cat /o",
        say=("Env",),
    ),
    Case("lines-continued-blanks", "FROM tiny\nRUN echo a \\  \n  b > /o\nRUN echo 'x\\\ny' >> /o\n", look="cat /o"),
    Case("lines-double-escape", "FROM tiny\nRUN echo 'a\\\\' > /o\nRUN echo b >> /o\n", look="cat /o"),
    Case("lines-last-goes-on", "FROM tiny\nRUN echo a > /o \\", look="cat /o"),
    Case("lines-case", "from tiny as One\nrun echo a > /o\nFrom one\nCopy --from=ONE /o /p\n", look="cat /p"),
    Case("lines-crlf", "FROM tiny\r\nENV A=1 \\\r\n  B=2\r\nRUN echo $A$B > /o\r\n", look="cat /o", say=("Env",)),
    Case("lines-bom", b"\xef\xbb\xbf# comment\nFROM tiny\nENV A=1\n", say=("Env",)),
    Case(
        "lines-escape", "# escape=`\nFROM tiny\nENV A=`$x B=a\\b\nRUN echo a `\n  b > /o\n", look="cat /o", say=("Env",)
    ),
    Case("lines-escape-late", "# a comment\n# escape=`\nFROM tiny\nENV A=\\$x\n", say=("Env",)),
    Case("lines-escape-nonsense", "# escape=x\nFROM tiny\n", words=("line 1", "'x'")),
    Case("lines-escape-twice", "# escape=`\n# escape=`\nFROM tiny\n", words=("line 2", "escape")),
    Case(
        "lines-leading-blanks", "  FROM tiny\n   RUN echo a > /o\n  # comment\n\tENV A=1\n", look="cat /o", say=("Env",)
    ),
    Case("lines-comment-in-run", "FROM tiny\nRUN echo 'a # b' > /o # c\n", look="cat /o"),
    Case("lines-empty", "\n\n", words=("FROM",)),
    Case("lines-no-from", "RUN true\n", words=("line 1", "FROM")),
    Case("lines-unknown", "FROM tiny\nFORM x\n", words=("line 2", "FORM", "did you mean FROM")),
    Case("lines-unknown-flag", "FROM tiny\nCOPY --fly=1 a /x\n", _TREE, words=("line 2", "--fly")),
    Case("lines-flag-twice", "FROM tiny\nCOPY --chown=1 --chown=2 a /x\n", _TREE, words=("line 2", "--chown")),
    Case("lines-flag-without-value", "FROM tiny\nCOPY --chown a /x\n", _TREE, words=("line 2", "--chown")),
    Case("lines-stage-name", "FROM tiny AS 1-a/\n", words=("line 1", "1-a/")),
    Case("lines-from-words", "FROM tiny one two\n", words=("line 1",)),
    Case("lines-empty-instruction", "FROM tiny\nCMD echo\nCOPY a\n", _TREE, words=("line 3", "destination")),
    Case("lines-onbuild-nonsense", "FROM tiny\nONBUILD FROM x\n", words=("line 2", "FROM")),
    Case("lines-shell-no-list", "FROM tiny\nSHELL sh -c\n", words=("line 2", "list")),
    # ---- here-documents (not in 20.10 without a frontend from the web)
    Case(
        "here-run",
        "FROM tiny\nRUN <<EOF\necho a > /o\necho b >> /o\nEOF\n",
        look="cat /o",
        expect="a\nb\n",
        why="the reference, Here-Documents",
    ),
    Case(
        "here-run-fed",
        "FROM tiny\nENV V=v\nRUN cat > /o <<EOF && echo after >> /o\n$V\nEOF\n",
        look="cat /o",
        expect="v\nafter\n",
        why="the reference, Here-Documents",
    ),
    Case(
        "here-run-quoted",
        "FROM tiny\nENV V=v\nRUN cat > /o <<'EOF'\n$V\nEOF\n",
        look="cat /o",
        expect="$V\n",
        why="the reference, Here-Documents",
    ),
    Case(
        "here-run-tabs",
        "FROM tiny\nRUN <<-EOF\n\techo a > /o\n\t\techo b >> /o\n\tEOF\n",
        look="cat /o",
        expect="a\nb\n",
        why="the reference, Here-Documents",
    ),
    Case(
        "here-run-program",
        "FROM tiny\nRUN <<EOF\n#!/bin/sh -e\necho $0 > /o\nEOF\n",
        look="cat /o; ls /dev | grep pipes || true",
        expect="/dev/pipes/EOF\n",
        why="BuildKit, dispatchRun",
    ),
    Case(
        "here-copy",
        "FROM tiny\nARG V=v\nCOPY <<one <<'two' /x/\n$V \"q\" 'r'\none\n$V\ntwo\n",
        look="cat /x/one /x/two; stat -c %a /x/one",
        expect="v \"q\" 'r'\n$V\n644\n",
        why="the reference, Here-Documents",
    ),
    Case(
        "here-copy-file",
        "FROM tiny\nCOPY --chmod=600 <<EOF /x\na\nEOF\n",
        look="cat /x; stat -c %a /x",
        expect="a\n600\n",
        why="the reference, Here-Documents",
    ),
    Case("here-no-end", "FROM tiny\nRUN <<EOF\necho a\n", fails=("line 2", "EOF", "no end"), why="BuildKit's parser"),
    Case(
        "here-arithmetic",
        "FROM tiny\nRUN echo $((1<<2)) '<<X' \"<<Y\" > /o\n",
        look="cat /o",
        expect="4 <<X <<Y\n",
        why="BuildKit's parser",
    ),
    Case(
        "here-onbuild",
        "FROM tiny AS b\nONBUILD RUN <<EOF\necho a > /o\nEOF\nFROM b\n",
        look="cat /o",
        expect="a\n",
        why="BuildKit, parseOnBuild",
    ),
    # ---- scopes
    Case("scope-global-arg", 'ARG A=1\nFROM tiny\nRUN echo "<$A>" > /o\nARG A\nRUN echo "<$A>" >> /o\n', look="cat /o"),
    Case(
        "scope-global-arg-given",
        'ARG A=1\nFROM tiny\nARG A=2\nRUN echo "<$A>" > /o\n',
        look="cat /o",
        options=("--build-arg", "A=3"),
    ),
    Case(
        "scope-global-in-from", "ARG B=ti\nARG C=${B}ny\nFROM $C AS x\nFROM ${X:-x}\nRUN echo a > /o\n", look="cat /o"
    ),
    Case("scope-inherited", 'FROM tiny AS a\nARG X=x\nENV Y=$X\nFROM a\nRUN echo "<$X> <$Y>" > /o\n', look="cat /o"),
    Case("scope-not-across", 'FROM tiny AS a\nARG X=x\nENV Y=y\nFROM tiny\nRUN echo "<$X> <$Y>" > /o\n', look="cat /o"),
    Case(
        "scope-env-over-arg",
        "FROM tiny\nARG V=a\nENV V=e\nRUN echo $V > /o\n",
        look="cat /o; echo $V",
        options=("--build-arg", "V=c"),
    ),
    Case("scope-arg-over-env", "FROM tiny\nENV V=e\nARG V=a\nRUN echo $V > /o\n", look="cat /o; echo $V"),
    Case("scope-arg-no-value", "FROM tiny\nENV V=e\nARG V\nRUN echo $V > /o\n", look="cat /o"),
    Case("scope-unknown-arg", 'FROM tiny\nRUN echo "<$V>" > /o\n', look="cat /o", options=("--build-arg", "V=c")),
    Case(
        "scope-arg-of-arg",
        "FROM tiny\nARG A=1\nARG B=${A}2\nRUN echo $B > /o\n",
        look="cat /o",
        options=("--build-arg", "A=9"),
    ),
    Case(
        "scope-several",
        'FROM tiny\nARG A=1 B=$A C\nRUN echo "$A|$B|$C" > /o\n',
        look="cat /o",
        options=("--build-arg", "C=c"),
        expect="1|1|c\n",
        why="BuildKit, dispatchArg: each sees those before it; in Docker 20.10 B is empty",
    ),
    Case(
        "scope-arg-before-declared",
        "FROM tiny\nUSER ${U:-nobody}\nARG U\nUSER $U\n",
        say=("User",),
        options=("--build-arg", "U=0"),
    ),
    Case(
        "scope-proxy",
        'FROM tiny\nRUN echo "<$http_proxy><$HTTP_PROXY>" > /o\n',
        look='cat /o; echo "<$http_proxy>"',
        options=("--build-arg", "http_proxy=p"),
    ),
    Case(
        "scope-platform",
        "FROM --platform=$BUILDPLATFORM tiny\nARG TARGETPLATFORM\nARG BUILDOS\nARG TARGETOS TARGETARCH\n"
        'RUN test $TARGETOS/$TARGETARCH = $TARGETPLATFORM && echo $BUILDOS "<$BUILDARCH>" > /o\n',
        look="cat /o",
    ),
    Case(
        "scope-path-scratch",
        "FROM tiny AS t\nFROM scratch\nCOPY --from=t /bin /bin\nENV PATH=/app:$PATH\n",
        say=("Env",),
    ),
    Case("scope-empty-from", "ARG X\nFROM $X\n", words=("line 2", "--build-arg")),
    Case(
        "scope-unused-stage",
        "FROM nowhere/at:all AS x\nRUN false\nFROM tiny AS y\nRUN false\nFROM tiny\nRUN echo a > /o\n",
        look="cat /o",
    ),
    Case(
        "scope-target",
        "FROM tiny AS a\nRUN echo a > /o\nFROM a AS b\nRUN false\n",
        look="cat /o",
        options=("--target", "a"),
    ),
    Case("scope-target-unknown", "FROM tiny AS a\n", options=("--target", "z"), words=("z", "a")),
    Case(
        "scope-later-stage",
        "FROM tiny\nCOPY --from=b /o /o\nFROM tiny AS b\nRUN echo a > /o\n",
        options=("--target", "0"),
        words=("b",),
    ),
    Case("scope-own-stage", "FROM tiny AS a\nCOPY --from=a /etc /x\n", words=("a",)),
    Case("scope-stage-number", "FROM tiny\nRUN echo a > /o\nFROM tiny\nCOPY --from=0 /o /p\n", look="cat /p"),
    Case("scope-stage-number-too-large", "FROM tiny\nCOPY --from=7 /o /p\n", words=("7",)),
    Case("scope-from-variable", "FROM tiny AS a\nARG X=a\nCOPY --from=$X /etc /x\n", words=("--from", "variable")),
    # ---- configuration
    Case("config-cmd-entrypoint", 'FROM tiny\nCMD ["a"]\nENTRYPOINT ["echo"]\n', say=_CONFIG),
    Case("config-entrypoint-resets", 'FROM tiny AS b\nCMD ["a"]\nFROM b\nENTRYPOINT ["echo"]\n', say=_CONFIG),
    Case("config-entrypoint-resets-base", 'FROM tiny\nENTRYPOINT ["echo"]\n', say=_CONFIG),
    Case("config-cmd-after", 'FROM tiny AS b\nENTRYPOINT ["echo"]\nFROM b\nCMD ["x"]\n', say=_CONFIG),
    Case("config-shell-forms", 'FROM tiny\nSHELL ["sh", "-ec"]\nCMD a b\nENTRYPOINT c $d "e"\n', say=_CONFIG),
    Case(
        "config-empty-lists",
        'FROM tiny AS b\nENTRYPOINT ["x"]\nCMD ["y"]\nFROM b\nENTRYPOINT []\nCMD []\n',
        say=_CONFIG,
    ),
    Case("config-shell-run", 'FROM tiny\nSHELL ["sh", "-c", "echo shell: $0 > /o"]\nRUN x\n', look="cat /o"),
    Case(
        "config-healthcheck",
        "FROM tiny\nHEALTHCHECK --interval=5s --timeout=1m30s --start-period=2s --retries=4 CMD test -e /\n",
        say=("Healthcheck",),
    ),
    Case("config-healthcheck-list", 'FROM tiny\nHEALTHCHECK CMD ["a", "b"]\n', say=("Healthcheck",)),
    Case("config-healthcheck-none", "FROM tiny\nHEALTHCHECK CMD x\nHEALTHCHECK NONE\n", say=("Healthcheck",)),
    Case("config-healthcheck-nonsense", "FROM tiny\nHEALTHCHECK x\n", words=("line 2", "CMD")),
    Case("config-healthcheck-time", "FROM tiny\nHEALTHCHECK --interval=5q CMD x\n", words=("line 2", "5q")),
    Case("config-healthcheck-short", "FROM tiny\nHEALTHCHECK --interval=5us CMD x\n", words=("line 2", "1ms")),
    Case(
        "config-onbuild",
        "FROM tiny AS b\nONBUILD ENV A=b\nONBUILD RUN echo a > /o\nRUN test ! -e /o\nFROM b\nRUN echo $A >> /o\n",
        look="cat /o",
        say=("OnBuild",),
    ),
    Case("config-onbuild-kept", "FROM tiny\nONBUILD COPY a /x\n", say=("OnBuild",)),
    Case("config-maintainer", "FROM tiny\nMAINTAINER Some One <a@example.org>\n", say=("Author", "Labels")),
    Case("config-workdir-relative", "FROM tiny\nWORKDIR a\nWORKDIR b\n", say=("WorkingDir",), look="pwd"),
    Case("config-workdir-owner", "FROM tiny\nUSER 1000:1001\nWORKDIR /x/y\n", look="stat -c '%u:%g %a' /x /x/y"),
    Case(
        "config-workdir-link",
        "FROM tiny\nRUN mkdir /real && ln -s real /l\nWORKDIR /l/sub\n",
        look="readlink /l; ls /real",
    ),
    Case("config-user-run", "FROM tiny\nUSER 1000\nRUN id -u > /tmp/o\n", look="cat /tmp/o"),
    Case("config-label-option", "FROM tiny\nLABEL a=1 b=1\n", say=("Labels",), options=("--label", "b=2")),
    Case("config-volume-then-run", "FROM tiny\nRUN mkdir /v\nVOLUME /v\nRUN echo a > /v/o\n", look="cat /v/o"),
    # ---- COPY
    Case("copy-file", "FROM tiny\nCOPY a /x/\nCOPY b /x/c\nCOPY run.sh /x\n", _TREE, look=_MODES),
    Case("copy-directory", "FROM tiny\nCOPY d /x\n", _TREE, look=_MODES),
    Case("copy-directory-slash", "FROM tiny\nCOPY d/ /x/\n", _TREE, look=_MODES),
    Case("copy-all", "FROM tiny\nWORKDIR /x\nCOPY . .\n", _TREE, look=_SHOW),
    Case("copy-several", "FROM tiny\nCOPY a b d /x/\n", _TREE, look=_SHOW),
    Case("copy-into-directory", "FROM tiny\nRUN mkdir /x\nCOPY a /x\nCOPY b d /x/\n", _TREE, look=_SHOW),
    Case("copy-several-into-directory", "FROM tiny\nRUN mkdir /x\nCOPY a b /x\n", _TREE, look=_SHOW),
    Case(
        "copy-several-to-file",
        "FROM tiny\nCOPY a b /x\n",
        _TREE,
        fails=("line 2", "/x/"),
        why="the reference, COPY; Docker takes the last",
    ),
    Case("copy-pattern", "FROM tiny\nCOPY [ab] /x/\nCOPY d/* /x/d/\nCOPY r?n.* /x/\n", _TREE, look=_SHOW),
    Case("copy-pattern-in-middle", "FROM tiny\nCOPY */in /x/\n", {**_TREE, "e/in": "e\n"}, look=_SHOW + "; cat /x/in"),
    Case("copy-pattern-nothing", "FROM tiny\nCOPY a none* /x/\n", _TREE, look=_SHOW),
    Case("copy-pattern-negated", "FROM tiny\nCOPY [^a] /x/\n", {"a": "", "b": "", "c": ""}, look=_SHOW),
    Case("copy-pattern-escaped", "FROM tiny\nCOPY a[[]b].txt /x/\n", {"a[b].txt": "x"}, look=_SHOW),
    Case("copy-missing", "FROM tiny\nCOPY none /x/\n", _TREE, words=("line 2", "none")),
    Case("copy-outside", "FROM tiny\nCOPY ../a /x/\n", {"sub/a": "a"}, words=("line 2", "a")),
    Case("copy-above-stays", "FROM tiny\nCOPY ../a /x/\nCOPY /b /x/\n", _TREE, look=_SHOW),
    Case("copy-link", "FROM tiny\nCOPY la ld /x/\n", {**_TREE, "la": ("link", "a"), "ld": ("link", "d")}, look=_MODES),
    Case(
        "copy-link-inside",
        "FROM tiny\nCOPY d /x\n",
        {**_TREE, "d/l": ("link", "/etc/passwd"), "d/m": ("link", "deep")},
        look="readlink /x/l; readlink /x/m",
    ),
    Case("copy-link-nowhere", "FROM tiny\nCOPY l /x\n", {"l": ("link", "none")}, words=("line 2", "l")),
    Case("copy-link-on-the-way", "FROM tiny\nCOPY ld/in /x/\n", {**_TREE, "ld": ("link", "d")}, look=_SHOW),
    Case(
        "copy-to-link",
        "FROM tiny\nRUN mkdir /r && ln -s /r /x && echo k > /f && ln -s f /l\nCOPY a /x/\nCOPY b /x\nCOPY d /x\n"
        "COPY a /l\n",
        _TREE,
        look="find /r | sort; readlink /x; readlink /l; cat /f",
    ),
    Case("copy-to-dangling-link", "FROM tiny\nRUN ln -s /r/s /x\nCOPY a /x\n", _TREE, look="readlink /x; cat /r/s"),
    Case("copy-over-directory", "FROM tiny\nRUN mkdir -p /x/a\nCOPY a /x\n", _TREE, words=("line 3", "/x/a")),
    Case("copy-directory-over-file", "FROM tiny\nRUN echo > /x\nCOPY d /x\n", _TREE, words=("line 3", "/x")),
    Case("copy-into-file", "FROM tiny\nRUN echo > /x\nCOPY a /x/\n", _TREE, words=("line 3", "/x")),
    Case(
        "copy-merge-keeps",
        "FROM tiny\nRUN mkdir /x && chmod 1777 /x && chown 5:6 /x && echo k > /x/k\nCOPY d /x\n",
        _TREE,
        look=_MODES,
    ),
    Case("copy-made-directories", "FROM tiny\nCOPY a /x/1/2/3/\nCOPY --chown=7:8 a /x/4/5\n", _TREE, look=_MODES),
    Case(
        "copy-chown",
        "FROM tiny\nCOPY --chown=7 a /x/1\nCOPY --chown=7:8 d /x/2\nCOPY --chown=nobody a /x/3\n",
        _TREE,
        look="stat -c '%u:%g' /x /x/1 /x/2 /x/2/in; stat -c %u /x/3",
    ),
    Case(
        "copy-chown-unknown",
        "FROM tiny\nCOPY --chown=stranger a /x\n",
        _TREE,
        fails=("line 2", "stranger"),
        why="Docker 20.10 silently takes root; later versions refuse",
    ),
    Case(
        "copy-chmod",
        "FROM tiny\nCOPY --chmod=751 a /x/1\nCOPY --chmod=750 d /x/2\nCOPY --chmod=644 d/deep /x/3\n",
        _TREE,
        look=_MODES,
    ),
    Case(
        "copy-chmod-set-user-id",
        "FROM tiny\nCOPY --chmod=4755 a /x\n",
        _TREE,
        look="stat -c %a /x",
        expect="4755\n",
        why="it was asked for; Docker 20.10 makes 755 of it",
    ),
    Case(
        "copy-chmod-nonsense",
        "FROM tiny\nCOPY --chmod=9 a /x\n",
        _TREE,
        fails=("line 2", "octal"),
        why="Docker 20.10 overlooks it; later versions refuse",
    ),
    Case(
        "copy-chmod-too-large",
        "FROM tiny\nCOPY --chmod=77777 a /x\n",
        _TREE,
        fails=("line 2", "7777"),
        why="Docker 20.10 overlooks it; later versions refuse",
    ),
    Case(
        "copy-chmod-symbolic",
        "FROM tiny\nCOPY --chmod=u=rwX,go=rX d /x\nCOPY --chmod=a+x,o-r a /x/\n",
        _TREE,
        look="stat -c '%n %a' /x/in /x/deep /x/a",
        expect="/x/in 644\n/x/deep 755\n/x/a 751\n",
        why="the reference, COPY --chmod",
    ),
    Case(
        "copy-from-owners",
        "FROM tiny AS s\nRUN mkdir /o && echo > /o/f && chown 3:4 /o /o/f && chmod 640 /o/f\nFROM tiny\n"
        "COPY --from=s /o /x\n"
        "COPY --from=s /o/f /x/g\nCOPY --from=s --chown=5:6 /o/f /x/h\n",
        look=_MODES,
    ),
    Case(
        "copy-from-pattern",
        "FROM tiny AS s\nRUN mkdir /o && touch /o/a1 /o/a2 /o/b\nFROM tiny\nCOPY --from=s /o/a* /x/\n"
        "COPY --from=s /o/b* /x/c\n",
        look=_SHOW,
    ),
    Case(
        "copy-from-relative",
        "FROM tiny AS s\nWORKDIR /w\nRUN echo a > o\nFROM tiny\nCOPY --from=s w/o /x/\n",
        look=_SHOW,
    ),
    Case(
        "copy-from-link",
        "FROM tiny AS s\nRUN mkdir /r && echo a > /r/o && ln -s /r /l && ln -s /r/o /m\nFROM tiny\n"
        "COPY --from=s /l/o /m /x/\n"
        "COPY --from=s /l /x/d\n",
        look=_SHOW,
    ),
    Case("copy-from-missing", "FROM tiny AS s\nFROM tiny\nCOPY --from=s /none /x\n", words=("line 3", "none")),
    Case(
        "copy-from-hard-link",
        "FROM tiny AS s\nRUN mkdir /o && echo a > /o/a && ln /o/a /o/b\nFROM tiny\nCOPY --from=s /o /x\n",
        look="stat -c %h /x/a",
    ),
    Case(
        "copy-etc-hosts",
        "FROM tiny\nCOPY a /etc/hosts\nCOPY b /etc/resolv.conf\nFROM tiny\n"
        "COPY --from=0 /etc/hosts /etc/resolv.conf /x/\n",
        _TREE,
        look="cat /x/hosts /x/resolv.conf",
    ),
    Case("copy-after-volume", "FROM tiny\nVOLUME /x\nCOPY a /x/\n", _TREE, look=_SHOW),
    Case(
        "copy-scratch",
        "FROM tiny AS t\nFROM scratch\nCOPY a /p/q\nCOPY --from=t /bin /bin\n",
        _TREE,
        look="stat -c '%a %u' /p; stat -c '%a %u' /p/q",
    ),
    Case("copy-onto-root", "FROM tiny\nCOPY d /\n", _TREE, look="cat /in; ls /deep; stat -c '%a %u' /"),
    Case("copy-dot-forms", "FROM tiny\nWORKDIR /x\nCOPY a ./\nCOPY b .\nCOPY ./d/./in ./y/../z\n", _TREE, look=_SHOW),
    Case(
        "copy-link-option",
        "FROM tiny\nRUN mkdir /r && ln -s /r /x\nCOPY --link a /x/\n",
        _TREE,
        look="stat -c %F /x; ls /x /r",
        expect="directory\n/r:\n\n/x:\na\n",
        why="the reference, COPY --link",
    ),
    Case(
        "copy-parents",
        "FROM tiny\nCOPY --parents ./d/deep/er a /x/\nCOPY --parents d/./deep/er /y/\n",
        _TREE,
        look="find /x /y | sort",
        expect="/x\n/x/a\n/x/d\n/x/d/deep\n/x/d/deep/er\n/y\n/y/deep\n/y/deep/er\n",
        why="the reference, COPY --parents",
    ),
    Case(
        "copy-exclude",
        "FROM tiny\nCOPY --exclude=d/deep --exclude=*.sh . /x/\n",
        {**_TREE, ".dockerignore": "Dockerfile\n.dockerignore\n"},
        look=_SHOW,
        expect="/x\n/x/a\n/x/b\n/x/d\n/x/d/in\n",
        why="the reference, COPY --exclude",
    ),
    # ---- ADD
    Case(
        "add-archive",
        "FROM tiny\nADD t.tgz /x/\nCOPY t.tgz /x/\n",
        {"t.tgz": _tar(("s", 0o750, 3, None), ("s/f", 0o640, 3, "f"))},
        look=_MODES,
    ),
    Case(
        "add-archive-chown",
        "FROM tiny\nADD --chown=7:8 t.tgz /x/\n",
        {"t.tgz": _tar(("s", 0o750, 3, None), ("s/f", 0o640, 3, "f"))},
        look=_MODES,
        expect=". 755 7:8\n./s 750 7:8\n./s/f 640 7:8\n",
        why="the reference, ADD --chown; Docker 20.10 takes it for the directory alone",
    ),
    Case("add-archive-no-slash", "FROM tiny\nADD t.tgz /x\n", {"t.tgz": _tar(("f", 0o640, 3, "f"))}, look=_MODES),
    Case("add-broken", "FROM tiny\nADD t.tgz /x/\n", {"t.tgz": "no archive"}, look=_SHOW),
    Case(
        "add-archive-over-link",
        "FROM tiny\nRUN mkdir -p /x/r && ln -s r /x/s\nADD t.tgz /x/\n",
        {"t.tgz": _tar(("s/f", 0o640, 3, "f"))},
        look="find /x | sort; readlink /x/s",
    ),
    Case(
        "add-git",
        "FROM tiny\nADD https://example.org/a/b.git /x\n",
        fails=("line 2", "git"),
        why="git is not fetched here",
    ),
    Case(
        "add-checksum-local",
        "FROM tiny\nADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 a /x\n",
        _TREE,
        fails=("line 2", "checksum"),
        why="the reference, ADD --checksum",
    ),
    # ---- .dockerignore
    Case("ignore-star", "FROM tiny\nCOPY . /x/\n", {**_TREE, ".dockerignore": "*\n!d\n!a\n"}, look=_SHOW),
    Case(
        "ignore-deep",
        "FROM tiny\nCOPY . /x/\n",
        {"a.py": "", "s/b.py": "", "s/t/c.py": "", "s/t/d.txt": "", ".dockerignore": "**\n!**/*.py\n"},
        look=_SHOW,
        expect="/x\n/x/a.py\n/x/s\n/x/s/b.py\n/x/s/t\n/x/s/t/c.py\n",
        why="moby/patternmatcher, which Docker 20.10 has not yet",
    ),
    Case(
        "ignore-order",
        "FROM tiny\nCOPY . /x/\n",
        {**_TREE, ".dockerignore": "!d/in\nd\n*ignore\nDocker*\n"},
        look=_SHOW,
        expect="/x\n/x/a\n/x/b\n/x/run.sh\n",
        why="moby/patternmatcher; Docker 20.10 makes an empty d, too",
    ),
    Case("ignore-back-inside", "FROM tiny\nCOPY d /x/\n", {**_TREE, ".dockerignore": "d\n!d/deep/er\n"}, look=_SHOW),
    Case(
        "ignore-slashes",
        "FROM tiny\nCOPY . /x/\n",
        {**_TREE, "e/in": "", ".dockerignore": "/d/\ne/in/\n./a\n# b\n  run.sh  \nD*\n.d*\n"},
        look=_SHOW,
    ),
    Case(
        "ignore-named",
        "FROM tiny\nCOPY ignored /x\n",
        {"ignored": "x", ".dockerignore": "ignored\n"},
        words=("line 2", "ignored", ".dockerignore"),
    ),
    Case("ignore-pattern", "FROM tiny\nCOPY i* /x/\n", {"i1": "x", "i2": "y", ".dockerignore": "i1\n"}, look=_SHOW),
    Case(
        "ignore-double-star-middle",
        "FROM tiny\nCOPY . /x/\n",
        {"p/q/r/z": "", "p/z": "", "p/q/y": "", ".dockerignore": "p/**/z\nDockerfile\n"},
        look=_SHOW,
    ),
    Case(
        "ignore-double-star-end",
        "FROM tiny\nCOPY . /x/\n",
        {"p/q/z": "", "p/y": "", ".dockerignore": "p/**\n*ocker*\n"},
        look=_SHOW,
    ),
    Case(
        "ignore-question-class",
        "FROM tiny\nCOPY . /x/\n",
        {"f1": "", "f2": "", "fx": "", "g1": "", ".dockerignore": "f[0-9]\n?1\n*ocker*\n"},
        look=_SHOW,
    ),
    Case("ignore-bad", "FROM tiny\nCOPY . /x/\n", {".dockerignore": "[\n"}, words=(".dockerignore", "[")),
    Case("ignore-only-exclamation", "FROM tiny\nCOPY . /x/\n", {".dockerignore": "!\n"}, words=(".dockerignore", "!")),
    Case(
        "ignore-bom-crlf", "FROM tiny\nCOPY . /x/\n", {**_TREE, ".dockerignore": "\ufeffd\r\n*ocker*\r\n"}, look=_SHOW
    ),
    # ---- RUN --mount, --network
    Case(
        "mount-cache",
        "FROM tiny\nRUN --mount=type=cache,target=/c,id=case-1 echo 1 >> /c/f; stat -c %a /c > /o\n"
        "RUN --mount=type=cache,dst=/d,id=case-1 cat /d/f | head -1 >> /o\n",
        look="cat /o; find /c /d -mindepth 1 2>/dev/null; true",
    ),
    Case(
        "mount-bind",
        "FROM tiny\n"
        "RUN --mount=target=/s cat /s/a > /o; stat -c %u:%g /s/a >> /o; echo > /s/n 2>/dev/null || echo ro >> /o\n"
        "RUN --mount=type=bind,source=d/in,target=/t cat /t >> /o\n",
        _TREE,
        look="cat /o",
    ),
    Case(
        "mount-bind-rw",
        "FROM tiny\nRUN --mount=target=/s,rw echo n > /s/a && cat /s/a > /o\nRUN --mount=target=/s cat /s/a >> /o\n",
        _TREE,
        look="cat /o",
    ),
    Case(
        "mount-bind-from",
        "FROM tiny AS b\nRUN mkdir /q && echo q > /q/f\nFROM tiny\n"
        "RUN --mount=from=b,source=/q,target=/m cat /m/f > /o\n",
        look="cat /o",
    ),
    Case(
        "mount-relative",
        "FROM tiny\nWORKDIR /w\nRUN --mount=source=a,target=n/a cat /w/n/a > /o\n",
        _TREE,
        look="cat /o",
    ),
    Case(
        "mount-tmpfs",
        "FROM tiny\nRUN --mount=type=tmpfs,target=/t echo > /t/x && df /t | tail -1 | cut -d' ' -f1 > /o\n",
        look="cat /o; ls -A /t 2>/dev/null; true",
    ),
    Case(
        "mount-secret",
        "FROM tiny\nRUN --mount=type=secret,id=s cat /run/secrets/s > /o; stat -c %a /run/secrets/s >> /o\n"
        "RUN --mount=type=secret,id=s,target=/k,mode=0444,uid=5 stat -c '%a %u' /k >> /o\n"
        "RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n",
        {"sec": "S\n"},
        look="cat /o; cat /run/secrets/s /k 2>/dev/null; true",
        options=("--secret", "id=s,src={context}/sec"),
    ),
    Case(
        "mount-secret-required", "FROM tiny\nRUN --mount=type=secret,id=none,required true\n", words=("line 2", "none")
    ),
    Case(
        "mount-target-default",
        "FROM tiny\nWORKDIR /w\nRUN --mount=type=bind cat a > /o\nRUN --mount=source=d cat in >> /o\n",
        _TREE,
        look="cat /o; ls -A /w",
    ),
    Case(
        "mount-variable",
        "FROM tiny\nARG D=/s\nRUN --mount=source=a,target=$D cat $D > /o\n",
        _TREE,
        look="cat /o",
        expect="a\n",
        why="the reference, RUN --mount; since Dockerfile 1.7",
    ),
    Case("mount-type-unknown", "FROM tiny\nRUN --mount=type=foo,target=/x true\n", words=("line 2", "foo")),
    Case("mount-key-unknown", "FROM tiny\nRUN --mount=type=cache,target=/x,foo=1 true\n", words=("line 2", "foo")),
    Case("mount-no-target", "FROM tiny\nRUN --mount=type=cache true\n", words=("line 2", "target")),
    Case("mount-ssh", "FROM tiny\nRUN --mount=type=ssh true\n", fails=("line 2", "ssh"), why="ssh is refused by name"),
    Case(
        "run-network-none",
        "FROM tiny\nRUN --network=none ls /sys/class/net > /o\n",
        look="cat /o",
        expect="lo\n",
        why="the reference, RUN --network",
    ),
    Case("run-network-nonsense", "FROM tiny\nRUN --network=foo true\n", words=("line 2", "foo")),
    Case(
        "run-security", "FROM tiny\nRUN --security=insecure true\n", fails=("line 2", "insecure"), why="refused by name"
    ),
    Case("run-fails", "FROM tiny\nRUN exit 3\n", words=("line 2", "3")),
    Case("run-nothing-yet", "FROM scratch\nRUN true\n", words=("line 2",)),
    Case("run-stdin-empty", "FROM tiny\nRUN cat > /o; wc -c < /o > /p\n", look="cat /p"),
    Case("run-umask", "FROM tiny\nRUN umask > /o; mkdir /x; touch /x/f\n", look="cat /o; " + _MODES),
    Case(
        "run-not-utf8",
        b"FROM tiny\nRUN printf 'caf\xe9' | wc -c > /o\n",
        look="cat /o",
        expect="4\n",
        why="bytes stay as they are; Docker puts U+FFFD in their place",
    ),
    # ---- what people write
    Case("habit-path", "FROM tiny\nENV PATH=$PATH:/x HOME=/h\nRUN echo $PATH $HOME > /o\n", look="cat /o"),
    Case(
        "habit-home",
        "FROM tiny\nRUN echo $HOME > /o\nUSER nobody\nRUN echo $HOME $USER > /tmp/o\n",
        look="cat /o /tmp/o",
    ),
    Case("habit-no-blank", "FROM tiny\nRUN true&&\\\necho a&&\\\n  echo b>/o\n", look="cat /o"),
    Case(
        "habit-continued-comment",
        "FROM tiny\nRUN echo a \\\n# one\n  # two \\\n  b > /o \\\n\n\nENV A=1\n",
        look="cat /o",
        say=("Env",),
    ),
    Case(
        "habit-label-lines", 'FROM tiny\nLABEL a="1" \\\n      b="2 3" \\\n      # c\n      d=\'4\'\n', say=("Labels",)
    ),
    Case("habit-expose-variable", "FROM tiny\nENV P=80\nEXPOSE $P/tcp ${P}81 ${Q:-53}/udp\n", say=("ExposedPorts",)),
    Case("habit-copy-variable", "FROM tiny\nARG V=a D=/x U=5\nCOPY --chown=$U:$U ${V} ${D}/$V\n", _TREE, look=_MODES),
    Case("habit-entrypoint-list-variable", 'FROM tiny\nENV A=1\nENTRYPOINT ["echo", "$A"]\nCMD $A\n', say=_CONFIG),
    Case(
        "habit-hash-in-value",
        "FROM tiny\nENV A=a#b B='#c' C=\"# d\"\nRUN echo '#' \"#x\" > /o\n",
        look="cat /o",
        say=("Env",),
    ),
    Case("habit-equals-in-value", 'FROM tiny\nENV A=b=c D= E="-Dx=y -Dz"\nARG F=g=h\nENV G=$F\n', say=("Env",)),
    Case(
        "habit-url-in-env", "FROM tiny\nARG V=1.2\nENV U=https://example.org/${V}/x-$V.tar.gz?a=b&c=d\n", say=("Env",)
    ),
    Case("habit-quotes-in-run", 'FROM tiny\nRUN echo "a \'b\' \\"c\\"" \'d "e"\' \\\\ > /o\n', look="cat /o"),
    Case(
        "habit-semicolons",
        "FROM tiny\nRUN set -eux; \\\n\tx=1; \\\n\t\\\n\tcase $x in 1) echo one ;; *) exit 1 ;; esac > /o; \\\n"
        "\techo done >> /o\n",
        look="cat /o",
    ),
    Case(
        "habit-printf", 'FROM tiny\nRUN printf \'a\\nb\\n\' > /o && printf "%s\\n" "$(echo c)" >> /o\n', look="cat /o"
    ),
    Case("habit-run-list-variables", 'FROM tiny\nENV A=1\nRUN ["/bin/sh", "-c", "echo ${A} > /o"]\n', look="cat /o"),
    Case(
        "habit-shell-inherited",
        'FROM tiny AS b\nSHELL ["/bin/sh", "-ec"]\nFROM b\nRUN echo $- > /o\nCMD x\n',
        look="grep -c e /o",
        say=("Cmd", "Shell"),
    ),
    Case(
        "habit-env-inherited",
        "FROM tiny AS b\nENV A=1\nFROM b AS c\nENV B=$A$A\nFROM c\nRUN echo $A $B > /o\n",
        look="cat /o; echo $A $B",
    ),
    Case("habit-cmd-inherited", 'FROM tiny AS b\nENTRYPOINT ["a"]\nCMD ["b"]\nFROM b\nENV X=1\n', say=_CONFIG),
    Case(
        "habit-stage-name-case",
        "FROM tiny AS Build\nRUN echo a > /o\nFROM tiny\nCOPY --from=build /o /p\n",
        look="cat /p",
    ),
    Case(
        "habit-stage-shadows",
        "FROM tiny AS a\nRUN echo 1 > /o\nFROM a AS b\nRUN echo 2 >> /o\nFROM b\nRUN echo 3 >> /o\n",
        look="cat /o",
    ),
    Case(
        "habit-two-stages-one-name",
        "FROM tiny AS a\nRUN echo 1 > /o\nFROM tiny AS a\nRUN echo 2 > /o\nFROM a\n",
        look="cat /o",
    ),
    Case(
        "habit-from-stage-number",
        "FROM tiny\nRUN echo a > /o\nFROM tiny\nCOPY --from=0 /o /o\nFROM tiny\nCOPY --from=1 /o /p\n",
        look="cat /p",
    ),
    Case(
        "habit-workdir-then-copy",
        "FROM tiny\nWORKDIR /app\nCOPY a b ./\nCOPY d ./d\nCOPY d/in d/deep/er ./e/\n",
        _TREE,
        look="cd /app && find . | sort",
    ),
    Case("habit-copy-slash-directory", "FROM tiny\nCOPY d/ /x/d/\nCOPY d /x/e\nCOPY d/deep /x\n", _TREE, look=_SHOW),
    Case("habit-copy-twice", "FROM tiny\nCOPY a /x/f\nCOPY b /x/f\nRUN echo c >> /x/f\n", _TREE, look="cat /x/f"),
    Case("habit-copy-empty-directory", "FROM tiny\nCOPY e /x/e\nCOPY e /y\n", {"e": None}, look="find /x /y | sort"),
    Case(
        "habit-copy-hidden",
        "FROM tiny\nCOPY . /x/\nCOPY .h* /y/\n",
        {".hidden": "h", ".hd/f": "f", "v": "v"},
        look="find /x /y | sort",
    ),
    Case(
        "habit-copy-executable",
        "FROM tiny\nCOPY run.sh /x/\nCOPY s /x/s\n",
        {"run.sh": ("x", 0o755), "s": ("x", 0o4711)},
        look="stat -c %a /x/run.sh; stat -c %a /x/s",
    ),
    Case(
        "habit-copy-private",
        "FROM tiny\nCOPY . /x/\n",
        {"k": ("x", 0o600), "p/f": ("x", 0o640)},
        look="stat -c '%a %u' /x/k; stat -c '%a %u' /x/p/f",
    ),
    Case(
        "habit-copy-times",
        "FROM tiny\nCOPY a /x\nRUN test $(stat -c %Y /x) -gt 1000000000 && echo ok > /o\n",
        _TREE,
        look="cat /o",
    ),
    Case("habit-add-directory", "FROM tiny\nADD d /x/\nADD a b /x/\n", _TREE, look=_SHOW),
    Case(
        "habit-add-link",
        "FROM tiny\nADD l /x/\n",
        {"t.tgz": _tar(("f", 0o640, 3, "f")), "l": ("link", "t.tgz")},
        look=_SHOW,
    ),
    Case(
        "habit-add-dot-archive",
        "FROM tiny\nADD t.tgz /x\n",
        {"t.tgz": _tar(("./", 0o700, 4, None), ("./f", 0o640, 3, "f"))},
        look=_MODES,
    ),
    Case(
        "habit-add-onto-root",
        "FROM tiny\nADD t.tgz /\n",
        {"t.tgz": _tar(("etc/added", 0o644, 0, "f"), ("n/f", 0o600, 0, "f"))},
        look="cat /etc/added; stat -c '%a %u' /etc; stat -c '%a %u' /n",
    ),
    Case(
        "habit-add-gz-file",
        "FROM tiny\nADD f.gz /x/\n",
        {"f.gz": _gzip("hello\n")},
        look=_SHOW,
    ),
    Case(
        "habit-scratch-from-stage",
        "FROM tiny AS b\nRUN mkdir -p /o/etc && echo x > /o/etc/f && chown -R 9:9 /o\nFROM scratch\n"
        "COPY --from=b /o /\nCOPY --from=b /bin /bin\n",
        look="cat /etc/f",
    ),
    Case(
        "habit-user-then-copy",
        "FROM tiny\nUSER 1000\nCOPY a /x\nWORKDIR /w\nCOPY a .\n",
        _TREE,
        look="stat -c %u /x; stat -c %u /w; stat -c %u /w/a",
    ),
    Case("habit-volume-list-variable", 'FROM tiny\nENV D=/d\nVOLUME ["$D", "/e"]\n', say=("Volumes",)),
    Case("habit-stopsignal-rt", "FROM tiny\nSTOPSIGNAL SIGRTMIN+3\n", say=("StopSignal",)),
    Case("habit-stopsignal-lower", "FROM tiny\nSTOPSIGNAL sigterm\n", say=("StopSignal",)),
    Case(
        "habit-stopsignal-large",
        "FROM tiny\nSTOPSIGNAL 99\n",
        fails=("line 2", "99"),
        why="signal(7): there are 64; Docker takes any number",
    ),
    Case(
        "habit-onbuild-several",
        "FROM tiny AS b\nONBUILD ARG X=1\nONBUILD ENV Y=$X\nONBUILD WORKDIR /w\nONBUILD COPY a .\n"
        "ONBUILD RUN echo $Y >> a\nFROM b\n",
        _TREE,
        look="pwd; cat a",
    ),
    Case(
        "habit-ignore-dockerfile",
        "FROM tiny\nCOPY . /x/\n",
        {"a": "", ".dockerignore": "Dockerfile*\n.dockerignore\n"},
        look=_SHOW,
    ),
    Case(
        "habit-ignore-node",
        "FROM tiny\nCOPY . /x/\n",
        {
            "src/i.js": "",
            "node_modules/m/i.js": "",
            "p/node_modules/n.js": "",
            "p/k.js": "",
            ".git/HEAD": "",
            "x.log": "",
            ".dockerignore": "**/node_modules\n.git\n*.log\n.dockerignore\nDockerfile\n",
        },
        look=_SHOW,
    ),
    Case(
        "habit-ignore-allow-list",
        "FROM tiny\nCOPY . /x/\n",
        {"src/a": "", "src/b/c": "", "x": "", "y/z": "", ".dockerignore": "/*\n!/src\n!y/z\nsrc/b\n"},
        look=_SHOW,
        expect="/x\n/x/src\n/x/src/a\n/x/y\n/x/y/z\n",
        why="moby/patternmatcher",
    ),
    Case(
        "habit-ignore-then-link",
        "FROM tiny\nCOPY l /x\n",
        {"real": "r", "l": ("link", "real"), ".dockerignore": "real\n"},
        words=("line 2", "l"),
    ),
    Case(
        "habit-run-writes-etc",
        "FROM tiny\nRUN echo a > /etc/made && mkdir -p /etc/d && echo 127.0.0.1 x >> /etc/hosts; true\n",
        look="cat /etc/made; grep -c ' x$' /etc/hosts; ls -d /etc/d",
    ),
    Case(
        "habit-run-devices",
        "FROM tiny\nRUN echo a > /dev/null && head -c 3 /dev/zero | wc -c > /o && echo b > /dev/stderr\n",
        look="cat /o",
    ),
    Case(
        "habit-run-tmp",
        "FROM tiny\nRUN echo a > /tmp/f && mkdir -p /run/d /var/run/e && echo b > /run/d/f\n",
        look="cat /tmp/f /run/d/f",
    ),
    Case(
        "habit-run-proc",
        "FROM tiny\nRUN test -d /proc/self && test -d /sys/class && test -c /dev/null && echo ok > /o\n",
        look="cat /o; ls -A /proc/self >/dev/null && echo p",
    ),
    Case(
        "habit-deleted-file",
        "FROM tiny\nRUN echo a > /x && mkdir /d && echo b > /d/f\nRUN rm /x && rm -r /d && mkdir /d\n",
        look="ls /x 2>/dev/null; ls -A /d; echo end",
    ),
    Case("habit-go-path", "FROM tiny\nCOPY github.com/a /x\n", {"github.com/a/f": "f"}, look=_SHOW),
    Case("habit-only-comment-at-end", "FROM tiny\nRUN echo a > /o\n# end", look="cat /o"),
    Case("habit-copy-same-name", "FROM tiny\nCOPY f /f/\nCOPY f/ /g\n", {"f/f": "x"}, look="find /f /g | sort"),
]
