"""The functions of this package that a learner has replaced with their own, in this process."""

from __future__ import annotations

#: Names such as ``minict.runtime.rootfs.pivot_root`` that now refer to a learner's function. While there is one,
#: containers are forked from this very process, the only one that has the learner's function (see :mod:`.launch`).
replaced: set[str] = set()
