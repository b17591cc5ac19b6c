"""Tar archives from strangers, and the files of containers.

Begin with :mod:`.reader`, the one reader for every archive, with its limits; :mod:`.extract` unpacks into a directory
from inside a chroot, :mod:`.fsview` shows the files of a container to a child process, and :mod:`.transfer` copies in
and out.
"""
