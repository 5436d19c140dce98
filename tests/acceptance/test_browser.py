"""A reel in headless Chromium, which plays it, seeks in it and decodes its sound."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.models.local_reel import render_reel
from schemas.caption_style import STYLES
from tests.media_probe import frames_of, input_file, reel_data, write_photo, write_wav
from tests.reporting_page import report_of

SECONDS = 12.0
GROUPS = 12
#: Three words a caption, one a second; and where the page seeks to, in seconds.
WORDS = "one two six\nten red sky\nsun low air\nbig old way"
PLACES = [6.5, 0.5, 11.5, 4.5, 3.5, 8.1, 1.9, 9.5, 2.5, 7.5]

PAGE = """<!doctype html><video id=v muted preload=auto src="video.mp4"></video><script>
const v = document.getElementById("v");
const canvas = Object.assign(document.createElement("canvas"), {width: 270, height: 480});
const c = canvas.getContext("2d", {willReadFrequently: true});
const once = name => new Promise(done => v.addEventListener(name, done, {once: true}));
const sought = async t => {
  // The frame that was sought is painted a moment after the seek has ended, a longer one on a busy machine.
  const painted = new Promise(done => {
    // The frame before the seek may be painted once more.
    const look = (now, m) => Math.abs(m.mediaTime - t) < 0.05 ? done() : v.requestVideoFrameCallback(look);
    v.requestVideoFrameCallback(look); setTimeout(done, 5000);
  });
  const seen = once("seeked"); v.currentTime = t; await seen; await painted; c.drawImage(v, 0, 0, 270, 480);
  return c.getImageData(0, 0, 270, 480).data;
};
const picture = async t => (await sought(t)).reduce((h, x) => (h * 31 + x) | 0, 7);
const style = async (name, places) => {
  const loaded = once("loadeddata"); v.src = name + ".mp4"; await loaded;
  const seen = [];
  for (const t of places) seen.push(Array.from(await sought(t)).filter((_, i) => i % 4 == 0));
  const before = v.currentTime; await v.play(); await new Promise(ok => setTimeout(ok, 400)); v.pause();
  return {seen, played: v.currentTime - before};
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
    r.styles = {};
    for (const name of STYLES) r.styles[name] = await style(name, PLACES);
  } catch (e) { r.error = String(e) + " " + (v.error && v.error.message); }
  await fetch("/report", {method: "POST", body: JSON.stringify(r)});
})();
</script>"""


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    lyrics = "\n".join(f"caption {number}" for number in range(GROUPS))
    photo = input_file(write_photo(tmp_path / "p.png"), "image")
    song = input_file(write_wav(tmp_path / "s.wav", SECONDS), "audio")
    render_reel(reel_data(lyrics, width=540, height=960), photo, song, tmp_path)
    song = input_file(write_wav(tmp_path / "words.wav", 12.0), "audio")
    for style in STYLES:
        looks = {"style": style, "font_size": None, "font_color": "white", "highlight_color": "#ff0000"}
        folder = tmp_path / style
        folder.mkdir()
        render_reel(reel_data(WORDS, **looks), photo, song, folder)
        (folder / "video.mp4").rename(tmp_path / f"{style}.mp4")
    (tmp_path / "index.html").write_text(
        PAGE.replace("PLACES)", f"{PLACES})").replace("of STYLES)", f"of {list(STYLES)})")
    )
    return report_of(tmp_path, tmp_path / "profile", seconds=150) | {"folder": tmp_path}


def test_chromium_plays_the_reel_seeks_to_each_caption_and_lights_words_in_every_style(report: dict[str, Any]) -> None:
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
    for style in STYLES:
        _shows_the_right_words(report["folder"] / f"{style}.mp4", report["styles"][style])


def _shows_the_right_words(path: Path, shown: dict[str, Any]) -> None:
    """Check what the browser shows at ``PLACES`` against FFmpeg's frames of each word, and where words are lit."""
    assert shown["played"] > 0.1, path.stem
    frames = [pixels for _, _, pixels in itertools.islice(frames_of(path), 15, None, 30)]
    lit = [np.nonzero((one[:, :, 0] > 150) & (one[:, :, 1:] < 90).all(axis=2)) for one in frames]
    middles = [columns.mean() for _, columns in lit]
    # Of the three words of each caption the left, the middle and the right one is lit.
    assert all(middles[n] + 10 < middles[n + 1] < middles[n + 2] - 10 for n in (0, 3, 6, 9)), path.stem
    seen = [np.array(pixels, np.int16).reshape(480, 270) for pixels in shown["seen"]]
    distances = [[np.abs(picture - frame[:, :, 0]).mean() for frame in frames] for picture in seen]
    assert [int(np.argmin(row)) for row in distances] == [int(place) for place in PLACES], path.stem
