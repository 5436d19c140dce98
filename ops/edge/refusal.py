"""Errors as HTTP responses: one table of statuses, and the body that each family of calls has."""

from __future__ import annotations

from typing import Any

from schemas import errors
from schemas.errors import TelecineError

#: The status of an error, by the first class that it belongs to.
_STATUSES: tuple[tuple[type[TelecineError], int], ...] = (
    (errors.InputTooLarge, 413),
    (errors.MessageTooLarge, 413),
    (errors.ConsentRequired, 403),
    (errors.TenantForbidden, 403),
    (errors.TenantRequired, 403),
    (errors.TenantUnknown, 403),
    (errors.JobNotFound, 404),
    (errors.IdConflict, 409),
    (errors.OutputExists, 409),
    (errors.AlreadyCompleted, 409),
    (errors.AlreadyPaid, 409),
    (errors.JobNotEnded, 409),
    (errors.ProviderOutcomeUnknown, 409),
    (errors.ResultsDeleted, 410),
    (errors.RateLimited, 429),
    (errors.InputUnavailable, 503),
    (errors.StorageUnavailable, 503),
    (errors.ModelNotInstalled, 503),
    (errors.ConfigurationError, 503),
    (errors.RequestError, 400),
    (errors.InputError, 400),
)


class Refusal(Exception):
    """A response with an error that is about the HTTP call itself, not about the request in it."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def status_of(error: TelecineError) -> int:
    """Return the HTTP status of an error; 500 if it is not the caller's fault."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def record_of(error: TelecineError | Refusal) -> dict[str, Any]:
    """Return the error object of the native API."""
    if isinstance(error, Refusal):
        return {"code": error.code, "message": error.message, "retryable": error.status in (408, 429, 503, 504)}
    return error.as_record()


def plain_message(error: TelecineError | Refusal) -> str:
    """Return the message for clients of the source systems, which know parameters without ``data.``."""
    return error.message.replace("data.", "")


def validation_detail(error: TelecineError) -> list[dict[str, Any]]:
    """Return the ``detail`` of a 422 response of FastAPI, one item per invalid field."""
    fields = [(field.path, field.message) for field in error.fields] or [(error.field or "", plain_message(error))]
    kind = "missing" if isinstance(error, errors.MissingField) else "value_error"
    return [
        {"type": kind, "loc": ["body", *path.removeprefix("data.").split(".")], "msg": message}
        for path, message in fields
    ]
