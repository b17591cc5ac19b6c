"""minict.engine.distribution.login"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

from .credentials import Login, store


def log_in(host: str, login: Login, tls_verify: bool | None = None) -> str:
    """Keep *login* for the registry *host*, if that accepts it; return where it is kept now.

    *tls_verify*: see :func:`minict.engine.distribution.registry.insecure`.  Raises :class:`ContainerError`.
    """
    from .registry import Registry

    if not login.user or ":" in login.user or not (login.user + login.password).isprintable():
        raise ContainerError(
            f"{login.user!r} can't be a name with a password for a registry: a name has letters, and no colon"
        )
    Registry(host, tls_verify, login=login).check_login()
    return store(host, login)
