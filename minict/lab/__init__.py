"""What only notebooks use: exercises, checks, hints, quizzes, figures, and the proof that nothing is left."""
from __future__ import annotations

import importlib
import sys

_WHERE = {
    "run_in_child": "child", "ChildError": "child",
    "leave_no_trace": "host",
}
__all__ = list(_WHERE)


def __getattr__(name: str):
    """Load a name's module when it is first asked for: a notebook that draws nothing does not wait for matplotlib."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def _prepare_notebook() -> None:
    """In the kernel of a notebook: ``%%child``, the guards, short tracebacks, and a look at the host before it all begins."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    from . import child, host
    child.load_ipython_extension(shell)
    shell.InteractiveTB.set_mode("Minimal")
    host.begin()


_prepare_notebook()
