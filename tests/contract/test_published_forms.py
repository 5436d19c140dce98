"""The published schemas agree with admission: accepted requests are valid and the reverse, with named exceptions."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st
from jsonschema.validators import extend

from consumer.callbacks.game import game_body
from ops.contract.events import EVENTS
from ops.contract.json_schemas import schema_of
from schemas.callback import Output
from schemas.envelope import Request
from schemas.errors import RequestError
from schemas.parse import parse_request
from telecine_client.errors import RequestError as ClientRequestError
from telecine_client.message import message_of
from tests.contract.golden_corpus import Golden, corpus
from tests.pages import Fence, fences

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract"
FILES = sorted(CONTRACT.glob("*.schema.json"))
TYPES = sorted({golden.type for golden in corpus("requests")})
NAMED = set(re.findall(r"^\| `([a-z-]+)` \|", (CONTRACT / "README.md").read_text(), re.MULTILINE))

#: Values that replace each value of a message.
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    0.5,
    45,
    45.0,
    99,
    10**9,
    1e300,
    "",
    " ",
    "a",
    "ü",
    "a\n",
    "\n",
    "a b",
    ".",
    "..",
    "7",
    "1.0",
    "true",
    "yes",
    "high",
    "urgent",
    "even",
    "auto",
    "elevenlabs",
    "runpod",
    "local",
    "en",
    "yellow",
    "#12345",
    "nocolour",
    "x" * 64,
    "x" * 65,
    "x" * 128,
    "x" * 129,
    "x" * 1024,
    "x" * 1025,
    "x" * 2049,
    "s3://inbox/a",
    "s3://inbox",
    "s3://inbox/",
    "s3://inbox//",
    "s3://ab/x",
    "s3:///x",
    "S3://inbox/x",
    "standard",
    "s3://in box/x",
    "s3://inbox/a//b",
    "s3://inbox/../b",
    "s3://inbox/./b/",
    "s3://inbox/a\nb",
    "s3://inbox-s3alias/x",
    "s3://arn:aws:s3/x",
    "s3://inbox/" + "ü" * 600,
    "s3://inbox/" + "x" * 1013,
    "https://a.example",
    "HTTPS://a.example/x?y#z",
    "http://a.example:80/",
    "https://user:word@a.example/",
    "https://:443/",
    "https://",
    "https://[::1",
    "https://a b.example/",
    "ftp://a.example/",
    "//a.example/x",
    "file:///x",
    "file://localhost/x",
    "file://host/x",
    "file:///",
    "FILE:///x",
    "2099-01-01T00:00:00Z",
    "2099-01-01t00:00:00.5z",
    "2099-01-01T00:00:00+05:30",
    "2099-02-30T00:00:00Z",
    "2099-13-01T00:00:00Z",
    "2099-01-01T24:00:00Z",
    "2099-01-01T23:59:60Z",
    "2099-01-01T00:00:00+24:00",
    "2099-01-01 00:00:00Z",
    "2099-01-01T00:00:00",
    "0000-01-01T00:00:00Z",
    "2099-01-01",
    "600",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "application/json",
    "text/plain",
    "application/xml",
    [],
    ["completed"],
    ["completed", "done"],
    ["failed"] * 5,
    [1],
    {},
    {"a": None},
    {"x": "y" * 4086},
    {"id": "j-1"},
]
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUE = st.sampled_from(VALUES) | st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    # In JSON Schema `$` matches only the end of the text; in Python also before a final line break.
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = extend(jsonschema.Draft202012Validator, {"pattern": _pattern})
VALIDATORS = {name: Validator(schema_of(name)) for name in [*TYPES, "job.cancel", "callback", *EVENTS, "manifest"]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_published_schema_satisfies_the_metaschema(path: Path) -> None:
    schema = json.loads(path.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("golden", corpus("requests"), ids=str)
def test_a_golden_request_is_valid_or_a_named_exception(golden: Golden) -> None:
    difference = _difference(golden.type, golden.value)
    assert difference in {None, "lenient-scalar", "event-spelling"}
    assert _client_accepts(golden.value) == (difference is None)


@pytest.mark.parametrize("golden", corpus("controls", "callbacks", "manifests"), ids=str)
def test_every_other_golden_message_is_valid(golden: Golden) -> None:
    if golden.kind == "callbacks":
        VALIDATORS["callback"].validate(golden.value)
        matching = [name for name in EVENTS if VALIDATORS[name].is_valid(golden.value)]
        assert matching == [golden.value["type"]]
    else:
        VALIDATORS["job.cancel" if golden.kind == "controls" else "manifest"].validate(golden.value)


@pytest.mark.parametrize("fence", [*fences("json", "request"), *fences("json", "callback")], ids=str)
def test_an_example_of_the_pages_is_valid_or_a_named_exception(fence: Fence) -> None:
    message = json.loads(fence.text)
    if fence.words[1] == "callback":
        VALIDATORS["callback"].validate(message)
    elif message["type"] in TYPES:
        assert _difference(message["type"], message) in {None, "event-spelling"}
    else:
        assert message["type"] == "job.cancel" or fence.words[2:] == (message["type"],)


@pytest.mark.parametrize("completed", [True, False])
def test_a_callback_of_the_format_game_is_valid(completed: bool) -> None:
    made = Output(name="video.mp4", uri="s3://results/a/video.mp4", sha256="0" * 64, bytes=1, content_type="video/mp4")
    body = json.loads(game_body(completed=completed, outputs=[made], details={"title": "A cat"}))
    Validator(schema_of("callback.game")).validate(body)
    assert not Validator(schema_of("callback.game")).is_valid({"data": body["data"] | {"status": "DONE"}})


def test_a_receiver_may_validate_and_still_survive_a_new_field() -> None:
    for golden in corpus("callbacks"):
        VALIDATORS["callback"].validate(golden.value | {"new": 1, "data": golden.value["data"] | {"new": 1}})


@pytest.mark.parametrize("name", TYPES)
def test_accepted_is_valid_and_valid_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a worker without the extra align.
    monkeypatch.setattr("schemas.lyrics._LOCAL_PACKAGES", ("no_such_package",))
    used = set()
    for message in _neighbours(name):
        if (difference := _difference(name, message)) is not None:
            used.add(difference)
            assert difference in NAMED, json.dumps(message)[:3_000]
    if name == "reel":
        assert used == NAMED - {"message"}, "an exception that is none"


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=60, deadline=None)
@given(draw=st.data())
def test_accepted_is_valid_with_any_values_in_the_fields(name: str, draw: st.DataObject) -> None:
    message = _whole(name)
    for path in draw.draw(st.lists(st.sampled_from(list(_paths(message))), min_size=1, max_size=3)):
        _put(message, path, copy.deepcopy(draw.draw(VALUE)))  # the list of values is shared
    difference = _difference(name, message)
    assert difference is None or difference in NAMED, difference
    assert _client_accepts(message) == VALIDATORS[name].is_valid(message)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": "a", "id": "b", "type": "reel", "data": {}}',
        json.dumps({"id": "a", "type": "reel", "data": {}, "metadata": {"x": float("nan")}}).encode(),
        json.dumps({"id": "a", "type": "reel", "data": {}, "metadata": {"x": "\x00"}}).encode(),
        b'{"id": "a", "type": "reel", "data": {}, "metadata": ' + b'{"x":' * 40 + b"1" + b"}" * 41,
        b'{"id": "a", "type": "reel", "data": {"lyrics": "' + b"x" * 262_144 + b'"}}',
    ],
)
def test_bytes_that_are_not_a_json_object_are_refused_without_a_schema(raw: bytes) -> None:
    assert "message" in NAMED
    with pytest.raises(RequestError) as caught:
        parse_request(raw)
    assert caught.value.code in ("invalid_json", "message_too_large")


@pytest.mark.parametrize("name", TYPES)
def test_null_for_any_optional_field_is_published_and_no_exception_F5(name: str) -> None:
    minimal = next(golden for golden in corpus("requests") if golden.name == f"requests/{name}/minimal.json").value
    schema = schema_of(name)
    absent = {field: None for field in schema["properties"] if field not in minimal}
    data = {field: None for field in schema["$defs"][type_name(schema)]["properties"] if field not in minimal["data"]}
    data.pop("image_id", None)
    callback = {"url": "https://a.example", "events": None, "format": None, "secret_name": None}
    for changes in (absent, {"data": minimal["data"] | data}, {"callback": callback}):
        assert _difference(name, minimal | changes) is None


def type_name(schema: Mapping[str, Any]) -> str:
    """Return the name of the definition of ``data``."""
    return str(schema["properties"]["data"]["$ref"].rpartition("/")[2])


def _difference(name: str, message: Mapping[str, Any]) -> str | None:
    """Return ``None`` if schema and parser agree, else the name of the exception or the difference."""
    valid = VALIDATORS[name].is_valid(message)
    try:
        request = parse_request(json.dumps(message).encode())
    except RequestError as error:
        return _refused(error, message) if valid else None
    if valid:
        return None
    assert isinstance(request, Request)
    # The request is accepted in a lenient spelling; in Telecine's own spelling it must be valid.
    VALIDATORS[name].validate(request.model_dump(mode="json", exclude_unset=True))
    return "event-spelling" if "specversion" in message and _is_event(message) else "lenient-scalar"


def _client_accepts(message: Mapping[str, Any]) -> bool:
    try:
        message_of(message)
    except ClientRequestError:
        return False
    return True


def _is_event(message: Mapping[str, Any]) -> bool:
    plain = {"callback": dict, "metadata": dict}
    return (
        any(isinstance(message.get(field), str) for field in (*plain, "deadline"))
        or "planonly" in message
        or bool({"tracestate", "partitionkey"} & set(message) or any(item is None for item in message.values()))
    )


def _refused(error: RequestError, message: Mapping[str, Any]) -> str:
    field = error.field or ""
    value = _at(message, field)
    if error.code in ("lyrics_required", "lyrics_too_long"):
        return "lyrics"
    if error.code in ("unsupported_option", "unknown_model"):
        return "not-here-yet"
    if field == "metadata":
        return "metadata-size" if len(json.dumps(value, ensure_ascii=False).encode()) > 4096 else f"refused: {error}"
    if field in ("deadline", "time"):
        return "calendar"
    if field == "datacontenttype":
        return "content-type"
    if field.endswith("color"):
        return "colour"
    if isinstance(value, str) and value.startswith("s3://") and len(value.encode()) > 1024:
        return "key-length"
    if isinstance(value, str) and re.match("https?://", value, re.IGNORECASE) and field != "callback.url":
        return "authority"
    return f"refused though valid: {error.code} {error}"


def _whole(name: str) -> dict[str, Any]:
    """Return a request of the type with all fields."""
    full = next(golden for golden in corpus("requests") if golden.name == f"requests/{name}/full.json").value
    event = {"specversion": "1.0", "source": "/shop", "subject": "a", "time": "2026-01-01T00:00:00Z"}
    return full | event | {"datacontenttype": "application/json", "dataschema": "urn:x"}


def _neighbours(name: str) -> Iterator[dict[str, Any]]:
    """Yield the message as a request and as an event, each with one value changed, omitted or added."""
    event = _whole(name)
    plain = {key: event[key] for key in event if key not in ("specversion", "source", "subject", "time")}
    # The envelope is the same for all types.
    for whole in (event, plain) if name == "reel" else (plain,):
        yield whole
        for path in _paths(whole) if name == "reel" else (path for path in _paths(whole) if path[0] == "data"):
            for value in VALUES:
                changed = copy.deepcopy(whole)
                _put(changed, path, value)
                yield changed
            without = copy.deepcopy(whole)
            _remove(without, path)
            yield without
        for path in [(), *(path for path in _paths(whole) if isinstance(_item(whole, path), dict))]:
            for extra in ("colour", "planonly", "tracestate", "partitionkey", ""):
                more = copy.deepcopy(whole)
                _put(more, (*path, extra), "true")
                yield more


def _paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in children:
        yield (*above, key)
        if above[:1] != ("metadata",):
            yield from _paths(item, (*above, key))


def _item(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _put(message: Any, path: tuple[str | int, ...], value: Any) -> None:
    try:
        place = _item(message, path[:-1])
        if not isinstance(place, str):
            place[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        return  # the path does not exist because an earlier value replaced its parent


def _remove(message: Any, path: tuple[str | int, ...]) -> None:
    del _item(message, path[:-1])[path[-1]]


def _at(message: Mapping[str, Any], field: str) -> Any:
    value: Any = message
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
