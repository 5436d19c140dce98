"""The base of every error: a code for programs, a message for people, and a verdict for the engine."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


class Verdict(enum.Enum):
    """How the engine handles an error."""

    #: Permanent: the same request can never succeed, so the job fails at once.
    NEVER = "never"
    #: Temporary: the job is parked and retried.
    LATER = "later"
    #: Specific to this worker: another worker may succeed.
    ELSEWHERE = "elsewhere"
    #: The outcome is unknown: never repeated until an operator or the provider settles it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request."""

    #: Its path in the request, such as ``data.font_size``; empty for the request as a whole.
    path: str
    message: str


class TelecineError(Exception):
    """Base of all errors. The code names the problem, the message says what to do.

    Without a message of its own an error has its ``default_message``, or else the first paragraph of its docstring.
    """

    code: ClassVar[str] = "error"
    verdict: ClassVar[Verdict] = Verdict.NEVER
    #: Wordings of the five source systems, which clients may match on.
    default_message: ClassVar[str | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        field: str | None = None,
        step: str | None = None,
        fields: Sequence[FieldError] = (),
        outage: bool = False,
    ) -> None:
        self.message = message or self.default_message or _first_paragraph(self.__doc__ or self.code)
        self.field = field
        self.step = step
        self.fields = tuple(fields)
        #: Whether a part of this installation is unavailable: its storage, ledger, disk or credentials. Waiting for
        #: its return does not use up the retries of a job.
        self.outage = outage
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        """True if the same content may succeed when it is sent again later under a new id."""
        return self.verdict is not Verdict.NEVER

    def as_record(self) -> dict[str, Any]:
        """Return the ``error`` object of a callback, with ``field`` and ``step`` if they are known.

        ``fields`` is there if several fields are invalid.
        """
        record: dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if self.field is not None:
            record["field"] = self.field
        if self.step is not None:
            record["step"] = self.step
        if self.fields:
            record["fields"] = [asdict(field) for field in self.fields]
        return record


def _first_paragraph(docstring: str) -> str:
    return inspect.cleandoc(docstring).partition("\n\n")[0].replace("\n", " ")
