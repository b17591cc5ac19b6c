"""The commands: a module for each group, with a table COMMANDS and the functions behind it.

A function gets the options as a dictionary and the arguments as a list, prints what the user wants to know, and leaves
the work to another package of :mod:`minict.engine`, which it imports inside the function.
"""
