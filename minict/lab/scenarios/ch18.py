"""Chapter 18: nginx says 502, and the app behind it runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

import minict
from minict.engine.networks import store

from ..applications import application_images
from ..feedback import Feedback
from ..readiness import is_open, until
from ..scenario import Scenario
from ..shop import listening, start_menu, visit

_PORT = 8000
_PROXY = "server {{ listen 80; location / {{ proxy_pass http://{}:{}; proxy_connect_timeout 3s; }} }}\n"


class Cafe:
    """A container ``web`` with nginx, which passes requests on to port 8000 of the container ``kitchen``, where an app
    runs."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="minict-cafe-")
        os.chmod(self.directory, 0o755)
        self.network = f"cafe-{os.urandom(3).hex()}"
        store.create(self.network)
        self.kitchen = minict.run("tiny", "sleep 100000", network=self.network, detach=True)
        with open(f"{self.directory}/default.conf", "w") as file:
            file.write(_PROXY.format(self.kitchen.address, _PORT))
        nginx, _ = application_images()
        volume = [f"{self.directory}:/etc/nginx/conf.d:ro"]
        self.web = minict.run(nginx, network=self.network, volume=volume, detach=True)
        self.app = start_menu(self.kitchen, port=_PORT, listen="127.0.0.1")
        until(lambda: is_open(self.web.address, 80), 30)

    def __repr__(self):
        return (
            f"nginx passes requests on to {self.kitchen.address}:{_PORT}; the app runs in the kitchen "
            f"at address {self.kitchen.address}"
        )

    def page(self) -> str:
        """What a browser gets from nginx."""
        return visit(f"http://{self.web.address}/")

    def listening(self) -> list[str]:
        """Where programs in the kitchen listen, as ``address:port``, but for minict's own name server."""
        found = listening(self.kitchen.pid)
        return [f"{address}:{port}" for address, port in found if address != "127.0.0.11"]

    def serve(self, listen: str, port: int = _PORT, inside=None) -> None:
        """Start the app again, so that it listens at this address and port, in the kitchen or another container."""
        self.app.stop()
        self.app = start_menu(inside or self.kitchen, port=port, listen=listen)


def start():
    """The café, whose app listens where nobody but the kitchen itself can reach it."""
    return Cafe()


def end(cafe) -> None:
    """Close it."""
    cafe.app.stop()
    for box in (cafe.web, cafe.kitchen):
        box.stop(timeout=0)
    with contextlib.suppress(minict.ContainerError):
        store.remove(cafe.network)
    shutil.rmtree(cafe.directory, ignore_errors=True)


def check(cafe) -> None:
    """nginx runs, and shows what the app in the kitchen says."""
    for name in ("web", "kitchen"):
        if getattr(cafe, name).status != "running":
            raise Feedback(f"The container {name} has ended. Neither of the two was broken: both must go on.")
    page = cafe.page()
    if page != "pie of the day":
        where = ", ".join(cafe.listening()) or "nowhere"
        raise Feedback(
            f"A browser still gets: {page}. nginx asks {cafe.kitchen.address}:{_PORT}, and in the kitchen somebody "
            f"listens at: {where}."
        )


def repair(cafe):
    """Listen at all addresses of the kitchen."""
    cafe.serve("0.0.0.0")


def _start_again(cafe):
    cafe.serve("127.0.0.1")


def _another_port(cafe):
    cafe.serve("0.0.0.0", port=80)


def _into_the_web(cafe):
    cafe.serve("0.0.0.0", inside=cafe.web)


def _stop_nginx(cafe):
    cafe.web.stop(timeout=0)


Scenario(
    "cafe",
    "nginx answers each request with 502 Bad Gateway. The app behind it runs, and it answers its own developer, inside "
    "its container.",
    minutes=7,
    start=start,
    check=check,
    clues=[
        "cafe.page() is what a browser gets. 502 comes from nginx: it has asked somebody and got no answer. "
        "print(cafe) tells whom it asks.",
        "cafe.listening() tells where programs in the kitchen listen. A packet for another address than that one is "
        "refused.",
        "127.0.0.1 is the container itself, in each container. cafe.serve(address) starts the app again at another "
        "address; 0.0.0.0 means all of them.",
    ],
    solution=repair,
    wrong={
        "starts it again": (_start_again, "somebody listens at: 127.0.0.1:8000"),
        "another port": (_another_port, "somebody listens at: 0.0.0.0:80"),
        "into nginx's container": (_into_the_web, "somebody listens at: nowhere"),
        "stops nginx": (_stop_nginx, "has ended"),
    },
    end=end,
)
