"""Images with real servers in them, for test_applications.py: ``web`` (nginx) and ``db`` (MariaDB), which share their
layers.

The lower layer is Debian's own packages, as registryserver.debian keeps them; the upper one is FILES, and what the
scripts of the packages would have made.
"""

from __future__ import annotations

import io
import tarfile

from tests.support.registry_server import Layout, debian
from tests.support.world import host_network

PACKAGES = ("nginx-light", "mariadb-server-core", "mariadb-client-core", "busybox-static")

APPLETS = (
    "sh ls cat cp mv rm mkdir rmdir ln chmod chown chgrp touch sed grep cut tr sort head tail wc sleep true false "
    "kill ps id "
    "hostname uname date dirname basename expr test [ env nc wget ping ip find printf echo seq mktemp sync dd sha256sum"
)

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmysql:x:100:100::/var/lib/mysql:/bin/false\n"
    "www-data:x:33:33::/srv:/bin/false\n",
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
    '--innodb-buffer-pool-size=16M --innodb-log-file-size=4M --key-buffer-size=1M --skip-log-bin "$@"\n',
    "etc/nginx/nginx.conf": "daemon off; user www-data; worker_processes 1; pid /tmp/nginx.pid; error_log stderr "
    "warn;\n"
    "events {}\n"
    "http {\n  access_log /dev/stdout;\n  server {\n    listen 80;\n    root /srv;\n"
    "    location /cgi-bin/ { proxy_pass http://127.0.0.1:8080; }\n  }\n}\n",
}
DIRECTORIES = {
    "tmp": (0o1777, 0),
    "run": (0o755, 0),
    "var/lib/mysql": (0o755, 100),
    "var/log/nginx": (0o755, 0),
    "var/lib/nginx": (0o755, 0),
    "root": (0o700, 0),
    "proc": (0o755, 0),
    "sys": (0o755, 0),
    "dev": (0o755, 0),
}
CONFIG = {
    "web": {"cmd": "nginx", "exposedports": "80/tcp"},
    "db": {"cmd": "database", "exposedports": "3306/tcp", "volume": "/var/lib/mysql"},
}


def make(layout: Layout) -> None:
    """Make the two images in *layout*."""
    with host_network():  # in case the packages have to be fetched
        packages = debian(*PACKAGES, variant="extract")
    ours = f"{layout.directory}/ours.tar"
    add_ours(packages, ours)
    for name, config in CONFIG.items():
        layout.image(name, [packages, ours], env="PATH=/usr/sbin:/usr/bin:/sbin:/bin", **config)


def add_ours(packages: str, ours: str) -> None:
    """Add the second layer: what the packages' scripts would have created, the configuration, and the usual small
    commands."""
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


def add(
    tar, name: str, text: str = "", mode: int = 0o777, owner: int = 0, link: str = "", directory: bool = False
) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid, entry.linkname = mode, owner, owner, link
    entry.type = tarfile.SYMTYPE if link else tarfile.DIRTYPE if directory else tarfile.REGTYPE
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))
