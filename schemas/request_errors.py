"""Errors of the request: the producer has to change it. The tree is drawn in `schemas.errors`."""

from __future__ import annotations

from schemas.error_base import TelecineError


class RequestError(TelecineError):
    """The request is wrong. Correct it and send it again."""


class InvalidJson(RequestError):
    """The message is not one JSON object in UTF-8. Send a single JSON object."""

    code = "invalid_json"


class MessageTooLarge(RequestError):
    """The message is larger than the limit, 256 KiB by default. Put media in object storage and name it by its URI."""

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
