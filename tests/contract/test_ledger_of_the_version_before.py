"""A ledger of the version before the redesign is opened and its jobs finish: what is stored stays readable."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.ledger import calls, dead_letters, queries
from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from consumer.ledger.states import CallState, State
from consumer.storage.base import ObjectFacts, StoredObject
from tests.call_line import Line
from tests.ledger_views import Ledger

RECORDED = Path(__file__).with_name("ledgers") / "0.1.0-before-the-redesign.sql"
#: What the version before had stored for its job ``stepped`` when its manifest could not be written.
ANSWER = b"made by second"
SHA256 = "214e9caf548713d69bf0aab329efa171b07c7bdcfae6d5ff402f23819284b9ad"
METADATA = {
    "telecine-job": "stepped",
    "telecine-fingerprint": "718326d133583ae628686e298f1201e084ad53b0be2dc4f88112bf7a534e1b43",
    "telecine-sha256": SHA256,
    "telecine-facts": "{}",
}


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """Yield the line of calls on the recorded ledger, with the file that its job ``stepped`` had stored."""
    path = tmp_path / "ledger.sqlite3"
    connection = sqlite3.connect(path)
    connection.executescript(RECORDED.read_text())
    # The recorded time limits have passed.
    connection.execute("UPDATE calls SET give_up_at = ? WHERE give_up_at IS NOT NULL", (time.time() + 3_600,))
    connection.commit()
    connection.close()
    _restore_stored_file(tmp_path / "storage")
    database = Database(f"sqlite:///{path}")
    migrate(database)
    line = Line(Ledger(database, database), tmp_path, retry_seconds=0.01)
    yield line
    line.close()
    database.close()


def _restore_stored_file(storage: Path) -> None:
    stored = storage / "results" / "stepped" / "answer.txt"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(ANSWER)
    name = "26f43ccb28313979ca6087f6dc915aee88061580dd94289d1b312392f10c88a3"
    sidecar = storage / ".telecine" / "sidecars" / name[:2] / name / f"{SHA256}.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text(json.dumps({"content_type": "text/plain", "marks": METADATA}))


def finished(line: Line, job_id: str) -> State:
    line.until(lambda: line.call(job_id).settled)
    while (state := line.advance(job_id)) in (State.WAITING, State.RUNNING, None):
        line.until(lambda: queries.find_job(line.runtime.database, job_id) is not None)
    return state


def test_a_result_that_was_delivered_before_the_upgrade_is_used_and_not_paid_for_again(line: Line) -> None:
    assert line.advance("delivered") is State.COMPLETED
    assert not line.alpha.charges
    manifest = json.loads((line.runtime.settings.storage_folder / "results/delivered/manifest.json").read_text())
    assert (manifest["provider"], manifest["model"], manifest["cost"]["amount"]) == ("alpha", "first", "0.10")


def test_a_call_in_flight_is_polled_under_its_old_task_and_not_sent_again(line: Line) -> None:
    call = line.call("in-flight")
    assert call.state is CallState.WORKING
    assert call.task is not None
    line.alpha._tasks[call.task.id] = call.id  # the provider remembers it
    line.start()
    assert finished(line, "in-flight") is State.COMPLETED
    assert call.id not in line.alpha.charges


def test_a_call_that_waited_to_be_sent_is_sent_once(line: Line) -> None:
    line.start()
    assert finished(line, "queued") is State.COMPLETED
    assert line.alpha.charges[line.call("queued").id] == 1
    assert json.loads(line.job("queued").request)["metadata"] == {"order": 7}


def test_an_unknown_outcome_is_looked_up_and_not_paid_for_again(line: Line) -> None:
    call = line.call("unknown")
    assert call.state is CallState.UNKNOWN
    line.beta._tasks["task-1"] = call.id
    with line.runtime.database.write() as connection:
        connection.exec_driver_sql("UPDATE calls SET due_at = 0 WHERE job_id = 'unknown'")
    line.start()
    assert finished(line, "unknown") is State.COMPLETED
    assert line.call("unknown").task is not None
    assert not line.beta.charges


def test_a_step_that_was_done_before_the_upgrade_is_not_done_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    put, stored = line.runtime.storage.put, list[str]()

    def record(path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        stored.append(uri)
        return put(path, uri, facts)

    monkeypatch.setattr(line.runtime.storage, "put", record)
    with line.runtime.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET not_before = 0, wake_at = 0 WHERE id = 'stepped'")
    assert line.advance("stepped") is State.COMPLETED
    assert stored == []  # answer.txt was stored before the upgrade, and the manifest does not wait for the disk
    (output, _) = (line.job("stepped").outcome or {})["outputs"]
    assert (output["name"], output["sha256"]) == ("answer.txt", SHA256)


def test_the_rest_of_the_old_ledger_is_readable(line: Line) -> None:
    database = line.runtime.database
    assert line.job("completed").state is State.COMPLETED
    (delivery,) = queries.deliveries_of(database, "completed")
    assert (delivery.event, delivery.attempts) == ("job.completed", 0)
    (letter,) = dead_letters.list_newest(database, limit=9)
    assert (letter.code, letter.request_id, letter.headers) == ("missing_field", "bad", {"x": "y"})
    assert line.events("received") == ["received"]
    for job_id in ("delivered", "in-flight", "unknown", "queued", "stepped", "completed"):
        assert [call.attempt for call in calls.of_job(database, job_id)] == [1]
