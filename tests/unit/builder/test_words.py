"""Words of a Dockerfile: quotes, escapes and variables, by the rules of BuildKit and of the Dockerfile reference."""

from __future__ import annotations

import pytest

from minict.engine.builder import lexer, modes, mounts, patterns, substitution, words
from minict.runtime.errors import ContainerError

VALUES = {"A": "1", "E": "", "W": "two words", "P": "/usr/lib/x.tar.gz", "S": "a*b?c", "é": "accent"}


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", ""),
        ("plain", "plain"),
        ("$A-${A}-$B-${B}", "1-1--"),
        ("'$A'", "$A"),
        ('"$A"', "1"),
        ("\"'$A'\"", "'1'"),
        ("'\"$A\"'", '"$A"'),
        ("'a'\"b\"c", "abc"),
        ("a\\ b", "a b"),
        ("\\$A $A", "$A 1"),
        ("\\\\$A", "\\1"),
        ("a\\bc", "abc"),
        ("a\\", "a"),
        ('"a\\bc"', "a\\bc"),
        ('"\\"\\$A\\\\"', '"$A\\'),
        ("'a\\bc'", "a\\bc"),
        ("100%$", "100%$"),
        ("$", "$"),
        ("$$", ""),
        ("$(x)", "$(x)"),
        ("a$.b", "a$.b"),
        ("$1x", "x"),
        ("$W", "two words"),
        ("$é", "accent"),
        ("${B:-x}${E:-y}${E-z}", "xy"),
        ("${B-x}", "x"),
        ("${A:+yes}${B:+no}${E:+no}${E+yes}", "yesyes"),
        ("${B:-${A}}", "1"),
        ("${B:-'$A'}", "$A"),
        ('${B:-"a b"}', "a b"),
        ("${B:-a\\}b}", "a}b"),
        ("${B:-$W}", "two words"),
        ("${A:?wrong}", "1"),
        ("${A?wrong}${E?wrong}", "1"),
        ("${P#*/}", "usr/lib/x.tar.gz"),
        ("${P##*/}", "x.tar.gz"),
        ("${P%.*}", "/usr/lib/x.tar"),
        ("${P%%.*}", "/usr/lib/x"),
        ("${P#nothing}", "/usr/lib/x.tar.gz"),
        ("${P#/usr}", "/lib/x.tar.gz"),
        ("${P%%/*}", ""),
        ("${P%/*}", "/usr/lib"),
        ("${P/lib/LIB}", "/usr/LIB/x.tar.gz"),
        ("${P/\\//_}", "_usr/lib/x.tar.gz"),
        ("${P//\\//_}", "_usr_lib_x.tar.gz"),
        ("${P//[/x}", "/usr/lib/x.tar.gz"),
        ("${P/./-}", "/usr/lib/x-tar.gz"),
        ("${P/x*/y}", "/usr/lib/y"),
        ("${P/?sr/}", "//lib/x.tar.gz"),
        ("${S#a\\*}", "b?c"),
        ("${S%\\?c}", "a*b"),
        ("${B#x}${B%x}${B/x/y}", ""),
        ("${E:-}", ""),
    ],
)
def test_one_word(text, expected):
    assert substitution.expand(text, VALUES) == expected


@pytest.mark.parametrize(
    "text,told",
    [
        ("${A", "'}' is missing"),
        ("${", "'}' is missing"),
        ("${}", "name of a variable"),
        ("${:-x}", "name of a variable"),
        ("${A:-x", "'}' is missing"),
        ("${A@Q}", "'@'"),
        ("${A:x}", "':x'"),
        ("${A:", "'}' is missing"),
        ("${A:#x}", "':#'"),
        ("${B:?must be there}", "must be there"),
        ("${B?}", "not set"),
        ("${E:?empty}", "empty"),
        ("'a", "single quote"),
        ('"a', "double quote"),
        ("${A/x}", "'/' is missing"),
        ("${A/x/y", "'}' is missing"),
        ("${A#\\x}", "backslash"),
    ],
)
def test_invalid_words(text, told):
    with pytest.raises(ContainerError, match=told.replace("?", "\\?")):
        substitution.expand(text, VALUES)


def test_another_escape_character():
    assert substitution.expand('`$A a\\b "`$A" "a`b"', VALUES, "`") == "$A a\\b $A a`b"


def test_a_value_can_become_several_words():
    assert substitution.split("a $W 'b c' \"$W\" \\ d", VALUES) == ["a", "two", "words", "b c", "two words", " d"]


def test_a_here_document_has_no_quotes():
    assert substitution.expand_document("'$A' \"${B:-x}\" \\$A", VALUES) == "'1' \"x\" $A"


@pytest.mark.parametrize(
    "text,expected",
    [
        ("a=1 b=2", ["a=1", "b=2"]),
        ("a='x y' b=\"p q\"", ["a='x y'", 'b="p q"']),
        ("a=x\\ y b", ["a=x\\ y", "b"]),
        ("a='x\\' b", ["a='x\\'", "b"]),
        ('a="x\\" y" b', ['a="x\\" y"', "b"]),
        ("  a \t b  ", ["a", "b"]),
        ("a='' \"\"", ["a=''", '""']),
        ("a\\", ["a"]),
        ("", []),
    ],
)
def test_words_keep_their_quotes(text, expected):
    assert words.quoted_words(text, "\\") == expected


@pytest.mark.parametrize(
    "text,expected",
    [
        ("RUN a  b", ("RUN", [], "a  b")),
        ("copy\t--from=x --chown=1 a b", ("copy", ["--from=x", "--chown=1"], "a b")),
        ("RUN --mount='type=bind,source=a b' c", ("RUN", ["--mount=type=bind,source=a b"], "c")),
        ("RUN --a=\\ b -- --c", ("RUN", ["--a= b"], "--c")),
        ("RUN -- x", ("RUN", [], "x")),
        ("RUN -x", ("RUN", [], "-x")),
        ("RUN", ("RUN", [], "")),
    ],
)
def test_an_instruction_and_its_options(text, expected):
    assert words.split_instruction(text, "\\") == expected


@pytest.mark.parametrize("text", ["[a]", "['a']", "[", '["a"', '["a"] b', "a", "[[[", '["\\d"]'])
def test_arguments_that_are_not_a_list_are_a_text(text):
    assert words.json_words(text) is None
    assert words.json_words("[" * 100_000) is None


def test_a_list_has_texts():
    assert words.json_words(' ["a", "b\\tc"]') == ["a", "b\tc"] and words.json_words("[]") == []
    for text in ("[1]", '["a", null]', '[["a"]]'):
        with pytest.raises(ContainerError, match="double quotes"):
            words.json_words(text)


# ---- lines ----------------------------------------------------------------------------------------------------------


def lines(text: str | bytes) -> list[tuple[int, str]]:
    data = text if isinstance(text, bytes) else text.encode()
    return [(line.number, line.text) for line in lexer.read(data).lines]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("A\nB", [(1, "A"), (2, "B")]),
        ("A \\\n b\nC", [(1, "A  b"), (3, "C")]),
        ("A \\\n# c\n\n\\\n b\n", [(1, "A  b")]),
        ("A \\   \nb", [(1, "A b")]),
        ("A \\\\\nb", [(1, "A \\\\"), (2, "b")]),
        ("\n# c\n  A # b\n", [(3, "A # b")]),
        ("\\\nA", [(1, "A")]),
        ("A \\", [(1, "A ")]),
        ("A\\\r\nb\r\n", [(1, "Ab")]),
        (b"\xef\xbb\xbfA \xff\n", [(1, "A \udcff")]),
        ("# escape=`\nA `\nb\\\nC", [(2, "A b\\"), (4, "C")]),
        ("#escape = `\r\n# syntax=x\n# check=skip=all\nA`\nb", [(4, "Ab")]),
        ("# syntax=x\n\n# escape=`\nA`\nb", [(4, "A`"), (5, "b")]),
        ("# unknown=x\n# escape=`\nA`\nb", [(3, "A`"), (4, "b")]),
    ],
)
def test_lines(text, expected):
    assert lines(text) == expected


@pytest.mark.parametrize(
    "text,documents,after",
    [
        ("RUN <<EOF\na\n b\nEOF\nX", [("EOF", "a\n b\n", True)], "X"),
        ("RUN a <<A <<'B'\n1\nA\n2\nB\nX", [("A", "1\n", True), ("B", "2\n", False)], "X"),
        ('COPY <<-"E" /x\n\ta\n\tE\nX', [("E", "\ta\n", False)], "X"),
        ("ADD << E /x\na\nE\nX", [("E", "a\n", True)], "X"),
        ("RUN 3<<E\na\r\nE\r\nX", [("E", "a\r\n", True)], "X"),
        ("ONBUILD RUN <<E\na\nE\nX", [("E", "a\n", True)], "X"),
        ("RUN --mount=target=/x <<E\na \\\n# b\nE\nX", [("E", "a \\\n# b\n", True)], "X"),
    ],
)
def test_here_documents(text, documents, after):
    first, second = lexer.read(text.encode()).lines
    assert [(each.name, each.text, each.expands) for each in first.documents] == documents and second.text == after


@pytest.mark.parametrize(
    "text", ["RUN '<<E'", 'RUN "<<E"', "RUN $((1<<2))", 'RUN ["a", "<<E"]', "ENV A=<<E", "RUN a <<<b", "CMD <<E"]
)
def test_words_that_begin_no_here_document(text):
    assert lexer.read(f"{text}\nX".encode()).lines[0].documents == []


@pytest.mark.parametrize(
    "text,told",
    [
        ("# escape=x\nA", "line 1"),
        ("# syntax=a\n# syntax=b\nA", "line 2"),
        ("A\nRUN <<E\nx\n E\n", "line 2.*E has no end"),
    ],
)
def test_invalid_lines(text, told):
    with pytest.raises(ContainerError, match=told):
        lexer.read(text.encode())


# ---- patterns, modes, mounts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern,name,matches",
    [
        ("*.log", "a.log", True),
        ("*", "a/b", False),
        ("a*b", "ab", True),
        ("?", "é", True),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[^a-c]x", "dx", True),
        ("[\\]]", "]", True),
        ("[a\\-c]", "-", True),
        ("[z-a]", "b", False),
        ("\\*", "*", True),
        ("\\*", "a", False),
        ("a.b", "axb", False),
        ("", "", True),
    ],
)
def test_patterns_of_go(pattern, name, matches):
    assert bool(patterns.compile_match(pattern).fullmatch(name)) is matches


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[]a]", "[-a]", "[a-]", "a\\", "[^]", "[a-b-c]"])
def test_invalid_patterns(pattern):
    with pytest.raises(ContainerError, match="invalid pattern"):
        patterns.compile_match(pattern)


def test_plain_names_and_patterns():
    assert [patterns.has_wildcards(text) for text in ("a", "a*", "a\\*", "\\\\*", "[a]", "a?")] == [
        False,
        True,
        False,
        True,
        True,
        True,
    ]
    assert patterns.unescaped("a\\*b") == "a*b"


@pytest.mark.parametrize(
    "text,path,ignored",
    [
        ("*.log", "a.log", True),
        ("*.log", "sub/a.log", False),
        ("**/*.log", "sub/deep/a.log", True),
        ("**/*.log", "a.log", True),
        ("**/a", "a", True),
        ("**/a", "xa", False),
        ("**a", "xa", True),
        ("**", "x", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("sub", "sub/file", True),
        ("/sub/", "sub/file", True),
        ("./sub", "sub", True),
        ("sub/../other", "other", True),
        ("sub/*\n!sub/keep", "sub/keep", False),
        ("*\n!a/b", "a/b", False),
        ("*\n!a/b", "a/c", True),
        ("!a\na", "a", True),
        ("a\n!a\na/b", "a/b", True),
        ("*\n! keep", "keep", False),
        ("# no\n #yes", "#yes", True),
        ("a.b", "axb", False),
        ("a+(b)", "a+(b)", True),
        ("[a-b]\\*", "a*", True),
        ("..", "x", False),
        ("", "x", False),
        ("\ufeffa", "a", True),
    ],
)
def test_dockerignore(text, path, ignored):
    assert patterns.Matcher(patterns.ignore_lines(text)).matches(path) is ignored


@pytest.mark.parametrize(
    "text,before,directory,after",
    [
        ("755", 0o600, False, 0o755),
        ("4755", 0o600, False, 0o4755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("go=", 0o777, False, 0o700),
        ("g=u", 0o740, False, 0o770),
        ("go=u-w", 0o750, False, 0o755),
        ("u+s,+t", 0o755, False, 0o5755),
        ("u-s", 0o4755, False, 0o755),
    ],
)
def test_modes(text, before, directory, after):
    assert oct(modes.parse(text)(before, directory)) == oct(after)


@pytest.mark.parametrize("text", ["9", "77777", "x", "u", "u=q", "", "u=r,", "0o7"])
def test_invalid_modes(text):
    with pytest.raises(ContainerError, match="--chmod"):
        modes.parse(text)


@pytest.mark.parametrize(
    "text,told",
    [
        ("type=x,target=/a", "unknown type"),
        ("type=ssh", "ssh"),
        ("type=cache,target=/a,sharing=x", "sharing"),
        ("type=bind,target=/a,size=1", "type=tmpfs"),
        ("type=tmpfs,target=/a,uid=1", "type=secret"),
        ("target=/a,foo=1", "foo"),
        ("target", "requires a value"),
        ("from=$X,target=/a", "variables"),
        ("type=secret", "id=NAME"),
        ("type=secret,id=a,src=b", "leave one out"),
        ("type=secret,id=a,from=b", "leave from= out"),
        ("target=/a,ro=maybe", "true or false"),
        ("type=cache,target=/a,mode=9", "mode=9"),
    ],
)
def test_invalid_mounts(text, told):
    with pytest.raises(ContainerError, match=told):
        mounts.check(text)


def test_mounts():
    mount = mounts.expanded('type=bind,"source=a,b",dst=$D,rw', lambda value: value.replace("$D", "/d"))
    assert (mount.type, mount.source, mount.target, mount.read_only) == ("bind", "a,b", "/d", False)
    assert mounts.expanded("target=/x", str).read_only and not mounts.expanded("type=cache,target=/x", str).read_only
    assert mounts.expanded("type=tmpfs,target=/x,size=1m", str).size == 1 << 20
