"""Every error of Telecine, in one tree.

    TelecineError
    ├── RequestError                 the producer must change the request
    │   ├── InvalidJson              invalid_json
    │   ├── MessageTooLarge          message_too_large
    │   ├── InvalidEnvelope          invalid_request
    │   ├── UnknownField             unknown_field
    │   ├── MissingField             missing_field
    │   ├── InvalidField             invalid_field
    │   ├── UnknownType              unknown_type
    │   ├── UnknownModel             unknown_model
    │   ├── UnsupportedOption        unsupported_option
    │   ├── InvalidEvent             invalid_event
    │   ├── NoTrigger                no_trigger
    │   ├── OutputTriggers           output_triggers
    │   ├── IdConflict               id_conflict
    │   ├── JobNotFound              job_not_found
    │   ├── StepSettled              step_settled
    │   ├── TenantRequired           tenant_required
    │   ├── TenantUnknown            tenant_unknown
    │   ├── TenantForbidden          tenant_forbidden
    │   ├── LyricsRequired           lyrics_required
    │   ├── LyricsTooLong            lyrics_too_long
    │   ├── ConsentRequired          consent_required
    │   └── AddressForbidden         address_forbidden
    ├── InputError                   the media named in the request cannot be used
    │   ├── InputNotFound            input_not_found
    │   ├── InputReplaced            input_replaced
    │   ├── InputForbidden           input_forbidden
    │   ├── InputTooLarge            file_too_large
    │   ├── InvalidImage             invalid_image
    │   ├── InvalidAudio             invalid_audio
    │   └── InputUnavailable         input_unavailable         (retried later)
    ├── StorageError                 the results cannot be written
    │   ├── OutputExists             output_exists
    │   ├── OutputForbidden          output_forbidden
    │   ├── StorageUnavailable       storage_unavailable       (retried later)
    │   └── ChecksumMismatch         checksum_mismatch         (retried later)
    ├── RenderError                  the renderer could not finish
    │   ├── RenderFailed             render_failed
    │   ├── RenderTimeout            render_timeout
    │   ├── OutOfMemory              out_of_memory             (another worker may have more)
    │   │   └── ModelOutOfMemory     out_of_memory
    │   ├── DeviceFailed             device_failed             (retried by another worker)
    │   ├── InsufficientVram         insufficient_vram
    │   ├── ModelNotInstalled        model_not_installed
    │   └── InvalidWeights           invalid_weights
    ├── ProviderError                a remote provider did not deliver
    │   ├── ProviderNotConfigured    provider_not_configured   (the operator must act)
    │   ├── ProviderRefused          provider_refused
    │   ├── ProviderUnauthorized     provider_unauthorized     (the operator must act)
    │   ├── QuotaExhausted           quota_exhausted           (the operator must act)
    │   ├── BudgetExceeded           budget_exceeded
    │   ├── RateLimited              rate_limited              (retried later)
    │   ├── ProviderUnavailable      provider_unavailable      (retried later)
    │   ├── ProviderAnswerInvalid    provider_answer_invalid   (retried later)
    │   ├── ProviderTaskFailed       provider_task_failed
    │   ├── ProviderTaskLost         provider_task_lost
    │   ├── ProviderTimeout          provider_timeout
    │   ├── ProviderResultInvalid    provider_result_invalid
    │   └── ProviderOutcomeUnknown   outcome_unknown           (never repeated until it is settled)
    ├── JobError                     the job itself ended
    │   ├── JobCancelled             cancelled
    │   ├── DeadlineExceeded         deadline_exceeded
    │   ├── WorkerLost               worker_lost
    │   ├── RetriesExhausted         retries_exhausted
    │   └── LeaseLost                lease_lost                (another worker has the job)
    ├── ConfigurationError           configuration             the operator must act
    └── InternalError                internal_error            a bug in Telecine: please report it

Codes never change once released, because producers match on them. Messages are for people: they name the field
or the file and say what to do.
"""

from __future__ import annotations

from schemas.error_base import (
    TelecineError as TelecineError,
    Verdict as Verdict,
)
from schemas.media_errors import (
    ChecksumMismatch as ChecksumMismatch,
    DeviceFailed as DeviceFailed,
    InputError as InputError,
    InputForbidden as InputForbidden,
    InputNotFound as InputNotFound,
    InputReplaced as InputReplaced,
    InputTooLarge as InputTooLarge,
    InputUnavailable as InputUnavailable,
    InsufficientVram as InsufficientVram,
    InvalidAudio as InvalidAudio,
    InvalidImage as InvalidImage,
    InvalidWeights as InvalidWeights,
    ModelNotInstalled as ModelNotInstalled,
    ModelOutOfMemory as ModelOutOfMemory,
    OutOfMemory as OutOfMemory,
    OutputExists as OutputExists,
    OutputForbidden as OutputForbidden,
    RenderError as RenderError,
    RenderFailed as RenderFailed,
    RenderTimeout as RenderTimeout,
    StorageError as StorageError,
    StorageUnavailable as StorageUnavailable,
)
from schemas.provider_errors import (
    BudgetExceeded as BudgetExceeded,
    ProviderAnswerInvalid as ProviderAnswerInvalid,
    ProviderError as ProviderError,
    ProviderNotConfigured as ProviderNotConfigured,
    ProviderOutcomeUnknown as ProviderOutcomeUnknown,
    ProviderRefused as ProviderRefused,
    ProviderResultInvalid as ProviderResultInvalid,
    ProviderTaskFailed as ProviderTaskFailed,
    ProviderTaskLost as ProviderTaskLost,
    ProviderTimeout as ProviderTimeout,
    ProviderUnauthorized as ProviderUnauthorized,
    ProviderUnavailable as ProviderUnavailable,
    QuotaExhausted as QuotaExhausted,
    RateLimited as RateLimited,
)
from schemas.request_errors import (
    AddressForbidden as AddressForbidden,
    ConsentRequired as ConsentRequired,
    IdConflict as IdConflict,
    InvalidEnvelope as InvalidEnvelope,
    InvalidEvent as InvalidEvent,
    InvalidField as InvalidField,
    InvalidJson as InvalidJson,
    JobNotFound as JobNotFound,
    LyricsRequired as LyricsRequired,
    LyricsTooLong as LyricsTooLong,
    MessageTooLarge as MessageTooLarge,
    MissingField as MissingField,
    NoTrigger as NoTrigger,
    OutputTriggers as OutputTriggers,
    RequestError as RequestError,
    StepSettled as StepSettled,
    TenantForbidden as TenantForbidden,
    TenantRequired as TenantRequired,
    TenantUnknown as TenantUnknown,
    UnknownField as UnknownField,
    UnknownModel as UnknownModel,
    UnknownType as UnknownType,
    UnsupportedOption as UnsupportedOption,
)


class JobError(TelecineError):
    """The job ended before it completed."""


class JobCancelled(JobError):
    """The job was cancelled."""

    code = "cancelled"


class DeadlineExceeded(JobError):
    """The deadline passed before the job completed. Send a new request with a later deadline."""

    code = "deadline_exceeded"


class WorkerLost(JobError):
    """Workers died repeatedly while running this job. See `telecine explain` before you send it again."""

    code = "worker_lost"


class RetriesExhausted(JobError):
    """A temporary fault persisted. `telecine explain` shows the attempts; send the request again under a new id."""

    code = "retries_exhausted"

    @property
    def retryable(self) -> bool:
        """True, because only temporary faults are retried."""
        return True


class LeaseLost(JobError):
    """Another worker has claimed the job; this one stops without writing anything."""

    code = "lease_lost"
    verdict = Verdict.UNKNOWN


class ConfigurationError(TelecineError):
    """The settings are invalid. Run `telecine doctor` for details."""

    code = "configuration"


class InternalError(TelecineError):
    """An unexpected error in Telecine. The job is kept; please report it with the output of `telecine explain`."""

    code = "internal_error"
    verdict = Verdict.LATER


#: In the order of the tree above.
_FAMILIES = (
    RequestError, InputError, StorageError, RenderError, ProviderError, JobError, ConfigurationError, InternalError,
)  # fmt: skip


def every_error() -> list[type[TelecineError]]:
    """Return all error classes that define their own code, in the order of the tree."""
    found: list[type[TelecineError]] = []

    def walk(kind: type[TelecineError]) -> None:
        if "code" in kind.__dict__:
            found.append(kind)
        for child in kind.__subclasses__():
            walk(child)

    for family in _FAMILIES:
        walk(family)
    return found


def error_for(code: str, message: str, *, step: str | None = None) -> TelecineError:
    """Return the error that a child process reported by its code; ``InternalError`` for an unknown code."""
    for kind in every_error():
        if kind.code == code:
            return kind(message, step=step)
    return InternalError(f"{code}: {message}", step=step)
