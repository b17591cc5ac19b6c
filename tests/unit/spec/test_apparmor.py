"""The AppArmor profile as text, and where it is found: tests that also work without AppArmor."""

from __future__ import annotations

import pytest

from minict.engine.containers.options import ContainerOptions
from minict.engine.spec import apparmor as engine
from minict.engine.spec.security import SecurityOptions
from minict.runtime import apparmor
from minict.runtime.errors import ContainerError


def test_the_profile_uses_the_macros_that_the_machine_has(tmp_path):
    bare = engine.text("box", str(tmp_path))
    assert bare.startswith('@{PROC}=/proc/\nprofile "box" flags=(attach_disconnected,mediate_deleted) {\n')
    for macro in ("abi/3.0", "tunables/global", "abstractions/base"):
        (tmp_path / macro).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / macro).write_text("")
    full = engine.text("box", str(tmp_path))
    assert full.startswith('abi <abi/3.0>,\n#include <tunables/global>\nprofile "box"')
    assert "  #include <abstractions/base>\n" in full
    for text in (bare, full):
        assert text.count("{") == text.count("}") and "{{" not in text and "{name}" not in text
        assert "  deny network alg,\n" in text and "  deny mount,\n" in text and 'peer="box",\n' in text


def test_a_loaded_profile_is_found_by_its_whole_name(tmp_path):
    (tmp_path / "profiles").write_text("/usr/bin/man (enforce)\nminict-default (enforce)\nmy (odd) one (complain)\n")
    found = {
        name: engine.is_loaded(name, str(tmp_path / "profiles"))
        for name in ("minict-default", "minict", "my (odd) one")
    }
    assert found == {"minict-default": True, "minict": False, "my (odd) one": True}
    assert not engine.is_loaded("minict-default", str(tmp_path / "none"))


def test_the_profile_that_a_user_names_is_used_where_there_is_apparmor_and_else_refused():
    apparmor.check(None)
    options = SecurityOptions(["apparmor=docker-default"])
    if apparmor.is_enabled():
        apparmor.check("docker-default")
        assert options.apparmor == "docker-default" and options.without_effect == []
        assert engine.profile(ContainerOptions(security_opt=["apparmor=docker-default"])) == "docker-default"
        assert engine.profile(ContainerOptions(security_opt=["apparmor=unconfined"])) is None
        return
    assert engine.profile(ContainerOptions()) is None
    assert options.apparmor is None and options.without_effect == ["apparmor=docker-default"]
    with pytest.raises(ContainerError, match="docker-default cannot be applied: this kernel has no AppArmor"):
        apparmor.check("docker-default")
