# What the tests need of a kernel made here, looked at once, inside: ../uml.sh takes no kernel that does not pass.
set -e
die() { echo "$*" >&2; exit 1; }

cd /sys/fs/cgroup
[ "$(stat -f -c %T .)" = cgroup2fs ] || die "no control groups of version 2"
for controller in cpuset cpu io memory pids; do
    grep -qw $controller cgroup.controllers || die "no controller $controller"
done
for rule in "inet a" "ip b" "ip6 c" "netdev d"; do
    nft "add table $rule" || die "no nftables: $rule"
done
unshare --mount --uts --ipc --net --pid --user --cgroup --time --fork --map-root-user true ||
    die "a kind of namespace is missing"

# both kinds of a process's time grow (see timer.patch)
python3 - <<'PYTHON'
import os, sys, time

end = time.monotonic() + 60
zero = os.open("/dev/zero", os.O_RDONLY)
while not all(os.times()[:2]):
    if time.monotonic() > end:
        sys.exit(f"of user and system time only one is accounted: {os.times()}")
    sum(range(100_000))
    for _ in range(1000):
        os.read(zero, 1 << 16)
PYTHON
