"""A reel in headless Chromium, which plays it, seeks in it and decodes its sound."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.models.local_reel import render_reel
from tests.media_probe import input_file, reel_data, write_photo, write_wav

SECONDS = 12.0
GROUPS = 12

PAGE = """<!doctype html><video id=v muted preload=auto src="video.mp4"></video><script>
const v = document.getElementById("v");
const canvas = Object.assign(document.createElement("canvas"), {width: 270, height: 480});
const c = canvas.getContext("2d", {willReadFrequently: true});
const once = name => new Promise(done => v.addEventListener(name, done, {once: true}));
const picture = async t => {
  // The frame that was sought is painted a moment after the seek has ended, a longer one on a busy machine.
  const painted = new Promise(done => { v.requestVideoFrameCallback(done); setTimeout(done, 5000); });
  const seen = once("seeked"); v.currentTime = t; await seen; await painted; c.drawImage(v, 0, 0, 270, 480);
  return c.getImageData(0, 0, 270, 480).data.reduce((h, x) => (h * 31 + x) | 0, 7);
};
(async () => {
  const r = {};
  try {
    if (v.readyState < 1) await once("loadedmetadata");
    Object.assign(r, {duration: v.duration, width: v.videoWidth, height: v.videoHeight, pairs: []});
    for (const k of [3, 9, 0, 11, 5, 6]) r.pairs.push([await picture(k + 0.2), await picture(k + 0.8)]);
    await picture(2); const times = [];
    const frame = (now, m) => { times.push(m.mediaTime); v.requestVideoFrameCallback(frame); };
    v.requestVideoFrameCallback(frame); await v.play();
    for (let n = 0; n < 80 && times.length < 40; n++) await new Promise(ok => setTimeout(ok, 100));
    v.pause();
    r.steps = times.slice(1).map((t, i) => Math.round((t - times[i]) * 30));
    const sound = await (await fetch("video.mp4")).arrayBuffer();
    r.sound = (await new OfflineAudioContext(2, 44100, 44100).decodeAudioData(sound)).duration;
  } catch (e) { r.error = String(e) + " " + (v.error && v.error.message); }
  await fetch("/report", {method: "POST", body: JSON.stringify(r)});
})();
</script>"""


class _Pages(SimpleHTTPRequestHandler):
    """Serves the folder with byte ranges and receives the page's report."""

    reports: ClassVar[list[dict[str, Any]]] = []
    arrived: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        self.reports.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()
        self.arrived.set()

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


@pytest.fixture
def report(tmp_path: Path) -> Iterator[dict[str, Any]]:
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; `make test` installs it"
    lyrics = "\n".join(f"caption {number}" for number in range(GROUPS))
    photo = input_file(write_photo(tmp_path / "p.png"), "image")
    song = input_file(write_wav(tmp_path / "s.wav", SECONDS), "audio")
    render_reel(reel_data(lyrics, width=540, height=960), photo, song, tmp_path)
    (tmp_path / "index.html").write_text(PAGE)
    _Pages.reports, _Pages.arrived = [], threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Pages, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [
            chromium,
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
            f"--user-data-dir={tmp_path / 'profile'}",
            f"http://127.0.0.1:{server.server_port}/index.html",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert _Pages.arrived.wait(90), "the browser did not report"
        yield _Pages.reports[0]
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
        server.server_close()


def test_chromium_plays_the_reel_seeks_to_each_caption_and_decodes_its_sound(report: dict[str, Any]) -> None:
    assert "error" not in report, report["error"]
    assert report["duration"] == pytest.approx(SECONDS, abs=1 / 30)
    assert (report["width"], report["height"]) == (540, 960)
    assert report["sound"] == pytest.approx(SECONDS, abs=1 / 30)
    # Early and late in a caption the picture is the same; different captions have different pictures.
    assert all(early == late for early, late in report["pairs"]), report["pairs"]
    assert len({early for early, _ in report["pairs"]}) == len(report["pairs"])
    # Frames advance by multiples of 1/30 s and never repeat; a busy machine may skip some.
    assert len(report["steps"]) > 10
    assert min(report["steps"]) >= 1
