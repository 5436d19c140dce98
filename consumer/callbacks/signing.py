"""Signatures that let a receiver trust a callback, after Standard Webhooks 1.0.0 (symmetric, ``v1``).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the HMAC-SHA256 of
``{id}.{timestamp}.{body}``. The id stays the same over retries; the timestamp is that of the attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
from collections.abc import Iterable, Sequence

from pydantic import SecretStr

from schemas.errors import ConfigurationError

_PREFIX = "whsec_"
#: The specification asks for 24 bytes; endpoints with shorter keys exist, below 16 they are guessable.
_SHORTEST_BYTES = 16


def default_secret(names: Iterable[str]) -> str:
    """The name of the secret for callbacks that name none: ``default``, or else the first there is."""
    known = list(names)
    return known[0] if known and "default" not in known else "default"


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[SecretStr]) -> dict[str, str]:
    """The three ``webhook-…`` headers for one attempt to deliver ``body``.

    With more than one secret there is one signature of each, so that a receiver may know either of them
    while a secret is being replaced. ``timestamp`` is in Unix seconds.

    Raises:
        ConfigurationError: there is no secret, or one of them is malformed.
        ValueError: the id could be mistaken for id and timestamp (it has a full stop), or is no header value.
    """
    if not message_id or not all(c.isascii() and (c.isalnum() or c in "_:-") for c in message_id):
        raise ValueError("a message id has ASCII letters, digits, '_', ':' and '-' only")
    if not secrets:
        raise ConfigurationError("No callback signing secret is configured. `telecine secret` makes one.")
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [hmac.digest(_key(secret), content, hashlib.sha256) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(found).decode()}" for found in signatures),
    }


def check_secret(secret: SecretStr) -> None:
    """Nothing, when callbacks can be signed with the secret; for the settings, at start-up.

    Raises:
        ConfigurationError: it is malformed. The message does not repeat it.
    """
    _key(secret)


def generate_secret() -> str:
    """A new secret of 32 random bytes, ``whsec_…``, to be given to the operator and the receiver."""
    return _PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def _key(secret: SecretStr) -> bytes:
    """The bytes to sign with: what ``whsec_`` encodes, or the text itself."""
    text = secret.get_secret_value().strip()
    encoded = text.removeprefix(_PREFIX)
    if encoded == text:
        key = text.encode()
    else:
        try:
            # Receivers' libraries accept a missing padding. They also skip foreign characters without a
            # word, and so arrive at a key that nobody meant; here those are an error.
            key = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigurationError(
                "A callback signing secret starts with whsec_, but what follows is not base64. "
                "Copy it again in full, or make a new one with `telecine secret`."
            ) from None
    if len(key) < _SHORTEST_BYTES:
        raise ConfigurationError(
            f"A callback signing secret has {len(key)} bytes; it needs at least {_SHORTEST_BYTES}, better 32. "
            "Make one with `telecine secret`."
        )
    return key
