"""The course's quizzes, a module for each chapter: ``ch05.py`` and so on.

Five to eight questions each.  Every option has feedback: a wrong one says why it is wrong, the right
one why it is right.  The right one is not always in the same place.
"""
