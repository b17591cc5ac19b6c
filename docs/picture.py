"""Draw the map of the course, which the README shows: ``python docs/picture.py`` writes ``docs/course.png``."""

from __future__ import annotations

import os

from minict.lab import figures

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "course.png")
AFTER_THE_LAST = 99  # every chapter's part is blue, none is lit

if __name__ == "__main__":
    with open(FILE, "wb") as file:
        file.write(figures.runtime_map(AFTER_THE_LAST).png)
