"""What all doors have in common."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

from telecine_client.message import message_of
from telecine_client.requests import JobCancel, Request


class Door(ABC):
    """A way to send requests. Can be used as a context manager."""

    def submit(self, request: Request) -> str:
        """Check the request, send it and return its id.

        When this returns, the door has stored the request. After a ``SendError`` send it again with the same id.

        Raises:
            RequestError: The request is invalid; nothing was sent.
            SendError: The door is not known to have it.
        """
        return self._submit(cast("Mapping[str, object]", request), checked=True)

    def submit_unchecked(self, request: Mapping[str, object]) -> str:
        """Send a request as it is: of a job type of an extension, or with fields that this client does not know.

        Raises:
            RequestError: It is too large, or has no id; nothing was sent.
            SendError: The door is not known to have it.
        """
        return self._submit(request, checked=False)

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job. If it has ended already, nothing changes.

        Raises:
            RequestError: The id is invalid.
            SendError: The door is not known to have the message.
        """
        message: JobCancel = {"type": "job.cancel", "data": {"id": job_id}}
        self._send(message_of(cast("Mapping[str, object]", message)), f"cancel-{job_id}")

    def close(self) -> None:  # noqa: B027 - most doors keep nothing open
        """Close the connection, if there is one."""

    def _submit(self, request: Mapping[str, object], *, checked: bool) -> str:
        body = message_of(request, checked=checked)
        name = str(request.get("id") or "")
        self._send(body, name)
        return name

    @abstractmethod
    def _send(self, body: bytes, name: str) -> None:
        """Send one message; ``name`` is the id of the request in it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def extra(module: str, name: str) -> Any:
    """Import a module that an extra of this package installs.

    Raises:
        ModuleNotFoundError: The extra is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is missing: install telecine-client with its extra {name}") from None
