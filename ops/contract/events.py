"""One model for each event that a callback tells: the body of all callbacks, narrowed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from schemas.callback import Callback, CallbackData, Failure

#: The states in which each event finds the job.
EVENTS: dict[str, tuple[str, ...]] = {
    "job.started": ("running",),
    "job.progress": ("running",),
    "job.completed": ("completed",),
    "job.failed": ("failed", "cancelled", "expired"),
}

_TEXTS = {
    "job.started": "The first worker has taken the job.",
    "job.progress": "The progress has grown by ten points or more. One attempt; a missed one is not repeated.",
    "job.completed": "Every file and the manifest are in storage; for `plan_only`, the estimate is made.",
    "job.failed": "The job ended otherwise, or the request was refused and never became a job.",
}


class _Ended(CallbackData):
    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["outputs"]}, {"required": ["plan"]}]})


def event_model(name: str) -> type[BaseModel]:
    """The callback of one event.

    Raises:
        KeyError: there is no such event.
    """
    title = name.replace("job.", "job ").title().replace(" ", "")
    fields: dict[str, Any] = {"status": (Literal[EVENTS[name]], ...)}
    if name == "job.failed":
        fields["error"] = (Failure, ...)
    else:  # only a refused request may have had no id or no type
        fields |= {"id": (str, ...), "type": (str, ...)}
    base = _Ended if name == "job.completed" else CallbackData
    data = create_model(f"{title}Data", __base__=base, __doc__="The job as it stands.", **fields)
    whole: dict[str, Any] = {"type": (Literal[name], ...), "data": (data, ...)}
    return create_model(title, __base__=Callback, __doc__=_TEXTS[name], **whole)


def any_event() -> TypeAdapter[Any]:
    """All of them, told apart by ``type``."""
    models = tuple(event_model(name) for name in EVENTS)
    union: Any = Annotated[Union[models], Field(discriminator="type")]  # noqa: UP007 - made at run time
    return TypeAdapter(union)
