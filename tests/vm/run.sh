#!/usr/bin/env bash
# Run one command, as root, on a Debian 13 kernel with cgroup v2: in a virtual machine that lives as long as the command.
#
#   tests/vm/run.sh COMMAND...            for example:  tests/vm/run.sh python -m pytest tests/test_cgroup.py
#   tests/vm/run.sh                       only build the machine's disk
#
# The command runs in /project, a copy of this checkout, with the Python of requirements.txt first on its PATH.  Its
# output and its exit status are this script's.  124: it did not end in time.  125: the machine could not be made or died.
#
#   MINICT_VM_CACHE    where the disk is kept                     (~/.cache/minict)
#   MINICT_VM_TIMEOUT  seconds that the command may take          (3600)
#   MINICT_VM_MEMORY   of the machine, in MiB                     (2048)
#   MINICT_VM_CPUS     of the machine                             (as many as here)
#   MINICT_VM_ACCEL    kvm or tcg                                 (kvm where it works; tcg, emulation, is 10 times slower)
#
# How it works, and why so:
#   * The disk is a Debian made by mmdebstrap, prepared by the project's own vagrant/provision.sh in a chroot, at this
#     machine's own speed and with its package settings.  It is made once, and again when one of its inputs changes.
#     No run writes to it: what a run changes is thrown away.
#   * Debian's cloud kernel has the drivers for NVMe and ext4 built in, so that it needs no initrd and no boot loader.
#   * It knows no shared folders, so the checkout goes in as a tar archive on a second, raw disk, and the exit status comes
#     back in the first line of a third.
#   * Its pid 1 is the script `guest_init` below: it mounts what systemd would mount, as systemd would, in a tenth of the time.
set -euo pipefail

PROJECT=$(cd "$(dirname "$0")/../.." && pwd)
CACHE=${MINICT_VM_CACHE:-$HOME/.cache/minict}
TIMEOUT=${MINICT_VM_TIMEOUT:-3600}
PACKAGES=linux-image-cloud-amd64,python3,kmod,iputils-ping,ca-certificates,busybox-static

main() {
    [ "$(uname -m)" = x86_64 ] || die "the test machine is an x86-64 one, and this is $(uname -m): run 'make test' on a system with cgroup v2 instead."
    export PATH=$PATH:/usr/sbin:/sbin
    for tool in qemu-system-x86_64 mmdebstrap mke2fs; do
        command -v $tool >/dev/null || die "$tool is missing: 'make test-vm' installs it, and so does MINICT_WITH_VM=1 vagrant/provision.sh."
    done
    disk
    [ $# = 0 ] || boot "$@"
}

say() { echo "test machine: $*" >&2; }
die() { say "$*"; exit 125; }

# ---- the disk --------------------------------------------------------------------------------------------------------

# Set $image to the folder that holds disk.img and vmlinuz, and fill it when there is none for the present inputs.
disk() {
    local inputs
    inputs=$({ declare -f guest_stub make_disk; echo "$PACKAGES"; cat "$PROJECT/vagrant/provision.sh" "$PROJECT/requirements.txt"; } | sha256sum)
    image=$CACHE/vm-${inputs:0:12}
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    flock 9
    if [ ! -e "$image/disk.img" ]; then
        [ "$(id -u)" = 0 ] || die "its disk is not made yet, and making it needs root: sudo $0"
        say "making its disk in $image (some minutes, once)"
        rm -rf "$CACHE"/vm-*
        mkdir "$image.new"
        trap 'rm -rf "$image.new"; die "its disk could not be made: look at the lines above."' EXIT
        make_disk "$image.new" 9>&- >&2 # not in a condition, in which bash would go on after an error
        trap - EXIT
        mv "$image.new" "$image"
    fi
    exec 9>&-
}

make_disk() (
    cd "$1"
    mkdir -p in/minict in/vagrant in/ca
    cp "$PROJECT/requirements.txt" in/
    cp "$PROJECT/vagrant/provision.sh" in/vagrant/
    cp /usr/local/share/ca-certificates/*.crt in/ca/ 2>/dev/null || rmdir in/ca # what this machine trusts, the other one must
    guest_stub > in/init
    cat > in/prepare <<-'PREPARE'
	set -e
	cp -r "$PWD/in" "$1/project"
	mv "$1/project/init" "$1/sbin/minict-init"
	chmod 755 "$1/sbin/minict-init"
	if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$1/etc/pip.conf"; fi
	if [ -d in/ca ]; then ca=/project/ca; fi
	chroot "$1" env MINICT_CA="${ca-}" MINICT_WITH_TESTS=1 MINICT_VENV=/opt/minict MINICT_IMAGE= sh /project/vagrant/provision.sh
	rm -rf "$1/project" "$1/etc/pip.conf"
	: > "$1/etc/fstab"
	echo "127.0.0.1 localhost minict-test" > "$1/etc/hosts"
	echo "nameserver 10.0.2.3" > "$1/etc/resolv.conf"
	PREPARE
    # an initrd would be made and never be used
    mmdebstrap --quiet --variant=minbase --include="$PACKAGES" \
        --dpkgopt=force-confold --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools"; echo update_initramfs=no > "$1/etc/initramfs-tools/update-initramfs.conf"' \
        --customize-hook="cd '$PWD' && sh in/prepare \"\$1\"" trixie root
    mv root/boot/vmlinuz-* vmlinuz
    truncate -s 8G disk.img
    mke2fs -q -t ext4 -m 0 -O ^has_journal -d root disk.img
    rm -rf root in
)

# ---- the guest -------------------------------------------------------------------------------------------------------

# pid 1, on the disk: only what it takes to fetch the rest.
guest_stub() { cat <<'STUB'
#!/bin/sh
export PATH=/opt/minict/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid dev /dev
modprobe -q virtio_blk
until [ -b /dev/vdb ]; do sleep 0.1; done
tar -xf /dev/vda -C /
. /guest/init
STUB
}

# The rest of pid 1, fresh with every run: mounts, control groups and a network as systemd lays them out, then the command.
guest_init() { cat <<'INIT'
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
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

cd /project
stty -F /dev/hvc0 raw -echo
mkfifo /run/output # the command shall write to a pipe and not to a terminal: no colours, no pagers
cat /run/output > /dev/hvc0 & relay=$!
# in the background, so that this shell reaps orphans meanwhile, as pid 1 has to
sh -c 'echo 0 > /sys/fs/cgroup/user.slice/session.scope/cgroup.procs; exec bash /guest/command' > /run/output 2>&1 < /dev/null &
wait $!
echo $? > /dev/vdb
(sleep 3; kill $relay) & # something that the command left behind may hold the pipe for ever
wait $relay
sync
busybox poweroff -f
INIT
}

# ---- one run ---------------------------------------------------------------------------------------------------------

boot() {
    local status=0 machine kernel
    run=$(mktemp -d)
    trap 'rm -rf "$run"' EXIT
    mkdir "$run/guest"
    guest_init > "$run/guest/init"
    printf '%q ' "$@" > "$run/guest/command"
    tar -C "$run" -cf "$run/in" guest
    tar -C "$PROJECT" --owner=0 --group=0 --exclude=./.git --exclude=./.venv --exclude=__pycache__ --exclude=.ipynb_checkpoints \
        --exclude=.pytest_cache --exclude=.vagrant --transform 's,^\.,project,S' -rf "$run/in" .
    truncate -s 1M "$run/out"

    # Only the disk is an NVMe one: two would be named in random order.
    machine=(-nodefaults -no-user-config -no-reboot -display none -cpu max -kernel "$image/vmlinuz"
        -drive "if=none,id=root,format=raw,file=$image/disk.img,snapshot=on" -device "nvme,drive=root,serial=root")
    kernel="root=/dev/nvme0n1 rootfstype=ext4 rootwait rw console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 audit=0"
    export TMPDIR=$run # where QEMU puts what the guest writes to its disk
    timeout --foreground --kill-after=5 "$TIMEOUT" qemu-system-x86_64 "${machine[@]}" -accel "$(accelerator)" \
        -smp "${MINICT_VM_CPUS:-$(nproc)}" -m "${MINICT_VM_MEMORY:-2048}" -append "$kernel init=/sbin/minict-init" \
        -drive if=none,id=in,format=raw,file="$run/in" -device virtio-blk-pci,drive=in \
        -drive if=none,id=out,format=raw,file="$run/out",cache=unsafe -device virtio-blk-pci,drive=out \
        -netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net,romfile= \
        -serial file:"$run/console" \
        -chardev stdio,id=output,signal=on -device virtio-serial-pci -device virtconsole,chardev=output \
        < /dev/null || status=$?
    [ $status != 124 ] || { say "no end after $TIMEOUT s (MINICT_VM_TIMEOUT)."; exit 124; }
    status=$(head -c 4 "$run/out" | tr -cd 0-9)
    [ -n "$status" ] || { tail -n 25 "$run/console" >&2 || true; die "it died; the lines above are the last of its console."; }
    exit "$status"
}

# kvm or tcg.  A /dev/kvm need not work: inside some virtual machines it stops at the guest's first unusual instruction.
# So a kernel is booted whose pid 1 ends at once, which makes it restart, which ends QEMU; the answer is kept.
accelerator() {
    if [ -n "${MINICT_VM_ACCEL:-}" ]; then
        echo "$MINICT_VM_ACCEL"
    elif [ ! -w /dev/kvm ]; then
        echo tcg
    else
        if [ ! -e "$image/accelerator" ]; then
            timeout 20 qemu-system-x86_64 "${machine[@]}" -accel kvm -m 512 -append "$kernel init=/bin/true" \
                < /dev/null > /dev/null 2>&1 && echo kvm > "$image/accelerator" || echo tcg > "$image/accelerator"
        fi
        cat "$image/accelerator"
    fi
}

main "$@"
