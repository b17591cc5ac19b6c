"""Chapter 09: network namespaces, veth pairs, bridges, addresses and netlink."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "network",
    Question(
        "Two containers on one machine both have a web server on port 80. Why is there no *Address already in use*?",
        wrong(
            "The runtime gives the second one another port behind the scenes",
            "Nobody changes a port here. Both servers really listen on 80.",
        ),
        right(
            "A port is taken once in each network namespace",
            "Yes: the list of ports belongs to the namespace, like interfaces, addresses and routes.",
        ),
        wrong(
            "Port 80 is special: root may open it more than once",
            "In one namespace, root gets *Address already in use* like everybody else.",
        ),
    ),
    Question(
        "`ip link set veth1 netns 4711`: where does `veth1` go?",
        wrong(
            "Into a network namespace with the name 4711",
            "Only if somebody has made one of that name, with `ip netns add 4711`. Otherwise a number means a process.",
        ),
        wrong(
            "To the process 4711 alone; others in its namespace do not see it",
            "Interfaces belong to namespaces. Every process in that one sees it.",
        ),
        right(
            "Into the network namespace that process 4711 is in",
            "Yes. With the number of a process in your own namespace nothing moves, and nothing is reported: that was "
            "the snippet's mistake.",
        ),
    ),
    Question(
        "You set an address on an interface, then move it into a container. What does the container see?",
        right(
            "The interface, switched off and without an address",
            "Yes: an interface arrives bare. First move it, then configure it.",
        ),
        wrong(
            "The interface with its address, switched off",
            "The address belongs to the namespace that the interface has left, and goes with the move.",
        ),
        wrong("Nothing: an interface with an address cannot be moved", "It can, and silently loses the address."),
    ),
    Question(
        "Two cables lead from the host to two containers. All addresses are in `10.9.0.0/24`. The host reaches only "
        "the first container. Why?",
        wrong(
            "Two containers cannot have addresses in one subnet",
            "They can, and mostly do. But then something must know which of them is behind which cable.",
        ),
        wrong("Forwarding is off on the host", "The host itself talks here: it forwards nothing."),
        right(
            "The host has two equal routes, and takes the first one for both",
            "Yes. A switch has one route for the whole subnet, and finds the right cable by Ethernet addresses.",
        ),
    ),
    Question(
        "Two containers are on one bridge, and the bridge has no address. Can they reach each other?",
        right(
            "Yes: the address of a bridge is the host's own, for the host to take part",
            "Right. The bridge passes on Ethernet frames, and looks at no IP address.",
        ),
        wrong(
            "No: the bridge is their gateway, and a gateway needs an address",
            "A gateway leads out of the subnet. These two are in the same one.",
        ),
        wrong(
            "Only with `ip_forward` set to 1 on the host",
            "That is for packets between subnets. Inside of one nothing is routed.",
        ),
    ),
    Question(
        "A program connects to another machine and gets ECONNREFUSED at once. What do you know?",
        wrong(
            "The cable is unplugged, or an interface is off",
            "Then nobody could have refused. If it is your own interface, you get ENETUNREACH; if it is theirs, "
            "EHOSTUNREACH after about 3 seconds.",
        ),
        wrong(
            "There is no route to the address",
            "That would be ENETUNREACH: your own kernel says so, and sends nothing.",
        ),
        right(
            "The machine was reached, and nobody listens on that port",
            "Yes: a kernel has answered. Network, cable and address are all right.",
        ),
    ),
    Question(
        "The last process in a network namespace ends, but somebody keeps `/proc/PID/ns/net` of it open. What happens?",
        wrong(
            "The namespace goes, and the open file reports an error",
            "An open file is a reference, and the kernel keeps what is referred to.",
        ),
        right(
            "The namespace stays, with all its interfaces",
            "Yes: it stays as long as anything refers to it: a process, an open file, or a bind mount. `ip netns add` "
            "makes such a bind mount.",
        ),
        wrong(
            "The interfaces go, and the empty namespace stays",
            "The interfaces belong to the namespace, and go with it, not before.",
        ),
    ),
)
