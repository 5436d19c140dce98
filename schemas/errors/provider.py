"""Errors of remote providers. The tree is drawn in `schemas.errors`."""

from __future__ import annotations

from schemas.errors.base import TelecineError, Verdict


class ProviderError(TelecineError):
    """A remote provider did not deliver a result.

    ``retry_after_seconds`` is the delay that the provider requested, if it did.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        field: str | None = None,
        step: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, field=field, step=step)
        self.retry_after_seconds = retry_after_seconds


class ProviderNotConfigured(ProviderError):
    """The worker has no key for the provider. Set the variable that the message names."""

    code = "provider_not_configured"


class ProviderRefused(ProviderError):
    """The provider refused the call. The message gives its reason; change the request."""

    code = "provider_refused"


class ProviderUnauthorized(ProviderError):
    """The provider rejected the API key. Replace the key that the message names."""

    code = "provider_unauthorized"


class QuotaExhausted(ProviderError):
    """The account at the provider has no credit left. Top it up, then send the request again under a new id."""

    code = "quota_exhausted"


class BudgetExceeded(ProviderError):
    """The call would exceed the budget. Raise it, or wait for the next period."""

    code = "budget_exceeded"


class RateLimited(ProviderError):
    """The provider's rate limit was reached. Will retry."""

    code = "rate_limited"
    verdict = Verdict.LATER


class ProviderUnavailable(ProviderError):
    """The provider could not be reached and has not received the call. Will retry."""

    code = "provider_unavailable"
    verdict = Verdict.LATER


class ProviderAnswerInvalid(ProviderError):
    """The provider's response cannot be read. Will retry."""

    code = "provider_answer_invalid"
    verdict = Verdict.LATER


class ProviderTaskFailed(ProviderError):
    """The provider could not produce the result. The message gives its reason."""

    code = "provider_task_failed"


class ProviderTaskLost(ProviderError):
    """The provider no longer knows the task. Check the provider's bill for what it cost."""

    code = "provider_task_lost"


class ProviderTimeout(ProviderError):
    """The provider exceeded the model's time limit. Raise its `timeout_seconds` or send the request again."""

    code = "provider_timeout"


class ProviderResultInvalid(ProviderError):
    """The provider's result is not what was requested. See `telecine explain`."""

    code = "provider_result_invalid"


class ProviderOutcomeUnknown(ProviderError):
    """It is unknown whether the provider accepted the call. Settle it with `telecine resolve`."""

    code = "outcome_unknown"
    verdict = Verdict.UNKNOWN
