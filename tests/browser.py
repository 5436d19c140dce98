"""The dashboard of a test in a thread, and headless Chromium to look at it."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from consumer.runtime import Runtime
from ops.dashboard.server import DashboardServer

# Five seconds, the default, are short on a busy machine.
expect.set_options(timeout=30_000)

#: A wide window and a phone.
WIDE, PHONE = (1360, 900), (390, 844)


class Served:
    """The dashboard of a runtime on a free port, in a thread. A context manager."""

    def __init__(self, runtime: Runtime) -> None:
        self._server = DashboardServer(runtime, "127.0.0.1", 0)
        self.url = self._server.url
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def session(self, token: str | None = None) -> requests.Session:
        """Return a client that has signed in: with the token, or else by the printed link."""
        client = requests.Session()
        if token is None:
            answer = client.get(self.sign_in_url, timeout=30)
        else:
            answer = client.post(f"{self.url}/sign-in", {"token": token}, timeout=30)
        assert answer.status_code == 200, answer.text
        return client

    @property
    def sign_in_url(self) -> str:
        """The link that is printed at the start."""
        url = self._server.sign_in_url
        assert url is not None
        return url

    def post(self, client: requests.Session, path: str, **fields: str) -> requests.Response:
        """Send a form of the dashboard, with the token that its pages carry."""
        page = client.get(f"{self.url}/send", timeout=30).text
        found = re.search(r'name="form_token" value="(\w*)"', page)
        token = {"form_token": "" if found is None else found[1]}
        return client.post(self.url + path, {**token, **fields}, timeout=60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._thread.join(30)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield headless Chromium."""
    path = shutil.which("chromium")
    assert path, "chromium is missing; `make test` installs it"
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--mute-audio", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def window(browser: Browser, size: tuple[int, int] = WIDE, **options: Any) -> BrowserContext:
    """Return a window without cookies; what takes longer than 30 s fails."""
    made = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    made.set_default_timeout(30_000)
    return made


def violations(page: Page) -> Sequence[str]:
    """Return what axe-core objects to in the page, as text."""
    found = Axe().run(page)
    return [] if found.violations_count == 0 else [found.generate_report()]


def sideways(page: Page) -> int:
    """Return by how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
