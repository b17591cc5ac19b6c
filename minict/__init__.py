"""A container runtime in readable Python, and the package that the course of notebooks builds.

==================  ===========================================================================
``minict.kernel``   the system calls that Python lacks
``minict.runtime``  one container from one OCI specification, as runc makes it
``minict.oci``      the command line of an OCI runtime, for Podman, Docker, containerd
``minict.engine``   many containers, as Docker manages them: images, networks, the command line
``minict.lab``      what only the notebooks use
==================  ===========================================================================
"""

__version__ = "0.1.0"

_API = {
    **dict.fromkeys(
        (
            "run",
            "create",
            "container",
            "containers",
            "image",
            "images",
            "volumes",
            "networks",
            "Container",
            "Running",
            "Finished",
        ),
        "minict.engine.api",
    ),
    "build": "minict.engine.builder.builder",
    "pull": "minict.engine.images.pull",
    "push": "minict.engine.images.push",
    "prune": "minict.engine.system.prune",
    "ContainerError": "minict.runtime.errors",
}


def __getattr__(name: str) -> object:
    """``minict.run`` and the like are loaded when first asked for: the command line starts faster without them."""
    if name in _API:
        import importlib

        return getattr(importlib.import_module(_API[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_API]
