#!/bin/sh
# Prepare a Debian 12/13 or Ubuntu 24.04 machine for minict: system packages, the Python environment, the commands, the
# images, and, if MINICT_USER is set, JupyterLab as a service.  Run it as root, as often as you like: it skips what is
# already there and completes what an interrupted run has left.  `make lab` and `make test` begin with it, and so do the
# virtual machines of Vagrant, `make vm`, Lima, Multipass and WSL.
#
#   provision.sh [STEP...]   run all steps, or only those named (see ALL_STEPS)
#   provision.sh address     print the address of the service again
#
#   MINICT_SOURCE      the checkout                                     (the folder above this script's)
#   MINICT_VENV        its Python environment                           (MINICT_SOURCE/.venv; for a service /opt/minict)
#   MINICT_PYTHON      the interpreter of the environment               (/usr/bin/python3)
#   MINICT_BIN         where to install the commands; empty: nowhere    (/usr/local/bin)
#   MINICT_IMAGE       the name of the default image; empty: no image   (tiny)
#   MINICT_CA          a folder with extra *.crt for this machine to trust, where the network of a school or a company
#                      re-signs TLS traffic                             (none)
#   MINICT_WITH_TESTS=1  also install what `make test` needs
#   MINICT_WITH_VM=1     also install what `make vm` and `make test-vm` need
#   MINICT_WITH_V2=1     also install what `make test-v2` needs to build its kernel
#   MINICT_WITH_ENGINES=1  also install the engines that the tests compare: make test-podman and the like
#   MINICT_WITH_BENCH=1  also install what `make bench` compares minict with
#
# The service, for a machine that nobody else relies on:
#
#   MINICT_USER        an ordinary user, created if missing: JupyterLab runs as this user, its kernels run as root
#   MINICT_PORT        its port                                         (8888)
#   MINICT_BIND        the address to listen on                         (127.0.0.1)
#   MINICT_TOKEN       its token                                        (the current one, else a new one)
#   MINICT_ADDRESS     the beginning of the address to print at the end; empty: print nothing
#                                                                       (http://127.0.0.1:MINICT_PORT)
#   MINICT_HOSTNAME    the name of the machine                          (unchanged)
#
# Offline, as in a classroom with thirty people on one Wi-Fi:
#
#   MINICT_WITH_CACHE=1  also keep all downloads: packages, wheels, images
#   MINICT_OFFLINE=1     download nothing: use the kept files, which fit the same release and processor
#   MINICT_CACHE       where they are kept                              (MINICT_SOURCE/vagrant/cache)
#
# pip and apt run without any index, mirror or proxy option: the configuration of the machine applies.
set -eu

ALL_STEPS="check_machine host_name extra_certificates system_packages python_environment browser commands default_image
    chapter_images service"

SOURCE=$(readlink -f "${MINICT_SOURCE:-$(dirname "$0")/..}")
USER_=${MINICT_USER:-}
VENV=${MINICT_VENV:-$([ -n "$USER_" ] && echo /opt/minict || echo "$SOURCE/.venv")}
PYTHON=${MINICT_PYTHON:-/usr/bin/python3}
BIN=${MINICT_BIN-/usr/local/bin}
IMAGE=${MINICT_IMAGE-tiny}
CACHE=${MINICT_CACHE:-$SOURCE/vagrant/cache}

# the registry and openssl are chapter 07's, the compiler is chapter 12's, for its attacks; Podman and crun are chapter
# 19's, with what lab_packages adds; uidmap and slirp4netns are for containers without root
PACKAGES="python3 python3-venv ca-certificates util-linux procps gcc libc6-dev
    iproute2 nftables libnftables1 libseccomp2 busybox-static docker-registry openssl
    uidmap slirp4netns podman crun"
PACKAGES_SERVICE="sudo"
# builds a Debian system, also on Ubuntu, which lacks Debian's keys
DEBIAN="mmdebstrap debian-archive-keyring"
# Ruby for the Vagrantfile, firewalls beside minict's, the other way out, registries and their clients
PACKAGES_TESTS="make sudo ruby rsync iptables zsh fish passt
    apache2-utils skopeo umoci strace $DEBIAN"
PACKAGES_VM="qemu-system-x86 e2fsprogs $DEBIAN"
PACKAGES_V2="gcc libc6-dev make flex bison bc perl patch xz-utils e2fsprogs $DEBIAN"
PACKAGES_ENGINES="catatonit curl"
PACKAGES_BENCH="bubblewrap iperf3 skopeo umoci $DEBIAN"

main() {
    for step in ${*:-$ALL_STEPS}; do
        case " $(echo $ALL_STEPS) address ordinary_user " in *" $step "*) $step ;; *) die "unknown step '$step': use some of $(echo $ALL_STEPS)" ;; esac
    done
}

say() { echo "minict: $*"; }
die() { echo "minict: $*" >&2; exit 1; }

# put MODE FILE: write standard input to FILE and set $changed, unless FILE has this content already.
put() {
    content=$(cat)
    ! printf '%s\n' "$content" | cmp -s - "$2" || return 0
    rm -f "$2.new"
    printf '%s\n' "$content" > "$2.new"
    chmod "$1" "$2.new"
    mv "$2.new" "$2"
    changed=1
}

check_machine() {
    [ "$(uname -s)" = Linux ] || die "containers need a Linux kernel, and this is $(uname -s): use the virtual machine in vagrant/."
    [ "$(id -u)" = 0 ] || die "installing packages and running containers needs root: run  sudo sh $0"
    case $SOURCE$VENV$CACHE in *[[:space:]]*) die "the path $SOURCE$VENV$CACHE contains a blank, which the first line of a script can't hold: move the checkout." ;; esac
    [ "$USER_" != root ] || die "MINICT_USER=root: name an ordinary user, because JupyterLab itself does not need root."
    case $(stat -f -c %T /sys/fs/cgroup 2>/dev/null) in
    cgroup2fs) ;;
    tmpfs) say "this machine uses cgroup v1: everything works, but paths and files differ from those that the course shows." \
        "To use cgroup v2, boot with systemd.unified_cgroup_hierarchy=1, or use the virtual machine of the course." ;;
    *) say "no cgroups are mounted here, as in a chroot: containers have no limits unless the machine mounts cgroups when it boots." ;;
    esac
    [ "$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)" -ge 900 ] ||
        say "this machine has less than 1 GiB of memory, too little for JupyterLab and containers: give it more (MINICT_MEMORY=2048)."
}

# For `make lab` without root: what only root can install must be there.
ordinary_user() {
    missing=$(for package in $(lab_packages); do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^.i' || echo "$package"
    done)
    [ -z "$missing" ] || die "an administrator has to install the packages first: sudo apt install $(echo $missing)"
    [ -w "$SOURCE" ] || die "$SOURCE is not yours: make a copy of the folder in your home directory, and run this there."
}

# What the course needs.  What is here from another source, such as Docker's own packages or Docker Desktop, stays: apt would
# remove it for Debian's, with the containers that run there.
lab_packages() {
    docker="runc containerd docker.io"
    # from Debian 13 on, the command line is a package of its own
    ! grep -qs '^VERSION_CODENAME=trixie' /etc/os-release || docker="$docker docker-cli"
    known=$docker
    for program in docker containerd runc; do
        [ -e /usr/bin/$program ] || [ -L /usr/bin/$program ] || continue
        owner=$(dpkg-query -S /usr/bin/$program 2>/dev/null | cut -d: -f1)
        case " $known " in *" ${owner:-nobody} "*) continue ;; esac
        say "/usr/bin/$program belongs to ${owner:-no package} and stays, so Debian's Docker is not installed for chapter 19." >&2
        case $program in docker) docker="runc containerd" ;; *) docker= ;; esac # containerd.io has a runc, too
    done
    echo $PACKAGES $docker
}

host_name() {
    [ -n "${MINICT_HOSTNAME:-}" ] && [ "$(cat /etc/hostname 2>/dev/null)" != "$MINICT_HOSTNAME" ] || return 0
    echo "$MINICT_HOSTNAME" > /etc/hostname
    sed -i '/^127\.0\.1\.1[[:space:]]/d' /etc/hosts
    echo "127.0.1.1 $MINICT_HOSTNAME" >> /etc/hosts
    if systemd_runs; then hostname "$MINICT_HOSTNAME"; fi # in a chroot this would rename the host
}

systemd_runs() { [ -d /run/systemd/system ]; }

extra_certificates() {
    [ -n "${MINICT_CA:-}" ] || return 0
    ls "$MINICT_CA"/*.crt >/dev/null 2>&1 || die "MINICT_CA=$MINICT_CA: there are no .crt files in this folder."
    install_packages ca-certificates
    cp "$MINICT_CA"/*.crt /usr/local/share/ca-certificates/
    update-ca-certificates >/dev/null
    export PIP_CERT="${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" # pip has its own list, without the extra certificates
}

system_packages() {
    # Chapter 07 starts docker-registry when it needs it.  The package's own service listens to the network: it must not run.
    # Chapter 19 calls Podman, which needs no service, and starts a dockerd and a containerd of its own, in namespaces, when a
    # cell asks for them.  The packages' own daemons would be root for all who reach their sockets, change the firewall that
    # chapter 10 explains, and take memory from a machine with little.
    preset= units=
    dpkg-query -W docker-registry >/dev/null 2>&1 || units="docker-registry.service"
    dpkg-query -W podman >/dev/null 2>&1 ||
        units="$units podman.service podman.socket podman-restart.service podman-auto-update.service podman-auto-update.timer"
    dpkg-query -W docker.io >/dev/null 2>&1 || units="$units docker.service docker.socket"
    dpkg-query -W containerd >/dev/null 2>&1 || units="$units containerd.service"
    if [ -n "$units" ]; then
        preset=/etc/systemd/system-preset/00-minict.preset
        mkdir -p "$(dirname $preset)"
        # shellcheck disable=SC2086 # a list of words
        printf 'disable %s\n' $units > $preset
    fi
    # shellcheck disable=SC2086 # lists of words
    install_packages $(lab_packages) ${USER_:+$PACKAGES_SERVICE} ${MINICT_WITH_TESTS:+$PACKAGES_TESTS} \
        ${MINICT_WITH_VM:+$PACKAGES_VM} ${MINICT_WITH_V2:+$PACKAGES_V2} \
        ${MINICT_WITH_ENGINES:+$PACKAGES_ENGINES} ${MINICT_WITH_BENCH:+$PACKAGES_BENCH}
    if [ -n "$preset" ]; then rm -f $preset; fi
    { [ -x "$(command -v "$PYTHON")" ] && [ ! -d "$PYTHON" ]; } || die "MINICT_PYTHON=$PYTHON: not an executable file."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$PYTHON is $("$PYTHON" --version), and minict needs 3.11 or newer: name another interpreter with MINICT_PYTHON=/path/to/python3."
}

# install_packages NAME...: install the missing ones; without any, apt is not called.
install_packages() {
    command -v apt-get >/dev/null || die "apt-get not found: install the equivalents of these Debian packages by hand: $*"
    have=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^.i *//p' | tr '\n' ' ')"
    missing=
    for package in "$@"; do
        case $have in *" $package "*) ;; *) missing="$missing $package" ;; esac
    done
    if [ -n "$missing" ]; then
        say "installing$missing"
        [ -z "${MINICT_OFFLINE:-}" ] || [ -e "$(debs)/Packages" ] ||
            die "MINICT_OFFLINE is set, but $(debs) has no packages for this system: $offline_remedy"
        # dpkg first: if it was interrupted, it refuses all other work until it is repaired
        # shellcheck disable=SC2086 # a list of words
        { dpkg --configure -a >/dev/null && apt_get update && apt_get install --no-install-recommends $missing; } ||
            die "apt could not install$missing: see the lines above, fix the network or the disk, and run this again;" \
                "$offline_remedy"
    fi
    if [ -n "${MINICT_WITH_CACHE:-}" ] && [ -z "${MINICT_OFFLINE:-}" ]; then keep_packages "$@"; fi
}

offline_remedy="to install offline, fill $CACHE on another machine with MINICT_WITH_CACHE=1, and set MINICT_OFFLINE=1 here."

apt_get() {
    # wait for the lock: a new machine often upgrades itself right after boot
    # shellcheck disable=SC2046 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 $(offline_source) "$@" </dev/null >/dev/null
}

# With MINICT_OFFLINE the kept packages are apt's only source.  The machine's own configuration is not changed.
offline_source() {
    [ -n "${MINICT_OFFLINE:-}" ] || return 0
    lists=/run/minict-offline
    mkdir -p $lists/partial
    echo "deb [trusted=yes] file:$(debs) ./" > $lists/sources.list
    echo "-o Dir::Etc::SourceList=$lists/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$lists" \
        "-o APT::Sandbox::User=root"
}

debs() { echo "$CACHE/debs/$(. /etc/os-release && echo "$VERSION_CODENAME")-$(dpkg --print-architecture)"; }

# keep_packages NAME...: download them with all dependencies, as if nothing were installed, and index them for apt.
keep_packages() (
    mkdir -p "$(debs)/partial"
    cd "$(debs)"
    before=$(ls -- *.deb 2>/dev/null || true)
    apt_get update || true # the lists may be here already
    apt_get install --no-install-recommends --download-only -o Dir::State::Status=/dev/null -o Dir::Cache::Archives="$PWD" \
        -o APT::Sandbox::User=root "$@" || die "apt could not download all packages for the cache: run this again."
    rm -rf partial lock
    [ "$before" != "$(ls -- *.deb)" ] || exit 0
    for deb in *.deb; do
        dpkg-deb --field "$deb"
        echo "Filename: ./$deb"
        echo "Size: $(stat -c %s "$deb")"
        echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
        echo
    done > Packages.new
    mv Packages.new Packages
)

# Rebuilt only when the interpreter, the path or the requirements change.  The subshell holds a lock on the folder of the
# checkout, because `make lab` and `make test` may run in two terminals at once.
python_environment() (
    flock 9
    stamp=$({ "$PYTHON" -c 'import sys; print(sys.version, sys.executable)'; echo "$VENV"; cat "$SOURCE/requirements.txt"; } | sha256sum)
    if [ "$(cat "$VENV/.stamp" 2>/dev/null)" != "$stamp" ] || ! "$VENV/bin/python" -c ''; then
        say "installing JupyterLab and the other Python packages of requirements.txt (takes a few minutes, once)"
        rm -rf "$VENV"
        "$PYTHON" -m venv "$VENV" || die "$PYTHON could not make a virtual environment in $VENV."
        # shellcheck disable=SC2086 # a list of words
        pip install --quiet ${MINICT_OFFLINE:+--no-index --find-links $CACHE/wheels} --requirement "$SOURCE/requirements.txt" ||
            die "pip could not install requirements.txt: see the lines above, fix the network or the disk, and run this again;" \
                "$offline_remedy"
        # An optional part of jsonschema that builds 35 grammars when it is imported.  Nothing here needs it.  Without it each
        # import of nbformat, and so each start of JupyterLab and of the tests, takes 0.13 s instead of 0.9.
        pip uninstall --quiet --yes rfc3987-syntax
        # matplotlib's font list: built by the first picture, it would take seconds and print a warning into a notebook
        "$VENV/bin/python" -I -c 'import matplotlib.font_manager'
        echo "$stamp" > "$VENV/.stamp"
    fi
    if [ -n "${MINICT_WITH_CACHE:-}" ] && [ -z "${MINICT_OFFLINE:-}" ]; then
        pip download --quiet --dest "$CACHE/wheels" --requirement "$SOURCE/requirements.txt" ||
            die "pip could not download all wheels for the cache: run this again."
    fi
    # the effect of `pip install --editable`, without a build
    echo "$SOURCE" | put 644 "$(site_packages)/minict.pth"
    # compiled now: the first container need not, and with PYTHONDONTWRITEBYTECODE nothing else would
    "$VENV/bin/python" -I -m compileall -q "$SOURCE/minict"
) 9<"$SOURCE"

pip() { "$VENV/bin/python" -I -m pip --disable-pip-version-check --no-input "$@" 9<&-; }

# Chromium for the tests.  Debian has a package; Ubuntu has only a snap, which does not start everywhere.
browser() {
    [ -n "${MINICT_WITH_TESTS:-}" ] || return 0
    for name in chromium google-chrome; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    if grep -qx 'ID="*ubuntu"*' /etc/os-release; then
        [ ! -e "$VENV/.browser" ] || return 0
        say "installing Chromium"
        "$VENV/bin/python" -I -m playwright install --with-deps --only-shell chromium >/dev/null ||
            die "could not install Chromium for the tests: fix the network, or install Google Chrome, and run this again."
        touch "$VENV/.browser"
    else
        install_packages chromium
    fi
}

site_packages() { "$VENV/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# A command that starts 10 ms faster than the one that pip would write: -I and -S skip the user's settings and the search
# for packages, and the script names the two folders that it needs.  They come last on the path, so that modules of the
# standard library are found without searching either.
commands() {
    put 755 "$VENV/bin/minict" <<PYTHON
#!$VENV/bin/python -IS
import sys
sys.path += ["$SOURCE", "$(site_packages)"]
from minict.engine.cli.main import main
main()
PYTHON
    put 755 "$VENV/bin/minict-oci" <<PYTHON
#!$VENV/bin/python -IS
import sys
sys.path += ["$SOURCE"]
from minict.oci.main import main
main()
PYTHON
    [ -e "$VENV/bin/mini-docker" ] || ln -sf minict "$VENV/bin/mini-docker"
    [ -n "$BIN" ] || return 0
    completions "$(dirname "$BIN")/share"
    [ -z "$USER_" ] || return 0 # the service installs its own commands
    for name in minict mini-docker minict-oci; do
        if [ ! -e "$BIN/$name" ]; then
            ln -sfn "$VENV/bin/$name" "$BIN/$name"
        elif [ "$(readlink -f "$BIN/$name")" != "$(readlink -f "$VENV/bin/$name")" ]; then
            say "$BIN/$name belongs to another installation and is not replaced: the command of this checkout is $VENV/bin/$name"
        fi
    done
}

# completions SHARE: install the completion scripts in the folders below SHARE where the shells look for them.
completions() {
    mkdir -p "$1/bash-completion/completions" "$1/zsh/site-functions" "$1/fish/vendor_completions.d"
    "$VENV/bin/minict" completion bash | put 644 "$1/bash-completion/completions/minict"
    "$VENV/bin/minict" completion zsh | put 644 "$1/zsh/site-functions/_minict"
    "$VENV/bin/minict" completion fish | put 644 "$1/fish/vendor_completions.d/minict.fish"
    [ -e "$1/bash-completion/completions/mini-docker" ] || ln -sf minict "$1/bash-completion/completions/mini-docker"
}

default_image() {
    if [ -n "$IMAGE" ] && ! has_image "$IMAGE"; then
        say "creating the image $IMAGE from this machine's own shell and tools"
        "$VENV/bin/python" -I -c 'import sys; from minict.engine.images import importer; importer.default_image(sys.argv[1])' "$IMAGE"
    fi
}

# vagrant/images.txt names the images that the chapters use beside the default one.  A kept image is used before any registry.
# Without one, root can make some of distribution packages: see minict/lab/applications.py.  The tests do that without a network,
# so they need the packages.  A missing image affects one chapter, so it is not an error.
chapter_images() {
    [ -z "${MINICT_WITH_TESTS:-}" ] || make_image packages || say "could not keep the packages for the images of chapter 18." >&2
    sed 's/#.*//' "$SOURCE/vagrant/images.txt" | while read -r image chapters; do
        [ -n "$image" ] || continue
        archive=$CACHE/images/$(echo "$image" | tr '/:' '__').tar
        if ! has_image "$image"; then
            if [ -e "$archive" ]; then
                "$VENV/bin/minict" load --input "$archive"
            elif [ -n "${MINICT_OFFLINE:-}" ]; then
                say "$image is not in $CACHE/images: chapter $chapters needs a network." >&2
            else
                "$VENV/bin/minict" pull "$image" || make_image "$image" ||
                    say "could not pull $image, which chapter $chapters needs: fix the network and run this again." >&2
            fi
        fi
        if [ -n "${MINICT_WITH_CACHE:-}" ] && [ ! -e "$archive" ] && has_image "$image"; then
            mkdir -p "$CACHE/images"
            "$VENV/bin/minict" save --output "$archive.new" "$image" && mv "$archive.new" "$archive"
        fi
    done
}

make_image() { [ "$(id -u)" = 0 ] && "$VENV/bin/python" -I -m minict.lab.applications "$1"; }

has_image() { "$VENV/bin/minict" image inspect "$1" >/dev/null 2>&1; }

# ---- JupyterLab as a service ----------------------------------------------------------------------------------------

# JupyterLab runs as an ordinary user, and its kernels run as root, because they make containers.  Where systemd does not run,
# in a chroot or a container, the files are prepared for the machine that boots from them, and nothing is started.
service() {
    [ -n "$USER_" ] || return 0
    changed=
    id "$USER_" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$USER_"
    [ "$(id -u "$USER_")" != 0 ] || die "MINICT_USER=$USER_ is user 0: name an ordinary user, because JupyterLab itself does not need root."
    # the learner's copies of the chapters: see minict/lab/copies.py
    [ -d "$SOURCE/work" ] || ! runuser -u "$USER_" -- test -w "$SOURCE" || install -d -o "$USER_" -g "$(id -gn "$USER_")" "$SOURCE/work"
    runuser -u "$USER_" -- test -w "$SOURCE/work" ||
        die "$USER_ can't write to $SOURCE/work, so notebooks could not be saved: move the checkout, chown it, or name another MINICT_USER."
    root_kernel
    root_command
    user_namespaces
    service_unit
    command -v systemctl >/dev/null || { say "systemd is not installed: start JupyterLab with  sudo make lab"; return 0; }
    systemctl --quiet enable minict-lab
    systemd_runs || { say "ready: the service minict-lab starts when this machine boots"; return 0; }
    service_settings
    systemctl daemon-reload
    if [ -n "$changed" ]; then systemctl restart minict-lab; else systemctl start minict-lab; fi
    address
}

# Wait until the service answers, and print its address.
address() {
    [ -e /etc/minict/lab.env ] || die "the service minict-lab is not installed: run provision.sh with MINICT_USER=name."
    python=$(sed -n 's|^ExecStart=\(.*/python\) .*|\1|p' /etc/systemd/system/minict-lab.service)
    (set -a && . /etc/minict/lab.env && "$python" -m minict.lab.server address) ||
        die "the service minict-lab does not answer; its last messages: $(journalctl --quiet --unit minict-lab --lines 10 --output cat)"
}

# The Python process behind a notebook, as root.  Notebooks ask for the kernel "python3", and JUPYTER_PATH in the unit makes
# JupyterLab find this one.  An ordinary user may not send signals to root, so interrupts are messages.
root_kernel() {
    put 755 "$VENV/bin/minict-kernel" <<SH
#!/bin/sh
# Each step is an exec, so that JupyterLab's child becomes the kernel itself, and dies when JupyterLab kills it.
[ "\$(id -u)" = 0 ] || exec sudo -n "\$0" "\$@"
echo 300 > /proc/self/oom_score_adj # out of memory, the kernel is killed first, and JupyterLab can start another
export HOME=/root PATH=$VENV/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec $VENV/bin/python -P $SOURCE/minict/lab/kernel.py -f "\$1"
SH
    mkdir -p "$VENV/share/minict/kernels/python3"
    put 644 "$VENV/share/minict/kernels/python3/kernel.json" <<JSON
{
  "display_name": "Python 3, as root",
  "language": "python",
  "argv": ["$VENV/bin/minict-kernel", "{connection_file}"],
  "interrupt_mode": "message",
  "metadata": {"debugger": true}
}
JSON
}

# The command `minict` for the user's terminal, and sudo's rules for it and for the kernels.
root_command() {
    if [ -n "$BIN" ]; then
        for name in minict mini-docker; do
            [ ! -L "$BIN/$name" ] || rm "$BIN/$name"
            put 755 "$BIN/$name" <<SH
#!/bin/sh
# Containers need root; /etc/sudoers.d/minict lets $USER_ run this as root without a password.
[ "\$(id -u)" = 0 ] || exec sudo -n $VENV/bin/minict "\$@"
exec $VENV/bin/minict "\$@"
SH
        done
    fi
    # Without a session and a terminal of its own for the command, sudo executes the command instead of staying its parent.
    # A kernel ends when the process JPY_PARENT_PID ends; the other variables are minict's settings.
    mkdir -p /etc/sudoers.d
    put 440 /etc/sudoers.d/minict <<SUDO
Cmnd_Alias MINICT = $VENV/bin/minict-kernel, $VENV/bin/minict
Defaults!MINICT !use_pty, !pam_session, !pam_setcred, !requiretty
Defaults!MINICT env_keep += "JPY_PARENT_PID MINICT_ROOT MINICT_RUN MINICT_CGROUP"
$USER_ ALL=(root) NOPASSWD: MINICT
SUDO
}

# Ubuntu removes all capabilities in the user namespaces of ordinary users; the chapter on rootless containers needs them.
user_namespaces() {
    [ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ] || return 0
    echo "kernel.apparmor_restrict_unprivileged_userns = 0" | put 644 /etc/sysctl.d/60-minict.conf
    ! systemd_runs || sysctl --quiet --load=/etc/sysctl.d/60-minict.conf
}

service_unit() {
    put 644 /etc/systemd/system/minict-lab.service <<UNIT
[Unit]
Description=minict: the course in JupyterLab
After=network.target
# Vagrant mounts the course some time after boot: until then starts fail and are repeated
StartLimitIntervalSec=0

[Service]
User=$USER_
EnvironmentFile=-/etc/minict/lab.env
Environment=LANG=C.UTF-8 JUPYTER_PATH=$VENV/share/minict
ExecStart=$VENV/bin/python -m minict.lab.server service
Restart=always
RestartSec=2
# a kernel that eats all memory must not take JupyterLab along
OOMPolicy=continue
# kernels run as root, and JupyterLab must be able to kill one that hangs
AmbientCapabilities=CAP_KILL

[Install]
WantedBy=multi-user.target
UNIT
}

# The token is made on the running machine, never in a chroot, where all machines of one image would share it.
service_settings() {
    mkdir -p /etc/minict
    token=${MINICT_TOKEN:-$(sed -n 's/^JUPYTER_TOKEN=//p' /etc/minict/lab.env 2>/dev/null || true)}
    mask=$(umask)
    umask 077 # nobody else can read the token, not even while it is written
    put 600 /etc/minict/lab.env <<ENV
MINICT_PORT=${MINICT_PORT:-8888}
MINICT_BIND=${MINICT_BIND:-127.0.0.1}
JUPYTER_TOKEN=${token:-$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')}
ENV
    umask "$mask"
}

main "$@"
