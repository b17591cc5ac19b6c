"""A learner in the browser: a real JupyterLab on loopback, in a real headless Chromium.

::

    with Lab(tmp_path) as lab:
        page = lab.open(notebook)
        page.run_all()
        page.cell('@exercise("pivot-1")').run()

Settings, logs, the browser's profile and the opened copy of the notebook lie below the given directory: the committed
notebook is never written to.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from playwright.sync_api import Locator, expect, sync_playwright

PATIENCE = 300  # seconds that a page, a cell or a notebook may take on a slow, emulated machine

# As root there is no sandbox; and without a network of its own a browser should not even try to phone home.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_BROWSERS = ("chromium", "google-chrome")  # vagrant/provision.sh looks for the same

_SETTINGS = {
    "docmanager-extension/plugin": {"autosave": False},
    # every cell is on the page at any time, also what has been scrolled away
    "notebook-extension/tracker": {"windowingMode": "none", "recordTiming": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
}


# Have the page show its inside as window.jupyterapp, which tells when all has been done.
_EXPOSE = """new MutationObserver(() => {
    const settings = document.getElementById('jupyter-config-data');
    if (settings && settings.textContent.includes('"exposeAppInBrowser": false'))
        settings.textContent = settings.textContent.replace(
            '"exposeAppInBrowser": false', '"exposeAppInBrowser": true');
}).observe(document, {childList: true, subtree: true});"""


class Lab:
    """JupyterLab and Chromium, for one test. Use it in a ``with`` statement."""

    def __init__(self, directory):
        self.directory, self.token = str(directory), secrets.token_hex(16)
        self.files = f"{self.directory}/files"

    def __enter__(self):
        for name in ("files", "home", "settings/@jupyterlab"):
            os.makedirs(f"{self.directory}/{name}")
        for name, values in _SETTINGS.items():
            path = f"{self.directory}/settings/@jupyterlab/{name}.jupyterlab-settings"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                json.dump(values, file)
        self.server = self._start_server()
        try:
            self._wait_for_server()
            self.browser = Browser(self.directory).__enter__()
        except BaseException:
            self._stop_server()
            raise
        return self

    def __exit__(self, *exception):
        self.browser.__exit__(*exception)
        self._stop_server()

    def _start_server(self) -> subprocess.Popen:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "HOME": f"{self.directory}/home",
            "JUPYTER_TOKEN": self.token,
            "JUPYTERLAB_SETTINGS_DIR": f"{self.directory}/settings",
        }
        environment.pop("PYTEST_CURRENT_TEST")  # see world
        with open(f"{self.directory}/server.log", "w") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyterlab",
                    "--no-browser",
                    "--allow-root",
                    "--ServerApp.ip=127.0.0.1",
                    f"--ServerApp.port={port}",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.root_dir={self.files}",
                ],
                cwd=self.files,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait_for_server(self) -> None:
        request = urllib.request.Request(f"{self.address}/api/status", headers={"Authorization": f"token {self.token}"})
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.server.poll() is None:
            try:
                urllib.request.urlopen(request, timeout=5).close()
                return
            except urllib.error.URLError:
                time.sleep(0.1)
        with open(f"{self.directory}/server.log") as log:
            raise AssertionError(f"JupyterLab does not answer; it wrote:\n{log.read()}")

    def _stop_server(self) -> None:
        self.server.terminate()  # it ends its kernels first
        try:
            self.server.wait(30)
        finally:
            self.server.kill()
            self.server.wait()

    def open(self, notebook: str) -> Page:
        """Open a copy of the file *notebook* in a new tab, and wait until its kernel is there."""
        name = os.path.basename(notebook)
        shutil.copy(notebook, f"{self.files}/{name}")
        return self.browser.open(f"{self.address}/doc/tree/{name}?token={self.token}")


class Browser:
    """A headless Chromium, with its screenshots in *directory*. Use it in a ``with`` statement."""

    def __init__(self, directory):
        self.directory = str(directory)

    def __enter__(self):
        self.playwright = sync_playwright().start()
        try:
            self.browser = self.playwright.chromium.launch(executable_path=_browser(), headless=True, args=_FLAGS)
        except BaseException:
            self.playwright.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.browser.close()
        self.playwright.stop()

    def open(self, address: str) -> Page:
        """Open a notebook's *address* in a new tab, and wait until its kernel is there."""
        tab = self.browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(PATIENCE * 1000)
        tab.add_init_script(_EXPOSE)
        tab.goto(address)
        tab.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget")
        page = Page(tab, self.directory)
        page.wait_until_idle()
        return page


def _browser() -> str | None:
    """The path of the system's browser; None for the one that playwright has installed."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


class Page:
    """A notebook in the browser."""

    def __init__(self, tab, directory: str):
        self.tab, self.directory = tab, directory

    def menu(self, *names: str) -> None:
        """Click through the menu: ``menu("Run", "Run All Cells")``."""
        for name in names:
            self.tab.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel").get_by_text(name, exact=True).last.click()

    def wait_until_idle(self) -> None:
        """Wait until the kernel has been idle for half a second."""
        self.tab.wait_for_function(
            """() => {
            const session = window.jupyterapp.shell.currentWidget.sessionContext;
            const idle = session && session.isReady && session.session.kernel.status === 'idle';
            if (!idle) window.idleSince = 0;
            else window.idleSince ||= Date.now();
            return idle && Date.now() - window.idleSince > 500;
        }""",
            polling=50,
        )

    def run_all(self) -> None:
        self.menu("Edit", "Clear Outputs of All Cells")  # what is shown afterwards is not what was saved
        assert not any(cell["execution_count"] or cell["outputs"] for cell in self.cells())
        self.menu("Run", "Run All Cells")
        self.tab.wait_for_function("""() => {
            const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
            return cells.every(each => each.type !== 'code' || each.executionCount !== null);
        }""")
        self.wait_until_idle()

    def cells(self) -> list[dict]:
        """The code cells with their outputs, as they would be saved now."""
        notebook = self.tab.evaluate("window.jupyterapp.shell.currentWidget.content.model.toJSON()")
        return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    def cell(self, words: str) -> Cell:
        """The first code cell whose source contains *words*."""
        number = next(number for number, cell in enumerate(self.cells()) if words in "".join(cell["source"]))
        return Cell(self, self.tab.locator(".jp-CodeCell").nth(number))

    def screenshot(self, name: str) -> str:
        path = f"{self.directory}/{name}.png"
        self.tab.screenshot(path=path)
        return path


class Cell:
    """A code cell on the page."""

    def __init__(self, page: Page, place: Locator):
        self.page, self.place = page, place

    @property
    def output(self) -> Locator:
        return self.place.locator(".jp-OutputArea-output")

    def replace(self, line: str, lines: list[str]) -> None:
        """Click on the first line that begins with *line*, and type *lines* in its place."""
        self.place.scroll_into_view_if_needed()
        self.place.locator(".cm-line").filter(has_text=line).first.click()
        for keys in ("Home", "Shift+End"):  # after the indentation, to the end
            self.page.tab.keyboard.press(keys)
        for number, words in enumerate(lines):
            if number:
                self.page.tab.keyboard.press("Enter")
            self.page.tab.keyboard.type(words)

    def run(self) -> None:
        """Press Shift+Enter in it, and wait until the kernel has finished."""
        self.start()
        self.page.wait_until_idle()

    def start(self) -> None:
        self.place.scroll_into_view_if_needed()
        self.place.locator(".cm-content").click()
        self.page.tab.keyboard.press("Shift+Enter")

    def shows(self, *words: str) -> None:
        """Wait until the reader can see all these *words* below the cell."""
        for each in words:
            expect(self.place.locator(".jp-Cell-outputArea")).to_contain_text(each, timeout=PATIENCE * 1000)
