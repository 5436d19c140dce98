"""Strict JSON (RFC 8259): refuses everything that two parsers could read differently."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from schemas.errors import InvalidJson, MessageTooLarge

#: Default size limit of a request, checked before parsing.
MAX_MESSAGE_BYTES = 256 * 1024
MAX_DEPTH = 32
_BOM = b"\xef\xbb\xbf"

# Only these escapes can produce a string that UTF-8 or a database cannot store; most messages have none.
_SUSPICIOUS = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


def parse_object(body: bytes, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> dict[str, Any]:
    """Parse ``body`` as one JSON object.

    Besides invalid JSON these are refused: NaN and infinities (also ``1e999``), duplicate names in one object,
    more than 32 levels of nesting, NUL characters and unpaired surrogates in strings. A byte order mark at the
    beginning is ignored, as RFC 8259, section 8.1 allows: Windows tools write one.

    Raises:
        MessageTooLarge: ``body`` is longer than ``limit_bytes``.
        InvalidJson: ``body`` is not strict JSON; the message says where.
    """
    if len(body) > limit_bytes:
        raise MessageTooLarge(
            f"the message has {len(body):,} bytes, the limit is {limit_bytes:,}; "
            "put media in object storage and send its URI"
        )
    try:
        text = body.removeprefix(_BOM).decode("utf-8")
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected second byte order mark (BOM)", text, 0)
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        if (other := _other_encoding(body)) is not None:
            raise InvalidJson(f"the message is not UTF-8 but {other}; save or send it as UTF-8") from None
        start = error.start + (len(_BOM) if body.startswith(_BOM) else 0)
        raise InvalidJson(f"the message is not UTF-8 (byte {start})") from None
    except RecursionError:
        raise InvalidJson(f"the message is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        if (other := _other_encoding(body)) is not None:
            raise InvalidJson(f"the message is not UTF-8 but {other}; save or send it as UTF-8") from None
        raise InvalidJson(
            f"the message is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise InvalidJson(f"the message is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidJson(f"the message is a JSON {_name(value)}, not an object; send one JSON object")
    _check(value, suspicious=_SUSPICIOUS.search(body) is not None)
    return value


def _other_encoding(body: bytes) -> str | None:
    """Return ``UTF-16`` or ``UTF-32`` if the message begins like JSON in one of them."""
    found = json.detect_encoding(body).upper()
    begins = body.lstrip(b"\0\xff\xfe \t\r\n")[:1] in (b"{", b"[")
    return found[:6] if begins and not found.startswith("UTF-8") else None


def canonical(value: Any) -> bytes:
    """Return one serialisation for equal values: sorted names, no white space, UTF-8. This is not RFC 8785."""
    return _ENCODER.encode(value).encode()


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of the canonical serialisation, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large for a number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {twice[:40]!r} appears twice in one object")
    return value


# Built once, because every request needs them.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _name(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}[type(value)]


def _check(value: Any, *, suspicious: bool) -> None:
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            if suspicious:
                check_text(item)
            continue
        if not isinstance(item, dict | list):
            continue
        if depth > MAX_DEPTH:
            raise InvalidJson(f"the message is nested deeper than {MAX_DEPTH} levels")
        children = item if isinstance(item, list) else [*item.keys(), *item.values()]
        if not suspicious:
            children = [child for child in children if isinstance(child, dict | list)]
        pending.extend([(child, depth + 1) for child in children])


def check_text(text: str) -> None:
    """Check that ``text`` can be stored as UTF-8 and in every supported database.

    Raises:
        InvalidJson: it contains NUL or an unpaired surrogate.
    """
    if "\x00" in text:
        raise InvalidJson("a string contains the NUL character (\\u0000); remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJson("a string contains an unpaired surrogate; send complete characters") from None
