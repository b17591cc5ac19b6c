"""Chapter 17: the string of beads tells the truth, a kitchen leaves nothing, and builds go through the learner's
functions."""

from __future__ import annotations

import os
import tarfile
import urllib.request

import pytest

import minict
from minict.engine.builder import copy_archive
from minict.engine.images import buildcache, store
from minict.lab.builds import CACHED, EXECUTED, Kitchen, Market, beads, layer_sizes
from minict.lab.exercise import exercises
from tests.support.notebook_kernel import Kernel

RECIPE = """
FROM pantry
COPY soup /soup
RUN cat /soup > /menu
COPY cake /cake
CMD ["cat", "/menu"]
"""


@pytest.fixture
def kitchen(tiny):
    kitchen = Kitchen()
    kitchen.write("soup", "leek")
    kitchen.write("cake", "plum")
    kitchen.write("Dockerfile", RECIPE)
    yield kitchen
    kitchen.close()


def test_the_beads_say_what_was_executed(kitchen):
    changes = {
        "touch": "touch -d 2001-01-01 soup",
        "chmod": "chmod 600 cake",
        "edit": "echo leak > soup",
        "none": "true",
    }
    strings = beads(kitchen, RECIPE, changes, {"touch": 0, "chmod": 1, "edit": "?"})
    assert strings.first.states == [EXECUTED] * 3
    assert [strings.first_executed(title) for title in changes] == [0, 3, 1, 0]
    assert strings.builds["chmod"].states == [CACHED, CACHED, EXECUTED]
    assert strings.score == (1, 2)
    assert "edit: executed again from step 1; none: all cached" in repr(strings)
    assert strings.picture(0).sentence == "nothing has been changed yet" and "edit" not in strings.picture(2).sentence
    with open(f"{kitchen.directory}/soup") as file:
        assert file.read() == "leek\n", "a change was made in the kitchen itself"


def test_beads_that_are_made_again_say_the_same(kitchen):
    changes = {"edit": "echo leak > soup", "chmod": "chmod 600 cake"}
    kitchen.write("Dockerfile", "FROM pantry\nCOPY soup /elsewhere")  # a reader has gone on, and comes back
    kitchen.write(".dockerignore", "*")
    for guess in ("?", "1", 1):
        strings = beads(kitchen, RECIPE, changes, {"edit": guess})
        assert [strings.first_executed(title) for title in changes] == [1, 3]
        assert strings.score == ((0, 0) if guess == "?" else (1, 1))
    kitchen.write(".dockerignore", "")
    assert kitchen.build(RECIPE).states == [EXECUTED] * 3, "the kitchen's own cache knows what the beads have built"
    assert kitchen.build().states == [CACHED] * 3


@pytest.mark.parametrize(
    "guesses, words",
    [
        ({"nap": 1}, "no change 'nap'"),
        ({"touch": 9}, "a number from 0"),
        ({"touch": "9"}, "a number from 0"),
        ({"touch": "one"}, "a number from 0"),
        ({"touch": None}, "a number from 0"),
    ],
)
def test_a_guess_that_is_none_gets_a_reason(kitchen, guesses, words):
    with pytest.raises(ValueError, match=words):
        beads(kitchen, RECIPE, {"touch": "touch soup"}, guesses)


def test_a_kitchen_removes_what_was_built_in_it_and_nothing_else(tiny):
    before, steps = (
        set(store.ids()),
        set(os.listdir(buildcache.directory()) if os.path.isdir(buildcache.directory()) else ()),
    )
    kitchen = Kitchen("test-larder")
    kitchen.write("soup", os.urandom(8))
    first = kitchen.build("FROM test-larder\nCOPY soup /soup\n", tag=["test-menu"])
    scratch = kitchen.build("FROM scratch AS one\nCOPY soup /soup\nFROM scratch\nCOPY --from=one /soup /pot\n")
    assert len(layer_sizes(first.image, kitchen.pantry)) == 1 and len(scratch.image.layers) == 1
    kitchen.close()
    assert set(store.ids()) == before and not os.path.exists(kitchen.directory)
    assert set(os.listdir(buildcache.directory())) <= steps
    kitchen.close()


def test_a_failed_build_shows_what_its_command_said(kitchen):
    with pytest.raises(minict.ContainerError, match="exit status 3: no leek today"):
        kitchen.build("FROM pantry\nRUN echo no leek today; exit 3\n")


def test_the_market_changes_its_prices():
    market = Market("leek: 2")
    try:
        for price in ("leek: 2", "leek: 5"):
            market.prices = price
            with urllib.request.urlopen(market.url) as page:
                assert page.read().decode() == f"{price}\n"
    finally:
        market.close()


@pytest.mark.parametrize("id", ["build-1", "build-2", "build-3"])
def test_a_build_goes_through_the_learners_function(id, tiny, tmp_path):
    task = exercises()[id]
    first = task.solution.index("\n", task.solution.rindex('"""')) + 1
    (tmp_path / "soup").write_text("leek")
    (tmp_path / ".dockerignore").write_text("cake\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /kitchen\n")
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nimport minict")
        # a build calls them in children, too, which have the kernel's memory, and not its descriptors or its root
        theirs = f"{task.solution[:first]}    calls.append(1)\n{task.solution[first:]}"
        kernel.run(
            "import mmap\nshared = mmap.mmap(-1, 1)\nclass Calls:\n    def append(self, one): shared[0] = one\ncalls = Calls()"
        )
        assert "YOUR" in kernel.run(f'@exercise("{id}")\n{theirs}')
        told = kernel.run(
            f"shared[0] = 0\nimage = minict.build({str(tmp_path)!r}, say=lambda line: None)\nprint('called', shared[0])\n"
            "from minict.engine.images.image import remove\n_ = remove(image.id, force=True)"
        )
    assert "called 1" in told


def test_what_the_cache_knows_of_a_file(tmp_path):
    path = tmp_path / "soup"
    path.write_text("leek")
    with tarfile.open(tmp_path / "tar", "w") as tar:

        def seen():
            return copy_archive.identity(tar.gettarinfo(path, "soup"))

        first = seen()
        os.utime(path, (1, 1))
        assert seen() == first
        path.chmod(0o4711)
        assert seen() != first and 0o4711 in seen()
