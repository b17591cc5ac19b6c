"""Chapter 18: open is not ready, when a container is unhealthy, how to wait, and a server in front of another one."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time

import minict
from minict.engine.lifecycle import healthcheck

from .. import readiness
from ..answers import edited
from ..applications import application_images
from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback
from ..shop import listening

_HERE = "127.0.0.1"
_IMPORTS = """
    import socket
    import time
"""

# ---- apps-1 ------------------------------------------------------------------------------------------------------


class _Listener:
    """Somebody at a free port of the loopback device; *attend* is called with each connection, in a thread; None: the
    connections wait, and nobody takes them."""

    def __init__(self, attend=None):
        self.left = threading.Event()
        self.socket = socket.create_server((_HERE, 0))
        self.port = self.socket.getsockname()[1]
        self.attend, self.kept = attend, []
        if attend:
            threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self.socket.accept()
            self.kept.append(connection)
            threading.Thread(target=self.attend, args=(self, connection), daemon=True).start()


def _greet(listener, connection):
    connection.sendall(b"Y\0\0\0\n5.5.5-10.11\0")


def _greet_when_released(listener, connection):
    listener.left.wait()
    connection.sendall(b"Y\0\0\0\n5.5.5-10.11\0")


def _wait_for_the_client(listener, connection):
    if connection.recv(1):  # it speaks first, as a client of a web server does
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def check_ready(ready):
    """Five servers: an honest one, one that nobody attends, one that hangs up, none at all, and a late one."""
    honest = _Listener(_greet)
    _demand(ready, honest.port, True, "an honest server, which greets each caller", "Did you read from the connection?")
    for what, attend, why in (
        (
            "a port that is open, where the program never takes a connection",
            None,
            "Only the kernel has answered. Connected is not enough: read the greeting.",
        ),
        (
            "a server that hangs up and says nothing",
            lambda listener, connection: connection.close() or listener.kept.remove(connection),
            'At the end of a connection recv() returns b"": nothing was said.',
        ),
        (
            "a server that waits for the caller to speak",
            _wait_for_the_client,
            "Say nothing yourself: a database speaks first, and the one at this port does not.",
        ),
    ):
        listener = _Listener(attend)
        _demand(ready, listener.port, False, what, why)
    closed = _Listener()
    closed.socket.close()
    _demand(ready, closed.port, False, "a port where nobody listens", "OSError is the answer no, too: catch it.")
    late = _Listener(_greet_when_released)
    threading.Timer(1.5, late.left.set).start()
    why = "You were given 8 seconds: does the connection have them?"
    _demand(ready, late.port, True, "a server that needs a second and a half before it greets", why, 8)


def _demand(ready, port: int, expected: bool, what: str, why: str, seconds: float = 0.5) -> None:
    call = f"ready({_HERE!r}, {port}, {seconds})"
    answer = []

    def ask():
        try:
            answer.append(ready(_HERE, port, seconds))
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(6 if not expected else None)
    if not answer:
        raise Feedback(
            f"{call} still waits, at {what}. Give the connection a time limit: create_connection(…, timeout=seconds) "
            "holds for recv(), too. If it has one: ask once, and not in a loop."
        )
    if isinstance(answer[0], OSError):
        raise Feedback(f"{call} raised {answer[0]!r}, at {what}. Expected: {expected}. {why}")
    if isinstance(answer[0], BaseException):
        raise answer[0]
    if answer[0] is not expected:
        if answer[0] is None:
            why = "One way through your function ends without return."
        elif isinstance(answer[0], (bytes, str)):
            why = "That is what was said. Return whether something was said."
        raise Feedback(f"{call} returned {answer[0]!r}, at {what}. Expected: {expected}. {why}")


_READY = """
    def ready(address, port, seconds=1):
        try:
            with socket.create_connection((address, port), timeout=seconds) as connection:
                return connection.recv(1) != b""
        except OSError:
            return False
"""

Exercise(
    "apps-1",
    "Open is not ready",
    minutes=7,
    difficulty=2,
    reference=readiness.ready,
    check=check_ready,
    seconds=60,
    imports=_IMPORTS,
    starter='''
        def ready(address, port, seconds=1):
            """Whether a server at address:port says something within so many seconds. It never raises OSError."""
            try:
                ...
            except OSError:
                return False
    ''',
    hints=[
        "Two steps: connect, then wait for the first byte. Only the second one needs a program.",
        "The time limit of create_connection() also holds for recv(). A time limit that is over raises TimeoutError, "
        "which is an OSError.",
        "with socket.create_connection(…, timeout=seconds) as connection: and in it, return whether connection.recv(1) "
        'is something else than b"".',
    ],
    right={
        "with a socket of its own": """
            def ready(address, port, seconds=1):
                caller = socket.socket()
                caller.settimeout(seconds)
                try:
                    caller.connect((address, port))
                    return len(caller.recv(4096)) > 0
                except OSError:
                    return False
                finally:
                    caller.close()
        """,
        "by select": """
            def ready(address, port, seconds=1):
                import select
                try:
                    with socket.create_connection((address, port), seconds) as caller:
                        readable, _, _ = select.select([caller], [], [], seconds)
                        return bool(readable) and bool(caller.recv(1))
                except OSError:
                    return False
        """,
        "through a file": """
            def ready(address, port, seconds=1):
                try:
                    with socket.create_connection((address, port), timeout=seconds) as caller:
                        with caller.makefile("rb", buffering=0) as file:
                            return bool(file.read(1))
                except OSError:
                    return False
        """,
    },
    wrong={
        "connects only": (
            edited(_READY, ('return connection.recv(1) != b""', "return True")),
            "Connected is not enough",
        ),
        "no time limit": (edited(_READY, (", timeout=seconds", "")), "Give the connection a time limit"),
        "anything is an answer": (
            edited(_READY, ('return connection.recv(1) != b""', "connection.recv(1)\n                return True")),
            "nothing was said",
        ),
        "speaks first": (
            edited(_READY, ("return connection", 'connection.sendall(b"hello")\n                return connection')),
            "Say nothing yourself",
        ),
        "raises": (
            """
            def ready(address, port, seconds=1):
                try:
                    with socket.create_connection((address, port), timeout=seconds) as connection:
                        return connection.recv(1) != b""
                except TimeoutError:
                    return False
        """,
            "catch it",
        ),
        "the byte itself": (edited(_READY, (' != b""', "")), "Return whether something was said"),
        "forgets to return": (edited(_READY, ("return connection.recv", "connection.recv")), "ends without return"),
        "a fixed time limit": (edited(_READY, ("timeout=seconds)", "timeout=1)")), "does the connection have them"),
        "asks in a loop": (
            """
            def ready(address, port, seconds=1):
                while True:
                    try:
                        with socket.create_connection((address, port), timeout=seconds) as connection:
                            if connection.recv(1) != b"":
                                return True
                    except OSError:
                        time.sleep(0.1)
        """,
            "not in a loop",
        ),
    },
)


# ---- apps-2 ------------------------------------------------------------------------------------------------------


class _Clock:
    """A clock that goes on only when somebody sleeps, or asks the question, which *takes* so many seconds; it notes the
    ``pauses``."""

    def __init__(self, answers, takes=0.001):
        self.now, self.pauses, self.asked, self.answers, self.takes = 1000.0, [], 0, answers, takes

    def sleep(self, seconds):
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if seconds > 50:
            self.really_sleep(seconds)  # as long as any time limit here: let it be seen as what it is
        self.pauses.append(seconds)
        self.now += seconds

    def time(self):
        return self.now

    def question(self):
        self.asked += 1
        self.now += self.takes
        if self.asked > 2000:
            raise Feedback(
                f"until(question, …) has asked {self.asked} times within {self.now - 1000:.0f} s, and goes on. Between "
                "two questions it has to sleep, and when the time is over it has to raise TimeoutError."
            )
        return self.answers(self)


def _with_clock(until, clock: _Clock, seconds: float):
    """What until(…) returns, and the TimeoutError that it raises, while *clock* is everybody's clock."""
    names = {"sleep": clock.sleep, "monotonic": clock.time, "time": clock.time, "perf_counter": clock.time}
    before = {name: vars(time)[name] for name in names}
    clock.really_sleep = before["sleep"]
    vars(time).update(names)
    try:
        return until(clock.question, seconds), None
    except TimeoutError as error:
        return None, error
    finally:
        vars(time).update(before)


def check_until(until):
    """The check has a clock of its own, so that no time is lost: it sees each pause and each question."""
    clock = _Clock(lambda clock: "at once")
    got, late = _with_clock(until, clock, 5)
    if got != "at once" or clock.pauses:
        why = "Ask first, then sleep." if clock.pauses else "Return what question() has returned."
        raise Feedback(
            f'until(question, 5) gave {late or got!r} after the pauses {clock.pauses}, and question() returns "at once". '
            f"Expected: that answer, without any pause. {why}"
        )
    clock = _Clock(_says_yes_once)
    got, late = _with_clock(until, clock, 60)
    if got != 42:
        why = "It was asked again after that. A yes may not come twice: keep the answer." if clock.said > 1 else ""
        raise Feedback(
            f"until(question, 60) gave {late or got!r}. After half a second question() returned 42. Expected: 42, the "
            f"answer itself. {why}"
        )
    if not clock.pauses:
        raise Feedback(
            f"until(question, 60) asked {clock.asked} times in half a second. Between two questions it has to sleep."
        )
    _look_at_pauses(clock.pauses)
    clock = _Clock(lambda clock: clock.now >= 1020)
    got, late = _with_clock(until, clock, 60)
    if got is not True:
        raise Feedback(
            f"until(question, 60) gave {late or got!r}; question() is true after 20 s. It must not give up before."
        )
    if max(clock.pauses) > 1.0001:
        raise Feedback(
            f"until(question, 60) slept for {max(clock.pauses):.2f} s at once. Expected: at most 1 s, or a server that "
            "is ready waits for its caller."
        )
    _look_at_the_end(until)


def _says_yes_once(clock):
    """From half a second on: 42 for the first one who asks, and then 0."""
    if clock.now < 1000.5:
        return 0
    clock.said = getattr(clock, "said", 0) + 1
    return 42 if clock.said == 1 else 0


def _look_at_the_end(until) -> None:
    """Nobody ever says yes."""
    clock = _Clock(lambda clock: None)
    got, late = _with_clock(until, clock, 3)
    if not late:
        raise Feedback(
            f"until(question, 3) returned {got!r} when no answer had come. Expected: raise TimeoutError(…), so that nobody "
            "takes it for a success."
        )
    if not 2.0 <= clock.now - 1000 <= 3.1:
        raise Feedback(
            f"until(question, 3) gave up after {clock.now - 1000:.2f} s. Expected: not later than after 3 s, and at most a "
            "pause earlier. Would the next pause end too late?"
        )
    clock = _Clock(lambda clock: None, takes=1)
    _with_clock(until, clock, 5)
    if clock.now - 1000 > 6.1:
        raise Feedback(
            f"until(question, 5) gave up after {clock.now - 1000:.1f} s, as each question took a second here. The time that "
            "a question takes counts, too: look at time.monotonic()."
        )


def _look_at_pauses(pauses: list[float]) -> None:
    seen = ", ".join(f"{pause:.3g}" for pause in pauses[:5])
    if any(pause <= 0 for pause in pauses) or len(pauses) > 40:
        raise Feedback(
            f"until(question, 60) has made {len(pauses)} pauses: {seen} … s. Each pause should be twice as long as the one "
            "before."
        )
    if abs(pauses[0] - 0.01) > 1e-6:
        raise Feedback(f"until(question, 60) made the pauses {seen} … s. Expected: the first one takes 0.01 s.")
    for before, after in itertools.pairwise(pauses):
        if abs(after - min(2 * before, 1)) > 1e-6:
            raise Feedback(
                f"until(question, 60) made the pauses {seen} … s. Expected: each is twice as long as the one before."
            )


_UNTIL = """
    def until(question, seconds):
        pause, end = 0.01, time.monotonic() + seconds
        while not (answer := question()):
            if time.monotonic() + pause > end:
                raise TimeoutError("too late")
            time.sleep(pause)
            pause = min(2 * pause, 1)
        return answer
"""

Exercise(
    "apps-2",
    "Ask again, and not too often",
    minutes=8,
    difficulty=2,
    reference=readiness.until,
    check=check_until,
    imports=_IMPORTS,
    starter='''
        def until(question, seconds):
            """The first true answer of question(), asked after pauses of 0.01, 0.02, 0.04 … s, at most 1 s.

            Raises TimeoutError instead of a pause that would end after so many seconds.
            """
            pause, end = 0.01, time.monotonic() + seconds
            while not (answer := question()):
                ...
            return answer
    ''',
    hints=[
        "Three things are missing in the loop: give up if it is too late, sleep, and make the pause longer.",
        "min(2 * pause, 1) is twice the pause, and at most 1. It is too late if the next pause ends after end.",
        "if time.monotonic() + pause > end: raise TimeoutError(…). Then time.sleep(pause), then the new pause.",
    ],
    right={
        "by a generator": """
            def until(question, seconds):
                def pauses():
                    pause = 0.01
                    while True:
                        yield pause
                        pause = min(1, pause * 2)
                end = time.time() + seconds
                for pause in pauses():
                    answer = question()
                    if answer:
                        return answer
                    if time.time() + pause >= end:
                        raise TimeoutError
                    time.sleep(pause)
        """,
        "by recursion": """
            def until(question, seconds, pause=0.01):
                end = time.monotonic() + seconds
                answer = question()
                if answer:
                    return answer
                left = end - time.monotonic()
                if pause > left:
                    raise TimeoutError(f"{left} s are left")
                time.sleep(pause)
                return until(question, left - pause, min(2 * pause, 1))
        """,
        "cuts the last pause": """
            def until(question, seconds):
                end, pause = time.monotonic() + seconds, 0.01
                while True:
                    if answer := question():
                        return answer
                    left = end - time.monotonic()
                    if left <= 0:
                        raise TimeoutError
                    time.sleep(min(pause, left))
                    pause = min(1, pause + pause)
        """,
    },
    wrong={
        "never sleeps": (
            edited(_UNTIL, ("            time.sleep(pause)\n", "")),
            "it has to sleep",
        ),
        "never gives up": (
            edited(
                _UNTIL,
                (
                    '            if time.monotonic() + pause > end:\n                raise TimeoutError("too late")\n',
                    "",
                ),
            ),
            "has to raise TimeoutError",
        ),
        "always the same pause": (
            edited(_UNTIL, ("            pause = min(2 * pause, 1)\n", "")),
            "twice as long",
        ),
        "without an upper limit": (edited(_UNTIL, ("min(2 * pause, 1)", "2 * pause")), "at most 1 s"),
        "returns False": (edited(_UNTIL, ('raise TimeoutError("too late")', "return False")), "takes it for a success"),
        "only yes": (edited(_UNTIL, ("return answer", "return True")), "Expected: that"),
        "returns the error": (edited(_UNTIL, ("raise TimeoutError", "return TimeoutError")), "takes it for a success"),
        "asks again": (
            edited(_UNTIL, ("(answer := question())", "question()"), ("return answer", "return question()")),
            "A yes may not come twice",
        ),
        "a pause too late": (
            edited(_UNTIL, ("monotonic() + pause > end", "monotonic() > end")),
            "Would the next pause",
        ),
        "counts its pauses": (
            """
            def until(question, seconds):
                slept, pause = 0, 0.01
                while not (answer := question()):
                    if slept + pause > seconds:
                        raise TimeoutError
                    time.sleep(pause)
                    slept, pause = slept + pause, min(1, pause + pause)
                return answer
        """,
            "each question took a second",
        ),
        "sleeps first": (
            edited(_UNTIL, ("        while not", "        time.sleep(pause)\n        while not")),
            "Ask first",
        ),
    },
)


# ---- apps-3 ------------------------------------------------------------------------------------------------------

_HISTORIES = ((3, ".xx.xx."), (3, "xxx"), (2, ".xxx."), (1, ".x.x"))  # retries, the checks: . passed, x failed


def check_next_health(next_health):
    """Whole histories of checks, beside a table by which each status can be counted."""
    for retries, checks in _HISTORIES:
        status, failures, row = "starting", 0, 0
        for place, sign in enumerate(checks):
            call = f"next_health({status!r}, {failures}, {sign == '.'}, {retries})"
            row = 0 if sign == "." else row + 1
            expected = ("healthy" if sign == "." else "unhealthy" if row >= retries else status, row)
            got = next_health(status, failures, sign == ".", retries)
            if got != expected and got != list(expected):
                raise Feedback(
                    f"{call} returned {got!r}. Expected: {expected!r}, after the checks {checks[: place + 1]} "
                    f"(. is passed, x is failed; retries is {retries}). {_advice(got, expected, retries)}"
                )
            status, failures = expected


def _advice(got, expected: tuple[str, int], retries: int) -> str:
    """The likely cause of a wrong result."""
    status, row = expected
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        return "Return both, the status and the number of failures: return status, failures"
    if isinstance(got[1], str):
        return "The status comes first, then the number."
    if got[0] == status:
        return (
            "The number counts the failures in a row, this one too."
            if row
            else "A check that passes resets the number."
        )
    if str(got[0]).lower() == status:
        return f"The word is {status!r}, in small letters."
    if not row:
        return "One check that passes is enough, whatever the status was."
    if row >= retries:
        return f"This is failure number {row} in a row, and {retries} are enough to be unhealthy."
    return f"One failure is not enough: with fewer than {retries} in a row the status stays as it was."


Exercise(
    "apps-3",
    "Starting, healthy, unhealthy",
    minutes=7,
    difficulty=1,
    reference=healthcheck.next_health,
    check=check_next_health,
    imports=_IMPORTS,
    starter='''
        def next_health(status, failures, passed, retries):
            """The status after one more check, and the number of failures in a row: at retries of them it is unhealthy."""
            ...
            return status, failures
    ''',
    hints=[
        "One case is easy: if the check has passed, both results are known, whatever was before.",
        "Otherwise there is one failure more. Is it enough, failures >= retries? If not, the status stays.",
        'if passed: return "healthy", 0. Then failures += 1, and one if.',
    ],
    right={
        "in one expression": """
            def next_health(status, failures, passed, retries):
                row = 0 if passed else failures + 1
                return ("healthy" if not row else "unhealthy" if row >= retries else status), row
        """,
        "by cases": """
            def next_health(status, failures, passed, retries):
                match passed, failures + 1 >= retries:
                    case True, _:
                        return "healthy", 0
                    case False, True:
                        return "unhealthy", failures + 1
                return status, failures + 1
        """,
        "a list": """
            def next_health(status, failures, passed, retries):
                row = 0 if passed else failures + 1
                return ["healthy" if passed else "unhealthy" if row >= retries else status, row]
        """,
        "from a table": """
            def next_health(status, failures, passed, retries):
                failures = (failures + 1) * (not passed)
                new = {(True, False): "healthy", (False, True): "unhealthy"}
                return new.get((passed, not passed and failures >= retries), status), failures
        """,
    },
    wrong={
        "unhealthy at once": (
            """
            def next_health(status, failures, passed, retries):
                return ("healthy", 0) if passed else ("unhealthy", failures + 1)
        """,
            "the status stays as it was",
        ),
        "one too late": (
            """
            def next_health(status, failures, passed, retries):
                if passed:
                    return "healthy", 0
                return "unhealthy" if failures >= retries else status, failures + 1
        """,
            "3 are enough to be unhealthy",
        ),
        "counts all failures": (
            """
            def next_health(status, failures, passed, retries):
                if passed:
                    return "healthy", failures
                failures += 1
                return "unhealthy" if failures >= retries else status, failures
        """,
            "resets the number",
        ),
        "healthy until proven otherwise": (
            """
            def next_health(status, failures, passed, retries):
                failures = 0 if passed else failures + 1
                return "unhealthy" if failures >= retries else "healthy", failures
        """,
            "the status stays as it was",
        ),
        "the status alone": (
            """
            def next_health(status, failures, passed, retries):
                return "healthy" if passed else status
        """,
            "Return both",
        ),
        "forgets to count": (
            """
            def next_health(status, failures, passed, retries):
                if passed:
                    return "healthy", 0
                if failures + 1 >= retries:
                    return "unhealthy", failures
                return status, failures
        """,
            "this one too",
        ),
        "the number first": (
            """
            def next_health(status, failures, passed, retries):
                failures = 0 if passed else failures + 1
                return failures, "healthy" if passed else "unhealthy" if failures >= retries else status
        """,
            "The status comes first",
        ),
        "a capital letter": (
            """
            def next_health(status, failures, passed, retries):
                failures = 0 if passed else failures + 1
                return "Healthy" if passed else "Unhealthy" if failures >= retries else status, failures
        """,
            "in small letters",
        ),
        "unhealthy forever": (
            """
            def next_health(status, failures, passed, retries):
                failures = 0 if passed else failures + 1
                return status if status == "unhealthy" else (
                    "healthy" if passed else "unhealthy" if failures >= retries else status
                ), failures
        """,
            "whatever the status was",
        ),
    },
)


# ---- the challenge -------------------------------------------------------------------------------------------------

_VISITOR, _PATH = "127.0.0.9", "/menu?day=friday"


class _App:
    """The app behind nginx: it notes what it gets."""

    def __init__(self):
        self.requests: list[str] = []
        self.listener = _Listener(self._answer)
        self.address = f"{_HERE}:{self.listener.port}"

    def _answer(self, listener, connection):
        with connection:
            request = b""
            while b"\r\n\r\n" not in request and (chunk := connection.recv(4096)):
                request += chunk
            self.requests.append(request.decode(errors="replace"))
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\npie!\n")


def _ask(address: str, path: str) -> tuple[str, str]:
    """The head and the body of what a visitor at 127.0.0.9 gets."""
    with socket.create_connection((address, 80), timeout=10, source_address=(_VISITOR, 0)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: cafe.example\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().decode(errors="replace").partition("\r\n\r\n")
    return head, body


def check_proxy(proxy):
    """nginx, with what the learner wrote, and an app behind it that notes what it gets."""
    app = _App()
    text = proxy(app.address)
    if not isinstance(text, str):
        raise Feedback(f"proxy({app.address!r}) returned {text!r}. Expected: the configuration, as a text: return it.")
    os.mkdir("conf.d")
    with open("conf.d/default.conf", "w") as file:
        file.write(text)
    os.chmod(".", 0o755)
    nginx, _ = application_images()
    volume = [f"{os.getcwd()}/conf.d:/etc/nginx/conf.d:ro"]
    with minict.run(nginx, detach=True, network="host", volume=volume) as web:
        _wait_for_workers(web)
        ports = [port for _, port in listening(web.pid) if port != app.listener.port]
        if 80 not in ports:
            where = f"at port {ports[0]}" if ports else "nowhere"
            raise Feedback(f"nginx runs and listens {where}. Expected: port 80, with listen 80;")
        head, body = _ask(_HERE, _PATH)
    _judge(app, head, body)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _wait_for_workers(web) -> None:
    """Wait until nginx has read its configuration: it listens first, and then makes its workers.  Raises
    :class:`Feedback` with its own words when it ends, or when it does not come so far in a minute: the time limit of
    the whole check would leave the container."""
    end = time.monotonic() + 60
    while web.status == "running":
        if time.monotonic() > end:
            raise Feedback("nginx has read your configuration for a minute, and serves nobody.")
        with contextlib.suppress(OSError):
            if _read(f"/proc/{web.pid}/comm") == "nginx" and _read(f"/proc/{web.pid}/task/{web.pid}/children"):
                return
        time.sleep(0.02)
    said = [line.partition("[emerg] ")[2] for line in web.logs().splitlines() if "[emerg]" in line]
    words = (said or [web.logs()])[0]
    why = next((why for sign, why in _CAUSES.items() if sign in words), "")
    raise Feedback(f"nginx does not start with your configuration: {words} {why}".rstrip())


_CAUSES = {  # what nginx says -> the likely cause
    "unexpected": "Does each directive end with ; and each { have its }?",
    "invalid number of arguments": "Does each directive end with ;?",
    "directive is not allowed here": "nginx includes this file in its http { … }: begin with server { … }.",
    "invalid URL prefix": "proxy_pass wants http:// before the address.",
    "host not found in upstream": "Pass requests on to the address that proxy() is given.",
}


def _judge(app: _App, head: str, body: str) -> None:
    status = int(head.split()[1])
    call = f"A visitor asked nginx for {_PATH}"
    if not app.requests:
        raise Feedback(
            f"{call} and got {status}, and the app at {app.address} was asked nothing. proxy_pass http://…; passes on."
        )
    first = app.requests[0].splitlines()[0].split()
    if first[1] != _PATH:
        raise Feedback(
            f"{call}, and the app was asked for {first[1]}. A path behind the address in proxy_pass, even a single /, "
            "takes the place of what location matched: name the address alone."
        )
    if (status, body) != (200, "pie!\n"):
        raise Feedback(f"{call} and got {status} {body!r}. The app had answered 200 with 'pie!'.")
    seen = [
        line.partition(":")[2].strip() for line in app.requests[0].splitlines() if line.lower().startswith("x-real-ip:")
    ]
    if seen != [_VISITOR]:
        what = f"X-Real-IP: {seen[0]}" if seen else "no header X-Real-IP"
        why = "To the app every visitor is nginx: tell it the visitor's address, which nginx has in $remote_addr."
        if not seen and "x-real-ip:" in head.lower():
            why = "The visitor got it: add_header is for answers, and proxy_set_header for requests."
        raise Feedback(f"{call}, from {_VISITOR}, and the app got {what}. {why}")


_PROXY = """
    def proxy(app):
        return f'''
            server {{
                listen 80;
                location / {{
                    proxy_pass http://{app};
                    proxy_set_header X-Real-IP $remote_addr;
                }}
            }}
        '''
"""

Challenge(
    "proxy",
    "A server in front of a server, from an empty cell",
    name="proxy",
    minutes=10,
    difficulty=2,
    check=check_proxy,
    seconds=180,  # of which few are needed where the images are there
    hints=[
        "server { … } holds two things: listen 80; and location / { … }. In the latter there are two lines.",
        "proxy_pass http://ADDRESS; passes a request on. proxy_set_header NAME VALUE; adds a header to it.",
        "In an f-string a brace that should stay is written twice: server {{ listen 80; … }}. The header is X-Real-IP, and "
        "its value $remote_addr.",
    ],
    solution=_PROXY,
    right={
        "with an upstream": """
            def proxy(app):
                return "\\n".join([
                    "upstream kitchen { server " + app + "; }",
                    "server {", "listen 0.0.0.0:80 default_server;", "proxy_set_header X-Real-IP $remote_addr;",
                    "location / { proxy_pass http://kitchen; }", "}",
                ])
        """,
        "with a variable": """
            def proxy(app):
                return '''server { listen 80; set $there APP;
                    location / { proxy_set_header X-Real-IP $remote_addr; proxy_pass http://$there$request_uri; } }
                '''.replace("APP", app)
        """,
        "for any path": """
            def proxy(app):
                return (
                    "server { listen *:80; server_name _; location ~ .* {"
                    "proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;"
                    f"proxy_pass http://{app}; }} }}"
                )
        """,
    },
    wrong={
        "without the header": (
            edited(_PROXY, ("                    proxy_set_header X-Real-IP $remote_addr;\n", "")),
            "To the app every visitor is nginx",
        ),
        "the wrong header": (edited(_PROXY, ("$remote_addr", "$host")), "X-Real-IP: cafe.example"),
        "a semicolon is missing": (edited(_PROXY, ("http://{app};", "http://{app}")), "end with ;"),
        "for the answer": (edited(_PROXY, ("proxy_set_header", "add_header")), "proxy_set_header for requests"),
        "without http": (edited(_PROXY, ("http://{app}", "{app}")), "wants http://"),
        "another app": (edited(_PROXY, ("http://{app}", "http://app:8000")), "that proxy() is given"),
        "a path": (edited(_PROXY, ("http://{app};", "http://{app}/app/;")), "name the address alone"),
        "another port": (edited(_PROXY, ("listen 80", "listen 8000")), "listens at port 8000"),
        "files": (edited(_PROXY, ("proxy_pass http://{app};", "root /usr/share/nginx/html;")), "was asked nothing"),
        "an empty text": ("def proxy(app):\n    return ''", "listens nowhere"),
        "without a server": ("def proxy(app):\n    return 'proxy_pass http://' + app", "nginx does not start"),
    },
)
