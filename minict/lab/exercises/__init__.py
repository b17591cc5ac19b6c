"""The course's exercises, a module for each chapter: ``ch05_pivot_root.py`` and so on.

A module makes one :class:`minict.lab.exercise.Exercise` after the other.  Rules that tests hold:

* the reference is a function of the package, not a copy;
* the check looks at what the kernel shows (``/proc/PID/ns``, mountinfo, exit statuses, ``memory.events``), never
  at source text, and its feedback says what was called, what came of it, what was expected, and the likely cause;
* at least three wrong answers that people really give, each with a phrase of the feedback that it must get;
* no answer passes that returns None, raises, sleeps, or forks and falls through;
* two to four hints, none of them the solution.
"""
