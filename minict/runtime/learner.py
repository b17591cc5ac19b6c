"""What a learner has put into the place of the package's own functions, in this process."""

from __future__ import annotations

#: Names such as ``minict.runtime.rootfs.pivot_root`` whose function is a learner's now.  While there is one,
#: containers come from a fork of this very process, in which the learner's function exists (see :mod:`.launch`).
replaced: set[str] = set()
