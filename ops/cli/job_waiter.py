"""Waiting for a job to end, with its progress on the terminal."""

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
#: Seconds without a trace of the request after which a likely reason is shown.
_PATIENCE_SECONDS = 5.0


class JobWaiter:
    """Waits for the job of one request.

    Create it before sending the request; ``after`` is the number of the newest dead letter at that time.
    """

    def __init__(self, database: Database, request: Request, *, after: int) -> None:
        self._database = database
        self._request = request
        self._fingerprint = fingerprint(request.identity())
        self._after = after

    def ended_before(self) -> Job | None:
        """Return the job of the same request if it has ended already; sending the request again changes nothing."""
        job = find_job(self._database, self._request.id)
        return job if job is not None and job.terminal and job.fingerprint == self._fingerprint else None

    def until_ended(self, timeout_seconds: float, *, quiet: bool, embedded: bool, keep: bool = False) -> Job:
        """Wait until the job has ended and return it; end the command with status 2 after the timeout.

        The progress bar disappears at the end unless ``keep`` is set. Without a terminal there is no bar, and a
        request that is not received in time is a line on stderr, unless ``quiet``.

        Raises:
            TelecineError: If the request was refused.
        """
        started = time.monotonic()
        reported = quiet
        with _bar(quiet=quiet, keep=keep) as progress:
            bar = progress.add_task(self._request.id, total=100, state="sent")
            while (waited := time.monotonic() - started) < timeout_seconds:
                job = self.job()
                if job is not None:
                    progress.update(bar, completed=job.progress, state=job.state.value)
                    if job.terminal:
                        return job
                elif waited > _PATIENCE_SECONDS:
                    doubt = f"not received yet; {'is `telecine up`' if embedded else 'are the doors'} running?"
                    progress.update(bar, state=doubt)
                    if progress.disable and not reported:
                        remark(f"{self._request.id} {doubt}")
                        reported = True
                time.sleep(_POLL_SECONDS)
        job_id = self._request.id
        over = f"Job {job_id} has not ended after {timeout_seconds:g} s."
        return stop(f"{over} `telecine status {job_id}` shows its progress.", code="wait_timeout", status=2)

    def job(self) -> Job | None:
        """Return the job, if it belongs to this request and not to another one with the same id.

        Raises:
            TelecineError: If the request was refused.
        """
        job = find_job(self._database, self._request.id)
        if job is not None and job.fingerprint == self._fingerprint:
            return job
        refused = dead_letters.find_for_request(self._database, self._request.id, after=self._after)
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
