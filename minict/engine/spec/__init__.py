"""From a container's options to its OCI runtime spec.

Begin with :func:`.spec.specify`, which builds the spec; the other modules translate one group of options each:
resources, namespaces, security, user, devices, seccomp.
"""
