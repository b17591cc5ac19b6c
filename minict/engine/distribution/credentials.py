"""Credentials for registries, stored where Docker stores them, so that one ``login`` serves both.

The file is ``~/.docker/config.json`` (DOCKER_CONFIG names another directory than ``~/.docker``)::

    {"auths": {"registry.example:5000": {"auth": "<base64 of NAME:PASSWORD>"}},
     "credHelpers": {"other.example": "pass"}, "credsStore": "secretservice"}

Everything else in it is kept.  A helper is the program ``docker-credential-NAME``: it keeps the passwords of one
registry, or with ``credsStore`` of all, in a safer place than a file.

Source: https://docs.docker.com/reference/cli/docker/login/#credential-stores; docker/docker-credential-helpers, README.
"""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from minict.runtime.errors import ContainerError

_DOCKER_HUB = "https://index.docker.io/v1/"  # Docker's name for its own registry in this file


class Login:
    """A *user* and a *password*; or an *identity_token* that replaces both, where the registry has issued one."""

    def __init__(self, user: str, password: str, identity_token: str = ""):
        self.user, self.password, self.identity_token = user, password, identity_token

    def __repr__(self) -> str:  # a password must not appear in a traceback
        return f"<Login {self.user}>"


def registry_name(text: str = "docker.io") -> str:
    """The name of a registry as in image references, for a user's input such as ``https://index.docker.io/v1/``.

    Raises :class:`ContainerError` if it is invalid.
    """
    from . import reference

    host = _host(text)
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = "docker.io"
    try:
        if reference.full_name(f"{host}/x/x").startswith(f"{host}/x/"):
            return host
    except ContainerError:
        pass
    raise ContainerError(f"invalid registry {text!r}: use its name as in image names, such as registry.example:5000")


def find(host: str) -> Login | None:
    """The login for the registry *host*, with its port, as in image references; None if there is none.

    Raises :class:`ContainerError` if the file or the helper is broken.
    """
    config = _read()
    if helper := _helper(config, host):
        return _ask(helper, host)
    for key, entry in _section(config, "auths").items():
        if _host(key) == _host(_key(host)) and isinstance(entry, dict):
            try:
                user, _, password = base64.b64decode(entry.get("auth") or "", validate=True).decode().partition(":")
            except (ValueError, TypeError):
                raise ContainerError(f"{path()}: the entry for {key} is not base64: run  minict login {host}") from None
            user, password = user or entry.get("username", ""), password.rstrip("\0") or entry.get("password", "")
            if user or entry.get("identitytoken"):
                return Login(user, password, entry.get("identitytoken", ""))
    return None


def store(host: str, login: Login) -> str:
    """Store *login* for the registry *host*; return where it is stored. Raises :class:`ContainerError`."""
    config = _read()
    if helper := _helper(config, host):
        _call(helper, "store", json.dumps({"ServerURL": _key(host), "Username": login.user, "Secret": login.password}))
        return f"docker-credential-{helper}"
    entry = {"auth": base64.b64encode(f"{login.user}:{login.password}".encode()).decode()}
    _section(config, "auths", make=True)[_key(host)] = entry
    _write(config)
    return path()


def forget(host: str) -> bool:
    """Delete the login for the registry *host*; return whether there was one. Raises :class:`ContainerError`."""
    config = _read()
    if helper := _helper(config, host):
        there = _ask(helper, host) is not None
        if there:
            _call(helper, "erase", _key(host))
        return there
    auths = _section(config, "auths")
    found = [key for key in auths if _host(key) == _host(_key(host))]
    for key in found:
        del auths[key]
    if found:
        _write(config)
    return bool(found)


def path() -> str:
    """The path of the file."""
    return os.path.join(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"), "config.json")


# ---- the file ------------------------------------------------------------------------------------------------------


def _key(host: str) -> str:
    return _DOCKER_HUB if host == "docker.io" else host


def _host(key: str) -> str:
    """The host of a key: older versions of Docker wrote a URL, such as ``https://HOST/v1/``."""
    return key.removeprefix("https://").removeprefix("http://").split("/")[0]


def _read() -> dict[str, Any]:
    try:
        with open(path(), encoding="utf-8") as file:
            config = json.load(file)
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
        return config
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise ContainerError(f"{path()} can't be read: permission denied") from None
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"{path()} is damaged ({error}): fix it, or remove it and log in again") from None


def _section(config: dict[str, Any], name: str, make: bool = False) -> dict[str, Any]:
    section = config.setdefault(name, {}) if make else config.get(name, {})
    if not isinstance(section, dict):
        raise ContainerError(f"{path()} is damaged ({name} is not an object): fix it, or remove it and log in again")
    return section


def _write(config: dict[str, Any]) -> None:
    """Write the file atomically, readable for its owner only; follow a symbolic link."""
    real = os.path.realpath(path())
    os.makedirs(os.path.dirname(real), mode=0o700, exist_ok=True)
    temporary = f"{real}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(config, file, indent="\t")
            file.flush()
            os.fsync(fd)
        os.replace(temporary, real)
    except BaseException:
        os.unlink(temporary)
        raise


# ---- helpers -------------------------------------------------------------------------------------------------------


def _helper(config: dict[str, Any], host: str) -> str | None:
    """The name of the helper that keeps the login for *host*."""
    helpers = _section(config, "credHelpers")
    name = helpers.get(_key(host)) or helpers.get(host) or config.get("credsStore")
    if name and not (isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum()):
        raise ContainerError(f"{path()} names an invalid credential helper {name!r}: fix it")
    return name


def _ask(helper: str, host: str) -> Login | None:
    """The login that the helper keeps. A user ``<token>`` means that the secret is an identity token."""
    answer = _call(helper, "get", _key(host), may_fail=True)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError):
        raise ContainerError(f"docker-credential-{helper} gave an invalid answer: log in again") from None
    return Login("", "", secret) if user == "<token>" else Login(user, secret)


def _call(helper: str, action: str, text: str, may_fail: bool = False) -> str | None:
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, action], input=text, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise ContainerError(
            f"{path()} requires {program}, which is not installed: install it, or remove it there"
        ) from None
    except subprocess.TimeoutExpired:
        raise ContainerError(f"{program} did not answer for 60 seconds") from None
    if done.returncode and "not found" in done.stdout and may_fail:
        return None
    if done.returncode:
        raise ContainerError(f"{program} {action} failed: {(done.stdout or done.stderr).strip()[:200]}")
    return done.stdout
