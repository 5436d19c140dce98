"""The worker's side of a provider call: building its spec, and reading its result or error."""

from __future__ import annotations

from consumer.ledger.call_records import CallRow
from consumer.ledger.call_request import CallInput, CallOutput, CallSpec, Candidate, SkippedModel
from consumer.ledger.records import Job
from pipelines.context import ModelCall, ModelResult
from pipelines.media.inspect.sniff import CONTENT_TYPES
from providers.catalogue import Catalogue, billable_seconds
from schemas.errors import (
    InvalidField,
    JobCancelled,
    RetriesExhausted,
    TelecineError,
    Verdict,
    error_for,
)
from schemas.generation import Generation
from schemas.media import InputFile, StoredArtifact
from schemas.reference import Pin


def build_call_spec(
    catalogue: Catalogue,
    job: Job,
    call: ModelCall,
    *,
    output_folder: str,
) -> CallSpec:
    """Return the spec: every model that accepts the parameters, each with its routes, and why the others do not.

    Raises:
        RequestError: No model accepts them; the reason is that of the first.
    """
    job_type = call.as_type or job.type
    data = job.parsed().data
    field_path = data.field_path if call.as_type is None and isinstance(data, Generation) else "data.{}".format
    accepted, rejected = catalogue.with_routes(call.models, call.parameters, job_type, field_path)
    if not accepted:
        raise rejected[0][1] if rejected else InvalidField("data.model: no model is named", field="data.model")
    return CallSpec(
        candidates=[Candidate(model.id, model.provider, {**values, **model.fixed}) for model, values in accepted],
        skipped_models=[SkippedModel(name, f"{error.code}: {error.message}") for name, error in rejected],
        inputs={name: _call_input(file, job.pins.get(file.uri)) for name, file in call.inputs.items()},
        output=None if call.output is None else CallOutput(call.output.name, call.output.kinds),
        output_folder=output_folder,
        fingerprint=job.fingerprint,
        media_seconds=billable_seconds(call.parameters, call.seconds),
        type=job_type,
    )


def pipeline_error(call: CallRow) -> TelecineError:
    """Return the error of a call that ended without a result, as the pipeline gets it."""
    if call.error is None:
        return JobCancelled(step=call.step)
    error = error_for(call.error.code, call.error.message, step=call.step)
    if error.verdict in (Verdict.LATER, Verdict.ELSEWHERE):
        # The engine has used up its retries: the worker must not retry.
        exhausted = RetriesExhausted(f"{error.message} ({error.code})", step=call.step)
        exhausted.__cause__ = error  # keeps the category of the fault
        return exhausted
    error.field = call.error.field
    return error


def model_result(call: CallRow) -> ModelResult:
    """Return the result of a call that is done, as the pipeline gets it."""
    result = call.result
    assert result is not None
    return ModelResult(
        model=result.model,
        provider=result.provider,
        artifact=None if result.artifact is None else StoredArtifact.model_validate(result.artifact),
        value=result.value,
        details=result.details,
    )


def _call_input(file: InputFile, pin: Pin | None) -> CallInput:
    return CallInput(uri=file.uri, content_type=CONTENT_TYPES[file.kind], bytes=file.bytes, sha256=file.sha256, pin=pin)
