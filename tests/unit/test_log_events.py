"""The log events of the code and the page that explains them are the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("consumer", "ops", "pipelines", "providers", "schemas")
LEVELS = ("debug", "info", "warning", "error", "exception")

#: Event, levels, fields.
Entry = tuple[str, frozenset[str], frozenset[str]]


def logged() -> set[Entry]:
    """Return the events of every ``log.<level>("event", …)`` in the product."""
    levels: dict[str, set[str]] = {}
    fields: dict[str, set[str]] = {}
    for level, call in _log_calls():
        event = ast.literal_eval(call.args[0])
        assert len(call.args) == 1, f"{event}: give fields by name"
        levels.setdefault(event, set()).add("error" if level == "exception" else level)
        names = {"exception" if keyword.arg == "exc_info" else str(keyword.arg) for keyword in call.keywords}
        fields.setdefault(event, set()).update(names | ({"exception"} if level == "exception" else set()))
    return {(event, frozenset(found), frozenset(fields[event])) for event, found in levels.items()}


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in LEVELS
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id in ("log", "_log")
                ):
                    yield node.func.attr, node


def explained() -> dict[str, tuple[Entry, str, str]]:
    """Return the rows of docs/log-events.md: the entry, its meaning and what to do."""
    rows = {}
    for line in (ROOT / "docs" / "log-events.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            event, levels, fields, meaning, action = (cell.strip() for cell in line.strip("|").split(" | "))
            names = frozenset(name.strip("`") for name in fields.split(", ") if name != "–")
            name = event.strip(" `")
            rows[name] = ((name, frozenset(levels.split(", ")), names), meaning, action.rstrip(" |"))
    return rows


def test_every_log_event_is_explained_with_its_level_and_fields() -> None:
    rows = explained()
    assert len(rows) > 50
    assert {entry for entry, _, _ in rows.values()} == logged()
    assert all(meaning.endswith(".") and action.endswith(".") for _, meaning, action in rows.values())
