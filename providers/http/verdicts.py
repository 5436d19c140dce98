"""Map a provider's HTTP status to the error of a call that may cost money.

status           paid (submit)                   free (poll, cancel, find)
401, 403         ProviderUnauthorized            same
402              QuotaExhausted                  same
429              RateLimited                     same
408, 5xx         ProviderOutcomeUnknown          ProviderUnavailable
302, 303         ProviderOutcomeUnknown          ProviderNotConfigured
301, 307, 308    ProviderNotConfigured           same
other 4xx        ProviderRefused                 same
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from schemas.errors import (
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderUnauthorized,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)

#: Limit for a provider's ``Retry-After``: one day.
MOST_RETRY_AFTER_SECONDS = 86_400.0
#: The API has moved. (302 and 303 may also follow accepted work.)
_MOVED = frozenset({301, 307, 308})


def error_for_status(
    status: int, message: str, *, provider: str, key_setting: str, paid: bool, retry_after_seconds: float | None = None
) -> ProviderError:
    """Return the error for a response whose status is not 2xx.

    Args:
        status: the HTTP status.
        message: the provider's message, scrubbed; may be empty.
        provider: the provider's name.
        key_setting: the variable that holds the key.
        paid: whether the request costs money once accepted.
        retry_after_seconds: the wait that the provider asks for.
    """
    reason = f"{provider} answered HTTP {status}" + (f": {message}" if message else ".")
    if status == 429:
        return RateLimited(reason, retry_after_seconds=retry_after_seconds)
    if status in (401, 403):
        return ProviderUnauthorized(f"{reason.rstrip('.')}. Replace the key in {key_setting}.")
    if status == 402:
        return QuotaExhausted(f"{reason.rstrip('.')}. Top up the account of {key_setting}.")
    if status in _MOVED or (300 <= status < 400 and not paid):
        return ProviderNotConfigured(f"{provider} answered HTTP {status}: its API has moved. Correct its base URL.")
    if 400 <= status < 500 and status != 408:
        return ProviderRefused(reason)
    if paid:
        return ProviderOutcomeUnknown(f"{reason.rstrip('.')}. It is unknown whether it accepted the call.")
    return ProviderUnavailable(reason, retry_after_seconds=retry_after_seconds)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After``, a number or an HTTP date; ``None`` if it is missing or not valid."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text[:1].isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None
