"""A notebook's kernel that is root's, for a JupyterLab that is an ordinary user's: ``python -P kernel.py -f FILE``.

The two talk through Unix sockets in the user's own directory.  The kernel makes them, as root, and a process that
connects to a Unix socket must be allowed to write to it: so they are given to the owner of that directory.

Nothing of minict is imported here: ``from minict.lab import *`` looks at the notebook when it is imported, and there
is none yet.
"""

from __future__ import annotations

import os
import time

from ipykernel.kernelapp import IPKernelApp

_PATIENCE = 60  # seconds until the heartbeat's thread must have made its socket


class RootKernel(IPKernelApp):
    """The usual kernel, with sockets that belong to the owner of their directory."""

    def write_connection_file(self, **options):
        """Called when all sockets are made, but for the heartbeat's, which a thread makes just now."""
        super().write_connection_file(**options)
        if self.transport != "ipc":
            return
        owner = os.stat(os.path.dirname(self.abs_connection_file))
        deadline = time.monotonic() + _PATIENCE
        for port in (self.shell_port, self.iopub_port, self.stdin_port, self.control_port, self.hb_port):
            path = f"{self.ip}-{port}"
            while not os.path.exists(path) and time.monotonic() < deadline:
                time.sleep(0.005)
            os.chown(path, owner.st_uid, owner.st_gid)


if __name__ == "__main__":
    RootKernel.launch_instance()
