"""``make demo``: run ``telecine up``, send it a reel request, wait for the callback and verify it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from consumer.ledger import dead_letters
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.wiring import open_ledger
from ops.cli.job_waiter import JobWaiter
from ops.cli.sending import send
from ops.demo.receiver import CallbackReceiver
from ops.demo.song import make_song
from schemas.envelope import Request
from schemas.parse import parse_request
from schemas.settings import Settings

MEDIA = Path(__file__).parent
HOME = Path("telecine-demo")

out = Console(highlight=False)


def main(make_request: Callable[[str], dict[str, Any]] | None = None) -> int:
    """Run the demo and return 0 if the video was made and its callback verified."""
    out.print(
        "\n[bold]Telecine[/] embedded mode: a SQLite ledger, a folder as object store, a folder as queue. No server.\n",
        soft_wrap=True,
    )
    with CallbackReceiver() as receiver:
        for name in [name for name in os.environ if name.startswith("TELECINE_")]:
            del os.environ[name]  # keep the demo separate from any existing installation
        os.environ |= {
            "TELECINE_HOME": str(HOME),
            "TELECINE_HEALTH_PORT": "0",
            "TELECINE_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{receiver.port}",
            "TELECINE_LOG_FORMAT": "json",
        }
        settings = Settings()
        starts = [] if make_request else _upload(settings)
        request = (make_request or _request)(receiver.url)
        out.print("[dim]request[/]", json.dumps(request, ensure_ascii=False, indent=2), end="\n\n", soft_wrap=True)
        with (_folder(HOME) / "up.log").open("wb") as log:
            up = subprocess.Popen([sys.executable, "-m", "ops.cli.main", "up"], stdout=log, stderr=log)
        try:
            body = json.dumps(request).encode()
            database = open_ledger(settings)
            parsed = parse_request(body)
            assert isinstance(parsed, Request)
            waiter = JobWaiter(database, parsed, after=dead_letters.newest_number(database))
            send(settings, [body])
            job = waiter.until_ended(180, quiet=False, embedded=True, keep=True)
            return _report(settings, job, receiver, starts)
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(30)


def _upload(settings: Settings) -> list[float]:
    """Put the picture and a song into the inbox. Return when each word of the song starts, in seconds."""
    bucket = _folder(settings.storage_folder / "inbox")
    shutil.copyfile(MEDIA / "cover.jpg", bucket / "cover.jpg")
    return make_song((MEDIA / "lyrics.txt").read_text(encoding="utf-8"), bucket / "song.wav")


def _request(callback_url: str) -> dict[str, Any]:
    return {
        "id": f"demo-{int(time.time())}",
        "type": "reel",
        "data": {
            "image": "s3://inbox/cover.jpg",
            "audio": "s3://inbox/song.wav",
            "lyrics": (MEDIA / "lyrics.txt").read_text(encoding="utf-8"),
            "alignment_mode": "local",
            "style": "box",
            "progress_line": True,
        },
        "callback": {"url": callback_url},
    }


def _report(settings: Settings, job: Job, receiver: CallbackReceiver, starts: list[float]) -> int:
    if job.state is not State.COMPLETED:
        out.print(f"[bold red]{job.state.value}[/]: {job.error}; the log is {HOME / 'up.log'}")
        return 1
    secret = (settings.home / "callback-secret").read_text().strip()
    folder = (settings.storage_folder / "results" / job.id).relative_to(Path.cwd())
    video = next(o for o in (job.outcome or {})["outputs"] if o["name"] == "video.mp4")
    took = (job.finished_at or 0) - job.received_at
    out.print(f"\n  video     {folder / 'video.mp4'}", soft_wrap=True)
    out.print(
        f"            {video['width']}×{video['height']}, {video['frames']} frames at {video['fps']:g} fps, "
        f"{video['duration_seconds']:.1f} s, {video['bytes'] / 1e6:.1f} MB; made in {took:.1f} s"
    )
    if starts:
        words = json.loads((folder / "words.json").read_text())
        out.print(f"  words     {_word_errors(words, starts)}", soft_wrap=True)
    out.print(f"  manifest  {folder / 'manifest.json'}", soft_wrap=True)
    verified = receiver.wait(10) and receiver.verify(secret)
    out.print(f"  callback  {'[green]delivered, signature verified[/]' if verified else '[red]did not arrive[/]'}")
    telecine = Path(sys.executable).parent / "telecine"
    out.print(f"\n  timeline: [bold]TELECINE_HOME={HOME} {telecine} explain {job.id}[/]", soft_wrap=True)
    page = f"http://127.0.0.1:{settings.dashboard_port}/jobs/{job.id}"
    out.print(f"  page:     [bold]TELECINE_HOME={HOME} {telecine} dashboard[/], then {page}\n", soft_wrap=True)
    return 0 if verified else 1


def _word_errors(times: dict[str, Any], starts: list[float]) -> str:
    """Return how far the aligned words are from when the song was made to say them."""
    errors = [abs(word["start"] - start) for word, start in zip(times["words"], starts, strict=True)]
    close = sum(error <= 0.3 for error in errors) / len(errors)
    return (
        f"{len(errors)} words ({times['source']}): start error {1000 * statistics.median(errors):.0f} ms (median), "
        f"{close:.0%} within 0.3 s"
    )


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
