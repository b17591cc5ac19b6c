"""Selecting and formatting events.

Source: docker system events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from minict.engine.util import filters, timestamps

from . import journal

KINDS = ("container", "image", "volume", "network", "builder")


def select(texts: list[str], since: int | None = None, until: int | None = None) -> Iterator[dict]:
    """Yield the events that match all filters *texts*; of several with one key one has to match.

    *since* and *until*: see :func:`.journal.read`.  Raises :class:`ContainerError`.
    """
    given = filters.parse(texts, _FILTERS)
    for event in journal.read(since, until):
        if all(any(_FILTERS[key](event, value) for value in values) for key, values in given.items()):
            yield event


def _is_of(kind: str):
    """A test whether an event is about the object of a *kind* with this name, or whose id begins so."""

    def test(event: dict, value: str) -> bool:
        about = event["attributes"]
        if event["kind"] == kind:
            return event["id"].startswith(value) or about.get("name") == value.removeprefix("/")
        return kind == "container" and about.get("container", "").startswith(value)

    return test


def _is_of_image(event: dict, value: str) -> bool:
    about = event["attributes"]
    names = [event["id"], about.get("name", "")] if event["kind"] == "image" else [about.get("image", "")]
    return any(
        name and value in (name, name.rpartition(":")[0], name.removeprefix("sha256:")[: len(value)]) for name in names
    )


def _has_label(event: dict, value: str) -> bool:
    return filters.has_label(event["attributes"], value)


_FILTERS = {
    "container": _is_of("container"),
    "daemon": lambda event, value: True,  # there is none: all events are of this machine
    "event": lambda event, value: event["action"] == value or event["action"].startswith(f"{value}:"),
    "image": _is_of_image,
    "label": _has_label,
    "network": _is_of("network"),
    "scope": lambda event, value: value == "local",
    "type": lambda event, value: event["kind"] == value,
    "volume": _is_of("volume"),
}


# ---- shown ---------------------------------------------------------------------------------------------------------


class Event(dict):
    """An event for a template, under Docker's names; :attr:`as_json` is what JSON shows of it."""

    @property
    def as_json(self) -> dict:
        return {
            **({"status": self["Status"]} if self["Status"] else {}),
            **({"id": self["ID"]} if self["ID"] else {}),
            **({"from": self["From"]} if self["From"] else {}),
            **{name: self[name] for name in ("Type", "Action", "Actor")},
            "scope": self["Scope"],
            "time": self["Time"],
            "timeNano": self["TimeNano"],
        }


def shower(format: str | None) -> Callable[[dict], str]:
    """A function that formats an event as a line: Docker's format, ``json``, or a template.  Raises
    :class:`ContainerError`."""
    if not format:
        return line
    from minict.engine.util.gotemplate import Template

    template = Template("{{json .}}" if format == "json" else format)
    return lambda event: template.render(described(event))


def line(event: dict) -> str:
    """``2026-11-28T15:26:00.123456789Z container start ID (image=tiny, name=web)``."""
    about = ", ".join(f"{name}={value}" for name, value in sorted(event["attributes"].items()))
    return f"{timestamps.stamp(event['time'])} {event['kind']} {event['action']} {event['id']} ({about})"


def described(event: dict) -> Event:
    """The event under Docker's names."""
    old = event["kind"] in ("container", "image")  # fields of Docker's first years, which only these have
    return Event(
        Status=event["action"] if old else "",
        ID=event["id"] if old else "",
        From=event["attributes"].get("image", "") if old else "",
        Type=event["kind"],
        Action=event["action"],
        Actor={"ID": event["id"], "Attributes": event["attributes"]},
        Scope="local",
        Time=event["time"] // timestamps.SECOND,
        TimeNano=event["time"],
    )
