"""Show the package's own source in a notebook: the real version of what the learner has just built."""

from __future__ import annotations

import inspect
import os
import textwrap

_CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Source:
    """The source of one function, class or module; shows itself with colours where there are any."""

    def __init__(self, thing):
        thing = getattr(thing, "__minict_reference__", thing)  # a learner's function replaces it
        thing = inspect.unwrap(thing) if callable(thing) else thing
        self.path = os.path.relpath(inspect.getsourcefile(thing), _CHECKOUT)
        self.text = textwrap.dedent(inspect.getsource(thing)).rstrip()

    def __repr__(self):
        return f"# {self.path}\n\n{self.text}"

    def _repr_markdown_(self):
        # from the folder of the notebooks, and from that of the learner's copies, the package is one floor up
        return f"[`{self.path}`](../{self.path})\n\n```python\n{self.text}\n```"


def source(thing) -> Source:
    """The package's own source of *thing* (a function, class or module), with the file that it is in."""
    return Source(thing)
