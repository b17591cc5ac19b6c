"""Chapter 12: read a set of capabilities, lower the bounding set, write a piece of a seccomp filter; and the order of
all that a process gives up."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import time

from minict.kernel import native
from minict.kernel.capability import NAMES
from minict.kernel.process import PR_CAPBSET_DROP, PR_CAPBSET_READ, PR_SET_NO_NEW_PRIVS, prctl
from minict.kernel.syscall import libc
from minict.runtime import capabilities, libseccomp, seccomp
from minict.runtime.libseccomp import ALLOW, ERRNO, JUMP_EQUAL, LOAD, RETURN, call_number, instruction
from minict.runtime.spec import Capabilities

from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, last_words, same_fate
from ..feedback import Feedback


def _status(pid: int | str = "self") -> dict[str, str]:
    """The fields of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def _short(names) -> str:
    """The first few of some names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "nothing"


# ---- powers-1 --------------------------------------------------------------------------------------------------


def check_names(names):
    """Sets that the kernel shows: those of children with bounding sets of their own."""
    ours = [name for number, name in enumerate(capabilities.known()) if prctl(PR_CAPBSET_READ, number)]
    first = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_NET_RAW"]
    for kept in (first, [], ["CAP_CHOWN"], ["CAP_SYS_ADMIN"], capabilities.DEFAULT, ours):
        kept = [name for name in ours if name in kept]
        mask = int(same_fate(lambda kept=kept: _bounding_set(kept)), 16)
        call = f"names({mask:#b})"
        try:
            found = names(mask)
        except IndexError as error:
            raise Feedback(
                f"{call} raised {type(error).__name__}. The argument is a number, and its binary digits are fewer than "
                "41 as long as the high ones are 0. mask >> number & 1 gives the digit number, counted from the right, "
                "of every mask."
            ) from None
        _compare_names(call, mask, found, kept)


def _bounding_set(kept: list[str]) -> str:
    capabilities.drop_bounding(Capabilities(bounding=kept))
    return _status()["CapBnd"]


_ONE_OFF = "Each is one place off: the last digit is number 0, CAP_CHOWN."
# What people write in place of ``mask >> number & 1``, and why that is something else.
_CONDITIONS = (
    (
        lambda mask, number: mask & number,
        "mask & number compares the digits of two numbers. & 1 looks at one place, the last: first >> must move the "
        "digit there.",
    ),
    (
        lambda mask, number: mask << number & 1,
        "Only digit 0 was looked at: << moves the digits away from the last place. >> moves them towards it.",
    ),
    (
        lambda mask, number: mask & 1,
        "Every name depends on the same digit, the last one: mask >> number puts digit number there.",
    ),
    (
        lambda mask, number: mask >> number,
        "mask >> number is more than 0 as long as any digit is left. & 1 takes the last one alone.",
    ),
    (
        lambda mask, number: mask >> number == 1,
        "That asks whether no other digit is left, which is true of the highest one. & 1 takes the last one alone.",
    ),
    (lambda mask, number: not mask >> number & 1, "Those are the ones whose digit is 0."),
    (lambda mask, number: mask >> number + 1 & 1, _ONE_OFF),
    (lambda mask, number: mask << 1 >> number & 1, _ONE_OFF),
)


def _compare_names(call: str, mask: int, found, kept: list[str]) -> None:
    if found == kept:
        return
    if not isinstance(found, list):
        raise Feedback(f"{call} returned {found!r:.80}. Expected: a list of names.")
    if found and not all(isinstance(each, str) and each in NAMES for each in found):
        raise Feedback(
            f"{call} returned a list with {found[0]!r}, which is not a name. NAMES[number] is the name of the "
            "capability number."
        )
    ones = [str(number) for number in range(len(NAMES)) if mask >> number & 1]
    digits = f"The digits {_short(ones)} are 1: {_short(kept)}." if kept else "No digit is 1."
    told = f"{call} returned {_short(found)}. {digits}"
    if sorted(found) == sorted(kept):
        raise Feedback(f"{told} The names are right; their order is not that of NAMES.")
    if not found:
        raise Feedback(
            f"{told} The list is empty: no condition was true, or nothing was added. found.append(name) changes the "
            "list; found + [name] makes another one."
        )
    for condition, why in _CONDITIONS:
        if found == [name for number, name in enumerate(NAMES) if condition(mask, number)]:
            raise Feedback(f"{told} {why}")
    if found == kept[: len(found)]:
        raise Feedback(f"{told} Then the loop has ended: each number needs its turn, from 0 to the last one.")
    raise Feedback(f"{told} mask >> number & 1 is digit number, and nothing else.")


_NAMES = """
    def names(mask):
        found = []
        for number, name in enumerate(NAMES):
            if mask >> number & 1:
                found.append(name)
        return found
"""

Exercise(
    "powers-1",
    "Who am I, in digits?",
    minutes=6,
    difficulty=1,
    reference=capabilities.names,
    check=check_names,
    imports="from minict.kernel.capability import NAMES",
    starter='''
        def names(mask):
            """The names of the capabilities whose digit in mask is 1, in the order of NAMES."""
            found = []
            for number, name in enumerate(NAMES):
                ...    # is digit number of mask a 1?
            return found
    ''',
    hints=[
        "mask >> number moves the digit that you want to the last place. & 1 takes this place alone.",
        "if mask >> number & 1: then the name goes into the list, with found.append(name).",
    ],
    right={
        "one expression": """
            def names(mask):
                return [NAMES[n] for n in range(len(NAMES)) if mask & 1 << n]
        """,
        "from the text": """
            def names(mask):
                digits = reversed(format(mask, "b"))
                return [name for name, digit in zip(NAMES, digits) if digit == "1"]
        """,
        "halves it again and again": """
            def names(mask):
                found, number = [], 0
                while mask:
                    mask, digit = divmod(mask, 2)
                    if digit and number < len(NAMES):
                        found += [NAMES[number]]
                    number += 1
                return found
        """,
    },
    wrong={
        "one off": (edited(_NAMES, ("mask >> number & 1", "mask & 1 << number + 1")), "Each is one place off"),
        "counts from 1": (edited(_NAMES, ("enumerate(NAMES)", "enumerate(NAMES, 1)")), "Each is one place off"),
        "numbers": (edited(_NAMES, ("append(name)", "append(number)")), "is not a name"),
        "equal": (edited(_NAMES, ("mask >> number & 1", "mask == 1 << number")), "no condition was true"),
        "the highest": (
            edited(_NAMES, ("mask >> number & 1", "mask >> number == 1")),
            "whether no other digit is left",
        ),
        "shifts the other way": (edited(_NAMES, (">>", "<<")), "Only digit 0 was looked at"),
        "the same digit": (edited(_NAMES, ("mask >> number & 1", "mask & 1")), "Every name depends on the same digit"),
        "adds to nothing": (edited(_NAMES, ("found.append(name)", "found + [name]")), "makes another one"),
        "stops at the first 0": (
            edited(_NAMES, ("found.append(name)\n", "found.append(name)\n            else:\n                break\n")),
            "each number needs its turn",
        ),
        "and, in words": (edited(_NAMES, ("number & 1", "number and 1")), "& 1 takes the last one alone"),
        "the others": (edited(_NAMES, ("if mask", "if not mask")), "whose digit is 0"),
        "backwards": (edited(_NAMES, ("return found", "return found[::-1]")), "their order is not that of NAMES"),
        "a text": (edited(_NAMES, ("return found", "return ' '.join(found)")), "a list of names"),
        "too short": (edited(_NAMES, ("mask >> number & 1", "bin(mask)[::-1][number] == '1'")), "raised IndexError"),
        "without & 1": (edited(_NAMES, ("mask >> number & 1", "mask >> number")), "& 1 takes the last one alone"),
        "the number itself": (
            edited(_NAMES, ("mask >> number & 1", "mask & number")),
            "compares the digits of two numbers",
        ),
    },
)


# ---- powers-2 --------------------------------------------------------------------------------------------------


def check_drop_bounding(drop_bounding):
    """In a child each: the bounding set before and after, and what a program has that it then executes."""
    for kept in (list(capabilities.DEFAULT), ["CAP_CHOWN"], ["CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"], []):
        kept = [name for name in capabilities.known() if name in kept]
        before, after, other = same_fate(lambda kept=kept: _lower(drop_bounding, kept))
        _compare_sets(kept, before, after, other)


def _lower(drop_bounding, kept: list[str]) -> tuple[int, int, int]:
    before = int(_status()["CapBnd"], 16)
    try:
        drop_bounding(Capabilities(bounding=kept))
    except OSError as error:
        raise Feedback(_why_refused(error)) from None
    except ctypes.ArgumentError:
        raise Feedback(
            "prctl(PR_CAPBSET_DROP, …) takes the number of a capability, and got something else, such as its name."
        ) from None
    now = _status()
    return before, int(now["CapBnd"], 16), int(now["CapEff"], 16)


def _why_refused(error: OSError) -> str:
    call = error.strerror.partition(": ")[2]
    if call.startswith("prctl(") and not call.startswith(f"prctl({PR_CAPBSET_DROP}, "):
        return (
            f"the kernel has refused {call}. The first argument says what prctl() should do: PR_CAPBSET_DROP, which "
            f"is {PR_CAPBSET_DROP}. The number of the capability comes second."
        )
    if error.errno == errno.EINVAL:
        return (
            f"the kernel has refused {call}: there is no capability with this number. "
            f"PR_CAPBSET_DROP takes the number of one capability, from 0 to {len(capabilities.known()) - 1}, and no "
            "mask."
        )
    if error.errno == errno.EPERM:
        return (
            f"{error.strerror}. Lowering the bounding set takes CAP_SETPCAP among the effective capabilities: leave "
            "those as they are."
        )
    return f"drop_bounding() raised {error}"


def _compare_sets(kept: list[str], before: int, after: int, effective: int) -> None:
    found, wanted = capabilities.names(after), capabilities.names(before & capabilities.mask(kept))
    call = f"drop_bounding() of a container that keeps {_short(kept)}"
    if after == before and found != wanted:
        more = "Is prctl(PR_CAPBSET_DROP, number) called for each name that is not in keep?"
        if effective != before:
            more = "The effective set has changed: that one grows again at the next exec."
        raise Feedback(f"after {call}, CapBnd is what it was before. {more}")
    if missing := [name for name in wanted if name not in found]:
        why = "capabilities.bounding has those: only the others must go."
        if set(found) - set(wanted):
            why = "It has those instead that should go."
        elif not found:
            why = "Every one was dropped, whether keep has its name or not."
        raise Feedback(f"after {call}, CapBnd lacks {_short(missing)}. {why}")
    if left := [name for name in found if name not in wanted]:
        raise Feedback(
            f"after {call}, CapBnd still has {_short(left)}. All others must go, each by a call of its own, the last "
            f"one, {capabilities.known()[-1]}, included."
        )


_DROP = """
    def drop_bounding(capabilities):
        keep = capabilities.bounding
        for number, name in enumerate(known()):
            if name not in keep:
                prctl(PR_CAPBSET_DROP, number)
"""

Exercise(
    "powers-2",
    "For good",
    minutes=6,
    difficulty=2,
    reference=capabilities.drop_bounding,
    check=check_drop_bounding,
    plain=_DROP,
    imports="""
        from minict.kernel.capability import NAMES, capset
        from minict.kernel.process import PR_CAPBSET_DROP, PR_CAPBSET_READ, prctl
        from minict.runtime.capabilities import known
    """,
    starter='''
        def drop_bounding(capabilities):
            """Drop from the caller's bounding set all that capabilities.bounding, a list of names, does not have."""
            keep = capabilities.bounding
            for number, name in enumerate(known()):
                ...
    ''',
    hints=[
        "known() has all capabilities of this kernel, so the loop comes to each of them once.",
        "Only for a name that is not in keep: prctl(PR_CAPBSET_DROP, number).",
    ],
    right={
        "by numbers": """
            def drop_bounding(capabilities):
                wanted = {NAMES.index(name) for name in capabilities.bounding if name in NAMES}
                for number in set(range(len(known()))) - wanted:
                    prctl(PR_CAPBSET_DROP, number)
        """,
        "until the kernel says that there are no more": """
            def drop_bounding(capabilities):
                for number in range(64):
                    try:
                        prctl(PR_CAPBSET_READ, number)
                    except OSError:
                        return
                    if number >= len(NAMES) or NAMES[number] not in capabilities.bounding:
                        prctl(PR_CAPBSET_DROP, number)
        """,
        "backwards, and only what is there": """
            def drop_bounding(capabilities):
                for name in reversed(known()):
                    if name in capabilities.bounding or not prctl(PR_CAPBSET_READ, NAMES.index(name)):
                        continue
                    prctl(PR_CAPBSET_DROP, NAMES.index(name))
        """,
    },
    wrong={
        "drops what it should keep": (edited(_DROP, ("not in keep", "in keep")), "that should go"),
        "a mask": (edited(_DROP, ("DROP, number", "DROP, 1 << number")), "and no mask"),
        "without the last": (edited(_DROP, ("enumerate(known())", "enumerate(known()[:-1])")), "still has"),
        "as tutorials of 2010 have it": (
            edited(_DROP, ("enumerate(known())", "enumerate(known()[:36])")),
            "still has CAP_",
        ),
        "the effective set": (
            """
            def drop_bounding(capabilities):
                keep = sum(1 << NAMES.index(name) for name in capabilities.bounding)
                capset(keep, keep, 0)
        """,
            "CapBnd is what it was before. The effective set",
        ),
        "gives up its own right first": (
            """
            def drop_bounding(capabilities):
                capset(0, 0, 0)
                for number, name in enumerate(known()):
                    if name not in capabilities.bounding:
                        prctl(PR_CAPBSET_DROP, number)
        """,
            "takes CAP_SETPCAP",
        ),
        "asks only": (edited(_DROP, ("PR_CAPBSET_DROP", "PR_CAPBSET_READ")), "CapBnd is what it was before. Is prctl"),
        "stops at the first that stays": (
            edited(
                _DROP, ("if name not in keep:\n", "if name in keep:\n                    break\n            else:\n")
            ),
            "CapBnd is what it was before. Is prctl",
        ),
        "compares the number": (edited(_DROP, ("if name not", "if number not")), "Every one was dropped"),
        "another request": (edited(_DROP, ("PR_CAPBSET_DROP", "38")), "The first argument says what prctl() should do"),
        "swapped": (edited(_DROP, ("PR_CAPBSET_DROP, number", "number, PR_CAPBSET_DROP")), "The first argument says"),
        "too far": (
            edited(_DROP, ("enumerate(known())", "enumerate([*known(), 'CAP_NEXT_YEAR'])")),
            "with this number",
        ),
    },
)


# ---- powers-3 --------------------------------------------------------------------------------------------------


def check_answer_newer_calls(answer_newer_calls):
    """The piece stands before a small filter, in a child; and then calls with numbers around the limit are made."""
    own = libseccomp.native_architecture()
    pieces = []
    for architecture in (own, own ^ 1):
        piece = _write_piece(answer_newer_calls, architecture)
        if not isinstance(piece, bytes):
            kind = "None" if piece is None else f"a {type(piece).__name__}"
            raise Feedback(
                f"answer_newer_calls({architecture:#x}, {_NEWEST}) returned {kind}. Expected: bytes, the instructions "
                "added to each other with +."
            )
        pieces.append(piece)
    for piece, judge in zip(pieces, (_judge_calls, _judge_foreign)):
        try:
            judge(_try_filter(piece + _REST))
        except Feedback as why:
            raise Feedback(f"{why}{_listing(piece)}") from None


def _write_piece(answer_newer_calls, architecture: int):
    try:
        return answer_newer_calls(architecture, _NEWEST)
    except ValueError as error:
        if "range(0, 256)" not in str(error):
            raise
        raise Feedback(
            "a jump skips 255 instructions at most, and one of yours should skip more: in instruction(JUMP_…, if_true, "
            "if_false, number), what to compare with comes last.\n  in your line: "
            f"{getattr(error, 'learners_line', '')}"
        ) from None


def _listing(piece: bytes) -> str:
    """The instructions of *piece* in words, a line each, with where each jump leads; empty if one is cut off."""
    if len(piece) % 8 or not piece:
        return ""
    count, lines = len(piece) // 8, ["\nYour piece:"]
    for place in range(count):
        row = piece[8 * place : 8 * place + 8]
        operation, operand = int.from_bytes(row[:2], "little"), int.from_bytes(row[4:], "little")
        words = f"{_OPERATIONS.get(operation, operation)} {operand if operand < 1 << 16 else hex(operand)}"
        if operation == RETURN:
            words = _answer_in_words(operand)
        elif operation != LOAD:
            yes, no = (_line_in_words(place + 2 + skipped, count) for skipped in row[2:4])
            words = f"{words:34} yes: {yes}, no: {no}"
        lines.append(f"    {place + 1}  {words}")
    return "\n".join(lines)


def _line_in_words(line: int, count: int) -> str:
    return f"go to {line}" if line <= count else "behind the piece" if line == count + 1 else "too far"


def _answer_in_words(operand: int) -> str:
    if operand == ALLOW:
        return "answer: make the call"
    if operand & ~0xFFFF == ERRNO:
        return f"answer: error {operand & 0xFFFF}, {errno.errorcode.get(operand & 0xFFFF, 'success')}"
    return f"answer: {operand:#x}, which has no known action"


_OPERATIONS = {
    LOAD: "load",
    JUMP_EQUAL: "equal to",
    libseccomp.JUMP_GREATER: "greater than",
    libseccomp.JUMP_GREATER_OR_EQUAL: "at least",
}


# clone3 is the newest call, and close_range, the one after it, is there: else the kernel itself would say ENOSYS.  These
# two have the same numbers on all processors; no kernel has a call with the last number.
_NEWEST, _HIGHEST = 435, 1000
# What stands behind the piece.  Each of its answers is one that nothing else gives.
_REST = b"".join(
    instruction(*each)
    for each in (
        (libseccomp.JUMP_GREATER_OR_EQUAL, 1, 1, 0),  # who jumps too far misses this one, and gets the next
        (RETURN, 0, 0, ERRNO | errno.EBADSLT),
        (LOAD, 0, 0, 0),
        (JUMP_EQUAL, 0, 1, call_number("getppid")),
        (RETURN, 0, 0, ERRNO | errno.EXDEV),
        (libseccomp.JUMP_GREATER_OR_EQUAL, 0, 1, _NEWEST - 1),
        (RETURN, 0, 0, ERRNO | errno.EBADE),
        (RETURN, 0, 0, ALLOW),
    )
)


def _try_filter(program: bytes) -> list[int]:
    """With the filter *program*: the errno of getppid, and of the calls before, at and after the newest, and far above.

    A child makes them, and writes each errno into memory that we share: with a wrong filter it may not even be able to
    end, let alone to write to a pipe.  So it is killed as soon as it is done.
    """
    told = mmap.mmap(-1, mmap.PAGESIZE)
    told[:_ASKED] = bytes([_NOT_ASKED]) * _ASKED
    numbers = [call_number("getppid"), _NEWEST - 1, _NEWEST, _NEWEST + 1, _HIGHEST]
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        try:
            seccomp.install(program)
        except OSError as error:
            told[0], told[1] = _REFUSED, error.errno
            os._exit(0)
        for place, number in enumerate(numbers):
            told[place] = native.get_errno() if libc.syscall(native.c_long(number), *_NONSENSE) == -1 else 0
        told[_ASKED] = 1
        os._exit(0)
    while not told[_ASKED] and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if told[0] == _REFUSED:
        raise Feedback(_why_invalid(told[1], len(program) - len(_REST)))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        raise Feedback(
            "the filter has killed the process, with SIGSYS, and not answered with an error. The operand of RETURN is "
            "an action and a number together: ERRNO | errno.ENOSYS."
        )
    return list(told[:_ASKED])


_ASKED, _NOT_ASKED, _REFUSED = 5, 255, 254
_NONSENSE = (native.c_long(1), native.c_long(0), native.c_long(0))  # descriptors from 1 to 0: EINVAL


def _why_invalid(number: int, size: int) -> str:
    count = f"Your piece has {size} bytes; an instruction has 8." if size % 8 else "Does a jump lead past the last one?"
    return f"the kernel refuses the filter: {os.strerror(number)}. {count}"


def _judge_calls(told: list[int]) -> None:
    known, before, newest, newer, highest = told
    for number, answer in ((_NEWEST + 1, newer), (_HIGHEST, highest)):
        if answer in (0, errno.EBADE):
            raise Feedback(
                f"the newest call is {_NEWEST}, and the call number {number} was not answered with ENOSYS: it went on "
                "to what follows."
            )
        if answer == errno.EINVAL:
            raise Feedback(
                f"the newest call is {_NEWEST}, and the call number {number} was made: the kernel has looked at its "
                "arguments. This piece must not answer with ALLOW."
            )
        if answer != errno.ENOSYS:
            raise Feedback(
                f"the newest call is {_NEWEST}, and the call number {number} fails with "
                f"{errno.errorcode.get(answer, str(answer))}. Expected: ENOSYS, or the C library does not try an older "
                "one."
            )
    if known and errno.ENOSYS in (newest, before):
        number = _NEWEST if newest == errno.ENOSYS else _NEWEST - 1
        raise Feedback(
            f"the newest call is {_NEWEST}, and the call number {number} fails with ENOSYS too. Only a number above "
            "newest may: which way does each jump lead?"
        )
    if errno.EBADSLT in told:
        raise Feedback("a jump leads too far: it has skipped the first instruction of the filter behind your piece.")
    if known != errno.EXDEV or before != errno.EBADE:
        raise Feedback(
            "a call that is not newer never came to the filter behind your piece. What the piece has nothing to say "
            "about must jump past its end."
        )


def _judge_foreign(told: list[int]) -> None:
    if told[3] == errno.ENOSYS:
        raise Feedback(
            "a call of another architecture fails with ENOSYS. Its numbers mean other calls: the jump over the other "
            "four instructions must lead to the end of your piece."
        )
    if told[0] != errno.EXDEV:
        raise Feedback("a call of another architecture never came to the filter behind your piece.")


_FILTER = """
    def answer_newer_calls(architecture, newest):
        return (
            instruction(LOAD, 0, 0, 4)
            + instruction(JUMP_EQUAL, 0, 4, architecture)
            + instruction(LOAD, 0, 0, 0)
            + instruction(JUMP_GREATER_OR_EQUAL, 2, 0, OTHER_TABLES)
            + instruction(JUMP_GREATER, 0, 1, newest)
            + instruction(RETURN, 0, 0, ERRNO | errno.ENOSYS)
        )
"""

Exercise(
    "powers-3",
    "Not yet invented",
    minutes=10,
    difficulty=3,
    reference=libseccomp.answer_newer_calls,
    check=check_answer_newer_calls,
    imports="""
        import errno
        from minict.runtime.libseccomp import (
            ALLOW, ERRNO, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD, OTHER_TABLES, RETURN, instruction)
    """,
    starter='''
        def answer_newer_calls(architecture, newest):
            """A piece of a filter: a call with a number above newest fails with ENOSYS, all others go on behind it."""
            piece = instruction(LOAD, 0, 0, 4)
            piece += instruction(JUMP_EQUAL, 0, 4, architecture)    # another one? jump behind the piece
            piece += instruction(LOAD, 0, 0, 0)
            piece += instruction(JUMP_GREATER_OR_EQUAL, 2, 0, OTHER_TABLES)    # the same
            ...    # compare with newest
            ...    # answer
            return piece
    ''',
    hints=[
        "Two instructions are missing: a jump, and a return. The jumps above count on exactly two.",
        "Greater than newest: go on with the next instruction, the answer. Not greater: skip one.",
        "JUMP_GREATER has 0 for yes and 1 for no. RETURN has 0 and 0, and the answer is ERRNO | errno.ENOSYS.",
    ],
    right={
        "greater or equal to the next": edited(
            _FILTER, ("JUMP_GREATER, 0, 1, newest", "JUMP_GREATER_OR_EQUAL, 0, 1, newest + 1")
        ),
        "a list, joined": """
            def answer_newer_calls(architecture, newest):
                rows = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 0, 4, architecture), (LOAD, 0, 0, 0),
                        (JUMP_GREATER_OR_EQUAL, 2, 0, OTHER_TABLES), (JUMP_GREATER, 0, 1, newest),
                        (RETURN, 0, 0, ERRNO + 38)]
                return b"".join(instruction(*row) for row in rows)
        """,
        "with struct": """
            def answer_newer_calls(architecture, newest):
                import struct
                rows = [(0x20, 0, 0, 4), (0x15, 0, 4, architecture), (0x20, 0, 0, 0), (0x35, 2, 0, 0xF0000),
                        (0x25, 0, 1, newest), (6, 0, 0, 0x50026)]
                return b"".join(struct.pack("<HBBI", *row) for row in rows)
        """,
    },
    wrong={
        "the jumps turned round": (
            edited(_FILTER, ("GREATER, 0, 1", "GREATER, 1, 0")),
            "yes: behind the piece, no: go to 6",
        ),
        "equal": (edited(_FILTER, ("(JUMP_GREATER,", "(JUMP_EQUAL,")), "5  equal to 435"),
        "the number in a wrong place": (
            edited(_FILTER, ("JUMP_GREATER, 0, 1, newest", "JUMP_GREATER, newest, 0, 1")),
            "what to compare with comes last",
        ),
        "a list": (
            """
            def answer_newer_calls(architecture, newest):
                return [instruction(LOAD, 0, 0, 4)]
        """,
            "returned a list",
        ),
        "refuses": (edited(_FILTER, ("errno.ENOSYS", "errno.EPERM")), "fails with EPERM"),
        "the newest too": (edited(_FILTER, ("(JUMP_GREATER,", "(JUMP_GREATER_OR_EQUAL,")), "fails with ENOSYS too"),
        "allows the rest": (
            edited(
                _FILTER,
                ("errno.ENOSYS)", "errno.ENOSYS) + instruction(RETURN, 0, 0, ALLOW)"),
            ),
            "never came to the filter behind",
        ),
        "forgets to compare": (
            edited(_FILTER, ("            + instruction(JUMP_GREATER, 0, 1, newest)\n", "")),
            "fails with ENOSYS too",
        ),
        "no answer": (
            edited(_FILTER, ("            + instruction(RETURN, 0, 0, ERRNO | errno.ENOSYS)\n", "")),
            "was not answered with ENOSYS",
        ),
        "allows": (edited(_FILTER, ("ERRNO |", "ALLOW |")), "was made"),
        "jumps too far": (edited(_FILTER, ("GREATER, 0, 1, newest", "GREATER, 0, 2, newest")), "leads too far"),
        "the number without the action": (
            edited(_FILTER, ("ERRNO | errno.ENOSYS", "errno.ENOSYS")),
            "killed the process, with SIGSYS",
        ),
        "any architecture": (edited(_FILTER, ("JUMP_EQUAL, 0, 4", "JUMP_EQUAL, 0, 0")), "another architecture"),
        "text": (edited(_FILTER, ("return (", "return str(")), "Expected: bytes"),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------

_UID = 4711


def check_give_up(give_up):
    """It is done in a child, which then executes a program that prints what it has left."""
    for keep in (["CAP_NET_BIND_SERVICE", "CAP_CHOWN"], []):
        written = last_words(lambda keep=keep: _give_up(give_up, keep))
        _judge_left(dict(line.split(":\t", 1) for line in written.splitlines() if ":\t" in line), keep)


def _give_up(give_up, keep: list[str]) -> None:
    """Call give_up(), and become a program that prints /proc/self/status: after that of this process, its permitted
    set. If a call is refused, print the status and the error."""
    refused = ("capset", "setuid", "setgid", "setgroups", "prctl", "setresuid", "setresgid")
    program = instruction(LOAD, 0, 0, 0)
    for name in refused:
        program += instruction(JUMP_EQUAL, 0, 1, call_number(name)) + instruction(RETURN, 0, 0, ERRNO | errno.EPERM)
    program += instruction(RETURN, 0, 0, ALLOW)
    os.setgroups([0, 27])
    try:
        give_up(_UID, list(keep), program)
    except OSError as error:
        lines = {"error": error.strerror, "line": getattr(error, "learners_line", "").partition("\n")[0], **_status()}
        os.write(1, "".join(f"{name}:\t{value}\n" for name, value in lines.items()).encode())
        os._exit(0)
    os.write(1, f"permitted before:\t{_status()['CapPrm']}\n".encode())
    os.execv("/bin/cat", ["cat", "/proc/self/status"])


def _judge_left(told: dict[str, str], keep: list[str]) -> None:
    if error := told.get("error"):
        line = f"\n  in your line: {told['line']}" if told["line"] else ""
        raise Feedback(f"give_up() was refused: {error}. {_what_came_before(told)}{line}")
    if "Uid" not in told:
        raise Feedback("give_up() ended the process, or executed another program: it must come back.")
    uids, gids, groups = told["Uid"].split(), told["Gid"].split(), told.get("Groups", "").split()
    if set(uids) != {str(_UID)}:
        raise Feedback(f"the program then runs as user {uids[0]}. Expected: {_UID}.")
    if set(gids) != {str(_UID)}:
        raise Feedback(f"the program then has the group {gids[0]}. Expected: {_UID}, like the user.")
    if groups and groups != [str(_UID)]:
        raise Feedback(f"the program then is a member of the groups {', '.join(groups)}, root's among them: setgroups.")
    wanted = capabilities.mask(keep)
    for field, words in (("CapBnd", "bounding"), ("CapEff", "effective"), ("CapAmb", "ambient")):
        if int(told[field], 16) != wanted:
            found = capabilities.names(int(told[field], 16))
            raise Feedback(
                f"the program then has {_short(found)} in its {words} set. Expected: {_short(keep)}, what keep is in "
                f"this call. {_why_empty(told, wanted) if not found else ''}"
            )
    if told["NoNewPrivs"] != "1":
        raise Feedback("NoNewPrivs of the program is 0: a set-uid program would give it more again.")
    if told["Seccomp"] != "2":
        raise Feedback("the program runs without a filter: Seccomp is not 2 in its status.")


def _why_empty(told: dict[str, str], wanted: int) -> str:
    if int(told["permitted before"], 16) & wanted != wanted:
        return "The change of user empties the sets, unless PR_SET_KEEPCAPS is set before."
    return (
        "Before the exec the permitted set had them. A user other than root takes along what the ambient set has: "
        "apply(), after setuid, sets that too."
    )


def _what_came_before(told: dict[str, str]) -> str:
    if "seccomp(" in told["error"]:
        return (
            "The kernel accepts a filter from a process with CAP_SYS_ADMIN, and from an ordinary user only with "
            "no_new_privs."
        )
    if told["Seccomp"] == "2":
        return "The filter was there already, and it refuses such calls: it must come last."
    if told["Uid"].split()[0] != "0":
        return "The process was an ordinary user by then: the groups and the bounding set change before the user."
    left = capabilities.names(int(told["CapEff"], 16))
    return f"The effective set was {_short(left)} by then. apply() has set it, and must come after the steps that take more."


def _steps(*lines: str) -> str:
    """An answer that takes these steps, in this order."""
    steps = ("sets = five_sets(keep)", *lines)
    return "\n".join(["def give_up(uid, keep, program):", *(f"    {line}" for line in steps)]) + "\n"


_BOUND, _KEEP, _GROUPS, _GROUP = (
    "drop_bounding(sets)",
    "prctl(PR_SET_KEEPCAPS, 1)",
    "os.setgroups([])",
    "os.setgid(uid)",
)
_USER, _APPLY, _NNP, _INSTALL = "os.setuid(uid)", "apply(sets)", "prctl(PR_SET_NO_NEW_PRIVS, 1)", "install(program)"


Challenge(
    "give-up",
    "In an order that works",
    name="give_up",
    minutes=10,
    difficulty=3,
    check=check_give_up,
    imports="""
        import os
        from minict.kernel.process import PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, prctl
        from minict.runtime.capabilities import apply, drop_bounding
        from minict.runtime.seccomp import install
        from minict.runtime.spec import Capabilities

        def five_sets(keep):
            return Capabilities(bounding=keep, effective=keep, permitted=keep, inheritable=keep, ambient=keep)
    """,
    solution='''
        def give_up(uid, keep, program):
            """Become the user uid, with the capabilities keep, no_new_privs, and the filter program."""
            sets = five_sets(keep)
            drop_bounding(sets)
            prctl(PR_SET_KEEPCAPS, 1)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            apply(sets)
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            install(program)
    ''',
    hints=[
        "What can be done only by root comes before setuid: the bounding set, and the groups.",
        "setuid empties the sets of the process, unless prctl(PR_SET_KEEPCAPS, 1) was called before. apply() comes "
        "after it, because the ambient set does not survive setuid.",
        "The filter may forbid every other step, so it is the last one; no_new_privs, which it needs, comes just "
        "before it.",
    ],
    right={
        "no_new_privs first": """
            def give_up(uid, keep, program):
                prctl(PR_SET_NO_NEW_PRIVS, 1)
                sets = Capabilities(bounding=keep, effective=keep, permitted=keep, inheritable=keep, ambient=keep)
                prctl(PR_SET_KEEPCAPS, 1)
                drop_bounding(sets)
                os.setgroups([uid])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                apply(sets)
                install(program)
        """,
        "groups before all": """
            def give_up(uid, keep, program):
                os.setgid(uid)
                os.setgroups([])
                sets = Capabilities(
                    **dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), keep))
                drop_bounding(sets)
                prctl(PR_SET_KEEPCAPS, 1)
                os.setuid(uid)
                apply(sets)
                prctl(PR_SET_KEEPCAPS, 0)
                prctl(PR_SET_NO_NEW_PRIVS, 1)
                install(program)
        """,
        "by the package's own steps": """
            def give_up(uid, keep, program):
                from minict.runtime.process import set_user
                from minict.runtime.spec import User
                sets = Capabilities(bounding=keep, effective=keep, permitted=keep, inheritable=keep, ambient=keep)
                drop_bounding(sets)
                prctl(PR_SET_KEEPCAPS, 1)
                set_user(User(uid=uid, gid=uid))
                apply(sets)
                prctl(PR_SET_NO_NEW_PRIVS, 1)
                install(program)
        """,
    },
    wrong={
        "the filter first": (
            _steps(_NNP, _INSTALL, _BOUND, _KEEP, _GROUPS, _GROUP, _USER, _APPLY),
            "it must come last",
        ),
        "the user before the groups": (
            _steps(_BOUND, _KEEP, _USER, _GROUPS, _GROUP, _APPLY, _NNP, _INSTALL),
            "the groups and the bounding set change before",
        ),
        "the user before the bounding set": (
            _steps(_KEEP, _GROUPS, _GROUP, _USER, _BOUND, _APPLY, _NNP, _INSTALL),
            "ordinary user by then",
        ),
        "without keepcaps": (
            _steps(_BOUND, _GROUPS, _GROUP, _USER, _APPLY, _NNP, _INSTALL),
            "PR_SET_KEEPCAPS is set before",
        ),
        "keepcaps after the user": (
            _steps(_BOUND, _GROUPS, _GROUP, _USER, _KEEP, _APPLY, _NNP, _INSTALL),
            "PR_SET_KEEPCAPS is set before",
        ),
        "forgets to apply": (
            _steps(_BOUND, _KEEP, _GROUPS, _GROUP, _USER, _NNP, _INSTALL),
            "takes along what the ambient set has",
        ),
        "applies before the user": (
            _steps(_BOUND, _KEEP, _GROUPS, _GROUP, _APPLY, _USER, _NNP, _INSTALL),
            "must come after the steps that take more.\n  in your line: os.setuid(uid)",
        ),
        "in the order of the alphabet": (
            _steps(_APPLY, _BOUND, _INSTALL, _GROUP, _GROUPS, _USER, _KEEP, _NNP),
            "apply() has set it",
        ),
        "other sets": (
            edited(
                _steps(_BOUND, _KEEP, _GROUPS, _GROUP, _USER, _APPLY, _NNP, _INSTALL),
                ("five_sets(keep)", "five_sets(['CAP_CHOWN'])"),
            ),
            "what keep is in this call",
        ),
        "two parameters": ("def give_up(uid, keep):\n    pass\n", "raised TypeError"),
        "names in place of sets": (
            edited(
                _steps(_BOUND, _KEEP, _GROUPS, _GROUP, _USER, _APPLY, _NNP, _INSTALL),
                ("five_sets(keep)", "keep"),
            ),
            "in your line: drop_bounding(sets)",
        ),
        "without no_new_privs": (
            _steps(_BOUND, _KEEP, _GROUPS, _GROUP, _USER, _APPLY, _INSTALL),
            "only with no_new_privs",
        ),
        "keeps root's groups": (_steps(_BOUND, _KEEP, _GROUP, _USER, _APPLY, _NNP, _INSTALL), "setgroups"),
        "keeps root's group": (_steps(_BOUND, _KEEP, _GROUPS, _USER, _APPLY, _NNP, _INSTALL), "has the group 0"),
        "forgets the filter": (_steps(_BOUND, _KEEP, _GROUPS, _GROUP, _USER, _APPLY, _NNP), "without a filter"),
        "forgets the bounding set": (
            _steps(_KEEP, _GROUPS, _GROUP, _USER, _APPLY, _NNP, _INSTALL),
            "in its bounding set",
        ),
    },
)
