"""The command line: ``minict run -it tiny sh``.

Begin with :mod:`.main`, which finds the command and calls it; :mod:`.index` says which module has which command,
:mod:`.parser` reads its options, and :mod:`.commands` holds the commands.
"""
