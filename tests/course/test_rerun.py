"""A cell that starts a container can be run again, as learners do all the time."""

from __future__ import annotations

from tests.support.notebook_kernel import Kernel

START = 'box = minict.run("tiny", "sleep 1000", name="box", network="none", detach=True)'


def test_a_cell_that_runs_again_stops_its_previous_container(tiny):
    with Kernel() as kernel:
        kernel.run(
            "import minict; from minict.engine import api\n"
            f"def again(cell): return get_ipython().run_cell({START!r}, cell_id=cell).success"
        )
        assert kernel.run("print(again('one'), again('one'), len(api.running), box.status)") == "True True 1 running\n"
        other = kernel.run("again('another')")
        assert "the name 'box' is in use" in other, "another cell is another request"
        assert (
            kernel.run("print(len(api.running), box.status); box.stop(timeout=0); print(len(api.running))")
            == "1 running\n0\n"
        )


def test_without_ids_the_same_text_is_the_same_cell(tiny):
    with Kernel() as kernel:
        kernel.run(
            "import minict; from minict.engine import api\n"
            f"def again(text): return get_ipython().run_cell(text).success\nstart = {START!r}"
        )
        assert kernel.run("print(again(start), again(start), len(api.running), box.status)") == "True True 1 running\n"
        assert "the name 'box' is in use" in kernel.run("again(start + '  # another one')")
        kernel.run("box.stop(timeout=0)")


def test_a_cell_without_containers_stops_none(tiny):
    with Kernel() as kernel:
        kernel.run(f"import minict; shell = get_ipython(); shell.run_cell({START!r}, cell_id='one')")
        kernel.run("for _ in range(2): shell.run_cell('box.status', cell_id='two')")
        assert kernel.run("print(box.status); _ = box.stop(timeout=0)") == "running\n"


def test_containers_that_share_a_pid_namespace_are_stopped_in_an_order_that_ends(tiny):
    """Process 1 of the namespace, the older one, can't end before the others in it have been waited for."""
    start = (
        "boxes = [minict.run('tiny', 'sleep 1000', network='none', detach=True)]\n"
        "boxes += [minict.run('tiny', 'sleep 1000', network='none', pid=f'container:{boxes[0].name}', detach=True) "
        "for _ in range(4)]"
    )
    with Kernel() as kernel:
        kernel.run(f"import minict; from minict.engine import api; again = lambda: get_ipython().run_cell({start!r})")
        assert kernel.run("print(again().success, again().success, len(api.running))") == "True True 5\n"
        kernel.run("for box in reversed(boxes): box.stop(timeout=0)")
