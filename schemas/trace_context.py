"""W3C Trace Context: which ``traceparent`` and ``tracestate`` of a request can be recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TRACEPARENT = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
#: As many as W3C Trace Context requires everyone to propagate.
MAX_TRACESTATE_CHARACTERS = 512
_NAMES = frozenset(("traceparent", "tracestate"))
_TRACESTATE_MEMBER = r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}"


def drop_unreadable_trace(envelope: dict[str, Any]) -> dict[str, Any]:
    """Remove the fields of a trace context that cannot be recorded, and return them.

    They are noted in the timeline and never stop a job. Without a readable ``traceparent`` the ``tracestate`` means
    nothing: https://www.w3.org/TR/trace-context/#a-traceparent-is-received.
    """
    dropped: dict[str, Any] = {}
    parent, state = envelope.get("traceparent"), envelope.get("tracestate")
    if parent is not None and not (isinstance(parent, str) and re.fullmatch(TRACEPARENT, parent)):
        dropped["traceparent"] = envelope.pop("traceparent")
    if state is not None and (envelope.get("traceparent") is None or not _is_tracestate(state)):
        dropped["tracestate"] = envelope.pop("tracestate")
    return dropped


def trace_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trace context in the headers of a message; empty if there is none that can be recorded."""
    found = {str(name).lower(): value for name, value in headers.items() if str(name).lower() in _NAMES}
    found = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in found.items()}
    drop_unreadable_trace(found)
    return found


def _is_tracestate(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TRACESTATE_CHARACTERS:
        return False
    members = [member.strip(" \t") for member in value.split(",")]
    return all(re.fullmatch(_TRACESTATE_MEMBER, member) for member in members if member)
