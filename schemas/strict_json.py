"""JSON as RFC 8259 means it, and no more: nothing that two parsers could read differently."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from schemas.errors import InvalidJson, MessageTooLarge

#: Size limit of a request, checked before a byte of it is parsed.
MAX_MESSAGE_BYTES = 256 * 1024
MAX_DEPTH = 32

# Only these escapes can make a string that UTF-8 or a database cannot hold; most messages have none.
_SUSPICIOUS = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


def parse_object(body: bytes, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> dict[str, Any]:
    """The JSON object in ``body``.

    Refused besides what is no JSON: NaN and infinities (also as ``1e999``), a name given twice in one
    object, nesting deeper than 32, NUL characters and unpaired surrogates in strings.

    Raises:
        MessageTooLarge: longer than ``limit_bytes``.
        InvalidJson: anything else; the message says where.
    """
    if len(body) > limit_bytes:
        raise MessageTooLarge(
            f"the message has {len(body):,} bytes, the limit is {limit_bytes:,}; "
            "put media in object storage and name its URI"
        )
    try:
        value = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
        )
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the message is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise InvalidJson(f"the message is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(
            f"the message is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise InvalidJson(f"the message is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidJson(f"the message is JSON {_name(value)}, not an object; send one JSON object")
    _check(value, suspicious=_SUSPICIOUS.search(body) is not None)
    return value


def canonical(value: Any) -> bytes:
    """One spelling for equal values: sorted names, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical spelling, in hexadecimal."""
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
        pending.extend((child, depth + 1) for child in children)


def check_text(text: str) -> None:
    """Returns if UTF-8 and every database can hold ``text``.

    Raises:
        InvalidJson: it holds NUL or half a surrogate pair.
    """
    if "\x00" in text:
        raise InvalidJson("a string holds the NUL character (\\u0000); remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJson("a string holds half a surrogate pair; send whole characters") from None
