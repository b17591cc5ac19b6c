"""Shared by the commands for several objects: handle them one after the other, or many at once."""

from __future__ import annotations

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

AT_ONCE = 50  # as in Docker: docker/cli, parallelOperation


def each(names: list[str], do, missing_ok: bool = False, at_once: int = 1) -> int:
    """Call *do* with each of the *names* and print what it returns; return the exit status.

    An error is printed and does not stop the others; the exit status is then 1, as Docker's. *missing_ok*: an object
    that does not exist does not count as an error, as with ``rm --force``. *at_once*: how many are handled in parallel;
    the results are still printed in the order of the names.
    """
    from errno import ENOENT

    from minict.engine.cli.errors import tell
    from minict.runtime.errors import ContainerError

    status = 0
    outcomes = _AtOnce(names, do, at_once) if at_once > 1 and len(names) > 1 else None
    for number, name in enumerate(names):
        try:
            print(outcomes.result(number) if outcomes else do(name), flush=True)
        except ContainerError as error:
            tell(error)
            status = status if missing_ok and error.errno == ENOENT else 1
    return status


class _AtOnce:
    """Calls *do* with each of the *names* in as many threads as *most* says."""

    def __init__(self, names: list[str], do, most: int):
        import threading

        self._names, self._do, self._next = names, do, iter(range(len(names)))
        self._lock = threading.Lock()
        self._results: dict[int, Any] = {}
        self._ended = [threading.Event() for _ in names]
        for _ in range(min(most, len(names))):
            threading.Thread(target=self._work, daemon=True).start()  # an interrupted command does not wait for them

    def result(self, number: int):
        """Wait for the result of *do* for the name with this *number*, and return it. Raises its exception."""
        self._ended[number].wait()
        result = self._results[number]
        if isinstance(result, BaseException):
            raise result
        return result

    def _work(self) -> None:
        while True:
            with self._lock:
                number = next(self._next, None)
            if number is None:
                return
            try:
                self._results[number] = self._do(self._names[number])
            except BaseException as error:
                self._results[number] = error
            self._ended[number].set()
