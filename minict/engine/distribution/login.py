"""Log in to a registry."""

from __future__ import annotations

from minict.runtime.errors import ContainerError

from .credentials import Login, store


def log_in(host: str, login: Login, tls_verify: bool | None = None) -> str:
    """Store *login* for the registry *host*, if the registry accepts it; return where it is stored.

    *tls_verify*: see :func:`minict.engine.distribution.registry.insecure`.  Raises :class:`ContainerError`.
    """
    from .registry import Registry

    if not login.user or ":" in login.user or not (login.user + login.password).isprintable():
        raise ContainerError(
            f"invalid user name {login.user!r} or password: use printable characters, and no colon in the name"
        )
    Registry(host, tls_verify, login=login).check_login()
    return store(host, login)
