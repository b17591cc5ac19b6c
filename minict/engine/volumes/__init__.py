"""What a container mounts: named volumes, host directories, tmpfs.

Begin with :mod:`.options`, which parses ``-v``, ``--mount`` and ``--tmpfs``; :mod:`.mounts` turns them into mounts,
:mod:`.store` keeps named volumes, and :mod:`.populate` fills a new one from the image.
"""
