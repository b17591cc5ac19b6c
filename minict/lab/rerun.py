"""A cell that is run again starts its containers again: those of the time before are stopped first.

Else ``box = minict.run(…, name="box", detach=True)`` could be run only once: the name is in use, by a container that no
variable refers to any more.  Cells are identified by the id that JupyterLab sends with them or, without an id, by their
text.
"""

from __future__ import annotations

from minict.engine import api

_started: dict[str, list[api.Running]] = {}  # a cell's id or text -> the containers that its last run has left running


def _key(info) -> str:
    return info.cell_id or info.raw_cell or ""


def load(shell) -> None:
    """Watch the cells of the notebook *shell*."""
    seen: set[api.Running] = set()

    def before(info) -> None:
        for container in _started.pop(_key(info), []):
            container.stop(timeout=0)
        seen.update(api.running)

    def after(result) -> None:
        if result.info is not None and _key(result.info):
            started = (each for each in api.running if each not in seen)
            # The newest first: it may have joined the pid namespace of another one, whose first process can't end
            # before ours has been waited for (pid_namespaces(7)).
            _started[_key(result.info)] = sorted(started, key=lambda each: each._record.created, reverse=True)
        seen.clear()

    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)
