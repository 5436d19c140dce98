"""The documentation site: built without a network, complete, and readable on a phone."""

from __future__ import annotations

import functools
import http.server
import importlib
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, chromium, sideways, window
from tests.pages import PAGES, ROOT

#: Pages to look things up in, which are not read from the first line to the last.
LOOKED_UP = {"settings.md", "reference-cli.md", "reference-extension-api.md", "log-events.md", "CHANGELOG.md"}
#: Ten minutes of reading.
WORDS = 2000


@pytest.fixture(scope="module")
def build() -> ModuleType:
    sys.path.append(str(ROOT / "docs"))
    return importlib.import_module("build")


@pytest.fixture(scope="module")
def site(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert build.build(folder) == []
    return folder / "site"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def test_a_page_outside_the_navigation_and_a_link_to_a_missing_heading_are_refused(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = tmp_path / "stray.md"
    stray.write_text("# Stray\n\n[there](#no-such-heading)\n")
    monkeypatch.setattr(build, "ELSEWHERE", build.ELSEWHERE | {"stray.md": str(stray)})
    (tmp_path / "build").mkdir()
    unnamed, broken = build.build(tmp_path / "build")
    assert "stray.md is not in the navigation" in unnamed
    assert "anchor does not exist" in broken
    assert "no-such-heading" in broken


def test_what_a_page_loads_from_another_server_and_a_file_that_is_missing_are_refused(
    build: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example/a.css"><script src="//cdn.example/a.js"></script>'
        '<img src="here.png"><a href="gone/">x</a><a href="#top">x</a><a href="https://else.example/">fine</a>'
    )
    (tmp_path / "here.png").write_bytes(b"")
    (tmp_path / "a.css").write_text('@font-face { src: url("https://fonts.example/a.woff2") }')
    assert sorted(build.problems(tmp_path)) == [
        "a.css loads https://fonts.example/a.woff2",
        "index.html links to #top",
        "index.html links to gone/",
        "index.html loads //cdn.example/a.js",
        "index.html loads https://fonts.example/a.css",
    ]


def test_the_site_shows_its_drawings_and_searches_without_asking_another_server(browser: Browser, address: str) -> None:
    asked: list[str] = []
    for size, scheme in (((1360, 900), "light"), (PHONE, "dark")):
        with window(browser, size, color_scheme=scheme) as context:
            page = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            for name in ("", "settings/", "states/"):
                page.goto(f"{address}/{name}")
                assert sideways(page) <= 0, name
            drawing = page.get_by_role("img", name="States of a job: received to running")
            box = drawing.bounding_box()
            assert box is not None
            assert box["width"] > 500
            assert box["height"] > 200
            for state in ("received", "waiting", "expired"):
                expect(drawing.get_by_text(state, exact=True)).to_be_visible()
            paper = drawing.locator(".box").first.evaluate("box => getComputedStyle(box).fill")
            assert (paper == "rgb(255, 255, 255)") == (scheme == "light"), paper
            if scheme == "light":
                page.get_by_role("button", name="Search").click()
                page.keyboard.type("visibility timeout")
                expect(page.get_by_role("option", name="Glossary")).to_be_visible()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_each_page_can_be_read_in_ten_minutes() -> None:
    long = {page.name: words for page in PAGES if page.name not in LOOKED_UP and (words := _words(page)) > WORDS}
    assert long == {}


def _words(page: Path) -> int:
    """Count the words of a page without code and generated tables."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<!-- generated: (\S+) -->.*?<!-- end of \1 -->", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return len(re.findall(r"\w[\w'’.-]*", re.sub(r"\]\([^)]*\)", "]", text)))
