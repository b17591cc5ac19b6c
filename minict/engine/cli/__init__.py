"""The command line: ``minict run -it tiny sh``.

Begin with :mod:`.main`, which finds the command and calls it; :mod:`.commands` has the list of commands and holds them,
:mod:`.parser` reads their options.
"""
