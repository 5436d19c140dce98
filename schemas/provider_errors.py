"""Errors of remote providers. The tree is drawn in `schemas.errors`."""

from __future__ import annotations

from schemas.error_base import TelecineError, Verdict


class ProviderError(TelecineError):
    """A remote provider did not deliver.

    ``retry_after_seconds`` is what the provider asked for, where it did.
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
    """The provider has no key on this worker. Set the variable that the message names."""

    code = "provider_not_configured"


class ProviderRefused(ProviderError):
    """The provider refused the call. The message tells its reason; change the request."""

    code = "provider_refused"


class ProviderUnauthorized(ProviderError):
    """The provider does not accept the key. Replace the one that the message names."""

    code = "provider_unauthorized"


class QuotaExhausted(ProviderError):
    """The provider's account has no credit left. Top it up, then send the request again under a new id."""

    code = "quota_exhausted"


class BudgetExceeded(ProviderError):
    """The call would exceed the budget. Raise it, or wait for the next period."""

    code = "budget_exceeded"


class RateLimited(ProviderError):
    """The provider asked to slow down. It is tried again."""

    code = "rate_limited"
    verdict = Verdict.LATER


class ProviderUnavailable(ProviderError):
    """The provider could not be reached, and certainly did not get the call. It is tried again."""

    code = "provider_unavailable"
    verdict = Verdict.LATER


class ProviderAnswerInvalid(ProviderError):
    """The provider answered something that cannot be read. It is asked again."""

    code = "provider_answer_invalid"
    verdict = Verdict.LATER


class ProviderTaskFailed(ProviderError):
    """The provider could not make the result. The message tells its reason."""

    code = "provider_task_failed"


class ProviderTaskLost(ProviderError):
    """The provider does not know the task any more. What it has cost is in the provider's bill."""

    code = "provider_task_lost"


class ProviderTimeout(ProviderError):
    """The provider took longer than the model may. Raise the model's `timeout_seconds` or send it again."""

    code = "provider_timeout"


class ProviderResultInvalid(ProviderError):
    """The provider's result is not what was asked for. Look at `telecine explain`."""

    code = "provider_result_invalid"


class ProviderOutcomeUnknown(ProviderError):
    """Nobody knows whether the provider accepted the call. `telecine resolve` settles it."""

    code = "outcome_unknown"
    verdict = Verdict.UNKNOWN
