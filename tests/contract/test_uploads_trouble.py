"""Uploads under faults: an unavailable object store, competing processes, a storm of events."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from consumer.ledger import queries, uploads
from consumer.ledger.database import db_now
from consumer.storage.memory import MemoryStorage
from consumer.uploads.loop import RETRY_LIMIT_SECONDS, RETRY_LIMIT_TRIES, ClaimedElsewhere
from schemas.errors import InputUnavailable
from schemas.s3_events import MAX_RECORDS
from tests.ledger_views import Ledger
from tests.s3_messages import bridged, notified, wrapped
from tests.telecine_process import wait_until
from tests.upload_site import Make, Site


@pytest.fixture
def site(make: Make) -> Site:
    """Return a site with a rule of each kind."""
    return make()


@pytest.fixture
def make(ledger: Ledger, tmp_path: Path) -> Make:
    """Return a factory of sites on one ledger."""
    return lambda **more: Site(ledger.a, tmp_path / "scratch", **more)


class Away(MemoryStorage):
    """In-memory storage that is unavailable for a while."""

    away = True

    def head(self, uri: str, version: str | None = None) -> Any:
        if self.away:
            raise InputUnavailable(f"{uri} could not be fetched at the moment")
        return super().head(uri, version)


def test_while_the_object_store_is_unavailable_uploads_are_retried_with_backoff(make: Make) -> None:
    storage = Away()
    site = make(storage=storage)
    storage.add("s3://inbox/songs/a.mp3", b"x")
    site.door(notified("songs/a.mp3"))
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]:
        site.change(due_at=0.0)
        before = site.database.now()
        site.process_uploads()
        assert before + wait - 0.01 <= site.due_at() <= site.database.now() + wait + 0.01
    assert uploads.reasons(site.database) == [
        "input_unavailable: s3://inbox/songs/a.mp3 could not be fetched at the moment"
    ]
    assert (site.jobs(), site.letters()) == ([], [])
    storage.away = False
    site.change(due_at=0.0)
    site.process_uploads()
    assert (len(site.jobs()), site.letters(), site.waiting()) == (1, [], 0)


def test_after_a_day_an_upload_becomes_a_dead_letter_that_can_be_replayed(make: Make) -> None:
    storage = Away()
    site = make(storage=storage)
    storage.add("s3://inbox/songs/a.mp3", b"x")
    site.door(notified("songs/a.mp3"))
    site.change(at=db_now() - RETRY_LIMIT_SECONDS - 1, tries=RETRY_LIMIT_TRIES)
    site.process_uploads()
    assert site.letter().code == "input_unavailable"
    assert site.waiting() == 0
    assert site.replay(site.letter()) == "input_unavailable"
    storage.away = False
    assert site.replay(site.letter()) == "admitted"


def test_an_upload_that_two_processes_claimed_is_settled_once(site: Site) -> None:
    site.add("songs/a.mp3")
    site.door(notified("songs/a.mp3"), notified("songs/gone.mp3"))
    slow = uploads.claim_due(site.database, limit=10, seconds=-1)  # its visibility timeout has ended
    for waiting in uploads.claim_due(site.database, limit=10, seconds=15):
        site.loop.process(waiting)
    for waiting in slow:
        with pytest.raises(ClaimedElsewhere):
            site.loop.process(waiting)
    assert (len(site.jobs()), site.job().duplicates, len(site.letters())) == (1, 0, 1)


def test_a_claimed_upload_is_not_claimed_again_before_its_visibility_timeout(site: Site) -> None:
    site.door(notified("songs/a.mp3"), notified("songs/b.mp3"))
    (one,) = uploads.claim_due(site.database, limit=1, seconds=15)
    (other,) = uploads.claim_due(site.database, limit=10, seconds=15)
    assert {one.seq, other.seq} == {item.seq for item in (one, other)}
    assert uploads.claim_due(site.database, limit=10, seconds=15) == []
    site.change(due_at=0.0)
    assert [item.seq for item in uploads.claim_due(site.database, limit=10, seconds=15, but=[one.seq])] == [other.seq]
    uploads.extend(site.database, [one.seq], seconds=60)
    assert uploads.claim_due(site.database, limit=10, seconds=15) == []


def test_a_storm_of_shuffled_duplicates_makes_each_job_once(site: Site) -> None:
    loops = (site.loop, site.another_loop())
    threads = [threading.Thread(target=loop.run, daemon=True) for loop in loops]
    messages: list[dict[str, Any]] = []
    shuffle = random.Random(7)
    for number in range(60):
        etag = site.add(f"songs/{number}.mp3", b"%d" % number)
        event = notified(f"songs/{number}.mp3", etag=etag)
        messages += [shuffle.choice([event, wrapped(event), bridged(f"songs/{number}.mp3", etag=etag)])] * (
            1 + number % 5
        )
    shuffle.shuffle(messages)
    for thread in threads:
        thread.start()
    for start in range(0, len(messages), 20):
        site.door(*messages[start : start + 20])
    wait_until(lambda: site.waiting() == 0, timeout=60, what=lambda: f"{site.waiting()} uploads wait")
    for loop in loops:
        loop.stop()
    for thread in threads:
        thread.join(10)
    jobs = queries.list_jobs(site.database, limit=1_000)
    assert len(jobs) == 60
    assert sum(job.duplicates for job in jobs) == len(messages) - 60
    assert sorted(wake.job_id for wake in site.woken) == sorted(job.id for job in jobs)


def test_invalid_events_become_dead_letters_and_do_not_block_valid_ones(site: Site) -> None:
    etag = site.add("songs/good.mp3")
    poison = notified("%ff")
    poison["Records"][0]["s3"]["object"]["key"] = "songs/%ff.mp3"
    for _ in range(10):
        answers = site.door(*[poison] * 100, notified("songs/good.mp3", etag=etag))
        assert [answer.error is None for answer in answers] == [False] * 100 + [True]
    site.process_uploads()
    assert site.job().duplicates == 9
    assert [letter.code for letter in site.letters()] == ["invalid_event"] * 1_000
    assert {letter.body for letter in site.letters()} == {json.dumps(poison).encode()}


def test_a_message_with_the_maximum_number_of_records_is_accepted(site: Site) -> None:
    for number in range(MAX_RECORDS):
        site.add(f"songs/{number}.mp3")
    site.door({"Records": [notified(f"songs/{number}.mp3")["Records"][0] for number in range(MAX_RECORDS)]})
    site.process_uploads()
    assert len(queries.list_jobs(site.database, limit=1_000)) == MAX_RECORDS
