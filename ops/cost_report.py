"""The cost report: what providers were paid for, added up by tenant, model or day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consumer.ledger.costs import CostRow
from schemas.money import format_micros

#: What costs can be added up by.
KEYS = ("tenant", "model", "day")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of the report; the keys that it is not added up by are ``None``."""

    tenant: str | None = None
    provider: str | None = None
    model: str | None = None
    day: str | None = None
    calls: int = 0
    #: Calls with a result at a price that is not set. ``micros`` does not contain them.
    unknown_calls: int = 0
    micros: int = 0
    reserved_micros: int = 0

    @property
    def usd(self) -> str | None:
        """The known cost in US dollars; ``None`` if no cost is known."""
        return None if self.unknown_calls and not self.micros else format_micros(self.micros)

    def as_record(self, by: Collection[str]) -> dict[str, Any]:
        """Return the line as JSON, with the keys that it is added up by."""
        keys = [name for key in by for name in (("provider", "model") if key == "model" else (key,))]
        return {
            **{name: getattr(self, name) for name in keys},
            "calls": self.calls,
            "unknown_calls": self.unknown_calls,
            "usd": self.usd,
            "reserved_usd": format_micros(self.reserved_micros),
        }


def add_up_costs(rows: Iterable[CostRow], by: Collection[str], free: Collection[str]) -> Sequence[CostLine]:
    """Return the report, sorted by its keys. ``free`` are the models whose calls cost nothing."""
    lines: dict[tuple[str | None, ...], CostLine] = {}
    for row in rows:
        day = (dt.date(1970, 1, 1) + dt.timedelta(days=row.day)).isoformat()
        tenant = row.tenant if "tenant" in by else None
        provider, model = (row.provider, row.model) if "model" in by else (None, None)
        keys = (day if "day" in by else None, tenant, provider, model)
        found = lines.get(keys, CostLine(day=keys[0], tenant=tenant, provider=provider, model=model))
        unknown = 0 if row.model in free else row.without_cost
        lines[keys] = _plus(found, row.calls, unknown, row.spent, row.reserved)
    return [line for _, line in sorted(lines.items(), key=lambda item: [key or "" for key in item[0]])]


def total(lines: Iterable[CostLine]) -> CostLine:
    """Return the sum of all lines."""
    made = CostLine()
    for line in lines:
        made = _plus(made, line.calls, line.unknown_calls, line.micros, line.reserved_micros)
    return made


def _plus(line: CostLine, calls: int, unknown_calls: int, micros: int, reserved_micros: int) -> CostLine:
    return replace(
        line,
        calls=line.calls + calls,
        unknown_calls=line.unknown_calls + unknown_calls,
        micros=line.micros + micros,
        reserved_micros=line.reserved_micros + reserved_micros,
    )
