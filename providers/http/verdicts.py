"""What a vendor's status means for a call that may cost money.

status           while submitting (paid)        while asking
401, 403         ProviderUnauthorized            the same
402              QuotaExhausted                  the same
429              RateLimited                     the same
408, 5xx         ProviderOutcomeUnknown          ProviderUnavailable
302, 303         ProviderOutcomeUnknown          ProviderNotConfigured
301, 307, 308    ProviderNotConfigured           the same
other 4xx        ProviderRefused                 the same
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

#: A vendor that asks for more is asked again after a day.
MOST_RETRY_AFTER_SECONDS = 86_400.0
#: These say that the address is another one; a vendor that did the work answers 302 or 303.
_MOVED = frozenset({301, 307, 308})


def error_for_status(
    status: int, said: str, *, vendor: str, key_setting: str, paid: bool, retry_after_seconds: float | None = None
) -> ProviderError:
    """The error of an answer that is no success.

    Args:
        said: the vendor's message, scrubbed; may be empty.
        key_setting: the variable that holds the key.
        paid: whether the request was one that costs money once accepted.
    """
    told = f"{vendor} answered HTTP {status}" + (f": {said}" if said else ".")
    if status == 429:
        return RateLimited(told, retry_after_seconds=retry_after_seconds)
    if status in (401, 403):
        return ProviderUnauthorized(f"{told.rstrip('.')}. Replace the key in {key_setting}.")
    if status == 402:
        return QuotaExhausted(f"{told.rstrip('.')}. Top up the account of {key_setting}.")
    if status in _MOVED or (300 <= status < 400 and not paid):
        return ProviderNotConfigured(
            f"{vendor} answered HTTP {status}: it is at another address. Correct its base URL."
        )
    if 400 <= status < 500 and status != 408:
        return ProviderRefused(told)
    if paid:
        return ProviderOutcomeUnknown(f"{told.rstrip('.')}. Nobody knows whether it accepted the call.")
    return ProviderUnavailable(told, retry_after_seconds=retry_after_seconds)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of ``Retry-After``, a number or an HTTP date; ``None`` where there is none that can be read."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text[:1].isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None
