"""minict.engine.system.prune_unused"""

from __future__ import annotations

from minict.runtime.errors import ContainerError


def prune_containers(filters: list[str] = ()) -> list[str]:
    """Remove all containers that do not run and match *filters*, and what killed processes have left; the removed ids.

    Each is looked at again under its lock: one that has been started meanwhile stays.
    """
    from minict.engine.lifecycle import operations
    from minict.engine.lifecycle.listing import ACTIVE, select

    removed = []
    for record in select(filters, ended_too=True):
        if record.status not in ACTIVE:
            try:
                operations.remove(record)
                removed.append(record.id)
            except ContainerError:
                pass  # started, or removed by somebody else, in this moment
    return removed


def prune_networks(given: dict[str, list[str]]) -> list[str]:
    """Remove the networks that people have made, that no container has, and that match the filters *given*; those
    removed."""
    from minict.engine.containers.store import records
    from minict.engine.networks import options, store
    from minict.engine.util import filters

    before = filters.until(given)
    kept = {name for record in records() for name in options.names_of_networks(record.settings_object().network)}
    return store.prune(kept, lambda one: one.created < before and filters.labelled(one.labels, given))


def prune_volumes(given: dict[str, list[str]]) -> list[str]:
    """Remove the volumes without a name that no container has, and that match the filters *given*; those removed."""
    from minict.engine.util.filters import labelled
    from minict.engine.volumes.store import prune

    return [volume.name for volume in prune(wanted=lambda volume: labelled(volume.labels, given))]
