"""The life cycle of a container: create, start, run, exec, stop, remove, and what can be seen of it.

Begin with :mod:`.create` and :mod:`.task`, which start one container and clean up after it; :mod:`.run` is ``minict
run``. The :mod:`.monitor` is the process that stays with a detached container, :mod:`.attach` and :mod:`.protocol` are
the way to it, :mod:`.operations` holds the verbs of the command line, and :mod:`.recovery` cleans up after killed
processes.
"""
