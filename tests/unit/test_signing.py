"""Callback signatures, against the specification's package and its published test vectors."""

from __future__ import annotations

import base64
import os
import time

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from consumer.callbacks.signing import check_secret, generate_secret, sign
from schemas.errors import ConfigurationError

#: From the specification's repository: libraries/go/webhook_symmetric_test.go, and the one of its simulator.
VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
]


@pytest.mark.parametrize(("secret", "message_id", "timestamp", "body", "signature"), VECTORS)
def test_signatures_match_the_published_vectors(
    secret: str, message_id: str, timestamp: int, body: bytes, signature: str
) -> None:
    assert sign(message_id, timestamp, body, [SecretStr(secret)]) == {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


@given(st.text())
def test_the_standard_package_accepts_every_body(text: str) -> None:
    secret, body = generate_secret(), text.encode("utf-8", "replace")

    Webhook(secret).verify(body, sign("msg_1", int(time.time()), body, [SecretStr(secret)]), json_parse=False)


def test_a_binary_body_is_signed_unchanged() -> None:
    assert sign("msg_1", 1, b"\xff\x00", [SecretStr(generate_secret())])["webhook-signature"].startswith("v1,")


def test_during_a_rotation_both_secrets_verify() -> None:
    old, new, other = generate_secret(), generate_secret(), generate_secret()
    headers = sign("msg_1", int(time.time()), b"{}", [SecretStr(new), SecretStr(old)])

    assert headers["webhook-signature"].count("v1,") == 2
    Webhook(old).verify(b"{}", headers)
    Webhook(new).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(b"{}", headers)


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp"])
def test_a_changed_body_id_or_time_does_not_verify(changed: str) -> None:
    secret, now = generate_secret(), int(time.time())
    headers = sign("msg_1", now, b"{}", [SecretStr(secret)])
    body = b"{ }" if changed == "body" else b"{}"
    headers |= {"webhook-id": "msg_2"} if changed == "webhook-id" else {}
    headers |= {"webhook-timestamp": str(now + 1)} if changed == "webhook-timestamp" else {}

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_a_secret_without_prefix_is_used_as_text() -> None:
    secret = "a-raw-secret-of-some-length"

    Webhook(secret.encode()).verify(b"{}", sign("msg_1", int(time.time()), b"{}", [SecretStr(secret)]))


def test_a_secret_without_padding_and_with_a_newline_is_accepted() -> None:
    key = os.urandom(32)
    padded, bare = (
        f"whsec_{text}" for text in (base64.b64encode(key).decode(), base64.b64encode(key).decode().rstrip("="))
    )

    assert sign("m", 1, b"", [SecretStr(padded)]) == sign("m", 1, b"", [SecretStr(f"{bare}\n")])


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_not base64!", "whsec_c2hvcnQ=", "too-short", "", "whsec_a", "whsec_" + "ä" * 40]
)
def test_a_malformed_secret_is_refused_with_advice_and_without_repeating_it(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="telecine secret") as refusal:
        check_secret(SecretStr(secret))

    assert len(secret) < 8 or secret.removeprefix("whsec_") not in str(refusal.value)


def test_without_a_secret_nothing_is_signed() -> None:
    with pytest.raises(ConfigurationError):
        sign("msg_1", 1, b"{}", [])


@pytest.mark.parametrize("message_id", ["", "msg.1", "msg 1", "msg\r\nx: y", "mßg"])
def test_an_id_that_could_forge_the_signed_text_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        sign(message_id, 1, b"{}", [SecretStr(generate_secret())])


def test_generated_secrets_have_32_bytes_and_differ() -> None:
    first, second = generate_secret(), generate_secret()

    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32
    check_secret(SecretStr(first))
