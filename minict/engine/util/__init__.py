"""Helpers that do not depend on containers.

Text for people: :mod:`.table`, :mod:`.gotemplate`, :mod:`.progress`, :mod:`.units`, :mod:`.timestamps`. Processes:
:mod:`.daemonize`, :mod:`.workerpool`, :mod:`.streams`, :mod:`.eventloop`. The journal of ``minict events`` is
:mod:`.events`.
"""
