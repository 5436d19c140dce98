"""What surrounds one attempt: its job in every log line, its first line, and its span."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from consumer import tracing
from consumer.failpoints import failpoint
from consumer.ledger.leases import Claim
from consumer.logs import bound, logger

log = logger(__name__)


@contextlib.contextmanager
def attempt_scope(claim: Claim) -> Iterator[None]:
    """Log the start of an attempt, and make its span: a trace of its own, linked to the span that sent the request."""
    failpoint("advance.claimed")
    job, number = claim.job, claim.lease.epoch
    attributes = {"telecine.job.id": job.id, "telecine.job.type": job.type, "telecine.job.attempt": number}
    attributes |= {"telecine.tenant": job.tenant}
    with (
        bound(job_id=job.id, type=job.type, attempt=number),
        tracing.linked(f"attempt {job.type}", job.trace_context, attributes),
    ):
        log.info("job_started", crashes=job.crashes, failures=job.failures)
        yield
