"""A notebook's kernel for tests: cells go in, what a learner would see comes out."""

from __future__ import annotations

import os

import nbformat
from nbclient import NotebookClient

from tests.support.paths import ROOT

NOTEBOOKS = os.path.join(ROOT, "notebooks")
_HELLO = "from minict.lab import *"


class Kernel:
    """A fresh kernel in which ``minict.lab`` is loaded.  To be used with ``with``."""

    def __init__(self, hello: str | None = _HELLO, time_limit: float = 60):
        self.notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(
            self.notebook,
            timeout=time_limit,
            kernel_name="this-python",
            km=_manager(),
            allow_errors=True,
            shutdown_kernel="immediate",
            resources={"metadata": {"path": NOTEBOOKS}},
        )
        self.hello = hello

    def __enter__(self):
        self._context = self.client.setup_kernel(cleanup_kc=True)
        self._context.__enter__()
        if self.hello:
            assert self.run(self.hello) == ""
        return self

    def __exit__(self, *exception):
        return self._context.__exit__(*exception)

    def cell(self, source: str) -> nbformat.NotebookNode:
        """Run *source* as a cell; return the cell with its outputs."""
        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        return cell

    def run(self, source: str) -> str:
        """Run *source* as a cell; return all its text: printed, result, error."""
        return "".join(map(text_of, self.cell(source).outputs))


def _manager():
    """A manager of kernels of this very interpreter, with the environment that a learner's kernel has."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            return KernelSpec(**get_kernel_dict())

    class Manager(AsyncKernelManager):
        async def _async_start_kernel(self, **options):
            environment = dict(options.pop("env", None) or os.environ)
            environment.pop("PYTEST_CURRENT_TEST", None)  # see world
            environment["PYTHONPATH"] = ROOT
            return await super()._async_start_kernel(env=environment, **options)

        start_kernel = _async_start_kernel

    return Manager(kernel_name="this-python", kernel_spec_manager=ThisPython())


def text_of(output) -> str:
    """What a reader sees of one output, as text."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}\n" + "\n".join(output.traceback)
    return output.data.get("text/plain", "") + "\n"
