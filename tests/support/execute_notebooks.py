"""Run notebooks from first to last cell, and save what they show: ``make notebooks``.

The same notebook gives the same file, byte for byte, on every machine: no times, no widget state, no metadata of the
machine.  It runs in the same world of its own as the tests (see :mod:`tests.support.world`), so that nbval finds again
what is committed.  A notebook that fails is not saved.

One with cells that are tagged ``cgroup-v2`` has the outputs of version 2: on a machine with another one it is run in a
guest (``tests/vm/notebooks.sh``).
"""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from minict.runtime.cgroup import hierarchy
from tests.support import world  # enters the world of its own
from tests.support.notebook_rules import V2_TAG, tags
from tests.support.paths import ROOT as CHECKOUT

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: str) -> None:
    """Run the notebook at *path* in its folder, or in a guest, and save it.  Raises nbclient's exceptions, and
    :class:`subprocess.CalledProcessError` when the guest fails."""
    notebook = nbformat.read(path, as_version=4)
    if hierarchy.mode() != "v2" and any(V2_TAG in tags(cell) for cell in notebook.cells):
        guest = os.path.join(CHECKOUT, "tests", "vm", "notebooks.sh")
        with world.host_network():
            subprocess.run([guest, os.path.relpath(path, CHECKOUT)], check=True)
        return
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": os.path.dirname(path) or "."}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02}"
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            for output in cell.outputs:
                tidy(output)
    nbformat.validate(notebook)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        nbformat.write(notebook, file)
    os.replace(f"{path}.new", path)


def tidy(output) -> None:
    """Remove from *output* what differs from run to run and from machine to machine."""
    # A widget's view names a model that dies with the kernel: JupyterLab would show an error in its place.  Without
    # it the reader sees its text.
    output.get("data", {}).pop(WIDGET, None)
    if "traceback" in output:
        below_home = CHECKOUT.replace(os.path.expanduser("~"), "~", 1)  # as IPython writes it
        for folder in (CHECKOUT, below_home):
            output.traceback = [line.replace(f"{folder}/", "") for line in output.traceback]


def main(paths: list[str]) -> int:
    world.make_tiny()
    for path in paths:
        try:
            execute(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, subprocess.CalledProcessError) as error:
            print(f"{path}: not saved, because a cell failed:\n{error}", file=sys.stderr)
            return 1
        print(f"{path}: saved")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
