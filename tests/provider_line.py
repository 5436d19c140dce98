"""Telecine in its own process with doubles of the providers, for tests of crashes and misbehaving providers."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

from consumer.doors.drop import drop
from consumer.ledger import calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.states import CallState
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.doubles.cococlip import Cococlip
from tests.doubles.pika import Pika
from tests.doubles.replicate import Replicate
from tests.doubles.server import Reply, Seen, Server
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until

GAME_KEY = "game-key-5f2a"
_MODELS = ("hailuo02standard", "seedancev1lite", "hailuo23fast", "wan25fast", "pika", "clip-interrogator")


class ProviderLine:
    """Telecine in embedded mode with doubles of Cococlip, Pika and Replicate, short polls and a price of $0.10 a call.

    The gateway's models have no routes to other providers, unless ``models`` says so.

    A context manager. ``telecine`` is not started.
    """

    def __init__(self, home: Path, telecine: TelecineProcess | None = None, **settings: object) -> None:
        self.cococlip, self.pika, self.replicate = Cococlip(), Pika(), Replicate()
        self.receiver = Receiver()
        self._pictures = Server(_picture)
        self._home, self._settings, self._given = home, settings, telecine
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for part in (self.cococlip, self.pika, self.replicate, self._pictures, self.receiver):
            self._open.enter_context(part)
        quick = {"first_wait_seconds": 0.2, "poll_seconds": 0.2, "price": "0.10", "routes": []}
        self.telecine = self._given or TelecineProcess(self._home)
        chosen = {
            "models": json.dumps([{"id": name, **quick} for name in _MODELS]),
            "cococlip_base_url": self.cococlip.url,
            "cococlip_auth_header": f"x-cococlip-key: {self.cococlip.key}",
            "replicate_settle_seconds": 0,
            "exchange_timeout_seconds": 8,
            "call_poll_seconds": 0.1,
            **self._settings,
        }
        self.telecine.environment |= {f"TELECINE_{name.upper()}": str(value) for name, value in chosen.items()} | {
            "PIKAPI_BEARER_TOKEN": self.pika.key,
            "PIKAPI_BASE_URL": self.pika.url,
            "REPLICATE_API_TOKEN": self.replicate.key,
            "REPLICATE_BASE_URL": self.replicate.url,
            "GAME_API_KEY": GAME_KEY,
            "CALLBACK_API_URL": f"{self.receiver.url.removesuffix('/hook')}/requests",
        }
        self._open.enter_context(self.telecine)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def picture(self) -> str:
        """URL of an image."""
        return f"{self._pictures.url}/cover.png"

    @property
    def secret(self) -> str:
        """The signing secret of callbacks."""
        return (self.telecine.home / "callback-secret").read_text().strip()

    def film(self, job_id: str, model: object = "hailuo02standard", **fields: Any) -> dict[str, Any]:
        """Request a video from text. The prompt is the job's id, by which Cococlip's double counts charges."""
        return self.ask(job_id, "text-to-video", {"prompt": job_id, "model": model}, **fields)

    def prompt(self, job_id: str, **fields: Any) -> dict[str, Any]:
        """Request the prompt of an image, from Replicate."""
        return self.ask(job_id, "image-to-prompt", {"image": self.picture}, **fields)

    def ask(self, job_id: str, job_type: str, data: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """Drop a request into the inbox and return it."""
        request = {"id": job_id, "type": job_type, "data": data, "callback": {"url": self.receiver.url}, **fields}
        drop(self.telecine.settings.inbox_folder, json.dumps(request).encode())
        return request

    def objects(self, job_id: str) -> dict[str, bytes]:
        """Return every file of the job's results."""
        folder = self.telecine.settings.storage_folder / "results" / job_id
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}

    def call(self, database: Database, job_id: str) -> CallRow | None:
        """Return the job's newest call."""
        found = calls.of_job(database, job_id)
        return found[-1] if found else None

    def unknown(self, job_id: str) -> CallRow:
        """Wait until the outcome of the job's call is unknown, and return the call."""
        database = self.telecine.database()
        try:
            found: CallRow = wait_until(
                lambda: (call := self.call(database, job_id)) and call.state is CallState.UNKNOWN and call,
                what=lambda: str(self.call(database, job_id)),
            )
            return found
        finally:
            database.close()

    def check_completed(self, job: Job, objects: Mapping[str, bytes] | None = None, secret: str | None = None) -> None:
        """Check that the job has one set of objects, one callback and only settled calls."""
        database = self.telecine.database()
        try:
            check_finished_once(database, job, self.objects(job.id) if objects is None else objects)
            wait_until(lambda: any(attempt.json()["data"]["id"] == job.id for attempt in self.receiver.attempts))
            check_callback_once(self.receiver, job.id, secret or self.secret)
            check_settled(database, job.id)
        finally:
            database.close()


def check_settled(database: Database, job_id: str) -> None:
    """Check that no price is reserved for the job any more and no call of it is leased."""
    rows = calls.of_job(database, job_id)
    assert rows
    for row in rows:
        assert row.settled, row
        assert (row.reserved, row.lease_owner, row.lease_until, row.due_at) == (0, None, None, None), row


async def _picture(seen: Seen) -> Reply:
    into = io.BytesIO()
    Image.new("RGB", (64, 48), (40, 90, 160)).save(into, "PNG")
    return Reply(200, into.getvalue(), {"content-type": "image/png"})
