#!/usr/bin/env bash
# Execute notebooks on cgroup v2, in a guest (uml.sh), and save them here with the guest's outputs.
#
#   tests/vm/notebooks.sh NOTEBOOK...     paths below this checkout, such as notebooks/08-cgroups.ipynb
#
# `python -m tests.support.execute_notebooks` calls it for a notebook with cells that are tagged cgroup-v2, on a machine
# that has another version.  The guest's files are discarded with it, and only its output is left: an archive of the
# notebooks or, if a cell fails, the error.
set -euo pipefail
cd "$(dirname "$0")/../.."

made=$(mktemp)
trap 'rm -f "$made"' EXIT
# shellcheck disable=SC2016 # the guest's variables
tests/vm/uml.sh sh -c '
    python -m tests.support.execute_notebooks "$@" > /tmp/said 2>&1 || { cat /tmp/said; exit 1; }
    tar -c -- "$@" | base64' sh "$@" > "$made" || { status=$?; cat "$made" >&2; exit $status; }
base64 -d "$made" | tar -x --no-same-owner -- "$@"
