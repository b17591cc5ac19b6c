"""``minict run`` and ``minict create``."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name, under


def run(fields: dict, arguments: list[str]) -> int:
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
    """Warn about options that have no effect."""
    import os

    notes = []
    if settings.security_opt:
        from minict.engine.spec import security

        notes += security.notes(settings)
    if "host" in settings.network and (settings.publish or settings.publish_all):
        notes.append("-p has no effect with --network host: the container listens on the ports of the host itself")
    for note in notes:
        os.write(2, f"minict: {note}\n".encode())


# The options that `run` and `create` share: the fields of minict.engine.containers.options.ContainerOptions.
SETTINGS = [
    *under(
        "General",
        Option("-i --interactive", "Keep STDIN open", often=True),
        Option("-t --tty", "Allocate a pseudo-TTY", often=True),
        Option("--entrypoint", "Overwrite the default ENTRYPOINT of the image", "COMMAND", often=True),
        Option(
            "-e --env",
            "Set an environment variable; NAME alone takes its current value",
            "NAME=VALUE",
            many=True,
            often=True,
        ),
        Option("--env-file", "Read in a file of environment variables", "FILE", many=True),
        Option("-w --workdir", "Working directory inside the container", "DIRECTORY", often=True),
        Option("-u --user", "User name or UID, with :GROUP", "USER[:GROUP]", often=True),
        Option("--group-add", "Add an additional group to join", "GROUP", many=True),
        Option("--init", "Run an init that forwards signals and reaps processes", often=True),
    ),
    *under(
        "Identity",
        Option("--name", "Assign a name to the container", "NAME", often=True),
        Option("-h --hostname", "Container host name", "NAME", often=True),
        Option("--domainname", "Container NIS domain name", "NAME"),
        Option("-l --label", "Set metadata on the container", "NAME=VALUE", many=True),
        Option("--label-file", "Read in a file of labels, one a line", "FILE", many=True),
        Option("--annotation", "Add an annotation to the OCI specification", "NAME=VALUE", many=True),
        Option("--cidfile", "Write the container ID to the file", "FILE"),
        Option("--pull", "Pull the image before running (missing)", "missing|always|never"),
        Option("--platform", "Platform of the image", "OS/ARCH"),
    ),
    *under(
        "Lifecycle",
        Option("--rm", "Remove the container when it exits", often=True),
        Option("--restart", "Restart policy: no, always, unless-stopped, on-failure[:N]", "POLICY", often=True),
        Option("--stop-signal", "Signal to stop the container", "SIGNAL"),
        Option("--stop-timeout", "Seconds to wait before killing the container (10)", "SECONDS"),
        Option("--health-cmd", "Command to run to check health", "COMMAND"),
        Option("--health-interval", "Time between running the check (30s)", "TIME"),
        Option("--health-timeout", "Maximum time to allow one check to run (30s)", "TIME"),
        Option("--health-retries", "Consecutive failures needed to report unhealthy (3)", "NUMBER"),
        Option("--health-start-period", "Time for the container to initialize; failures do not count (0s)", "TIME"),
        Option("--health-start-interval", "Time between checks during the start period (5s)", "TIME"),
        Option("--no-healthcheck", "Disable the HEALTHCHECK of the image"),
        Option("--log-driver", "Logging driver for the container (json-file)", "json-file|none"),
        Option("--log-opt", "Log driver options: max-size=SIZE, max-file=NUMBER", "NAME=VALUE", many=True),
    ),
    *under(
        "Resources",
        Option("-m --memory", "Memory limit, such as 128m", "BYTES", often=True),
        Option("--memory-swap", "Swap limit equal to memory plus swap: -1 for unlimited swap", "BYTES"),
        Option("--memory-reservation", "Memory soft limit", "BYTES"),
        Option("--memory-swappiness", "Tune memory swappiness: 0 to 100 (cgroup v1)", "NUMBER"),
        Option("--oom-kill-disable", "Disable the OOM killer (cgroup v1)"),
        Option("--oom-score-adj", "Tune the host's OOM preferences: -1000 to 1000", "NUMBER"),
        Option("--cpus", "Number of CPUs, such as 0.5", "NUMBER", often=True),
        Option("-c --cpu-shares", "CPU shares (relative weight): 2 to 262144 (1024)", "NUMBER"),
        Option("--cpu-quota", "Limit CPU CFS quota", "MICROSECONDS"),
        Option("--cpu-period", "Limit CPU CFS period (100000)", "MICROSECONDS"),
        Option("--cpuset-cpus", "CPUs in which to allow execution, such as 0-1,3", "LIST"),
        Option("--cpuset-mems", "Memory nodes in which to allow execution", "LIST"),
        Option("--pids-limit", "Limit processes and threads; -1 for unlimited", "NUMBER", often=True),
        Option("--blkio-weight", "Block I/O (relative weight): 10 to 1000", "NUMBER"),
        Option("--device-read-bps", "Limit read rate (bytes per second) from a device", "PATH:BYTES", many=True),
        Option("--device-write-bps", "Limit write rate (bytes per second) to a device", "PATH:BYTES", many=True),
        Option("--device-read-iops", "Limit read rate (I/O per second) from a device", "PATH:NUMBER", many=True),
        Option("--device-write-iops", "Limit write rate (I/O per second) to a device", "PATH:NUMBER", many=True),
        Option("--ulimit", "Ulimit options, such as nofile=1024:4096", "NAME=SOFT[:HARD]", many=True),
        Option("--shm-size", "Size of /dev/shm (64m)", "BYTES"),
        Option("--cgroup-parent", "Parent cgroup for the container", "PATH"),
    ),
    *under(
        "Filesystem",
        Option(
            "-v --volume", "Bind mount a volume or a host directory: SRC:DST[:ro]", "SRC:DST", many=True, often=True
        ),
        Option("--mount", "Attach a filesystem mount: type=bind,source=…,target=…", "WORDS", many=True),
        Option("--tmpfs", "Mount a tmpfs directory: DST[:OPTIONS]", "DST", many=True),
        Option("--volumes-from", "Mount the volumes of another container", "CONTAINER[:ro]", many=True),
        Option("--read-only", "Mount the container's root filesystem as read only", often=True),
    ),
    *under(
        "Networking",
        Option(
            "--net --network",
            "Network: bridge (default), none, host, container:NAME, or a name",
            "NETWORK",
            many=True,
            often=True,
        ),
        Option("--net-alias --network-alias", "Add a network-scoped alias for the container", "NAME", many=True),
        Option("--ip", "IPv4 address on the network", "ADDRESS"),
        Option("--mac-address", "Container MAC address", "ADDRESS"),
        Option("--link", "Add a link to another container", "CONTAINER[:ALIAS]", many=True),
        Option(
            "-p --publish",
            "Publish a port to the host: [IP:][HOST:]PORT[/udp]",
            "PORT",
            many=True,
            often=True,
        ),
        Option("-P --publish-all", "Publish all exposed ports to random ports", often=True),
        Option("--expose", "Expose a port or a range of ports", "PORT", many=True),
        Option("--dns", "Set custom DNS servers", "ADDRESS", many=True),
        Option("--dns-search", "Set custom DNS search domains", "DOMAIN", many=True),
        Option("--dns-opt --dns-option", "Set DNS options", "OPTION", many=True),
        Option("--add-host", "Add a custom host-to-IP mapping", "NAME:ADDRESS", many=True),
    ),
    *under(
        "Namespaces",
        Option("--pid", "PID namespace to use: host or container:NAME", "MODE"),
        Option("--ipc", "IPC namespace to use: private, shareable, host or container:NAME", "MODE"),
        Option("--uts", "UTS namespace to use: private, host or container:NAME", "MODE"),
        Option("--userns", "User namespace to use (host)", "host|private", often=True),
        Option("--cgroupns", "Cgroup namespace to use (private)", "private|host"),
    ),
    *under(
        "Security",
        Option("--cap-add", "Add Linux capabilities", "NAME", many=True, often=True),
        Option("--cap-drop", "Drop Linux capabilities", "NAME", many=True, often=True),
        Option(
            "--security-opt",
            "Security options: no-new-privileges, seccomp=FILE, seccomp=unconfined",
            "OPTION",
            many=True,
        ),
        Option("--privileged", "Give extended privileges to the container", often=True),
        Option("--device", "Add a host device: PATH[:PATH INSIDE][:rwm]", "PATH", many=True),
        Option(
            "--device-cgroup-rule", "Add a rule to the cgroup allowed devices list: 'c 188:* rw'", "RULE", many=True
        ),
        Option("--sysctl", "Set a namespaced kernel parameter", "NAME=VALUE", many=True),
    ),
]

QUIET = under("Identity", Option("-q --quiet", "Suppress the pull output"))

COMMANDS = by_name(
    Command(
        "run",
        "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]",
        "Create and run a new container from an image.",
        "minict run -it --rm --memory 128m tiny sh",
        run,
        [
            *under(
                "General",
                Option("-d --detach", "Run the container in the background and print its ID", often=True),
                Option("--detach-keys", "Override the key sequence for detaching (ctrl-p,ctrl-q)", "KEYS"),
                Option("-a --attach", "Attach only to STDIN, STDOUT or STDERR", "stdin|stdout|stderr", many=True),
                Option("--sig-proxy", "Proxy received signals to the process (true)"),
                Option("--trace", "Show each step of the start and its time", often=True),
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
        "Create a new container.",
        "minict create --name box tiny sleep 60",
        create,
        [*SETTINGS, *QUIET],
        (1, None),
        words_follow=True,
    ),
)
