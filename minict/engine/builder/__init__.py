"""``minict build``: an image by the recipe in a Dockerfile.

================  ====================================================================
:mod:`.dockerfile`    the Dockerfile as a list of stages, each a list of instructions
:mod:`.context`   which files the recipe may use, and what ``.dockerignore`` leaves out
:mod:`.copy_archive`   what COPY and ADD bring, as one archive with one digest
:mod:`minict.engine.images.buildcache`     which image a step has made before
:mod:`.builder`   step after step, from the base image to the new one
================  ====================================================================

Sources: the Dockerfile reference; docker-build(1).
"""
