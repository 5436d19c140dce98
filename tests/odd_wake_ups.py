"""Malformed messages for the wake-up queues, which make Celery or its libraries fail."""

from __future__ import annotations

import bz2
import gzip
from typing import Any

_WAKE_UP = {"lang": "py", "task": "telecine.advance", "id": "x"}
_BODY = '[["unknown"], {}, {}]'

_ODD: list[tuple[dict[str, Any], str | bytes]] = [
    ({"lang": "py", "task": "telecine.advance"}, _BODY),
    ({"task": 5, "id": "x"}, _BODY),
    ({"task": [1], "id": "x"}, _BODY),
    ({"task": "celery.chord", "id": "x"}, "[[], {}, {}]"),
    (_WAKE_UP | {"id": [1]}, _BODY),
    (_WAKE_UP | {"eta": "9999-01-01T00:00:00+00:00"}, _BODY),
    (_WAKE_UP | {"eta": 5}, _BODY),
    (_WAKE_UP | {"expires": {"a": 1}}, _BODY),
    (_WAKE_UP | {"timelimit": "x"}, _BODY),
    (_WAKE_UP | {"timelimit": ["a", "b"]}, _BODY),
    (_WAKE_UP | {"retries": "x"}, _BODY),
    (_WAKE_UP | {"group": 5, "stamps": 7, "stamped_headers": 5, "meth": 7, "shadow": []}, _BODY),
    (_WAKE_UP | {"compression": "nope"}, _BODY),
    (_WAKE_UP | {"compression": "gzip"}, gzip.compress(bytes(100_000_000))),
    (_WAKE_UP | {"compression": "application/x-bz2"}, bz2.compress(bytes(100_000_000))),
    (_WAKE_UP | {"compression": "zlib"}, _BODY),
    (_WAKE_UP, "[["),
    (_WAKE_UP, "5"),
    (_WAKE_UP, "[1, 2, 3]"),
    (_WAKE_UP, "[[1], {}, {}]"),
    (_WAKE_UP, '[["a\\u0000b"], {}, {}]'),
    (_WAKE_UP, '[["a"], {}, {"callbacks": 5, "chain": 7, "chord": "x", "errbacks": 3}]'),
    ({}, '{"task": "telecine.advance", "id": "x", "args": 5}'),
    ({}, '{"task": 5}'),
    ({}, "x"),
]
#: Headers and body of messages in Celery's protocol.
ODD = [(headers, body if isinstance(body, bytes) else body.encode()) for headers, body in _ODD]
