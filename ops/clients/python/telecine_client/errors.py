"""What can go wrong. Every error has a stable ``code``, where there is one the same as Telecine's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TelecineError(Exception):
    """The base of all errors of this package."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RequestError(TelecineError):
    """The request is invalid, or the edge refused it. Sending the same again does not help."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(code, message)
        #: The path of the invalid field, such as ``data.font_size``.
        self.field = field


class SendError(TelecineError):
    """The door is not known to have the request. Send it again with the same id: it becomes one job."""

    def __init__(self, message: str, code: str = "not_sent") -> None:
        super().__init__(code, message)


class JobError(TelecineError):
    """The job ended without a result: it failed, expired or was cancelled."""

    def __init__(self, status: str, failure: Mapping[str, Any], job_id: str) -> None:
        super().__init__(str(failure.get("code", status)), str(failure.get("message", f"the job is {status}")))
        #: ``failed``, ``expired`` or ``cancelled``.
        self.status = status
        self.job_id = job_id
        #: Whether another request with the same content may succeed.
        self.retryable = bool(failure.get("retryable", False))
        self.step: str | None = failure.get("step")
        self.field: str | None = failure.get("field")


class WaitTimeoutError(TelecineError, TimeoutError):
    """The job has not ended within the time that the caller waits. The job goes on."""

    def __init__(self, message: str) -> None:
        super().__init__("wait_timeout", message)


class CallbackError(TelecineError):
    """The callback is not from Telecine, or too old. Answer 401."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_callback", message)
