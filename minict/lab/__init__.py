"""What only notebooks use: exercises, checks, hints, quizzes, figures, and the proof that nothing is left."""
from __future__ import annotations

import sys

# By name and at once: else `exercise` could be the module or the function, as the order of imports happens to be.
from .child import ChildError, run_in_child
from .exercise import exercise, hint, progress, use_reference
from .figures import live, mount_tree, namespace_map, process_tree, runtime_map, watch
from .host import leave_no_trace
from .quiz import answer, quiz
from .source import source

__all__ = ["ChildError", "answer", "exercise", "hint", "leave_no_trace", "live", "mount_tree", "namespace_map",
           "process_tree", "progress", "quiz", "run_in_child", "runtime_map", "source", "use_reference", "watch"]


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
