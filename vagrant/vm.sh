#!/usr/bin/env bash
# The course in a virtual machine of plain QEMU, for Linux without Vagrant: `make vm`.
#
#   vagrant/vm.sh    start the machine, print the address of the course, and stay until Ctrl-C, which shuts it down
#
#   MINICT_PORT      the port on this computer; when it is taken, the next free one          (8888)
#
# More settings, and how it works, are in vagrant/machine.sh.  What is different here from the machine of the tests: systemd runs
# in it, its disk is made once and then keeps what is written to it, and each start brings the present checkout in, as
# `vagrant reload` does: a notebook that was changed inside stays, unless it is newer here, and then the other one lies in
# /course/.overwritten.
set -euo pipefail
. "$(dirname "$0")/machine.sh"

main() {
    check_tools
    mkdir -p "$CACHE"
    exec 9>"$CACHE/course.lock"
    flock --nonblock 9 || die "it runs already: its address stands where it was started."
    [ -e "$CACHE/course/disk.img" ] || make_image "$CACHE/course" 20G
    free_port
    run=$(mktemp -d)
    trap 'rm -rf "$run"' EXIT
    mkdir "$run/guest"
    guest_init > "$run/guest/init"
    pack "$run/in"
    start
    stay
}

# Set $port to the first one from MINICT_PORT on at which nobody listens.
free_port() {
    port=${MINICT_PORT:-8888}
    [[ $port =~ ^[0-9]{1,5}$ ]] && [ "$port" -gt 0 ] && [ "$port" -lt 65536 ] || die "MINICT_PORT=$port is no port: give a number from 1 to 65535."
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        say "the port $port is taken here"
        port=$((port + 1))
    done
}

# What the machine does when it has booted.
guest_init() { cat <<INIT
stty -F /dev/hvc0 raw -echo
exec > /dev/hvc0 2>&1 < /dev/null
rsync --archive --update --backup --backup-dir=.overwritten /run/course/ /course/
rm -rf /run/course
export MINICT_SOURCE=/course MINICT_USER=learner MINICT_BIND=0.0.0.0 MINICT_ADDRESS=http://127.0.0.1:$port
sh /course/vagrant/provision.sh && echo "Open it in a browser on this computer.  Ctrl-C here shuts the machine down."
INIT
}

start() {
    machine "$CACHE/course"
    mkfifo "$run/monitor.in" "$run/monitor.out"
    say "it boots ($([[ ${qemu[*]} == *"-accel kvm"* ]] && echo "a few seconds" || echo "by emulation, which takes some minutes"))"
    # in a session of its own, where the terminal's Ctrl-C does not reach it; and it ends when we are killed
    setpriv --pdeathsig TERM setsid "${qemu[@]}" -append "${kernel[*]}" \
        -netdev "user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:$port-:8888" -device virtio-net-pci,netdev=net,romfile= \
        -chardev "pipe,id=monitor,path=$run/monitor" -mon chardev=monitor < /dev/null 9>&- &
    pid=$!
}

stay() {
    local status=0
    trap 'shut_down' INT TERM HUP
    while kill -0 $pid 2>/dev/null; do
        wait $pid && status=0 || status=$? # it also returns when a signal has come
    done
    [ $status = 0 ] || { tail -n 25 "$run/console" >&2; die "it died; the lines above are the last of its console."; }
}

# As if somebody pressed its power button; the second time, as if they pulled the plug.
shut_down() {
    trap 'kill $pid' INT TERM HUP
    say "it shuts down (Ctrl-C again: at once)"
    echo system_powerdown > "$run/monitor.in"
}

main
