"""A provider's response: its status, its JSON body, and helpers to read fields that are in different places."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import ProviderAnswerInvalid, ProviderError, ProviderOutcomeUnknown, ProviderTaskLost


@dataclass(frozen=True, slots=True)
class ProviderResponse:
    """A provider's response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: The provider's name, for errors.
    provider: str = "the provider"
    #: Whether the request costs money: then an unreadable response is an unknown outcome.
    paid: bool = False

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            ProviderOutcomeUnknown: it is not JSON, and the request was a paid one that may have been accepted.
            ProviderAnswerInvalid: it is not JSON.
        """
        try:
            return json_.loads(self.body)
        except (ValueError, RecursionError):
            raise self.unreadable("a response that is not JSON") from None

    def json_or_none(self) -> Any:
        """Return the parsed body, or ``None`` if it is empty or not JSON."""
        try:
            return json_.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def unreadable(self, what: str) -> ProviderError:
        """Return the error for a successful response that cannot be used."""
        if self.paid:
            return ProviderOutcomeUnknown(f"{self.provider} accepted the call and sent {what}; the task id is unknown.")
        return ProviderAnswerInvalid(f"{self.provider} sent {what} (HTTP {self.status}, {len(self.body)} bytes).")


#: Maps a response with status 400 or above to an error; ``None`` leaves it to the table in ``verdicts``.
Refine = Callable[[ProviderResponse], ProviderError | None]


def task_lost_on_404(response: ProviderResponse) -> ProviderError | None:
    """Return ``ProviderTaskLost`` for 404 and 410. A ``Refine`` for requests about a known task."""
    if response.status not in (404, 410):
        return None
    return ProviderTaskLost(
        f"{response.provider} no longer knows the task (HTTP {response.status}). "
        "It accepted the call and may have charged for it; check its bill."
    )


def first_value(document: Any, paths: Iterable[str]) -> Any:
    """Return the first value found at ``paths``, such as ``data.response.url`` or ``videos.0.id``.

    ``None``, an empty string and an empty list count as missing.
    """
    for path in paths:
        value = document
        for name in path.split("."):
            value = _child(value, name)
        if value is not None and value != "" and value != []:
            return value
    return None


def first_text(document: Any, paths: Iterable[str]) -> str:
    """Return ``first_value`` as stripped text; numbers become text, anything else the empty string."""
    value = first_value(document, paths)
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _child(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdigit():
        return value[int(name)] if int(name) < len(value) else None
    return None
