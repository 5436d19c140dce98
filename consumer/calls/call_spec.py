"""The worker's side of a remote call: what is ordered, and what came of it."""

from __future__ import annotations

from typing import Any

from consumer.ledger.calls import CallRow, CallSpec, Candidate
from consumer.ledger.records import Job
from pipelines.context import ModelCall, ModelResult
from pipelines.media.inspect.sniff import CONTENT_TYPES
from providers.catalogue import Catalogue
from schemas.errors import (
    InvalidField,
    JobCancelled,
    RequestError,
    RetriesExhausted,
    TelecineError,
    Verdict,
    error_for,
)
from schemas.generation import Generation
from schemas.media import Artifact, InputFile
from schemas.reference import Pin


class Parked(BaseException):
    """The job waits for a provider; the pipeline is left. No ``Exception``: a pipeline must not catch it."""


def build_call_spec(
    catalogue: Catalogue,
    job: Job,
    call: ModelCall,
    *,
    output: str,
) -> CallSpec:
    """The order: every model that can take the parameters, in the order given; the others with the reason.

    Raises:
        RequestError: none can; the reason of the first.
    """
    fitting: list[Candidate] = []
    losers: list[dict[str, str]] = []
    problem: RequestError | None = None
    job_type = call.as_type or job.type
    data = job.parsed().data
    field_path = data.field_path if call.as_type is None and isinstance(data, Generation) else "data.{}".format
    for name in call.models:
        try:
            model = catalogue.find(name, job_type)
            values = {**model.checked(call.parameters, field_path), **model.fixed}
        except RequestError as error:
            problem = problem or error
            losers.append({"model": name, "why": f"{error.code}: {error.message}"})
        else:
            fitting.append(Candidate(model.id, model.provider, values))
    if not fitting:
        raise problem or InvalidField("data.model: no model is named", field="data.model")
    length = call.parameters.get("duration", call.parameters.get("audio_duration", call.seconds))
    return CallSpec(
        candidates=fitting,
        losers=losers,
        inputs={name: _facts(file, job.pins.get(file.uri)) for name, file in call.inputs.items()},
        wanted=None if call.output is None else {"name": call.output.name, "kinds": list(call.output.kinds)},
        output=output,
        fingerprint=job.fingerprint,
        seconds=float(length) if isinstance(length, int | float) else None,
        type=job_type,
    )


def ended(call: CallRow) -> TelecineError:
    """Why a call that has ended without a result did."""
    if call.error is None:
        return JobCancelled(step=call.step)
    error = error_for(call.error["code"], call.error["message"], step=call.step)
    if error.verdict in (Verdict.LATER, Verdict.ELSEWHERE):
        # The engine has tried as often as makes sense: the worker does not begin anew.
        exhausted = RetriesExhausted(f"{error.message} ({error.code})", step=call.step)
        exhausted.__cause__ = error  # whose fault it was
        return exhausted
    return error


def made_from(call: CallRow) -> ModelResult:
    """What the pipeline gets."""
    result = call.result
    assert result is not None
    artifact = result["artifact"]
    return ModelResult(
        model=result["model"],
        provider=result["provider"],
        artifact=None if artifact is None else Artifact.model_validate(artifact),
        value=result["value"],
        details=result["details"],
    )


def _facts(file: InputFile, pin: Pin | None) -> dict[str, Any]:
    facts = {
        "uri": file.uri,
        "content_type": CONTENT_TYPES[file.kind],
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
    return facts if pin is None else {**facts, "pin": pin.as_record()}
