#!/bin/sh
# Prepare a Debian 12/13 or Ubuntu 24.04 machine for minict: system packages, the Python environment, the commands, the
# images, and, where MINICT_USER is set, JupyterLab as a service.  Run as root, as often as you like: what is there already
# is left alone, and what an earlier run left half-made is made whole.  `make lab` and `make test` begin with it, and so do
# the virtual machines of Vagrant, `make vm`, Lima, Multipass and WSL.
#
#   provision.sh [STEP...]   all steps, in their order, or those alone (their names: see ALL_STEPS)
#   provision.sh address     print the address of the service again
#
#   MINICT_SOURCE      the checkout                                     (the folder above this script's)
#   MINICT_VENV        its Python environment                           (MINICT_SOURCE/.venv; for a service /opt/minict)
#   MINICT_PYTHON      the interpreter that the environment is made of  (/usr/bin/python3)
#   MINICT_BIN         where the commands are put; empty: nowhere       (/usr/local/bin)
#   MINICT_IMAGE       the name of the default image; empty: make none  (tiny)
#   MINICT_CA          a folder of extra *.crt that this machine shall trust, where a school's or a company's network
#                      signs all traffic anew                           (none)
#   MINICT_WITH_TESTS=1  also what `make test` needs
#   MINICT_WITH_VM=1     also what `make vm` and `make test-vm` need
#   MINICT_WITH_BENCH=1  also what `make bench` compares minict with
#
# The service, which is for a machine that nobody else relies on:
#
#   MINICT_USER        an ordinary user, made if there is none: JupyterLab runs as this user, and its kernels as root
#   MINICT_PORT        its port                                         (8888)
#   MINICT_BIND        the address where it listens                     (127.0.0.1)
#   MINICT_TOKEN       its token                                        (the one that it had, else a new one)
#   MINICT_ADDRESS     what the address begins with that is printed at the end; empty: print none
#                                                                       (http://127.0.0.1:MINICT_PORT)
#   MINICT_HOSTNAME    the machine's name                               (as it is)
#
# Without a network, as in a class room with thirty people on one Wi-Fi:
#
#   MINICT_WITH_CACHE=1  also keep all that is downloaded: packages, wheels, images
#   MINICT_OFFLINE=1     download nothing: what was kept is enough, on the same release and processor
#   MINICT_CACHE       where it is kept                                 (MINICT_SOURCE/vagrant/cache)
#
# pip and apt are called without any index, mirror or proxy setting: the machine's own configuration holds.
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

PACKAGES="python3 python3-venv ca-certificates util-linux procps
    iproute2 nftables libnftables1 libseccomp2 busybox-static"
PACKAGES_SERVICE="sudo"
# what makes a Debian, on Ubuntu too, which does not have Debian's keys by itself
DEBIAN="mmdebstrap debian-archive-keyring"
# programs linked in odd ways, the machine's Vagrantfile, what minict shall live beside, registries and their clients
PACKAGES_TESTS="gcc libc6-dev make sudo ruby rsync iptables zsh fish
    docker-registry apache2-utils openssl skopeo umoci podman strace $DEBIAN"
PACKAGES_VM="qemu-system-x86 e2fsprogs $DEBIAN"
PACKAGES_BENCH="runc crun bubblewrap podman docker-registry skopeo umoci $DEBIAN"

main() {
    for step in ${*:-$ALL_STEPS}; do
        case " $(echo $ALL_STEPS) address " in *" $step "*) $step ;; *) die "there is no step '$step': $(echo $ALL_STEPS)" ;; esac
    done
}

say() { echo "minict: $*"; }
die() { echo "minict: $*" >&2; exit 1; }

# put MODE FILE: write standard input there, and set $changed, unless FILE says just that already.
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
    [ "$(uname -s)" = Linux ] || die "containers are made by the Linux kernel, and this is $(uname -s): use the virtual machine in vagrant/."
    [ "$(id -u)" = 0 ] || die "packages and containers need root: run  sudo sh $0"
    case $SOURCE$VENV$CACHE in *[[:space:]]*) die "the path $SOURCE$VENV$CACHE has a blank in it, which the first line of a script can't hold: move the checkout." ;; esac
    [ "$USER_" != root ] || die "MINICT_USER=root: name an ordinary user, for JupyterLab itself needs no root."
    case $(stat -f -c %T /sys/fs/cgroup 2>/dev/null) in
    cgroup2fs) ;;
    tmpfs) say "this machine has control groups of version 1: all works, and what the course shows of them has other paths and" \
        "files here.  To see version 2, boot with systemd.unified_cgroup_hierarchy=1, or use the course's virtual machine." ;;
    *) say "no control groups are mounted here, as in a chroot: containers will find no limits unless the machine that boots has them." ;;
    esac
    [ "$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)" -ge 900 ] ||
        say "this machine has less than 1 GiB of memory, and JupyterLab with some containers needs that: give it more (MINICT_MEMORY=2048)."
}

host_name() {
    [ -n "${MINICT_HOSTNAME:-}" ] && [ "$(cat /etc/hostname 2>/dev/null)" != "$MINICT_HOSTNAME" ] || return 0
    echo "$MINICT_HOSTNAME" > /etc/hostname
    sed -i '/^127\.0\.1\.1[[:space:]]/d' /etc/hosts
    echo "127.0.1.1 $MINICT_HOSTNAME" >> /etc/hosts
    if systemd_runs; then hostname "$MINICT_HOSTNAME"; fi # and not from a chroot, where it would rename the host
}

systemd_runs() { [ -d /run/systemd/system ]; }

extra_certificates() {
    [ -n "${MINICT_CA:-}" ] || return 0
    ls "$MINICT_CA"/*.crt >/dev/null 2>&1 || die "MINICT_CA=$MINICT_CA holds no .crt file."
    install_packages ca-certificates
    cp "$MINICT_CA"/*.crt /usr/local/share/ca-certificates/
    update-ca-certificates >/dev/null
    export PIP_CERT="${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" # pip brings its own list, which lacks the extra ones
}

system_packages() {
    # shellcheck disable=SC2086 # lists of words
    install_packages $PACKAGES ${USER_:+$PACKAGES_SERVICE} ${MINICT_WITH_TESTS:+$PACKAGES_TESTS} \
        ${MINICT_WITH_VM:+$PACKAGES_VM} ${MINICT_WITH_BENCH:+$PACKAGES_BENCH}
    { [ -x "$(command -v "$PYTHON")" ] && [ ! -d "$PYTHON" ]; } || die "MINICT_PYTHON=$PYTHON is no program."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$PYTHON is $("$PYTHON" --version), and minict needs 3.11 or newer: name another with MINICT_PYTHON=/path/to/python3."
}

# install_packages NAME...: those that are missing, and no question to apt when none is.
install_packages() {
    command -v apt-get >/dev/null || die "no apt-get here, so install by hand what is named in Debian: $*"
    have=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^.i *//p' | tr '\n' ' ')"
    missing=
    for package in "$@"; do
        case $have in *" $package "*) ;; *) missing="$missing $package" ;; esac
    done
    if [ -n "$missing" ]; then
        say "installing$missing"
        [ -z "${MINICT_OFFLINE:-}" ] || [ -e "$(debs)/Packages" ] ||
            die "MINICT_OFFLINE is set, and there are no packages for this system in $(debs): $offline_remedy"
        # dpkg first: it may have been interrupted half-way, and does nothing else before that is mended
        # shellcheck disable=SC2086 # a list of words
        { dpkg --configure -a >/dev/null && apt_get update && apt_get install --no-install-recommends $missing; } ||
            die "apt could not install$missing: look at the lines above, mend the network or the disk, and run this again;" \
                "$offline_remedy"
    fi
    if [ -n "${MINICT_WITH_CACHE:-}" ] && [ -z "${MINICT_OFFLINE:-}" ]; then keep_packages "$@"; fi
}

offline_remedy="without a network it takes a folder that was filled with MINICT_WITH_CACHE=1 elsewhere, and MINICT_OFFLINE=1."

apt_get() {
    # the lock: a freshly started machine often upgrades itself at this moment
    # shellcheck disable=SC2046 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 $(offline_source) "$@" </dev/null >/dev/null
}

# With MINICT_OFFLINE the kept packages are apt's only source, beside the machine's own, which stay as they are.
offline_source() {
    [ -n "${MINICT_OFFLINE:-}" ] || return 0
    lists=/run/minict-offline
    mkdir -p $lists/partial
    echo "deb [trusted=yes] file:$(debs) ./" > $lists/sources.list
    echo "-o Dir::Etc::SourceList=$lists/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$lists" \
        "-o APT::Sandbox::User=root"
}

debs() { echo "$CACHE/debs/$(. /etc/os-release && echo "$VERSION_CODENAME")-$(dpkg --print-architecture)"; }

# keep_packages NAME...: download them with all that they stand on, as if nothing were installed, and index them for apt.
keep_packages() (
    mkdir -p "$(debs)/partial"
    cd "$(debs)"
    before=$(ls -- *.deb 2>/dev/null || true)
    apt_get update || true # the lists may be here already
    apt_get install --no-install-recommends --download-only -o Dir::State::Status=/dev/null -o Dir::Cache::Archives="$PWD" \
        -o APT::Sandbox::User=root "$@" || die "apt could not download all that is to be kept: run this again."
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

# Made anew only when the interpreter, the place or the requirements are others.  The subshell holds a lock on the
# checkout's folder: `make lab` and `make test` may be typed in two terminals at once.
python_environment() (
    flock 9
    stamp=$({ "$PYTHON" -c 'import sys; print(sys.version, sys.executable)'; echo "$VENV"; cat "$SOURCE/requirements.txt"; } | sha256sum)
    if [ "$(cat "$VENV/.stamp" 2>/dev/null)" != "$stamp" ] || ! "$VENV/bin/python" -c ''; then
        say "installing JupyterLab and the other Python packages of requirements.txt (some minutes, once)"
        rm -rf "$VENV"
        "$PYTHON" -m venv "$VENV" || die "$PYTHON could not make a virtual environment in $VENV."
        # shellcheck disable=SC2086 # a list of words
        pip install --quiet ${MINICT_OFFLINE:+--no-index --find-links $CACHE/wheels} --requirement "$SOURCE/requirements.txt" ||
            die "pip could not install requirements.txt: look at the lines above, mend the network or the disk, and run this again;" \
                "$offline_remedy"
        # An optional part of jsonschema, which builds 35 grammars when it is imported.  Nothing here needs it, and without it
        # each import of nbformat, and so each start of JupyterLab and of the tests, takes 0.13 s in place of 0.9.
        pip uninstall --quiet --yes rfc3987-syntax
        # Its list of fonts: made by the first picture, it would take seconds and print a warning into a notebook.
        "$VENV/bin/python" -I -c 'import matplotlib.font_manager'
        echo "$stamp" > "$VENV/.stamp"
    fi
    if [ -n "${MINICT_WITH_CACHE:-}" ] && [ -z "${MINICT_OFFLINE:-}" ]; then
        pip download --quiet --dest "$CACHE/wheels" --requirement "$SOURCE/requirements.txt" ||
            die "pip could not download all that is to be kept: run this again."
    fi
    # what `pip install --editable` comes down to, without a build
    echo "$SOURCE" | put 644 "$(site_packages)/minict.pth"
    # Compiled now and not by the first container, nor never, where PYTHONDONTWRITEBYTECODE is set.
    "$VENV/bin/python" -I -m compileall -q "$SOURCE/minict"
) 9<"$SOURCE"

pip() { "$VENV/bin/python" -I -m pip --disable-pip-version-check --no-input "$@" 9<&-; }

# A Chromium for the tests.  Debian has it as a package; Ubuntu has only a snap, which does not start everywhere.
browser() {
    [ -n "${MINICT_WITH_TESTS:-}" ] || return 0
    for name in chromium google-chrome; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    if grep -qx 'ID="*ubuntu"*' /etc/os-release; then
        [ ! -e "$VENV/.browser" ] || return 0
        say "installing Chromium"
        "$VENV/bin/python" -I -m playwright install --with-deps --only-shell chromium >/dev/null ||
            die "there is no Chromium for the tests: mend the network, or install Google Chrome, and run this again."
        touch "$VENV/.browser"
    else
        install_packages chromium
    fi
}

site_packages() { "$VENV/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# A command that starts 10 ms sooner than the one that pip would write: -I and -S leave out the user's settings and the
# search for packages, and the two folders that are needed are named.  They stand last on the path, so that the standard
# library is found without a look into either.
commands() {
    put 755 "$VENV/bin/minict" <<PYTHON
#!$VENV/bin/python -IS
import sys
sys.path += ["$SOURCE", "$(site_packages)"]
from minict.engine.cli.main import main
main()
PYTHON
    [ -e "$VENV/bin/mini-docker" ] || ln -sf minict "$VENV/bin/mini-docker"
    [ -n "$BIN" ] || return 0
    completions "$(dirname "$BIN")/share"
    [ -z "$USER_" ] || return 0 # the service has commands of its own
    for name in minict mini-docker; do
        if [ ! -e "$BIN/$name" ]; then
            ln -sfn "$VENV/bin/$name" "$BIN/$name"
        elif [ "$(readlink -f "$BIN/$name")" != "$(readlink -f "$VENV/bin/$name")" ]; then
            say "$BIN/$name is another one already and stays: this checkout's is $VENV/bin/$name"
        fi
    done
}

# completions SHARE: what the shells complete, in the folders below SHARE where they look by themselves.
completions() {
    mkdir -p "$1/bash-completion/completions" "$1/zsh/site-functions" "$1/fish/vendor_completions.d"
    "$VENV/bin/minict" completion bash | put 644 "$1/bash-completion/completions/minict"
    "$VENV/bin/minict" completion zsh | put 644 "$1/zsh/site-functions/_minict"
    "$VENV/bin/minict" completion fish | put 644 "$1/fish/vendor_completions.d/minict.fish"
    [ -e "$1/bash-completion/completions/mini-docker" ] || ln -sf minict "$1/bash-completion/completions/mini-docker"
}

default_image() {
    if [ -n "$IMAGE" ] && ! has_image "$IMAGE"; then
        say "making the image $IMAGE: a shell and the usual small tools of this machine"
        "$VENV/bin/python" -I -c 'import sys; from minict.engine.images import image; image.default_image(sys.argv[1])' "$IMAGE"
    fi
}

# vagrant/images.txt names what the chapters use beside the default image.  What was kept is taken before a registry is asked;
# an image that can't be had costs a chapter, and not the course.
chapter_images() {
    sed 's/#.*//' "$SOURCE/vagrant/images.txt" | while read -r image chapters; do
        [ -n "$image" ] || continue
        archive=$CACHE/images/$(echo "$image" | tr '/:' '__').tar
        if ! has_image "$image"; then
            if [ -e "$archive" ]; then
                "$VENV/bin/minict" load --input "$archive"
            elif [ -n "${MINICT_OFFLINE:-}" ]; then
                say "$image is not in $CACHE/images: chapter $chapters will need a network." >&2
            else
                "$VENV/bin/minict" pull "$image" ||
                    say "$image could not be pulled: chapter $chapters needs it; mend the network and run this again." >&2
            fi
        fi
        if [ -n "${MINICT_WITH_CACHE:-}" ] && [ ! -e "$archive" ] && has_image "$image"; then
            mkdir -p "$CACHE/images"
            "$VENV/bin/minict" save --output "$archive.new" "$image" && mv "$archive.new" "$archive"
        fi
    done
}

has_image() { "$VENV/bin/minict" image inspect "$1" >/dev/null 2>&1; }

# ---- JupyterLab as a service ----------------------------------------------------------------------------------------

# JupyterLab itself is an ordinary user's, and its kernels are root's, because they make containers.  Where no systemd runs,
# in a chroot or a container, all is laid out for the machine that will boot from these files, and nothing is started.
service() {
    [ -n "$USER_" ] || return 0
    changed=
    id "$USER_" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$USER_"
    [ "$(id -u "$USER_")" != 0 ] || die "MINICT_USER=$USER_ is user 0: name an ordinary user, for JupyterLab itself needs no root."
    runuser -u "$USER_" -- test -w "$SOURCE/notebooks" ||
        die "$USER_ can't write to $SOURCE/notebooks, so no notebook could be saved: move the checkout, chown it, or name another MINICT_USER."
    root_kernel
    root_command
    user_namespaces
    service_unit
    command -v systemctl >/dev/null || { say "there is no systemd here: start JupyterLab with  sudo make lab"; return 0; }
    systemctl --quiet enable minict-lab
    systemd_runs || { say "laid out; the service minict-lab starts when this machine boots"; return 0; }
    service_settings
    systemctl daemon-reload
    if [ -n "$changed" ]; then systemctl restart minict-lab; else systemctl start minict-lab; fi
    address
}

# Wait until the service answers, and print its address.
address() {
    [ -e /etc/minict/lab.env ] || die "there is no service minict-lab here: MINICT_USER=somebody makes one."
    python=$(sed -n 's|^ExecStart=\(.*/python\) .*|\1|p' /etc/systemd/system/minict-lab.service)
    (set -a && . /etc/minict/lab.env && "$python" -m minict.lab.server address) ||
        die "the service minict-lab does not answer; it wrote last: $(journalctl --quiet --unit minict-lab --lines 10 --output cat)"
}

# The Python process behind a notebook, as root.  Notebooks ask for the kernel "python3": JUPYTER_PATH in the unit sees to
# it that they get this one.  An ordinary user may not send signals to root, so interrupts come as messages.
root_kernel() {
    put 755 "$VENV/bin/minict-kernel" <<SH
#!/bin/sh
# Each step is an exec, so that JupyterLab's child is in the end the kernel itself, and dies when JupyterLab kills it.
[ "\$(id -u)" = 0 ] || exec sudo -n "\$0" "\$@"
echo 300 > /proc/self/oom_score_adj # when memory ends, a kernel goes, and JupyterLab can start another
export HOME=/root PATH=$VENV/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec $VENV/bin/python -m ipykernel_launcher -f "\$1"
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

# `minict` as the user types it in a terminal, and what sudo has to know for it, and for the kernels.
root_command() {
    if [ -n "$BIN" ]; then
        for name in minict mini-docker; do
            [ ! -L "$BIN/$name" ] || rm "$BIN/$name"
            put 755 "$BIN/$name" <<SH
#!/bin/sh
# Containers are root's; /etc/sudoers.d/minict lets $USER_ be root for this, without a password.
[ "\$(id -u)" = 0 ] || exec sudo -n $VENV/bin/minict "\$@"
exec $VENV/bin/minict "\$@"
SH
        done
    fi
    # Without a session and a terminal of its own for the command, sudo becomes the command instead of staying its parent.
    # JPY_PARENT_PID tells a kernel whose end is its own end too; the others are settings of minict's.
    mkdir -p /etc/sudoers.d
    put 440 /etc/sudoers.d/minict <<SUDO
Cmnd_Alias MINICT = $VENV/bin/minict-kernel, $VENV/bin/minict
Defaults!MINICT !use_pty, !pam_session, !pam_setcred, !requiretty
Defaults!MINICT env_keep += "JPY_PARENT_PID MINICT_ROOT MINICT_RUN MINICT_CGROUP"
$USER_ ALL=(root) NOPASSWD: MINICT
SUDO
}

# Ubuntu takes the powers from an ordinary user's namespaces; the chapter on rootless containers needs them.
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
# Vagrant mounts the course some time after the boot: until then each start fails, and the next one follows
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
# a kernel that hangs is root's, and JupyterLab must be able to end it
AmbientCapabilities=CAP_KILL

[Install]
WantedBy=multi-user.target
UNIT
}

# The token is made on the machine that runs, never in a chroot: else all machines of one image would share it.
service_settings() {
    mkdir -p /etc/minict
    token=${MINICT_TOKEN:-$(sed -n 's/^JUPYTER_TOKEN=//p' /etc/minict/lab.env 2>/dev/null || true)}
    mask=$(umask)
    umask 077 # nobody else reads it, not even while it is written
    put 600 /etc/minict/lab.env <<ENV
MINICT_PORT=${MINICT_PORT:-8888}
MINICT_BIND=${MINICT_BIND:-127.0.0.1}
JUPYTER_TOKEN=${token:-$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')}
ENV
    umask "$mask"
}

main "$@"
