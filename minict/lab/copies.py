"""The learner's own copies of the chapters: ``work/NN-….ipynb``, without outputs, so that no prediction is spoiled.

The committed notebooks show what each cell shows, for GitHub and for the tests.  A learner works in a copy.  The course
makes it at its start if it is missing. From then on it belongs to the learner: an update replaces it only if nothing in
it was changed or run.  A copy remembers what it was made from, so that a chapter that has changed since can say so.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BESIDE = ("glossary.md",)  # what chapters link to and learners do not change


def folder() -> str:
    """The directory of the copies: ``work`` in the checkout, or MINICT_WORK."""
    return os.environ.get("MINICT_WORK") or f"{CHECKOUT}/work"


class Copy:
    """The learner's copy of one chapter; *original* is the committed notebook's path."""

    def __init__(self, original: str):
        self.original, self.name = original, os.path.basename(original)
        self.number = int(self.name[:2])
        self.path = f"{folder()}/{self.name}"

    @property
    def exists(self) -> bool:
        """Whether it was made already."""
        return os.path.exists(self.path)

    @property
    def is_stale(self) -> bool:
        """Whether the chapter has changed since the copy was made."""
        made_from = _read(self.path)["metadata"].get("minict", {}).get("made_from")
        return made_from != _fingerprint(_read(self.original))

    @property
    def is_untouched(self) -> bool:
        """Whether nothing in the copy was changed or run."""
        notebook = _read(self.path)
        ran = any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
        return not ran and notebook["metadata"].get("minict", {}).get("made_from") == _fingerprint(notebook)

    def make(self) -> None:
        """Write the copy, in place of an older one."""
        notebook = _read(self.original)
        notebook["metadata"]["minict"] = {"made_from": _fingerprint(notebook)}
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
        write(self.path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        _trust(self.path)

    def set_aside(self) -> str:
        """Rename the copy, so that a new one can be made; its new path."""
        stem, number = self.path.removesuffix(".ipynb"), 1
        while os.path.exists(kept := f"{stem}.old-{number}.ipynb"):
            number += 1
        os.rename(self.path, kept)
        return kept


def copies() -> list[Copy]:
    """One copy for each chapter, whether or not it exists yet."""
    return [Copy(path) for path in sorted(glob.glob(f"{CHECKOUT}/notebooks/[0-9][0-9]-*.ipynb"))]


def prepare() -> list[Copy]:
    """Make the missing copies, and renew the untouched ones; return the copies whose chapter has changed."""
    os.makedirs(folder(), exist_ok=True)
    for name in _BESIDE:
        with open(f"{CHECKOUT}/notebooks/{name}", encoding="utf-8") as file:
            write(f"{folder()}/{name}", file.read())
    changed = []
    for copy in copies():
        try:
            if not copy.exists or (copy.is_stale and copy.is_untouched):
                copy.make()
            elif copy.is_stale:
                changed.append(copy)
        except ValueError:
            # the file is not a notebook any more: keep it, because the learner may want to look at it
            changed.append(copy)
    return changed


def reset(number: int) -> tuple[Copy, str | None]:
    """Make a new copy of the chapter *number*; return it, and the path of the old one.  Raises
    :class:`KeyError`."""
    copy = next((each for each in copies() if each.number == number), None)
    if copy is None:
        raise KeyError(
            f"there is no chapter {number:02}: there are {', '.join(f'{each.number:02}' for each in copies())}"
        )
    os.makedirs(folder(), exist_ok=True)
    kept = copy.set_aside() if copy.exists else None
    copy.make()
    return copy, kept


def warning(number: int) -> str:
    """A warning to show at the top of the copy of the chapter *number*, if this process runs in it; usually empty."""
    if os.path.realpath(os.getcwd()) != os.path.realpath(folder()):
        return ""
    copy = next((each for each in copies() if each.number == number), None)
    try:
        if not copy or not copy.exists or not copy.is_stale:
            return ""
    except ValueError:
        return ""
    return (
        f"Chapter {number:02} has changed since this copy of yours was made. In a terminal, this makes a new copy and "
        f"keeps yours: minict lab --reset {number:02}"
    )


def _read(path: str) -> dict:
    with open(path, encoding="utf-8") as file:
        notebook = json.load(file)
    if not isinstance(notebook, dict) or "cells" not in notebook:
        raise ValueError(f"{path} is not a notebook")
    notebook.setdefault("metadata", {})
    return notebook


def _trust(path: str) -> None:
    """Tell JupyterLab that it may trust this notebook: else a click on a link of the course map asks whether that is
    safe."""
    try:
        import nbformat
        from nbformat.sign import NotebookNotary

        NotebookNotary().sign(nbformat.read(path, as_version=4))
    except Exception:
        pass  # without nbformat, or a home that can be written to, JupyterLab asks


def _fingerprint(notebook: dict) -> str:
    """What the cells say, as a short text: outputs do not count, nor does how the source is divided into lines."""
    words = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def write(path: str, text: str) -> None:
    """Write a file completely or not at all, and give it to the owner of its directory: root may do this for the
    learner."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    owner = os.stat(os.path.dirname(path))
    if os.geteuid() == 0:
        shutil.chown(f"{path}.new", owner.st_uid, owner.st_gid)
    os.replace(f"{path}.new", path)
