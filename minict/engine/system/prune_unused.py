"""``container prune``, ``network prune`` and ``volume prune``: remove objects that are not in use."""

from __future__ import annotations

from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence


def prune_containers(filters: Sequence[str] = ()) -> list[str]:
    """Remove all stopped containers that match *filters*; return their ids.

    Each is checked again under its lock: one that has been started meanwhile stays.
    """
    from minict.engine.containers.store import ACTIVE
    from minict.engine.lifecycle import operations
    from minict.engine.lifecycle.listing import select

    removed = []
    for record in select(filters, ended_too=True):
        if record.status not in ACTIVE:
            try:
                operations.remove(record)
                removed.append(record.id)
            except ContainerError:
                pass  # it has just been started, or removed
    return removed


def prune_networks(given: dict[str, list[str]]) -> list[str]:
    """Remove the user-defined networks that no container references and that match the filters *given*; return their
    names.
    """
    from minict.engine.containers.store import records
    from minict.engine.networks import options, store
    from minict.engine.util import filters

    before = filters.until(given)
    kept = {name for record in records() for name in options.names_of_networks(record.settings_object().network)}
    return store.prune(kept, lambda one: one.created < before and filters.labelled(one.labels, given))


def prune_volumes(given: dict[str, list[str]]) -> list[str]:
    """Remove the anonymous volumes that no container has and that match the filters *given*; return their names."""
    from minict.engine.util.filters import labelled
    from minict.engine.volumes.store import prune

    return [volume.name for volume in prune(wanted=lambda volume: labelled(volume.labels, given))]
