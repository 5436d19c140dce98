"""``telecine delete`` and ``cleanup``: files first, then rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.calls import enqueue_and_park
from consumer.ledger.states import CallState
from consumer.ledger.tables import calls, jobs
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")


def age(operator: Operator, job_id: str, hours: float) -> None:
    database = operator.database()
    with database.write() as connection:
        ended = sa.update(jobs).where(jobs.c.id == job_id).values(finished_at=jobs.c.finished_at - hours * 3600)
        connection.execute(ended)
    database.close()


def stored(operator: Operator, path: str) -> bool:
    return (operator.settings.storage_folder / path).exists()


def test_delete_removes_the_files_and_the_job(operator: Operator) -> None:
    operator.completed("order-1")
    assert stored(operator, "results/order-1/video.mp4")
    result = operator.run("delete", "order-1", "--json")
    assert result.json["files_deleted"] == 1
    assert not stored(operator, "results/order-1/video.mp4")
    assert operator.job("order-1") is None


def test_delete_keeps_jobs_with_a_similar_id(operator: Operator) -> None:
    operator.completed("order-1")
    operator.completed("order-10")
    operator.run("delete", "order-1")
    assert stored(operator, "results/order-10/video.mp4")


def test_delete_refuses_a_job_that_has_not_ended(operator: Operator) -> None:
    operator.receive("order-1")
    result = operator.run("delete", "order-1")
    assert result.status == 1
    assert "--force" in result.err
    assert operator.job("order-1") is not None


def test_delete_with_force_cancels_first(operator: Operator) -> None:
    operator.receive("order-1")
    assert operator.run("delete", "order-1", "--force").status == 0
    assert operator.job("order-1") is None


def test_delete_with_force_times_out_while_the_worker_runs(operator: Operator) -> None:
    operator.receive("order-1")
    operator.start("order-1")
    result = operator.run("delete", "order-1", "--force", "--timeout", "0.3")
    assert result.status == 2
    assert operator.job("order-1") is not None


@pytest.mark.parametrize("force", [True, False], ids=["force", "cancelled-before"])
def test_m7_delete_waits_until_the_call_of_a_cancelled_job_is_settled(operator: Operator, force: bool) -> None:
    settle = with_call(operator, "order-1", CallState.WORKING)
    if not force:
        operator.run("cancel", "order-1")
    engine = threading.Timer(0.7, settle)
    engine.start()
    result = operator.run("delete", "order-1", *(["--force"] if force else []))
    engine.join()
    assert (result.status, operator.job("order-1")) == (0, None), result.err


def test_m7_delete_does_not_wait_for_a_call_that_waits_for_a_person(operator: Operator) -> None:
    with_call(operator, "order-1", CallState.UNKNOWN)
    operator.run("cancel", "order-1")
    database = operator.database()
    with database.write() as connection:
        connection.execute(calls.update().values(due_at=None))  # the engine has given the search up
    database.close()
    started = time.monotonic()
    result = operator.run("delete", "order-1")
    assert (result.status, "not settled" in result.err, time.monotonic() - started < 20) == (1, True, True)


def test_m7_delete_gives_up_after_its_timeout(operator: Operator) -> None:
    with_call(operator, "order-1", CallState.WORKING)
    result = operator.run("delete", "order-1", "--force", "--timeout", "0.5")
    assert (result.status, "not settled" in result.err, operator.job("order-1") is None) == (1, True, False)


def with_call(operator: Operator, job_id: str, state: CallState) -> Callable[[], None]:
    """Park a job with a call in this state. Return what settles the call, as the engine does."""
    operator.receive(job_id)
    database = operator.database()
    spec = CallSpec(
        candidates=[Candidate("m", "p", {})], inputs={}, output_folder="s3://r/", fingerprint="f", type="reel"
    )
    enqueue_and_park(database, operator.start(job_id).lease, "align", spec, tenant=None, urgency=1)
    with database.write() as connection:
        connection.execute(calls.update().values(state=state.value))
    database.close()

    def settle() -> None:
        with database.write() as connection:
            connection.execute(calls.update().values(state=CallState.CANCELLED.value, due_at=None))
        database.close()

    return settle


def test_delete_names_the_undelivered_callbacks(operator: Operator) -> None:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks"})
    assert operator.run("delete", "order-1", "--json").json["callbacks_dropped"] == ["job.completed"]


def test_delete_keeps_a_folder_that_holds_the_results_of_other_jobs(operator: Operator) -> None:
    operator.completed("orders")
    operator.completed("inner", output="s3://results/orders/")
    result = operator.run("delete", "orders")
    assert result.status == 1
    assert "results of other jobs" in result.err
    assert stored(operator, "results/orders/inner/video.mp4")
    assert operator.run("delete", "inner").status == 0
    assert operator.run("delete", "orders").status == 0


def test_an_interrupted_deletion_is_completed_by_the_next(operator: Operator) -> None:
    operator.completed("order-1")
    runtime = operator.runtime()
    runtime.storage.delete("s3://results/order-1/")
    runtime.close()
    assert operator.run("delete", "order-1", "--json").json["files_deleted"] == 0
    assert operator.job("order-1") is None


def test_cleanup_deletes_only_old_jobs(operator: Operator) -> None:
    for job_id in ("old-1", "old-2", "young"):
        operator.completed(job_id)
    operator.receive("open")
    for job_id in ("old-1", "old-2"):
        age(operator, job_id, 25)
    report = operator.run("cleanup", "--max-age-hours", "24", "--json").json
    assert (report["jobs_deleted"], report["files_deleted"]) == (2, 2)
    assert report["message"] == "Cleanup completed"
    assert report["cutoff_time"].endswith("Z")
    assert {job["job_id"] for job in operator.run("list", "--json").json} == {"young", "open"}


def test_cleanup_says_what_it_deleted_and_leaves_uploads_gap_L6(operator: Operator) -> None:
    upload = operator.settings.storage_folder / "inbox" / "cover.jpg"
    upload.parent.mkdir(parents=True, exist_ok=True)
    upload.write_bytes(b"upload")
    operator.completed("old")
    age(operator, "old", 25)
    assert operator.run("cleanup").out.split(".")[0] == "Deleted 1 job and 1 file that are older than 24 h"
    assert upload.exists()


def test_cleanup_keeps_a_job_with_an_undelivered_callback(operator: Operator) -> None:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks"})
    age(operator, "order-1", 25)
    assert operator.run("cleanup", "--json").json["jobs_deleted"] == 0


def test_cleanup_continues_after_jobs_that_it_keeps(operator: Operator) -> None:
    operator.completed("orders")
    operator.completed("inner", output="s3://results/orders/")
    age(operator, "orders", 26)
    age(operator, "inner", 25)
    result = operator.run("cleanup", "--json")
    assert result.status == 1
    assert result.json["jobs_deleted"] == 1
    assert result.json["kept"][0]["job_id"] == "orders"


def test_a_dry_run_deletes_nothing(operator: Operator) -> None:
    operator.completed("order-1")
    age(operator, "order-1", 25)
    report = operator.run("cleanup", "--dry-run", "--json").json
    assert (report["jobs_deleted"], report["files_deleted"], report["dry_run"]) == (1, 1, True)
    assert report["message"] == "Would delete 1 job and 1 file that are older than 24 h."
    assert operator.job("order-1") is not None
