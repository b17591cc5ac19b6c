"""The installation as a whole.

:mod:`.doctor` checks what the machine can do, :mod:`.info` and :mod:`.df` show what is there, :mod:`.prune` releases
what killed processes have left, and :mod:`.prune_unused` removes what is not in use.
"""
