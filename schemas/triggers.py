"""Trigger rules, which turn uploaded objects into requests: ``[[triggers]]`` in the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas.envelope import CallbackSpec, Priority, check_metadata_size, normalize_output
from schemas.errors import OutputTriggers
from schemas.reference import check_bucket

#: Parts of a pair: the field of ``data``, and the file extensions of its objects.
PARTS: dict[str, tuple[str, ...]] = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic"),
    "audio": (".mp3", ".wav", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".aiff", ".aif"),
    "lyrics": (".txt", ".lrc"),
}


def _bucket(value: str) -> str:
    check_bucket(value)
    return value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Trigger(BaseModel):
    """One rule. Additional fields go into ``data``."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    bucket: Annotated[str, AfterValidator(_bucket)]
    prefix: str = ""
    suffix: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_several)] = ()
    type: str | None = None
    data: dict[str, Any] = {}
    #: The object is itself a request.
    manifest: bool = False
    #: An image and an audio file with the same stem become one request.
    pair: bool = False
    output: Annotated[str, Field(max_length=1024), AfterValidator(normalize_output)] | None = None
    callback: CallbackSpec | None = None
    priority: Priority | None = None
    tenant: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    metadata: Annotated[dict[str, Any] | None, AfterValidator(check_metadata_size)] = None

    @property
    def fields(self) -> dict[str, Any]:
        """Content of ``data``, with placeholders."""
        return {**self.data, **(self.model_extra or {})}

    @property
    def envelope(self) -> dict[str, Any]:
        """Fields that the rule sets in a request besides ``type`` and ``data``."""
        chosen = self.model_dump(
            mode="json", include={"output", "callback", "priority", "tenant", "metadata"}, exclude_unset=True
        )
        return {name: value for name, value in chosen.items() if value is not None}

    def covers(self, bucket: str, key: str) -> bool:
        """Return whether the rule applies to an object. Suffixes are compared case-insensitively."""
        if bucket != self.bucket or not key.startswith(self.prefix) or key.endswith("/"):
            return False
        if self.pair:
            return part_of(key) is not None
        return not self.suffix or key.lower().endswith(tuple(suffix.lower() for suffix in self.suffix))

    def __str__(self) -> str:
        kind = "pair" if self.pair else "manifest" if self.manifest else self.type
        return f"s3://{self.bucket}/{self.prefix}*{'|'.join(self.suffix)} → {kind}"


@dataclass(frozen=True, slots=True)
class PairPart:
    """One object as a part of a pair."""

    #: ``image``, ``audio`` or ``lyrics``.
    field: str
    #: The key without its extension: all objects of a pair have the same.
    stem: str


def part_of(key: str) -> PairPart | None:
    """Return which part of a pair an object is, by its file extension; ``None`` if it is not one."""
    for field, endings in PARTS.items():
        for ending in endings:
            if key.lower().endswith(ending) and len(key.rpartition("/")[2]) > len(ending):
                return PairPart(field, key[: -len(ending)])
    return None


@dataclass(frozen=True, slots=True)
class TriggerRules:
    """The rules in the order of the settings file."""

    rules: tuple[Trigger, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def names_bucket(self, bucket: str) -> bool:
        """Return whether any rule is about this bucket."""
        return any(rule.bucket == bucket for rule in self.rules)

    def match(self, bucket: str, key: str) -> Trigger | None:
        """Return the first rule that covers the object."""
        return next((rule for rule in self.rules if rule.covers(bucket, key)), None)

    def would_trigger(self, output: str) -> Trigger | None:
        """Return the first rule that could cover a result below ``output``, which is ``s3://bucket/prefix/``.

        Suffixes are ignored, because a job type of an extension may store a file with any name.
        """
        bucket, _, prefix = output.removeprefix("s3://").partition("/")
        for rule in self.rules:
            if rule.bucket == bucket and (prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)):
                return rule
        return None

    def check_no_loop(self, output: str | None) -> None:
        """Check that results below ``output`` do not trigger new jobs.

        Raises:
            OutputTriggers: they would, and each result would start another paid job without end.
        """
        rule = None if output is None else self.would_trigger(output)
        if rule is not None:
            raise OutputTriggers(
                f"output: results below {output} would match the trigger rule {rule} and start new jobs; "
                "choose another location",
                field="output",
            )


NO_TRIGGERS = TriggerRules()
