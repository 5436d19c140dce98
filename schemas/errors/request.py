"""Errors of the request: the producer has to change it. The tree is drawn in `schemas.errors`."""

from __future__ import annotations

from schemas.errors.base import TelecineError


class RequestError(TelecineError):
    """The request is invalid. Correct it and send it again."""


class InvalidJson(RequestError):
    """The message is not one JSON object in UTF-8. Send a single JSON object."""

    code = "invalid_json"


class MessageTooLarge(RequestError):
    """The message is larger than the limit, 256 KiB by default. Put media in object storage and send its URI."""

    code = "message_too_large"


class InvalidEnvelope(RequestError):
    """The message is JSON but not a request. A request has `id`, `type` and `data`."""

    code = "invalid_request"


class UnknownField(RequestError):
    """The request has a field that its type does not have. Remove it or correct its name."""

    code = "unknown_field"


class MissingField(RequestError):
    """A required field is missing. Add it."""

    code = "missing_field"


class InvalidField(RequestError):
    """A field has an invalid value. The message says which values are valid."""

    code = "invalid_field"


class UnknownType(RequestError):
    """The job type does not exist. `telecine schema --list` prints the types."""

    code = "unknown_type"


class UnknownModel(RequestError):
    """The model does not exist or is not for this job type. `telecine models` prints the catalogue."""

    code = "unknown_model"


class UnsupportedOption(RequestError):
    """The option is part of the contract, but this worker does not support it yet. Choose another value."""

    code = "unsupported_option"


class InvalidEvent(RequestError):
    """The message looks like an S3 event, but cannot be read as one. The message says which field is wrong."""

    code = "invalid_event"


class NoTrigger(RequestError):
    """The S3 event is about a bucket that no trigger rule names. Add a rule, or remove the bucket's notification."""

    code = "no_trigger"


class OutputTriggers(RequestError):
    """Results written to this `output` would trigger new jobs. Choose a location that no trigger rule covers."""

    code = "output_triggers"


class IdConflict(RequestError):
    """The id already belongs to a request with different content. Use a new id for new content."""

    code = "id_conflict"


class JobNotFound(RequestError):
    """No job has this id. `telecine list` prints all jobs."""

    code = "job_not_found"


class StepSettled(RequestError):
    """The step has no call with an unknown outcome, so there is nothing to resolve. See `telecine explain`."""

    code = "step_settled"


class AlreadyCompleted(RequestError):
    """The job has a result, so it is not retried. For another result send a request with a new id."""

    code = "already_completed"


class JobNotEnded(RequestError):
    """The job has not ended, or a paid call of it is still being cancelled. Wait until it has ended."""

    code = "job_not_ended"


class ResultsDeleted(RequestError):
    """The job's files were deleted because of their age, so it cannot continue from them. Send a new request."""

    code = "results_deleted"


class AlreadyPaid(RequestError):
    """A call of the job was charged and gave no result, so a retry would pay again. Confirm with `--pay-again`."""

    code = "already_paid"


class TenantRequired(RequestError):
    """The request must belong to a tenant. Set `tenant`, or send it through your own queue."""

    code = "tenant_required"


class TenantUnknown(RequestError):
    """The tenant does not exist here. Correct `tenant`, or ask the operator to set it up."""

    code = "tenant_unknown"


class TenantForbidden(RequestError):
    """The request uses something that its tenant may not use. The message says what the tenant may use."""

    code = "tenant_forbidden"


class LyricsRequired(RequestError):
    """The lyrics are missing or blank."""

    code = "lyrics_required"
    default_message = "Lyrics text is required"


class LyricsTooLong(RequestError):
    """The lyrics are longer than a reel can show. Shorten them or split the audio."""

    code = "lyrics_too_long"


class ConsentRequired(RequestError):
    """The model requires `lawful_use_consent` to be true: the caller confirms lawful use."""

    code = "consent_required"


class AddressForbidden(RequestError):
    """The URL leads to a forbidden address. Use a public one, or add its host to TELECINE_ALLOWED_PRIVATE_HOSTS."""

    code = "address_forbidden"
