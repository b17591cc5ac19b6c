#!/bin/sh
# Undo what provision.sh did outside the checkout: remove the commands, the completion scripts, the service, containers and images.
# Volumes stay, because they are people's data.  Packages and the service's user stay too: something else may need them by now.
set -eu
[ "$(id -u)" = 0 ] || { echo "minict: uninstalling needs root: run  sudo sh $0" >&2; exit 1; }
SOURCE=$(readlink -f "$(dirname "$0")/..")
UNIT=/etc/systemd/system/minict-lab.service
VENV=${MINICT_VENV:-$([ -e $UNIT ] && sed -n 's|^ExecStart=\(.*\)/bin/python .*|\1|p' $UNIT || echo "$SOURCE/.venv")}
BIN=${MINICT_BIN-/usr/local/bin}
ROOT=${MINICT_ROOT:-/var/lib/minict}
RUN=${MINICT_RUN:-/run/minict}

if [ -x "$VENV/bin/minict" ]; then "$VENV/bin/minict" prune; fi
if [ -n "$(ls "$RUN/containers" 2>/dev/null)" ]; then
    echo "minict: containers are still running, so nothing was removed: stop them and run this again." >&2
    exit 1
fi
if [ -e $UNIT ]; then
    if [ -d /run/systemd/system ]; then systemctl --quiet stop minict-lab; fi
    systemctl --quiet disable minict-lab 2>/dev/null || true # fails where systemd is not running
    for name in minict mini-docker minict-oci; do
        if grep -qs "$VENV/bin/minict" "$BIN/$name"; then rm "$BIN/$name"; fi
    done
    rm -rf /etc/minict /etc/sudoers.d/minict /etc/sysctl.d/60-minict.conf "$VENV" # the unit last: it says where the environment is
    rm $UNIT
    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
fi
for name in minict mini-docker minict-oci; do
    case $(readlink "$BIN/$name" || true) in "$VENV"/*) rm "$BIN/$name" ;; esac
done
if [ -n "$BIN" ]; then
    SHARE=$(dirname "$BIN")/share
    rm -f "$SHARE/bash-completion/completions/minict" "$SHARE/bash-completion/completions/mini-docker" \
        "$SHARE/zsh/site-functions/_minict" "$SHARE/fish/vendor_completions.d/minict.fish"
fi
rm -rf "$RUN"
if [ -n "$(ls "$ROOT/volumes" 2>/dev/null)" ]; then
    find "$ROOT" -mindepth 1 -maxdepth 1 ! -name volumes -exec rm -rf {} +
    echo "minict: your volumes are kept in $ROOT/volumes: remove them by hand."
else
    rm -rf "$ROOT"
fi
