"""Traces: spans of jobs, exported by OpenTelemetry if its standard variables name an exporter. See docs/tracing.md.

Without an exporter ``opentelemetry`` is not imported, and every function returns at once. The spans of one job are made
in several processes; a carrier, which is a W3C ``traceparent`` and ``tracestate``, connects them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from consumer.logs import logger
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from consumer.otel_spans import Spans

log = logger(__name__)

Carrier = Mapping[str, str]
Attributes = Mapping[str, Any]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: How the packages of exporters register the protocols.
_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()

_spans: Spans | None = None


def start_tracing() -> bool:
    """Start to make spans if the ``OTEL_`` variables name an exporter. Return whether they do.

    Call it in every process that makes spans, after its last fork. Never raises: traces must not stop a job.
    """
    global _spans
    names = _exporter_names()
    if not names:
        return False
    try:
        exporters = [_find_exporter(name) for name in names]
        from consumer.otel_spans import Spans

        _spans = Spans([exporter.load()() for exporter in exporters])
    except Exception as error:
        reason = error.message if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        log.warning("tracing_not_started", reason=reason)
        return False
    return True


def stop_tracing() -> None:
    """Export the spans that are left, for a few seconds at most."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        spans.stop()


def enabled() -> bool:
    """Return whether spans are made."""
    return _spans is not None


def span(name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
    """Make a span of the block, as a child of the current span. An exception marks it as failed."""
    return _NOTHING if _spans is None else _spans.child(name, attributes)


def linked(
    name: str, carrier: Callable[[], Carrier], attributes: Attributes | None = None
) -> AbstractContextManager[None]:
    """Make a span of the block that begins a trace of its own and is linked to the carrier's span."""
    return _NOTHING if _spans is None else _spans.entry(name, carrier(), attributes, link=True)


def continued(
    name: str, carrier: Carrier, attributes: Attributes | None = None, *, sends: bool = False
) -> AbstractContextManager[None]:
    """Make a span of the block as a child of the carrier's span, or as the first of a trace without a carrier.

    ``sends``: the block sends a request, whose receiver may make a child of this span.
    """
    return _NOTHING if _spans is None else _spans.entry(name, carrier, attributes, sends=sends)


def carrier() -> dict[str, str]:
    """Return the current span as a carrier; empty if no spans are made."""
    return {} if _spans is None else _spans.carrier()


def annotate(attributes: Attributes) -> None:
    """Add attributes to the current span."""
    if _spans is not None:
        _spans.annotate(attributes)


def fail(error: Exception | str) -> None:
    """Mark the current span as failed."""
    if _spans is not None:
        _spans.fail(error)


def _exporter_names() -> list[str]:
    """Return the exporters that the environment names, as packages register them."""
    given = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not given and any(os.environ.get(name, "").strip() for name in _ENDPOINTS):
        given = "otlp"
    if given in ("", "none") or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    protocol = next((os.environ[name].strip() for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
    names = [name.strip() for name in given.split(",") if name.strip()]
    return [_OTLP.get(protocol, protocol) if name == "otlp" else name for name in names]


def _find_exporter(name: str) -> EntryPoint:
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        return found
    in_extra = name == _OTLP["http/protobuf"]
    advice = "install Telecine with the extra otel" if in_extra else "install the package that has it"
    raise ConfigurationError(f"the OpenTelemetry exporter {name!r} is not installed; {advice}")
