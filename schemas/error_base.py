"""What every error of Telecine has: a code, a verdict, a message."""

from __future__ import annotations

import enum
import inspect
from typing import Any, ClassVar


class Verdict(enum.Enum):
    """What the engine does with an error."""

    #: The same request can never succeed: the job fails at once.
    NEVER = "never"
    #: A fault that passes: the job waits and is tried again.
    LATER = "later"
    #: This worker cannot do it, another one may.
    ELSEWHERE = "elsewhere"
    #: Nobody knows whether it happened: never repeated without a look.
    UNKNOWN = "unknown"


class TelecineError(Exception):
    """Something went wrong; the code says what, the message says what to do."""

    code: ClassVar[str] = "error"
    verdict: ClassVar[Verdict] = Verdict.NEVER

    def __init__(self, message: str | None = None, *, field: str | None = None, step: str | None = None) -> None:
        self.message = message or inspect.cleandoc(self.__doc__ or self.code).partition("\n\n")[0].replace("\n", " ")
        self.field = field
        self.step = step
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        """Whether the same content, sent again later under a new id, may fare better."""
        return self.verdict is not Verdict.NEVER

    def as_record(self) -> dict[str, Any]:
        """The ``error`` object of a callback; ``field`` and ``step`` are in it where they are known."""
        record: dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if self.field is not None:
            record["field"] = self.field
        if self.step is not None:
            record["step"] = self.step
        return record
