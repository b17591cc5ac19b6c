"""A file of the exam, beside the learner's notebooks: written once, and then the learner's own to repair."""

from __future__ import annotations

import os

from minict.runtime import paths

from .. import copies
from ..scenarios.ch16 import Workshop
from ..verdict import tell
from .results import own_number


class Paper(Workshop):
    """A file of the exam.  ``path``: where it is; ``text``: what it says, read and written with each use.

    ``show("name")`` prints a function of it, and ``replace("old", "new")`` edits it; an editor does as well.  *start*
    is what it said when the exam *seed* began.  A file of the same exam is kept as the learner has left it; that of
    another number than the learner's own has the number in its name.
    *is_kept*: it is beside the learner's own notebooks, and stays when the exam ends.
    """

    def __init__(self, stem: str, seed: int, start: str):
        self.name = f"{stem}.py" if seed == own_number() else f"{stem}_{seed}.py"
        self.seed, self.start = seed, f"# exam {seed}\n{start}"
        self.is_kept = os.path.realpath(os.getcwd()) == os.path.realpath(copies.folder())
        self.path = f"{copies.folder() if self.is_kept else paths.data_root()}/{self.name}"
        if not self._is_begun():
            self.start_again()

    def _is_begun(self) -> bool:
        is_there = os.path.exists(self.path) and not os.environ.get("CI")
        return is_there and self.text.startswith(f"# exam {self.seed}\n")

    def start_again(self) -> None:
        """Write the file as it was at the beginning."""
        self.text = self.start

    def replace(self, old: str, new: str) -> None:
        """Put *new* in the place of *old*, and print the lines as they are now.  Raises :class:`ValueError`."""
        before = self.text.partition(old)[0]
        super().replace(old, new)
        first = before.count("\n")
        last = first + new.count("\n")
        for number, line in enumerate(self.text.splitlines()[first : last + 1], first + 1):
            print(f"line {number}: {line}")

    def remove(self) -> None:
        """Delete the file."""
        if os.path.exists(self.path):
            os.remove(self.path)

    def tell_if_missing(self) -> bool:
        """Whether somebody has deleted the file; then say how to get it again."""
        if os.path.exists(self.path):
            return False
        tell(f"○ {self.name}: the file is gone. Its method start_again() writes it as it was at the beginning.")
        return True

    def is_no_python(self) -> str:
        """Why Python can't read the file; an empty text if it can."""
        try:
            compile(self.text, self.name, "exec")
        except SyntaxError as error:
            return f"{error.msg}, line {error.lineno}"
        return ""

    @property
    def text(self) -> str:
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    @text.setter
    def text(self, text: str) -> None:
        copies.write(self.path, text)  # to the owner of the directory: JupyterLab's editor runs without root

    @property
    def is_untouched(self) -> bool:
        """Whether nothing in it was changed."""
        return self.text == self.start

    def __repr__(self):
        return f"<{self.name} of exam {self.seed}>"
