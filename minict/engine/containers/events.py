"""Events of containers, with the attributes that Docker gives them."""

from __future__ import annotations

from minict.engine.util import events

from .store import Record


def record(container: Record, action: str, **attributes: object) -> None:
    """Note that *action* has happened to the *container*; *attributes* say more about it."""
    labels = (word.partition("=") for word in (container.settings or {}).get("label") or [])
    about = {name: value for name, _, value in labels}
    about |= {"image": container.image_name or "", "name": container.name or ""}
    about |= {name: str(value) for name, value in attributes.items()}
    events.record("container", action, container.id, about)
