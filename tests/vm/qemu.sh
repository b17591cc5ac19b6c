#!/usr/bin/env bash
# Run one command, as root, on a Debian 13 kernel with cgroup v2: in a virtual machine of QEMU, which ends with the
# command.
#
#   tests/vm/qemu.sh COMMAND...           for example:  tests/vm/qemu.sh python -m pytest tests/unit
#   tests/vm/qemu.sh                      only build the machine's disk
#
# The command runs in /course, a copy of this checkout, with the Python of requirements.txt first on its PATH.  Its
# output and its exit status are this script's.  124: it did not end in time. 125: the machine could not be made, or
# crashed.
#
#   MINICT_VM_TIMEOUT    seconds that the command may take          (3600; ten times as many under emulation)
#   MINICT_VM_SYSTEMD=1  boot systemd, with the command as a service  (guest.sh is pid 1, and does in a tenth of the
#                        time what systemd would do)
#
# More settings, and how it works, are in vagrant/machine.sh.  Differences from the machine of `make vm`:
#   * Its disk (disk.sh) is rebuilt when one of the disk's inputs changes, and no run writes to it: changes
#     are discarded.
#   * A third disk returns the exit status, in its first line.
set -euo pipefail
. "$(dirname "$0")/../../vagrant/machine.sh"
. "$PROJECT/tests/vm/disk.sh"

main() {
    check_tools
    test_disk
    [ $# = 0 ] || boot "$@"
}

boot() {
    local status=0 init=init=/sbin/minict-guest
    [ -z "${MINICT_VM_SYSTEMD:-}" ] || init="systemd.mask=minict-lab.service systemd.show_status=false"
    prepare_run hvc0 vdb "$@"
    machine "$image" snapshot=on,file.locking=off # a guest of uml.sh may use it too, and none writes to it
    local seconds=${MINICT_VM_TIMEOUT:-3600}
    if [[ ${qemu[*]} == *"-accel tcg"* ]]; then
        say "no virtualisation here: the machine is emulated, and everything takes about ten times as long"
        seconds=${MINICT_VM_TIMEOUT:-36000}
    fi
    export TMPDIR=$run # where QEMU stores what the guest writes to its disk
    # setpriv: the machine ends with this script
    setpriv --pdeathsig TERM timeout --foreground --kill-after=5 "$seconds" \
        setpriv --pdeathsig KILL "${qemu[@]}" -append "${kernel[*]} $init" \
        -drive if=none,id=out,format=raw,file="$run/out",cache=unsafe -device virtio-blk-pci,drive=out \
        -netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net,romfile= \
        < /dev/null || status=$?
    [ $status != 124 ] || { say "no end after $seconds s (MINICT_VM_TIMEOUT)."; exit 124; }
    end_run "$run/console"
}

main "$@"
