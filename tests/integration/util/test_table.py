"""Output for people: tables, sizes, ages and points in time as Docker writes them."""

from __future__ import annotations

import time


def test_an_image_a_volume_and_the_doctors_findings_show_themselves(tiny):
    from minict.engine.images import image
    from minict.engine.networks import bridge
    from minict.engine.system import doctor
    from minict.engine.volumes import store

    shown = image.Image.find(tiny)._repr_html_()
    assert "tiny:latest" in shown and "MB" in shown and "linux/" in shown
    volume = store.Volume("a&b", {"created": time.time(), "labels": {"x": "<y>"}, "options": {}, "anonymous": False})
    assert (
        "network bridge" in bridge.Network()._repr_html_()
        and bridge.Network().gateway in bridge.Network()._repr_html_()
    )
    assert "a&amp;b" in volume._repr_html_() and "&lt;y&gt;" in volume._repr_html_()
    assert "&lt;no&gt;" in doctor.Findings([doctor.Finding("it", doctor.OK, "<no>")])._repr_html_()


# ---- points in time ----------------------------------------------------------------------------------------------
