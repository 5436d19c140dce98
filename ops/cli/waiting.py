"""Waiting for a job's end, its progress on the terminal."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from consumer.ledger import dead_letters
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from ops.cli.console import err, remark, stop
from schemas.envelope import Request
from schemas.errors import error_for
from schemas.strict_json import fingerprint

_POLL_SECONDS = 0.1
#: After so long without a trace of the request, the likely reason is said.
_PATIENCE_SECONDS = 5.0


class Waiting:
    """Waits for the job of one request. Made before it is sent, when ``after`` is the newest dead letter."""

    def __init__(self, database: Database, request: Request, *, after: int) -> None:
        self._database = database
        self._request = request
        self._fingerprint = fingerprint(request.identity())
        self._after = after

    def until_ended(self, timeout_seconds: float, *, quiet: bool, embedded: bool, keep: bool = False) -> Job:
        """The job once it has ended. When the time is over, the command ends with status 2.

        The bar goes away at the end; with ``keep`` it stays. Where there is no terminal there is none, and a
        request that nobody takes is a line on stderr, unless ``quiet``.

        Raises:
            TelecineError: the door refused the request.
        """
        started = time.monotonic()
        told = quiet
        with _bar(quiet=quiet, keep=keep) as progress:
            bar = progress.add_task(self._request.id, total=100, state="sent")
            while (waited := time.monotonic() - started) < timeout_seconds:
                job = self._job()
                if job is not None:
                    progress.update(bar, completed=job.progress, state=job.state.value)
                    if job.terminal:
                        return job
                elif waited > _PATIENCE_SECONDS:
                    doubt = f"not received yet; {'is `telecine up` running' if embedded else 'do the doors run'}?"
                    progress.update(bar, state=doubt)
                    if progress.disable and not told:
                        remark(f"{self._request.id} {doubt}")
                        told = True
                time.sleep(_POLL_SECONDS)
        job_id = self._request.id
        over = f"Job {job_id} has not ended after {timeout_seconds:g} s."
        return stop(f"{over} `telecine status {job_id}` shows how far it is.", code="wait_timeout", status=2)

    def _job(self) -> Job | None:
        """The job, if it is this request's and not another's with the same id."""
        job = find_job(self._database, self._request.id)
        if job is not None and job.fingerprint == self._fingerprint:
            return job
        refused = dead_letters.refusal_of(self._database, self._request.id, after=self._after)
        if refused is not None:
            raise error_for(refused.code, refused.message)
        return None


def _bar(*, quiet: bool, keep: bool) -> Progress:
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(30),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        console=err,
        disable=quiet or not (err.is_terminal or keep),
        transient=not keep,
    )
