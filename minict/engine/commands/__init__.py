"""What can be typed: one module for each concern, each with a table COMMANDS and the functions behind it.

A function gets the options as a dictionary and the arguments as a list, says what a person wants to
know, and leaves the work to the module of :mod:`minict.engine` that does it.  What it needs is imported inside of it.
"""
