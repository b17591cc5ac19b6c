"""Registries, and how they name things.

Begin with :mod:`.reference` (``nginx`` is ``docker.io/library/nginx:latest``) and :mod:`.manifest` (what an image
consists of); :mod:`.registry` speaks the protocol over :mod:`.transport`, with the tokens of :mod:`.auth` and the
passwords of :mod:`.credentials`.
"""
