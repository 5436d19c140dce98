"""From a failed validation to one error that names every invalid field in plain words."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.envelope import JOB_ID_PATTERN, CallbackSpec
from schemas.errors import FieldError, InvalidField, MissingField, RequestError, TelecineError, UnknownField
from schemas.nearest import did_you_mean

#: An error names at most this many fields, so that a hostile message does not make a large one.
MOST_FIELDS = 10
_MOST_PATH_CHARACTERS = 200
_MOST_MESSAGE_CHARACTERS = 300

#: Names that pydantic gives to the members of a union of plain values.
_MEMBERS = frozenset(
    ("str", "int", "float", "bool", "datetime", "constrained-str", "constrained-int", "constrained-float")
)
#: Pydantic's types of errors in plain words; the names in braces are those of the error's context.
_WORDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be {expected}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "missing": "is missing",
}
_WORDS |= dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be a whole number")
_WORDS |= dict.fromkeys(("float_type", "float_parsing"), "must be a number")
_WORDS |= dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false")
#: What a text with one of these patterns has to be.
_PATTERNS = {
    r"\S": "must not be blank",
    r"^[A-Za-z0-9._-]+$": "may contain A-Z a-z 0-9 . _ - only",
    r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s]+$": "must be an http or https URL without spaces",
    r"^[0-9A-Za-z:x]{1,16}$": "must be a resolution such as 720p",
    r"^\d{1,2}:\d{1,2}$": "must be an aspect ratio such as 16:9",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": "the name of a parameter is at most 64 letters, digits and underscores",
}


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One invalid field, or another reason to refuse the request."""

    #: The path in the request; empty if the problem is not about one field.
    path: str
    #: What is wrong, without the path.
    text: str
    #: The error that a request with this problem alone is refused with.
    error: type[TelecineError]
    #: For an unknown field without a similar name: the names that its place may have.
    available: str = ""
    #: The message of an error that this problem alone is refused with, if it has a wording of its own.
    sentence: str = ""

    @classmethod
    def of(cls, error: RequestError) -> FieldProblem:
        """Return the problem that another check found."""
        path = error.field or ""
        text = error.message.removeprefix(f"{path}: ").removeprefix(f"{path} ")
        return cls(path, text[:_MOST_MESSAGE_CHARACTERS], type(error), sentence=error.message)


def plain_words(detail: ErrorDetails) -> str:
    """Return in plain words what is wrong. Values are not repeated, but for an id."""
    kind = detail["type"]
    context = {name: _without_fraction_of_zero(item) for name, item in detail.get("ctx", {}).items()}
    if kind in ("too_short", "too_long"):
        return _count(kind, context)
    if kind == "string_too_short":
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least:,} characters"
    if kind == "string_pattern_mismatch":
        if context["pattern"] == JOB_ID_PATTERN and "input" in detail:
            return f"may contain A-Z a-z 0-9 . _ : - only; send one made from it, such as {_mapped_id(detail['input'])}"
        return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
    if kind in _WORDS:
        return _WORDS[kind].format_map(context)
    return detail["msg"].removeprefix("Value error, ")[:_MOST_MESSAGE_CHARACTERS]


def _without_fraction_of_zero(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _mapped_id(text: str) -> str:
    """Return a valid id for any text, always the same and different for different texts."""
    readable = re.sub(r"[^A-Za-z0-9._:-]+", "-", text).strip("-.")[:40]
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    return f"{readable}-{digest}" if readable else digest


def problems_of(
    error: ValidationError, prefix: str, model: type[BaseModel], elsewhere: Mapping[str, str]
) -> list[FieldProblem]:
    """Return the problems of a failed validation: unknown fields first, then missing ones, then invalid values.

    Args:
        error: the failed validation.
        prefix: is put before each path, such as ``data.``.
        model: the model that was validated.
        elsewhere: the fields that a request has in another place, each with its path there.
    """
    details = error.errors(include_url=False)
    unknown = (d["loc"] for d in details if d["type"] == "extra_forbidden")
    missing = (d["loc"] for d in details if d["type"] == "missing")
    others = [d for d in details if d["type"] not in ("extra_forbidden", "missing")]
    found = itertools.chain(
        (_unknown_field(location, prefix, model, elsewhere) for location in unknown),
        (FieldProblem(_path(prefix, location), "is missing", MissingField) for location in missing),
        (FieldProblem(_path(prefix, d["loc"]), plain_words(d), InvalidField) for d in _one_per_field(others, prefix)),
    )
    return list(itertools.islice(found, MOST_FIELDS + 1))


def locations_of(error: ValidationError) -> list[tuple[int | str, ...]]:
    """Return where a failed validation found problems."""
    return [d["loc"] for d in error.errors(include_url=False, include_input=False, include_context=False) if d["loc"]]


def refusal(problems: Sequence[FieldProblem]) -> TelecineError:
    """Return one error for all problems: its code and its field are those of the first."""
    named = problems[:MOST_FIELDS]
    sentences = [_sentence(kind, list(group)) for kind, group in itertools.groupby(named, lambda p: p.error)]
    if len(problems) > len(named):
        sentences.append("and more")
    first = problems[0]
    fields = [FieldError(p.path, p.text) for p in named] if len(named) > 1 else []
    return first.error("; ".join(sentences), field=first.path or None, fields=fields)


def _sentence(kind: type[TelecineError], problems: Sequence[FieldProblem]) -> str:
    if kind is MissingField and all(p.text == "is missing" for p in problems):
        return f"{', '.join(p.path for p in problems)} {'is' if len(problems) == 1 else 'are'} missing"
    if kind is not UnknownField:
        return "; ".join(p.sentence or f"{p.path}: {p.text}" for p in problems)
    names = ", ".join(p.path + p.text.removeprefix("unknown field") for p in problems)
    available = next((f"; available in {p.available}" for p in problems if p.available), "")
    return f"unknown field{'s' if len(problems) > 1 else ''}: {names}{available}"


def _unknown_field(
    location: tuple[int | str, ...], prefix: str, model: type[BaseModel], elsewhere: Mapping[str, str]
) -> FieldProblem:
    path = _path(prefix, location, named=True)
    place, _, name = path.rpartition(".")
    if place == "callback":
        model, elsewhere, prefix = CallbackSpec, {}, "callback."
    nearest = did_you_mean(name, {**elsewhere, **{known: prefix + known for known in model.model_fields}})
    available = "" if nearest else f"{place or 'a request'}: {', '.join(model.model_fields)}"
    return FieldProblem(path, f"unknown field{nearest}", UnknownField, available)


def _count(kind: str, context: Mapping[str, Any]) -> str:
    limit = context["min_length"] if kind == "too_short" else context["max_length"]
    actual = context.get("actual_length")
    noun = "item" if limit == 1 else "items"
    has = "" if actual is None else f", has {actual:,}"
    return f"{'needs at least' if kind == 'too_short' else 'may have at most'} {limit} {noun}{has}"


def _one_per_field(details: Sequence[ErrorDetails], prefix: str) -> Iterator[ErrorDetails]:
    """Yield one problem per field.

    A union reports a problem for each member. The one that is not about the type, and the deepest, belongs to the
    member that the producer meant.
    """
    about: list[ErrorDetails] = []
    field = ""
    for detail in details:
        path = _path(prefix, detail["loc"])
        if about and not f"{path}.".startswith(f"{field}."):
            yield max(about, key=_closeness)
            about = []
        if not about:
            field = path
        about.append(detail)
    if about:
        yield max(about, key=_closeness)


def _closeness(detail: ErrorDetails) -> tuple[bool, int]:
    return not detail["type"].endswith("_type"), len(detail["loc"])


def _path(prefix: str, location: tuple[int | str, ...], *, named: bool = False) -> str:
    """Return the field's path. ``named``: keep the last part even if it looks like the name of a union's member."""
    # Pydantic appends the name of a union's member, which is not part of the field's path.
    if not named and len(location) > 1 and location[-1] in _MEMBERS:
        location = location[:-1]
    parts = [str(part) for part in location if not (isinstance(part, str) and "[" in part)]
    return (prefix + ".".join(parts))[:_MOST_PATH_CHARACTERS]
