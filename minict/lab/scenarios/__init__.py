"""The course's broken containers and flags, a module for each chapter: ``ch03.py`` and so on.

A module makes :class:`minict.lab.scenario.Scenario` and :class:`minict.lab.flag.Flag` objects.  Rules that tests hold:
what is untouched fails its check, the solution passes, at least two wrong repairs fail with a phrase that is known; a
flag's word is reached through its weakness, and not where that is mended; both leave nothing on the host.
"""
