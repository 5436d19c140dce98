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
