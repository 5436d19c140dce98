"""When spans are made, and that nothing is imported when they are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span

from consumer import logs, tracing
from consumer.otel_spans import Spans
from schemas.envelope import Request
from schemas.parse import parse_request
from tests.telecine_process import ROOT

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}

#: A job in a process that has everything which `telecine up` and a worker import.
JOB = """
import json, sys, time
import ops.cli.up, ops.cli.worker, ops.serving
from consumer import app, logs, tracing
from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.execution.durable import advance
from consumer.wiring import admission_policy, build_runtime
from schemas.settings import Settings

settings = Settings()
app.start_process()
runtime = build_runtime(settings)
body = {"id": "j", "type": "note", "data": {}, "callback": {"url": "https://example.com/"}}
BatchAdmitter(runtime.database, admission_policy(runtime))([IncomingMessage(json.dumps(body).encode(), "inbox", "q")])
print(advance(runtime, "j").value, [name for name in sys.modules if name.startswith("opentelemetry")][:1])
"""


@pytest.mark.parametrize("variables", [{}, {"OTEL_TRACES_EXPORTER": "missing"}], ids=["off", "not installed"])
def test_without_an_exporter_opentelemetry_is_not_imported(variables: dict[str, str], tmp_path: Path) -> None:
    environment = {"TELECINE_HOME": str(tmp_path), "TELECINE_EXTENSIONS": "tests.note_pipeline", **variables}
    done = subprocess.run(
        [sys.executable, "-c", JOB], cwd=ROOT, env=environment, capture_output=True, timeout=120, text=True
    )
    assert done.stdout.endswith("\ncompleted []\n"), done.stderr
    assert ("tracing_not_started" in done.stdout) == bool(variables)


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        (ENDPOINT, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, zipkin"}, ["otlp_proto_http", "zipkin"]),
        ({"OTEL_TRACES_EXPORTER": "none", **ENDPOINT}, []),
        ({"OTEL_SDK_DISABLED": "True", **ENDPOINT}, []),
    ],
)
def test_the_standard_variables_name_the_exporters(
    variables: dict[str, str], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def none_installed(group: str, name: str) -> tuple[()]:
        asked.append(name)
        return ()

    monkeypatch.setattr(tracing, "entry_points", none_installed)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not tracing.start_tracing()
    assert tracing._exporter_names() == names
    assert asked == names[:1]


def test_a_missing_extra_is_named_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    monkeypatch.setattr(tracing.log, "warning", lambda event, **fields: logged.append((event, fields)), raising=False)
    monkeypatch.setattr(tracing, "entry_points", lambda group, name: ())
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    assert not tracing.start_tracing()
    ((event, fields),) = logged
    assert event == "tracing_not_started"
    assert "install Telecine with the extra otel" in fields["reason"]


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = PARENT.replace("4bf9", "0000")


@pytest.mark.parametrize(
    ("headers", "body", "kept"),
    [
        ({"traceparent": PARENT, "tracestate": "a=1"}, "", {"traceparent": PARENT, "tracestate": "a=1"}),
        ({"Traceparent": PARENT.encode()}, "", {"traceparent": PARENT}),
        ({"traceparent": OTHER, "tracestate": "a=1"}, f', "traceparent": "{PARENT}"', {"traceparent": PARENT}),
        ({"traceparent": "00-ABC", "tracestate": "a=1"}, "", {}),
        ({"traceparent": 7}, "", {}),
        (
            {"ce-specversion": "1.0", "ce-id": "j", "ce-type": "reel", "ce-source": "/s", "traceparent": PARENT},
            None,
            {"traceparent": PARENT},
        ),
    ],
)
def test_the_context_of_a_message_is_kept_with_the_request(
    headers: dict[str, object], body: str | None, kept: dict[str, str]
) -> None:
    data = '{"image": "s3://inbox/a.jpg", "audio": "s3://inbox/a.mp3", "lyrics": "La"}'
    message = data if body is None else f'{{"id": "j", "type": "reel", "data": {data}{body}}}'
    request = parse_request(message.encode(), headers)
    assert isinstance(request, Request)
    assert request.trace_context() == kept
    assert request.to_job_request().get("traceparent") == kept.get("traceparent")


def exported(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> dict[str, ReadableSpan]:
    """Make an attempt with a step that fails, and a span of an extension in it; return what is exported, by name."""
    monkeypatch.setattr(logs, "_more_fields", None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = InMemorySpanExporter()
    spans = Spans([exporter])
    with spans.entry("attempt", {"traceparent": PARENT}, {"one": 1, "none": None}, link=True):
        get_current_span().add_event("half", {"done": 0.5})
        with pytest.raises(ValueError, match="secret"), spans.child("step", {"text": "x" * 20}):
            spans._provider.get_tracer("an extension").start_span("own").end()
            raise ValueError("secret")
    spans.stop()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_spans_are_those_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = exported(monkeypatch, {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "7"})
    attempt, step, own = (spans[name] for name in ("attempt", "step", "own"))
    assert {span.context.trace_flags for span in spans.values() if span.context} == {3}
    assert (attempt.parent, step.parent, own.parent) == (None, attempt.context, step.context)
    assert [f"{link.context.span_id:016x}" for link in attempt.links] == [PARENT.split("-")[2]]
    assert (attempt.attributes, [event.name for event in attempt.events]) == ({"one": 1}, ["half"])
    assert step.attributes == {"text": "xxxxxxx", "error.type": "ValueEr"}
    assert (step.status.status_code.name, "secret" in step.to_json()) == ("ERROR", False)
    assert attempt.start_time <= step.start_time <= step.end_time <= attempt.end_time  # type: ignore[operator]
    assert attempt.resource.attributes == own.resource.attributes


@pytest.mark.parametrize(
    ("sampler", "argument", "expected"), [("always_off", "", 0), ("traceidratio", "0.0", 0), ("traceidratio", "1.0", 3)]
)
def test_the_sampler_of_the_environment_decides(
    sampler: str, argument: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert len(exported(monkeypatch, variables)) == expected
