"""Names and passwords: where Docker keeps them, as Docker keeps them, with its helpers; and how they are asked for."""

from __future__ import annotations

import pytest

from minict.engine.distribution import credentials
from minict.runtime.errors import ContainerError
from tests.support.command_line import minict, refused
from tests.unit.distribution.test_credentials import found, helper, own_file, write  # noqa: F401  fixtures

# ---- the file ------------------------------------------------------------------------------------------------------


# ---- helpers -------------------------------------------------------------------------------------------------------


def test_a_failing_helper_is_reported(helper, tmp_path):
    write(credsStore="absent")
    with pytest.raises(ContainerError, match="docker-credential-absent, which is not installed"):
        credentials.find("registry.example")
    write(credsStore="drawer")
    (helper / "registry.example").write_text("nonsense")
    with pytest.raises(ContainerError, match="docker-credential-drawer gave an invalid answer"):
        credentials.find("registry.example")
    (tmp_path / "bin/docker-credential-drawer").write_text("#!/bin/sh\necho the drawer is locked\nexit 1\n")
    with pytest.raises(ContainerError, match="docker-credential-drawer get failed: the drawer is locked"):
        credentials.find("registry.example")


# ---- the commands --------------------------------------------------------------------------------------------------


def test_login_without_a_terminal(registry):
    refused(minict("login", registry.address, input=""), "without a terminal")
    refused(minict("login", "--password-stdin", registry.address, input="x"), "--password-stdin needs --username")
    refused(
        minict("login", "-u", "me", "-p", "x", "--password-stdin", registry.address, input="x"), "excludes --password"
    )
    refused(minict("login", "-u", "a:b", "--password-stdin", registry.address, input="x"), "invalid user name 'a:b'")
    refused(minict("login", "-u", "me", "--password-stdin", "no registry", input="x"), "invalid registry 'no registry'")
    done = minict("login", "-u", "me", "-p", "x", registry.address)  # it needs no login
    assert done.returncode == 0 and "can see --password" in done.stderr and found(registry.address) == ("me", "x")
