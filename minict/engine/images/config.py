"""Instructions of a Dockerfile that change only an image's configuration: for ``commit --change``.

Each changes the ``config`` of an image in place.  Sources: the Dockerfile reference; OCI image specification,
config.md.
"""

from __future__ import annotations

import posixpath

from minict.runtime.errors import ContainerError


def apply(config: dict, texts: list[str]) -> None:
    """Change the image's *config* by each of *texts*: ``CMD ["nginx"]``, ``ENV A=b C=d``.

    Raises :class:`ContainerError` for an invalid instruction.
    """
    given = {text.split(None, 1)[0].upper() for text in texts if text.strip()}
    for text in texts:
        word, _, rest = text.strip().partition(" ")
        instruction = _ALL.get(word.upper())
        if instruction is None:
            raise ContainerError(f"--change {text!r}: invalid instruction {word or ''!r}; use one of {', '.join(_ALL)}")
        if not rest.strip():
            raise ContainerError(f"--change {text!r}: {word.upper()} needs an argument")
        try:
            instruction(config, rest.strip())
        except ValueError as error:
            raise ContainerError(f"--change {text!r}: {error}") from None
    if "ENTRYPOINT" in given and "CMD" not in given:
        config.pop("Cmd", None)  # the arguments belonged to another program


def words_of(text: str) -> list[str] | None:
    """The words of ``["a", "b"]``; None for anything else."""
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(word, str) for word in value) else None


def _command(config: dict, text: str) -> list[str]:
    """A list unchanged, or a text for the shell."""
    words = words_of(text)
    return [*(config.get("Shell") or ["/bin/sh", "-c"]), text] if words is None else words


def _words(text: str) -> list[str]:
    import shlex

    return shlex.split(text)


def _pairs(text: str) -> dict[str, str]:
    """``A=b C="d e"``, or the old form ``A everything else``."""
    if "=" not in text.split(maxsplit=1)[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise ValueError("use NAME=VALUE")
        return {key: value.strip()}
    pairs = [word.partition("=") for word in _words(text)]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError("use NAME=VALUE")
    return {key: value for key, _, value in pairs}


def _cmd(config: dict, text: str) -> None:
    config["Cmd"] = _command(config, text)


def _entrypoint(config: dict, text: str) -> None:
    config["Entrypoint"] = _command(config, text)


def _env(config: dict, text: str) -> None:
    variables = {word.partition("=")[0]: word for word in config.get("Env") or []}
    config["Env"] = list({**variables, **{key: f"{key}={value}" for key, value in _pairs(text).items()}}.values())


def _label(config: dict, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **_pairs(text)}


def _expose(config: dict, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _words(text):
        numbers, _, protocol = word.partition("/")
        first, _, last = numbers.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and 0 < int(first) <= int(last or first) < 65536):
            raise ValueError(f"invalid port {word!r}: use one such as 80, 53/udp or 8000-8010")
        if (protocol or "tcp").lower() not in ("tcp", "udp", "sctp"):
            raise ValueError(f"{word!r}: unknown protocol {protocol!r}")
        for number in range(int(first), int(last or first) + 1):
            ports[f"{number}/{(protocol or 'tcp').lower()}"] = {}
    config["ExposedPorts"] = ports


def _user(config: dict, text: str) -> None:
    config["User"] = text


def _workdir(config: dict, text: str) -> None:
    path = posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "/", text))
    config["WorkingDir"] = "/" + path.lstrip("/")


def _volume(config: dict, text: str) -> None:
    words = words_of(text)
    config["Volumes"] = {
        **(config.get("Volumes") or {}),
        **{path: {} for path in (_words(text) if words is None else words)},
    }


def _onbuild(config: dict, text: str) -> None:
    word = text.split(maxsplit=1)[0].upper()
    if word in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError(f"{word} is not allowed in ONBUILD")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _stopsignal(config: dict, text: str) -> None:
    config["StopSignal"] = text


def _shell(config: dict, text: str) -> None:
    words = words_of(text)
    if not words:
        raise ValueError('use a list such as ["/bin/bash", "-c"]')
    config["Shell"] = words


def _healthcheck(config: dict, text: str) -> None:
    """``NONE``, or options and ``CMD`` with a command: the image's ``Healthcheck``, with times in nanoseconds."""
    from minict.engine.util import units

    names = {
        "interval": "Interval",
        "timeout": "Timeout",
        "start-period": "StartPeriod",
        "start-interval": "StartInterval",
    }
    found = {}
    while text.startswith("--"):
        word, _, text = text.partition(" ")
        key, _, value = word[2:].partition("=")
        if key == "retries" and value.isdecimal():
            found["Retries"] = int(value)
        elif key in names:
            found[names[key]] = units.nanoseconds(value, f"HEALTHCHECK --{key}")
        else:
            raise ValueError(f"unknown option {word} of HEALTHCHECK")
        text = text.lstrip()
    word, _, command = text.partition(" ")
    if word.upper() not in ("NONE", "CMD") or (word.upper() == "CMD") != bool(command.strip()):
        raise ValueError("use HEALTHCHECK NONE, or HEALTHCHECK CMD and a command")
    words = words_of(command)
    test = ["NONE"] if word.upper() == "NONE" else ["CMD-SHELL", command.strip()] if words is None else ["CMD", *words]
    config["Healthcheck"] = {"Test": test, **found}


_ALL = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
