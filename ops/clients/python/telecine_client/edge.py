"""Sends requests to the HTTP edge, and waits there for their end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast
from urllib.parse import quote

import urllib3

from telecine_client.door import Door
from telecine_client.errors import JobError, RequestError, SendError, WaitTimeoutError
from telecine_client.results import Failure, Output

_ENDED = ("completed", "failed", "cancelled", "expired")
#: How long one call waits at most; then the next one does.
_WAIT_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_RETRIED = (429, 503)


class Job(TypedDict, total=False):
    """A job as the edge shows it. It has further fields."""

    job_id: str
    type: str
    status: Literal["received", "running", "waiting", "storing", "completed", "failed", "cancelled", "expired"]
    progress_percentage: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    processing_time_seconds: float | None
    error: Failure | None
    outputs: list[Output] | None
    plan: dict[str, Any] | None


class Edge(Door):
    """Telecine's HTTP edge, with the token of a tenant if it requires one. Threads may share it.

    A call is repeated up to ``retries`` times if the edge cannot be reached or asks for a later call.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", *, token: str | None = None, retries: int = 3) -> None:
        self._url = url.rstrip("/")
        again = urllib3.Retry(retries, status_forcelist=_RETRIED, allowed_methods=None, backoff_factor=0.3)
        again.raise_on_status = False
        headers = {"accept": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._http = urllib3.PoolManager(headers=headers, retries=again)

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def cancel(self, job_id: str) -> None:
        """Cancel a job. If it has ended already, nothing changes.

        Raises:
            RequestError: There is no such job.
            SendError: The edge cannot be reached.
        """
        self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel")

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            RequestError: There is none with this id, ``job_not_found``, or the token is not valid.
            SendError: The edge cannot be reached.
        """
        return cast("Job", self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}"))

    def wait(self, job_id: str, *, timeout: float = 600.0) -> Job:
        """Wait until the job has completed, and return it with a URL for each file.

        A job whose request is still in a queue is waited for, and so is an edge that restarts.

        Raises:
            JobError: The job ended without a result; its ``code`` says why.
            WaitTimeoutError: It has not ended after ``timeout`` seconds.
            RequestError: The token is not valid.
        """
        deadline, last = time.monotonic() + timeout, "it has not ended"
        while (left := deadline - time.monotonic()) > 0:
            try:
                found = cast("Job", self._call("GET", _waiting_path(job_id, left), again=False))
            except RequestError as error:
                if error.code != "job_not_found":
                    raise
                last = "no job has this id: it was not received, refused or deleted"
            except SendError as error:
                last = error.message
            else:
                if found["status"] in _ENDED:
                    return _completed(found, job_id)
                last = f"it is {found['status']}"
                continue
            time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
        raise WaitTimeoutError(f"the job {job_id} after {timeout:g} s: {last}")

    def upload(self, job_id: str, name: str, file: str | Path) -> str:
        """Store a file for the request with this id, and return its URI for ``data``. It is deleted with the job.

        Raises:
            RequestError: The file is too large, or another file has this name.
            SendError: The edge cannot be reached.
        """
        path = f"/v1/uploads/{quote(job_id, safe='')}/{quote(name, safe='')}"
        with Path(file).open("rb") as opened:
            return str(self._call("PUT", path, body=opened)["uri"])

    def _send(self, body: bytes, name: str) -> None:
        self._call("POST", "/v1/jobs", body=body)

    def _call(self, method: str, path: str, *, body: Any = None, again: bool = True) -> Mapping[str, Any]:
        options: dict[str, Any] = {} if again else {"retries": False}
        if isinstance(body, bytes):
            options["headers"] = {**self._http.headers, "content-type": "application/json"}
        timeout = urllib3.Timeout(connect=10.0, read=_WAIT_SECONDS + 30.0)
        try:
            response = self._http.request(method, self._url + path, body=body, timeout=timeout, **options)
            answer = _object(response.data)
        except urllib3.exceptions.HTTPError as error:
            raise SendError(f"the edge at {self._url}: {error}") from error
        if response.status < 300:
            return answer
        raise _error(response.status, answer, self._url)


def _waiting_path(job_id: str, left: float) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}?wait={min(left, _WAIT_SECONDS):.3f}"


def _completed(job: Job, job_id: str) -> Job:
    if job["status"] == "completed":
        return job
    raise JobError(job["status"], cast("Mapping[str, Any]", job.get("error") or {}), job_id)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(status: int, answer: Mapping[str, Any], url: str) -> RequestError | SendError:
    error = answer.get("error")
    if not isinstance(error, dict):
        return SendError(f"{url} answered HTTP {status}, and not as the edge does", "unexpected_answer")
    code, message = str(error.get("code")), str(error.get("message"))
    if status in _RETRIED or status >= 500:
        return SendError(message, code)
    return RequestError(code, message, error.get("field"))
