"""What a check says: a line with a sign, and in JupyterLab a colour.

The text is the same with and without colours, and it is what tests compare: ``●`` right, ``✗`` wrong, ``○`` not
attempted.
"""

from __future__ import annotations

import html
import re
import sys
import textwrap

_LOOKS = {  # sign -> the colour of JupyterLab's own theme, with a value for pages that have no theme
    "●": "var(--jp-success-color1, #388e3c)",
    "✗": "var(--jp-error-color1, #d32f2f)",
    "○": "var(--jp-border-color1, #9e9e9e)",
}
_WIDTH = 96  # characters: a notebook breaks longer lines, in the middle of a word


class Verdict:
    """A text that begins with one of the three signs."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self):
        return self.text

    def _repr_mimebundle_(self, include=None, exclude=None):
        colour = _LOOKS.get(self.text[:1], _LOOKS["○"])
        style = (
            f"border-left: 4px solid {colour}; padding: .35em .9em; margin: 0; white-space: pre-wrap; "
            "overflow-wrap: anywhere; font-family: var(--jp-code-font-family, monospace); "
            "font-size: var(--jp-code-font-size, 13px)"
        )
        sign = f"<b style='color: {colour}'>{html.escape(self.text[:1])}</b>{html.escape(self.text[1:])}"
        return {"text/plain": self.text, "text/html": f"<div style='{style}'>{sign}</div>"}


def tell(text: str) -> None:
    """Show the verdict *text*. For an unattempted exercise it is printed: only attempts get a colour."""
    if text.startswith("○") or not _in_notebook():
        print(text)
    else:
        from IPython.display import display

        sys.stdout.flush()
        display(Verdict(text))


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def readable(text: str) -> str:
    """*text* in lines that fit a notebook; indented lines stay unchanged.  A verdict's paragraphs stand below its
    sign."""
    lines = textwrap.TextWrapper(_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    first, *more = text.splitlines() or [""]
    shown = [first if first.startswith(" ") else lines.fill(first)]
    lines.initial_indent = "  " if text[:1] in _LOOKS else ""
    for line in more:
        if lines.initial_indent and re.match("[a-z]+ ", line):
            line = line[0].upper() + line[1:]
        shown.append(line if line.startswith(" ") else lines.fill(line))
    return "\n".join(shown)
