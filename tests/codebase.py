"""Measure how much a reader must open: ``python -m tests.codebase [CHECKOUT]``.

Prints, for the checkout (default: this one):

- the files, lines and classes of ``consumer/`` and ``pipelines/`` that one embedded reel runs through, from the request
  in the inbox to the delivered callback (what runs in the media child process and what only idles is left out);
- unwanted words per 1,000 words of docstrings, comments and messages (``tests/unit/test_prose.py`` has the list);
- the share of function docstrings that open with a noun phrase instead of a verb; and ``fmt: skip`` comments.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ops.demo.receiver import CallbackReceiver
from tests.prose import measure

ROOT = Path(__file__).parents[1]

#: Runs in the traced process. A profile hook in every thread notes the code that runs between two signals.
_TRACER = """
import json, os, signal, sys, threading
root, out, recording = os.getcwd() + os.sep, sys.argv.pop(1), False
idle, seen = set(), set()
def hook(frame, event, argument):
    if event == "call" and frame.f_code.co_filename.startswith(root):
        name = (frame.f_code.co_filename[len(root):], frame.f_code.co_qualname)
        (seen if recording else idle).add(name)
def start(*_):
    global recording
    recording = True
def stop(*_):
    global recording
    recording = False
    with open(out, "w") as file:
        json.dump(sorted(seen - idle), file)
signal.signal(signal.SIGUSR1, start)
signal.signal(signal.SIGUSR2, stop)
threading.setprofile(hook)
sys.argv = ["telecine", "up"]
from ops.cli.main import main
main()
"""
_LYRICS = "First line of the song\nSecond line of the song"


def reel_line(checkout: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Run one reel in embedded mode; return the files that ran, and the classes that they define as (file, name)."""
    with tempfile.TemporaryDirectory() as folder, CallbackReceiver() as receiver:
        home, trace = Path(folder), Path(folder) / "trace.json"
        media = home / "media"
        media.mkdir()
        for name in ("cover.jpg", "song.mp3"):
            (media / name).write_bytes((checkout / "ops" / "demo" / name).read_bytes())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
        environment |= {
            "TELECINE_HOME": str(home),
            "TELECINE_HEALTH_PORT": "0",
            "TELECINE_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{receiver.port}",
            "PYTHONPATH": str(checkout),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", _TRACER, str(trace)], cwd=checkout, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(lambda: (home / "inbox").is_dir())
            time.sleep(6.0)  # every loop has looked for work and found none: what runs then only idles
            process.send_signal(signal.SIGUSR1)
            request = {
                "id": "measured",
                "type": "reel",
                "data": {
                    "image": (media / "cover.jpg").as_uri(),
                    "audio": (media / "song.mp3").as_uri(),
                    "lyrics": _LYRICS,
                    "alignment_mode": "even",
                },
                "callback": {"url": receiver.url},
            }
            part = home / "inbox" / ".measured"
            part.write_text(json.dumps(request))
            part.rename(home / "inbox" / "measured.json")
            receiver.wait(120)
            time.sleep(1.0)
            process.send_signal(signal.SIGUSR2)
            _wait_for(trace.exists)
            time.sleep(0.2)
            ran = [(file, name) for file, name in json.loads(trace.read_text())]
        finally:
            process.terminate()
            process.wait(60)
    ours = [(file, name) for file, name in ran if file.startswith(("consumer/", "pipelines/"))]
    files = {file for file, _ in ours}
    return files, {(file, name) for file in files for name in _classes(checkout / file)}


def _classes(path: Path) -> list[str]:
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]


def main(checkout: Path = ROOT) -> None:
    """Print the figures of ``checkout``."""
    files, classes = reel_line(checkout)
    lines = sum(len((checkout / file).read_text().splitlines()) for file in files)
    print(f"one embedded reel: {len(files)} files, {lines} lines, {len(classes)} classes")
    for file in sorted(files):
        print(f"  {file}: {', '.join(name for where, name in sorted(classes) if where == file)}")
    prose = measure([checkout / folder for folder in ("schemas", "providers", "pipelines", "consumer", "ops")])
    print(prose)


def _wait_for(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the traced process did not get that far")
        time.sleep(0.05)


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:2]))
