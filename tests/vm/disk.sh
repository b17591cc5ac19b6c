# Shared by the guests of qemu.sh and uml.sh: the disk, the input of a command, and its results.
# Source it after vagrant/machine.sh.

TESTER=$PROJECT/tests/vm

# Set $image to the folder that holds disk.img and vmlinuz, and fill it when there is none for the present inputs.
test_disk() {
    local inputs
    inputs=$({ declare -f guest_stub guest_unit make_disk; echo "$PACKAGES"
        cat "$PROJECT/vagrant/provision.sh" "$PROJECT/requirements.txt"; } | sha256sum)
    image=$CACHE/test-${inputs:0:12}
    mkdir -p "$CACHE"
    exec 9> "$CACHE/lock"
    flock 9
    [ -e "$image/disk.img" ] || make_image "$image" 8G MINICT_WITH_TESTS=1 MINICT_IMAGE=
    touch "$image"
    find "$CACHE" -maxdepth 1 -name 'test-*' -mtime +7 -exec rm -rf {} + # unused for a week
    exec 9>&-
}

# prepare_run CONSOLE RESULT COMMAND...: make the folder $run.  It has the guest's second disk, `in`, and its third,
# `out`, for the exit status; CONSOLE and RESULT are the guest's names of the command's output and of that third disk. 
# The folder is removed when this script and the guest have ended, however they end: a process waits for the last one to
# close a pipe.
prepare_run() {
    run=$(mktemp -d)
    exec 8> >(exec setsid sh -c 'cat; rm -rf "$1"' - "$run" > /dev/null 2>&1)
    mkdir "$run/guest"
    cp "$TESTER/guest.sh" "$run/guest/init"
    printf 'output=/dev/%s\nresult=/dev/%s\n' "$1" "$2" > "$run/guest/devices"
    printf '%q ' "${@:3}" > "$run/guest/command"
    pack "$run/in"
    truncate -s 64K "$run/out"
}

# end_run CONSOLE...: exit with the command's status; without one the guest has crashed, and the end of its
# console is shown.
end_run() {
    local status
    status=$(head -c 4 "$run/out" | tr -cd 0-9)
    [ -n "$status" ] || { tail -n 25 "$@" >&2 || true; die "it died; the lines above are the last of its console."; }
    rm -rf "$run"
    exit "$status"
}
