"""The spans of ``consumer.tracing``, exported with OpenTelemetry's SDK. No other module imports ``opentelemetry``."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from types import TracebackType
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    set_tracer_provider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from consumer.logs import add_to_lines, scrub
from schemas.errors import TelecineError

#: How long the end of a process waits for its last spans.
_LAST_SECONDS = 3.0
#: More attributes than any span has here.
_MANY = 100
#: Always W3C Trace Context, because that is the form in which requests and callbacks carry it.
_W3C = TraceContextTextMapPropagator()
_UNSET = Status()


class Spans:
    """Makes the spans of this process and exports them in the background; a full queue drops spans."""

    def __init__(self, exporters: Sequence[SpanExporter]) -> None:
        self._exports = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        # The limits, the sampler and the rest of the resource come from the environment.
        self._provider = TracerProvider(
            resource=_resource(), shutdown_on_exit=False, active_span_processor=self._exports
        )
        for exporter in exporters:
            self._exports.add_span_processor(BatchSpanProcessor(exporter))
        set_tracer_provider(self._provider)  # for extensions that make spans
        self._scope = InstrumentationScope("telecine", version("telecine"))
        limits = SpanLimits()
        unlimited = limits.max_span_attribute_length is None and (limits.max_span_attributes or _MANY) >= _MANY
        self._limits = None if unlimited else limits
        add_to_lines(_ids)

    def stop(self) -> None:
        """Export the spans that are left, unless the exporter takes too long."""
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)

    def child(self, name: str, attributes: Mapping[str, Any] | None) -> AbstractContextManager[None]:
        """Make a span of the block as a child of the current span."""
        return _Current(self._started(name, None, SpanKind.INTERNAL, attributes, ()))

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
        context = _W3C.extract(carrier, context=Context()) if carrier else Context()
        links: Sequence[Link] = ()
        if link:
            known = get_current_span(context).get_span_context()
            context, links = Context(), [Link(known)] if known.is_valid else ()
        kind = SpanKind.CLIENT if sends else SpanKind.CONSUMER
        return _Current(self._started(name, context, kind, attributes, links))

    def _started(
        self,
        name: str,
        context: Context | None,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[Link],
    ) -> Span:
        """Start a span as the SDK's tracers do, at a fraction of their cost."""
        ids, known = self._provider.id_generator, get_current_span(context).get_span_context()
        parent = known if known.is_valid else None
        trace_id = parent.trace_id if parent else ids.generate_trace_id()
        random = parent.trace_flags.random_trace_id if parent else ids.is_trace_id_random()
        result = self._provider.sampler.should_sample(context, trace_id, name, kind, _present(attributes), links)
        flags = (
            TraceFlags.SAMPLED * (result.decision is Decision.RECORD_AND_SAMPLE) | TraceFlags.RANDOM_TRACE_ID * random
        )
        own = SpanContext(trace_id, ids.generate_span_id(), False, TraceFlags(flags), result.trace_state)
        if result.decision is Decision.DROP:
            return NonRecordingSpan(own)
        return _Span(self.export, own, parent, name, kind, dict(result.attributes or {}), links)

    def export(self, span: _Span) -> None:
        """Export a span that has ended, in the background."""
        attributes: Mapping[str, Any] = span.attributes
        if self._limits is not None:
            longest = self._limits.max_span_attribute_length
            attributes = BoundedAttributes(self._limits.max_span_attributes, span.attributes, max_value_len=longest)
        ended = ReadableSpan(
            span.name,
            span.get_span_context(),
            span.parent,
            self._provider.resource,
            attributes,
            span.events,
            span.links,
            span.kind,
            status=span.status,
            start_time=span.started_at,
            end_time=time.time_ns(),
            instrumentation_scope=self._scope,
        )
        self._exports.on_end(ended)

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


class _Span(NonRecordingSpan):
    """A span that records what Telecine uses of the SDK's spans, without their checks, copies and locks.

    What an extension adds to it is exported too, except links and exceptions.
    """

    def __init__(
        self,
        export: Callable[[_Span], None],
        context: SpanContext,
        parent: SpanContext | None,
        name: str,
        kind: SpanKind,
        attributes: dict[str, Any],
        links: Sequence[Link],
    ) -> None:
        super().__init__(context)
        self._export: Callable[[_Span], None] | None = export
        self.parent, self.name, self.kind, self.attributes, self.links = parent, name, kind, attributes, links
        self.events: list[Event] = []
        self.status = _UNSET
        self.started_at = time.time_ns()

    def is_recording(self) -> bool:
        return self._export is not None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.attributes.update(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self.events.append(Event(name, attributes, timestamp))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self.status = status if isinstance(status, Status) else Status(status, description)

    def end(self, end_time: int | None = None) -> None:
        export, self._export = self._export, None
        if export is not None:
            export(self)


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
