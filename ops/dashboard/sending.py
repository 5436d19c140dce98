"""Sending a request from the page: a new one, one of a job edited under a new id, or the demo's."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import from_thread
from starlette.responses import Response

from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.timeline import note
from ops import demo
from ops.dashboard.view import View
from ops.demo.song import make_song
from ops.edge.access import Caller
from ops.edge.core import Edge, is_job_id
from ops.edge.forms import Upload
from ops.edge.refusal import Refusal, status_of
from pipelines.media.inspect.sniff import HEAD_BYTES
from schemas.errors import TelecineError
from schemas.strict_json import parse_object

_MEDIA = Path(demo.__file__).parent
_EXAMPLE = {
    "type": "reel",
    "data": {"image": "s3://inbox/cover.jpg", "audio": "s3://inbox/song.mp3", "lyrics": "The first line\nThe second"},
}
#: Not a bare number: a producer that numbers its jobs would use the next id itself.
_COPY = re.compile(r"(.+)-again(?:-(\d{1,6}))?")
_LONGEST_STEM = 110


def page(view: View) -> Response:
    """Return the form, with the request of the job that ``?job=`` names under a new id."""
    job_id = view.query.get("job", "")
    known = find_job(view.database, job_id) if is_job_id(job_id) else None
    if known is None or not view.visitor.may_see(known) or not view.visitor.may_act:
        return _form(view, json.dumps({"id": _fresh_id(), **_EXAMPLE}, indent=2), source=None)
    request = json.loads(known.request)
    request["id"] = _next_id(view, known.id)
    return _form(view, json.dumps(request, indent=2, ensure_ascii=False), source=known.id)


def send(view: View) -> Response:
    """Send the request through the ordinary door, and show its job."""
    text = view.form.get("request", "")
    try:
        fields = parse_object(text.encode(), limit_bytes=view.settings.max_message_bytes)
        job_id = _send(view, fields, {})
    except (TelecineError, Refusal) as error:
        return _form(view, text, source=view.form.get("source") or None, problem=error)
    return view.redirect(f"/jobs/{quote(job_id, safe='')}")


def send_demo(view: View) -> Response:
    """Send the demo's request, with its picture and a song that is made here."""
    with tempfile.TemporaryDirectory(prefix="telecine-demo-") as folder:
        song = Path(folder) / "song.wav"
        lyrics = (_MEDIA / "lyrics.txt").read_text(encoding="utf-8")
        make_song(lyrics, song)
        uploads = {"image": _upload(_MEDIA / "cover.jpg"), "audio": _upload(song)}
        data = {"lyrics": lyrics, "style": "karaoke"}
        job_id = _send(view, {"id": _fresh_id("demo"), "type": "reel", "data": data}, uploads)
    return view.redirect(f"/jobs/{quote(job_id, safe='')}")


def _send(view: View, fields: Mapping[str, Any], uploads: Mapping[str, Upload]) -> str:
    caller = Caller(view.visitor.tenant, all_jobs=view.visitor.tenant is None)
    job = from_thread.run(_sent, view.dashboard.edge, fields, caller, uploads)
    with view.database.write() as connection:
        note(connection, job.id, "sent", by=view.visitor.by)
    view.dashboard.changed()
    return job.id


async def _sent(edge: Edge, fields: Mapping[str, Any], caller: Caller, uploads: Mapping[str, Upload]) -> Job:
    """Send the request, and return its job once a door has received it."""
    watching = asyncio.create_task(edge.watch.run())
    try:
        return await edge.send(fields, caller, uploads)
    finally:
        watching.cancel()


def _form(view: View, text: str, *, source: str | None, problem: TelecineError | Refusal | None = None) -> Response:
    fields = problem.fields if isinstance(problem, TelecineError) else ()
    status = 200 if problem is None else problem.status if isinstance(problem, Refusal) else status_of(problem)
    return view.render(
        "send.html",
        status=status,
        text=text,
        source=source,
        code="" if problem is None else problem.code,
        message="" if problem is None else problem.message,
        problems=[field for field in fields if len(fields) > 1],
    )


def _fresh_id(stem: str = "job") -> str:
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


def _next_id(view: View, job_id: str) -> str:
    match = _COPY.fullmatch(job_id)
    stem, number = (match[1], int(match[2] or 1)) if match else (job_id, 0)
    while True:
        number += 1
        made = f"{stem[:_LONGEST_STEM]}-again{f'-{number}' if number > 1 else ''}"
        if find_job(view.database, made) is None:
            return made


def _upload(path: Path) -> Upload:
    content = path.read_bytes()
    return Upload(path, len(content), content[:HEAD_BYTES], hashlib.sha256(content))
