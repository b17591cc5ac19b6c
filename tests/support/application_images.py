"""Images with an application in them, for test_applications.py: ``web`` (nginx) and ``db`` (MariaDB).

They are made from the images of chapter 18, which the lab makes of packages: see minict/lab/applications.py.
"""

from __future__ import annotations

import os

from minict.engine.builder import builder
from minict.lab import applications
from tests.support.world import host_network

NAMES = ("web", "db")
_RECIPE = """
FROM nginx:stable-alpine AS web
COPY index.html /srv/
COPY --chmod=755 words /srv/cgi-bin/
COPY --chmod=755 front /usr/bin/
COPY default.conf /etc/nginx/conf.d/

FROM mariadb:lts AS db
ENV MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1 MARIADB_DATABASE=shop MARIADB_USER=app
CMD ["mariadbd", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--key-buffer-size=1M"]
"""
_FILES = {
    "Dockerfile": _RECIPE,
    "index.html": "nginx in a container of minict\n",
    # a second tier without a language of its own: a shell script behind nginx asks the database, which it knows by name
    "words": "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
    "exec mariadb --host db --user app --database shop -N -e 'SELECT word FROM words ORDER BY number' 2>&1\n",
    "front": "#!/bin/sh\nbusybox httpd -p 127.0.0.1:8080 -h /srv\nexec nginx -g 'daemon off;'\n",
    "default.conf": "server {\n  listen 80;\n  root /srv;\n"
    "  location /cgi-bin/ { proxy_pass http://127.0.0.1:8080; }\n}\n",
}


def make(directory) -> None:
    """Make the two images; their files are put into *directory*."""
    with host_network():  # in case the packages have to be fetched
        applications.packages()
    applications.application_images()
    for name, text in _FILES.items():
        with open(os.path.join(directory, name), "w") as file:
            file.write(text)
    for name in NAMES:
        builder.build(str(directory), target=name, tag=[name], say=lambda text: None)
