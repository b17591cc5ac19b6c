"""Names and passwords: where Docker keeps them, as Docker keeps them, with its helpers; and how login prompts for
them."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest

from minict.engine.distribution import credentials
from minict.engine.distribution.credentials import Login
from minict.runtime.errors import ContainerError
from tests.support.command_line import Terminal, minict, refused
from tests.support.registry_server import PASSWORD, USER, Hostile, RegistryServer, answer


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")


def write(**config) -> None:
    os.makedirs(os.path.dirname(credentials.path()), exist_ok=True)
    with open(credentials.path(), "w") as file:
        json.dump(config, file)


def kept() -> dict:
    with open(credentials.path()) as file:
        return json.load(file)


def encoded(text: str) -> dict:
    return {"auth": base64.b64encode(text.encode()).decode()}


def found(host: str) -> tuple | None:
    login = credentials.find(host)
    return login and (login.user, login.password)


def test_what_is_stored_is_found_and_forgotten():
    assert found("registry.example") is None and not credentials.forget("registry.example")
    assert credentials.store("registry.example:5000", Login("me", "pass:with:colons ü")) == credentials.path()
    assert found("registry.example:5000") == ("me", "pass:with:colons ü")
    assert found("registry.example") is None and found("other.example:5000") is None
    assert kept()["auths"]["registry.example:5000"] == encoded("me:pass:with:colons ü")
    assert credentials.forget("registry.example:5000") and found("registry.example:5000") is None


def test_only_the_owner_can_read_it():
    credentials.store("registry.example", Login("me", "secret"))
    assert stat.S_IMODE(os.stat(credentials.path()).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(credentials.path())).st_mode) == 0o700
    assert "secret" not in repr(credentials.find("registry.example"))
    assert os.listdir(os.path.dirname(credentials.path())) == ["config.json"]  # no temporary one is left


def test_what_others_wrote_stays():
    write(auths={"other.example": encoded("a:b")}, HttpHeaders={"X": "y"}, psFormat="table {{.ID}}")
    credentials.store("registry.example", Login("me", "secret"))
    credentials.forget("registry.example")
    assert kept() == {
        "auths": {"other.example": encoded("a:b")},
        "HttpHeaders": {"X": "y"},
        "psFormat": "table {{.ID}}",
    }


def test_a_link_stays_a_link(tmp_path):
    write(auths={})
    os.rename(credentials.path(), tmp_path / "elsewhere.json")
    os.symlink(tmp_path / "elsewhere.json", credentials.path())
    credentials.store("registry.example", Login("me", "secret"))
    assert os.path.islink(credentials.path()) and found("registry.example") == ("me", "secret")


@pytest.mark.parametrize(
    "key, host",
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry.example", "registry.example"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/v2/", "registry.example"),
        ("http://registry.example:5000/v1/", "registry.example:5000"),
    ],
)
def test_what_docker_calls_a_registry(key, host):
    write(auths={key: encoded("me:secret")})
    assert found(host) == ("me", "secret")
    assert credentials.forget(host) and kept()["auths"] == {}


def test_the_other_ways_to_write_a_login():
    write(
        auths={
            "a.example": {"username": "me", "password": "secret"},
            "b.example": {"auth": "", "identitytoken": "token"},
            "c.example": {},
            "d.example": {**encoded("me:secret\0\0")},
        }
    )
    assert found("a.example") == found("d.example") == ("me", "secret") and found("c.example") is None
    assert credentials.find("b.example").identity_token == "token"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"auths": 5}',
        '{"auths": {"registry.example": {"auth": "%%%"}}}',
        "[" * 100000,
        '{"credHelpers": []}',
        '{"credsStore": "../../bin/sh"}',
        '{"credsStore": 5}',
    ],
)
def test_a_damaged_file_is_reported_and_left_alone(text):
    write()
    with open(credentials.path(), "w") as file:
        file.write(text)
    with pytest.raises(ContainerError, match="config.json"):
        credentials.find("registry.example")
    with open(credentials.path()) as file:
        assert file.read() == text


@pytest.fixture
def helper(tmp_path):
    """docker-credential-drawer: a real program that keeps each login in a file."""
    os.makedirs(tmp_path / "bin")
    os.makedirs(tmp_path / "drawer")
    program = tmp_path / "bin/docker-credential-drawer"
    program.write_text(f"""#!/bin/sh
cd {tmp_path}/drawer
case $1 in
store) cat > new; name=$(sed 's/.*"ServerURL": "\\([^"]*\\)".*/\\1/' new | tr / _); mv new "$name";;
get) name=$(tr / _); [ -e "$name" ] || {{ echo "credentials not found in native keychain"; exit 1; }}; cat "$name";;
erase) rm "$(tr / _)";;
esac
""")
    program.chmod(0o755)
    return tmp_path / "drawer"


def test_a_helper_keeps_all_logins(helper):
    write(credsStore="drawer")
    assert found("registry.example") is None
    assert credentials.store("registry.example", Login("me", "secret")) == "docker-credential-drawer"
    assert found("registry.example") == ("me", "secret") and kept() == {"credsStore": "drawer"}
    assert os.listdir(helper) == ["registry.example"]
    assert (
        credentials.forget("registry.example")
        and not credentials.forget("registry.example")
        and os.listdir(helper) == []
    )


def test_a_helper_keeps_those_of_one_registry(helper):
    write(credHelpers={"one.example": "drawer"})
    for host in ("one.example", "two.example"):
        credentials.store(host, Login(host, "secret"))
        assert found(host) == (host, "secret")
    assert os.listdir(helper) == ["one.example"] and list(kept()["auths"]) == ["two.example"]


def test_a_helper_may_keep_a_token(helper):
    write(credsStore="drawer")
    (helper / "registry.example").write_text(
        '{"ServerURL": "registry.example", "Username": "<token>", "Secret": "abc"}'
    )
    assert credentials.find("registry.example").identity_token == "abc"


def test_login_asks_a_person(tmp_path):
    with RegistryServer(tmp_path, auth="htpasswd") as server:
        with Terminal("login", server.address) as terminal:
            terminal.expect(f"Username for {server.address}: ")
            terminal.type(f"{USER}\r")
            terminal.expect("Password: ")
            terminal.type(f"{PASSWORD}\r")
            seen = terminal.expect("Login Succeeded")
            assert terminal.status() == 0
        assert PASSWORD not in seen and found(server.address) == (USER, PASSWORD)


def test_an_invalid_registry(tmp_path):
    with Hostile(lambda *_: answer("<html>", "404 Not Found")) as server:
        refused(
            minict("login", "-u", "me", "--password-stdin", server.address, input="x"),
            "does not work as a registry",
            "404",
        )
    assert not os.path.exists(credentials.path())


def test_logout_of_what_was_not_logged_in():
    done = minict("logout", "registry.example")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Not logged in to registry.example\n", "")


def test_an_identity_token_is_exchanged_for_a_token(tmp_path, monkeypatch):
    """OAuth 2: the token that stands for the password goes in the body of a POST, and never to the registry itself."""
    from minict.engine.distribution.registry import Registry

    def script(method, path, headers):
        if path.startswith("/token"):
            return answer({"access_token": "good"})
        if headers.get("authorization") == "Bearer good":
            return answer("{}")
        return answer(
            "{}", "401 Unauthorized", WWW_Authenticate=f'Bearer realm="http://{headers["host"]}/token",service="s"'
        )

    with Hostile(script) as server:
        write(auths={server.address: {"identitytoken": "refresh"}})
        Registry(server.address).check_login()
        methods = [(method, path) for method, path, _ in server.asked if path.startswith("/token")]
        assert methods == [("POST", "/token")]


@pytest.mark.parametrize(
    "text, host",
    [
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://registry.example/", "registry.example"),
        ("localhost", "localhost"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_what_a_person_calls_a_registry(text, host):
    assert credentials.registry_name(text) == host


@pytest.mark.parametrize("text", ["", "word", "a b", "../x", "registry.example:port", "http://"])
def test_invalid_registry_names(text):
    with pytest.raises(ContainerError, match="invalid registry"):
        credentials.registry_name(text)
