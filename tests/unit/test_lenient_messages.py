"""Messages as other tools write them: with a byte order mark, compressed, with a trace context that cannot be read."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tracemalloc
import zlib
from typing import Any

import pytest
from amqp.basic_message import Message as AmqpMessage
from kombu.transport import pyamqp

from consumer.admission.message import IncomingMessage
from consumer.doors.amqp import _to_incoming_message
from consumer.wakeups import lenient_amqp
from schemas.envelope import Request
from schemas.errors import RequestError
from schemas.parse import parse_request

LIMIT = 10_000
VALUE: dict[str, Any] = {"id": "a1", "type": "image-to-prompt", "data": {"image": "s3://inbox/c.png"}}
BODY = json.dumps(VALUE).encode()
BOM = b"\xef\xbb\xbf"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def read(body: bytes, **headers: object) -> Request:
    request = parse_request(body, {name.replace("_", "-"): value for name, value in headers.items()}, limit_bytes=LIMIT)
    assert isinstance(request, Request)
    return request


def refused(body: bytes, **headers: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(body, **headers)
    return caught.value


def raw_deflate(body: bytes) -> bytes:
    packed = zlib.compressobj(wbits=-15)
    return packed.compress(body) + packed.flush()


@pytest.mark.parametrize(
    "body", [BOM + BODY, BOM + b"\r\n " + BODY, gzip.compress(BOM + BODY)], ids=["F19-bom", "F19-blank", "F19-gzip"]
)
def test_one_byte_order_mark_at_the_beginning_is_ignored(body: bytes) -> None:
    assert read(body, content_encoding="gzip") == read(BODY)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(BOM + BOM + BODY, "BOM", id="F19-control-two"),
        pytest.param(b" " + BOM + BODY, "Expecting value", id="F19-control-later"),
        pytest.param(BODY.decode().encode("utf-16"), "UTF-16", id="F19-control-utf-16"),
        pytest.param(BODY.decode().encode("utf-16-le"), "UTF-16", id="F19-control-utf-16-without-mark"),
        pytest.param(BODY.decode().encode("utf-32"), "UTF-32", id="F19-control-utf-32"),
        pytest.param(BOM + b'{"a": "\xff"}', r"byte 10\)", id="F19-control-place"),
        pytest.param(BOM, "Expecting value", id="F19-control-alone"),
    ],
)
def test_other_marks_are_refused(body: bytes, reason: str) -> None:
    error = refused(body)
    assert error.code == "invalid_json"
    assert str(error)
    with pytest.raises(RequestError, match=reason):
        read(body)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(TRACE.upper(), id="F20-upper-case"),
        pytest.param("", id="F20-empty"),
        pytest.param(TRACE + "-what-the-future-will-be-like", id="F20-future"),
        pytest.param(TRACE + "\n", id="F20-line-break"),
        pytest.param("x" * 5000, id="F20-long"),
        pytest.param(7, id="F20-number"),
        pytest.param({"a": [1]}, id="F20-object"),
    ],
)
def test_a_trace_context_that_cannot_be_read_is_dropped_and_noted(value: object) -> None:
    request = read(json.dumps(VALUE | {"traceparent": value}).encode())
    assert request == read(BODY) or request.traceparent is None
    assert request.identity() == read(BODY).identity()
    (noted,) = request.model_copy(update={"tenant": "t"}).ignored.values()
    assert len(noted) <= 64
    assert noted.isprintable()


def test_a_trace_context_in_the_headers_is_treated_likewise_F20() -> None:
    event = {"ce-specversion": "1.0", "ce-id": "a1", "ce-type": VALUE["type"], "ce-source": "/s"}
    for given, kept in ((TRACE, TRACE), (TRACE.upper(), None)):
        request = parse_request(json.dumps(VALUE["data"]).encode(), event | {"ce-traceparent": given})
        assert isinstance(request, Request)
        assert (request.traceparent, bool(request.ignored)) == (kept, kept is None)


@pytest.mark.parametrize("value", [TRACE, None])
def test_a_trace_context_that_can_be_read_is_kept_F20_control(value: str | None) -> None:
    request = read(json.dumps(VALUE | {"traceparent": value}).encode())
    assert (request.traceparent, dict(request.ignored)) == (value, {})


STATE = "congo=t61rcWkgMzE,rojo@vendor=00f067aa0ba902b7"


@pytest.mark.parametrize("state", [STATE, "a=1", " a=1 ,\tb=2,", "", None, ",".join(f"k{n}=v" for n in range(32))])
def test_a_trace_state_is_recorded_next_to_its_trace_context(state: str | None) -> None:
    request = read(json.dumps(VALUE | {"traceparent": TRACE, "tracestate": state}).encode())
    assert (request.tracestate, dict(request.ignored)) == (state, {})
    assert request.identity() == read(BODY).identity()
    assert "tracestate" not in request.to_job_request()
    event = {"specversion": "1.0", "source": "/s", "traceparent": TRACE, "tracestate": state}
    assert read(json.dumps(VALUE | event).encode()).tracestate == state


@pytest.mark.parametrize(
    ("parent", "state", "dropped"),
    [
        (TRACE, "no equals sign", ["tracestate"]),
        (TRACE, "a=" + "x" * 600, ["tracestate"]),
        (TRACE, "A=1", ["tracestate"]),
        (TRACE, 7, ["tracestate"]),
        (TRACE, {"a": 1}, ["tracestate"]),
        (TRACE, "a=1\n", ["tracestate"]),
        (TRACE.upper(), STATE, ["traceparent", "tracestate"]),
        (None, STATE, ["tracestate"]),
    ],
)
def test_a_trace_state_that_means_nothing_is_dropped_and_noted(parent: object, state: object, dropped: object) -> None:
    request = read(json.dumps(VALUE | {"traceparent": parent, "tracestate": state}).encode())
    assert list(request.ignored) == dropped
    assert request.tracestate is None


PACKED = {
    "F23-gzip": (gzip.compress(BODY), "gzip"),
    "F23-x-gzip": (gzip.compress(BODY), "X-GZIP"),
    "F23-two-members": (gzip.compress(BODY[:20]) + gzip.compress(BODY[20:]), "gzip"),
    "F23-in-bytes": (gzip.compress(BODY), b"gzip"),
    "F23-with-identity": (gzip.compress(BODY), "identity, gzip"),
    "F23-deflate": (zlib.compress(BODY), "deflate"),
    "F23-raw-deflate": (raw_deflate(BODY), "deflate"),
    "F23-control-plain-as-gzip": (BODY, "gzip"),
    "F23-control-plain-as-br": (BODY, "br"),
    "F23-control-utf-8": (BODY, "utf-8"),
    "F23-control-binary": (BODY, "binary"),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_compressed_message_is_decompressed(name: str) -> None:
    body, encoding = PACKED[name]
    assert read(body, content_encoding=encoding) == read(BODY)
    assert read(body, compression=encoding) == read(BODY)


@pytest.mark.parametrize(
    ("body", "encoding", "code", "reason"),
    [
        pytest.param(b"\x0b\x02\x80", "br", "invalid_json", "'br' is not supported; send it uncompressed", id="F23-br"),
        pytest.param(b"(\xb5/\xfd", "zstd", "invalid_json", "'zstd' is not supported", id="F23-zstd"),
        pytest.param(bz2.compress(BODY), "application/x-bz2", "invalid_json", "x-bz2' is not supp", id="F23-bzip2"),
        pytest.param(gzip.compress(BODY)[:-9], "gzip", "invalid_json", "is not valid gzip", id="F23-cut"),
        pytest.param(b"\xff\xff", "gzip", "invalid_json", "is not valid gzip", id="F23-no-gzip"),
        pytest.param(gzip.compress(b"{"), "gzip", "invalid_json", "not valid JSON", id="F23-no-json"),
        pytest.param(gzip.compress(bytes(LIMIT + 1)), "gzip", "message_too_large", "decompressed", id="F23-large"),
        pytest.param(gzip.compress(bytes(9)) * 2000, "gzip", "message_too_large", "", id="F23-members"),
        pytest.param(gzip.compress(BODY), "", "invalid_json", "not UTF-8 but gzip", id="F23-control-undeclared"),
        pytest.param(b"(\xb5/\xfd" + BODY, "", "invalid_json", "but zstd, which no", id="F23-control-undeclared-zstd"),
        pytest.param(bz2.compress(BODY), "", "invalid_json", "but bzip2, which no", id="F23-control-undeclared-bzip2"),
        pytest.param(b"\x00Su\xa0\x01x", "", "invalid_json", "not UTF-8 (byte 3)", id="F23-control-amqp-data"),
        pytest.param(b"\x00Sw\xb1\x00\x00\x00\x8a" + BODY, "", "invalid_json", "AMQP 1.0 value", id="F23-amqp-1.0"),
        pytest.param(b"\x00Sv\x45", "", "invalid_json", "AMQP 1.0 value", id="F23-amqp-1.0-sequence"),
    ],
)
def test_an_encoding_that_cannot_be_undone_is_named(body: bytes, encoding: str, code: str, reason: str) -> None:
    error = refused(body, content_encoding=encoding)
    assert error.code == code
    assert reason in str(error)


def test_a_bomb_is_not_decompressed_past_the_limit_F23() -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    for body in (gzip.compress(bytes(9_000_000)), bomb):
        tracemalloc.start()
        refused(body, content_encoding="gzip")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


def test_kombu_does_not_decompress_what_arrives() -> None:
    lenient_amqp.install()
    for pack, name in ((gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "application/x-lzma")):
        body = pack(bytes(30_000_000))
        arriving = AmqpMessage(body, application_headers={"compression": name})
        arriving.delivery_info = {"routing_key": "q"}
        tracemalloc.start()
        message: Any = pyamqp.Message(arriving)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (message.body, message.errors) == (body, [])
        assert peak < 1_000_000


def arrived(body: bytes, **properties: Any) -> IncomingMessage:
    message = AmqpMessage(body, **properties)
    message.delivery_info = {"routing_key": "q"}
    return _to_incoming_message("q", pyamqp.Message(message))


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"content_encoding": "gzip"}, id="F23-content-encoding"),
        pytest.param(
            {"content_encoding": "utf-8", "application_headers": {"compression": "application/x-gzip"}}, id="F23-kombu"
        ),
    ],
)
def test_the_amqp_door_leaves_the_bytes_and_passes_the_encoding_on(properties: dict[str, Any]) -> None:
    for body in (gzip.compress(BODY), zlib.compress(BODY)):
        incoming = arrived(body, **properties)
        assert incoming.body == body
        assert parse_request(incoming.body, incoming.headers) == read(BODY)


def test_an_ordinary_encoding_adds_no_header_F23_control() -> None:
    assert arrived(BODY, content_encoding="utf-8", content_type="application/json").headers == {
        "content-type": "application/json"
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("software.amazon.payloadoffloading.PayloadS3Pointer", id="F24-java-2-python-go"),
        pytest.param("com.amazon.sqs.javamessaging.MessageS3Pointer", id="F24-java-1"),
    ],
)
@pytest.mark.parametrize("indent", [None, 1], ids=["F24-compact", "F24-indented"])
def test_a_pointer_of_the_sqs_extended_client_is_named(name: str, indent: int | None) -> None:
    pointer = json.dumps([name, {"s3BucketName": "inbox", "s3Key": "0a1b"}], indent=indent)
    for body in (pointer.encode(), BOM + pointer.encode()):
        error = refused(body)
        assert error.code == "invalid_json"
        assert "SQS Extended Client" in str(error)
        assert "request file" in str(error)


def test_any_other_array_is_named_as_one_F24_control() -> None:
    assert "JSON array" in str(refused(b'["software.amazon"]'))
