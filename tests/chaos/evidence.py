"""Checks of a job that survived a crash: completed once, one set of files, one ``webhook-id``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from consumer.ledger.database import Database
from consumer.ledger.queries import timeline_of
from consumer.ledger.records import Job
from consumer.ledger.states import State
from tests.receiver import Receiver

#: Reads all objects under a job's output, by name.
ReadAll = Callable[[str], Mapping[str, bytes]]


def check_finished_once(database: Database, job: Job, objects: Mapping[str, bytes]) -> None:
    """Check that the job completed once and that its objects are exactly those of the manifest."""
    assert job.state is State.COMPLETED, job.error
    entries = timeline_of(database, job.id)
    assert [entry.event for entry in entries].count("completed") == 1
    manifest = json.loads(objects["manifest.json"])
    named = {artifact["name"]: artifact for artifact in manifest["artifacts"]}
    assert set(objects) == {*named, "manifest.json"}
    for name, artifact in named.items():
        assert hashlib.sha256(objects[name]).hexdigest() == artifact["sha256"], name
        assert len(objects[name]) == artifact["bytes"]
    assert job.outcome is not None
    recorded = {output["name"]: output["sha256"] for output in job.outcome["outputs"]}
    assert recorded == {name: hashlib.sha256(content).hexdigest() for name, content in objects.items()}


def check_callback_once(receiver: Receiver, job_id: str, secret: str) -> list[Any]:
    """Check that all attempts of the job's callback have valid signatures, one ``webhook-id`` and one body.

    Returns the attempts.
    """
    receiver.wait_for(1, timeout=30)
    attempts = [attempt for attempt in receiver.attempts if attempt.json()["data"]["id"] == job_id]
    assert attempts, "no callback came"
    for attempt in attempts:
        assert receiver.verify(attempt, secret)["type"] == "job.completed"
    assert len({attempt.headers["webhook-id"] for attempt in attempts}) == 1
    assert len({attempt.body for attempt in attempts}) == 1
    return attempts
