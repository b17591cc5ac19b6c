#!/usr/bin/env bash
# Make a User Mode Linux kernel, which is a Linux that runs as an ordinary program, and print its path.
#
#   tests/vm/kernel/make.sh FOLDER        FOLDER keeps the kernels, and the list of Debian's sources
#
# The sources are the newest linux-source that Debian has.  apt fetches and checks them, from the mirror that this
# machine's apt is configured with, whatever release this machine has.  When they do not build, or the kernel does not
# pass check.sh (see ../uml.sh), the next older ones are taken.  The name of a kernel says its version and its
# configuration: what is there already is not made again.  The list of sources is kept for a week.  Needs the packages
# that provision.sh installs for MINICT_WITH_V2.
#
# Exit status 1, and one line that says why, when no kernel can be made here.
#
#   MINICT_UML_KERNEL  a kernel to take instead
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "kernel: $*" >&2; }
die() { say "$*"; exit 1; }

main() {
    [ -z "${MINICT_UML_KERNEL:-}" ] || { readlink -f "$MINICT_UML_KERNEL"; exit; }
    [ "$(uname -m)" = x86_64 ] || die "User Mode Linux is for x86-64, and this is $(uname -m)"
    folder=$1
    mkdir -p "$folder/apt/lists/partial"
    exec 9> "$folder/lock"
    flock 9
    [ -n "$(find "$folder/apt/sources" -mtime -7 2> /dev/null)" ] || list_sources
    local configuration version package
    configuration=$(cat "$here"/{build.sh,config,timer.patch,check.sh} | sha256sum | head -c 12)
    while read -r version package; do
        kernel=$folder/linux-$version-$configuration
        if [ -e "$kernel" ] || make_kernel "$version" "$package"; then
            touch "$kernel" # what nobody has used for a month, goes
            find "$folder" -maxdepth 1 -name 'linux-*' -mtime +30 -delete
            echo "$kernel"
            exit
        fi
    done < <(head -n 3 "$folder/apt/sources")
    die "no kernel could be made: $folder/*-$configuration.log says why"
}

# ---- the sources -----------------------------------------------------------------------------------------------------

# debian COMMAND...: an apt command with lists of its own, so that this machine's stay as they are.
debian() {
    local command=$1
    shift
    "$command" -qq -o Dir::Etc::SourceList="$folder/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$folder/apt/lists" -o Dir::State::Status=/dev/null -o Dir::Cache::PkgCache= \
        -o Dir::Cache::SrcPkgCache= -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false \
        -o Acquire::Retries=3 "$@" 9>&-
}

# The address that this machine's apt has Debian from; on other systems, Debian's own.
mirror() {
    local address=
    if grep -qx ID=debian /etc/os-release; then
        address=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
            sed -n 's,^main \(.*/debian/*\)$,\1,p' | head -n 1)
    fi
    echo "${address:-http://deb.debian.org/debian}"
}

# Write the list of "VERSION PACKAGE": of each Linux the newest, newest first.  A suite that the mirror does not have is
# left out.
list_sources() {
    local mirror suite packages
    mirror=$(mirror)
    say "asking $mirror for the newest linux-source"
    for suite in sid trixie-backports trixie bookworm-backports bookworm; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done > "$folder/apt/sources.list"
    debian apt-get update 2> "$folder/apt/update.log" || true
    packages=$(debian apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d' ' -f1)
    # shellcheck disable=SC2086 # a list of words
    debian apt-cache madison ${packages:-none} 2> /dev/null | awk '/Packages/ {print $3, $1}' | sort -rV |
        awk '!seen[$2]++' > "$folder/apt/sources.new"
    if [ -s "$folder/apt/sources.new" ]; then
        mv "$folder/apt/sources.new" "$folder/apt/sources"
    else
        [ -s "$folder/apt/sources" ] || die "Debian's sources can't be had: $(grep -m 1 . "$folder/apt/update.log")"
    fi
}

# ---- the kernel ------------------------------------------------------------------------------------------------------

# make_kernel VERSION PACKAGE: make $kernel.  What did not build once is not tried again.
make_kernel() {
    [ ! -e "$kernel.failed" ] || return 1
    say "making Linux $1 (some minutes, once)"
    local work began=$SECONDS
    work=$(mktemp -d "$folder/work.XXXXXX")
    trap 'rm -rf "'"$work"'"' EXIT
    cd "$work"
    if ! debian apt-get download "$2=$1" > "$kernel.log" 2>&1; then
        say "Linux $1 can't be downloaded: $(tail -n 1 "$kernel.log")"
        rm "$folder/apt/sources" # perhaps Debian has a newer one by now
    elif ! "$here/build.sh" 9>&- >> "$kernel.log" 2>&1; then
        say "Linux $1 does not build: $(tail -n 1 "$kernel.log")"
        touch "$kernel.failed"
    else
        sed -n 's/^not in these sources/kernel: &/p' "$kernel.log" >&2
        mv linux "$kernel"
        say "made it in $((SECONDS - began)) s"
    fi
    cd /
    rm -rf "$work"
    trap - EXIT
    [ -e "$kernel" ]
}

main "$@"
