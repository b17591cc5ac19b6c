"""``minict build``: an image from the instructions of a Dockerfile.

====================  ======================================================================
:mod:`.lexer`         its lines, without comments and continuation
:mod:`.words`         a line as an instruction, options and words
:mod:`.substitution`  variables and quotes in a word
:mod:`.dockerfile`    stages of instructions, checked
:mod:`.scopes`        which variables have which values where
:mod:`.plan`          all steps with their values: every mistake is found here
:mod:`.builder`       the route: step after step, from the base image to the new one
:mod:`.command`       RUN
:mod:`.copying`       COPY and ADD: :mod:`.sources`, :mod:`.copy_archive`, :mod:`.destination`
:mod:`.mounting`      RUN --mount
:mod:`.context`       which files a build may use: :mod:`.patterns`
====================  ======================================================================

:mod:`minict.engine.images.buildcache` knows the image that a step has made before.

Sources: the Dockerfile reference; docker-build(1); BuildKit.
"""
