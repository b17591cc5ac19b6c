"""The scopes of variables: ARG, ENV, and predefined ones.

* An ARG before the first FROM is visible in the FROM lines, and in a stage that declares it again without a value.
* In a stage, the later of ARG and ENV applies. A stage based on another one inherits both.
* ``--build-arg`` overrides the default of an ARG, and has no effect without an ARG of that name.
* ``BUILDPLATFORM``, ``TARGETPLATFORM`` and the like are available in each stage that declares them.
* The variables of proxies do not need an ARG: RUN sees them, and the cache key ignores them.

Source: the Dockerfile reference, "ARG"; BuildKit's package frontend/dockerfile/dockerfile2llb.
"""

from __future__ import annotations

from . import substitution
from .dockerfile import Instruction

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def platform_arguments(here: dict, target: dict, stage: str, given: dict[str, str]) -> dict[str, str]:
    """The predefined ARGs: about this machine, and about the platform of the image."""
    values = {}
    for prefix, platform in (("BUILD", here), ("TARGET", target)):
        parts = [platform["os"], platform["architecture"], platform.get("variant", "")]
        values[f"{prefix}PLATFORM"] = "/".join(filter(None, parts))
        values |= {f"{prefix}OS": parts[0], f"{prefix}ARCH": parts[1], f"{prefix}VARIANT": parts[2]}
    values["TARGETSTAGE"] = stage or "default"
    return {name: given.get(name, value) for name, value in values.items()}


def global_arguments(
    declared: list[Instruction], values: dict[str, str], given: dict[str, str], escape: str
) -> dict[str, str]:
    """The values of the ARGs before the first FROM, in addition to *values*.  Raises :class:`ContainerError`."""
    values = dict(values)
    for each in declared:
        for name, default in each.args:
            if name in given:
                values[name] = given[name]
            elif default is not None:
                values[name] = substitution.expand(default, values, escape)
    return values


def proxies(given: dict[str, str]) -> dict[str, str]:
    """The variables of proxies among the *given* ARGs, in lower and in upper case: programs read either."""
    found = {name: value for name, value in given.items() if name.upper() in _PROXIES}
    return {form: value for name, value in found.items() for form in (name.lower(), name.upper())}


class Scope:
    """The variables of one stage.

    *variables*: those with a value from ENV or ARG. *declared*: the ARGs, in their order. *given*: values of
    --build-arg; *outer*: values of the ARGs before the first FROM.
    """

    def __init__(
        self,
        variables: dict[str, str],
        declared: dict[str, str],
        given: dict[str, str],
        outer: dict[str, str],
        escape: str,
    ):
        self.variables, self.declared = dict(variables), dict(declared)
        self.given, self.outer, self.escape = given, outer, escape

    def inherited(self) -> Scope:
        """The scope of a stage that is based on this one."""
        return Scope(self.variables, self.declared, self.given, self.outer, self.escape)

    def expand(self, word: str) -> str:
        """Expand the variables in one word.  Raises :class:`ContainerError`."""
        return substitution.expand(word, self.variables, self.escape)

    def split(self, word: str) -> list[str]:
        """Expand the variables in a word, which may become several words.  Raises :class:`ContainerError`."""
        return substitution.split(word, self.variables, self.escape)

    def declare(self, name: str, default: str | None) -> str | None:
        """ARG: the value of the variable *name* from now on, or None.  Raises :class:`ContainerError`."""
        value: str | None
        if name in self.given:
            value = self.given[name]
        elif default is not None:
            value = self.expand(default)
        else:
            value = self.outer.get(name)
        if value is not None:
            self.variables[name] = value
        self.declared[name] = value or ""
        return value

    def set(self, name: str, value: str) -> None:
        """ENV."""
        self.variables[name] = value
