"""Images: kept by digest, pulled and pushed, and turned into root file systems.

Begin with :mod:`.store`, whose docstring shows the files on disk, and :mod:`.image`; :mod:`.ingest` brings layers in,
:mod:`.pull` and :mod:`.push` use it, :mod:`.overlay` makes a root file system of layers, :mod:`.diff` makes a layer
of changes.
"""
