"""Verification of callbacks, which are signed by Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from telecine_client.errors import CallbackError
from telecine_client.results import Callback

_PREFIX = "whsec_"


def verify(
    headers: Mapping[str, str], body: bytes, secrets: str | Sequence[str], *, tolerance_seconds: float = 300.0
) -> Callback:
    """Verify signature and time of a callback and return it.

    ``body`` is the body as it was received, before any parsing. ``secrets`` is one secret or, while it is being
    replaced, several. Fields that this version does not know are kept.

    Raises:
        CallbackError: A header is missing, no signature is by one of the secrets, or the time is not within the
            tolerance. Answer 401.
        ValueError: A secret is malformed.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, sent, signatures = (found.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and sent and signatures):
        raise CallbackError("a header is missing: webhook-id, webhook-timestamp or webhook-signature")
    content = f"{message_id}.{sent}.".encode() + body
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not any(_is_signed(content, key, signatures) for key in keys):
        raise CallbackError("no signature is by one of the secrets")
    if not sent.isascii() or not sent.isdecimal() or abs(time.time() - int(sent)) > tolerance_seconds:
        raise CallbackError(f"the callback was sent more than {tolerance_seconds:g} s ago, or this clock is wrong")
    return cast("Callback", json.loads(body))


def _is_signed(content: bytes, key: bytes, signatures: str) -> bool:
    expected = hmac.digest(key, content, hashlib.sha256)
    return any(hmac.compare_digest(expected, given) for given in _given(signatures))


def _given(signatures: str) -> Iterator[bytes]:
    for item in signatures.split():
        version, _, text = item.partition(",")
        if version == "v1":
            try:
                yield base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                continue


def _key(secret: str) -> bytes:
    """Return the key of a secret: the decoded base64 after ``whsec_``, or else the text itself."""
    text = secret.strip()
    if not text.startswith(_PREFIX):
        key = text.encode()
    else:
        encoded = text.removeprefix(_PREFIX).rstrip("=")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("the secret starts with whsec_, but what follows is not base64; copy it in full") from None
    if len(key) < 16:
        raise ValueError("the secret is shorter than 16 bytes; `telecine secret` makes one")
    return key
