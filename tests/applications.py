"""Images with real servers in them, and a real registry to pull them from: for test_applications.py and its like.

The root file system is Debian's own packages, put together by mmdebstrap; umoci makes two images of it, ``web`` (nginx) and
``db`` (MariaDB), which share their layers; skopeo brings them into docker-registry.  The images are made once and kept:
below MINICT_TEST_CACHE, or ~/.cache/minict, under a name that stands for all that they are made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import shutil
import socket
import subprocess
import tarfile
import time

from conftest import on_the_machines_network

PACKAGES = "nginx-light,mariadb-server-core,mariadb-client-core,busybox-static"
PORT = 5000  # each session of the tests has a network of its own

APPLETS = "sh ls cat cp mv rm mkdir rmdir ln chmod chown chgrp touch sed grep cut tr sort head tail wc sleep true false kill ps id " \
          "hostname uname date dirname basename expr test [ env nc wget ping ip find printf echo seq mktemp sync dd sha256sum"

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmysql:x:100:100::/var/lib/mysql:/bin/false\nwww-data:x:33:33::/srv:/bin/false\n",
    "etc/group": "root:x:0:\nmysql:x:100:\nwww-data:x:33:\n",
    "srv/index.html": "nginx in a container of minict\n",
    # a second tier without a language of its own: a shell script behind nginx asks the database, which it knows by name
    "srv/cgi-bin/words": "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                         "exec mariadb --host db --user app --database shop -N -e 'SELECT word FROM words ORDER BY number' 2>&1\n",
    "usr/bin/front": "#!/bin/sh\nbusybox httpd -p 127.0.0.1:8080 -h /srv\nexec nginx\n",
    "usr/bin/database": "#!/bin/sh\n"
                        "[ -d /var/lib/mysql/mysql ] || mariadb-install-db --force --user=mysql --skip-test-db "
                        "--auth-root-authentication-method=normal >/dev/null || exit 1\n"
                        "exec mariadbd --user=mysql --socket=/tmp/mysqld.sock --pid-file=/tmp/mysqld.pid --skip-name-resolve "
                        "--innodb-buffer-pool-size=16M --innodb-log-file-size=4M --key-buffer-size=1M --skip-log-bin \"$@\"\n",
    "etc/nginx/nginx.conf": "daemon off; user www-data; worker_processes 1; pid /tmp/nginx.pid; error_log stderr warn;\n"
                            "events {}\n"
                            "http {\n  access_log /dev/stdout;\n  server {\n    listen 80;\n    root /srv;\n"
                            "    location /cgi-bin/ { proxy_pass http://127.0.0.1:8080; }\n  }\n}\n",
}
DIRECTORIES = {"tmp": (0o1777, 0), "run": (0o755, 0), "var/lib/mysql": (0o755, 100), "var/log/nginx": (0o755, 0),
               "var/lib/nginx": (0o755, 0), "root": (0o700, 0), "proc": (0o755, 0), "sys": (0o755, 0), "dev": (0o755, 0)}
IMAGES = {"web": ["--config.cmd", "nginx", "--config.exposedports", "80/tcp"],
          "db": ["--config.cmd", "database", "--config.exposedports", "3306/tcp", "--config.volume", "/var/lib/mysql"]}


def call(*words: str, seconds: float = 600) -> str:
    """Call a program that must succeed; what it wrote."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}"
    return done.stdout


def layout() -> str:
    """The directory of an OCI layout with the images ``web`` and ``db``; made when it is not there."""
    with open(__file__, "rb") as file:
        inputs = file.read() + repr((release(), platform.machine())).encode()
    cache = os.environ.get("MINICT_TEST_CACHE") or os.path.expanduser("~/.cache/minict")
    place = f"{cache}/applications-{hashlib.sha256(inputs).hexdigest()[:12]}"
    os.makedirs(cache, exist_ok=True)
    with open(f"{cache}/applications.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions of the tests at once
        if not os.path.isdir(place):
            unfinished = f"{place}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            os.makedirs(unfinished)
            make(unfinished)
            os.rename(unfinished, place)
    return f"{place}/layout"


def release() -> tuple[str, str]:
    """The name of this machine's release, and the parts of its archive to look into."""
    os_release = platform.freedesktop_os_release()
    return os_release["VERSION_CODENAME"], "main,universe" if os_release["ID"] == "ubuntu" else "main"


def make(directory: str) -> None:
    suite, components = release()
    packages, ours = f"{directory}/packages.tar", f"{directory}/ours.tar"
    # "extract": the packages' files and nothing else; their scripts would make users and services that no container needs
    call(*on_the_machines_network(), "mmdebstrap", "--quiet", "--variant=extract", f"--include={PACKAGES}", f"--components={components}",
         "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", suite, packages)
    add_ours(packages, ours)
    call("umoci", "init", "--layout", f"{directory}/layout")
    for name, config in IMAGES.items():
        image = f"{directory}/layout:{name}"
        call("umoci", "new", "--image", image)
        for layer in (packages, ours):
            call("umoci", "raw", "add-layer", "--image", image, layer)
        call("umoci", "config", "--image", image, "--config.env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *config)
    os.unlink(packages)
    os.unlink(ours)


def add_ours(packages: str, ours: str) -> None:
    """The second layer: what the packages' scripts would have made, the configuration, and the usual small commands."""
    with tarfile.open(packages) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    busybox = next(name for name in ("bin/busybox", "usr/bin/busybox") if name in names)
    with tarfile.open(ours, "w") as tar:
        for name in ("bin", "sbin", "lib", "lib64"):  # from Debian 13 on links, that none of these packages holds
            if not any(each.startswith(f"{name}/") for each in names) and f"usr/{name}" in names:
                add(tar, name, link=f"usr/{name}")
        for name, (mode, owner) in DIRECTORIES.items():
            add(tar, name, mode=mode, owner=owner, directory=True)
        for name, text in FILES.items():
            add(tar, name, text, 0o755 if text.startswith("#!") else 0o644)
        for name in APPLETS.split():
            if f"bin/{name}" not in names and f"usr/bin/{name}" not in names:
                add(tar, f"usr/bin/{name}", link=f"/{busybox}")
        if "bin/sh" not in names and busybox == "bin/busybox":
            add(tar, "bin/sh", link="busybox")


def add(tar, name: str, text: str = "", mode: int = 0o777, owner: int = 0, link: str = "", directory: bool = False) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid, entry.linkname = mode, owner, owner, link
    entry.type = tarfile.SYMTYPE if link else tarfile.DIRTYPE if directory else tarfile.REGTYPE
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))


class Registry:
    """docker-registry on loopback, with the images in it, as long as it is needed: ``with Registry(directory) as address``."""

    def __init__(self, directory: str):
        self.address = f"127.0.0.1:{PORT}"
        self._config = f"{directory}/registry.yml"
        with open(self._config, "w") as file:
            file.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory}/registry}}}}\n"
                       f"http: {{addr: '{self.address}'}}\n")

    def __enter__(self) -> str:
        self._process = subprocess.Popen(["docker-registry", "serve", self._config], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        wait_for_port("127.0.0.1", PORT)
        for name in IMAGES:
            call("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout()}:{name}",
                 f"docker://{self.address}/{name}:latest", seconds=120)
        return self.address

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()


def wait_for_port(host: str, port: int, seconds: float = 20) -> None:
    """Wait until somebody listens there."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nobody listens at {host}:{port}"
            time.sleep(0.02)
