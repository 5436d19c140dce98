"""What all calls of the edge share: check a request, store its uploads, send it, and wait on the ledger."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request as HttpRequest

from consumer import tracing
from consumer.ledger import dead_letters
from consumer.ledger.admission import Identity
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.states import TERMINAL
from consumer.runtime import Runtime
from consumer.storage.base import ObjectFacts
from consumer.storage.edge_uploads import is_upload, job_uploads_folder, upload_facts
from consumer.storage.scratch import job_folder
from consumer.wiring import admission_policy
from ops.cli.sending import send_quietly
from ops.edge.access import Access, Caller
from ops.edge.forms import Upload
from ops.edge.rate import RateLimit
from ops.edge.refusal import Refusal
from ops.edge.watch import UNSEEN, LedgerWatch, Snapshot
from pipelines.media.inspect.sniff import CONTENT_TYPES, sniff, wrong_kind
from schemas.envelope import JOB_ID_PATTERN, Request
from schemas.errors import (
    ConfigurationError,
    IdConflict,
    InvalidEnvelope,
    InvalidField,
    JobNotFound,
    OutputExists,
    TenantForbidden,
    error_for,
)
from schemas.parse import parse_request
from schemas.reference import references

#: How long a call waits until a door has received its request. It usually takes a tenth of a second.
ADMISSION_SECONDS = 10.0
#: How often a waiting call checks whether its client is still there.
_HANG_UP_SECONDS = 1.0
_MOST_ID_CHARACTERS = 128
_SLOW_CALLS = 8
#: The owner of an upload in the object's metadata, in place of the fingerprint of a request.
_UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class FileRule:
    """What a field of a form may hold."""

    limit_bytes: int
    #: The kinds of files, by content.
    kinds: Collection[str]


class Edge:
    """The parts of one edge process. It keeps nothing about jobs: each answer comes from the ledger and the storage."""

    def __init__(self, runtime: Runtime) -> None:
        self.settings = runtime.settings
        self.runtime = runtime
        self.access = Access(runtime.settings)
        self.rate = RateLimit(runtime.settings.edge_calls_per_minute)
        self.watch = LedgerWatch(runtime.database, most=runtime.settings.edge_max_open_calls)
        #: For work that may take half a minute, so that other calls find a free thread.
        self.slow = CapacityLimiter(_SLOW_CALLS)
        self._policy = admission_policy(runtime)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder for the files of one call."""
        with job_folder(self.settings.scratch_folder) as folder:
            yield folder

    def check(self, fields: Mapping[str, Any], caller: Caller) -> tuple[Request, bytes]:
        """Check a request as the door does, and return it with the message to send.

        Raises:
            RequestError: It is invalid, or may not be sent by this caller.
        """
        if caller.tenant is not None and fields.get("tenant") is None:
            fields = {**fields, "tenant": caller.tenant}
        body = json.dumps(fields, ensure_ascii=False).encode()
        request = parse_request(body, limit_bytes=self.settings.max_message_bytes)
        if not isinstance(request, Request):
            raise InvalidEnvelope("a control message is not a request; cancel a job with POST /v1/jobs/{id}/cancel")
        if caller.tenant is not None and request.tenant != caller.tenant:
            raise TenantForbidden("tenant: the token belongs to another tenant; omit `tenant`", field="tenant")
        request = self._policy.check(request, self.settings.own_queue).request
        self._check_uploads(request)
        self._check_conflict(request)
        return request, body

    async def send(self, fields: Mapping[str, Any], caller: Caller, uploads: Mapping[str, Upload] | None = None) -> Job:
        """Check the request, store its uploads, send it, and return its job.

        ``uploads`` are the files of ``data``, by field. They are stored only once the request is known to be valid.

        Raises:
            TelecineError: The request is refused.
            Refusal: It could not be sent, or no door has received it yet.
        """
        if "traceparent" not in fields:
            fields = {**fields, **(tracing.carrier() or caller.trace)}
        request, body = await run_sync(self.check, self._with_uploads(fields, caller, uploads or {}), caller)
        after = await run_sync(dead_letters.newest_number, self.runtime.database)
        for name, upload in (uploads or {}).items():
            await run_sync(self.store, upload, self._upload_uri(request.id, name, upload, caller), request.id)
        try:
            await run_sync(send_quietly, self.settings, [body])
        except ConfigurationError as error:
            raise Refusal(503, "not_sent", error.message, retry_after="10") from None
        return await self._admitted(request, after)

    def store(self, upload: Upload, uri: str, job_id: str) -> None:
        """Store a received file under the job. The same file again changes nothing.

        Raises:
            OutputExists: Another file was uploaded under this name.
        """
        kind = sniff(upload.head)
        facts = ObjectFacts(
            job_id=job_id,
            fingerprint=_UPLOAD,
            content_type="application/octet-stream" if kind is None else CONTENT_TYPES[kind],
            sha256=upload.sha256,
            bytes=upload.size,
            facts=upload_facts(),
        )
        if self.runtime.storage.put(upload.path, uri, facts).sha256 != facts.sha256:
            raise OutputExists("another file was uploaded under this name; choose another one", field="name")

    def find(self, job_id: str, caller: Caller) -> Job:
        """Return a job of the caller.

        Raises:
            JobNotFound: There is none with this id.
        """
        job = find_job(self.runtime.database, job_id) if is_job_id(job_id) else None
        if job is None or not caller.may_see(job):
            raise JobNotFound(f"no job has the id {job_id[:_MOST_ID_CHARACTERS]!r}")
        return job

    async def wait(self, http: HttpRequest, job: Job, seconds: float) -> Job:
        """Return the job once it has ended, or after ``seconds``.

        If the client hangs up the wait ends, and the job goes on.
        """
        deadline = time.monotonic() + min(seconds, self.settings.edge_wait_seconds)
        if job.terminal or seconds <= 0:
            return job
        with self.watch.slot():
            seen: Snapshot = UNSEEN
            while (left := deadline - time.monotonic()) > 0 and not await http.is_disconnected():
                seen = await self.watch.changed(job.id, seen, min(left, _HANG_UP_SECONDS))
                if seen is None or seen[0] in TERMINAL:
                    break
        return await run_sync(find_job, self.runtime.database, job.id) or job

    async def finished(self, http: HttpRequest, job: Job) -> Job:
        """Wait until the job has completed, and return it.

        Raises:
            TelecineError: It ended with this error.
            Refusal: It has not ended in time.
        """
        ended = await self.wait(http, job, self.settings.edge_wait_seconds)
        if ended.error is not None:
            error = error_for(ended.error["code"], ended.error["message"], step=ended.error.get("step"))
            error.field = ended.error.get("field")
            raise error
        if not ended.terminal:
            raise Refusal(504, "wait_timeout", f"the job {job.id} has not ended yet; ask for /v1/jobs/{job.id} later")
        return ended

    def job_id(self, http: HttpRequest, caller: Caller, chosen: str | None = None) -> str:
        """Return the id for a new request: from its ``Idempotency-Key``, from ``chosen``, or else a random one.

        The same key of the same tenant always gives the same id.
        """
        key = http.headers.get("idempotency-key") or chosen
        if not key:
            return f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{uuid.uuid4().hex}"
        if is_job_id(key) and caller.tenant is None:
            return key
        readable = re.sub(r"[^A-Za-z0-9._:-]+", "-", key).strip("-.")[:40]
        digest = hashlib.sha256(json.dumps([caller.tenant, key]).encode()).hexdigest()[:24]
        return f"{readable}-{digest}" if readable else digest

    def manifest(self, job: Job) -> dict[str, Any]:
        """Return the manifest of a completed job; empty for a plan."""
        found = output_of(job, "manifest.json")
        if found is None:
            return {}
        content = b"".join(self.runtime.storage.read(found["uri"], 0, found["bytes"]))
        return dict(json.loads(content))

    def url_of(self, http: HttpRequest, job: Job, output: Mapping[str, Any]) -> str:
        """Return a URL that a browser can open without a token."""
        lifetime, name = self.settings.result_url_seconds, str(output["name"])
        if self.runtime.storage.has_urls:
            return self.runtime.storage.url(str(output["uri"]), lifetime)
        base = str(http.base_url).rstrip("/")
        return f"{base}/v1/jobs/{job.id}/outputs/{name}{self.access.link_query(job.id, name, lifetime)}"

    def _with_uploads(
        self, fields: Mapping[str, Any], caller: Caller, uploads: Mapping[str, Upload]
    ) -> Mapping[str, Any]:
        named = {name: self._upload_uri(str(fields["id"]), name, upload, caller) for name, upload in uploads.items()}
        return {**fields, "data": {**fields["data"], **named}} if named else fields

    def _upload_uri(self, job_id: str, name: str, upload: Upload, caller: Caller) -> str:
        # With the content in its name, another file under the same id is another request, and refused.
        return f"{job_uploads_folder(self.settings, caller.tenant, job_id)}{upload.sha256[:32]}-{name}"

    def _check_uploads(self, request: Request) -> None:
        """Check that the request uses no upload of another job, with which the file would be deleted."""
        own = job_uploads_folder(self.settings, request.tenant, request.id)
        for name, uri in references(request.data):
            if is_upload(uri) and not uri.startswith(own):
                raise InvalidField(
                    f"data.{name}: was uploaded for a request with another id; use that id, or upload it again",
                    field=f"data.{name}",
                )

    def _check_conflict(self, request: Request) -> None:
        job, identity = find_job(self.runtime.database, request.id), Identity.of(request)
        if job is not None and (job.fingerprint, job.tenant) != (identity.fingerprint, identity.tenant):
            raise IdConflict(f"the id {request.id!r} belongs to another request; use a new id", field="id")

    async def _admitted(self, request: Request, after: int) -> Job:
        """Return the job once a door has received the request."""
        identity, deadline = Identity.of(request), time.monotonic() + ADMISSION_SECONDS
        while time.monotonic() < deadline:
            if await self.watch.changed(request.id, None, 0.3) is not None:
                job = await run_sync(find_job, self.runtime.database, request.id)
                if job is not None and job.fingerprint == identity.fingerprint:
                    return job
            letter = await run_sync(_letter, self.runtime, request.id, after)
            if letter is not None:
                raise error_for(letter.code, letter.message)
        raise Refusal(
            503,
            "not_received",
            f"the request {request.id} was sent, but no door has received it; is `telecine up` running? "
            "Send it again with the same Idempotency-Key",
            retry_after="10",
        )


def is_job_id(text: str) -> bool:
    """Return whether a request may have this id."""
    return bool(re.fullmatch(JOB_ID_PATTERN, text)) and len(text) <= _MOST_ID_CHARACTERS and text not in (".", "..")


def check_file(upload: Upload | None, name: str, rule: FileRule) -> Upload:
    """Check that a file was sent, and its kind by its content.

    Raises:
        InputError: It is of another kind, with the words of the source systems.
    """
    kind = None if upload is None else sniff(upload.head)
    if upload is None or kind not in rule.kinds:
        raise wrong_kind(kind, rule.kinds, field=name)
    return upload


def output_of(job: Job, name: str) -> dict[str, Any] | None:
    """Return the record of one output of a completed job, or ``None``."""
    return next((output for output in (job.outcome or {}).get("outputs", []) if output["name"] == name), None)


def main_output(job: Job) -> dict[str, Any]:
    """Return the record of the job's film, or else of its first file.

    Raises:
        JobNotFound: The job has no files.
    """
    outputs = (job.outcome or {}).get("outputs", [])
    found = next((output for output in outputs if output["name"] == "video.mp4"), outputs[0] if outputs else None)
    if found is None:
        raise JobNotFound(f"the job {job.id} has no files")
    return dict(found)


def _letter(runtime: Runtime, request_id: str, after: int) -> Any:
    return dead_letters.find_for_request(runtime.database, request_id, after=after)
