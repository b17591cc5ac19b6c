#!/usr/bin/env bash
# Tests on cgroup v2, in two guests side by side: `make test-v2`.
#
#   tests/vm/v2.sh [TEST...]              by default the tests of control groups and of minict-oci, every notebook,
#                                         and the first chapters without root
#
# The guests are User Mode Linux (uml.sh), or QEMU (qemu.sh) where UML is unavailable.  The exit status is pytest's.
#
#   MINICT_VM_TIMEOUT  seconds that the tests may take            (3600; emulated ones ten times as many)
set -euo pipefail
cd "$(dirname "$0")/../.."

# Set $machine to the script that runs a guest, and $patience to the factor by which tests may be slower than on this
# machine.
choose_machine() {
    local status=0
    machine=tests/vm/uml.sh patience=3
    $machine || status=$?
    [ $status = 126 ] || return $status
    echo "test-v2: User Mode Linux is unavailable, for the reason above: using QEMU, which takes longer" >&2
    machine=tests/vm/qemu.sh patience=12
    MINICT_WITH_VM=1 sh vagrant/provision.sh system_packages
    $machine
}

[ $# -gt 0 ] || set -- tests/integration/runtime/test_{cgroup,devices,userns}.py tests/integration/{oci,cli/test_run.py} \
    tests/integration/lifecycle/test_healthcheck.py notebooks \
    tests/integration/rootless/test_chapters.py::test_one_of_the_first_chapters
choose_machine
# tests/vm has no tests, but with a folder of tests/ among its arguments pytest loads tests/conftest.py, which notebooks
# need
exec python3 tests/support/side_by_side.py tests/weights.txt "$@" -- \
    $machine python -m pytest --timeout=$((300 * patience)) --nbval-cell-timeout=$((120 * patience)) tests/vm
