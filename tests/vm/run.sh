#!/usr/bin/env bash
# Run one command, as root, on a Debian 13 kernel with cgroup v2: in a virtual machine that lives as long as the command.
#
#   tests/vm/run.sh COMMAND...            for example:  tests/vm/run.sh python -m pytest tests/integration/runtime/test_cgroup.py
#   tests/vm/run.sh                       only build the machine's disk
#
# The command runs in /course, a copy of this checkout, with the Python of requirements.txt first on its PATH.  Its
# output and its exit status are this script's.  124: it did not end in time.  125: the machine could not be made or died.
#
#   MINICT_VM_TIMEOUT  seconds that the command may take          (3600; where the machine is emulated, ten times as many)
#
# More settings, and how it works, are in vagrant/machine.sh.  What is different here from the machine of `make vm`:
#   * Its disk is made anew when one of the disk's inputs changes, and no run writes to it: what a run changes is thrown away.
#   * A third disk brings the exit status back, in its first line.
#   * Its pid 1 is the script `guest_init` below: it mounts what systemd would mount, as systemd would, in a tenth of the time.
set -euo pipefail
. "$(dirname "$0")/../../vagrant/machine.sh"

main() {
    check_tools
    disk
    [ $# = 0 ] || boot "$@"
}

# Set $image to the folder that holds disk.img and vmlinuz, and fill it when there is none for the present inputs.
disk() {
    local inputs
    inputs=$({ declare -f guest_stub guest_unit make_disk; echo "$PACKAGES"; cat "$PROJECT/vagrant/provision.sh" "$PROJECT/requirements.txt"; } | sha256sum)
    image=$CACHE/test-${inputs:0:12}
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    flock 9
    if [ ! -e "$image/disk.img" ]; then
        rm -rf "$CACHE"/test-*
        make_image "$image" 8G MINICT_WITH_TESTS=1 MINICT_IMAGE=
    fi
    exec 9>&-
}

# pid 1: mounts, control groups and a network as systemd lays them out, then the command.
guest_init() { cat <<'INIT'
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev tmpfs /tmp
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
mount --make-rshared /
ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr

# controllers on at the top, processes in leaves
cd /sys/fs/cgroup
mkdir -p init.scope user.slice/session.scope
echo 1 > init.scope/cgroup.procs
for controller in $(cat cgroup.controllers); do echo "+$controller" > cgroup.subtree_control; done

hostname minict-test
ip link set lo up
modprobe -q virtio_net
ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2

mv /run/course /course
cd /course
stty -F /dev/hvc0 raw -echo
mkfifo /run/output # the command shall write to a pipe and not to a terminal: no colours, no pagers
cat /run/output > /dev/hvc0 & relay=$!
# in the background, so that this shell reaps orphans meanwhile, as pid 1 has to
sh -c 'echo 0 > /sys/fs/cgroup/user.slice/session.scope/cgroup.procs; exec bash /run/guest/command' > /run/output 2>&1 < /dev/null &
wait $!
echo $? > /dev/vdb
(sleep 3; kill $relay) & # something that the command left behind may hold the pipe for ever
wait $relay
sync
busybox poweroff -f
INIT
}

boot() {
    local status=0
    run=$(mktemp -d)
    trap 'rm -rf "$run"' EXIT
    mkdir "$run/guest"
    guest_init > "$run/guest/init"
    printf '%q ' "$@" > "$run/guest/command"
    pack "$run/in"
    truncate -s 1M "$run/out"

    machine "$image" snapshot=on
    local seconds=${MINICT_VM_TIMEOUT:-3600}
    if [[ ${qemu[*]} == *"-accel tcg"* ]]; then
        say "no virtualisation here: it is emulated, and everything takes about ten times as long"
        seconds=${MINICT_VM_TIMEOUT:-36000}
    fi
    export TMPDIR=$run # where QEMU puts what the guest writes to its disk
    timeout --foreground --kill-after=5 "$seconds" "${qemu[@]}" -append "${kernel[*]} init=/sbin/minict-guest" \
        -drive if=none,id=out,format=raw,file="$run/out",cache=unsafe -device virtio-blk-pci,drive=out \
        -netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net,romfile= \
        < /dev/null || status=$?
    [ $status != 124 ] || { say "no end after $seconds s (MINICT_VM_TIMEOUT)."; exit 124; }
    status=$(head -c 4 "$run/out" | tr -cd 0-9)
    [ -n "$status" ] || { tail -n 25 "$run/console" >&2 || true; die "it died; the lines above are the last of its console."; }
    exit "$status"
}

main "$@"
