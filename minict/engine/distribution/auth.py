"""Authorization for registries: a password (basic), or a token that another server issues for it (bearer).

A registry that needs authorization answers 401, and says how in ``WWW-Authenticate``: ``Basic``, or where to get a
token::

    Bearer realm="https://auth.example/token",service="registry.example",scope="repository:me/app:pull"

The registry names that server, so it could name any.  A password is sent only to the registry's own host, or to a host
of the same domain; requests to other servers obey the rules of :func:`minict.engine.distribution.transport.check_step`.

Sources: RFC 7617 (basic), RFC 6750 (bearer); https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import urllib.parse
import urllib.request
from typing import Any

from . import credentials
from .transport import (
    RegistryError,
    Transport,
    check_step,
    default_context,
    host_of,
    read_document,
    refusal,
    same_origin,
)

# Domains below these have different owners, as in example.co.uk.
_SECOND = ("co", "com", "org", "net", "gov", "ac", "edu")


class Authorization:
    """Authorization for the registry behind *transport*; *login* (see
    :mod:`minict.engine.distribution.credentials`) or None."""

    def __init__(self, transport: Transport, login: credentials.Login | None):
        self._transport, self._login = transport, login
        self._basic = False
        self._tokens: dict[str, str] = {}

    def headers(self, scope: str) -> dict[str, str]:
        """The headers for a request that needs *scope*, as far as the registry's demands are known."""
        if scope in self._tokens:
            return {"Authorization": f"Bearer {self._tokens[scope]}"}
        return {"Authorization": basic(self._login)} if self._basic and self._login else {}

    def satisfy(self, answer: Any, scope: str) -> None:
        """Get what the registry demands in *answer*, a 401, for *scope*. Raises :class:`RegistryError`."""
        host, demands = host_of(self._transport.origin), challenges(answer.headers.get("WWW-Authenticate", ""))
        if "bearer" in demands:
            self._tokens[scope] = self._token(demands["bearer"], scope)
        elif "basic" in demands:
            if not self._login:
                raise RegistryError(f"{host} requires a login: run  minict login {host}", 401)
            self._basic = True
        else:
            raise RegistryError(
                f"{host} requires authorization without saying which kind: it does not work as a registry", 401
            )

    def _token(self, demand: dict[str, str], scope: str) -> str:
        """Get a token from the server that the registry named."""
        realm, host = demand.get("realm", ""), host_of(self._transport.origin)
        check_step(self._transport.origin, realm)
        login = self._login_for(realm)
        server = self._transport
        if not same_origin(realm, self._transport.origin):
            context = self._transport.context if _same_host(realm, self._transport.origin) else default_context()
            server = Transport(realm, context, self._transport.say, nearest=self._transport.nearness)
        parameters = {"service": demand.get("service", ""), "scope": scope or demand.get("scope", "")}
        parameters = {name: value for name, value in parameters.items() if value}
        if login and login.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": login.identity_token,
                "client_id": "minict",
                **parameters,
            }
            answer = server.request(
                "POST",
                realm,
                {"Content-Type": "application/x-www-form-urlencoded"},
                urllib.parse.urlencode(form).encode(),
            )
        else:
            query = urllib.parse.urlencode({"account": login.user, **parameters} if login else parameters)
            answer = server.request(
                "GET", realm + ("&" if "?" in realm else "?") + query, {"Authorization": basic(login)} if login else {}
            )
        if answer.status in (401, 403) and login:
            raise RegistryError(
                f"{host} rejects the user name {login.user!r} or its password: run  minict login {host}", answer.status
            )
        if answer.status != 200:
            raise refusal(answer, f"the token for {host} from {host_of(realm)}")
        return _token_in(read_document(answer, f"the token from {host_of(realm)}"), host_of(realm))

    def _login_for(self, realm: str) -> credentials.Login | None:
        """The name and password that may be sent to the server at *realm*."""
        if not self._login or _same_domain(realm, self._transport.origin):
            return self._login
        if login := credentials.find(host_of(realm)):
            return login
        host, other = host_of(self._transport.origin), host_of(realm)
        raise RegistryError(
            f"{host} asks to send its password to {other}, a different domain: nothing was sent; run "
            f"'minict login {other}' if you trust it",
            401,
        )


def basic(login: credentials.Login) -> str:
    """The header value for a name and a password."""
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def challenges(header: str) -> dict[str, dict[str, str]]:
    """The demands in a ``WWW-Authenticate`` *header*: {"bearer": {"realm": …}, "basic": {…}}. Source: RFC 9110,
    11.6.1."""
    found: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    for part in urllib.request.parse_http_list(header):
        scheme, _, rest = part.partition(" ")
        if "=" not in scheme:  # a new demand, with its first parameter
            parameters, part = found.setdefault(scheme.lower(), {}), rest
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return found


def _token_in(data: bytes, host: str) -> str:
    try:
        document = json.loads(data)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ValueError
        return token
    except (ValueError, AttributeError, RecursionError):
        raise RegistryError(f"{host} does not answer with a token: it may not be an authorization server") from None


def _same_host(one: str, other: str) -> bool:
    return urllib.parse.urlsplit(one).hostname == urllib.parse.urlsplit(other).hostname


def _same_domain(one: str, other: str) -> bool:
    """Whether two hosts have the same owner, as ``auth.docker.io`` and ``registry-1.docker.io``; addresses must be
    equal."""
    names = [urllib.parse.urlsplit(url).hostname or "" for url in (one, other)]
    if names[0] == names[1]:
        return True
    if any(map(_is_address, names)):
        return False
    domains = [name.split(".")[-2:] for name in names]
    return domains[0] == domains[1] and len(domains[0]) == 2 and domains[0][0] not in _SECOND


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return False
