"""Policies of a container: restarts, the stop signal, health checks, the log, pulling.

Each function reads some fields of :class:`.options.ContainerOptions`, and raises :class:`ContainerError` for an invalid
value.  *config* is the ``config`` of the image, which applies where the user has set nothing.
"""

from __future__ import annotations

from minict.engine.util import units
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

    from .options import ContainerOptions

STOP_TIMEOUT = 10.0  # seconds, as in Docker
_POLICIES = ("no", "always", "unless-stopped", "on-failure")
_PULLS = ("missing", "always", "never")
# The durations in an image's Healthcheck, with Docker's defaults in nanoseconds.
_TIMES = {"Interval": 30_000_000_000, "Timeout": 30_000_000_000, "StartPeriod": 0, "StartInterval": 5_000_000_000}
_RETRIES = 3


def check(settings: ContainerOptions, config: dict[str, Any]) -> None:
    """Check all fields that this module reads."""
    restart(settings)
    stop_signal(settings, config)
    stop_timeout(settings)
    healthcheck(settings, config)
    log(settings)
    pull(settings)


def restart(settings: ContainerOptions) -> tuple[str, int | None]:
    """The policy of ``--restart``, and the maximum number of restarts for ``on-failure``; None is unlimited."""
    policy, colon, most = (settings.restart or "no").partition(":")
    if policy not in _POLICIES:
        raise ContainerError(
            f"--restart {settings.restart}: invalid policy: use no, always, unless-stopped or on-failure[:NUMBER]"
        )
    if colon and policy != "on-failure":
        raise ContainerError(f"--restart {settings.restart}: only on-failure takes a number")
    if settings.rm and policy != "no":
        raise ContainerError(
            f"--restart {settings.restart} conflicts with --rm: a removed container can't be restarted; leave out "
            "one of the two"
        )
    # 0 is unlimited, as in Docker
    return policy, (units.whole(most, "--restart on-failure", 0) or None) if colon else None


def stop_signal(settings: ContainerOptions, config: dict[str, Any]) -> int:
    """The signal that stops the container: ``--stop-signal``, or the image's STOPSIGNAL, or SIGTERM."""
    what = "--stop-signal" if settings.stop_signal is not None else "the image's STOPSIGNAL"
    given = config.get("StopSignal") or "SIGTERM" if settings.stop_signal is None else settings.stop_signal
    return units.signal_of(given, what)


def stop_timeout(settings: ContainerOptions) -> float:
    """The seconds after which the container is killed if it has not stopped; -1 for never."""
    return (
        STOP_TIMEOUT
        if settings.stop_timeout is None
        else float(units.whole(settings.stop_timeout, "--stop-timeout", -1))
    )


def healthcheck(settings: ContainerOptions, config: dict[str, Any]) -> dict[str, Any] | None:
    """The health check, with the field names of the image's ``Healthcheck``; None for no check.

    ``Test``: ``["CMD", program, argument…]`` or ``["CMD-SHELL", command]``; ``Interval``, ``Timeout``, ``StartPeriod``
    and ``StartInterval`` in nanoseconds; ``Retries``.  Source: HEALTHCHECK in Docker's reference; OCI has none.
    """
    given = {
        "Interval": settings.health_interval,
        "Timeout": settings.health_timeout,
        "StartPeriod": settings.health_start_period,
        "StartInterval": settings.health_start_interval,
    }
    if settings.no_healthcheck:
        if settings.health_cmd is not None or settings.health_retries is not None or any(given.values()):
            raise ContainerError("--no-healthcheck conflicts with other --health options: leave out one of the two")
        return None
    result = _from_image(config)
    if settings.health_cmd:
        result["Test"] = ["CMD-SHELL", settings.health_cmd]
    for name, text in given.items():
        if text is not None:
            flag = {"StartPeriod": "--health-start-period", "StartInterval": "--health-start-interval"}.get(
                name, f"--health-{name.lower()}"
            )
            result[name] = units.nanoseconds(text, flag)
            if 0 < result[name] < 1_000_000:
                raise ContainerError(f"{flag}: {text} is too short: the minimum is 1ms")
    if settings.health_retries is not None:
        result["Retries"] = units.whole(settings.health_retries, "--health-retries", 0)
    if not result["Test"] or result["Test"] == ["NONE"]:
        return None
    defaults = {**_TIMES, "Retries": _RETRIES}
    return {name: value or defaults[name] if name in defaults else value for name, value in result.items()}


def _from_image(config: dict[str, Any]) -> dict[str, Any]:
    """The image's Healthcheck, with 0 for missing fields."""
    own = config.get("Healthcheck") or {}
    result = (
        {"Test": own.get("Test") or [], **{name: own.get(name) or 0 for name in (*_TIMES, "Retries")}}
        if isinstance(own, dict)
        else {"Test": None}
    )
    numbers = [value for name, value in result.items() if name != "Test"]
    words = result["Test"]
    if not (
        isinstance(words, list)
        and all(isinstance(word, str) for word in words)
        and words[:1] in ([], ["NONE"], ["CMD"], ["CMD-SHELL"])
        and (words[:1] in ([], ["NONE"]) or len(words) > 1)
        and all(isinstance(number, int) and 0 <= number < 1 << 63 for number in numbers)  # nanoseconds: 292 years
    ):
        raise ContainerError(f"the image's HEALTHCHECK is invalid ({repr(own)[:200]}): use --no-healthcheck")
    return result


def log(settings: ContainerOptions) -> dict[str, Any]:
    """The log: ``driver`` (``json-file`` or ``none``), ``max_size`` in bytes and ``max_file``, None if not given."""
    driver = settings.log_driver or "json-file"
    if driver not in ("json-file", "none"):
        raise ContainerError(f"--log-driver {driver}: unknown driver: use json-file or none")
    result: dict[str, Any] = {"driver": driver, "max_size": None, "max_file": None, "labels": [], "env": []}
    for word in settings.log_opt:
        name, _, value = word.partition("=")
        if name == "max-size":
            result["max_size"] = units.bytes_of(value, "--log-opt max-size")
            if not result["max_size"]:
                raise ContainerError("--log-opt max-size: 0 leaves no room for a line: use a size such as 10m")
        elif name == "max-file":
            result["max_file"] = units.whole(value, "--log-opt max-file", 1)
        elif name in ("labels", "env"):  # what 'logs --details' shows
            result[name] += [each.strip() for each in value.split(",") if each.strip()]
        else:
            raise ContainerError(
                f"--log-opt {word}: unknown option: use max-size=SIZE, max-file=NUMBER, labels=NAMES or env=NAMES"
            )
    return result


def pull(settings: ContainerOptions) -> str:
    """When to pull the image: ``missing``, ``always`` or ``never``."""
    if settings.pull is not None and settings.pull not in _PULLS:
        raise ContainerError(f"--pull {settings.pull}: invalid value: use missing, always or never")
    return settings.pull or "missing"
