"""The filter of the list of jobs: in the address, in words, and as a query of the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from consumer.ledger.states import OPEN, RETRYABLE, State
from schemas.errors import InvalidField
from schemas.job_types import JOB_TYPES

#: Names in the address for several states.
STATE_GROUPS: dict[str, Sequence[str]] = {
    "open": [state.value for state in State if state in OPEN],
    "unsuccessful": [state.value for state in State if state in RETRYABLE],
}
_SINCE = re.compile(r"(\d{1,6})(m|h|d)")
_UNITS = {"m": (60, "minute"), "h": (3600, "hour"), "d": (86_400, "day")}
_LONGEST = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list shows; an empty part does not restrict it."""

    #: A state, or one of ``STATE_GROUPS``.
    state: str = ""
    type: str = ""
    tenant: str = ""
    code: str = ""
    #: The age of the oldest, such as ``30m``, ``2h`` or ``7d``.
    since: str = ""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Return the filter in an address or a form.

        Raises:
            InvalidField: A part of it has no meaning.
        """
        found = cls(**{name: query.get(name, "").strip()[:_LONGEST] for name in cls.__slots__})
        if found.state and found.state not in (*STATE_GROUPS, *(state.value for state in State)):
            raise InvalidField(
                f"state: must be one of {', '.join([*STATE_GROUPS, *(state.value for state in State)])}", field="state"
            )
        if found.since and not _SINCE.fullmatch(found.since):
            raise InvalidField("since: must be a time span such as 30m, 2h or 7d", field="since")
        return found

    @property
    def states(self) -> Sequence[str]:
        """The states that it lets through; empty for all."""
        return STATE_GROUPS.get(self.state, [self.state] if self.state else [])

    def conditions(self, now: float) -> dict[str, Any]:
        """Return it as the arguments of the ledger's queries."""
        match = _SINCE.fullmatch(self.since)
        return {
            "states": self.states,
            "type_": self.type or None,
            "tenant": self.tenant or None,
            "code": self.code or None,
            "since": None if match is None else now - int(match[1]) * _UNITS[match[2]][0],
        }

    def query(self, **more: str) -> str:
        """Return it as the query of an address, with the ``?`` and with ``more``; empty if there is nothing in it."""
        parts = {name: getattr(self, name) for name in self.__slots__} | more
        named = urlencode({name: value for name, value in parts.items() if value})
        return f"?{named}" if named else ""

    def fields(self) -> dict[str, str]:
        """Return the parts that restrict it, by name."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}

    def without(self, name: str) -> Self:
        """Return it without one of its parts."""
        return replace(self, **{name: ""})

    def words(self) -> str:
        """Return it in words: ``failed jobs with code x received in the last 2 hours``, or ``all jobs``."""
        return self.what if self.state else f"all {self.what}"

    @property
    def what(self) -> str:
        """What it lets through, as words that follow a number: ``failed jobs of type reel``."""
        words = [f"{self.state} jobs".strip()]
        words += [f"of type {self.type}"] if self.type else []
        words += [f"of tenant {self.tenant}"] if self.tenant else []
        words += [f"with code {self.code}"] if self.code else []
        if match := _SINCE.fullmatch(self.since):
            number, unit = int(match[1]), _UNITS[match[2]][1]
            words.append(f"received in the last {unit if number == 1 else f'{number} {unit}s'}")
        return " ".join(words)


def known_types() -> Sequence[str]:
    """Return the names of all job types."""
    return sorted(JOB_TYPES)
