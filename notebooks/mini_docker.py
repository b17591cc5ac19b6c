"""Containers in one file, on Linux, for root, with the commands ip and nft.  It neither pulls nor builds: minict does.
The chapters of the course explain the functions with a mark such as proc-1; here they stand without docstrings::

    mini_docker.py /bin/bash                       a program of this machine, in a root made of copies of its files
    mini_docker.py run [OPTION…] IMAGE [COMMAND…]  -d  --name NAME  -m 64m  --cpus 0.5  --pids 100  -p HOST:CONTAINER
                                                   -v DIRECTORY-OR-NAME:TARGET[:ro]  --network none
    mini_docker.py ps | exec NAME [COMMAND…] | logs NAME | stop NAME | rm NAME"""

import argparse, ctypes, glob, ipaddress, json, os, pathlib, re, shutil, signal, socket, struct, subprocess, sys, time
from contextlib import suppress

STORE = os.environ.get("MINICT_ROOT", "/var/lib/minict")  # where minict keeps the images that it has pulled
HOME = f"{STORE}/mini_docker"  # a directory for each container, and the volumes
CGROUP = os.environ.get("MINICT_CGROUP", "minict")  # the parent of the containers' control groups

# ---- what Python's standard library lacks of the kernel
def call(name, *arguments, libc=ctypes.CDLL(None, use_errno=True)):  # a text is a path
    result = getattr(libc, name)(*(os.fsencode(each) if isinstance(each, str) else each for each in arguments))
    if result == -1: raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: {name}()")
    return result

class k:  # mounts; the calls with a number are younger than some C libraries
    MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
    MS_PRIVATE, MS_SLAVE, MNT_DETACH, RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 1 << 18, 1 << 19, 2, 2, 16
    AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x1000, 0x8000, 1
    def mount(source, target, filesystemtype=None, mountflags=0, data=None):
        call("mount", source, target, filesystemtype, mountflags, data)
    def umount2(target, flags=0): call("umount2", target, flags)
    def pivot_root(new_root, put_old): call("pivot_root", new_root, put_old)
    def openat2(dirfd, path, flags, mode=0, resolve=0):
        return call("syscall", 437, dirfd, path, struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve), 24)
    def mount_setattr(dirfd, path, flags, attr_set=0, attr_clr=0):
        call("syscall", 442, dirfd, path, flags, struct.pack("QQQQ", attr_set, attr_clr, 0, 0), 32)

def unshare(flags): call("unshare", flags)
def setns(fd, nstype=0): call("setns", fd, nstype)
def read(path): return pathlib.Path(path).read_text()
def write(path, text): pathlib.Path(path).write_text(text)
def sh(command, text=None):  # its complaint becomes an error of ours
    done = subprocess.run(command.split(), input=text, text=True, capture_output=True)
    if done.returncode: raise ContainerError(f"{command}: {done.stderr.strip().partition(chr(10))[0]}")
def say(error): print(f"mini_docker: {error}", file=sys.stderr, flush=True)
class ContainerError(Exception):
    def __init__(self, message, status=125): self.args, self.status = (message,), status

# ---- processes, process 1, namespaces
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_FORWARDED = (4, 5, 6, 7, 8, 9, 11, 17, 19, 27)  # its own errors, news of children, and two that none can catch
def spawn(function):  # proc-1: the course's
    if pid := os.fork(): return pid
    try: function()
    except BaseException: os._exit(1)
    os._exit(0)
def exit_status(status):  # proc-2: the course's
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
def find(command, env):  # proc-3: the course's
    there = [file for file in candidates(command, env) if os.path.lexists(file)]
    good = [file for file in there if os.path.isfile(file) and os.access(file, os.X_OK)]
    if good: return good[0]
    raise ContainerError(f"cannot run {command}", status=127 - bool(there))
def reap(pid):  # init-1: the course's
    while (ended := os.wait())[0] != pid: pass
    return ended[1]
def forward_signals(pid):  # init-2: the course's
    def forward(number, frame):
        with suppress(ProcessLookupError): os.kill(pid, number)
    for number in set(range(1, 32)) - set(NOT_FORWARDED): signal.signal(number, forward)
def run(command):  # init-3: the course's
    pid = spawn(lambda: begin(command))
    forward_signals(pid)
    os.closerange(0, 1024)  # the last writer of a pipe must be the command, not its init
    os._exit(exit_status(reap(pid)))

def candidates(command, env):  # the files that a command may mean
    path = dict(each.split("=", 1) for each in env).get("PATH", PATH)
    return [command] if "/" in command else [f"{place or '.'}/{command}" for place in path.split(":")]
def begin(command):  # in a process group of its own, with the signals as they were before Python
    os.setpgid(0, 0)
    take_terminal()
    for number in signal.valid_signals() - {9, 19}: signal.signal(number, signal.SIG_DFL)
    command()
def take_terminal():  # its keys, such as Ctrl-C, are for our process group now
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if os.isatty(0): os.tcsetpgrp(0, os.getpgrp())
FLAGS = dict(cgroup=1 << 25, uts=1 << 26, ipc=1 << 27, user=1 << 28, pid=1 << 29, network=1 << 30, mount=1 << 17)
FILES = {kind: {"mount": "mnt", "network": "net"}.get(kind, kind) for kind in FLAGS}
def identify(pid="self"):  # ns-1: the course's
    return {kind: os.stat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}
def flags(kinds):  # ns-2: the course's
    try: return sum(FLAGS[kind] for kind in set(kinds))
    except KeyError as error: raise ContainerError(f"no such kind: {error}")
def enter(path, kind):  # ns-3: the course's
    with open(path) as file: setns(file.fileno(), FLAGS[kind])

# ---- root file systems: copies of this machine's programs, or an image's layers; mounts and volumes
PROGRAMS = "/bin/sh bash ls cat ps id ip hostname mount env grep sleep kill touch mkdir rm mknod chroot wc head".split()
def shebang(program):  # root-1: the course's
    with open(program, "rb") as file: line = file.readline(256)
    return os.fsdecode(line[2:]).strip().split(maxsplit=1) if line.startswith(b"#!") else []
def ask_loader(loader, file):  # root-2: the course's
    result = subprocess.run([loader, "--list", os.path.realpath(file)], env={}, capture_output=True, text=True)
    if result.returncode: raise ContainerError(result.stderr)
    return re.findall(r"(/\S+) \(0x", result.stdout)
def copy_program(program, rootfs):  # root-3: the course's
    for path in [program, *libraries(program)]: copy_file(path, rootfs)
def complete(name):  # images-1: the course's
    host, slash, rest = name.partition("/")
    if not slash or not re.search("[.:]|^localhost$", host): host, rest = "docker.io", name
    if host == "docker.io" and "/" not in rest: rest = f"library/{rest}"
    rest = re.sub(":[^:]+@", "@", rest)
    return f"{host}/{rest}" if re.search("[:@]", rest) else f"{host}/{rest}:latest"
def overlay_options(lowers, upper, work):  # layers-1: the course's
    return [f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={work}"]
def make_private(propagation=k.MS_SLAVE | k.MS_REC):  # private-1: the course's
    k.mount(source=None, target="/", mountflags=propagation)
def pivot_root(rootfs):  # pivot-1: the course's
    os.chdir(rootfs)
    k.pivot_root(rootfs, rootfs)
    k.umount2("/", flags=k.MNT_DETACH)
    os.chdir("/")
def hide(path):  # hide-1: the course's
    cover = ("none", path, "tmpfs", k.MS_RDONLY | k.MS_NOEXEC, "size=0,nr_inodes=1")
    k.mount(*cover if os.path.isdir(path) else ("/dev/null", path, "", k.MS_BIND))
def look_up(root, path):  # lookup-1: the course's
    return k.openat2(root, path, os.O_PATH, resolve=k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS)
def make_read_only(mount, inside):  # volumes-1: the course's
    k.mount_setattr(mount, "", k.AT_EMPTY_PATH | (k.AT_RECURSIVE if inside else 0), k.MOUNT_ATTR_RDONLY)
def in_order(destinations):  # volumes-3: the course's
    return sorted(destinations, key=lambda place: place.rstrip("/").count("/"))

def libraries(program):  # with the loader of a program, or the interpreter of a script
    if words := shebang(program): return [words[0], *libraries(words[0])]
    with open(program, "rb") as file: loader = re.search(rb"/lib[\w./-]*/ld-[\w.-]+", file.read(4096))
    return [loader[0].decode(), *ask_loader(loader[0].decode(), program)] if loader else []
def copy_file(path, rootfs):  # to the same path below rootfs
    os.makedirs(os.path.dirname(rootfs + path), exist_ok=True)
    shutil.copy2(path, rootfs + path)
def make_copies(program, root):  # of this program, and of some to look around with
    for path in filter(None, map(shutil.which, [program, *PROGRAMS])): copy_program(path, root)
def image_of(name):  # its layers, the top one first, and its configuration
    if not os.path.exists(file := f"{STORE}/images/names/{complete(name).replace('/', '%2F')}"):
        raise ContainerError(f"there is no image {name}, and this file can't pull it: minict pull {name}")
    image = json.loads(read(f"{STORE}/images/configs/{read(file)}.json"))
    digests = [digest.removeprefix("sha256:") for digest in image["rootfs"]["diff_ids"]]
    return [f"{STORE}/images/layers/{digest}/diff" for digest in reversed(digests)], image.get("config") or {}
def open_or_make(root, path):  # a directory below root; no link leads out of it
    try: return look_up(root, path)
    except FileNotFoundError: os.mkdir(os.path.basename(path), dir_fd=open_or_make(root, os.path.dirname(path)))
    return look_up(root, path)

# ---- control groups: one directory in version 2; in version 1, one in the tree of each controller
LIMITS = {"memory": "memory.max memory.limit_in_bytes", "cpus": "cpu.max cpu.cfs_quota_us", "pids": "pids.max"}
def read_flat_keyed(path):  # cgroups-1: the course's
    if not os.path.exists(path): return {}
    with open(path) as file: return {name: int(number) for name, number in map(str.split, file)}
def cpu_max(quota, period, current="max 100000"):  # cgroups-2: the course's
    first = ("max" if quota < 0 else quota) if quota else current.split()[0]
    return f"{first} {period}" if period else f"{first}"

class Group:  # its directories, and what is done with them
    def __init__(self, path):
        trees = [os.path.realpath(f"/sys/fs/cgroup/{name}") for name in ("cpu", "memory", "pids")]
        self.places = [tree + path for tree in trees if os.path.ismount(tree)] or [f"/sys/fs/cgroup{path}"]
    def file(self, names):  # that of version 2, or that of version 1
        files = [f"{place}/{name}" for place in self.places for name in names.split()]
        return next(filter(os.path.exists, files), files[0])
    def create(self, state):
        for place in self.places:
            os.makedirs(place, exist_ok=True)
            for parent in ("/sys/fs/cgroup", os.path.dirname(place)):
                if os.path.exists(switch := f"{parent}/cgroup.subtree_control"): write(switch, "+cpu +memory +pids")
        for name in filter(state.get, LIMITS): write(self.file(LIMITS[name]), str(state[name]))
    def join(self):
        for place in self.places: write(f"{place}/cgroup.procs", "0")
    def remove(self):
        for place in self.places: wait_until(lambda: is_removed(place))

def is_removed(group):  # and its parent with it, if this was the last one
    with suppress(OSError): os.removedirs(group)
    return not os.path.exists(group)
def wait_until(condition, seconds=10):  # but no longer
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end: time.sleep(0.01)

# ---- the network: a cable for each container, and a table of rules with the same name
TO_PORT_AT_ADDRESS = "meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @ports-at"
TO_PORT = "fib daddr type local meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports"
def to_number(address): return int(ipaddress.IPv4Address(address))  # net-1: the course's
def masquerade(bridge, subnet): return f'ip saddr {subnet} oifname != "{bridge}" masquerade'  # world-1: the course's
def reachable(text):  # world-2: the course's
    lines = [each.split() for each in text.splitlines() if each.startswith("nameserver")]
    return [w[1] for w in lines if len(w) > 1 and w[1].split(".")[0] not in ("127", "0") and ":" not in w[1]]
def port_chains():  # world-3: the course's
    chains = {}
    for hook, match in (("prerouting", "ip daddr != 127.0.0.0/8 "), ("output", "")):
        chains[hook] = (f"type nat hook {hook} priority -100;", [match + TO_PORT_AT_ADDRESS, match + TO_PORT])
    return chains

def addresses(pid):  # of the host's end and the container's: no other process has this pid, so none has these
    return [str(ipaddress.ip_address(to_number("10.0.0.0") + pid * 4 + n)) for n in range(3)]

def plug(state):  # lays the cable to the container, and writes the rules for what goes through it
    cable, (network, host, guest) = f"mini{state['pid']}", addresses(state["pid"])
    pair = f"link add {cable} type veth peer name eth0 netns {state['pid']}"
    for words in (pair, f"addr add {host}/30 dev {cable}", f"link set {cable} up"): sh(f"ip {words}")
    for switch in ("ip_forward", f"conf/{cable}/route_localnet"): write(f"/proc/sys/net/ipv4/{switch}", "1")
    key = "inet_proto . inet_service : ipv4_addr . inet_service"
    rules = [f"table inet {cable} {{ map ports {{ type {key}; }}", f"map ports-at {{ type ipv4_addr . {key}; }}"]
    local = f'ip saddr 127.0.0.0/8 oifname "{cable}" ct status dnat masquerade'
    leaving = ("type nat hook postrouting priority srcnat;", [masquerade(cable, f"{network}/30"), local])
    for name, (hook, lines) in {**port_chains(), "leaving": leaving}.items():
        rules += [f"chain {name} {{ {hook}", *lines, "}"]
    ports = [f"add element inet {cable} ports {{ tcp . {at} : {guest} . {to} }}" for at, to in state["publish"] or ()]
    sh("nft -f -", "\n".join([*rules, "}", *ports]))

def unplug(state): subprocess.getoutput("ip link del mini{pid}; nft delete table inet mini{pid}".format(**state))

# ---- the birth of a container: how a new process becomes its process 1, and then a program
HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger", "/sys/firmware")
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
MOUNTS = {"/proc": ("proc", 0, None), "/sys": ("sysfs", k.MS_RDONLY, None), "/dev": ("tmpfs", 0, "mode=0755")}
MOUNTS["/dev/pts"] = ("devpts", 0, "newinstance,ptmxmode=0666")

def order(steps):  # own-1: the course's
    return ["namespaces", "private", "root", "volumes", "limits", "network", "pivot", "system", "hide"]

class Birth:  # a function for each step
    def namespaces(state): unshare(flags(["mount", "uts", "ipc", "network"]))
    def private(state): make_private()
    def root(state):  # in memory: the image's layers below an empty one, or copies of this machine's programs
        root = state["root"]
        k.mount("tmpfs", root, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=0755")
        if not state["layers"]: return make_copies(state["command"][0], root)
        for name in ("upper", "work"): os.mkdir(f"{root}/{name}", 0o755)
        options = overlay_options(state["layers"], f"{root}/upper", f"{root}/work")
        k.mount("overlay", root, "overlay", 0, ",".join(options))
    def volumes(state):  # a source without / is a volume's name
        volumes, root = {words[1]: words for words in state["volume"] or ()}, os.open(state["root"], os.O_PATH)
        for target in in_order(list(volumes)):
            source, _, *mode = volumes[target]
            os.makedirs(source := source if "/" in source else f"{HOME}/volumes/{source}", exist_ok=True)
            k.mount(source, f"/proc/self/fd/{open_or_make(root, target)}", None, k.MS_BIND | k.MS_REC)
            if mode: make_read_only(look_up(root, target), True)
    def limits(state):
        Group(state["group"]).join()
        unshare(flags(["cgroup"]))
    def network(state):  # the parent has the other end of the cable, and knows our pid out there
        state["parent"].send(b"!")
        _, host, guest = addresses(int(state["parent"].recv(20)))
        cable = [f"addr add {guest}/30 dev eth0", "link set eth0 up", f"route add default via {host}"]
        for words in ["link set lo up"] + cable * (state["network"] != "none"): sh(f"ip {words}")
    def pivot(state): pivot_root(state["root"])
    def system(state):  # what programs expect in /proc, /sys, /dev and /etc
        if os.path.exists(HOME): raise ContainerError("/ is still the host's")
        for place, (kind, mode, data) in MOUNTS.items():
            os.makedirs(place, exist_ok=True)
            k.mount(kind, place, kind, mode | k.MS_NOSUID | k.MS_NOEXEC, data)
        for name, number in DEVICES.items():
            os.mknod(f"/dev/{name}", 0o020666, os.makedev(*number))
            os.chmod(f"/dev/{name}", 0o666)
        for name, target in LINKS.items(): os.symlink(target, f"/dev/{name}")
        for place in ("/etc", "/root", "/tmp"): os.makedirs(place, exist_ok=True)
        socket.sethostname(state["name"])
        write("/etc/hosts", f"127.0.0.1 localhost {state['name']}\n")
        write("/etc/resolv.conf", "".join(f"nameserver {each}\n" for each in state["servers"]))
        if not os.path.exists("/etc/passwd"): write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    def hide(state):
        for path in filter(os.path.exists, HIDDEN): hide(path)

def be_born(state):  # in the child: the steps, and then process 1, whose child is the command
    for step in order(sorted(filter(str.isalpha, vars(Birth)))): attempt(step, getattr(Birth, step), state)
    run(lambda: attempt("exec", become, state, state["command"]))
def become(state, words):  # the program of these words
    os.chdir(state["cwd"])
    os.execve(find(words[0], state["env"]), words, dict(each.split("=", 1) for each in state["env"]))
def attempt(step, function, *arguments):  # or say what has failed, and end
    try: function(*arguments)
    except (OSError, ValueError, ContainerError) as error:
        say(f"{step}: {error}")
        os._exit(getattr(error, "status", 126 if step == "exec" else 125))

# ---- the life of a container, and its end
def directory(name): return f"{HOME}/containers/{name}"
def save(state):  # so that nobody ever reads half of it
    write(f"{directory(state['name'])}/new", json.dumps(state))
    os.rename(f"{directory(state['name'])}/new", f"{directory(state['name'])}/state")
def load(*words):  # the record of the container with this name
    name = " ".join(words)
    if not os.path.exists(f"{directory(name)}/state"): raise ContainerError(f"no such container: {name!r}; see ps")
    return json.loads(read(f"{directory(name)}/state"))

def launch(state):  # returns the exit status, or nothing when the container goes on in the background
    name = state["name"] = state["name"] or f"mini-{os.getpid()}"
    state["layers"], image = image_of(state["image"]) if state["image"] else ([], {})
    state["command"] = (image.get("Entrypoint") or []) + (state["command"] or image.get("Cmd") or ["/bin/sh"])
    state["env"] = [f"PATH={PATH}", "HOME=/root", f"TERM={os.environ.get('TERM', 'dumb')}", *(image.get("Env") or [])]
    servers = glob.glob("/etc/resolv.conf") + glob.glob("/run/systemd/resolve/resolv.conf")
    state["group"], state["servers"] = f"/{CGROUP}/{name}-{os.getpid()}", reachable("".join(map(read, servers)))
    state |= dict(cwd=image.get("WorkingDir") or "/", root=f"{directory(name)}/root", pid=0, status=None)
    if os.path.exists(directory(name)): raise ContainerError(f"there is a container {name}: mini_docker.py rm {name}")
    os.makedirs(state["root"])
    save(state)
    mine, parent = socket.socketpair()
    if not state["detach"]: return live(state, mine, parent)
    spawn(lambda: stay(state, mine, parent))
    parent.close()  # so that mine ends when the last step is done
    while mine.recv(1, socket.MSG_PEEK): time.sleep(0.01)
    print(name)

def stay(state, mine, parent):  # in the background, with a log in place of a terminal
    os.setsid()
    for fd, file in enumerate(("/dev/null", log := f"{directory(state['name'])}/log", log)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), fd)
    live(state, mine, parent)

def live(state, mine, parent):  # give birth to a container, wait for its end, and clean up
    try:
        (group := Group(state["group"])).create(state)
        unshare(flags(["pid"]))
        state["pid"] = spawn(lambda: (mine.close(), be_born(state | {"parent": parent})))
        enter("/proc/self/ns/pid", "pid")  # the next children of this process are to be born where it is itself
        parent.close()
        save(state)  # before it takes a cable
        if mine.recv(1):
            if state["network"] != "none": plug(state)
            mine.send(str(state["pid"]).encode())
        mine.recv(1)  # returns when nobody has the other end: the last step is done
        forward_signals(state["pid"])
        state["status"] = exit_status(os.waitpid(state["pid"], 0)[1])
        if read_flat_keyed(group.file("memory.events memory.oom_control")).get("oom_kill"): say("out of memory")
    except (OSError, ContainerError) as error: say(error)
    finally:
        clean_up(state)
        take_terminal()
    if not state["detach"]: shutil.rmtree(directory(state["name"]))
    return state["status"]

def clean_up(state):  # own-3: the course's
    if state["status"] is None and state["pid"]:
        with suppress(ProcessLookupError): os.kill(state["pid"], signal.SIGKILL)
    Group(state["group"]).remove()
    unplug(state)
    state["status"] = 125 if state["status"] is None else state["status"]
    save(state)

# ---- the commands, and the types of options: argparse makes a sentence of a ValueError and of the TypeError of None[0]
def word(text): return re.fullmatch(r"\w[\w.-]{0,62}", text)[0]
def size(text): return re.fullmatch(r"\d+[kmg]?", text)[0]
def cpus(text): return cpu_max(int(float(re.fullmatch(r"[\d.]+", text)[0]) * 100000), 100000).split()[0]
def volume(text): return re.fullmatch(r"[^:]+:/[^:]*(:ro)?", text)[0].split(":")
def ports(text): return re.fullmatch(r"\d+:\d+", text)[0].split(":")
OPTIONS = {"--name": dict(type=word), "--memory -m": dict(type=size), "--cpus": dict(type=cpus),
           "--pids": dict(type=int), "--network": dict(choices=["none"]), "--detach -d": dict(action="store_true"),
           "--volume -v": dict(type=volume, action="append"), "--publish -p": dict(type=ports, action="append"),
           "image": {}, "command": dict(nargs=argparse.REMAINDER)}
class Parser(argparse.ArgumentParser):
    def error(self, message): raise ContainerError(message)
def options(words):  # what stands after run, as the beginning of a container's record
    parser = Parser("mini_docker.py run")
    for names, kind in OPTIONS.items(): parser.add_argument(*names.split(), **kind)
    return vars(parser.parse_args(words))
def ps(*_):  # lists all containers
    for file in sorted(glob.glob(f"{HOME}/containers/*/state")):
        state = json.loads(read(file))
        status = "up" if state["status"] is None else f"exited {state['status']}"
        print(f"{state['name']:<14}{status:<13}{' '.join(state['command'])}  (pid {state['pid']})")

def exec_in(name="", word="/bin/sh", *more):  # in a running container: in its group and its namespaces
    if (state := load(name))["status"] is not None: raise ContainerError(f"the container {name} has ended")
    Group(state["group"]).join()
    here, there = identify(), identify(state["pid"])
    for kind in [kind for kind in FILES if there[kind] != here[kind]]:  # mount last: then /proc is another
        enter(f"/proc/{state['pid']}/ns/{FILES[kind]}", kind)
    status = exit_status(os.waitpid(spawn(lambda: begin(lambda: attempt("exec", become, state, [word, *more]))), 0)[1])
    take_terminal()
    return status

def logs(*name): print(read(f"{directory(load(*name)['name'])}/log"), end="")
def stop(*name, signals=(signal.SIGTERM, signal.SIGKILL)):  # the second signal is for those that ignore the first
    for number in signals:
        if (state := load(*name))["status"] is None and state["pid"]:
            with suppress(ProcessLookupError): os.kill(state["pid"], number)
            wait_until(lambda: load(*name)["status"] is not None)
def rm(*name):  # even if its mini_docker.py was killed
    stop(*name, signals=[signal.SIGKILL])  # then the process that waits for it cleans up, and writes the status
    clean_up(load(*name))
    shutil.rmtree(directory(*name))
COMMANDS = {"ps": ps, "exec": exec_in, "logs": logs, "stop": stop, "rm": rm}

def main(words):  # own-2: the course's
    try:
        if words[0] in COMMANDS: return COMMANDS[words[0]](*words[1:]) or 0
        return launch(options(words[1:] if words[0] == "run" else ["", *words])) or 0
    except (OSError, ContainerError) as error:
        print(f"mini_docker: {error}", file=sys.stderr)
        return getattr(error, "status", 125)

if __name__ == "__main__": sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
