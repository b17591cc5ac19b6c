"""HTTP with a registry, by rules that hold whatever the registry answers.

* Nothing waits for ever: neither for a connection, nor for an answer that comes a byte at a time.
* What is kept in memory is at most :data:`minict.engine.distribution.manifest.MAX_DOCUMENT` bytes.
* A redirect never leads from https to http, nor from the outside in: a registry on the Internet can't make us ask the
  printer next door, or the address at which a cloud tells its machines their secrets.  Who we are goes to the registry
  alone, never along with a redirect to another host.
* What may be a moment's weakness (a reset, silence, 429, 502…) is tried again, later each time; the server may say
  when.

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
from urllib.parse import urljoin, urlsplit

from minict import __version__
from minict.runtime.errors import ContainerError

try:
    import urllib3
    from urllib3 import exceptions
    from urllib3.connection import HTTPConnection, HTTPSConnection
except ImportError:
    raise ContainerError(
        "registries can't be asked, as the package urllib3 is not installed: pip install urllib3"
    ) from None

from minict.engine.util.progress import printable

from .manifest import MAX_DOCUMENT

ATTEMPTS = 5
_SLOWEST = 1024  # bytes in a second; what comes slower than that for a while has stalled
_LONGEST_WAIT = 60  # seconds; of a registry that wants more, the person is told
_REDIRECTS = 5
_PASSING = (408, 429, 500, 502, 503, 504)
# Where clouds tell a machine its secrets, as far as the address is not link-local anyway: AWS, Alibaba, Azure.
_METADATA = ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")
THIS_MACHINE, _LINK_LOCAL = 2, 3  # see nearness()
# Networks whose addresses end with an IPv4 address: "compatible" ones, and those of NAT64, the world's and local ones.
_TRANSLATED = [ipaddress.IPv6Network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")]

urllib3.disable_warnings(exceptions.InsecureRequestWarning)  # any certificate will do where a person has said so


class RegistryError(ContainerError):
    """A registry can't be reached, refuses, or breaks the rules.  *code*: the HTTP status, 0 when there was none."""

    def __init__(self, message: str, code: int = 0):
        super().__init__(message)
        self.code = code


class Interrupted(RegistryError):
    """The connection broke off or fell silent: asked again, the registry may answer."""


def patience() -> float:
    """For how many seconds a connection may make no progress: MINICT_REGISTRY_TIMEOUT, or 30.  Raises
    ContainerError."""
    text = os.environ.get("MINICT_REGISTRY_TIMEOUT", "30")
    try:
        seconds = float(text)
        if not 0 < seconds < 86400:
            raise ValueError
        return seconds
    except ValueError:
        raise ContainerError(
            f"MINICT_REGISTRY_TIMEOUT: {text!r} is no number of seconds: write one such as 30"
        ) from None


class Transport:
    """Connections with the server at *origin*, such as ``https://registry.example:5000``, and with where it redirects
    to.

    *context*: how TLS is verified.  *nearest*: the server may not be nearer than that, see :func:`nearness`; it is
    for servers that another one has named.  *say* is called with a sentence when we wait.
    """

    def __init__(self, origin: str, context: ssl.SSLContext, say=None, nearest: int | None = None):
        self.origin, self.context, self.say = origin.rstrip("/"), context, say or (lambda text: None)
        self.nearness, self._nearest = 0, nearest
        self._connect()

    def _connect(self) -> None:
        """Connections can't be shared with a process that was forked from this one: each makes its own."""
        self._owner = os.getpid()
        self._home, self._elsewhere = self._pools(self.context, self._arrived), None

    def _arrived(self, address: str) -> None:
        self.nearness = nearness(address)
        if self._nearest is not None:
            check_nearness(address, self._nearest, host_of(self.origin))

    def _arrived_elsewhere(self, address: str) -> None:
        check_nearness(address, self.nearness, host_of(self.origin))

    def _pools(self, context: ssl.SSLContext, arrived) -> urllib3.PoolManager:
        options = {
            "timeout": urllib3.Timeout(connect=min(patience(), 10), read=patience()),
            "retries": False,
            "maxsize": 4,
            "ssl_context": context,
            "assert_hostname": None if context.check_hostname else False,
        }
        proxy = _proxy(self.origin)
        pools = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        if proxy:  # the address at the other end is the proxy's
            arrived = None
        pools.pool_classes_by_scheme = {
            "http": _pool_class(urllib3.HTTPConnectionPool, HTTPConnection, arrived),
            "https": _pool_class(urllib3.HTTPSConnectionPool, HTTPSConnection, arrived),
        }
        return pools

    def request(self, method: str, url: str, headers: dict | None = None, body=None, attempts: int = ATTEMPTS):
        """The answer to *method* *url*, whose body is not read yet.  An *url* without a host means the server itself.

        *body*: bytes, or a function that gives a fresh file for each attempt. Redirects are followed, and what may
        pass is tried again, *attempts* times in all.  Raises :class:`RegistryError`; :class:`Interrupted` when it may
        still pass.
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
                    "do it again then, or log in, which often raises the limit",
                    answer.status,
                )
            self.wait(attempt, f"{host_of(url)} answers HTTP {answer.status}", wanted)

    def wait(self, attempt: int, reason: str, least: float = 0) -> None:
        """Wait before the next attempt: longer each time, and never all of a class for the same time."""
        seconds = max(least, 0.25 * 2**attempt * random.uniform(0.8, 1.2))
        self.say(f"{reason}; again in {seconds:.1f} seconds")
        time.sleep(seconds)

    def _follow(self, method: str, url: str, headers: dict, body):
        """One request, and those to which it is redirected."""
        for _ in range(_REDIRECTS + 1):
            answer = self._send(method, url, headers, body)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            target = joined(url, answer.headers.get("Location", ""))
            answer.close()
            if method not in ("GET", "HEAD"):
                raise RegistryError(
                    f"{host_of(url)} redirects an upload, which a registry does not do: nothing was sent there"
                )
            check_step(url, target)
            if not same_origin(target, self.origin):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise RegistryError(f"{host_of(url)} redirects again and again: that is no working registry")

    def _send(self, method: str, url: str, headers: dict, body):
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


def read_document(answer, what: str) -> bytes:
    """The whole body of *answer*, which is *what*.  Raises :class:`RegistryError` when it is too large or breaks
    off."""
    body = b""
    while chunk := read_some(answer, MAX_DOCUMENT, what):
        body += chunk
        if len(body) > MAX_DOCUMENT:
            answer.close()
            raise RegistryError(f"{what} is larger than {MAX_DOCUMENT >> 20} MiB, which none needs: the registry lies")
    answer.release_conn()
    return body


def read_some(answer, size: int, host: str) -> bytes:
    """What has come of the body of *answer*, at most *size* bytes; nothing at its end.  Raises
    :class:`RegistryError`."""
    try:
        return answer.read1(size)
    except (exceptions.HTTPError, OSError, ValueError) as error:
        answer.close()
        raise explained(error, host) from error


# ---- where a server may send us ------------------------------------------------------------------------------------


def host_of(url: str) -> str:
    """The host in *url*, with its port."""
    return urlsplit(url).netloc.rpartition("@")[2] or url


def joined(url: str, target: str) -> str:
    """Where *target* leads from *url*.  Raises :class:`RegistryError` when it is no address."""
    try:
        return urljoin(url, target)
    except ValueError:
        raise RegistryError(f"{host_of(url)} sends us to {_printable(target)!r}, which is no address") from None


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
    """Refuse a step from *url* to *target* that no honest server wants.  Raises :class:`RegistryError`."""
    try:
        parts, host = urlsplit(target), host_of(url)
        _ = parts.port  # raises for a port out of range
    except ValueError:
        raise RegistryError(f"{host_of(url)} sends us to {_printable(target)!r}, which is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise RegistryError(f"{host} sends us to {_printable(target)!r}, which is no address of a web server: refused")
    if parts.scheme == "http" and urlsplit(url).scheme == "https":
        raise RegistryError(
            f"{host} sends us from https to {_printable(target)!r}, where anybody could change what comes: refused"
        )
    try:
        literal = nearness(parts.hostname)
    except ValueError:  # a name: see when we are there
        return
    if literal == _LINK_LOCAL:
        check_nearness(parts.hostname, 0, host)


def nearness(address: str) -> int:
    """How near an IP address is: 0 anywhere, 1 in a private network, 2 this machine, 3 the link itself, with a cloud's
    secrets.

    An IPv6 address that stands for an IPv4 one counts as both. Raises :class:`ValueError` when it is no address.
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
    """Whether the name *host* says that it is this machine."""
    try:
        return host == "localhost" or nearness(host) == 2
    except ValueError:
        return False


def check_nearness(address: str, nearest: int, host: str) -> None:
    """Refuse that *host*, which is *nearest* itself, sends us to *address*, which is nearer.  Raises
    :class:`RegistryError`."""
    found = nearness(address)
    if found > nearest or found == _LINK_LOCAL:
        place = ("", "in a private network", "on this machine", "of this machine's own link")[found]
        raise RegistryError(f"{host} sends us to {address}, an address {place}, where it has no business: refused")


def _proxy(origin: str) -> str | None:
    """The proxy that the environment wants for *origin* (HTTPS_PROXY, NO_PROXY…); none leads to this machine itself."""
    parts = urlsplit(origin)
    if is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def default_context() -> ssl.SSLContext:
    """TLS as the machine's own list of authorities wants it; SSL_CERT_FILE and SSL_CERT_DIR replace the list."""
    return ssl.create_default_context()


# ---- connections ---------------------------------------------------------------------------------------------------


def _pool_class(pool: type, connection: type, arrived) -> type:
    """The class *pool* of urllib3 with connections that are watched."""

    class Watched(connection):
        def connect(self):
            super().connect()
            self.sock = _Clocked(self.sock, patience())

        def _new_conn(self):
            """Connect to the first address that answers, and to none that *arrived* refuses: whoever connects has been
            seen by what is there, and a name may stand for another address the next time."""
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
            return super()._new_conn()  # it has the words for a name without an address

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
    """A socket that does not wait for ever for a server that sends a byte now and then: each would start the time
    limit anew."""

    def __init__(self, sock, patience: float):
        self._sock, self._patience = sock, patience

    def __getattr__(self, name: str):
        return getattr(self._sock, name)

    def makefile(self, mode: str, *_, **__):
        """What http.client reads from."""
        return io.BufferedReader(_ClockedFile(self._sock.makefile(mode, buffering=0), self._patience), 64 << 10)


class _ClockedFile(io.RawIOBase):
    def __init__(self, raw, patience: float):
        self._raw, self._patience = raw, patience
        self._waited = self._got = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        """Only the time in here counts: between two calls it is we who are slow."""
        begin = time.monotonic()
        count = self._raw.readinto(buffer)
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
        return RegistryError(f"{host}: there is no host of this name, or no network to ask for it: look at both")
    if isinstance(error, (exceptions.SSLError, ssl.SSLError)) or isinstance(inner, ssl.SSLCertVerificationError):
        return _tls_error(inner, host)
    if isinstance(error, (exceptions.NewConnectionError, exceptions.ProxyError)):
        reason = getattr(error.__cause__, "strerror", None) or str(inner)
        return RegistryError(f"{host} can't be reached ({reason}): is it running, and is there a way to it?")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return RegistryError(f"{host} does not answer: is it there, and is there a way to it?")
    if isinstance(error, (exceptions.ReadTimeoutError, TimeoutError)) or isinstance(inner, TimeoutError):
        return Interrupted(
            f"{host} fell silent for {patience():g} seconds (MINICT_REGISTRY_TIMEOUT changes that limit)"
        )
    if (
        isinstance(inner, http.client.HTTPException)
        and not isinstance(inner, (http.client.RemoteDisconnected, http.client.IncompleteRead))
    ) or isinstance(error, ValueError):
        return RegistryError(
            f"{host} answers what is no HTTP ({_printable(inner)}): is this the address of a registry?"
        )
    return Interrupted(
        f"the connection with {host} broke off ({_printable(getattr(inner, 'strerror', None) or inner)})"
    )


def _tls_error(error: Exception, host: str) -> RegistryError:
    if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error) or "HTTP_REQUEST" in str(error):
        return RegistryError(
            f"{host} speaks http and not https, so anybody on the way could change what comes: name it in "
            "MINICT_INSECURE_REGISTRIES if that is meant, or give --tls-verify=false if it is on this machine"
        )
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", None) or str(error)
    return RegistryError(
        f"the certificate of {host} can't be trusted ({_printable(reason)}): put that of its authority into "
        f"/etc/docker/certs.d/{host}/ca.crt"
    )


def refusal(answer, what: str) -> RegistryError:
    """The registry's own words in an answer that is an error, about *what*, as an exception.  The body is read."""
    try:
        body = read_document(answer, what)
    except RegistryError:
        body = b""
    reason = told(body) or _printable(answer.reason or "no reason given")
    return RegistryError(f"{what}: {reason} (HTTP {answer.status})", answer.status)


def told(body: bytes) -> str:
    """The text in the distribution-spec's error document, or nothing.  It goes to a terminal: letters only, and not
    many."""
    import json

    try:
        errors = json.loads(body)["errors"]
        return _printable("; ".join(str(each.get("message") or each.get("code")) for each in errors[:3]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _printable(text: object) -> str:
    return printable(str(text)[:200])


def _retry_after(answer) -> float:
    """What the server wants us to wait, in seconds; 0 when it does not say.  As a date it may be written too."""
    try:
        return urllib3.Retry().get_retry_after(answer) or 0
    except exceptions.HTTPError:
        return 0
