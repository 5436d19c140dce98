"""A command line with a ledger and jobs in it, for the tests of ``ops``."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.callbacks.bodies import job_delivery
from consumer.ledger import completion, leases, steps
from consumer.ledger.database import Database
from consumer.ledger.owner import this_process
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.runtime import Runtime
from consumer.storage.base import ObjectFacts
from consumer.wiring import admission_policy, build_runtime, open_ledger
from ops.cli.main import app
from schemas.callback import Output
from schemas.errors import TelecineError
from schemas.settings import Settings

REEL = {"image": "s3://inbox/cover.jpg", "audio": "s3://inbox/song.mp3", "lyrics": "One\nTwo", "alignment_mode": "even"}
#: The owner id of a process that no longer runs, so that its lease can be taken over at once.
DEAD_WORKER = "boot/namespace/worker-a/4711/1/abcdef01"
DEAD_LABEL = "worker-a:4711"


@dataclass(frozen=True)
class CommandResult:
    """The output and exit status of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The stdout, parsed as JSON."""
        return json.loads(self.out)


class Operator:
    """An operator with a separate TELECINE_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings(home=home)

    def run(self, *arguments: str, stdin: bytes = b"") -> CommandResult:
        """Run ``telecine`` with the arguments."""
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return CommandResult(result.exit_code, result.stdout, result.stderr)

    def database(self) -> Database:
        """Open the ledger; the caller closes it."""
        return open_ledger(self.settings)

    def runtime(self) -> Runtime:
        """Build a worker's runtime; the caller closes it."""
        return build_runtime(self.settings)

    def job(self, job_id: str) -> Job | None:
        """Return the current state of the job."""
        database = self.database()
        try:
            return find_job(database, job_id)
        finally:
            database.close()

    def arrive(self, *bodies: bytes, headers: Mapping[str, Any] | None = None) -> None:
        """Admit messages from the inbox."""
        runtime = self.runtime()
        try:
            BatchAdmitter(runtime.database, admission_policy(runtime))(
                [IncomingMessage(body, "inbox", "inbox", headers or {}) for body in bodies]
            )
        finally:
            runtime.close()

    def receive(self, job_id: str, **more: Any) -> None:
        """Admit one reel request from the inbox."""
        self.arrive(request(job_id, **more))

    def start(self, job_id: str, *, owner: str | None = None) -> leases.Claim:
        """Claim the job as a worker."""
        database = self.database()
        try:
            claim = leases.claim(database, job_id, owner=owner or this_process(), seconds=0.001 if owner else 30)
            assert claim is not None
            return claim
        finally:
            database.close()

    def step(self, claim: leases.Claim, name: str) -> None:
        """Record one finished step."""
        database = self.database()
        try:
            steps.begin(database, claim.lease, name)
            steps.record(database, claim.lease, name, [], artifacts=["video.mp4"])
        finally:
            database.close()

    def complete(self, claim: leases.Claim) -> None:
        """Store one file and complete the job."""
        runtime = self.runtime()
        try:
            output = _store(runtime, claim.job)
            completion.begin_storing(runtime.database, claim.lease)
            delivery = job_delivery(
                claim.job, "completed", status="completed", now=runtime.database.now(), outputs=[output]
            )
            outcome = {"outputs": [output.model_dump(exclude_none=True)]}
            completion.finish(runtime.database, claim.lease, State.COMPLETED, outcome=outcome, delivery=delivery)
        finally:
            runtime.close()

    def fail(self, claim: leases.Claim, error: TelecineError) -> None:
        """End the job as failed."""
        database = self.database()
        try:
            delivery = job_delivery(claim.job, "failed", status="failed", now=database.now(), error=error)
            completion.finish(database, claim.lease, State.FAILED, error=error, delivery=delivery)
        finally:
            database.close()

    def completed(self, job_id: str, **more: Any) -> None:
        """Admit, claim and complete a job."""
        self.receive(job_id, **more)
        claim = self.start(job_id)
        self.step(claim, "render")
        self.complete(claim)


def an_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """Yield an operator in an empty folder with default settings: ``pytest.fixture(an_operator, name=…)``."""
    for name in [name for name in os.environ if name.startswith(("TELECINE_", "SENTRY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TELECINE_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Operator(tmp_path / "data")
    root.handlers[:] = handlers
    root.setLevel(level)


def request(job_id: str, **more: Any) -> bytes:
    """Return a reel request."""
    return json.dumps({"id": job_id, "type": "reel", "data": REEL} | more).encode()


def _store(runtime: Runtime, job: Job) -> Output:
    content = f"the video of {job.id}".encode()
    path = runtime.settings.home / "made.mp4"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    output = json.loads(job.request).get("output") or runtime.settings.output
    uri = f"{output}{job.id}/video.mp4"
    facts = ObjectFacts(
        job_id=job.id, fingerprint=job.fingerprint, content_type="video/mp4", sha256=sha256, bytes=len(content)
    )
    runtime.storage.put(path, uri, facts)
    return Output(
        name="video.mp4",
        uri=uri,
        sha256=sha256,
        bytes=len(content),
        content_type="video/mp4",
        width=1080,
        height=1920,
        duration_seconds=182.4,
        fps=30,
        frames=5472,
    )
