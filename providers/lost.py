"""The error for a task that its provider no longer knows."""

from __future__ import annotations

from providers.http.exchange import Answer
from schemas.errors import ProviderError, ProviderTaskLost


def lost(answer: Answer) -> ProviderError | None:
    """Return ``ProviderTaskLost`` for 404 and 410. A ``Refine`` for requests about a known task."""
    if answer.status not in (404, 410):
        return None
    return ProviderTaskLost(
        f"{answer.vendor} no longer knows the task (HTTP {answer.status}). "
        "It accepted the call and may have charged for it; check its bill."
    )
