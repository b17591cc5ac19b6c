"""Containers in one file::

    mini_docker.py /bin/bash                       a program of this machine, in a root made of copies of its files
    mini_docker.py run [OPTION…] IMAGE [COMMAND…]  -d  --name NAME  -m 64m  --cpus 0.5  --pids 100  -p HOST:CONTAINER
                                                   -v DIRECTORY-OR-NAME:TARGET[:ro]  --network none
    mini_docker.py ps | exec NAME COMMAND… | logs NAME | stop NAME | rm NAME

It needs Linux, root, and the commands ip and nft.  It neither pulls nor builds images: that is left to minict.
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress

# [package: in mini_docker.py itself, these functions stand where the comments are that begin with +
from minict.engine.distribution.reference import complete
from minict.engine.images.hostimage import ask_loader, copy_program, shebang
from minict.engine.images.overlay import overlay_options
from minict.engine.networks.dns import reachable
from minict.engine.networks.firewall import masquerade, port_chains
from minict.engine.networks.ipam import to_number
from minict.engine.volumes.mounts import in_order
from minict.runtime.cgroup.files import read_flat_keyed
from minict.runtime.cgroup.limits import cpu_max
from minict.runtime.init import forward_signals, run
from minict.runtime.mounts import hide, look_up, make_private, make_read_only
from minict.runtime.namespaces import enter, flags, identify
from minict.runtime.process import exit_status, find, spawn
from minict.runtime.rootfs import pivot_root

# package]

STORE = os.environ.get("MINICT_ROOT", "/var/lib/minict")  # where minict keeps the images that it has pulled
HOME = f"{STORE}/mini_docker"  # a directory for each container, and the volumes
CGROUP = os.environ.get("MINICT_CGROUP", "minict")  # the parent of the containers' control groups

# ---- what Python's standard library lacks of the kernel

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):  # a number is one machine word, a text is a path
    kinds = {int: ctypes.c_long, str: os.fsencode}
    result = getattr(libc, name)(*(kinds.get(type(each), lambda it: it)(each) for each in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: {name}()")
    return result


class k:  # mounts; the calls with a number are younger than some C libraries
    MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
    MS_PRIVATE, MS_SLAVE, MNT_DETACH, RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 1 << 18, 1 << 19, 2, 2, 16
    AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE, MOUNT_ATTR_RDONLY = -100, 0x1000, 0x8000, 1, 1

    def mount(source, target, filesystemtype=None, mountflags=0, data=None):
        call("mount", source, target, filesystemtype, mountflags, data)

    def umount2(target, flags=0):
        call("umount2", target, flags)

    def pivot_root(new_root, put_old):
        call("pivot_root", new_root, put_old)

    def openat2(dirfd, path, flags, mode=0, resolve=0):
        return call("syscall", 437, dirfd, path, struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve), 24)

    def open_tree(dirfd, path, flags):
        return call("syscall", 428, dirfd, path, flags | os.O_CLOEXEC)

    def move_mount(from_fd, to_fd):
        call("syscall", 429, from_fd, b"", to_fd, b"", 0x44)

    def mount_setattr(dirfd, path, flags, attr_set=0, attr_clr=0):
        call("syscall", 442, dirfd, path, flags, struct.pack("QQQQ", attr_set, attr_clr, 0, 0), 32)


def unshare(flags):
    call("unshare", flags)


def setns(fd, nstype=0):
    call("setns", fd, nstype)


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(str(text))


def sh(command, text=None):
    done = subprocess.run(command.split(), input=text, text=True, capture_output=True)
    if done.returncode:
        raise ContainerError(f"{command}: {done.stderr.strip()}")


class ContainerError(Exception):
    def __init__(self, message, status=125):
        self.args, self.status = (message,), status


# [package: here, functions of the package raise its own
from minict.runtime.errors import ContainerError  # noqa: E402, F811

# package]

# ---- processes, and process 1

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_FORWARDED = (4, 5, 6, 7, 8, 9, 11, 17, 19, 27)  # its own errors, news of children, and two that none can catch
# + proc-1 proc-2 proc-3 init-1 init-2 init-3


def candidates(command, env):
    path = next((each[5:] for each in env if each.startswith("PATH=")), PATH)
    return [command] if "/" in command else [f"{place or '.'}/{command}" for place in path.split(":")]


def begin(command):  # in a process group of its own, with the signals as they were before Python
    os.setpgid(0, 0)
    take_terminal()
    for number in signal.valid_signals() - {9, 19}:
        signal.signal(number, signal.SIG_DFL)
    command()


def take_terminal():
    if os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())


# ---- namespaces

# the mount namespace is the last one to enter: in it, paths such as /proc/PID lead elsewhere
FLAGS = dict(cgroup=1 << 25, uts=1 << 26, ipc=1 << 27, user=1 << 28, pid=1 << 29, network=1 << 30, mount=1 << 17)
FILES = {kind: {"mount": "mnt", "network": "net"}.get(kind, kind) for kind in FLAGS}
# + ns-1 ns-2 ns-3

# ---- a root of copies

PROGRAMS = "sh bash ls cat ps id ip hostname mount env grep sleep kill touch mkdir rm mknod chroot wc head".split()
# + root-1 root-2 root-3


def libraries(program):
    if words := shebang(program):
        return [words[0], *libraries(words[0])]
    with open(program, "rb") as file:
        loader = re.search(rb"/lib[\w./-]*/ld-[\w.-]+", file.read(4096))
    return [loader[0].decode(), *ask_loader(loader[0].decode(), program)] if loader else []


def copy_file(path, rootfs):
    os.makedirs(os.path.dirname(rootfs + path), exist_ok=True)
    shutil.copy2(path, rootfs + path)


def make_copies(program, root):
    for name in ("bin", "sbin", "lib", "lib64"):  # on most machines links to directories in /usr
        os.makedirs(root + os.path.realpath(f"/{name}"), exist_ok=True)
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
    for path in filter(None, map(shutil.which, [program, *PROGRAMS])):
        copy_program(path, root)


# ---- images, layers, mounts, volumes

# + images-1 layers-1 private-1 pivot-1 hide-1 lookup-1 volumes-1 volumes-3


def image_of(name):  # its layers, the top one first, and its configuration
    if not os.path.exists(file := f"{STORE}/images/names/{complete(name).replace('/', '%2F')}"):
        raise ContainerError(f"there is no image {name}, and this file can't pull it: minict pull {name}")
    image = json.loads(read(f"{STORE}/images/configs/{read(file)}.json"))
    digests = [digest.removeprefix("sha256:") for digest in image["rootfs"]["diff_ids"]]
    return [f"{STORE}/images/layers/{digest}/diff" for digest in reversed(digests)], image.get("config") or {}


def open_or_make(root, path):  # a directory below root; no link leads out of it
    try:
        return look_up(root, path)
    except FileNotFoundError:
        os.mkdir(os.path.basename(path), dir_fd=open_or_make(root, os.path.dirname(path)))
    return look_up(root, path)


# ---- control groups, in all the trees of them that this machine has

V1_NAMES = {"memory.max": "memory.limit_in_bytes", "memory.events": "memory.oom_control", "cpu.max": "cpu.cfs_quota_us"}
# + cgroups-1 cgroups-2


class Group:
    def __init__(self, path):
        root, found = "", {}
        for _, point, kind, options, *_ in map(str.split, read("/proc/self/mounts").splitlines()):
            root = root or (point if kind == "cgroup2" else "")
            found.update((name, point) for name in options.split(",") if kind == "cgroup")
        for name in read(f"{root}/cgroup.controllers").split() if root else ():
            found.setdefault(name, root)
        self.places = {name: found[name] + path for name in ("cpu", "memory", "pids") if name in found}
        self.v2, self.path = root + path, path

    def file(self, name):  # or the one of version 1 with the same content
        if not (place := self.places.get(name.partition(".")[0])):
            raise ContainerError(f"this machine has no control groups with {name}")
        return f"{place}/{name if place == self.v2 else V1_NAMES.get(name, name)}"

    def create(self, limits):
        for place in set(self.places.values()):
            os.makedirs(place, exist_ok=True)
        for name in [name for name, place in self.places.items() if place == self.v2]:
            for parent in (self.v2.removesuffix(self.path), os.path.dirname(self.v2)):
                write(f"{parent}/cgroup.subtree_control", f"+{name}")
        for name, value in limits.items():
            if value:  # version 1 has a file of its own for each of the two numbers of cpu.max
                write(self.file(name), value if self.file(name).endswith(name) else value.split()[0])

    def join(self):
        for place in set(self.places.values()):
            write(f"{place}/{'cgroup.procs' if place == self.v2 else 'tasks'}", 0)

    def remove(self):
        for place in set(self.places.values()):
            wait_until(lambda: is_removed(place))
            is_removed(os.path.dirname(place))  # the parent, if this was its last group


def is_removed(group):
    with suppress(OSError):
        os.rmdir(group)
    return not os.path.exists(group)


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return holds


# ---- the network: a cable for each container, and a table of rules with the same name

TO_PORT_AT_ADDRESS = "meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @ports-at"
TO_PORT = "fib daddr type local meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports"
# + net-1 world-1 world-2 world-3


def addresses(pid):  # of the host's end and the container's: no other process has this pid, so none has these
    first = to_number("10.0.0.0") + pid * 4
    return [socket.inet_ntoa((first + n).to_bytes(4, "big")) for n in range(3)]


def plug(state):
    network, host, guest = addresses(state["pid"])
    cable, table = f"mini{state['pid']}", f"inet mini{state['pid']}"
    pair = f"link add {cable} type veth peer name eth0 netns {state['pid']}"
    for words in (pair, f"addr add {host}/30 dev {cable}", f"link set {cable} up"):
        sh(f"ip {words}")
    for switch in ("ip_forward", f"conf/{cable}/route_localnet"):
        write(f"/proc/sys/net/ipv4/{switch}", 1)
    key = "inet_proto . inet_service : ipv4_addr . inet_service;"
    rules = [f"add table {table}", f"add map {table} ports {{ type {key} }}"]
    rules.append(f"add map {table} ports-at {{ type ipv4_addr . {key} }}")
    for outside, inside in (each.split(":") for each in state["publish"]):
        rules.append(f"add element {table} ports {{ tcp . {outside} : {guest} . {inside} }}")
    local = f'ip saddr 127.0.0.0/8 oifname "{cable}" ct status dnat masquerade'
    leaving = ("type nat hook postrouting priority srcnat;", (masquerade(cable, f"{network}/30"), local))
    for name, (hook, lines) in {**port_chains(), "leaving": leaving}.items():
        rules += [f"add chain {table} {name} {{ {hook} }}", *(f"add rule {table} {name} {line}" for line in lines)]
    sh("nft -f -", "\n".join(rules))


def unplug(state):
    for command in (f"ip link del mini{state['pid']}", f"nft delete table inet mini{state['pid']}"):
        with suppress(ContainerError):
            sh(command)


# ---- the birth of a container

HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger", "/sys/firmware")
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
MOUNTS = {"/proc": ("proc", 0, None), "/sys": ("sysfs", k.MS_RDONLY, None), "/dev": ("tmpfs", 0, "mode=0755")}
MOUNTS["/dev/pts"] = ("devpts", 0, "newinstance,ptmxmode=0666")
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")


def order(steps):
    """Return the names of the steps of a birth in an order in which they work."""
    return ["namespaces", "private", "root", "volumes", "limits", "network", "pivot", "system", "hide"]


class Birth:  # how a new process becomes process 1 of a container: a method for each step
    def __init__(self, state, parent):
        self.state, self.parent, self.place = state, parent, f"{directory(state['name'])}/root"
        self.servers = reachable("".join(map(read, filter(os.path.exists, RESOLVERS))))

    def namespaces(self):
        unshare(flags(["mount", "uts", "ipc", "network"]))

    def private(self):
        make_private()

    def root(self):  # in memory: the image's layers below an empty one, or copies of this machine's files
        k.mount("tmpfs", self.place, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=0755")
        if not self.state["layers"]:
            return make_copies(self.state["command"][0], self.place)
        for name in ("upper", "work", "merged"):
            os.mkdir(f"{self.place}/{name}", 0o755)
        options = overlay_options(self.state["layers"], f"{self.place}/upper", f"{self.place}/work")
        self.place += "/merged"
        k.mount("overlay", self.place, "overlay", 0, ",".join(options))

    def volumes(self):  # SOURCE:TARGET[:ro]; a source without / is a volume's name
        volumes = {words[1]: words for words in (each.split(":") for each in self.state["volume"])}
        for target in in_order(list(volumes)):
            source, _, *mode = volumes[target]
            source = source if "/" in source else f"{HOME}/volumes/{source}"
            os.makedirs(source, exist_ok=True)
            tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
            if mode == ["ro"]:
                make_read_only(tree, True)
            k.move_mount(tree, open_or_make(os.open(self.place, os.O_PATH), target))

    def limits(self):
        Group(self.state["group"]).join()
        unshare(flags(["cgroup"]))

    def network(self):  # the parent has the other end of the cable, and knows our pid out there
        self.parent.send(b"!")
        _, host, guest = addresses(int(self.parent.recv(20)))
        cable = (f"addr add {guest}/30 dev eth0", "link set eth0 up", f"route add default via {host}")
        for words in ("link set lo up", *(cable if self.state["network"] != "none" else ())):
            sh(f"ip {words}")

    def pivot(self):
        pivot_root(self.place)

    def system(self):  # what programs expect in /proc, /sys, /dev and /etc
        if os.path.exists(HOME):
            raise ContainerError("/ is still the host's")
        for place, (kind, mode, data) in MOUNTS.items():
            os.makedirs(place, exist_ok=True)
            k.mount(kind, place, kind, mode | k.MS_NOSUID | k.MS_NOEXEC, data)
        for name, number in DEVICES.items():
            os.mknod(f"/dev/{name}", 0o020666, os.makedev(*number))
            os.chmod(f"/dev/{name}", 0o666)
        for name, target in LINKS.items():
            os.symlink(target, f"/dev/{name}")
        for place in ("/etc", "/root", "/tmp"):
            os.makedirs(place, exist_ok=True)
        socket.sethostname(self.state["name"])
        write("/etc/hosts", f"127.0.0.1 localhost {self.state['name']}\n")
        write("/etc/resolv.conf", "".join(f"nameserver {each}\n" for each in self.servers))
        if not os.path.exists("/etc/passwd"):
            write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")

    def hide(self):
        for path in filter(os.path.exists, HIDDEN):
            hide(path)


def be_born(state, parent):
    birth = Birth(state, parent)
    for step in order(sorted(name for name in vars(Birth) if not name.startswith("_"))):
        attempt(step, getattr(birth, step))
    run(lambda: become(state["command"], state))


def become(words, state):
    attempt("cwd", os.chdir, state["cwd"])
    program = attempt("find", find, words[0], state["env"])
    attempt("execve", os.execve, program, words, dict(each.split("=", 1) for each in state["env"]))


def attempt(step, function, *arguments):
    try:
        return function(*arguments)
    except (OSError, ValueError, ContainerError) as error:
        print(f"mini_docker: {step}: {error}", file=sys.stderr, flush=True)
        os._exit(getattr(error, "status", 126))


# ---- the life of a container, and its end


def directory(name):
    return f"{HOME}/containers/{name}"


def save(state):
    write(f"{directory(state['name'])}/new", json.dumps(state))
    os.rename(f"{directory(state['name'])}/new", f"{directory(state['name'])}/state")


def load(name):
    if not os.path.exists(f"{directory(name)}/state"):
        raise ContainerError(f"there is no container {name}")
    return json.loads(read(f"{directory(name)}/state"))


def launch(state):
    """Start a container; return its exit status, or 0 when it goes on in the background."""
    name = state["name"] = state["name"] or f"mini-{os.getpid()}"
    state["layers"], image = image_of(state["image"]) if state["image"] else ([], {})
    state["command"] = (image.get("Entrypoint") or []) + (state["command"] or image.get("Cmd") or ["/bin/sh"])
    state["env"] = [f"PATH={PATH}", "HOME=/root", f"TERM={os.environ.get('TERM', 'dumb')}", *(image.get("Env") or [])]
    state |= dict(cwd=image.get("WorkingDir") or "/", group=f"/{CGROUP}/{name}-{os.getpid()}", pid=0, status=None)
    if os.path.exists(directory(name)):
        raise ContainerError(f"there is a container {name}: mini_docker.py rm {name}")
    os.makedirs(f"{directory(name)}/root")
    save(state)
    if not state["detach"]:
        live(state)
        shutil.rmtree(directory(name))
        return state["status"]
    ready, state["told"] = os.pipe()
    spawn(lambda: stay(state))
    os.close(state["told"])
    os.read(ready, 1)  # returns when nobody has the other end open
    print(name)


def stay(state):  # in the background, with a log in place of a terminal
    os.setsid()
    for fd, file in enumerate(("/dev/null", log := f"{directory(state['name'])}/log", log)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), fd)
    live(state)


def live(state):
    """Give birth to a container, wait for its end, and clean up."""
    group = Group(state["group"])
    try:
        cpus = state["cpus"] and cpu_max(int(float(state["cpus"]) * 100000), 100000)
        group.create({"memory.max": state["memory"], "pids.max": state["pids"], "cpu.max": cpus})
        mine, parent = socket.socketpair()
        unshare(flags(["pid"]))
        state["pid"] = spawn(lambda: (mine.close(), be_born(state, parent)))
        enter("/proc/self/ns/pid", "pid")  # the next children of this process are to be born where it is itself
        parent.close()
        save(state)  # before it takes a cable
        if mine.recv(1):
            if state["network"] != "none":
                plug(state)
            mine.send(str(state["pid"]).encode())
        mine.recv(1)  # returns when nobody has the other end: the last step is done
        if "told" in state:
            os.close(state.pop("told"))
        forward_signals(state["pid"])
        state["status"] = exit_status(os.waitpid(state["pid"], 0)[1])
        if read_flat_keyed(group.file("memory.events")).get("oom_kill"):
            print("out of memory", file=sys.stderr)
    except (OSError, ContainerError) as error:
        print(f"mini_docker: {error}", file=sys.stderr)
    finally:
        clean_up(state)
        take_terminal()


def clean_up(state):
    """Take back all that a container has on the host.  What is gone already does not matter."""
    if state["status"] is None and state["pid"]:
        with suppress(ProcessLookupError):
            os.kill(state["pid"], signal.SIGKILL)
    Group(state["group"]).remove()
    unplug(state)
    state["status"] = 125 if state["status"] is None else state["status"]
    save(state)


# ---- the commands


def options(words):
    parser = argparse.ArgumentParser("mini_docker.py run")
    for names in ("--name", "--network", "--memory -m", "--cpus", "--pids"):
        parser.add_argument(*names.split())
    for names in ("--volume -v", "--publish -p"):
        parser.add_argument(*names.split(), action="append", default=[])
    parser.add_argument("--detach", "-d", action="store_true")
    for name, count in (("image", None), ("command", argparse.REMAINDER)):
        parser.add_argument(name, nargs=count)
    return vars(parser.parse_args(words))


def ps():
    for name in sorted(os.listdir(f"{HOME}/containers")) if os.path.isdir(f"{HOME}/containers") else ():
        state = load(name)
        status = "up" if state["status"] is None else f"exited {state['status']}"
        print(f"{name:<14}{status:<13}{' '.join(state['command'])}  (pid {state['pid']})")


def exec_in(name, *words):
    state, here = load(name), identify()
    if state["status"] is not None:
        raise ContainerError(f"the container {name} has ended")
    Group(state["group"]).join()
    there = identify(state["pid"])
    for kind in [kind for kind in FILES if there[kind] != here[kind]]:
        enter(f"/proc/{state['pid']}/ns/{FILES[kind]}", kind)
    status = exit_status(os.waitpid(spawn(lambda: begin(lambda: become(words, state))), 0)[1])
    take_terminal()
    return status


def logs(name):
    print(read(f"{directory(name)}/log"), end="")


def stop(name, *signals):
    for number in signals or (signal.SIGTERM, signal.SIGKILL):
        if (state := load(name))["status"] is None and state["pid"]:
            with suppress(ProcessLookupError):
                os.kill(state["pid"], number)
            wait_until(lambda: load(name)["status"] is not None)


def rm(name):
    stop(name, signal.SIGKILL)  # then the process that waits for it cleans up, and writes the status
    clean_up(load(name))
    shutil.rmtree(directory(name))


COMMANDS = {"ps": ps, "exec": exec_in, "logs": logs, "stop": stop, "rm": rm}


def main(words):
    """Do what the words of the command line say; return the exit status, as a shell would report it."""
    try:
        if words[0] in COMMANDS:
            return COMMANDS[words[0]](*words[1:]) or 0
        return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
    except (OSError, ContainerError) as error:
        print(f"mini_docker: {error}", file=sys.stderr)
        return getattr(error, "status", 125)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
