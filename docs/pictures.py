"""Render the pictures of reels.md and of the README: ``python docs/pictures.py``.

Each picture is a frame of a reel that this version renders. The photographs come with scikit-image
(``pip install scikit-image``) and with ``make demo``; all of them are in the public domain.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw

from pipelines.media.captions.matching import Times
from pipelines.media.captions.word_groups import words_of
from pipelines.models.alignment import Timing
from pipelines.models.local_reel import render_reel
from schemas.caption_style import STYLES
from schemas.media import InputFile
from schemas.reel import Reel

IMAGES = Path(__file__).resolve().parent / "images"
DEMO = IMAGES.parent.parent / "ops" / "demo" / "cover.jpg"
SIZE, GAP = (216, 384), 8
LINE = "So carry me home"
SCRIPTS = {
    "hi": "मैं घर चला आया",
    "ar": "خذني إلى البيت",
    "he": "קח אותי הביתה",
    "th": "พาฉัน\u200bกลับ\u200bบ้าน",
    "zh": "带我 回到 家里",
    "ja": "家に 連れて 帰って",
    "en": "Bring me home 🎉",
    "el": "Πήγαινέ με σπίτι",
}
#: What TikTok, Shorts and Instagram draw over a video of 1080 x 1920 pixels: left, top, right, bottom.
COVERED = [(0, 0, 1080, 269), (0, 1248, 1080, 1920), (960, 850, 1080, 1248)]


def photographs(folder: Path) -> dict[str, Path]:
    """Write the photographs as JPEG files: three for a portrait video, one square and one landscape."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        sys.exit("The photographs come with scikit-image: pip install scikit-image")
    data = Path(spec.origin).parent / "data"
    parts = {
        "light": (data / "astronaut.png", (60, 0, 380, 512)),
        "dark": (DEMO, (180, 0, 447, 427)),
        "busy": (data / "hubble_deep_field.jpg", (300, 0, 790, 872)),
        "square": (data / "astronaut.png", (0, 0, 512, 512)),
        "landscape": (data / "coffee.png", (0, 0, 600, 400)),
    }
    for name, (path, box) in parts.items():
        with Image.open(path) as image:
            image.convert("RGB").crop(box).save(folder / f"{name}.jpg", quality=95)
    return {name: folder / f"{name}.jpg" for name in parts}


def frame(photograph: Path, lyrics: str, **options: Any) -> Image.Image:
    """Return the frame of a reel in which the word before the last one is sung."""
    return moments(photograph, lyrics, [max(len(words_of(lyrics)) - 2, 0) + 0.5], **options)[0]


def moments(
    photograph: Path,
    lyrics: str,
    seconds: list[float],
    further: dict[str, Path] | None = None,
    song: Path | None = None,
    **options: Any,
) -> list[Image.Image]:
    """Return the frames of a reel at these times. Each word takes one second. ``further`` are the other inputs.

    Without ``song``, the reel is silent.
    """
    words = words_of(lyrics)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with wave.open(str(folder / "song.wav"), "wb") as silence:
            silence.setnchannels(1)
            silence.setsampwidth(2)
            silence.setframerate(16_000)
            silence.writeframes(bytes(2 * 16_000 * len(words)))
        given = {"image": "s3://docs/a.jpg", "audio": "s3://docs/a.wav", "lyrics": lyrics, "words_per_group": 9}
        data = Reel.model_validate({**given, "alignment_mode": "even", **options})
        times = tuple(Times(index, index + 0.9) for index in range(len(words)))
        timing = Timing(lyrics, "forced_alignment", times)
        files = {name: _input(path, path.suffix[1:].replace("jpg", "jpeg")) for name, path in (further or {}).items()}
        sound = song or folder / "song.wav"
        image, audio = _input(photograph, "jpeg"), _input(sound, sound.suffix[1:])
        render_reel(data, image, audio, folder, timing=timing, further=files)
        with av.open(str(folder / "video.mp4")) as film:
            wanted = {round(second * 30) for second in seconds}
            return [f.to_image() for f in film.decode(video=0) if f.time is not None and round(f.time * 30) in wanted]


def _input(path: Path, kind: str) -> InputFile:
    return InputFile(
        name=path.stem, uri=f"s3://docs/{path.name}", path=path, kind=kind, bytes=path.stat().st_size, sha256=""
    )


def save(name: str, frames: list[Image.Image], height: int = SIZE[1]) -> None:
    """Write the frames side by side, all of the same height, as ``images/reel-<name>.webp``."""
    scaled = [f.resize((round(f.width * height / f.height), height), Image.Resampling.LANCZOS) for f in frames]
    sheet = Image.new("RGB", (sum(f.width + GAP for f in scaled) - GAP, height), "white")
    left = 0
    for one in scaled:
        sheet.paste(one, (left, 0))
        left += one.width + GAP
    sheet.save(IMAGES / f"reel-{name}.webp", quality=78, method=6)


def with_covered_areas(picture: Image.Image) -> Image.Image:
    """Return the frame with what the platforms draw over it in red."""
    layer = Image.new("RGBA", picture.size)
    for box in COVERED:
        ImageDraw.Draw(layer).rectangle(box, fill=(255, 0, 80, 110))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def scripts(photograph: Path) -> None:
    """Write one caption in each script: the part of the frame around it."""
    parts = []
    for index, (language, lyrics) in enumerate(SCRIPTS.items()):
        whole = frame(photograph, lyrics, language=language, style=list(STYLES)[index % len(STYLES)], font_size=72)
        parts.append(whole.crop((100, 1020, 980, 1270)))
    rows = [parts[:4], parts[4:]]
    sheet = Image.new("RGB", (4 * 220 + 3 * GAP, 2 * 63 + GAP), "white")
    for row, members in enumerate(rows):
        for column, part in enumerate(members):
            sheet.paste(part.resize((220, 63), Image.Resampling.LANCZOS), (column * (220 + GAP), row * (63 + GAP)))
    sheet.save(IMAGES / "reel-scripts.webp", quality=80, method=6)


def titled(photos: dict[str, Path], logo: Path) -> None:
    """Write reels with title, artist and a watermark: a note, white and transparent."""
    mark = Image.new("RGBA", (480, 480))
    pen = ImageDraw.Draw(mark)
    pen.ellipse((0, 0, 479, 479), outline="white", width=36)
    pen.ellipse((120, 270, 230, 360), fill="white")
    pen.ellipse((260, 240, 370, 330), fill="white")
    pen.polygon(
        [(194, 315), (194, 140), (370, 100), (370, 285), (334, 285), (334, 160), (230, 184), (230, 315)], "white"
    )
    mark.save(logo)
    about = {"title": "Ten Thousand Little Suns", "artist": "The Quiet Rivers", "watermark": "s3://docs/logo.png"}
    cases = [("light", "bottom-right"), ("square", "bottom-right"), ("landscape", "bottom-left"), ("busy", "top-right")]
    save(
        "title",
        [
            moments(photos[p], LINE, [2.5], {"watermark": logo}, style="karaoke", watermark_position=corner, **about)[0]
            for p, corner in cases
        ],
    )


def scenes(photos: dict[str, Path]) -> None:
    """Write the pictures of what is behind the captions."""
    words = "So carry me home over the river and the quiet night"
    images = [{"image": "s3://docs/b.jpg", "at": 3}, {"image": "s3://docs/c.jpg", "at": 6}]
    further = {"images.0.image": photos["square"], "images.1.image": photos["landscape"]}
    shown = moments(photos["light"], words, [1, 3.4, 5, 6.5, 9], further, style="karaoke", images=images)
    save("images", shown)
    dark = moments(photos["dark"], LINE, [0.5, 1.1, 2.5], song=DEMO.with_name("song.mp3"), style="pop", waveform=True)
    save("waveform", [*dark, *moments(photos["square"], LINE, [2.2], song=DEMO.with_name("song.mp3"), waveform=True)])
    with tempfile.TemporaryDirectory() as name:
        titled(photos, Path(name, "logo.png"))
    save("kenburns", moments(photos["light"], words, [1, 4, 7, 10.5], style="karaoke", motion="kenburns"))


def main() -> None:
    """Render all pictures."""
    with tempfile.TemporaryDirectory() as name:
        photos = photographs(Path(name))
        for style in STYLES:
            save(style, [frame(photos[photo], LINE, style=style) for photo in ("light", "dark", "busy", "square")])
        layouts = [("square", 1080, 1920), ("landscape", 1080, 1920), ("square", 1080, 1350), ("landscape", 1080, 1080)]
        frames = [frame(photos[p], LINE, style="karaoke", width=w, height=h) for p, w, h in layouts]
        save("layouts", [*frames, frame(photos["square"], LINE, style="karaoke", width=1920, height=1080)], 288)
        covered = [
            frame(photos[p], LINE, style="bold", position=where)
            for p, where in (("square", "auto"), ("square", "top"), ("light", "auto"), ("light", "top"))
        ]
        save("safe-areas", list(map(with_covered_areas, covered)))
        scripts(photos["light"])
        scenes(photos)
        demo = frame(DEMO, "Ten thousand little suns", style="karaoke")
        demo.resize((270, 480), Image.Resampling.LANCZOS).save(IMAGES / "demo-frame.jpg", quality=88)


if __name__ == "__main__":
    main()
