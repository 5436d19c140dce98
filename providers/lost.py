"""A vendor that answers about a task as if there were none."""

from __future__ import annotations

from providers.http.exchange import Answer
from schemas.errors import ProviderError, ProviderTaskLost


def lost(answer: Answer) -> ProviderError | None:
    """``ProviderTaskLost`` for 404 and 410 to a question about a task; a ``Refine`` of ``Exchange.send``."""
    if answer.status not in (404, 410):
        return None
    return ProviderTaskLost(
        f"{answer.vendor} does not know the task any more (HTTP {answer.status}). "
        "It has accepted the call; see its bill for what that cost."
    )
