"""Trigger rules: which uploaded object becomes which request. ``[[triggers]]`` in the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas.envelope import CallbackSpec, Priority, normal_output, small_metadata
from schemas.errors import OutputTriggers
from schemas.reference import check_bucket

#: What a pair is made of: the field of ``data``, and the endings by which its part is known.
PARTS: dict[str, tuple[str, ...]] = {
    "image": (".jpg", ".jpeg", ".png"),
    "audio": (".mp3", ".wav", ".flac"),
    "lyrics": (".txt", ".lrc"),
}


def _bucket(value: str) -> str:
    check_bucket(value)
    return value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Trigger(BaseModel):
    """One rule. Fields beyond these go into ``data``."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    bucket: Annotated[str, AfterValidator(_bucket)]
    prefix: str = ""
    suffix: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_several)] = ()
    type: str | None = None
    data: dict[str, Any] = {}
    #: The object is a request itself.
    manifest: bool = False
    #: An image and an audio with the same stem become one request.
    pair: bool = False
    output: Annotated[str, Field(max_length=1024), AfterValidator(normal_output)] | None = None
    callback: CallbackSpec | None = None
    priority: Priority | None = None
    tenant: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    metadata: Annotated[dict[str, Any] | None, AfterValidator(small_metadata)] = None

    @property
    def fields(self) -> dict[str, Any]:
        """What goes into ``data``, with its placeholders."""
        return {**self.data, **(self.model_extra or {})}

    @property
    def envelope(self) -> dict[str, Any]:
        """What the rule says of a request besides ``type`` and ``data``."""
        chosen = self.model_dump(
            mode="json", include={"output", "callback", "priority", "tenant", "metadata"}, exclude_unset=True
        )
        return {name: value for name, value in chosen.items() if value is not None}

    def covers(self, bucket: str, key: str) -> bool:
        """Whether an object of this name is this rule's. Endings are compared without regard to case."""
        if bucket != self.bucket or not key.startswith(self.prefix) or key.endswith("/"):
            return False
        if self.pair:
            return part_of(key) is not None
        return not self.suffix or key.lower().endswith(tuple(suffix.lower() for suffix in self.suffix))

    def __str__(self) -> str:
        kind = "pair" if self.pair else "manifest" if self.manifest else self.type
        return f"s3://{self.bucket}/{self.prefix}*{'|'.join(self.suffix)} → {kind}"


@dataclass(frozen=True, slots=True)
class Part:
    """What one object is to a pair."""

    #: ``image``, ``audio`` or ``lyrics``.
    field: str
    #: The key without the ending: what the objects of a pair have in common.
    stem: str


def part_of(key: str) -> Part | None:
    """What the object is to a pair, by the ending of its key; ``None``: nothing."""
    for field, endings in PARTS.items():
        for ending in endings:
            if key.lower().endswith(ending) and len(key.rpartition("/")[2]) > len(ending):
                return Part(field, key[: -len(ending)])
    return None


@dataclass(frozen=True, slots=True)
class TriggerRules:
    """The rules in the order of the settings file."""

    rules: tuple[Trigger, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def names_bucket(self, bucket: str) -> bool:
        """Whether any rule is about this bucket."""
        return any(rule.bucket == bucket for rule in self.rules)

    def match(self, bucket: str, key: str) -> Trigger | None:
        """The first rule that covers the object."""
        return next((rule for rule in self.rules if rule.covers(bucket, key)), None)

    def would_trigger(self, output: str) -> Trigger | None:
        """The first rule that could cover a result below ``output``, which is ``s3://bucket/prefix/``.

        Endings are not looked at: an extension may store a file of any name.
        """
        bucket, _, prefix = output.removeprefix("s3://").partition("/")
        for rule in self.rules:
            if rule.bucket == bucket and (prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)):
                return rule
        return None

    def refuse_loop(self, output: str | None) -> None:
        """Returns if results below ``output`` trigger nothing.

        Raises:
            OutputTriggers: they would: every result would be paid for again, for ever.
        """
        rule = None if output is None else self.would_trigger(output)
        if rule is not None:
            raise OutputTriggers(
                f"output: results below {output} would match the trigger rule {rule} and make new jobs; "
                "choose another place",
                field="output",
            )


NO_TRIGGERS = TriggerRules()
