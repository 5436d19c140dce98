"""Results, job records and dead letters are deleted when they are older than the settings allow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import retries
from consumer.ledger.queries import find_job
from consumer.ledger.tables import deliveries, jobs, rejections
from consumer.retention.loop import RetentionLoop
from consumer.storage.folder import FolderStorage
from consumer.wiring import build_runtime
from schemas.errors import InputUnavailable, JobNotFound, ResultsDeleted, StorageUnavailable
from schemas.settings import Settings
from tests.cli_operator import Operator, an_operator, request
from tests.telecine_process import TelecineProcess, wait_until

_operator = pytest.fixture(an_operator, name="operator")
DAY_SECONDS = 86_400.0


def age(operator: Operator, days: float, *job_ids: str) -> None:
    """Let jobs and dead letters be older by so many days."""
    database = operator.database()
    with database.write() as connection:
        older = sa.update(jobs).where(jobs.c.id.in_(job_ids))
        connection.execute(older.values(finished_at=jobs.c.finished_at - days * DAY_SECONDS))
        if not job_ids:
            connection.execute(sa.update(rejections).values(at=rejections.c.at - days * DAY_SECONDS))
    database.close()


@contextmanager
def retention(operator: Operator, **settings: Any) -> Iterator[RetentionLoop]:
    runtime = build_runtime(Settings(home=operator.home, **settings))
    yield RetentionLoop(runtime)
    runtime.close()


def stored(operator: Operator, job_id: str) -> bool:
    return (operator.settings.storage_folder / "results" / job_id / "video.mp4").exists()


def test_by_default_results_and_jobs_are_kept_and_dead_letters_are_deleted_after_30_days(operator: Operator) -> None:
    operator.completed("order-1")
    operator.arrive(b"not JSON")
    age(operator, 29)
    age(operator, 10_000, "order-1")
    with retention(operator) as loop:
        assert (loop.delete_results(), loop.delete_jobs(), loop.delete_dead_letters()) == (0, 0, 0)
        age(operator, 1.1)
        assert loop.delete_dead_letters() == 1
    assert stored(operator, "order-1")
    assert operator.run("dead-letters", "list", "--all", "--json").json == []


def test_results_are_deleted_by_age_and_the_job_is_still_known(operator: Operator) -> None:
    operator.completed("old")
    operator.completed("young")
    age(operator, 8, "old")
    with retention(operator, results_ttl_days=7) as loop:
        assert loop.delete_results() == 1
        assert loop.delete_results() == 0
    assert (stored(operator, "old"), stored(operator, "young")) == (False, True)
    shown = operator.run("status", "old", "--json").json
    assert shown["status"] == "completed"
    assert shown["results_deleted_at"] is not None
    assert "results were deleted" in operator.run("status", "old").err
    assert "Deleted the results because of their age (1 file)." in operator.run("explain", "old").out.replace("\n", " ")
    operator.receive("old")
    assert operator.run("status", "old", "--json").json["duplicates"] == 1


def test_jobs_are_deleted_by_age_with_their_results(operator: Operator) -> None:
    for name in ("old", "young"):
        operator.completed(name)
    age(operator, 91, "old")
    with retention(operator, jobs_ttl_days=90) as loop:
        assert loop.delete_jobs() == 1
    assert operator.job("old") is None
    assert not stored(operator, "old")
    assert operator.job("young") is not None


@pytest.mark.parametrize("setting", ["results_ttl_days", "jobs_ttl_days"])
@pytest.mark.parametrize("reason", ["running", "an undelivered callback", "results of another job inside"])
def test_what_is_still_needed_is_kept_at_any_age(operator: Operator, setting: str, reason: str) -> None:
    if reason == "running":
        operator.receive("order-1")
        operator.start("order-1")
    else:
        callback = {"callback": {"url": "https://shop.example/hooks"}} if "callback" in reason else {}
        operator.completed("order-1", **callback)
    if "inside" in reason:
        operator.completed("inner", output="s3://results/order-1/")
    age(operator, 10_000, "order-1")
    with retention(operator, **{setting: 1}) as loop:
        assert (loop.delete_results(), loop.delete_jobs()) == (0, 0)
    assert operator.job("order-1") is not None
    assert reason == "running" or stored(operator, "order-1")


def test_an_unavailable_object_store_stops_the_round_after_one_job_and_nothing_is_lost(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(_storage: FolderStorage, folder: str) -> int:
        tried.append(folder)
        raise StorageUnavailable("the disk is away")

    for name in ("a", "b", "c"):
        operator.completed(name)
    age(operator, 2, "a", "b", "c")
    with retention(operator, results_ttl_days=1) as loop, monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "delete", fail)
        assert loop.delete_results() == 0
        assert len(tried) == 1
        patch.undo()
        assert loop.delete_results() == 3


@pytest.mark.parametrize("setting", ["results_ttl_days", "jobs_ttl_days"])
def test_a_job_that_is_retried_while_old_jobs_are_deleted_keeps_its_files_friction_H2(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    for name in ("first", "second"):
        operator.completed(name)
    database = operator.database()
    with database.write() as connection:
        connection.execute(sa.update(jobs).values(state="failed"))
    age(operator, 2, "first", "second")
    delete = FolderStorage.delete

    def meanwhile(storage: FolderStorage, folder: str) -> int:
        if "first" in folder:
            retries.retry(database, "second", by="test")
            with pytest.raises((ResultsDeleted, JobNotFound)):
                retries.retry(database, "first", by="test")
        return delete(storage, folder)

    monkeypatch.setattr(FolderStorage, "delete", meanwhile)
    with retention(operator, **{setting: 1}) as loop:
        assert loop.delete_results() + loop.delete_jobs() == 1
    database.close()
    assert (stored(operator, "first"), stored(operator, "second")) == (False, True)


def test_callbacks_of_refused_requests_are_deleted_with_the_dead_letters(operator: Operator) -> None:
    operator.arrive(request("r-1", data={}, callback={"url": "https://shop.example/hook"}))
    age(operator, 31)
    database = operator.database()
    with database.write() as connection:
        connection.execute(sa.update(deliveries).values(due_at=None, created_at=0.0))
    with retention(operator) as loop:
        assert loop.delete_dead_letters() == 1
    with database.read() as connection:
        assert connection.execute(sa.select(deliveries.c.id)).first() is None
    database.close()


@pytest.mark.parametrize(("value", "days"), [("", None), ("2.5", 2.5), ("0", 0.0)])
def test_an_empty_variable_keeps_dead_letters(monkeypatch: pytest.MonkeyPatch, value: str, days: float | None) -> None:
    monkeypatch.setenv("TELECINE_DEAD_LETTERS_TTL_DAYS", value)
    assert Settings().dead_letters_ttl_days == days


def test_doctor_prints_for_how_long_things_are_kept(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_RESULTS_TTL_DAYS", "14")
    found = {item["check"]: item["found"] for item in operator.run("doctor", "--json").json["checks"]}["retention"]
    assert found == (
        "results: deleted after 14 days; jobs: kept, TELECINE_JOBS_TTL_DAYS is not set; "
        "dead letters: deleted after 30 days"
    )


def test_telecine_up_deletes_old_results_by_itself(tmp_path: Path) -> None:
    with TelecineProcess(tmp_path / "data", notes=True, results_ttl_days=0) as telecine:
        telecine.start()
        telecine.submit({"id": "n-1", "type": "note", "data": {"seconds": 0}})
        database = telecine.database()
        wait_until(lambda: (job := find_job(database, "n-1")) is not None and job.terminal)
        telecine.stop()
        telecine.start()
        wait_until(lambda: (job := find_job(database, "n-1")) is not None and job.results_deleted_at is not None)
        database.close()
        assert not list((telecine.home / "storage" / "results").rglob("*.txt"))


def test_an_outage_of_the_storage_is_one_line_of_the_log(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, Any]] = []
    with retention(operator) as loop:

        def unreachable() -> int:
            loop.stop()
            raise InputUnavailable("s3://results/~uploads/ could not be fetched", outage=True)

        monkeypatch.setattr(loop, "delete_uploads", unreachable)
        warning = "consumer.retention.loop.log.warning"
        monkeypatch.setattr(warning, lambda event, **fields: logged.append(fields), raising=False)
        loop.run()
    assert logged == [{"reason": "s3://results/~uploads/ could not be fetched"}]
