"""minict as an OCI runtime: the command line that Podman, Docker, containerd and Slurm call to run a container.

An engine unpacks an image, writes a specification, and calls ``minict-oci`` once for each step of the life cycle. Each
call is a process of its own that ends at once; what the next call has to know is in the state directory.

::

    create ──► start ──► (pause ◄──► resume, exec, update, ps, events …) ──► kill ──► delete
       │         │                                                            │         │
    created   running                                                      stopped    gone

The commands, their options and their output are those of runc, which all engines know: runc(8). The floor below,
:mod:`minict.runtime`, does the work.

=================  ===========================================================================================
:mod:`.main`       from the words of the command line to a function, and to an exit status
:mod:`.commands`   the table of commands and options; :mod:`.options` reads words by it
:mod:`.log`        errors as engines read them: one sentence, also as a line of JSON
:mod:`.bundle`     the specification: read, checked, or written as an example
:mod:`.record`     what is kept about a container from one call to the next; the state document
:mod:`.create`     ``create`` and ``run``; :mod:`.terminal` and :mod:`.attend` for those that stay with the container
:mod:`.lifecycle`  ``start``, ``kill``, ``delete``, ``pause``, ``resume``
:mod:`.process`    ``exec``: a further process in a running container
:mod:`.update`     other limits for a running container
:mod:`.inspect`    ``state``, ``list``, ``ps``; :mod:`.events` and :mod:`.features`
=================  ===========================================================================================

Sources: OCI runtime-spec, runtime.md; runc(8) and its pages runc-create(8), runc-exec(8)…; README.md in this directory
says what becomes of each field of the specification.
"""
