"""HTTP with a registry, with rules that hold whatever the registry answers.

* Nothing waits forever: neither for a connection, nor for an answer that comes byte by byte.
* Memory holds at most :data:`minict.engine.distribution.manifest.MAX_DOCUMENT` bytes of an answer.
* A redirect never leads from https to http, nor from outside to inside: a registry on the Internet can't make minict
  call a printer in the local network, or a cloud's metadata server, which hands out secrets. Credentials go
  to the registry only, never with a redirect to another host.
* Temporary failures (a reset, silence, 429, 502…) are retried, later each time; the server may say when.

urllib3 makes the connections.  Sources: RFC 9110; RFC 6585 section 4 (429);
https://github.com/containerd/containerd/security/advisories/GHSA-742w-89gc-8m9c (credentials that followed a redirect).
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import random
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from minict import __version__
from minict.runtime.errors import ContainerError

try:
    import urllib3
    from urllib3 import exceptions
    from urllib3.connection import HTTPConnection, HTTPSConnection
except ImportError:
    raise ContainerError("access to registries needs the package urllib3: run  pip install urllib3") from None

from minict.engine.util.progress import printable

from .manifest import MAX_DOCUMENT

ATTEMPTS = 5
_SLOWEST = 1024  # bytes per second; slower connections count as stalled after a while
_LONGEST_WAIT = 60  # seconds; longer waits are reported to the user instead
_REDIRECTS = 5
_PASSING = (408, 429, 500, 502, 503, 504)
# Metadata servers of clouds that are not link-local: AWS, Alibaba, Azure.
_METADATA = ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")
THIS_MACHINE, _LINK_LOCAL = 2, 3  # see nearness()
# Networks whose addresses end with an IPv4 address: "compatible" ones, and those of NAT64, the world's and local ones.
_TRANSLATED = [ipaddress.IPv6Network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")]

urllib3.disable_warnings(exceptions.InsecureRequestWarning)  # the user has allowed any certificate


class RegistryError(ContainerError):
    """A registry can't be reached, refuses, or breaks the rules. *code*: the HTTP status, 0 without an answer."""

    def __init__(self, message: str, code: int = 0):
        super().__init__(message)
        self.code = code


class Interrupted(RegistryError):
    """The connection broke or fell silent: another attempt may succeed."""


def patience() -> float:
    """The seconds that a connection may make no progress: MINICT_REGISTRY_TIMEOUT, or 30. Raises
    :class:`ContainerError`."""
    text = os.environ.get("MINICT_REGISTRY_TIMEOUT", "30")
    try:
        seconds = float(text)
        if not 0 < seconds < 86400:
            raise ValueError
        return seconds
    except ValueError:
        raise ContainerError(
            f"MINICT_REGISTRY_TIMEOUT: invalid number of seconds {text!r}: use one such as 30"
        ) from None


class Transport:
    """Connections to the server at *origin*, such as ``https://registry.example:5000``, and to the targets of its
    redirects.

    *context*: TLS settings.  *nearest*: the server must not be nearer than this, see :func:`nearness`; for servers that
    another server has named.  *say* is called with a message before waiting.
    """

    def __init__(
        self,
        origin: str,
        context: ssl.SSLContext,
        say: Callable[[str], object] | None = None,
        nearest: int | None = None,
    ):
        self.origin, self.context, self.say = origin.rstrip("/"), context, say or (lambda text: None)
        self.nearness, self._nearest = 0, nearest
        self._connect()

    def _connect(self) -> None:
        """Make the connection pools. A forked process makes its own, because connections can't be shared."""
        self._owner = os.getpid()
        self._home = self._pools(self.context, self._arrived)
        self._elsewhere: urllib3.PoolManager | None = None

    def _arrived(self, address: str) -> None:
        self.nearness = nearness(address)
        if self._nearest is not None:
            check_nearness(address, self._nearest, host_of(self.origin))

    def _arrived_elsewhere(self, address: str) -> None:
        check_nearness(address, self.nearness, host_of(self.origin))

    def _pools(self, context: ssl.SSLContext, arrived: Callable[[str], object] | None) -> urllib3.PoolManager:
        options: dict[str, Any] = {
            "timeout": urllib3.Timeout(connect=min(patience(), 10), read=patience()),
            "retries": False,
            "maxsize": 4,
            "ssl_context": context,
            "assert_hostname": None if context.check_hostname else False,
        }
        proxy = _proxy(self.origin)
        pools = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        if proxy:  # the peer's address is the proxy's
            arrived = None
        pools.pool_classes_by_scheme = {
            "http": _pool_class(urllib3.HTTPConnectionPool, HTTPConnection, arrived),
            "https": _pool_class(urllib3.HTTPSConnectionPool, HTTPSConnection, arrived),
        }
        return pools

    def request(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: Any = None, attempts: int = ATTEMPTS
    ) -> Any:
        """The answer to *method* *url*, whose body is not read yet. A *url* without a host means the server itself.

        *body*: bytes, or a function that returns a fresh file for each attempt.  Redirects are followed, and temporary
        failures are retried, with *attempts* attempts in all.  Raises :class:`RegistryError`; :class:`Interrupted` for
        a temporary failure.
        """
        url = urljoin(f"{self.origin}/", url)
        for attempt in range(1, attempts + 1):
            try:
                answer = self._follow(method, url, headers or {}, body)
            except Interrupted as error:
                if attempt == attempts:
                    raise
                self.wait(attempt, str(error))
                continue
            if answer.status not in _PASSING or attempt == attempts:
                return answer
            wanted = _retry_after(answer)
            answer.close()
            if wanted > _LONGEST_WAIT:
                raise RegistryError(
                    f"{host_of(url)} asks us to wait {wanted} seconds (HTTP {answer.status}): "
                    "try again then, or log in, which often raises the limit",
                    answer.status,
                )
            self.wait(attempt, f"{host_of(url)} answers HTTP {answer.status}", wanted)
        raise AssertionError("the last attempt returns or raises")

    def wait(self, attempt: int, reason: str, least: float = 0) -> None:
        """Wait before the next attempt: longer each time, and with jitter, so that a class does not retry in step."""
        seconds = max(least, 0.25 * 2**attempt * random.uniform(0.8, 1.2))
        self.say(f"{reason}; retrying in {seconds:.1f} seconds")
        time.sleep(seconds)

    def _follow(self, method: str, url: str, headers: dict[str, str], body: Any) -> Any:
        """A request, and its redirects."""
        for _ in range(_REDIRECTS + 1):
            answer = self._send(method, url, headers, body)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            target = joined(url, answer.headers.get("Location", ""))
            answer.close()
            if method not in ("GET", "HEAD"):
                raise RegistryError(
                    f"{host_of(url)} redirects an upload, which registries must not do: nothing was sent there"
                )
            check_step(url, target)
            if not same_origin(target, self.origin):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise RegistryError(f"{host_of(url)} redirects endlessly: it does not work as a registry")

    def _send(self, method: str, url: str, headers: dict[str, str], body: Any) -> Any:
        if self._owner != os.getpid():
            self._connect()
        if same_origin(url, self.origin):
            pools = self._home
        else:
            self._elsewhere = pools = self._elsewhere or self._pools(default_context(), self._arrived_elsewhere)
        try:
            return pools.request(
                method,
                url,
                headers={"User-Agent": f"minict/{__version__}", "Accept-Encoding": "identity", **headers},
                body=body() if callable(body) else body,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (exceptions.HTTPError, OSError, ValueError) as error:
            raise explained(error, host_of(url)) from error


def read_document(answer: Any, what: str) -> bytes:
    """The complete body of *answer*; *what* is how messages call it. Raises :class:`RegistryError` if it is too
    large or breaks off."""
    body = b""
    while chunk := read_some(answer, MAX_DOCUMENT, what):
        body += chunk
        if len(body) > MAX_DOCUMENT:
            answer.close()
            raise RegistryError(f"{what} is larger than {MAX_DOCUMENT >> 20} MiB: the registry is broken or hostile")
    answer.release_conn()
    return body


def read_some(answer: Any, size: int, host: str) -> bytes:
    """The next part of the body of *answer*, at most *size* bytes; empty at its end. Raises :class:`RegistryError`."""
    try:
        data: bytes = answer.read1(size)
        return data
    except (exceptions.HTTPError, OSError, ValueError) as error:
        answer.close()
        raise explained(error, host) from error


# ---- redirects ------------------------------------------------------------------------------------


def host_of(url: str) -> str:
    """The host in *url*, with its port."""
    return urlsplit(url).netloc.rpartition("@")[2] or url


def joined(url: str, target: str) -> str:
    """The URL *target* relative to *url*. Raises :class:`RegistryError` if it is invalid."""
    try:
        return urljoin(url, target)
    except ValueError:
        raise RegistryError(f"{host_of(url)} redirects to {_printable(target)!r}, which is not a URL") from None


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    ports = {"http": 80, "https": 443}
    return (
        len(
            {
                (parts.scheme, parts.hostname, parts.port or ports.get(parts.scheme))
                for parts in (urlsplit(one), urlsplit(other))
            }
        )
        == 1
    )


def check_step(url: str, target: str) -> None:
    """Refuse a redirect from *url* to *target* that no honest server needs. Raises :class:`RegistryError`."""
    try:
        parts, host = urlsplit(target), host_of(url)
        _ = parts.port  # raises for a port out of range
    except ValueError:
        raise RegistryError(f"{host_of(url)} redirects to {_printable(target)!r}, which is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise RegistryError(f"{host} redirects to {_printable(target)!r}, which is not a web address: refused")
    if parts.scheme == "http" and urlsplit(url).scheme == "https":
        raise RegistryError(
            f"{host} redirects from https to {_printable(target)!r}, where anybody could change the data: refused"
        )
    try:
        literal = nearness(parts.hostname)
    except ValueError:  # a name: checked after connecting
        return
    if literal == _LINK_LOCAL:
        check_nearness(parts.hostname, 0, host)


def nearness(address: str) -> int:
    """How near an IP address is: 0 anywhere, 1 in a private network, 2 this machine, 3 link-local, where clouds have
    secrets.

    An IPv6 address that represents an IPv4 one counts as both.  Raises :class:`ValueError` for an invalid address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    return max(_nearness(each) for each in (ip, *_embedded(ip)))


def _nearness(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    if ip.is_link_local or str(ip) in _METADATA:
        return _LINK_LOCAL
    if ip.is_loopback or ip.is_unspecified:
        return 2
    return 1 if not ip.is_global or ip.is_multicast or getattr(ip, "is_site_local", False) else 0


def _embedded(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that the IPv6 address *ip* leads to. Sources: RFC 4291, 2.5.5; RFC 3056; RFC 4380; RFC
    6052."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return []
    last = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    translated = [last] if any(ip in network for network in _TRANSLATED) and int(ip) > 1 else []
    return [each for each in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if each] + translated


def is_loopback(host: str) -> bool:
    """Whether *host* is the name of this machine."""
    try:
        return host == "localhost" or nearness(host) == 2
    except ValueError:
        return False


def check_nearness(address: str, nearest: int, host: str) -> None:
    """Refuse a redirect of *host*, whose nearness is *nearest*, to the nearer *address*. Raises
    :class:`RegistryError`."""
    found = nearness(address)
    if found > nearest or found == _LINK_LOCAL:
        place = ("", "in a private network", "on this machine", "of this machine's own link")[found]
        raise RegistryError(f"{host} redirects to {address}, an address {place}: refused")


def _proxy(origin: str) -> str | None:
    """The proxy for *origin* in the environment (HTTPS_PROXY, NO_PROXY…); this machine itself never has one."""
    parts = urlsplit(origin)
    if is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def default_context() -> ssl.SSLContext:
    """TLS with the machine's certificate authorities; SSL_CERT_FILE and SSL_CERT_DIR replace them."""
    return ssl.create_default_context()


# ---- connections ---------------------------------------------------------------------------------------------------


def _pool_class(pool: type, connection: Any, arrived: Callable[[str], object] | None) -> type:
    """urllib3's class *pool* with connections that are watched."""

    class Watched(connection):
        sock: Any
        _dns_host: str

        def connect(self) -> None:
            super().connect()
            self.sock = _Clocked(self.sock, patience())

        def _new_conn(self) -> Any:
            """Connect to the first address that answers, and to none that *arrived* refuses.

            The check precedes the connection, which is visible at the other end; and a name may change its address.
            """
            if not arrived:
                return super()._new_conn()
            name, failure = self._dns_host, None
            for address in _addresses(name, self.port):
                arrived(address)
                self._dns_host = address
                try:
                    return super()._new_conn()
                except exceptions.HTTPError as error:
                    failure = error
                finally:
                    self._dns_host = name
            if failure:
                raise failure
            return super()._new_conn()  # raises the error for a name without an address

    return type(pool.__name__, (pool,), {"ConnectionCls": Watched})


def _addresses(name: str, port: int) -> list[str]:
    """The addresses of the host *name*, each once; none when it has none."""
    family = urllib3.util.connection.allowed_gai_family()
    try:
        found = socket.getaddrinfo(name.strip("[]"), port, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class _Clocked:
    """A socket with a total time limit: a server that sends a byte now and then would restart urllib3's limit each
    time."""

    def __init__(self, sock: Any, patience: float):
        self._sock, self._patience = sock, patience

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def makefile(self, mode: str, *_: object, **__: object) -> io.BufferedReader:
        """The file that http.client reads from."""
        return io.BufferedReader(_ClockedFile(self._sock.makefile(mode, buffering=0), self._patience), 64 << 10)


class _ClockedFile(io.RawIOBase):
    def __init__(self, raw: Any, patience: float):
        self._raw, self._patience = raw, patience
        self._waited, self._got = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Count only the time in here: between two calls it is the reader that is slow."""
        begin = time.monotonic()
        count: int = self._raw.readinto(buffer)
        self._waited += time.monotonic() - begin
        self._got += count
        if self._waited > self._patience:
            if self._got < _SLOWEST * self._patience:
                raise TimeoutError(f"less than {_SLOWEST} bytes in a second")
            self._waited = self._got = 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            super().close()


# ---- what went wrong -----------------------------------------------------------------------------------------------


def explained(error: Exception, host: str) -> RegistryError:
    """A sentence for what urllib3 raises."""
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, RegistryError):
        return cause
    inner = next((each for each in getattr(cause, "args", ()) if isinstance(each, Exception)), cause)
    if isinstance(error, exceptions.NameResolutionError):
        return RegistryError(f"{host}: unknown host, or no network: check the name and the network")
    if isinstance(error, (exceptions.SSLError, ssl.SSLError)) or isinstance(inner, ssl.SSLCertVerificationError):
        return _tls_error(inner, host)
    if isinstance(error, (exceptions.NewConnectionError, exceptions.ProxyError)):
        reason = getattr(error.__cause__, "strerror", None) or str(inner)
        return RegistryError(f"{host} can't be reached ({reason}): check that it is running and reachable")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return RegistryError(f"{host} does not answer: check that it is running and reachable")
    if isinstance(error, (exceptions.ReadTimeoutError, TimeoutError)) or isinstance(inner, TimeoutError):
        return Interrupted(
            f"{host} sent nothing for {patience():g} seconds (MINICT_REGISTRY_TIMEOUT changes this limit)"
        )
    if (
        isinstance(inner, http.client.HTTPException)
        and not isinstance(inner, (http.client.RemoteDisconnected, http.client.IncompleteRead))
    ) or isinstance(error, ValueError):
        return RegistryError(f"{host} does not speak HTTP ({_printable(inner)}): check the address of the registry")
    return Interrupted(f"the connection to {host} broke ({_printable(getattr(inner, 'strerror', None) or inner)})")


def _tls_error(error: Exception, host: str) -> RegistryError:
    if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error) or "HTTP_REQUEST" in str(error):
        return RegistryError(
            f"{host} speaks http and not https, so anybody on the way could change the data: list it in "
            "MINICT_INSECURE_REGISTRIES to allow that, or use --tls-verify=false if it is on this machine"
        )
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", None) or str(error)
    return RegistryError(
        f"the certificate of {host} can't be trusted ({_printable(reason)}): put the certificate of its authority into "
        f"/etc/docker/certs.d/{host}/ca.crt"
    )


def refusal(answer: Any, what: str) -> RegistryError:
    """The registry's own words in an answer that is an error, about *what*, as an exception.  The body is read."""
    try:
        body = read_document(answer, what)
    except RegistryError:
        body = b""
    reason = told(body) or _printable(answer.reason or "no reason given")
    return RegistryError(f"{what}: {reason} (HTTP {answer.status})", answer.status)


def told(body: bytes) -> str:
    """The message in the distribution-spec's error document, or nothing: shortened and without control characters,
    because it is shown on a terminal."""
    import json

    try:
        errors = json.loads(body)["errors"]
        return _printable("; ".join(str(each.get("message") or each.get("code")) for each in errors[:3]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _printable(text: object) -> str:
    return printable(str(text)[:200])


def _retry_after(answer: Any) -> float:
    """The seconds that the server asks us to wait; 0 if it does not say. The header may also hold a date."""
    try:
        return urllib3.Retry().get_retry_after(answer) or 0
    except exceptions.HTTPError:
        return 0
