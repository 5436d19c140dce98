"""Strict JSON: which messages are a JSON object, and which are refused before any field is read."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from schemas.errors import InvalidJson, MessageTooLarge, RequestError
from schemas.strict_json import MAX_DEPTH, MAX_MESSAGE_BYTES, canonical, fingerprint, parse_object

# Strings that JSON and every database can hold: without NUL and unpaired surrogates.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


def nested(depth: int) -> bytes:
    """Return an object with ``depth`` levels of nesting."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def outcome(body: bytes) -> str:
    """Parse a message and return ``object``, or the code of the error."""
    try:
        value = parse_object(body)
    except RequestError as error:
        return error.code
    return "object" if isinstance(value, dict) else repr(value)


@settings(deadline=None)
@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_written_json_is_read_back_unchanged(value: dict[str, Any]) -> None:
    for body in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=3)):
        assert parse_object(body.encode()) == value


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda t: t.encode(errors="surrogatepass")))
def test_any_bytes_are_an_object_or_a_named_error(body: bytes) -> None:
    assert outcome(body) in ("object", "invalid_json")


@settings(deadline=None)
@given(TEXT.map(lambda t: f'{{"a":"{t}"}}'.encode()), st.integers(min_value=0), st.binary(min_size=1, max_size=3))
def test_a_damaged_object_is_an_object_or_a_named_error(body: bytes, place: int, damage: bytes) -> None:
    at = place % len(body)
    assert outcome(body[:at] + damage + body[at + len(damage) :]) in ("object", "invalid_json")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b"hello", "Expecting value"),
        (b'{"a": 1,}', "line 1, column"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
        (b"{'a': 1}", "double quotes"),
        (b'{"a": 01}', "delimiter"),
        (b'{"a": "line\nbreak"}', "Invalid control character"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 7)"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\x1f\x8b\x08\x00", "not UTF-8"),
        (b"null", "null, not an object"),
        (b"true", "boolean, not an object"),
        (b"12", "number, not an object"),
        (b"1.5", "number, not an object"),
        (b'"text"', "string, not an object"),
        (b'[{"id": "a"}]', "array, not an object"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": Infinity}', "Infinity is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": -1e999}', "-1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "the name 'a' appears twice"),
        (b'{"x": {"id": 1, "\\u0069d": 2}}', "the name 'id' appears twice"),
        (b'{"a": "\\u0000"}', "NUL character"),
        (b'{"\\u0000": 1}', "NUL character"),
        (b'{"a": ["\\ud800"]}', "an unpaired surrogate"),
        (b'{"a": "\\udc00\\ud800"}', "an unpaired surrogate"),
        (b'{"\\uDFFF": 1}', "an unpaired surrogate"),
    ],
)
def test_ambiguous_json_is_refused_and_the_message_says_where(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidJson) as caught:
        parse_object(body)
    assert reason in caught.value.message


def test_characters_outside_the_basic_plane_may_be_written_as_escaped_pairs() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_nesting_is_accepted_up_to_the_limit_and_refused_beyond() -> None:
    assert parse_object(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 500, 10_000, 40_000):
        with pytest.raises(InvalidJson, match=f"nested deeper than {MAX_DEPTH} levels"):
            parse_object(nested(depth))
    with pytest.raises(InvalidJson, match="nested deeper"):
        parse_object(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}")


def test_the_size_limit_counts_bytes_and_comes_before_any_parsing() -> None:
    fits = b'{"a":"' + "é".encode() * ((MAX_MESSAGE_BYTES - 8) // 2) + b'"}'
    assert len(fits) == MAX_MESSAGE_BYTES
    assert parse_object(fits)
    for body in (fits + b" ", b"\xff" * (MAX_MESSAGE_BYTES + 1)):
        with pytest.raises(MessageTooLarge) as caught:
            parse_object(body)
        assert caught.value.message == (
            "the message has 262,145 bytes, the limit is 262,144; put media in object storage and send its URI"
        )
    with pytest.raises(MessageTooLarge):
        parse_object(b"{}" * 9, limit_bytes=17)


def test_a_duplicate_among_tens_of_thousands_of_names_is_found_quickly() -> None:
    names = [f"{number:x}" for number in range(29_000)]
    body = ("{" + ",".join(f'"{name}":0' for name in [*names, names[-1]]) + "}").encode()
    assert len(body) <= MAX_MESSAGE_BYTES
    started = time.process_time()
    assert outcome(body) == "invalid_json"
    assert time.process_time() - started < 1  # a door that is busy for seconds misses heartbeats


@settings(deadline=None)
@given(st.dictionaries(TEXT, JSON, max_size=5), st.randoms(use_true_random=False))
def test_the_fingerprint_does_not_depend_on_order_or_spaces(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    shuffled = json.dumps({name: value[name] for name in names}, indent=2)
    assert fingerprint(parse_object(shuffled.encode())) == fingerprint(value)
    assert parse_object(canonical(value)) == value


def test_the_canonical_form_never_changes() -> None:
    value = {"b": [1, 1.5, None, True], "a": "é\n😀", "ä": {}}
    assert canonical(value) == '{"a":"é\\n😀","b":[1,1.5,null,true],"ä":{}}'.encode()
    assert fingerprint({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
