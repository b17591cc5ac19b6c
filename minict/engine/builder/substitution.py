"""Variables, quotes and escapes in the words of a Dockerfile, by BuildKit's rules.

A text is first split into words at blanks outside of quotes; then each word is expanded by itself. So a value with
blanks stays one word.

=============================  ===================================================================================
``'…'``                        everything in it is literal
``"…"``                        variables are expanded; the escape character escapes ``"``, ``$`` and itself
``\\x``                         outside of quotes: x, whatever it is.  ``# escape=`` may make it a backtick
``$NAME``  ``${NAME}``         the value, or nothing
``${NAME:-x}``  ``${NAME-x}``  the value, or x when there is none (with the colon: or when it is empty)
``${NAME:+x}``  ``${NAME+x}``  x when there is a value, or nothing
``${NAME:?x}``  ``${NAME?x}``  the value, or an error with the message x
``${NAME#p}``  ``${NAME##p}``  the value without its shortest (longest) beginning that the pattern p matches
``${NAME%p}``  ``${NAME%%p}``  the same for its end
``${NAME/p/r}``                the value with r in the place of the first match of p; ``${NAME//p/r}``: of all
=============================  ===================================================================================

In a pattern, ``*`` matches any text, ``?`` one character, and a backslash escapes.
Source: the Dockerfile reference, "Environment replacement"; BuildKit's package frontend/dockerfile/shell.
"""

from __future__ import annotations

import re

from minict.runtime.errors import ContainerError

_SPECIAL = "@*#?-$!0"  # the special parameters of a shell: names of one character


def is_space(character: str) -> bool:
    """Whether *character* separates words, as Go's unicode.IsSpace says; Python's own idea has four more."""
    return character.isspace() and not "\x1c" <= character <= "\x1f"


def expand(text: str, variables: dict[str, str], escape: str = "\\") -> str:
    """Expand the variables in *text*, one word, and remove its quotes.  Raises :class:`ContainerError`."""
    return _Expansion(text, variables, escape).whole()[0]


def expand_document(text: str, variables: dict[str, str]) -> str:
    """Expand the variables in *text*, a here-document, in which quotes have no meaning.  Raises
    :class:`ContainerError`."""
    return _Expansion(text, variables, "\\", quotes=False).whole()[0]


def split(text: str, variables: dict[str, str], escape: str = "\\") -> list[str]:
    """The words of *text* after expansion: a value with blanks becomes several.  Raises :class:`ContainerError`."""
    return _Expansion(text, variables, escape).whole()[1]


def raw_words(text: str) -> list[str]:
    """The words of a shell's line, with their quotes, escapes and variables; none if a quote has no end."""
    try:
        return _Expansion(text, {}, "\\", raw=True).whole()[1]
    except ContainerError:
        return []


def unquoted_words(text: str) -> list[str]:
    """The words of *text* without their quotes; unknown variables are kept as written.  Raises
    :class:`ContainerError`."""
    return _Expansion(text, {}, "\\", keep_unset=True).whole()[1]


class _Words:
    """Words being collected: a blank from a quote or an escape never separates two words."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._word = ""

    def add(self, text: str) -> None:
        for character in text:
            if not is_space(character):
                self._word += character
            elif self._word:
                self._done.append(self._word)
                self._word = ""

    def add_quoted(self, text: str) -> None:
        self._word += text

    def all(self) -> list[str]:
        return [*self._done, self._word] if self._word else self._done


class _Expansion:
    """One expansion of *text*: reads it once, from the left.

    *quotes*: whether quotes have a meaning. *raw*: keep quotes and escapes. *keep_unset*: keep a variable without a
    value.
    """

    def __init__(
        self,
        text: str,
        variables: dict[str, str],
        escape: str,
        *,
        quotes: bool = True,
        raw: bool = False,
        keep_unset: bool = False,
    ):
        self.text, self.variables, self.escape = text, variables, escape
        self.quotes, self.raw, self.keep_unset = quotes, raw, keep_unset or raw
        self.place = 0

    def whole(self) -> tuple[str, list[str]]:
        return self.until("", self.raw)

    def wrong(self, what: str) -> ContainerError:
        return ContainerError(f"cannot expand {self.text!r}: {what}")

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.place : self.place + 1]

    def next(self) -> str:
        character = self.peek()
        self.place += 1
        return character

    def until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """The text and the words up to the character *stop*, or to the end when *stop* is empty."""
        result: list[str] = []
        words = _Words()
        while character := self.peek():
            if character == stop:
                self.place += 1
                return "".join(result), words.all()
            if character == "$":
                found = self.dollar()
                words.add(found)
            elif self.quotes and character in "'\"":
                found = self.single_quotes() if character == "'" else self.double_quotes(raw_escapes)
                words.add_quoted(found)
            elif character == "<":
                found = self.less_than()
                words.add_quoted(found)
            elif self.next() == self.escape:
                protected = self.next()
                found = character + protected if raw_escapes else protected
                words.add_quoted(found)
            else:
                found = character
                words.add(found)
            result.append(found)
        if stop:
            raise self.wrong("a '}' is missing" if stop == "}" else "a '/' is missing in ${NAME/PATTERN/REPLACEMENT}")
        return "".join(result), words.all()

    def single_quotes(self) -> str:
        end = self.text.find("'", self.place + 1)
        if end < 0:
            raise self.wrong("a single quote has no end")
        inner, self.place = self.text[self.place + 1 : end], end + 1
        return f"'{inner}'" if self.raw else inner

    def double_quotes(self, raw_escapes: bool) -> str:
        self.place += 1
        result = ['"' if self.raw else ""]
        while character := self.peek():
            if character == '"':
                self.place += 1
                return "".join([*result, '"' if self.raw else ""])
            if character == "$":
                result.append(self.dollar())
                continue
            self.place += 1
            if character == self.escape:
                if raw_escapes:
                    result.append(character)
                following = self.peek()
                if not following:
                    break
                if following in ('"', "$", self.escape):
                    character = self.next()
            result.append(character)
        raise self.wrong("a double quote has no end")

    def less_than(self) -> str:
        """``<``; or ``<<`` and the blanks after it, which belong to the name of a here-document."""
        start = self.place
        self.place += 1
        if self.peek() == "<":
            self.place += 1
            while self.peek() and self.peek() in "\t\r ":
                self.place += 1
        return self.text[start : self.place]

    def name(self) -> str:
        start = self.place
        if self.peek().isdecimal():
            while self.peek().isdecimal():
                self.place += 1
        elif self.peek() and self.peek() in _SPECIAL:
            self.place += 1
        else:
            while self.peek().isalpha() or self.peek().isdecimal() or self.peek() == "_":
                self.place += 1
        return self.text[start : self.place]

    def dollar(self) -> str:
        """The value of ``$`` and what follows it."""
        self.place += 1
        if self.peek() != "{":
            name = self.name()
            if not name or (self.keep_unset and name not in self.variables):
                return f"${name}"
            return self.variables.get(name, "")
        start = self.place - 1
        self.place += 1
        if not self.peek():
            raise self.wrong("a '}' is missing")
        if self.peek() in "{}:":
            raise self.wrong("${ must be followed by the name of a variable")
        name = self.name()
        result = self.modified(name, self.variables.get(name))
        return self.text[start : self.place] if self.keep_unset and name not in self.variables else result

    def modified(self, name: str, value: str | None) -> str:
        """The value of ``${NAME…}`` after its name was read; the variable has this *value*, or None."""
        modifier = self.next()
        if modifier == "}":
            return value or ""
        if not modifier:
            raise self.wrong("a '}' is missing")
        if modifier == "/":
            return self.replaced(value or "")
        or_empty = modifier == ":"
        if or_empty:
            modifier = self.next()
        if modifier not in tuple("+-?") and (or_empty or modifier not in tuple("#%")):
            shown = ":" * or_empty + modifier
            raise self.wrong(
                f"unknown operator {shown!r}: use :- - :+ + :? ? # ## % %% / or //" if modifier else "a '}' is missing"
            )
        word = self.until("}", modifier in "#%")[0]
        unset = value is None or (or_empty and not value)
        if modifier == "-":
            return word if unset else value or ""
        if modifier == "+":
            return "" if unset else word
        if modifier == "?":
            if unset and not self.keep_unset:
                raise ContainerError(f"the variable {name} is not set: {word or 'a value is required'}")
            return value or ""
        longest = word.startswith(modifier)
        return self.cut(value or "", word[longest:], longest, at_end=modifier == "%")

    def cut(self, value: str, pattern: str, longest: bool, at_end: bool) -> str:
        """*value* without the part at its beginning, or *at_end*, that *pattern* matches."""
        if not at_end:
            found = self.regex(pattern, longest).match(value)
            return value[found.end() :] if found else value
        whole = self.regex(pattern, longest)
        starts = range(len(value) + 1) if longest else range(len(value), -1, -1)
        return next((value[:start] for start in starts if whole.fullmatch(value, start)), value)

    def replaced(self, value: str) -> str:
        every = self.peek() == "/"
        self.place += every
        pattern = self.until("/", True)[0]
        replacement = self.until("}", True)[0]
        return self.regex(pattern, True).sub(lambda _: replacement, value, count=0 if every else 1)

    def regex(self, pattern: str, longest: bool) -> re.Pattern:
        """The shell's *pattern* as a regular expression."""
        result, characters = [], iter(pattern)
        for character in characters:
            if character == "*":
                result.append(".*" if longest else ".*?")
            elif character == "?":
                result.append(".")
            elif character == "\\":
                protected = next(characters, "")
                if not protected or protected not in "*?\\}/":
                    where = r"where only *, ?, \, } and / can stand"
                    raise self.wrong(f"the pattern {pattern!r} has a backslash before {protected!r}, {where}")
                result.append(re.escape(protected))
            else:
                result.append(re.escape(character))
        return re.compile("".join(result))
