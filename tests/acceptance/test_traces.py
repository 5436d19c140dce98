"""Traces with the real SDK and an OTLP endpoint: from a producer's span to its receiver's, over processes and kills."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from kombu import Connection
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Tracer

from tests.provider_line import ProviderLine
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import ROOT, TelecineProcess, wait_until
from tests.traces import Collector, Span, tree, without_times

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def tracer(name: str, collector: Collector) -> Tracer:
    """Return a tracer of another program, with the service ``name``."""
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    return provider.get_tracer("test")


def traced_job(rabbitmq: RabbitMQ, prefix: str, folder: Path) -> list[Span]:
    """Send a traced request over RabbitMQ, receive its callback, and return every span."""
    queue = f"{prefix}requests"
    telecine = TelecineProcess(
        folder / "home",
        broker_url=rabbitmq.url,
        amqp_queues=queue,
        storage="folder",
        callback_secrets=json.dumps({"default": [SECRET]}),
    )
    with Collector() as collector, ProviderLine(folder / "home", telecine) as line:
        telecine.environment |= collector.environment
        telecine.start()
        wait_until(lambda: queue in rabbitmq.ctl("list_queues", "name").split())
        request = {
            "id": "order-7",
            "type": "image-to-video",
            "data": {"image": line.picture},
            "callback": {"url": line.receiver.url},
        }
        headers: dict[str, str] = {}
        with tracer("shop", collector).start_as_current_span("order a film"):
            inject(headers)  # as the instrumentations of AMQP clients do
            with Connection(rabbitmq.url) as connection, connection.Producer() as producer:
                producer.publish(json.dumps(request), routing_key=queue, headers=headers)
        (attempt,) = line.receiver.wait_for(1, timeout=60)
        assert attempt.json()["type"] == "job.completed", attempt.json()["data"]["error"]
        with tracer("shop", collector).start_as_current_span("receive the callback", extract(attempt.headers)):
            pass
        wait_until(lambda: any(span.name == "callback job.completed" for span in collector.spans))
        assert telecine.stop() == 0
        return collector.spans


def test_a_trace_leads_from_the_producer_to_the_receiver(rabbitmq: RabbitMQ, queue_prefix: str, tmp_path: Path) -> None:
    spans = traced_job(rabbitmq, queue_prefix, tmp_path)
    print(tree(spans))
    page = (ROOT / "docs" / "tracing.md").read_text()
    shown = "order" + page.partition("```\norder")[2].partition("\n```")[0]
    assert without_times(tree(spans)) == without_times(shown)


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_an_attempt_after_a_kill_is_linked_to_the_same_producer_and_no_collector_delays_a_job(tmp_path: Path) -> None:
    marker, context = tmp_path / "killed", {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=1"}
    with (
        Receiver() as receiver,
        Collector() as collector,
        TelecineProcess(tmp_path / "home", notes=True, lease_seconds=3) as telecine,
    ):
        telecine.environment |= collector.environment
        telecine.start(env={"TELECINE_FAILPOINT": "advance.rendered:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        request = {"id": "n-1", "type": "note", "data": {"text": "x"}, "callback": {"url": receiver.url}, **context}
        telecine.submit(request)
        assert telecine.wait_for_death() == -signal.SIGKILL
        telecine.start()
        (delivered,) = receiver.wait_for(1)
        collector.wait_for(lambda spans: {"attempt note", "callback job.completed"} <= {span.name for span in spans})

        (attempt,) = collector.named("attempt")
        assert (attempt.attributes["telecine.job.attempt"], attempt.links, attempt.parent_id) == (2, [PARENT], "")
        (callback,) = collector.named("callback")
        assert (callback.trace_id, callback.parent_id, callback.failed) == (TRACE, PARENT, False)
        assert delivered.headers["traceparent"] == f"00-{TRACE}-{callback.span_id}-01"
        assert delivered.headers["tracestate"] == "shop=1"
        shown = tree([span for span in collector.spans if span.trace_id == attempt.trace_id])
        expected = ["attempt note 2", "├─ step write", "│  ├─ make", "│  └─ put note.txt", "└─ put manifest.json"]
        assert without_times(shown).splitlines() == expected
        lines = [json.loads(line) for line in telecine.log.read_text().splitlines()]
        (ended,) = [line for line in lines if line["event"] == "job_completed"]
        assert (ended["trace_id"], ended["span_id"]) == (attempt.trace_id, attempt.span_id)

        collector.delay_seconds = 60
        telecine.submit(request | {"id": "n-2"})
        assert telecine.wait_for_job("n-2", timeout=30).state == "completed"
        stopping = time.monotonic()
        assert telecine.stop(timeout=30) == 0
        assert time.monotonic() - stopping < 15
