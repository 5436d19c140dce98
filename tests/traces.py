"""Traces as a collector receives them: ``python -m tests.traces`` prints the tree of docs/tracing.md.

``Collector`` is an OTLP/HTTP endpoint that decodes what any OpenTelemetry SDK sends to it.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True, slots=True)
class Span:
    """A span that was exported."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    #: The spans that it is linked to.
    links: Sequence[str]
    started: float
    seconds: float
    failed: bool
    message: str
    attributes: Mapping[str, Any] = field(hash=False)


class Collector:
    """Records all spans. ``status`` is what it answers, after ``delay_seconds``."""

    def __init__(self, *, status: int = 200, delay_seconds: float = 0.0) -> None:
        self._spans: list[Span] = []
        self._changed = threading.Condition()
        self.status, self.delay_seconds = status, delay_seconds
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The value of ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process send its spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    @property
    def spans(self) -> list[Span]:
        """All spans so far, by the time of their start."""
        with self._changed:
            return sorted(self._spans, key=lambda span: span.started)

    def named(self, prefix: str) -> list[Span]:
        """Return the spans whose names begin so."""
        return [span for span in self.spans if span.name.startswith(prefix)]

    def wait_for(self, condition: Callable[[list[Span]], object], timeout: float = 30.0) -> list[Span]:
        """Wait until the spans satisfy ``condition``, and return them."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._spans), timeout):
                raise AssertionError(f"after {timeout:g} s: {[span.name for span in self._spans]}")
        return self.spans

    def receive(self, body: bytes) -> None:
        """Decode one export."""
        found = [
            _span(span, {item.key: _value(item) for item in resource.resource.attributes})
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self._spans += found
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces", self.path
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(collector.delay_seconds)
            if collector.status == 200:
                collector.receive(body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def _span(span: Any, resource: Mapping[str, Any]) -> Span:
    return Span(
        name=span.name,
        service=resource["service.name"],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=[link.span_id.hex() for link in span.links],
        started=span.start_time_unix_nano / 1e9,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        failed=span.status.code == 2,
        message=span.status.message,
        attributes={item.key: _value(item) for item in span.attributes},
    )


def _value(item: KeyValue) -> Any:
    return getattr(item.value, item.value.WhichOneof("value") or "string_value")


def tree(spans: Sequence[Span]) -> str:
    """Return the spans as a tree; a span that is linked to another one is drawn below it, with a dotted line."""
    lines: list[str] = []
    known = {span.span_id for span in spans}
    for root in [span for span in spans if not ({span.parent_id, *span.links} & known)]:
        lines.append(_line(root, 1))
        lines += _below(root, spans, "")
    return "\n".join(lines)


def _below(parent: Span, spans: Sequence[Span], indent: str) -> Iterator[str]:
    children = [span for span in spans if parent.span_id in (span.parent_id, *span.links)]
    groups = list(_alike(children, spans))
    for number, group in enumerate(groups):
        last = number == len(groups) - 1
        linked = parent.span_id in group[0].links
        yield indent + ("└" if last else "├") + ("┄ " if linked else "─ ") + _line(group[0], len(group))
        yield from _below(group[0], spans, indent + ("   " if last else "│  "))


def _alike(children: Sequence[Span], spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Put spans of the same name that follow each other and have no children together."""
    parents = {span.parent_id for span in spans}
    group: list[Span] = []
    for span in children:
        if group and (span.name != group[0].name or {span.span_id, group[0].span_id} & parents):
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def _line(span: Span, number: int) -> str:
    about = {"put": "telecine.uri", "get": "telecine.uri", "attempt": "telecine.job.attempt"}.get(span.name.split()[0])
    name = span.name if about is None else f"{span.name} {str(span.attributes[about]).rpartition('/')[2]}"
    times = f" ×{number}" if number > 1 else ""
    failed = f"  FAILED: {span.message}" if span.failed else ""
    service = "" if span.service == "telecine" else f"  ({span.service})"
    return f"{name}{times}{service}  {_milliseconds(span.seconds)}{failed}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def without_times(text: str) -> str:
    """Return a tree without what differs from run to run: how long spans took, and how often a task was polled."""
    return re.sub(r"  [\d.]+ m?s\b| ×\d+", "", text)


if __name__ == "__main__":
    from tests.acceptance.test_traces import traced_job
    from tests.servers.rabbitmq import RabbitMQ

    server = RabbitMQ()
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(tree(traced_job(server, "trace-", Path(folder))) + "\n")
    finally:
        server.close()
