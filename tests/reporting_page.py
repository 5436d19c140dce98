"""Headless Chromium with pages of a folder, which report what they found."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


def report_of(folder: Path, profile: Path, *, host: str = "127.0.0.1", seconds: float = 90) -> dict[str, Any]:
    """Open ``index.html`` of the folder, served from ``host``, and return what the page posts to ``/report``."""
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; `make test` installs it"
    reports: list[dict[str, Any]] = []
    arrived = threading.Event()
    pages = functools.partial(_Pages, reports, arrived, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://{host}:{server.server_port}/index.html"
    browser = subprocess.Popen(
        [chromium, *_OPTIONS, f"--user-data-dir={profile}", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert arrived.wait(seconds), "the browser did not report"
        return reports[0]
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
        server.server_close()


class _Pages(SimpleHTTPRequestHandler):
    """Serves the folder with byte ranges and receives the page's report."""

    def __init__(self, reports: list[dict[str, Any]], arrived: threading.Event, *args: Any, **options: Any) -> None:
        self._reports, self._arrived = reports, arrived
        super().__init__(*args, **options)

    def do_POST(self) -> None:
        self._reports.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()
        self._arrived.set()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if "Range" not in self.headers or not path.is_file():
            return super().do_GET()
        data = path.read_bytes()
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        piece = data[int(first) : int(last) + 1 if last else len(data)]
        self.send_response(206)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        try:
            self.wfile.write(piece)
        except OSError:
            self.close_connection = True  # the browser closes the connection when it has enough
        return None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Do not log requests."""
