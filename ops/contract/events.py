"""One model for each callback event, derived from the common callback model."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from schemas.callback import Callback, CallbackData, Failure

#: The job states possible in each event.
EVENTS: dict[str, tuple[str, ...]] = {
    "job.started": ("running",),
    "job.progress": ("running",),
    "job.completed": ("completed",),
    "job.failed": ("failed", "cancelled", "expired"),
}

_TEXTS = {
    "job.started": "A worker claimed the job for the first time.",
    "job.progress": "The progress passed another multiple of ten. Delivery is attempted once and not retried.",
    "job.completed": "Every file and the manifest are in storage; for `plan_only`, the estimate is complete.",
    "job.failed": "The job failed, expired or was cancelled, or its request was refused and never became a job.",
}


class _CompletedData(CallbackData):
    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["outputs"]}, {"required": ["plan"]}]})


def event_model(name: str) -> type[BaseModel]:
    """Return the callback model of one event.

    Raises:
        KeyError: If the event is unknown.
    """
    title = name.replace("job.", "job ").title().replace(" ", "")
    fields: dict[str, Any] = {"status": (Literal[EVENTS[name]], ...)}
    if name == "job.failed":
        fields["error"] = (Failure, ...)
    else:  # only a refused request may have had no id or no type
        fields |= {"id": (str, ...), "type": (str, ...)}
    base = _CompletedData if name == "job.completed" else CallbackData
    data = create_model(f"{title}Data", __base__=base, __doc__="The current state of the job.", **fields)
    whole: dict[str, Any] = {"type": (Literal[name], ...), "data": (data, ...)}
    return create_model(title, __base__=Callback, __doc__=_TEXTS[name], **whole)


def event_union() -> TypeAdapter[Any]:
    """Return the union of all event models, discriminated by ``type``."""
    models = tuple(event_model(name) for name in EVENTS)
    union: Any = Annotated[Union[models], Field(discriminator="type")]  # noqa: UP007 - made at run time
    return TypeAdapter(union)
