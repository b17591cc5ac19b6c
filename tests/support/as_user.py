"""For a session of tests without root: which tests need the machine's root, and why.

Such a test runs and has to fail; one that succeeds has lost its reason. What needs *LIMITS* runs only where a control
group is delegated to the user, and passes there.
"""

from __future__ import annotations

import pytest

from minict.engine.rootless import delegated
from minict.runtime import place
from minict.runtime.cgroup.hierarchy import find_hierarchies

LIMITS = "limits and pauses need a control group that is delegated to the user"
REASONS_FOR_ROOT: dict[str, str] = {
    LIMITS: """
        builder/test_build.py: test_what_run_steps_may_use
        cli/test_run.py: test_more_memory_than_allowed_ends_the_command test_the_limit_of_memory_is_a_file_inside
            test_half_a_processor_is_half_of_each_period test_a_fork_bomb_stops_at_the_limit_of_processes
        lifecycle/test_lifecycle.py: test_out_of_memory_is_known_as_the_cause test_paused_it_stands_still_and_can_be_stopped
            test_limits_change_while_it_runs_and_stay_changed test_below_a_chosen_control_group
            test_the_record_is_plain_json
        lifecycle/test_listing.py: test_inspect_knows_a_container_that_runs test_stats_are_the_kernels_numbers
            test_stats_without_a_limit_show_the_memory_of_the_host test_stats_redraw_the_screen_until_ctrl_c
        lifecycle/test_healthcheck.py: test_a_paused_container_is_not_checked
            test_a_check_that_a_pause_overtakes_does_not_count
        lifecycle/test_commit.py: test_a_running_container_is_frozen_for_the_moment
        system/test_events.py: test_commands_on_a_container_are_events test_out_of_memory_and_health_have_events
        test_api.py: test_the_options_are_those_of_the_command_line test_a_limit_changes_while_it_runs
            test_a_container_in_the_background_is_looked_at_and_stopped test_a_paused_container_stands_still
            test_a_container_is_created_started_and_outlives_this_python
    """,
    "the session itself changes the groups of its process": "cli/test_run.py: test_the_groups_of_the_host_stay_outside",
    "the session itself mounts": """
        cli/test_run.py: test_a_read_only_volume_is_so_in_the_mounts_inside_it_too
        lifecycle/test_healthcheck.py: test_a_full_disk_does_not_end_the_container
    """,
    "the session itself gives files to others, and makes devices": """
        archive/test_transfer.py: test_everything_of_a_file_is_kept test_an_id_is_the_one_that_the_container_knows
            test_a_fifo_and_a_device_do_not_stop_it
    """,
    "devices in an archive are left out": """
        builder/test_build.py: test_a_device_in_an_archive_is_refused_as_dockerfile
    """,
    "the archive has the user's own id, which is beyond the map of these tests": """
        archive/test_transfer.py: test_an_archive_comes_from_standard_input
    """,
    "the way into the user's namespaces is a setns, too": """
        archive/test_transfer.py: test_no_library_of_a_container_is_loaded
    """,
    "the second filter before loopback is a BPF program, which only the machine's root may load": """
        networks/test_portmapper.py: test_the_hosts_own_loopback_stays_its_own
    """,
    "it compares with the capabilities of the session": "cli/test_run.py: test_a_capability_is_dropped_and_added",
    "the user's containers have a user namespace": "cli/test_run.py: test_six_namespaces_are_its_own",
}


def registered() -> dict[str, str]:
    """The reason for each ``FILE::TEST``, below tests/integration."""
    found = {}
    for reason, text in REASONS_FOR_ROOT.items():
        for word in text.split():
            if word.endswith(":"):
                file = word[:-1]
            else:
                found[f"{file}::{word}"] = reason
    return found


def pytest_collection_modifyitems(items):
    limited = "memory" in find_hierarchies()[0] if place.in_user_namespace() else bool(delegated.root())
    reasons, seen = registered(), set()
    for item in items:
        name = item.nodeid.removeprefix("tests/integration/")
        for key in {name, name.partition("[")[0]} & set(reasons):
            seen.add(key)
            if not (limited and reasons[key] == LIMITS):
                item.add_marker(pytest.mark.xfail(reason=reasons[key], strict=True, run=reasons[key] != LIMITS))
    files = {item.nodeid.removeprefix("tests/integration/").partition("::")[0] for item in items}
    stale = [key for key in reasons if key.partition("::")[0] in files and key not in seen]
    assert not stale, f"no such tests: {stale}"
