# What the guest of the tests does, in the machines of qemu.sh and of uml.sh: read by /sbin/minict-guest on its disk,
# as pid 1, or as a service of systemd.  /run/guest has, beside this file:
#
#   devices   sets $output, the console for the command's output, and $result, the disk for its exit status
#   command   the command, to be run in /course

. /run/guest/devices

# Mounts, control groups and a network as systemd sets them up, in a tenth of the time.
lay_out() {
    mkdir -p /dev/pts /dev/shm /dev/mqueue
    mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
    mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
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
    if modprobe -q virtio_net; then
        ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
    fi
}

enter=true # systemd has a control group for us
if [ $$ = 1 ]; then
    lay_out
    enter='echo 0 > /sys/fs/cgroup/user.slice/session.scope/cgroup.procs'
fi

rm -rf /course # left by a machine with systemd
mv /run/course /course
cd /course
stty -F "$output" raw -echo
mkfifo /run/output # the command must write to a pipe and not to a terminal: no colours, no pagers
cat /run/output > "$output" & relay=$!
# in the background, so that this shell reaps orphans meanwhile, as pid 1 has to
setsid sh -c "$enter; exec bash /run/guest/command" > /run/output 2>&1 < /dev/null &
wait $!
echo $? > "$result"
(sleep 3; kill $relay) 2> /dev/null & # a process left by the command may hold the pipe forever
wait $relay
sync
busybox poweroff -f
