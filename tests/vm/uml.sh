#!/usr/bin/env bash
# Run one command, as root, on a User Mode Linux kernel with cgroup v2: a Linux that is an ordinary program of this
# machine.
#
#   tests/vm/uml.sh COMMAND...            for example:  tests/vm/uml.sh python -m pytest tests/unit
#   tests/vm/uml.sh                       only make its kernel and disk, and check them
#
# Like qemu.sh, it runs the command in a copy of this checkout, streams its output, and has its exit status.  124: it
# did not end in time.  125: the guest died.  126: its kernel can't be made here, and a line says why.
#
#   MINICT_VM_TIMEOUT  seconds that the command may take          (3600)
#   MINICT_VM_MEMORY   of the guest, in MiB                       (2048)
#   MINICT_VM_CPUS     of the guest                               (as many as here, at most 4)
#   MINICT_VM_CACHE    where the kernel and the disk are kept     (~/.cache/minict)
#   MINICT_VM_SYSTEMD=1  boot systemd, with the command as a service: as with qemu.sh
#   MINICT_UML_KERNEL  a kernel to use instead of our own        (kernel/make.sh makes one)
#
# It needs neither KVM nor settings of this machine: each process of the guest is a process here, whose system calls are
# caught and answered by the guest's kernel, which is a process, too.  So tests take 2 to 3 times as long as on the
# machine itself, where QEMU's emulation takes 12 times.  What it lacks: huge pages, a network beyond loopback, speed
# enough for a browser.
#
# How it works, and why:
#   * The kernel is our own (kernel/config), since those in Debian's user-mode-linux have neither nftables for `inet`
#     and `ip`, nor cpuset, PSI and a second processor; and they have hostfs, by which root in the guest reaches this
#     machine's files.
#   * The disk is the one of qemu.sh.  A run writes to a copy-on-write file, which is discarded.
#   * The guest's kernel and processes are in a pid and a mount namespace of their own, as the user nobody: when this
#     script ends, however it ends, they end too.
set -euo pipefail
. "$(dirname "$0")/../../vagrant/machine.sh"
. "$PROJECT/tests/vm/disk.sh"

main() {
    find_kernel
    [ $# = 0 ] || boot "$@"
}

# Set $kernel and $image. A kernel that we have made must pass a check once; one that fails is not used again.
find_kernel() {
    while :; do
        kernel=$("$TESTER/kernel/make.sh" "$CACHE/uml") || exit 126
        test_disk
        [ -z "${MINICT_UML_KERNEL:-}" ] && [ ! -e "$kernel.checked" ] || return 0
        if (MINICT_VM_TIMEOUT=120 boot sh tests/vm/kernel/check.sh) > "$kernel.check" 2>&1; then
            touch "$kernel.checked"
        else
            say "$(basename "$kernel") can't be used: $(grep . "$kernel.check" | tail -n 1)"
            touch "$kernel.failed"
            rm "$kernel"
        fi
    done
}

boot() {
    local status=0 began=$SECONDS seconds=${MINICT_VM_TIMEOUT:-3600}
    local init=/sbin/minict-guest
    [ -z "${MINICT_VM_SYSTEMD:-}" ] || init="/sbin/init systemd.mask=minict-lab.service systemd.show_status=false"
    local cpus=${MINICT_VM_CPUS:-$(nproc)} memory=${MINICT_VM_MEMORY:-2048}
    prepare_run tty1 ubdc "$@"
    mkdir "$run/disk" "$run/uml"
    touch "$run/disk/image" "$run/disk/kernel"
    : > "$run/console"
    chown -R nobody "$run"

    # The guest makes the descriptors of its consoles non-blocking, and so would a caller's terminal or log be: it gets
    # a pipe and a file of our own.
    local output relay
    exec {output}> >(exec cat)
    relay=$!
    exec {console}> "$run/console"

    # shellcheck disable=SC2086 # $init has several words
    # pid 1 of the namespaces waits until the kernel has ended, and is killed with this script.  In them $run is /mnt,
    # because the user nobody may not enter root's TMPDIR. A change of user clears PDEATHSIG, so it is set again
    # afterwards.
    # shellcheck disable=SC2016 # the inner shell's variables
    setpriv --pdeathsig KILL timeout --foreground --signal=KILL "$seconds" \
        setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
        sh -c '
            mount --bind "$1" /mnt; mount --bind "$2" /mnt/disk/image; mount --bind "$3" /mnt/disk/kernel; shift 3
            exec setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs --bounding-set=-all \
                --pdeathsig KILL "$@"' \
        uml "$run" "$image/disk.img" "$kernel" \
        env -i PATH="$PATH" HOME=/mnt TMPDIR="$(memory_folder "$memory")" /mnt/disk/kernel \
        mem="${memory}M" ncpus="$((cpus < 4 ? cpus : 4))" uml_dir=/mnt/uml seccomp=auto \
        ubd0=/mnt/cow,/mnt/disk/image ubd1r=/mnt/in ubd2=/mnt/out \
        root=/dev/ubda rootfstype=ext4 rw init=$init panic=-1 noreboot audit=0 \
        con=null con0=null,fd:"$console" con1=null,fd:"$output" ssl=null \
        < /dev/null > "$run/early" 2>&1 || status=$?
    exec {output}>&- {console}>&-
    wait "$relay" || true
    if [ $status = 137 ] && [ $((SECONDS - began)) -ge "$seconds" ]; then
        say "no end after $seconds s (MINICT_VM_TIMEOUT)."
        exit 124
    fi
    end_run "$run/early" "$run/console"
}

# The directory for the guest's memory, an unnamed file: in memory, if there is room.
memory_folder() {
    if [ "$(df --output=avail --block-size=1M /dev/shm 2> /dev/null | tail -n 1)" -gt "$1" ]; then
        echo /dev/shm
    else
        echo /mnt
    fi
}

main "$@"
