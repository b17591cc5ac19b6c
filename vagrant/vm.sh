#!/usr/bin/env bash
# Run the course in a virtual machine with plain QEMU, for Linux without Vagrant: `make vm`.
#
#   vagrant/vm.sh    start the machine, print the address of the course, and run until Ctrl-C, which shuts it down
#
#   MINICT_PORT      the port on this computer; if it is in use, the next free one          (8888)
#
# vagrant/machine.sh has more settings, and says how it works.  Differences from the machine of the tests: systemd runs in it,
# its disk is made once and then keeps all changes, and each start copies the current checkout in, as `vagrant reload` does.
# A notebook that was changed inside stays, unless it is newer here; then the replaced one is in /course/.overwritten.
set -euo pipefail
. "$(dirname "$0")/machine.sh"

main() {
    check_tools
    mkdir -p "$CACHE"
    exec 9>"$CACHE/course.lock"
    flock --nonblock 9 || die "already running: its address is in the terminal that started it."
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

# Set $port to the first free port from MINICT_PORT on.
free_port() {
    port=${MINICT_PORT:-8888}
    [[ $port =~ ^[0-9]{1,5}$ ]] && [ "$port" -gt 0 ] && [ "$port" -lt 65536 ] || die "invalid MINICT_PORT=$port: use a number from 1 to 65535."
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        say "port $port is already in use on this computer"
        port=$((port + 1))
    done
}

# The script that the machine runs after boot.
guest_init() { cat <<INIT
stty -F /dev/hvc0 raw -echo
exec > /dev/hvc0 2>&1 < /dev/null
rsync --archive --update --backup --backup-dir=.overwritten --exclude=/work/ /run/course/ /course/
rm -rf /run/course
export MINICT_SOURCE=/course MINICT_USER=learner MINICT_BIND=0.0.0.0 MINICT_ADDRESS=http://127.0.0.1:$port
sh /course/vagrant/provision.sh && echo "Open this address in a browser on this computer.  Ctrl-C shuts the machine down."
INIT
}

start() {
    machine "$CACHE/course"
    mkfifo "$run/monitor.in" "$run/monitor.out"
    say "booting ($([[ ${qemu[*]} == *"-accel kvm"* ]] && echo "takes a few seconds" || echo "emulated, takes a few minutes"))"
    # in a session of its own, so that the terminal's Ctrl-C does not reach QEMU; it is killed when this script is
    setpriv --pdeathsig TERM setsid "${qemu[@]}" -append "${kernel[*]}" \
        -netdev "user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:$port-:8888" -device virtio-net-pci,netdev=net,romfile= \
        -chardev "pipe,id=monitor,path=$run/monitor" -mon chardev=monitor < /dev/null 9>&- &
    pid=$!
}

stay() {
    local status=0
    trap 'shut_down' INT TERM HUP
    while kill -0 $pid 2>/dev/null; do
        wait $pid && status=0 || status=$? # wait also returns when a signal arrives
    done
    [ $status = 0 ] || { tail -n 25 "$run/console" >&2; die "the machine crashed: see the last lines of its console above."; }
}

# Press the power button; the second time, pull the plug.
shut_down() {
    trap 'kill $pid' INT TERM HUP
    say "shutting down (Ctrl-C again: power off immediately)"
    echo system_powerdown > "$run/monitor.in"
}

main
