"""Chapter 10: forwarding, translated addresses, published ports, and names."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "reaching-the-world",
    Question(
        "A container has a default route, and the host forwards packets. There is no masquerading. It calls a server "
        "on the internet. What happens?",
        wrong(
            "The call is refused at once, because nobody on the internet has the container's address",
            "A refusal is an answer, and no answer finds its way back.",
        ),
        right(
            "Its packet arrives, and the answer does not",
            "Yes: the server sees a private address as the sender, and nobody out there knows the way to it.",
        ),
        wrong(
            "Its packet never leaves the host",
            "It does. The host forwards what it has a route for, whatever the sender's address is.",
        ),
    ),
    Question(
        "A rule in `prerouting` sends port 8080 on to a container. Why does the host itself not reach it at its own "
        "address?",
        wrong(
            "The kernel does not let a machine connect to its own address",
            "It does, by the loopback interface. The server only has to be there.",
        ),
        wrong(
            "The container's answer has no way back to the host",
            "It has: the host is the container's gateway. In this case the container never gets the packet.",
        ),
        right(
            "A packet of the host does not arrive: it begins there",
            "Yes: prerouting is for what comes in from outside. The host's own packets begin at output.",
        ),
    ),
    Question(
        "The host calls `127.0.0.1:8080`, and the packet is sent on to the container, with 127.0.0.1 as its sender. "
        "Why must the sender be changed as well?",
        right(
            "In the container 127.0.0.1 means the container, which drops such a packet",
            "Yes: each network namespace has a loopback of its own, and nobody believes a packet from outside that "
            "claims to come from oneself. The gateway's address is believed, and answered.",
        ),
        wrong(
            "Two changes of one packet have to be made together, or the checksum of the packet is wrong",
            "The kernel mends checksums by itself, for one change as well as for two.",
        ),
        wrong(
            "The firewall of the container accepts only packets from its gateway",
            "A container has no rules of its own here. It is the address that matters.",
        ),
    ),
    Question(
        "You drop all packets to port 8080 in the chain `input` (as `ufw` does), and a container publishes this port. "
        "Who can reach it?",
        wrong("Only programs of the host", "Their packets take another way, and the others' do not pass input either."),
        wrong(
            "Nobody: one drop is final, in whatever chain it is",
            "A drop is final for the packets that pass that chain. These do not.",
        ),
        right(
            "Everybody, as before",
            "Yes: prerouting has changed the destination, so the packet is forwarded, and never passes input. Publish "
            "at 127.0.0.1 what is for the host alone.",
        ),
    ),
    Question(
        "You remove the rule of a published port. What happens to a connection that is open?",
        right(
            "It goes on until one side closes it",
            "Yes: the rule is asked for the first packet. The rest is a look into the table of connections.",
        ),
        wrong(
            "It is closed at once, and both sides are told",
            "Nobody tells them: a rule that is gone does nothing, and the connection is remembered.",
        ),
        wrong(
            "Its packets are lost, and it hangs until a time-out",
            "They still find the container: the kernel remembers how the first packet was translated.",
        ),
    ),
    Question(
        "A server of the host listens on port 8080. Then a rule sends port 8080 on to a container. Who complains?",
        wrong(
            "The kernel, when the rule is added: the port is in use",
            "A rule is not a socket: the kernel compares the two nowhere.",
        ),
        right(
            "Nobody, and the server gets no more calls",
            "Yes. That is why a runtime first takes the port with a socket of its own, which fails when it is in use.",
        ),
        wrong(
            "The server, which gets an error when it accepts the next connection",
            "It gets nothing: it waits for calls that are on their way to the container.",
        ),
    ),
    Question(
        "The host's `/etc/resolv.conf` names `127.0.0.53`, and a container gets a copy of the file. Whom does the "
        "container ask?",
        wrong(
            "The host's resolver, because 127.0.0.53 belongs to it",
            "127.0.0.53 is a loopback address, and each network namespace has a loopback of its own.",
        ),
        wrong(
            "The name server of the network, which 127.0.0.53 stands for everywhere",
            "It stands for nothing: it is an address of the machine that asks.",
        ),
        right(
            "Itself, and is refused",
            "Yes: nobody listens there. A runtime leaves such servers out, and takes those that the resolver asks.",
        ),
    ),
)
