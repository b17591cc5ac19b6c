#!/bin/sh
# Prepare a Debian 12/13 or Ubuntu 24.04 machine for minict: system packages, the Python environment, the command and the
# default image.  Run as root, as often as you like: what is there already is left alone, and what an earlier run left
# half-made is made whole.  `make lab` and `make test` begin with it, and so may a virtual machine, WSL, Lima or CI.
#
#   MINICT_SOURCE      the checkout                                     (the folder above this script's)
#   MINICT_VENV        its Python environment                           (MINICT_SOURCE/.venv)
#   MINICT_PYTHON      the interpreter that the environment is made of  (/usr/bin/python3)
#   MINICT_BIN         where links to the commands go; empty: nowhere   (/usr/local/bin)
#   MINICT_CA          a folder of extra *.crt that this machine shall trust, where a school's or a company's network
#                      signs all traffic anew                           (none)
#   MINICT_WITH_TESTS=1  also what `make test` needs
#   MINICT_WITH_VM=1     also what `make test-vm` needs
#   MINICT_WITH_BENCH=1  also what `make bench` compares minict with
#   MINICT_IMAGE       the name of the default image; empty: make none  (tiny)
#
# pip and apt are called without any index, mirror or proxy setting: the machine's own configuration holds.
set -eu

SOURCE=$(readlink -f "${MINICT_SOURCE:-$(dirname "$0")/..}")
VENV=${MINICT_VENV:-$SOURCE/.venv}
PYTHON=${MINICT_PYTHON:-/usr/bin/python3}
BIN=${MINICT_BIN-/usr/local/bin}
IMAGE=${MINICT_IMAGE-tiny}

PACKAGES="python3 python3-venv ca-certificates util-linux procps
    iproute2 nftables libnftables1 libseccomp2 busybox-static"
PACKAGES_TESTS="gcc libc6-dev iptables make zsh fish" # for programs linked in odd ways, and firewalls to live beside, shells
PACKAGES_VM="qemu-system-x86 mmdebstrap e2fsprogs"
PACKAGES_BENCH="runc crun bubblewrap podman"

main() {
    check_machine
    extra_certificates
    system_packages
    python_environment
    browser
    commands
    default_image
}

say() { echo "minict: $*"; }
die() { echo "minict: $*" >&2; exit 1; }

check_machine() {
    [ "$(uname -s)" = Linux ] || die "containers are made by the Linux kernel, and this is $(uname -s): use the virtual machine in vagrant/."
    [ "$(id -u)" = 0 ] || die "packages and containers need root: run  sudo sh $0"
    case $SOURCE$VENV in *[[:space:]]*) die "the path $SOURCE has a blank in it, which the first line of a script can't hold: move the checkout." ;; esac
}

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
    install_packages $PACKAGES ${MINICT_WITH_TESTS:+$PACKAGES_TESTS} ${MINICT_WITH_VM:+$PACKAGES_VM} \
        ${MINICT_WITH_BENCH:+$PACKAGES_BENCH}
    [ -x "$(command -v "$PYTHON")" ] || die "MINICT_PYTHON=$PYTHON is no program."
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
    [ -n "$missing" ] || return 0
    say "installing$missing"
    # the lock: a freshly started machine often upgrades itself at this moment
    # shellcheck disable=SC2086 # a list of words
    { apt_get update && apt_get install --no-install-recommends $missing; } ||
        die "apt could not install$missing: look at the lines above, mend the network or the disk, and run this again."
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}

# Made anew only when the interpreter, the place or the requirements are others.  The subshell holds a lock on the
# checkout's folder: `make lab` and `make test` may be typed in two terminals at once.
python_environment() (
    flock 9
    stamp=$({ "$PYTHON" -c 'import sys; print(sys.version, sys.executable)'; echo "$VENV"; cat "$SOURCE/requirements.txt"; } | sha256sum)
    if [ "$(cat "$VENV/.stamp" 2>/dev/null)" != "$stamp" ] || ! "$VENV/bin/python" -c ''; then
        say "installing JupyterLab and the other Python packages of requirements.txt (some minutes, once)"
        rm -rf "$VENV"
        "$PYTHON" -m venv "$VENV" || die "$PYTHON could not make a virtual environment in $VENV."
        pip install --quiet --requirement "$SOURCE/requirements.txt" ||
            die "pip could not install requirements.txt: look at the lines above, mend the network or the disk, and run this again."
        # An optional part of jsonschema, which builds 35 grammars when it is imported.  Nothing here needs it, and without it
        # each import of nbformat, and so each start of JupyterLab and of the tests, takes 0.13 s in place of 0.9.
        pip uninstall --quiet --yes rfc3987-syntax
        # Its list of fonts: made by the first picture, it would take seconds and print a warning into a notebook.
        "$VENV/bin/python" -I -c 'import matplotlib.font_manager'
        # what `pip install --editable` comes down to, without a build
        echo "$SOURCE" > "$(site_packages)/minict.pth"
        echo "$stamp" > "$VENV/.stamp"
    fi
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
    cat > "$VENV/bin/minict.new" <<PYTHON
#!$VENV/bin/python -IS
import sys
sys.path += ["$SOURCE", "$(site_packages)"]
from minict.engine.cli import main
main()
PYTHON
    chmod 755 "$VENV/bin/minict.new"
    mv "$VENV/bin/minict.new" "$VENV/bin/minict"
    ln -sf minict "$VENV/bin/mini-docker"
    [ -n "$BIN" ] || return 0
    for name in minict mini-docker; do
        if [ ! -e "$BIN/$name" ]; then
            ln -sfn "$VENV/bin/$name" "$BIN/$name"
        elif [ "$(readlink -f "$BIN/$name")" != "$(readlink -f "$VENV/bin/$name")" ]; then
            say "$BIN/$name is another one already and stays: this checkout's is $VENV/bin/$name"
        fi
    done
    completions "$(dirname "$BIN")/share"
}

# completions SHARE: what the shells complete, in the folders below SHARE where they look by themselves.
completions() {
    mkdir -p "$1/bash-completion/completions" "$1/zsh/site-functions" "$1/fish/vendor_completions.d"
    "$VENV/bin/minict" completion bash > "$1/bash-completion/completions/minict"
    ln -sf minict "$1/bash-completion/completions/mini-docker"
    "$VENV/bin/minict" completion zsh > "$1/zsh/site-functions/_minict"
    "$VENV/bin/minict" completion fish > "$1/fish/vendor_completions.d/minict.fish"
}

default_image() {
    [ -n "$IMAGE" ] || return 0
    if ! "$VENV/bin/minict" images | grep -q "^${IMAGE}[: ]"; then
        say "making the image $IMAGE: a shell and the usual small tools of this machine"
        "$VENV/bin/python" -I -c 'import sys; from minict.engine import image; image.default_image(sys.argv[1])' "$IMAGE"
    fi
}

main
