"""Render the pictures of reels.md and of the README: ``python docs/pictures.py``.

Each picture is a frame of a reel that this version renders.
"""

from __future__ import annotations

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
from schemas.caption_style import STYLES, StyleName
from schemas.media import InputFile
from schemas.reel import Reel

IMAGES = Path(__file__).resolve().parent / "images"
DEMO = IMAGES.parent.parent / "ops" / "demo" / "cover.jpg"
PHOTOGRAPHS = {
    name: IMAGES / "photographs" / f"{name}.jpg" for name in ("light", "dark", "busy", "square", "landscape")
}
HEIGHT, GAP = 400, 8
LINE = "So carry me home"
SCRIPTS = {
    "en": ("Bring me home 🎉", "dark"),
    "hi": ("मैं घर चला आया", "light"),
    "ar": ("خذني إلى البيت", "busy"),
    "he": ("קח אותי הביתה", "square"),
    "th": ("พาฉัน\u200bกลับ\u200bบ้าน", "dark"),
    "zh": ("带我 回到 家里", "light"),
    "ja": ("家に 連れて 帰って", "busy"),
    "el": ("Πήγαινέ με σπίτι", "landscape"),
}
#: What TikTok, Shorts and Instagram draw over a video of 1080 x 1920 pixels: left, top, right, bottom.
COVERED = [(0, 0, 1080, 269), (0, 1248, 1080, 1920), (960, 850, 1080, 1248)]


def frame(
    photograph: str | Path, lyrics: str, *, start: float = 0, at: float | None = None, **options: Any
) -> Image.Image:
    """Return a frame of a reel. Each word is sung for a second, the first one from ``start`` on.

    ``at`` is the time of the frame in seconds. Default: while the word before the last one is sung.
    """
    wanted = start + max(len(words_of(lyrics)) - 2, 0) + 0.5 if at is None else at
    return moments(photograph, lyrics, [wanted], start=start, **options)[0]


def moments(
    photograph: str | Path,
    lyrics: str,
    seconds: list[float],
    further: dict[str, Path] | None = None,
    song: Path | None = None,
    start: float = 0,
    **options: Any,
) -> list[Image.Image]:
    """Return the frames of a reel at these times; ``further`` are the other inputs. Without ``song``, it is silent."""
    words = words_of(lyrics)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with wave.open(str(folder / "song.wav"), "wb") as silence:
            silence.setnchannels(1)
            silence.setsampwidth(2)
            silence.setframerate(16_000)
            silence.writeframes(bytes(2 * 16_000 * round(start + len(words))))
        given = {"image": "s3://docs/a.jpg", "audio": "s3://docs/a.wav", "lyrics": lyrics, "words_per_group": 9}
        data = Reel.model_validate({**given, "alignment_mode": "even", **options})
        times = tuple(Times(start + index, start + index + 0.9) for index in range(len(words)))
        timing = Timing(lyrics, "forced_alignment", times)
        files = {name: _input(path, path.suffix[1:].replace("jpg", "jpeg")) for name, path in (further or {}).items()}
        sound = song or folder / "song.wav"
        image = _input(photograph if isinstance(photograph, Path) else PHOTOGRAPHS[photograph], "jpeg")
        render_reel(data, image, _input(sound, sound.suffix[1:]), folder, timing=timing, further=files)
        with av.open(str(folder / "video.mp4")) as film:
            wanted = {round(second * 30) for second in seconds}
            return [f.to_image() for f in film.decode(video=0) if f.time is not None and round(f.time * 30) in wanted]


def _input(path: Path, kind: str) -> InputFile:
    return InputFile(
        name=path.stem, uri=f"s3://docs/{path.name}", path=path, kind=kind, bytes=path.stat().st_size, sha256=""
    )


def row(frames: list[Image.Image], height: int = HEIGHT) -> Image.Image:
    """Return the frames in one row, all of the same height."""
    scaled = [f.resize((round(f.width * height / f.height), height), Image.Resampling.LANCZOS) for f in frames]
    sheet = Image.new("RGB", (sum(f.width + GAP for f in scaled) - GAP, height), "white")
    left = 0
    for one in scaled:
        sheet.paste(one, (left, 0))
        left += one.width + GAP
    return sheet


def save(name: str, rows: list[Image.Image]) -> None:
    """Write the rows, one below the other and all of the same width, as ``images/reel-<name>.webp``."""
    width = rows[0].width
    scaled = [r.resize((width, round(r.height * width / r.width)), Image.Resampling.LANCZOS) for r in rows]
    sheet = Image.new("RGB", (width, sum(r.height + GAP for r in scaled) - GAP), "white")
    top = 0
    for one in scaled:
        sheet.paste(one, (0, top))
        top += one.height + GAP
    sheet.save(IMAGES / f"reel-{name}.webp", quality=80, method=6)


def with_covered_areas(picture: Image.Image) -> Image.Image:
    """Return the frame with what the platforms draw over it in red."""
    layer = Image.new("RGBA", picture.size)
    for box in COVERED:
        ImageDraw.Draw(layer).rectangle(box, fill=(255, 0, 80, 110))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def show_style(style: StyleName) -> None:
    """Write a style on all photographs, and one caption in each script: the part of the frame around it."""
    whole = [frame(photograph, LINE, style=style) for photograph in PHOTOGRAPHS]
    parts = []
    for language, (lyrics, photograph) in SCRIPTS.items():
        picture = frame(photograph, lyrics, language=language, style=style, font_size=64, fit="cover")
        parts.append(picture.crop((195, 1050, 885, 1264)))
    save(style, [row(whole), row(parts[:4], 100), row(parts[4:], 100)])


def show_options() -> None:
    """Write the looks that are options, and the fonts."""
    lines = f"{LINE}\nand never let me go again"
    shown = [
        frame("light", lines, at=2.5, style="karaoke", words_per_group=6, next_line=True),
        frame("square", lines, at=2.5, style="box", words_per_group=6, progress_line=True),
        frame("dark", LINE, start=6, at=4.5, style="karaoke"),
        frame("busy", LINE, style="bold", emphasis=["home"]),
        frame("landscape", lines, at=2.5, style="pop", words_per_group=6, next_line=True, progress_line=True),
    ]
    save("options", [row(shown)])
    fonts = [
        frame("light", LINE, style=style, font=font, font_size=68).crop((180, 1070, 900, 1264))
        for style, font in (("karaoke", "sans"), ("minimal", "serif"), ("box", "rounded"), ("bold", "condensed"))
    ]
    save("fonts", [row(fonts, 77)])


def titled(logo: Path) -> None:
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
    shown = [
        moments(p, LINE, [2.5], {"watermark": logo}, style="karaoke", watermark_position=corner, **about)[0]
        for p, corner in cases
    ]
    save("title", [row(shown)])


def scenes() -> None:
    """Write the pictures of what is behind the captions."""
    words = "So carry me home over the river and the quiet night"
    images = [{"image": "s3://docs/b.jpg", "at": 3}, {"image": "s3://docs/c.jpg", "at": 6}]
    further = {"images.0.image": PHOTOGRAPHS["square"], "images.1.image": PHOTOGRAPHS["landscape"]}
    shown = moments("light", words, [1, 3.4, 5, 6.5, 9], further, style="karaoke", images=images)
    save("images", [row(shown)])
    dark = moments("dark", LINE, [0.5, 1.1, 2.5], song=DEMO.with_name("song.mp3"), style="pop", waveform=True)
    square = moments("square", LINE, [2.2], song=DEMO.with_name("song.mp3"), waveform=True)
    save("waveform", [row([*dark, *square])])
    with tempfile.TemporaryDirectory() as name:
        titled(Path(name, "logo.png"))
    save("kenburns", [row(moments("dark", words, [1, 4, 7, 10.5], style="karaoke", motion="kenburns"))])


def show_reels() -> None:
    """Write the first picture of the README: five reels side by side."""
    loud: dict[str, Any] = {"song": DEMO.with_name("song.mp3"), "waveform": True, "font_size": 76}
    cup = "Stay for another cup\nand never let me go"
    shown = [
        frame(DEMO, "Ten thousand little suns", style="box", progress_line=True, font_size=84),
        frame("light", "So carry me home", style="karaoke", font_size=92),
        moments("busy", "came home to us today", [2.5], style="pop", **loud)[0],
        frame("square", "ठंडी हवा चली", language="hi", style="bold", title="Little Suns", artist="The Quiet Rivers"),
        frame("landscape", cup, at=2.5, style="classic", next_line=True, font_size=84),
    ]
    save("all", [row(shown)])


def main() -> None:
    """Render all pictures."""
    show_reels()
    for style in STYLES:
        show_style(style)
    show_options()
    layouts = [("square", 1080, 1920), ("landscape", 1080, 1920), ("square", 1080, 1350), ("landscape", 1080, 1080)]
    frames = [frame(p, LINE, style="karaoke", width=w, height=h) for p, w, h in layouts]
    save("layouts", [row([*frames, frame("square", LINE, style="karaoke", width=1920, height=1080)], 288)])
    places = [("square", "auto"), ("square", "top"), ("light", "auto"), ("light", "top")]
    save("safe-areas", [row([with_covered_areas(frame(p, LINE, style="bold", position=at)) for p, at in places])])
    scenes()


if __name__ == "__main__":
    main()
