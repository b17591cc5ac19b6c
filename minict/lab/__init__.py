"""The lab: what only the notebooks of the course use.

::

    from minict.lab import *

is the first cell of every notebook.  It prints nothing, takes a twentieth of a second, and gives

=========================================  ===========================================================================
``%%child``, ``run_in_child(f)``           a cell, or a function, in a disposable process (:mod:`.child`)
``@exercise(id)``, ``hint(id)``            a function that the learner writes (:mod:`.exercise`)
``use_reference(id)``                      the course's own function takes its place again
``challenge(id)``                          checks a function that was written into an empty cell (:mod:`.challenge`)
``quiz(id)``, ``answer(id, 2, "b")``       questions, with an explanation of every answer (:mod:`.quiz`)
``warm_up(5)``                             three questions of earlier chapters, missed ones first (:mod:`.recall`)
``sad(id)``, ``check(id)``, ``clue(id)``   a broken container to repair (:mod:`.scenario`)
``flag("04")``, ``capture("04", word)``     a secret word that only a weakness exposes (:mod:`.flag`)
``course_map()``, ``progress()``           all chapters and all tasks, and what is done (:mod:`.course`)
``source(f)``                              the package's own source (:mod:`.source`)
``runtime_map(5)``                         the map of the whole runtime, chapter 5's part lit (:mod:`.figures`)
``process_tree(pid)``                      a process and its descendants, as they are now
``mount_tree(pid)``                        what a process has mounted where
``namespace_map({name: pid, …})``          which processes share which namespaces
``live(draw, label, values)``              a drawing that a slider moves
``watch(sample, label)``                   a value of the kernel, drawn while it changes
``leave_no_trace()``                       the proof that this notebook leaves nothing on the host (:mod:`.trace`)
=========================================  ===========================================================================

It also guards the notebook and the machine (:mod:`.guard`): a process that a cell forks by hand ends with its cell; a
call that would move or end the kernel, rename the machine, change its mounts or signal all its processes is refused
with a sentence that names the remedy; tracebacks are short.  The directories of a kernel that was killed are removed by
the next one (:mod:`.leftovers`).

Learners work in copies of the chapters without outputs (:mod:`.copies`), and their record is one file (:mod:`.record`).
Some chapters import more: ``minict.lab.registry`` (a real registry on loopback), ``minict.lab.attacks`` (the known ways
out of a container, compiled), ``minict.lab.mutants`` (programs with one fault), ``minict.lab.machines`` (a world, a
host and a box, made of network namespaces), ``minict.lab.packets`` (the way of a packet through a host's hooks),
``minict.lab.ordinary`` (an ordinary user), ``minict.lab.rulers`` (a map of ids, and files on both sides of it),
``minict.lab.fleet`` (the lives of many containers, and a race for one name), ``minict.lab.survival`` (what outlives a
container), ``minict.lab.builds`` (builds that tell which steps were executed), ``minict.lab.keyboard`` (keys for a
terminal, and their way), ``minict.lab.podman`` and ``minict.lab.engines`` (an OCI runtime with the learner's functions,
and three engines for it), ``minict.lab.applications`` (images with nginx and MariaDB), ``minict.lab.exam`` (the final
exam).

How a chapter is written
========================

One notebook, one idea, one module of the package; 30 to 60 minutes.  ``tests/support/notebook_rules.py`` holds what a
machine can check of this::

    # Where does a container's root directory come from?            a question
    Two sentences of story: what somebody wants, and what goes wrong.
    **You will be able to** three to five verbs
    **Before you start**: chapter 04, and what to remember of it · 45 min: 30 to read, 15 to try
    [from minict.lab import *]  [runtime_map(5)]  [warm_up(5)]

    ## Four to six sections, a step each
    want -> smallest code -> predict -> run -> explain -> refine; *about 10 min so far*
    One section breaks something, and says why it broke.  One has the figure that is worth looking at.
    ### Exercise `pivot-1`: Move in, and let the host go · 10 min · ●●○      (the exercise's ``box``, literally)
    A small table of the calls and flags that it needs.
    [@exercise("pivot-1") and the registry's starter]  [# hint("pivot-1")]

    ## The real thing        where runc, crun and Docker do this, with the file, and what they add
    ## What you built        [source(rootfs.pivot_root)], never pasted
    ## Lessons learned       three or four
    ## Quiz                  [quiz("pivot-root")], five to eight questions
    ## Go further            the challenge's ``box``, [# Write visit(pid) here.], [challenge("visit")];
                             one broken container: [box = sad("crowded")], [# clue("crowded")], [check("crowded")];
                             a flag where there is one: [room = flag("04")], [# capture("04", "…")];
                             one or two open tasks
    ## Clean up              what a cell made by hand is removed here; [leave_no_trace()]
    ## Next                  a link to the next chapter; [course_map()] is the last cell

Cells, of text too, that carry the tag ``short`` are the chapter's short path, for a workshop: about half of it, and
whole when it is run alone.  Each technical term has an entry in ``notebooks/glossary.md`` under the chapter that
explains it; a chapter that uses the term earlier links there, as in ``[zombie](glossary.md#zombie)``.

Budgets: half of the code cells have one or two lines, nine of ten under fifteen; 20 to 40 words before each cell; one
idea a cell; three exercises or more; a question before each surprising output.

Do

* put whatever enters a namespace, a root or a control group, and every fork, into ``%%child``;
* print the real value that the reader asked for, behind a label that ``tests/support/sanitize.cfg`` masks;
* draw by the functions above: their text, which tests compare, does not change with what they draw;
* follow ``live`` and ``watch`` with a picture that stands still, because moving ones are not saved;
* write cells that can be run twice: ``os.makedirs(…, exist_ok=True)``, a temporary directory for each run;
* tag a cell that must fail ``raises-exception``, and one whose output is that of cgroup v2 only ``cgroup-v2``, with
  its reason in ``tests/support/notebook_rules.py``: it must run on v1 too, but is compared on v2;
* make control groups below ``paths.cgroup_parent()``, and nothing else of the host's outside of a namespace;
* give a container that runs on to a ``with``, so that it ends whatever happens:
  ``with minict.run(…, detach=True) as box:``.

Do not

* let a reader copy a number by hand, or type a path of one machine;
* write ``clear_output``, ``display_id``, ``Output``, ``interact``, or print in a callback: nbval sees them differently;
* end a cell with ``;`` (write ``_ = …``), or use an ignore tag without a reason in ``tests/support/notebook_rules.py``;
* paste code of the package, or type a solution twice.

Where things are registered
===========================

An :class:`.exercise.Exercise` and a :class:`.challenge.Challenge` in ``minict/lab/exercises/chNN_….py``, a
:class:`.quiz.Quiz` in ``minict/lab/quizzes/chNN.py``, a :class:`.scenario.Scenario` and a :class:`.flag.Flag` in
``minict/lab/scenarios/chNN.py``; each package has its rules at its top, and each class says what it wants.

A check runs in a child with mount, pid, network, host name and IPC namespaces and a working directory of its own, so it
and the answer may do there what they like.  It raises :class:`.feedback.Feedback` with what was called, what the kernel
shows, what was expected, and the likely cause.  It waits for states and never for a time.  It need not speak of what
all exercises have in common (:mod:`.diagnosis`): a ``...`` left over, a result printed or not returned, another name
for the function, a ``return`` inside a loop, arguments in another order, the package's own function called for help, a
process that forks and falls through or never ends.  Register known mistakes (``wrong``) and at least three unusual
right answers (``right``): the tests run them all.

``make notebooks`` runs the notebooks and saves what they show.
"""

from __future__ import annotations

import sys

from minict.lab.hints import hint

# By name and at once: else `exercise` could be the module or the function, as the order of imports happens to be.
from .challenge import challenge
from .child import ChildError, run_in_child
from .course import course_map, progress
from .exercise import exercise, use_reference
from .figures import live, mount_tree, namespace_map, process_tree, runtime_map, watch
from .flag import capture, flag
from .quiz import answer, quiz
from .recall import warm_up
from .scenario import check, clue, sad
from .source import source
from .trace import leave_no_trace

__all__ = [
    "ChildError",
    "answer",
    "capture",
    "challenge",
    "check",
    "clue",
    "course_map",
    "exercise",
    "flag",
    "hint",
    "leave_no_trace",
    "live",
    "mount_tree",
    "namespace_map",
    "process_tree",
    "progress",
    "quiz",
    "run_in_child",
    "runtime_map",
    "sad",
    "source",
    "use_reference",
    "warm_up",
    "watch",
]


def _prepare_notebook() -> None:
    """In the kernel of a notebook: ``%%child``, the guards, short tracebacks, and a snapshot of the host before the
    first cell runs."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    from . import child, rerun, trace

    rerun.load(shell)
    child.load_ipython_extension(shell)
    shell.InteractiveTB.set_mode("Minimal")
    trace.begin()


_prepare_notebook()
