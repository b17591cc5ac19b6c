"""Chapter 10: a container that reaches another one by address, and not by name."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401  getaddrinfo() needs it, and in a container there is nothing to import from
import os
import socket

import minict
from minict.engine.networks import store
from minict.kernel import namespaces

from ..child import run_in_child
from ..feedback import Feedback
from ..scenario import Scenario

_SHOP = "shop"
_AS_FOUND = ["127.0.0.53"]  # the name servers in its resolv.conf
_KINDS = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET


class Town:
    """A user-defined network, the broken container on it, and the container shop."""

    def __init__(self):
        self.network = f"town-{os.urandom(3).hex()}"
        store.create(self.network)
        self.shop = minict.run("tiny", "sleep 100000", network=self.network, network_alias=[_SHOP], detach=True)
        self.box = minict.run("tiny", "sleep 100000", network=self.network, detach=True)


_towns: dict[int, Town] = {}


def start():
    """The container, whose resolv.conf is that of a machine with a resolver of its own."""
    town = Town()
    _towns[id(town.box)] = town
    with open(f"{town.box.root}/etc/resolv.conf", "w") as file:
        file.write(f"# This is /run/systemd/resolve/stub-resolv.conf\nnameserver {_AS_FOUND[0]}\n")
    return town.box


def end(box) -> None:
    """Stop both, and remove the network."""
    town = _towns.pop(id(box), None)
    if town:
        for each in (town.box, town.shop):
            each.stop(timeout=0)
        with contextlib.suppress(minict.ContainerError):
            store.remove(town.network)


def check(box) -> None:
    """Both run, and a program in the container finds the shop by name, at the right address."""
    town = _towns[id(box)]
    if box.status != "running":
        raise Feedback("The container has ended. It must go on: repair it while it runs.")
    if town.shop.status != "running":
        raise Feedback(f"The {_SHOP} has ended. It was not broken.")
    found = run_in_child(_find, box.pid)
    if found == town.shop.address:
        return
    if found:
        raise Feedback(
            f"In the container the name {_SHOP} leads to {found}, and the {_SHOP} is at {town.shop.address}."
        )
    with open(f"{box.root}/etc/resolv.conf") as file:
        servers = [line.split()[1] for line in file if line.startswith("nameserver ") and len(line.split()) > 1]
    reason = f"A program in the container still does not find the name {_SHOP}."
    if servers != _AS_FOUND:  # the learner has changed the file, and so knows that it matters
        asked = ", ".join(servers) or "no address"
        reason += f" It asks the name server at {asked}. Who answers there, and does that one know the containers?"
    raise Feedback(reason)


def _find(pid: int) -> str:
    """The address of the shop, as the C library finds it inside; "" when it does not."""
    pidfd = os.pidfd_open(pid)
    namespaces.setns(pidfd, _KINDS)
    try:
        return socket.getaddrinfo(_SHOP, 80, socket.AF_INET)[0][4][0]
    except OSError:
        return ""


def repair(box):
    """Name minict's own name server, which knows the containers of a user-defined network."""
    with open(f"{box.root}/etc/resolv.conf", "w") as file:
        file.write("nameserver 127.0.0.11\n")


def _name_the_gateway(box):
    with open(f"{box.root}/etc/resolv.conf", "w") as file:
        file.write(f"nameserver {box.address.rpartition('.')[0]}.1\n")


def _write_a_wrong_address(box):
    with open(f"{box.root}/etc/hosts", "a") as file:
        file.write(f"{box.address} {_SHOP}\n")


def _stop(box):
    box.stop(timeout=0)


Scenario(
    "nameless",
    "This container reaches the container shop by its address, and not by its name. Nobody has changed the network.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        'nameless.exec("cat /etc/resolv.conf") shows whom a program in there asks. Whose address is that?',
        "To the container, 127.0.0.53 is itself, and nobody listens there. On a user-defined network "
        "something answers that knows all names: at which address?",
        'The file is nameless.root + "/etc/resolv.conf", and the name server that minict runs in there is 127.0.0.11.',
    ],
    solution=repair,
    wrong={
        "names the gateway": (_name_the_gateway, "Who answers there"),
        "writes a wrong address": (_write_a_wrong_address, "leads to"),
        "stops it": (_stop, "It must go on"),
    },
    end=end,
)
