# The virtual machine that `make vm` and `make test-vm` share: how its disk is made, and how QEMU is called.
# Sourced by the bash scripts vagrant/vm.sh, tests/vm/qemu.sh and tests/vm/uml.sh.
#
#   MINICT_VM_CACHE    where disks are kept                       (~/.cache/minict)
#   MINICT_VM_MEMORY   memory of the machine, in MiB              (2048)
#   MINICT_VM_CPUS     processors of the machine                  (as many as here)
#   MINICT_VM_ACCEL    kvm or tcg                                 (kvm where it works; tcg, emulation, is 10 times slower)
#
# How it works, and why:
#   * The disk is a Debian system made by mmdebstrap and prepared by the project's own vagrant/provision.sh in a chroot, at
#     this machine's native speed and with its package settings.
#   * Debian's cloud kernel has the drivers for NVMe and ext4 built in, so it needs neither an initrd nor a boot loader.
#   * It has no shared folders, so the checkout goes in as a tar archive on a second, raw disk, with a script that says
#     what to do.  The disk itself contains only what is needed to fetch that.

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${MINICT_VM_CACHE:-$HOME/.cache/minict}
PATH=$PATH:/usr/sbin:/sbin
PACKAGES=linux-image-cloud-amd64,systemd-sysv,udev,dbus,python3,kmod,iputils-ping,ca-certificates,busybox-static,rsync
LEARNER=1000 # the user id inside that owns the course

say() { echo "virtual machine: $*" >&2; }
die() { say "$*"; exit 125; }

check_tools() {
    [ "$(uname -m)" = x86_64 ] || die "it needs an x86-64 computer, and this is $(uname -m): use Vagrant or Lima; for the tests, 'make test' on a system with cgroup v2."
    local tool
    for tool in qemu-system-x86_64 mmdebstrap mke2fs; do
        command -v $tool >/dev/null || die "$tool not found: start with make, or install it with MINICT_WITH_VM=1 vagrant/provision.sh."
    done
}

# ---- the disk --------------------------------------------------------------------------------------------------------

# make_image FOLDER SIZE [VARIABLE=VALUE...]: fill FOLDER with disk.img and vmlinuz; provision.sh gets the variables.
make_image() {
    [ "$(id -u)" = 0 ] || die "creating its disk needs root: use sudo."
    say "creating its disk in $1 (takes a few minutes, once)"
    rm -rf "$1" "$1.new"
    mkdir -p "$1.new"
    trap 'rm -rf "'"$1.new"'"; die "could not create its disk: see the lines above."' EXIT
    make_disk "$1.new" "${@:2}" 9>&- >&2 # not in a condition, where bash would continue after an error
    trap - EXIT
    mv "$1.new" "$1"
}

make_disk() (
    cd "$1"
    unset MINICT_ROOT MINICT_RUN MINICT_CGROUP PYTHONPATH # these belong to this machine
    mkdir -p in/course/vagrant in/ca
    cp -r "$PROJECT"/{requirements.txt,minict,notebooks} in/course/
    cp "$PROJECT"/vagrant/{provision.sh,images.txt} in/course/vagrant/
    cp /usr/local/share/ca-certificates/*.crt in/ca/ 2>/dev/null || true # the virtual machine needs the certificates that this one trusts
    guest_stub > in/minict-guest
    guest_unit > in/minict-guest.service
    printf '%q ' MINICT_SOURCE=/course MINICT_USER=learner "${@:3}" > in/settings
    cat > in/prepare <<-'PREPARE'
	set -e
	root=$1
	cp -r in/course "$root/course"
	install -m 755 in/minict-guest "$root/sbin/"
	install -m 644 in/minict-guest.service "$root/etc/systemd/system/"
	if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/pip.conf"; fi
	if [ -n "$(ls in/ca)" ]; then cp -r in/ca "$root/course/ca"; ca=/course/ca; fi
	printf '[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' > "$root/etc/systemd/network/eth0.network"
	chroot "$root" systemctl --quiet enable minict-guest systemd-networkd
	# services that are not needed here, and cost seconds under emulation
	chroot "$root" systemctl --quiet mask systemd-networkd-wait-online.service systemd-binfmt.service e2scrub_reap.service \
	    systemd-journal-catalog-update.service getty@tty1.service serial-getty@hvc0.service \
	    serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
	chroot "$root" useradd --create-home --uid "$2" --shell /bin/bash learner
	chown -R "$2:$2" "$root/course"
	chroot "$root" sh -c "MINICT_CA=${ca-} $(cat in/settings) sh /course/vagrant/provision.sh"
	rm -rf "$root/course" "$root/etc/pip.conf"
	: > "$root/etc/fstab"
	echo minict > "$root/etc/hostname"
	printf '127.0.0.1 localhost\n127.0.1.1 minict\n' > "$root/etc/hosts"
	echo "nameserver 10.0.2.3" > "$root/etc/resolv.conf"
	PREPARE
    # nothing would use an initrd
    # in a mount namespace of its own: its mounts go with it, even after kill -9
    unshare --mount mmdebstrap --quiet --variant=minbase --include="$PACKAGES" \
        --dpkgopt=force-confold --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools"; echo update_initramfs=no > "$1/etc/initramfs-tools/update-initramfs.conf"' \
        --customize-hook="cd '$PWD' && sh in/prepare \"\$1\" $LEARNER" trixie root
    mv root/boot/vmlinuz-* vmlinuz
    truncate -s "$2" disk.img
    mke2fs -q -t ext4 -m 0 -d root disk.img
    rm -rf root in
)

# What the disk runs when it boots, as pid 1 or as a child of systemd: it only fetches the rest.
guest_stub() { cat <<'STUB'
#!/bin/sh
export PATH=/opt/minict/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
if [ $$ = 1 ]; then
    mount -t proc -o nosuid,nodev,noexec proc /proc
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    mount -t devtmpfs -o nosuid dev /dev
    mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
fi
modprobe -q virtio_blk
until [ -b /dev/vda ] || [ -b /dev/ubdb ]; do sleep 0.1; done # ubdb: User Mode Linux has it, in tests/vm
if [ -b /dev/vda ]; then disk=/dev/vda; else disk=/dev/ubdb; fi
tar -xf $disk -C /run
. /run/guest/init
STUB
}

guest_unit() { cat <<'UNIT'
[Unit]
Description=minict: what this machine's host has for it
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/minict-guest

[Install]
WantedBy=multi-user.target
UNIT
}

# ---- a run -----------------------------------------------------------------------------------------------------------

# pack FILE: write the second disk of the guest: the folder $run/guest with the script `init`, and this checkout.
pack() {
    tar -C "$run" --owner=0 --group=0 -cf "$1" guest
    tar -C "$PROJECT" --owner=$LEARNER --group=$LEARNER --numeric-owner --exclude=./.git --exclude=./.venv --exclude=./vagrant/cache --exclude=./work \
        --exclude=__pycache__ --exclude=.ipynb_checkpoints --exclude='.*_cache' --exclude=.vagrant \
        --transform 's,^\.,course,S' -rf "$1" .
}

# machine FOLDER [OPTION]: set the arrays $qemu and $kernel to the arguments for the image in FOLDER; callers may append more.
# OPTION is an option of the disk.  Only this disk is NVMe: two would get their names in random order.
machine() {
    qemu=(qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -cpu max -kernel "$1/vmlinuz"
        -drive "if=none,id=root,format=raw,file=$1/disk.img${2:+,$2}" -device "nvme,drive=root,serial=root")
    kernel=(root=/dev/nvme0n1 rootfstype=ext4 rootwait rw console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 audit=0)
    qemu+=(-accel "$(accelerator "$1")" -smp "${MINICT_VM_CPUS:-$(nproc)}" -m "${MINICT_VM_MEMORY:-2048}"
        -drive "if=none,id=in,format=raw,readonly=on,file=$run/in" -device virtio-blk-pci,drive=in
        -serial "file:$run/console"
        -chardev stdio,id=output,signal=on -device virtio-serial-pci -device virtconsole,chardev=output)
}

# accelerator FOLDER: print kvm or tcg.  /dev/kvm may exist and not work: inside some virtual machines it stops at the guest's
# first unusual instruction.  So this boots a kernel whose pid 1 exits at once, which ends QEMU, and keeps the answer.
accelerator() {
    if [ -n "${MINICT_VM_ACCEL:-}" ]; then
        echo "$MINICT_VM_ACCEL"
    elif [ ! -w /dev/kvm ]; then
        echo tcg
    else
        if [ ! -e "$1/accelerator" ]; then
            timeout 20 "${qemu[@]}" -snapshot -accel kvm -m 512 -append "${kernel[*]} init=/bin/true" \
                < /dev/null > /dev/null 2>&1 && echo kvm > "$1/accelerator" || echo tcg > "$1/accelerator"
        fi
        cat "$1/accelerator"
    fi
}
