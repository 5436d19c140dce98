"""What is kept of refused messages, and how often they are reported."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import browsing, dead_letters
from consumer.ledger.records import DeadLetter
from ops.dead_letter_replay import DeadLetterReplay
from providers.http.policy import Policy
from tests.ledger_views import Ledger

LIMIT = 300_000
WHOLE = dead_letters.KEPT_BYTES
POLICY = AdmissionPolicy(
    roles={"image-to-prompt": "render"}, secret_names=frozenset(), policy=Policy(), max_message_bytes=LIMIT
)


def refused(ledger: Ledger, body: bytes, **headers: object) -> DeadLetter:
    (result,) = BatchAdmitter(ledger.a, POLICY)([IncomingMessage(body, "amqp", "q", headers)])
    assert result.error is not None
    (found,) = dead_letters.list_newest(ledger.b, limit=1)
    return found


@pytest.mark.parametrize("size", [WHOLE + 1, 5_000_000, 16_000_000], ids=lambda size: f"attack-12-{size}")
def test_of_a_message_that_is_too_large_the_beginning_is_kept_with_size_and_hash(size: int, ledger: Ledger) -> None:
    body = b"{" + b"x" * (size - 1)
    letter = refused(ledger, body, a="1")
    assert letter.code == "message_too_large"
    assert letter.body == body[: dead_letters.KEPT_BYTES]
    sha256 = hashlib.sha256(body).hexdigest()
    assert letter.headers == {"a": "1", "telecine-bytes": size, "telecine-sha256": sha256}
    larger = dataclasses.replace(POLICY, max_message_bytes=2 * size)
    result = DeadLetterReplay(ledger.a, larger)(letter)
    assert (result.result, result.refused and result.refused.code) == ("refused", "message_too_large")
    assert f"of {size:,} bytes were kept" in str(result.refused)


@pytest.mark.parametrize(
    ("size", "code"),
    [(10, "invalid_json"), (LIMIT, "invalid_json"), (LIMIT + 1, "message_too_large"), (WHOLE, "message_too_large")],
)
def test_a_message_of_up_to_a_mebibyte_is_kept_whole(size: int, code: str, ledger: Ledger) -> None:
    body = b"{" + b"x" * (size - 1)
    letter = refused(ledger, body)
    assert (letter.code, letter.body, letter.headers) == (code, body, {})


@pytest.mark.parametrize("value", ["a lot", 10**9, ["x"], None], ids=repr)
def test_a_header_of_the_producer_does_not_make_a_whole_letter_look_cut(value: object, ledger: Ledger) -> None:
    letter = refused(ledger, b"{}", **{dead_letters.SIZE: value, dead_letters.SHA256: value, "kept": "1"})
    assert letter.headers == {"kept": "1"}
    assert DeadLetterReplay(ledger.a, POLICY)(letter).refused is not None
    stored_before = dataclasses.replace(letter, headers={dead_letters.SIZE: value})
    result = DeadLetterReplay(ledger.a, POLICY)(stored_before)  # a letter of the version before may have such a header
    assert (result.refused and result.refused.code) in ("invalid_request", "message_too_large")


def invalid(**fields: object) -> bytes:
    callback = {"url": "https://hooks.example/"}
    return json.dumps({"id": "j", "type": "no-such-type", "data": {}, "callback": callback} | fields).encode()


@pytest.mark.parametrize(
    ("second", "ids"),
    [
        pytest.param(invalid(), 1, id="attack-12-same-bytes"),
        pytest.param(invalid(metadata={"n": 2}), 2, id="attack-12-other-bytes"),
        pytest.param(invalid(id="k"), 2, id="attack-12-other-id"),
    ],
)
def test_a_refused_message_that_is_delivered_again_is_reported_once(second: bytes, ids: int, ledger: Ledger) -> None:
    refused(ledger, invalid())
    refused(ledger, second, redelivered=True)
    assert len(browsing.list_deliveries(ledger.b, limit=9)) == ids
