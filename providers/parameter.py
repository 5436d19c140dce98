"""One parameter of a model: the values that it takes, and how they are read and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Scalar = str | int | float | bool
#: By kind of parameter: what reads it from text, by the same rules as a request's own fields.
_READERS: Mapping[str, TypeAdapter[Any]] = {
    "integer": TypeAdapter(int),
    "number": TypeAdapter(Annotated[float, Field(allow_inf_nan=False)]),
    "switch": TypeAdapter(bool),
}


class Parameter(BaseModel):
    """One parameter of a model: a choice, a number with a range, a text or a switch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["choice", "integer", "number", "text", "switch"] = "text"
    choices: tuple[Scalar, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    #: Minimum and maximum length of a text in characters.
    shortest: int | None = None
    longest: int | None = None
    required: bool = False
    default: Scalar | None = None
    description: str = ""

    @classmethod
    def choice(cls, *choices: Scalar, default: Scalar | None = None, description: str = "") -> Self:
        """Return a parameter with a fixed list of values."""
        return cls(kind="choice", choices=choices, default=default, description=description)

    @classmethod
    def integer(
        cls,
        minimum: int,
        maximum: int,
        default: int | None = None,
        description: str = "",
        *,
        multiple_of: int | None = None,
    ) -> Self:
        """Return a parameter that takes a whole number in a range, both ends included."""
        return cls(
            kind="integer",
            minimum=minimum,
            maximum=maximum,
            default=default,
            multiple_of=multiple_of,
            description=description,
        )

    def converted(self, value: Any) -> Any:
        """Return a number or a switch given as text, and a choice as in ``choices``; anything else unchanged."""
        if self.kind == "choice":
            return next((choice for choice in self.choices if _is_choice(value, choice)), value)
        if isinstance(value, str) and self.kind in _READERS:
            with contextlib.suppress(ValidationError):
                return _READERS[self.kind].validate_python(value.strip())
        return value

    def problem(self, value: Any) -> str | None:
        """Return why ``value`` is not valid, naming the allowed values, or ``None`` if it is valid."""
        if self.kind == "choice":
            fits = any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
            return None if fits else f"must be one of {', '.join(str(choice) or 'empty' for choice in self.choices)}"
        if self.kind == "switch":
            return None if isinstance(value, bool) else "must be true or false"
        if self.kind == "text":
            if not isinstance(value, str):
                return "must be a text"
            if self.shortest is not None and len(value.strip()) < self.shortest:
                return f"must have at least {self.shortest:,} characters"
            too_long = self.longest is not None and len(value) > self.longest
            return f"must have at most {self.longest:,} characters" if too_long else None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (self.kind == "number" and isinstance(value, float))):
            return "must be a whole number" if self.kind == "integer" else "must be a number"
        return self._out_of_range(value)

    def _out_of_range(self, value: float) -> str | None:
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            least, most = _shown(low), _shown(high)
            return f"must be {'at least' if high is None else 'from'} {least}{'' if high is None else f' to {most}'}"
        if self.multiple_of is not None and value % self.multiple_of:
            return f"must be a multiple of {self.multiple_of}"
        return None


def _is_choice(value: Any, choice: Scalar) -> bool:
    """Return whether ``value`` means the choice: text without regard to case, and a number also as text."""
    if isinstance(value, bool) or isinstance(choice, bool):
        return value is choice
    return value == choice or (isinstance(value, str) and value.strip().lower() == str(choice).lower())


def _shown(limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{limit:,.0f}" if float(limit).is_integer() else f"{limit:g}"
