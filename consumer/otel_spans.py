"""The spans of ``consumer.tracing``, made with OpenTelemetry's SDK. No other module imports ``opentelemetry``."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from types import TracebackType
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    set_tracer_provider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consumer.logs import add_to_lines, scrub
from schemas.errors import TelecineError

#: How long the end of a process waits for its last spans.
_LAST_SECONDS = 3.0
#: Always W3C Trace Context, because that is the form in which requests and callbacks carry it.
_W3C = TraceContextTextMapPropagator()


class Spans:
    """Makes the spans of this process and exports them in the background; a full queue drops spans."""

    def __init__(self, exporters: Sequence[SpanExporter]) -> None:
        # The limits, the sampler and the rest of the resource come from the environment.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        set_tracer_provider(self._provider)  # for extensions that make spans
        self._tracer = self._provider.get_tracer("telecine", version("telecine"))
        add_to_lines(_ids)

    def stop(self) -> None:
        """Export the spans that are left, unless the exporter takes too long."""
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)

    def child(self, name: str, attributes: Mapping[str, Any] | None) -> AbstractContextManager[None]:
        """Make a span of the block as a child of the current span."""
        return _Current(self._tracer.start_span(name, attributes=_present(attributes)))

    def entry(
        self,
        name: str,
        carrier: Mapping[str, str],
        attributes: Mapping[str, Any] | None,
        *,
        link: bool = False,
        sends: bool = False,
    ) -> AbstractContextManager[None]:
        """Make a span of the block with the carrier's span as its parent, or linked to it."""
        context, links = _W3C.extract(carrier, context=Context()), []
        if link:
            known = get_current_span(context).get_span_context()
            context, links = Context(), [Link(known)] if known.is_valid else []
        kind = SpanKind.CLIENT if sends else SpanKind.CONSUMER
        return _Current(self._tracer.start_span(name, context, kind, _present(attributes), links))

    def carrier(self) -> dict[str, str]:
        """Return the current span as ``traceparent`` and ``tracestate``."""
        found: dict[str, str] = {}
        _W3C.inject(found)
        return found

    def annotate(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the current span."""
        get_current_span().set_attributes(_present(attributes))

    def fail(self, error: Exception | str) -> None:
        """Mark the current span as failed."""
        _fail(get_current_span(), error)


class _Resource(Resource):
    """A resource whose hash is computed once: the exporter asks for it with every span."""

    def __init__(self, made: Resource) -> None:
        super().__init__(made.attributes, made.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class _Current:
    """Makes a span the current one for a block, at less cost than the SDK's own context managers."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token = attach(set_span_in_context(self._span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        detach(self._token)
        if isinstance(error, Exception):
            _fail(self._span, error)  # without the exception itself, whose text may hold secrets
        self._span.end()


def _ids() -> dict[str, str]:
    """Return the ids of the current span, for log lines."""
    here = get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {"trace_id": format_trace_id(here.trace_id), "span_id": format_span_id(here.span_id)}


def _fail(span: Span, error: Exception | str) -> None:
    if isinstance(error, TelecineError):
        span.set_attribute("error.type", error.code)
        span.set_status(StatusCode.ERROR, scrub(error.message))
    elif isinstance(error, str):
        span.set_status(StatusCode.ERROR, scrub(error))
    else:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)


def _present(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if value is not None}


def _resource() -> Resource:
    own: dict[str, str | int] = {
        "service.version": version("telecine"),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return _Resource(Resource.create(own if named else {**own, "service.name": "telecine"}))
