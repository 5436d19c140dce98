"""How long a three-minute reel takes, compared with other ways to make it: ``python -m tests.bench.reel``.

Makes its own material (a photograph-like picture, a song, 180 captions of three words, all of them different), renders
it with Telecine's child process in every style, with three ffmpeg command lines, with MoviePy and, as the floor,
encodes the sound alone. Also: reels a minute with two workers, a reel of five seconds, and one of an hour. Prints
tables and writes JSON. The sound and the styles take turns, so that on a machine that does something else at the time,
the ratios are still worth something and the seconds are not.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageFilter

from pipelines.media.captions.placement import Caption, place, spread_evenly
from pipelines.media.captions.word_groups import group_words
from pipelines.models.local_reel import render_reel
from schemas.caption_style import STYLES
from schemas.media import InputFile
from schemas.reel import Reel

FPS, WIDTH, HEIGHT = 30, 1080, 1920
FONT_PIXELS = 64
#: FFmpeg's captions have their size as ascent plus descent; Noto Sans has 1.362 em of that.
ASS_PER_EM = 1.362
WORDS = [
    "light",
    "from",
    "far",
    "away",
    "came",
    "home",
    "to",
    "us",
    "today",
    "while",
    "ten",
    "thousand",
    "little",
    "suns",
    "went",
    "on",
    "and",
    "shone",
]
#: The name of a way to make a reel, what starts it, and the file that it writes.
Way = tuple[str, Callable[[], object], str]
FLOOR = "AAC alone (ffmpeg, fast coder)"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass
class Figure:
    """One way to make the reel, measured: seconds of wall and processor, bytes at the peak, and what came out."""

    name: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    file_bytes: int
    frames: int | None = None
    ssim: float | None = None
    note: str = ""


def make_material(folder: Path, seconds: int) -> tuple[Path, Path, str]:
    """Make a picture with soft shapes and grain, a song of chords and beats, and lyrics of one caption a second.

    No two captions of the first hour and a half are equal.
    """
    random = np.random.default_rng(2026)
    coarse = random.integers(30, 226, (24, 14, 3), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((1440, 2560), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(6))
    grain = random.normal(0, 6, (2560, 1440, 1))
    Image.fromarray((np.asarray(soft) + grain).clip(0, 255).astype(np.uint8)).save(folder / "photo.jpg", quality=92)
    rate = 44_100
    with wave.open(str(folder / "song.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        for second in range(seconds):
            time_axis = np.arange(rate) / rate
            tones = (220, 277, 330) if second // 2 % 2 else (196, 247, 294)
            sound = sum(0.12 * np.sin(2 * np.pi * tone * time_axis) for tone in tones)
            sound = sound + random.normal(0, 0.25, rate) * np.exp(-time_axis % 0.5 * 30)
            left = (sound * 20_000).clip(-32_768, 32_767).astype("<i2")
            file.writeframes(np.stack([left, np.roll(left, 200)], 1).tobytes())
    lines = [" ".join(words) for words in itertools.product(WORDS, repeat=3)]
    random.shuffle(lines)
    lyrics = "\n".join(lines[index % len(lines)] for index in range(seconds))
    return folder / "photo.jpg", folder / "song.wav", lyrics


def write_ass(path: Path, captions: list[Caption]) -> None:
    """Write the captions for libass: about the same letters at about the same place."""

    def clock(frame: int) -> str:
        hundredths = round(frame * 100 / FPS)
        return f"{hundredths // 360000}:{hundredths // 6000 % 60:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"

    style = (
        f"Style: D,Noto Sans,{round(FONT_PIXELS * ASS_PER_EM)},&H0000FFFF,&H00000000,&H00000000,-1,1,5,2,2,80,80,400"
    )
    events = "\n".join(f"Dialogue: {clock(c.first)},{clock(c.end)},D,{c.text}" for c in captions)
    path.write_text(
        f"[Script Info]\nPlayResX: {WIDTH}\nPlayResY: {HEIGHT}\n\n[V4+ Styles]\n"
        "Format: Name,Fontname,Fontsize,PrimaryColour,OutlineColour,BackColour,Bold,BorderStyle,Outline,Shadow,"
        f"Alignment,MarginL,MarginR,MarginV\n{style}\n\n[Events]\nFormat: Start,End,Style,Text\n{events}\n"
    )


def measured(name: str, work: Callable[[], object], output: Path) -> Figure:
    """Run ``work`` (here, or the process it starts) and weigh all processes below this one while it runs."""
    peak, stop = [0], threading.Event()

    def weigh() -> None:
        while not stop.wait(0.05):
            peak[0] = max(peak[0], _tree_bytes(os.getpid(), own=False))

    watcher = threading.Thread(target=weigh, daemon=True)
    watcher.start()
    before, started = os.times(), time.perf_counter()
    process = work()
    if isinstance(process, subprocess.Popen) and process.wait() != 0:
        raise RuntimeError(f"{name} failed")
    wall, after = time.perf_counter() - started, os.times()
    stop.set()
    watcher.join()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Figure(name, wall, cpu, peak[0], output.stat().st_size)


def _tree_bytes(root: int, *, own: bool = True) -> int:
    """Resident bytes of a process and all below it; pages that two of them share count twice."""
    total = 0
    try:
        if own:
            total = int(Path(f"/proc/{root}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = [
            child for task in Path(f"/proc/{root}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return total
    return total + sum(_tree_bytes(int(child)) for child in children)


def ffmpeg(*arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([FFMPEG, "-nostdin", "-v", "error", "-y", *arguments], cwd=folder)


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def similarity(folder: Path, path: Path, reference: Path) -> float:
    """SSIM of one frame in the middle of each caption, luma and chroma, against ``reference``."""
    pick = f"select='eq(mod(n,{FPS}),{FPS // 2})',setparams=range=tv:colorspace=bt709,format=yuv420p"
    command = [
        FFMPEG,
        "-nostdin",
        "-i",
        str(path),
        "-i",
        str(reference),
        "-lavfi",
        f"[0:v]{pick}[a];[1:v]{pick}[b];[a][b]ssim",
    ]
    done = subprocess.run([*command, "-f", "null", "-"], cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stderr.rpartition("All:")[2].split()[0])


MOVIEPY = """
import json, sys
from moviepy import AudioFileClip, CompositeVideoClip, ImageClip, TextClip
image, audio, captions, font, seconds, out = sys.argv[1:]
sound = AudioFileClip(audio).subclipped(0, float(seconds))
clips = [ImageClip(image).resized((1080, 1920)).with_duration(sound.duration)]
for text, start, end in json.load(open(captions)):
    if start < sound.duration:
        look = {"font": font, "font_size": 64, "color": "yellow", "stroke_color": "black", "stroke_width": 5}
        clip = TextClip(text=text, margin=(8, 8), **look).with_start(start)
        clips.append(clip.with_duration(min(end, sound.duration) - start).with_position(("center", 1420)))
video = CompositeVideoClip(clips).with_audio(sound)
video.write_videofile(out, fps=30, codec="libx264", audio_codec="aac", logger=None)
"""


def moviepy(folder: Path, home: Path, captions: list[Caption], seconds: float, total: int) -> Figure:
    """MoviePy on the first ``seconds`` of the material, scaled to the whole of it."""
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "moviepy>=2"], check=True)
    (folder / "moviepy.py.txt").write_text(MOVIEPY)
    (folder / "captions.json").write_text(json.dumps([(c.text, c.first / FPS, c.end / FPS) for c in captions]))
    import manimgx_fonts

    font = str(Path(manimgx_fonts.__path__[0]) / "NotoSans[wght].ttf")
    out = folder / "moviepy.mp4"
    arguments = ["moviepy.py.txt", "photo.jpg", "song.wav", "captions.json", font, str(seconds), str(out)]
    figure = measured("MoviePy 2, defaults", lambda: subprocess.Popen([python, *arguments], cwd=folder), out)
    if seconds < total:
        scale = total / seconds
        figure.note = f"measured on {seconds:g} s, wall, CPU and size scaled by {scale:.1f}"
        figure.wall_seconds, figure.cpu_seconds = figure.wall_seconds * scale, figure.cpu_seconds * scale
        figure.file_bytes = round(figure.file_bytes * scale)
    return figure


def telecine(folder: Path, out: str, lyrics: str, **options: Any) -> Path:
    """Render the material with Telecine into the folder ``out``."""
    request = {"image": "s3://bench/photo.jpg", "audio": "s3://bench/song.wav", "alignment_mode": "even"}
    data = Reel.model_validate({**request, "lyrics": lyrics, **options})
    (folder / out).mkdir(exist_ok=True)
    render_reel(data, _input(folder / "photo.jpg", "jpeg"), _input(folder / "song.wav", "wav"), folder / out)
    return folder / out / "video.mp4"


def run(folder: Path, seconds: int, repeats: int, moviepy_seconds: float, moviepy_home: Path) -> list[Figure]:
    """All figures, the floor first, then ``classic`` and the other styles."""
    photo, _, lyrics = make_material(folder, seconds)
    groups = group_words(lyrics, 3)
    spans = spread_evenly(groups, float(seconds))
    captions = place(
        spans, duration=float(seconds), fps=FPS, frames=seconds * FPS, offset=0.0, min_duration=1.0, debug=False
    )
    write_ass(folder / "captions.ass", captions)
    scaled = Image.open(photo).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    scaled.save(folder / "scaled.png")
    chain = f"ass=captions.ass:fontsdir={_fonts_folder(folder)}"
    loop = f"format=yuv420p,loop=loop=-1:size=1:start=0,settb=1/{FPS},setpts=N,{chain}"
    tail = ["-t", str(seconds), "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    aac = ["-c:a", "aac", "-aac_coder", "fast", "-b:a", "160k"]
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20"]
    fed = ["-i", "song.wav"]

    def looped(fps: int, name: str) -> list[str]:
        still = ["-loop", "1", "-framerate", str(fps), "-i", "scaled.png", *fed, "-vf", f"format=yuv420p,{chain}"]
        return [*still, *x264, *aac, *tail, name]

    turns: list[Way] = [(FLOOR, lambda: ffmpeg(*fed, *aac, "floor.m4a", folder=folder), "floor.m4a")]
    for style in STYLES:
        options = {"font_size": FONT_PIXELS} if style == "classic" else {}
        make = functools.partial(telecine, folder, style, lyrics, style=style, **options)
        turns.append((f"Telecine, {style}", make, f"{style}/video.mp4"))
    best: dict[str, list[Figure]] = {}
    for _ in range(repeats):
        for name, work, output in turns:
            best.setdefault(name, []).append(measured(name, work, folder / output))
    figures = [_best(tries) for tries in best.values()]
    once = ["-i", "scaled.png", *fed, "-vf", loop, "-r", "30", *x264, *aac, *tail, "loop.mp4"]
    peers = [
        ("ffmpeg, loop filter, veryfast", once, "loop.mp4"),
        ("ffmpeg, -loop 1, veryfast", looped(FPS, "loop1.mp4"), "loop1.mp4"),
        ("ffmpeg, one frame a second, veryfast", looped(1, "second.mp4"), "second.mp4"),
    ]
    for name, command, output in peers:
        figures.append(measured(name, functools.partial(ffmpeg, *command, folder=folder), folder / output))
        print(f"  {name}: {figures[-1].wall_seconds:.2f} s", file=sys.stderr)
    _judge(folder, figures, loop, seconds)
    if moviepy_seconds:
        figures.append(moviepy(folder, moviepy_home, captions, min(moviepy_seconds, seconds), seconds))
    return figures


def _best(tries: list[Figure]) -> Figure:
    figure = min(tries, key=lambda one: one.wall_seconds)
    figure.cpu_seconds = min(one.cpu_seconds for one in tries)
    figure.note = f"best of {len(tries)}, median {statistics.median(one.wall_seconds for one in tries):.2f} s"
    print(f"  {figure.name}: {figure.wall_seconds:.2f} s", file=sys.stderr)
    return figure


def reels_a_minute(folder: Path, lyrics: str, count: int) -> float:
    """Let two workers make ``count`` reels each at the same time; return how many that is in a minute."""
    started = time.perf_counter()

    def work(worker: int) -> None:
        for _ in range(count):
            telecine(folder, f"worker{worker}", lyrics)

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(work, range(2)))
    return 2 * count * 60 / (time.perf_counter() - started)


def of_length(seconds: int, name: str) -> Figure:
    """Make a reel of another length."""
    with tempfile.TemporaryDirectory() as folder:
        lyrics = make_material(Path(folder), seconds)[2]
        film = Path(folder, "long", "video.mp4")
        figure = measured(name, functools.partial(telecine, Path(folder), "long", lyrics), film)
        figure.frames = count_frames(film) if seconds < 600 else None
    return figure


def _judge(folder: Path, figures: list[Figure], loop: str, seconds: int) -> None:
    """Frame counts, and SSIM of each way against a lossless film of its own pictures.

    Letters are drawn by different programs, so each is compared with what it drew itself: Telecine
    with its own captions and background kept lossless, ffmpeg with its own filter chain.
    """
    by_name = {figure.name: figure for figure in figures}
    paths = {f"Telecine, {style}": f"{style}/video.mp4" for style in STYLES}
    peers = {"ffmpeg, loop filter, veryfast": "loop.mp4", "ffmpeg, -loop 1, veryfast": "loop1.mp4"}
    for name, path in {**paths, **peers, "ffmpeg, one frame a second, veryfast": "second.mp4"}.items():
        by_name[name].frames = count_frames(folder / path)
    still = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"]
    ffmpeg(
        "-i", "scaled.png", "-vf", loop, "-r", "30", *still, "-t", str(seconds), "lossless.mp4", folder=folder
    ).wait()
    for name, path in peers.items():
        by_name[name].ssim = similarity(folder, folder / path, folder / "lossless.mp4")
    _lossless_telecine(folder)
    by_name["Telecine, classic"].ssim = similarity(folder, folder / "classic" / "video.mp4", folder / "telecine.mkv")


def _lossless_telecine(folder: Path) -> None:
    """Write what Telecine drew, one frame per caption held for a second, without loss."""
    from pipelines.media.inspect.picture import fit_picture, open_picture
    from pipelines.media.layout import arrange
    from pipelines.media.text.canvas import Canvas
    from pipelines.media.text.caption_renderer import CaptionRenderer
    from pipelines.media.text.fonts import Fonts
    from pipelines.media.text.painting import Style

    lines = (folder / "classic" / "captions.srt").read_text().splitlines()
    texts = [line for line in lines if line and not line.isdigit() and "-->" not in line]
    photo = fit_picture(open_picture(folder / "photo.jpg", "jpeg"), WIDTH, HEIGHT)
    area = arrange((WIDTH, HEIGHT), WIDTH, HEIGHT).captions
    canvas = Canvas(photo, CaptionRenderer(area, Style(FONT_PIXELS, (255, 255, 0)), Fonts(None)))
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", "1", "-i", "pipe:0"]
    command = [FFMPEG, "-v", "error", "-y", *raw, "-r", "30", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"]
    with subprocess.Popen([*command, str(folder / "telecine.mkv")], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for text in texts:
            process.stdin.write(canvas.draw(text).to_ndarray().tobytes())
        process.stdin.close()


def _fonts_folder(folder: Path) -> str:
    """Return a folder with Noto Sans only, which libass scans."""
    import manimgx_fonts

    fonts = folder / "fonts"
    fonts.mkdir(exist_ok=True)
    target = fonts / "NotoSans.ttf"
    if not target.exists():
        target.write_bytes((Path(manimgx_fonts.__path__[0]) / "NotoSans[wght].ttf").read_bytes())
    return "fonts"


def _input(path: Path, kind: str) -> InputFile:
    return InputFile(
        name=path.stem, uri=f"s3://bench/{path.name}", path=path, kind=kind, bytes=path.stat().st_size, sha256=""
    )


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table; ratios of wall time to the sound alone and to Telecine's ``classic``."""
    floor, own = figures[0].wall_seconds, figures[1].wall_seconds
    lines = [
        "| way | wall s | / AAC alone | / Telecine | CPU s | peak MB | file MB | frames | SSIM | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for one in figures:
        frames, ssim = f"{one.frames:,}" if one.frames else "", f"{one.ssim:.4f}" if one.ssim else ""
        lines.append(
            f"| {one.name} | {one.wall_seconds:.2f} | {one.wall_seconds / floor:.2f} | {one.wall_seconds / own:.1f} "
            f"| {one.cpu_seconds:.1f} | {one.peak_bytes / 1e6:.0f} | {one.file_bytes / 1e6:.1f} "
            f"| {frames} | {ssim} | {one.note} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the JSON file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=180, help="length of the reel")
    options.add_argument(
        "--repeats", type=int, default=5, help="runs of Telecine and of the sound alone; the best counts"
    )
    options.add_argument("--moviepy-seconds", type=float, default=20, help="how much MoviePy renders; 0 leaves it out")
    options.add_argument("--long-seconds", type=int, default=3600, help="length of a long reel; 0 leaves it out")
    options.add_argument("--moviepy-home", type=Path, default=Path(tempfile.gettempdir()) / "telecine-bench-moviepy")
    options.add_argument("--json", type=Path, default=Path("reel-bench.json"), help="where the figures go")
    given = options.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), given.seconds, given.repeats, given.moviepy_seconds, given.moviepy_home)
        rate = reels_a_minute(Path(folder), make_material(Path(folder), given.seconds)[2], given.repeats)
    lengths = [of_length(5, "Telecine, 5 s")]
    if given.long_seconds:
        lengths.append(of_length(given.long_seconds, f"Telecine, {given.long_seconds:,} s"))
    print(table(figures))
    print(f"\nReels of {given.seconds} s a minute with two workers: {rate:.1f}\n")
    print(table([figures[0], figures[1], *lengths]))
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load_at_start": load}
    record = {
        "machine": machine,
        "seconds": given.seconds,
        "figures": [asdict(one) for one in figures],
        "lengths": [asdict(one) for one in lengths],
        "reels_a_minute": rate,
    }
    given.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
