"""``minict run`` and ``minict create``."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, table, under


def run(fields: dict, arguments: list[str]) -> int:
    import gc

    gc.disable()  # to look for garbage in modules that are just being loaded takes 1 ms, and finds none
    from minict.engine.containers.options import ContainerOptions
    from minict.engine.lifecycle import run as run_container

    own = {
        name: fields.pop(name)
        for name in ("detach", "detach_keys", "trace", "quiet", "attach", "sig_proxy")
        if name in fields
    }
    image, *command = arguments
    settings = ContainerOptions(**fields)
    tell(settings)
    return run_container.run(image, command, settings, **own)


def create(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.options import ContainerOptions
    from minict.engine.lifecycle import create

    image, *command = arguments
    quiet = fields.pop("quiet", False)
    settings = ContainerOptions(**fields)
    tell(settings)
    print(create.create(image, command, settings, found=create.find_image(image, settings, quiet)).id)


def tell(settings) -> None:
    """Tell of wishes that are without effect."""
    import os

    notes = []
    if settings.security_opt:
        from minict.engine.spec import security

        notes += security.notes(settings)
    if "host" in settings.network and (settings.publish or settings.publish_all):
        notes.append(
            "-p is without effect: with --network host, what the container listens at is the host's port already"
        )
    for note in notes:
        os.write(2, f"minict: {note}\n".encode())


# What `run` and `create` take alike: the fields of minict.engine.containers.options.ContainerOptions.
SETTINGS = [
    *under(
        "The command",
        Option("-i --interactive", "the command reads our standard input", often=True),
        Option("-t --tty", "the container gets a terminal, joined to ours", often=True),
        Option("--entrypoint", "run this instead of the image's entry point", "COMMAND", often=True),
        Option("-e --env", "a variable: NAME=VALUE, or NAME for our own", "NAME=VALUE", many=True, often=True),
        Option("--env-file", "a file with a variable in each line", "FILE", many=True),
        Option("-w --workdir", "where the command begins", "DIRECTORY", often=True),
        Option("-u --user", "who it runs as: UID or NAME, and :GID", "USER[:GROUP]", often=True),
        Option("--group-add", "a further group of that user", "GROUP", many=True),
        Option("--init", "a tiny init as process 1, which reaps and hands on signals", often=True),
    ),
    *under(
        "Who it is",
        Option("--name", "give the container a name", "NAME", often=True),
        Option("-h --hostname", "its host name (else its id)", "NAME", often=True),
        Option("--domainname", "its NIS domain name", "NAME"),
        Option("-l --label", "a label: NAME=VALUE", "NAME=VALUE", many=True),
        Option("--label-file", "a file with a label in each line", "FILE", many=True),
        Option("--annotation", "an annotation of its OCI specification", "NAME=VALUE", many=True),
        Option("--cidfile", "write its id into this new file", "FILE"),
        Option("--pull", "when its image is fetched (missing)", "missing|always|never"),
        Option("--platform", "of which platform the image must be", "OS/ARCH"),
    ),
    *under(
        "Its life",
        Option("--rm", "remove it at its end", often=True),
        Option("--restart", "no (the default), always, unless-stopped or on-failure[:N]", "POLICY", often=True),
        Option("--stop-signal", "what 'stop' sends (else the image's, else SIGTERM)", "SIGNAL"),
        Option("--stop-timeout", "after how long 'stop' kills it (10)", "SECONDS"),
        Option("--health-cmd", "a shell command that says by its exit status how it is", "COMMAND"),
        Option("--health-interval", "time between two of them (30s)", "TIME"),
        Option("--health-timeout", "how long one may take (30s)", "TIME"),
        Option("--health-retries", "how many failures make it unhealthy (3)", "NUMBER"),
        Option("--health-start-period", "how long failures do not count (0s)", "TIME"),
        Option("--health-start-interval", "time between two of them meanwhile (5s)", "TIME"),
        Option("--no-healthcheck", "leave out the image's own"),
        Option("--log-driver", "whether what it writes is kept (json-file)", "json-file|none"),
        Option("--log-opt", "max-size=SIZE or max-file=NUMBER", "NAME=VALUE", many=True),
    ),
    *under(
        "What it uses",
        Option("-m --memory", "memory, such as 128m", "BYTES", often=True),
        Option("--memory-swap", "memory and swap together; -1 for any amount of swap", "BYTES"),
        Option("--memory-reservation", "what it keeps when memory is short", "BYTES"),
        Option("--memory-swappiness", "how gladly it is swapped out: 0 to 100 (cgroup v1)", "NUMBER"),
        Option("--oom-kill-disable", "out of memory it waits, and is not killed (cgroup v1)"),
        Option("--oom-score-adj", "how early it is killed: -1000 to 1000", "NUMBER"),
        Option("--cpus", "processors, such as 0.5", "NUMBER", often=True),
        Option("-c --cpu-shares", "its weight among others: 2 to 262144 (1024)", "NUMBER"),
        Option("--cpu-quota", "processor time in each period", "MICROSECONDS"),
        Option("--cpu-period", "the length of the period (100000)", "MICROSECONDS"),
        Option("--cpuset-cpus", "on which processors, such as 0-1,3", "LIST"),
        Option("--cpuset-mems", "on which memory nodes", "LIST"),
        Option("--pids-limit", "processes and threads; 0 or -1 for no limit", "NUMBER", often=True),
        Option("--blkio-weight", "its weight at disks: 10 to 1000", "NUMBER"),
        Option("--device-read-bps", "bytes a second from a disk", "PATH:BYTES", many=True),
        Option("--device-write-bps", "bytes a second to a disk", "PATH:BYTES", many=True),
        Option("--device-read-iops", "operations a second from a disk", "PATH:NUMBER", many=True),
        Option("--device-write-iops", "operations a second to a disk", "PATH:NUMBER", many=True),
        Option("--ulimit", "a limit of each process, such as nofile=1024:4096", "NAME=SOFT[:HARD]", many=True),
        Option("--shm-size", "the size of /dev/shm (64m)", "BYTES"),
        Option("--cgroup-parent", "the control group in which it gets its own", "PATH"),
    ),
    *under(
        "Its files",
        Option(
            "-v --volume", "a volume or directory of the host inside: SRC:DST[:ro]", "SRC:DST", many=True, often=True
        ),
        Option("--mount", "the same in words: type=bind,source=…,target=…", "WORDS", many=True),
        Option("--tmpfs", "a file system in memory: DST[:OPTIONS]", "DST", many=True),
        Option("--volumes-from", "the volumes of another container", "CONTAINER[:ro]", many=True),
        Option("--read-only", "the root file system can't be written to", often=True),
    ),
    *under(
        "Its networks",
        Option(
            "--net --network",
            "bridge (the default), none, host, container:NAME or a network",
            "NETWORK",
            many=True,
            often=True,
        ),
        Option("--net-alias --network-alias", "a further name on its network", "NAME", many=True),
        Option("--ip", "its address there", "ADDRESS"),
        Option("--mac-address", "its hardware address there", "ADDRESS"),
        Option("--link", "another container under a name", "CONTAINER[:ALIAS]", many=True),
        Option(
            "-p --publish",
            "a port of the host for one of its own: [IP:][HOST:]PORT[/udp]",
            "PORT",
            many=True,
            often=True,
        ),
        Option("-P --publish-all", "a port of the host for each that is exposed", often=True),
        Option("--expose", "expose a port, beside those of the image", "PORT", many=True),
        Option("--dns", "a name server", "ADDRESS", many=True),
        Option("--dns-search", "a domain in which names are looked up", "DOMAIN", many=True),
        Option("--dns-opt --dns-option", "an option of resolv.conf(5)", "OPTION", many=True),
        Option("--add-host", "a line for its /etc/hosts", "NAME:ADDRESS", many=True),
    ),
    *under(
        "What it shares",
        Option("--pid", "whose processes: host or container:NAME (else its own)", "MODE"),
        Option("--ipc", "whose IPC: private (the default), shareable, host or container:NAME", "MODE"),
        Option("--uts", "whose host name: private (the default), host or container:NAME", "MODE"),
        Option("--userns", "whose users (host)", "host|private", often=True),
        Option("--cgroupns", "whose view of cgroups (private)", "private|host"),
    ),
    *under(
        "Its powers",
        Option("--cap-add", "give it a capability, or ALL", "NAME", many=True, often=True),
        Option("--cap-drop", "take a capability from it, or ALL", "NAME", many=True, often=True),
        Option("--security-opt", "no-new-privileges, seccomp=FILE, seccomp=unconfined…", "OPTION", many=True),
        Option("--privileged", "give it everything that root has on the host", often=True),
        Option("--device", "a device of the host: PATH[:PATH INSIDE][:rwm]", "PATH", many=True),
        Option("--device-cgroup-rule", "which devices it may use, such as 'c 188:* rw'", "RULE", many=True),
        Option("--sysctl", "a setting of the kernel for its namespaces", "NAME=VALUE", many=True),
    ),
]

QUIET = under("Who it is", Option("-q --quiet", "say nothing when the image is fetched"))

COMMANDS = table(
    Command(
        "run",
        "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]",
        "Run a command in a new container of an image.",
        "minict run -it --rm --memory 128m tiny sh",
        run,
        [
            *under(
                "The command",
                Option("-d --detach", "in the background; its id is printed", often=True),
                Option("--detach-keys", "the keys that leave it alone, with -it (ctrl-p,ctrl-q)", "KEYS"),
                Option("-a --attach", "only these of its streams are ours, too", "stdin|stdout|stderr", many=True),
                Option("--sig-proxy", "hand our signals on to it (true; --sig-proxy=false)"),
                Option("--trace", "show the steps of its birth, with their times", often=True),
            ),
            *SETTINGS,
            *QUIET,
        ],
        (1, None),
        words_follow=True,
    ),
    Command(
        "create",
        "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]",
        "Make a container, to be started later.",
        "minict create --name box tiny sleep 60",
        create,
        [*SETTINGS, *QUIET],
        (1, None),
        words_follow=True,
    ),
)
