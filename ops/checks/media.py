"""Checks of the media libraries."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata

from ops.checks.finding import Finding, failed, ok, warn

_REINSTALL = "pip install --force-reinstall"
FONTS_ADVICE = f"{_REINSTALL} manimgx-fonts manimgx-fonts-cjk; if that does not help, install Telecine again"
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_SECONDS = 10
#: One letter of each script.
_SCRIPTS = {
    "Latin": "A",
    "Cyrillic": "Ж",
    "Devanagari": "न",
    "Arabic": "ع",
    "Hebrew": "ש",
    "Thai": "ก",
    "Japanese": "あ",
    "Korean": "한",
    "Chinese": "漢",
}


def ffmpeg() -> Finding:
    """Check that imageio-ffmpeg's ffmpeg, which encodes the sound, runs and has an AAC encoder."""
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    banner = _run(program, "-version")
    version = re.match(r"ffmpeg version (\S+)", banner)
    wanted = {
        "aac": re.search(r"^ A\S+ aac\s", _run(program, "-hide_banner", "-encoders"), re.MULTILINE),
    }
    if missing := [name for name, found in wanted.items() if found is None]:
        advice = f"{_REINSTALL} imageio-ffmpeg, or unset IMAGEIO_FFMPEG_EXE if it points to another ffmpeg"
        return failed(f"{program} lacks {', '.join(missing)}", advice)
    return ok(f"{version.group(1) if version else 'unknown version'} with {', '.join(wanted)}")


def pyav() -> Finding:
    """Check that PyAV has an H.264 and an AAC encoder."""
    import av
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    for name in ("libx264", "aac"):
        try:
            Codec(name, "w")
        except UnknownCodecError:
            return failed(f"PyAV {av.__version__} has no encoder {name}", f"{_REINSTALL} --only-binary :all: av")
    return ok(f"PyAV {av.__version__} with libx264, aac")


def fonts() -> Finding:
    """Check that there is a font for each script that captions are expected in, and for coloured emoji."""
    from pipelines.media.text.fonts import Fonts

    found = Fonts(None)
    missing = [name for name, letter in _SCRIPTS.items() if found.covering(letter) is None]
    found.emoji()
    if missing:
        return failed(f"no font for {', '.join(missing)}", FONTS_ADVICE)
    return ok(f"{len(_SCRIPTS)} scripts and emoji")


def opencv() -> Finding:
    """Check that at most one distribution of OpenCV is installed, because they overwrite each other's files."""
    installed = []
    for name in _OPENCV:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(installed) > 1:
        names = " ".join(item.split()[0] for item in installed)
        return failed(
            ", ".join(installed),
            f"they overwrite each other: pip uninstall -y {names}; pip install opencv-python-headless",
        )
    if installed and "headless" not in installed[0]:
        return warn(installed[0], "it needs a graphical system's libraries; opencv-python-headless does not")
    return ok(installed[0] if installed else "not installed, not needed")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.decode(errors="replace")
