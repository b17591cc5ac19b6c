"""Many containers, as Docker manages them: images, networks, volumes, builds, and the command line.

Each package imports only those before it, and nothing imports back, not even inside a function:

====================  ==========================================================================
:mod:`.util`          units, times, tables, templates, background processes
:mod:`.archive`       tar archives, read without trust, and the files of a container
:mod:`.containers`    the data of containers: records, names, options, policies
:mod:`.distribution`  registries: references, manifests, transport, credentials
:mod:`.images`        the image store, pull and push, layers
:mod:`.volumes`       mounts and named volumes
:mod:`.networks`      bridges, addresses, the firewall, ports, names
:mod:`.spec`          from options to the OCI runtime spec
:mod:`.lifecycle`     create, start, exec, stop; the monitor; inspect, logs, stats
:mod:`.builder`       Dockerfiles
:mod:`.system`        doctor, info, disk usage, pruning
:mod:`.cli`           the command line; beside it :mod:`.api`, for Python
====================  ==========================================================================

Begin with :mod:`.lifecycle.run`, which is ``minict run``, and follow its calls down; ARCHITECTURE.md has the route.
"""
