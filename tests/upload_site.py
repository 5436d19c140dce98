"""A ledger, an object store and trigger rules, with everything from the door to the job of an upload."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import dead_letters, queries, uploads
from consumer.ledger.database import Database
from consumer.ledger.due import Wake
from consumer.ledger.records import DeadLetter, Job
from consumer.ledger.tables import uploads as table
from consumer.storage.base import Storage
from consumer.storage.memory import MemoryStorage
from consumer.uploads.loop import UploadLoop
from consumer.uploads.request_factory import RequestFactory
from ops.dead_letter_replay import DeadLetterReplay
from providers.http.policy import Policy
from schemas.tenants import TenantRules
from schemas.trigger_requests import check_rules
from schemas.triggers import Trigger
from tests.s3_messages import notified

LIMIT = 262_144
REEL: dict[str, Any] = {"type": "reel", "data": {"alignment_mode": "even", "lyrics": "La"}}
#: A rule of each kind, each for another folder of the bucket ``inbox``.
RULES: list[dict[str, Any]] = [
    {"bucket": "inbox", "prefix": "songs/", "suffix": ".mp3", "audio": "{uri}", "image": "s3://inbox/c.png", **REEL},
    {"bucket": "inbox", "prefix": "pairs/", "pair": True, "data": {"alignment_mode": "even"}},
    {"bucket": "inbox", "prefix": "orders/", "suffix": ".request.json", "manifest": True},
]


@dataclass
class Site:
    """The environment of the upload tests. ``add`` uploads an object without an event."""

    database: Database
    scratch: Path
    storage: Storage = field(default_factory=MemoryStorage)
    rules: Sequence[dict[str, Any]] = tuple(RULES)
    tenants: TenantRules = field(default_factory=TenantRules)
    secrets: Sequence[str] = ()
    default_signer: str = "default"
    woken: list[Wake] = field(default_factory=list)

    def __post_init__(self) -> None:
        triggers = check_rules([Trigger(**rule) for rule in self.rules], ["s3://results/"])
        self.policy = AdmissionPolicy(
            roles={"reel": "render"},
            secret_names=frozenset(self.secrets),
            policy=Policy(),
            max_message_bytes=LIMIT,
            tenants=self.tenants,
            triggers=triggers,
            default_signer=self.default_signer,
        )
        self.request_factory = RequestFactory(self.storage, self.scratch, LIMIT, triggers)
        self.admitter = BatchAdmitter(self.database, self.policy)
        self.loop = UploadLoop(self.database, self.admitter, self.request_factory, self.woken.extend, poll_seconds=0.05)

    def add(self, key: str, content: bytes = b"x") -> str:
        """Upload an object into ``inbox`` without an event, and return its ETag."""
        assert isinstance(self.storage, MemoryStorage)
        self.storage.add(f"s3://inbox/{key}", content)
        head = self.storage.head(f"s3://inbox/{key}")
        assert head is not None
        assert head.etag is not None
        return head.etag

    def remove(self, key: str) -> None:
        """Delete the object."""
        assert isinstance(self.storage, MemoryStorage)
        del self.storage._entries["inbox", key]

    def door(
        self, *messages: dict[str, Any] | bytes, door: str = "amqp", source: str = "uploads"
    ) -> Sequence[AdmitResult]:
        """Admit the messages in one batch, as a door does."""
        bodies = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in messages]
        return self.admitter([IncomingMessage(body, door, source) for body in bodies])

    def process_uploads(self) -> None:
        """Process the due uploads once, as the loop does."""
        for waiting in uploads.claim_due(self.database, limit=1_000, seconds=15):
            if (wake := self.loop.process(waiting)) is not None:
                self.woken.append(wake)

    def upload(self, key: str, content: bytes = b"x", **event: Any) -> Sequence[AdmitResult]:
        """Upload an object and process its event."""
        etag = self.add(key, content)
        answers = self.door(notified(key, etag=etag, **event))
        self.process_uploads()
        return answers

    def jobs(self) -> list[Job]:
        """Return every job, oldest first."""
        return sorted(queries.list_jobs(self.database, limit=1_000), key=lambda job: job.received_at)

    def job(self) -> Job:
        """Return the only job."""
        (job,) = self.jobs()
        return job

    def letters(self) -> list[DeadLetter]:
        """Return every dead letter, oldest first."""
        return list(dead_letters.list_newest(self.database, limit=5_000))[::-1]

    def letter(self) -> DeadLetter:
        """Return the only dead letter."""
        (letter,) = self.letters()
        return letter

    def waiting(self) -> int:
        """Return the number of stored uploads."""
        return uploads.count(self.database)

    def replay(self, letter: DeadLetter) -> str:
        """Replay a dead letter; return the result, or the error code if it fails again."""
        done = DeadLetterReplay(self.database, self.policy, self.woken.extend, request_factory=self.request_factory)(
            letter
        )
        return done.result if done.refused is None else done.refused.code

    def due_at(self) -> float:
        """Return when the only stored upload is due, by the database's clock."""
        with self.database.read() as connection:
            return float(connection.execute(sa.select(table.c.due_at)).scalar_one())

    def another_loop(self) -> UploadLoop:
        """Return the loop of a second process on the same ledger."""
        admitter = BatchAdmitter(self.database, self.policy)
        return UploadLoop(self.database, admitter, self.request_factory, self.woken.extend, poll_seconds=0.05)

    def change(self, **values: Any) -> None:
        """Update every stored upload in the database."""
        with self.database.write() as connection:
            connection.execute(sa.update(table).values(**values))


Make = Callable[..., Site]
