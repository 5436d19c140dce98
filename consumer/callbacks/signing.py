"""Signatures of callbacks by Standard Webhooks 1.0.0 (symmetric, ``v1``).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the HMAC-SHA256 of
``{id}.{timestamp}.{body}``. The id is the same for all retries; the timestamp is that of the attempt.
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
#: The specification requires 24 bytes. Receivers with shorter keys exist; below 16 bytes a key can be guessed.
_SHORTEST_BYTES = 16


def default_secret(names: Iterable[str]) -> str:
    """Return the name of the secret for callbacks that name none: ``default``, or else the first name."""
    known = list(names)
    return known[0] if known and "default" not in known else "default"


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[SecretStr]) -> dict[str, str]:
    """Return the three ``webhook-…`` headers for one attempt to deliver ``body``.

    Each secret adds a signature, so that receivers may have either secret during a rotation. ``timestamp`` is in Unix
    seconds.

    Raises:
        ConfigurationError: There are no secrets, or one of them is malformed.
        ValueError: The id has characters that are not allowed; a full stop would make the signed content ambiguous.
    """
    if not message_id or not all(c.isascii() and (c.isalnum() or c in "_:-") for c in message_id):
        raise ValueError("a message id has ASCII letters, digits, '_', ':' and '-' only")
    if not secrets:
        raise ConfigurationError("No callback signing secret is configured. `telecine secret` generates one.")
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [hmac.digest(_key(secret), content, hashlib.sha256) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(found).decode()}" for found in signatures),
    }


def check_secret(secret: SecretStr) -> None:
    """Check that callbacks can be signed with the secret. For the settings at start-up.

    Raises:
        ConfigurationError: The secret is malformed. The message does not contain it.
    """
    _key(secret)


def generate_secret() -> str:
    """Return a new secret of 32 random bytes, ``whsec_…``."""
    return _PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def _key(secret: SecretStr) -> bytes:
    """Return the signing key: the decoded base64 after ``whsec_``, or else the text itself."""
    text = secret.get_secret_value().strip()
    encoded = text.removeprefix(_PREFIX)
    if encoded == text:
        key = text.encode()
    else:
        try:
            # Receivers' libraries accept missing padding. They also ignore invalid characters silently, which gives
            # an unintended key; here those are an error.
            key = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigurationError(
                "A callback signing secret starts with whsec_, but what follows is not base64. "
                "Copy it again in full, or generate a new one with `telecine secret`."
            ) from None
    if len(key) < _SHORTEST_BYTES:
        raise ConfigurationError(
            f"A callback signing secret has {len(key)} bytes; it needs at least {_SHORTEST_BYTES}, better 32. "
            "Generate one with `telecine secret`."
        )
    return key
