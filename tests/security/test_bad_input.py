"""Invalid and hostile files in the inbox of a real process become dead letters and do not affect other requests.

A listener on a forbidden address checks that no connection reaches it.
"""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.drop import drop
from consumer.ledger import dead_letters, queries
from consumer.ledger.database import Database
from consumer.ledger.dead_letters import KEPT_BYTES
from consumer.ledger.records import DeadLetter
from tests.receiver import Attempt, Receiver
from tests.security.servers import Listener
from tests.telecine_process import TelecineProcess, wait_until

REEL = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "La la", "alignment_mode": "even"}
MIB = 1024 * 1024
CALLBACK = {"url": "RECEIVER", "events": ["failed"]}


@dataclass(frozen=True)
class Place:
    """A running Telecine, a receiver that callbacks may reach, and a canary that they must not reach."""

    process: TelecineProcess
    database: Database
    receiver: Receiver
    canary: Listener

    @property
    def secret(self) -> str:
        return (self.process.home / "callback-secret").read_text().strip()

    def fill_addresses(self, body: bytes) -> bytes:
        """Replace the placeholders in the body by the addresses of this run."""
        body = body.replace(b"RECEIVER", self.receiver.url.encode())
        return body.replace(b"CANARY", f"127.0.0.1:{self.canary.port}".encode())

    def drop_bad_file(self, body: bytes) -> DeadLetter:
        """Drop a file into the inbox and return its dead letter."""
        before = dead_letters.newest_number(self.database)
        drop(self.process.settings.inbox_folder, body)
        wait_until(lambda: dead_letters.newest_number(self.database) > before, what=self.log)
        assert dead_letters.newest_number(self.database) == before + 1
        refused = dead_letters.find(self.database, before + 1)
        assert refused is not None
        return refused

    def calls(self, **expected: Any) -> list[Attempt]:
        """Return the callbacks whose data has these values."""
        return [a for a in self.receiver.attempts if expected.items() <= a.json()["data"].items()]

    def state(self, job_id: str) -> str | None:
        """Return the state of a job, or ``None`` if there is no such job."""
        job = queries.find_job(self.database, job_id)
        return None if job is None else job.state.value

    def callbacks(self) -> int:
        """Count all callbacks, in any state."""
        return sum(queries.count_deliveries(self.database).values())

    def log(self) -> str:
        """Return the end of the log, for a failed test."""
        return self.process.log.read_text(errors="replace")[-3000:]

    def check_health(self) -> None:
        """Check that a valid request completes and that the process reports itself as healthy."""
        job_id = f"good-{uuid.uuid4().hex[:8]}"
        drop(self.process.settings.inbox_folder, json.dumps({"id": job_id, "type": "note", "data": {}}).encode())
        wait_until(lambda: self.state(job_id) == "completed", what=self.log)
        # The health URL is logged once everything runs. The inbox may start slightly earlier.
        match = wait_until(lambda: re.search(r'"health": "([^"]+)"', self.process.log.read_text()))
        with urllib.request.urlopen(f"{match[1]}/health", timeout=10) as reply:
            assert json.load(reply)["status"] == "healthy"
        assert self.process.running
        assert self.canary.connections == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Yield one Telecine for all tests of this module, so that a bad file could also harm a later test."""
    with Receiver() as receiver, Listener() as canary:
        home = tmp_path_factory.mktemp("telecine")
        hosts = f"127.0.0.1:{receiver.port}"
        with TelecineProcess(home, notes=True, allowed_private_hosts=hosts, inbox_poll_seconds=0.02).start() as process:
            database = process.database()
            yield Place(process, database, receiver, canary)
            database.close()
            assert canary.connections == 0
            assert process.stop() == 0


@dataclass(frozen=True)
class Poison:
    """A file that is not a valid request."""

    body: bytes
    code: str
    message: str = ""
    at: str | None = None
    #: Whether the producer gets a callback: the request must name an address that callbacks may reach.
    has_callback: bool = False
    #: The id that the callback carries.
    id: str | None = None


def request(with_callback: bool = True, **changes: Any) -> bytes:
    """Return a request that is valid except for ``changes``; ``...`` omits a field."""
    value = {"id": "bad", "type": "reel", "data": REEL, "metadata": {"mine": 1}} | changes
    if with_callback:
        value = {"callback": CALLBACK} | value
    return json.dumps({name: item for name, item in value.items() if item is not ...}).encode()


def with_callback(code: str, message: str, at: str | None, **changes: Any) -> Poison:
    """Return an invalid request whose producer gets a callback."""
    job_id = changes.get("id", "bad")
    return Poison(
        request(**changes), code, message, at, has_callback=True, id=job_id if isinstance(job_id, str) else None
    )


def callback(url: str) -> Poison:
    """Return a request whose callback URL is forbidden."""
    return Poison(request(callback={"url": url}), "address_forbidden", "may not be called", "callback.url")


POISONS = {
    "an empty file": Poison(b"", "invalid_json", "Expecting value"),
    "no JSON": Poison(b"{id: order-1}\xff\x00\x01", "invalid_json", "not UTF-8"),
    "a picture": Poison(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "invalid_json", "not UTF-8"),
    "JSON null": Poison(b"null", "invalid_json", "null, not an object"),
    "a list of requests": Poison(b"[" + request() + b"]", "invalid_json", "array, not an object"),
    "NaN": Poison(request().replace(b'"La la"', b"NaN"), "invalid_json", "NaN is not a JSON number"),
    "10 MB": Poison(b'{"id": "' + bytes(range(32, 127)) * (10 * MIB // 95), "message_too_large", "limit is 262,144"),
    "10,000 levels": Poison(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "invalid_json", "nested deeper than 32"),
    "10,000 open brackets": Poison(b"[" * 10_000, "invalid_json", "nested deeper than 32"),
    "NUL": Poison(request(metadata={"a": "\x00"}), "invalid_json", "NUL character"),
    "half a surrogate": Poison(request(metadata={"a": "\ud800"}), "invalid_json", "an unpaired surrogate"),
    "a name given twice": Poison(request()[:-1] + b', "id": "other"}', "invalid_json", "the name 'id' appears twice"),
    "an S3 test event": Poison(b'{"Event": "s3:Unknown"}', "invalid_request", "no id, type or data"),
    "an unknown type": with_callback("unknown_type", "unknown type 'hologram'", "type", type="hologram"),
    "a missing field": with_callback(
        "missing_field", "data.image is missing", "data.image", data={"audio": "s3://abc/x"}
    ),
    "an extra field": with_callback("unknown_field", "unknown field: data.zoom", "data.zoom", data={**REEL, "zoom": 2}),
    "no lyrics": with_callback(
        "lyrics_required", "Lyrics text is required", "data.lyrics", data={**REEL, "lyrics": "\n"}
    ),
    "50,000 lines": with_callback(
        "lyrics_too_long", "lyrics have 50,000 lines", "data.lyrics", data={**REEL, "lyrics": "\n".join("a" * 50_000)}
    ),
    "an id with a slash": with_callback("invalid_field", "id: ", "id", id="../../etc/passwd"),
    "an id that is none": with_callback("invalid_field", "id: ", "id", id=None),
    "no data": with_callback("missing_field", "data is missing", "data", data=...),
    "a foreign prefix": with_callback("invalid_field", "output: ", "output", output="s3://results/../secrets/"),
    "a listener on this machine": callback("http://CANARY/hook"),
    "the same by name": callback("https://localhost:8443/hook"),
    "the same in disguise": callback("https://[::ffff:127.0.0.1]:8443/hook"),
    "a private network": callback("https://10.0.0.8/hook"),
    "the metadata address": callback("http://169.254.169.254/latest/meta-data/"),
    "an input at the metadata address": with_callback(
        "address_forbidden",
        "data.image: http://169.254.169.254/latest/meta-data/ may not be called",
        "data.image",
        data={**REEL, "image": "http://169.254.169.254/latest/meta-data/"},
    ),
    "an input in a private network": with_callback(
        "address_forbidden",
        "data.audio: 10.1.2.3 may not be called",
        "data.audio",
        data={**REEL, "audio": "https://10.1.2.3/song.mp3"},
    ),
    "credentials in a callback": callback("https://user:hunter2@hooks.example/"),
    "a forbidden address in a request that is wrong otherwise": Poison(
        request(type="hologram", callback={"url": "http://CANARY/hook"}), "unknown_type", "hologram", "type"
    ),
    "a callback that is no address": Poison(
        request(callback={"url": "file:///etc/passwd"}), "invalid_field", "must be an http or https URL", "callback.url"
    ),
    "an unknown signing secret": Poison(
        request(callback={"url": "RECEIVER", "secret_name": "x"}), "invalid_field", "not configured"
    ),
}


@pytest.mark.parametrize("name", POISONS)
def test_a_bad_file_becomes_a_dead_letter_and_the_next_request_is_served(place: Place, name: str) -> None:
    poison = POISONS[name]
    body = place.fill_addresses(poison.body)
    before, owed = len(place.receiver.attempts), place.callbacks()
    refused = place.drop_bad_file(body)
    assert (refused.code, refused.door, refused.source) == (poison.code, "inbox", "inbox")
    assert poison.message in refused.message
    assert "hunter2" not in refused.message
    assert refused.body == body[: dead_letters.KEPT_BYTES]
    place.check_health()
    if not poison.has_callback:
        assert place.callbacks() == owed
        assert len(place.receiver.attempts) == before
        return
    attempts = place.receiver.wait_for(before + 1)
    data = place.receiver.verify(attempts[-1], place.secret)["data"]
    assert len(attempts) == before + 1
    assert (data["status"], data.get("id"), data["metadata"]) == ("failed", poison.id, {"mine": 1})
    assert data["error"] == {
        "code": poison.code,
        "message": refused.message,
        "retryable": False,
        "field": poison.at,
    }


def test_an_id_with_other_content_becomes_a_dead_letter_and_the_first_job_is_unchanged(place: Place) -> None:
    first = {"id": "twice", "type": "note", "data": {"text": "first"}, "callback": {"url": place.receiver.url}}
    drop(place.process.settings.inbox_folder, json.dumps(first).encode())
    before = place.process.wait_for_job("twice")
    second = json.dumps(first | {"data": {"text": "second"}}).encode()
    refused = place.drop_bad_file(second)
    assert (refused.code, refused.body, refused.request_id) == ("id_conflict", second, "twice")
    assert before.fingerprint[:16] in refused.message
    place.check_health()
    job = queries.find_job(place.database, "twice")
    assert job is not None
    assert (job.state, job.outcome, job.epoch) == (before.state, before.outcome, before.epoch)
    # One callback, job.completed: a failure with this id would wrongly report on the first job.
    wait_until(lambda: place.calls(id="twice"))
    assert [a.json()["type"] for a in place.calls(id="twice")] == ["job.completed"]


def test_only_the_beginning_of_a_huge_file_is_kept(place: Place) -> None:
    body = b'{"id": "' + b"x" * (KEPT_BYTES + 5)
    refused = place.drop_bad_file(body)
    assert refused.code == "message_too_large"
    assert refused.body == body[:KEPT_BYTES]
    place.check_health()


def test_a_file_that_is_still_being_copied_is_not_a_dead_letter(place: Place) -> None:
    body = b'{"id": "copied", "type": "note", "data": {}}'
    before = dead_letters.newest_number(place.database)
    with (place.process.settings.inbox_folder / "copied.json").open("wb") as file:
        for piece in (b"", body[:20], body[20:]):
            file.write(piece)
            file.flush()
            place.check_health()
    assert place.process.wait_for_job("copied").state == "completed"
    assert dead_letters.newest_number(place.database) == before


def test_files_that_are_not_messages_are_ignored(place: Place) -> None:
    inbox = place.process.settings.inbox_folder
    before = dead_letters.newest_number(place.database)
    for name in (".hidden.json", "notes.txt", "x.json.part"):
        (inbox / name).write_bytes(b"not JSON")
    (inbox / "folder.json").mkdir()
    (inbox / "nowhere.json").symlink_to("/nonexistent")
    place.check_health()
    assert dead_letters.newest_number(place.database) == before
    assert (inbox / "notes.txt").exists()


def test_a_thousand_bad_files_do_not_stop_the_inbox(place: Place) -> None:
    before = dead_letters.newest_number(place.database)
    inbox = Path(place.process.settings.inbox_folder)
    for number in range(1000):
        part = inbox / f".{number}"
        part.write_bytes(b'{"poison": %d' % number)
        part.rename(inbox / f"{number}.json")
    place.check_health()
    wait_until(lambda: dead_letters.newest_number(place.database) >= before + 1000, what=place.log)
    kept = dead_letters.list_newest(place.database, limit=1000)
    assert {r.body for r in kept} == {b'{"poison": %d' % number for number in range(1000)}
