"""The data of containers; nothing here starts a process.

Begin with :mod:`.store`: a container is a :class:`.store.Record`, a directory with a few small files. :mod:`.options`
are the options of ``minict run``, :mod:`.policies` what they mean for restarts, signals, health and logs,
:mod:`.names` gives each container one name.
"""
