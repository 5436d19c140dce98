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
    │   ├── AlreadyCompleted         already_completed
    │   ├── JobNotEnded              job_not_ended
    │   ├── ResultsDeleted           results_deleted
    │   ├── AlreadyPaid              already_paid
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
    │   ├── InvalidTiming            invalid_timing
    │   └── InputUnavailable         input_unavailable         (retried later)
    ├── StorageError                 the results cannot be written
    │   ├── OutputExists             output_exists
    │   ├── OutputForbidden          output_forbidden
    │   ├── StorageUnavailable       storage_unavailable       (retried later)
    │   └── ChecksumMismatch         checksum_mismatch         (retried later)
    ├── RenderError                  the renderer could not finish
    │   ├── RenderFailed             render_failed
    │   ├── RenderTimeout            render_timeout
    │   ├── RenderInterrupted        render_interrupted        (retried later)
    │   ├── OutOfMemory              out_of_memory             (another worker may have more)
    │   │   ├── ModelOutOfMemory     out_of_memory
    │   │   └── RenderKilled         out_of_memory
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

from schemas.errors.base import (
    FieldError,
    TelecineError,
    Verdict,
)
from schemas.errors.job import (
    ConfigurationError,
    DeadlineExceeded,
    InternalError,
    JobCancelled,
    JobError,
    LeaseLost,
    RetriesExhausted,
    WorkerLost,
)
from schemas.errors.media import (
    ChecksumMismatch,
    DeviceFailed,
    InputError,
    InputForbidden,
    InputNotFound,
    InputReplaced,
    InputTooLarge,
    InputUnavailable,
    InsufficientVram,
    InvalidAudio,
    InvalidImage,
    InvalidTiming,
    InvalidWeights,
    ModelNotInstalled,
    ModelOutOfMemory,
    OutOfMemory,
    OutputExists,
    OutputForbidden,
    RenderError,
    RenderFailed,
    RenderInterrupted,
    RenderKilled,
    RenderTimeout,
    StorageError,
    StorageUnavailable,
)
from schemas.errors.provider import (
    BudgetExceeded,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderResultInvalid,
    ProviderTaskFailed,
    ProviderTaskLost,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)
from schemas.errors.request import (
    AddressForbidden,
    AlreadyCompleted,
    AlreadyPaid,
    ConsentRequired,
    IdConflict,
    InvalidEnvelope,
    InvalidEvent,
    InvalidField,
    InvalidJson,
    JobNotEnded,
    JobNotFound,
    LyricsRequired,
    LyricsTooLong,
    MessageTooLarge,
    MissingField,
    NoTrigger,
    OutputTriggers,
    RequestError,
    ResultsDeleted,
    StepSettled,
    TenantForbidden,
    TenantRequired,
    TenantUnknown,
    UnknownField,
    UnknownModel,
    UnknownType,
    UnsupportedOption,
)

__all__ = [
    "AddressForbidden",
    "AlreadyCompleted",
    "AlreadyPaid",
    "BudgetExceeded",
    "ChecksumMismatch",
    "ConfigurationError",
    "ConsentRequired",
    "DeadlineExceeded",
    "DeviceFailed",
    "FieldError",
    "IdConflict",
    "InputError",
    "InputForbidden",
    "InputNotFound",
    "InputReplaced",
    "InputTooLarge",
    "InputUnavailable",
    "InsufficientVram",
    "InternalError",
    "InvalidAudio",
    "InvalidEnvelope",
    "InvalidEvent",
    "InvalidField",
    "InvalidImage",
    "InvalidJson",
    "InvalidTiming",
    "InvalidWeights",
    "JobCancelled",
    "JobError",
    "JobNotEnded",
    "JobNotFound",
    "LeaseLost",
    "LyricsRequired",
    "LyricsTooLong",
    "MessageTooLarge",
    "MissingField",
    "ModelNotInstalled",
    "ModelOutOfMemory",
    "NoTrigger",
    "OutOfMemory",
    "OutputExists",
    "OutputForbidden",
    "OutputTriggers",
    "ProviderAnswerInvalid",
    "ProviderError",
    "ProviderNotConfigured",
    "ProviderOutcomeUnknown",
    "ProviderRefused",
    "ProviderResultInvalid",
    "ProviderTaskFailed",
    "ProviderTaskLost",
    "ProviderTimeout",
    "ProviderUnauthorized",
    "ProviderUnavailable",
    "QuotaExhausted",
    "RateLimited",
    "RenderError",
    "RenderFailed",
    "RenderInterrupted",
    "RenderKilled",
    "RenderTimeout",
    "RequestError",
    "ResultsDeleted",
    "RetriesExhausted",
    "StepSettled",
    "StorageError",
    "StorageUnavailable",
    "TelecineError",
    "TenantForbidden",
    "TenantRequired",
    "TenantUnknown",
    "UnknownField",
    "UnknownModel",
    "UnknownType",
    "UnsupportedOption",
    "Verdict",
    "WorkerLost",
    "error_for",
    "every_error",
]

#: The families in the order of the tree above.
_FAMILIES = (
    RequestError,
    InputError,
    StorageError,
    RenderError,
    ProviderError,
    JobError,
    ConfigurationError,
    InternalError,
)


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
