"""Every error that Telecine names, in one tree.

    TelecineError
    ├── RequestError                 the producer has to change the request
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
    │   └── InputUnavailable         input_unavailable         (tried again later)
    ├── StorageError                 the results cannot be written
    │   ├── OutputExists             output_exists
    │   ├── OutputForbidden          output_forbidden
    │   ├── StorageUnavailable       storage_unavailable       (tried again later)
    │   └── ChecksumMismatch         checksum_mismatch         (tried again later)
    ├── RenderError                  the renderer could not finish
    │   ├── RenderFailed             render_failed
    │   ├── RenderTimeout            render_timeout
    │   ├── OutOfMemory              out_of_memory             (another worker may fit it)
    │   │   └── ModelOutOfMemory     out_of_memory
    │   ├── DeviceFailed             device_failed             (tried again by a new worker)
    │   ├── InsufficientVram         insufficient_vram
    │   ├── ModelNotInstalled        model_not_installed
    │   └── InvalidWeights           invalid_weights
    ├── ProviderError                a remote provider did not deliver
    │   ├── ProviderNotConfigured    provider_not_configured   (the operator has to act)
    │   ├── ProviderRefused          provider_refused
    │   ├── ProviderUnauthorized     provider_unauthorized     (the operator has to act)
    │   ├── QuotaExhausted           quota_exhausted           (the operator has to act)
    │   ├── BudgetExceeded           budget_exceeded
    │   ├── RateLimited              rate_limited              (tried again later)
    │   ├── ProviderUnavailable      provider_unavailable      (tried again later)
    │   ├── ProviderAnswerInvalid    provider_answer_invalid   (tried again later)
    │   ├── ProviderTaskFailed       provider_task_failed
    │   ├── ProviderTaskLost         provider_task_lost
    │   ├── ProviderTimeout          provider_timeout
    │   ├── ProviderResultInvalid    provider_result_invalid
    │   └── ProviderOutcomeUnknown   outcome_unknown           (never repeated without a look)
    ├── JobError                     the job ended for a reason of its own
    │   ├── JobCancelled             cancelled
    │   ├── DeadlineExceeded         deadline_exceeded
    │   ├── WorkerLost               worker_lost
    │   ├── RetriesExhausted         retries_exhausted
    │   └── LeaseLost                lease_lost                (another worker has the job)
    ├── ConfigurationError           configuration             the operator has to act
    └── InternalError                internal_error            a defect of Telecine: please report it

A code never changes once released; producers match on it. A message is for people: it names the
field or the file and says what to do.
"""

from __future__ import annotations

import enum
import inspect
from typing import Any, ClassVar


class Verdict(enum.Enum):
    """What the engine does with an error."""

    #: The same request can never succeed: the job fails at once.
    NEVER = "never"
    #: A fault that passes: the job waits and is tried again.
    LATER = "later"
    #: This worker cannot do it, another one may.
    ELSEWHERE = "elsewhere"
    #: Nobody knows whether it happened: never repeated without a look.
    UNKNOWN = "unknown"


class TelecineError(Exception):
    """Something went wrong; the code says what, the message says what to do."""

    code: ClassVar[str] = "error"
    verdict: ClassVar[Verdict] = Verdict.NEVER

    def __init__(self, message: str | None = None, *, field: str | None = None, step: str | None = None) -> None:
        self.message = message or inspect.cleandoc(self.__doc__ or self.code).partition("\n\n")[0].replace("\n", " ")
        self.field = field
        self.step = step
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        """Whether the same content, sent again later under a new id, may fare better."""
        return self.verdict is not Verdict.NEVER

    def as_record(self) -> dict[str, Any]:
        """The ``error`` object of a failure callback: ``code``, ``message``, ``retryable``, ``step``."""
        record: dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if self.field is not None:
            record["field"] = self.field
        if self.step is not None:
            record["step"] = self.step
        return record


class RequestError(TelecineError):
    """The request is wrong. Correct it and send it again."""


class InvalidJson(RequestError):
    """The message is not one JSON object in UTF-8. Send a single JSON object."""

    code = "invalid_json"


class MessageTooLarge(RequestError):
    """The message is larger than 256 KiB. Put media in object storage and name it by its URI."""

    code = "message_too_large"


class InvalidEnvelope(RequestError):
    """The message is JSON but not a request. A request has `id`, `type` and `data`."""

    code = "invalid_request"


class UnknownField(RequestError):
    """The request has a field that its type does not know. Remove it or correct its name."""

    code = "unknown_field"


class MissingField(RequestError):
    """A required field is missing. Add it."""

    code = "missing_field"


class InvalidField(RequestError):
    """A field has a value that it cannot take. The message says which values it takes."""

    code = "invalid_field"


class UnknownType(RequestError):
    """The job type does not exist. `telecine schema --list` prints the types."""

    code = "unknown_type"


class UnknownModel(RequestError):
    """The model does not exist or is not for this job type. `telecine models` prints the catalogue."""

    code = "unknown_model"


class UnsupportedOption(RequestError):
    """The option exists in the contract, but this worker cannot do it yet. Choose another value."""

    code = "unsupported_option"


class InvalidEvent(RequestError):
    """The message looks like an S3 event, but cannot be read as one. The message says which field is wrong."""

    code = "invalid_event"


class NoTrigger(RequestError):
    """The S3 event is about a bucket that no trigger rule names. Add a rule, or end the bucket's notification."""

    code = "no_trigger"


class OutputTriggers(RequestError):
    """Results written to this `output` would trigger new jobs. Choose a place that no trigger rule covers."""

    code = "output_triggers"


class IdConflict(RequestError):
    """The id belongs to another request with other content. Use a new id for new content."""

    code = "id_conflict"


class JobNotFound(RequestError):
    """No job has this id. `telecine list` prints the jobs there are."""

    code = "job_not_found"


class StepSettled(RequestError):
    """No outcome is unknown here, so there is nothing to resolve. `telecine explain` shows how the job stands."""

    code = "step_settled"


class TenantRequired(RequestError):
    """The request belongs to no tenant, and this installation has tenants. Name yours in `tenant`, or send it
    through your own queue."""

    code = "tenant_required"


class TenantUnknown(RequestError):
    """The tenant does not exist here. Correct `tenant`, or ask the operator to set it up."""

    code = "tenant_unknown"


class TenantForbidden(RequestError):
    """The request reaches for something outside of its tenant's share. The message says what the tenant may use."""

    code = "tenant_forbidden"


class LyricsRequired(RequestError):
    """Lyrics text is required"""

    code = "lyrics_required"


class LyricsTooLong(RequestError):
    """The lyrics are longer than a reel can show. Shorten them or split the audio."""

    code = "lyrics_too_long"


class ConsentRequired(RequestError):
    """The model wants `lawful_use_consent` to be true: whoever asks says that the use is lawful."""

    code = "consent_required"


class AddressForbidden(RequestError):
    """The URL leads to an address that Telecine may not call. Use a public HTTPS address, or let the
    operator allow the host with TELECINE_ALLOWED_PRIVATE_HOSTS."""

    code = "address_forbidden"


class InputError(TelecineError):
    """A media input cannot be used. Replace it and send a new request."""


class InputNotFound(InputError):
    """The input does not exist. Upload it before sending the request."""

    code = "input_not_found"


class InputReplaced(InputError):
    """The object was replaced after this event was sent. The newer object has an event of its own; nothing is lost."""

    code = "input_replaced"


class InputForbidden(InputError):
    """Telecine may not read the input. Grant the worker read access or use another location."""

    code = "input_forbidden"


class InputTooLarge(InputError):
    """File too large"""

    code = "file_too_large"


class InvalidImage(InputError):
    """Image must be JPG or PNG"""

    code = "invalid_image"


class InvalidAudio(InputError):
    """Audio must be MP3, WAV, or FLAC"""

    code = "invalid_audio"


class InputUnavailable(InputError):
    """The input could not be fetched just now. It is tried again."""

    code = "input_unavailable"
    verdict = Verdict.LATER


class StorageError(TelecineError):
    """The results could not be written."""


class OutputExists(StorageError):
    """Another file already lies where the result belongs. Choose another `output` or remove it."""

    code = "output_exists"


class OutputForbidden(StorageError):
    """Telecine may not write to the output location. Grant write access or change `output`."""

    code = "output_forbidden"


class StorageUnavailable(StorageError):
    """Object storage did not answer. It is tried again."""

    code = "storage_unavailable"
    verdict = Verdict.LATER


class ChecksumMismatch(StorageError):
    """Object storage holds other bytes than were sent. It is tried again."""

    code = "checksum_mismatch"
    verdict = Verdict.LATER


class RenderError(TelecineError):
    """The renderer could not finish."""


class RenderFailed(RenderError):
    """The renderer failed on this input. Check the media in another player and send a new request."""

    code = "render_failed"


class RenderTimeout(RenderError):
    """The renderer took longer than it may. Shorten the media or raise TELECINE_RENDER_TIMEOUT_SECONDS."""

    code = "render_timeout"


class OutOfMemory(RenderError):
    """The renderer needed more memory than it may use. Raise TELECINE_RENDER_MEMORY_BYTES."""

    code = "out_of_memory"
    verdict = Verdict.ELSEWHERE


class ModelOutOfMemory(OutOfMemory):
    """The model ran out of memory, also in its low-memory mode. Ask for a smaller size, or for a smaller model."""

    verdict = Verdict.NEVER


class DeviceFailed(RenderError):
    """The device that models run on no longer answers. Its worker starts anew, and the job is tried again."""

    code = "device_failed"
    verdict = Verdict.ELSEWHERE


class InsufficientVram(RenderError):
    """The model does not fit into the memory of this worker. Ask for `low_vram`, or for a smaller model."""

    code = "insufficient_vram"


class ModelNotInstalled(RenderError):
    """The model cannot run on this worker. The message says which command brings what is missing."""

    code = "model_not_installed"


class InvalidWeights(RenderError):
    """The model's files cannot be loaded: damaged, or not safetensors. Bring them again."""

    code = "invalid_weights"


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


class JobError(TelecineError):
    """The job ended for a reason of its own."""


class JobCancelled(JobError):
    """The job was cancelled."""

    code = "cancelled"


class DeadlineExceeded(JobError):
    """The deadline passed before the job could finish. Send a new request with a later one."""

    code = "deadline_exceeded"


class WorkerLost(JobError):
    """The worker died on this job again and again. Look at `telecine explain` before sending it anew."""

    code = "worker_lost"


class RetriesExhausted(JobError):
    """A passing fault did not pass. `telecine explain` shows the attempts; send it again under a new id."""

    code = "retries_exhausted"

    @property
    def retryable(self) -> bool:
        """True: what failed were faults that pass."""
        return True


class LeaseLost(JobError):
    """Another worker has the job now; this one stops without writing anything."""

    code = "lease_lost"
    verdict = Verdict.UNKNOWN


class ConfigurationError(TelecineError):
    """The settings are wrong. `telecine doctor` says what to do."""

    code = "configuration"


class InternalError(TelecineError):
    """A defect of Telecine. The job is kept; please report it with `telecine explain`."""

    code = "internal_error"
    verdict = Verdict.LATER


def every_error() -> list[type[TelecineError]]:
    """All error classes that have a code of their own, in the order of the tree."""
    found: list[type[TelecineError]] = []

    def walk(parent: type[TelecineError]) -> None:
        for child in parent.__subclasses__():
            if "code" in child.__dict__:
                found.append(child)
            walk(child)

    walk(TelecineError)
    return found


def error_for(code: str, message: str, *, step: str | None = None) -> TelecineError:
    """The error that a child process reported by its code, raised again on this side."""
    for kind in every_error():
        if kind.code == code:
            return kind(message, step=step)
    return InternalError(f"{code}: {message}", step=step)
