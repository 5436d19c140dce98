"""``telecine status``, ``list``, ``cancel``: one job and many."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import call_transitions, calls, leases
from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.queries import list_jobs
from consumer.ledger.tables import jobs
from ops.source_status import source_words
from schemas.errors import InputNotFound, InvalidImage
from tests.cli_operator import DEAD_WORKER, Operator, an_operator, request

_operator = pytest.fixture(an_operator, name="operator")

CALLBACK = {"url": "https://shop.example/hooks?token=hidden"}


def test_every_reading_command_works_without_a_ledger_and_creates_none(operator: Operator) -> None:
    for command in (["list"], ["dead-letters", "list"], ["callbacks", "list"]):
        result = operator.run(*command, "--json")
        assert result.status == 0
        assert result.json == []
        assert operator.run(*command).status == 0
    assert not operator.home.exists()


@pytest.mark.parametrize("command", ["status", "explain", "cancel", "delete"])
def test_an_unknown_job_is_a_named_error(operator: Operator, command: str) -> None:
    result = operator.run(command, "guest")
    assert result.status == 1
    assert result.out == ""
    assert "job_not_found" in result.err
    assert "telecine list" in result.err


@pytest.mark.parametrize("command", ["status", "explain", "cancel", "delete"])
def test_a_refused_request_is_found_by_its_id(operator: Operator, command: str) -> None:
    operator.arrive(request("order-1", data={}), request("order-2", data={}), request("order-1", priority="urgent"))
    result = operator.run(command, "order-1")
    assert result.status == 1
    assert "job_not_found" in result.err
    assert "`telecine dead-letters show 3`" in result.err


def test_with_json_an_error_is_json_too(operator: Operator) -> None:
    result = operator.run("status", "guest", "--json")
    assert json.loads(result.err.splitlines()[-1])["error"]["code"] == "job_not_found"


def test_status_shows_state_times_outputs_and_callback(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    view = operator.run("status", "order-1", "--json").json
    assert view["job_id"] == "order-1"
    assert view["status"] == "completed"
    assert view["progress_percentage"] == 100
    assert view["created_at"].endswith("Z")
    assert view["processing_time_seconds"] >= 0
    assert view["error_message"] is None
    assert view["outputs"][0]["uri"] == "s3://results/order-1/video.mp4"
    assert view["callbacks"][0]["state"] == "pending"
    result = operator.run("status", "order-1")
    assert "1080×1920, 30 fps, 3 min 2 s" in result.out
    assert "job.completed  pending" in result.out


def test_status_says_how_long_a_job_has_been_running_gap_L7(operator: Operator) -> None:
    operator.receive("order-1")
    assert operator.run("status", "order-1", "--json").json["processing_time_seconds"] is None
    operator.start("order-1")
    reads = (("status", "order-1"), ("list",), ("explain", "order-1"), ("show", "order-1"), ("cancel", "order-1"))
    shown = [operator.run(*command, "--json").json for command in (*reads, ("status", "order-1"))]
    times = [(job[0] if isinstance(job, list) else job)["processing_time_seconds"] for job in shown]
    assert times == sorted(set(times))


def test_the_query_of_a_callback_url_is_never_printed(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    for command in (["status", "order-1"], ["explain", "order-1"], ["callbacks", "list"]):
        for more in ([], ["--json"]):
            assert "hidden" not in operator.run(*command, *more).out


def test_status_shows_why_a_job_failed(operator: Operator) -> None:
    operator.receive("order-1")
    operator.fail(operator.start("order-1"), InvalidImage(field="data.image"))
    view = operator.run("status", "order-1", "--json").json
    assert view["error_message"] == "Image must be JPG or PNG"
    assert view["error"]["code"] == "invalid_image"
    assert "invalid_image  Image must be JPG or PNG" in operator.run("status", "order-1").out


def test_list_shows_the_newest_first_and_says_that_there_are_more(operator: Operator) -> None:
    for number in range(3):
        operator.receive(f"order-{number}")
    listed = operator.run("list", "--limit", "2", "--json").json
    assert [job["job_id"] for job in listed] == ["order-2", "order-1"]
    assert "more than 2" in operator.run("list", "--limit", "2").err


def test_list_stuck_finds_what_the_alert_is_about_the_oldest_first(operator: Operator) -> None:
    for job_id in ("new", "asks-a-provider", "lost-workers", "later"):
        operator.receive(job_id)
    assert "No job is stuck." in operator.run("list", "--stuck").err
    changes: dict[str, dict[str, Any]] = {
        "asks-a-provider": {"state": "waiting", "wake_at": None, "received_at": jobs.c.received_at - 4000},
        "lost-workers": {"crashes": 2},
        "later": {"received_at": jobs.c.received_at - 9000, "scheduled_for": jobs.c.received_at - 60},
    }
    database = operator.database()
    with database.write() as connection:
        for job_id, values in changes.items():
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
    database.close()
    found = operator.run("list", "--stuck", "--json").json
    assert [job["job_id"] for job in found] == ["asks-a-provider", "lost-workers"]
    assert "more than 1" in operator.run("list", "--stuck", "--limit", "1").err
    refused = operator.run("list", "--stuck", "--status", "running")
    assert (refused.status, "--stuck takes no other filter" in refused.err) == (2, True)


def test_list_accepts_the_status_words_of_the_source_systems(operator: Operator) -> None:
    operator.receive("waits")
    operator.receive("runs")
    operator.start("runs")
    for word, job_id in (("pending", "waits"), ("received", "waits"), ("processing", "runs"), ("running", "runs")):
        assert [job["job_id"] for job in operator.run("list", "--status", word, "--json").json] == [job_id]
    assert operator.run("list", "--status", "failed", "--json").json == []


def test_m4_a_job_that_waits_for_a_provider_is_processing_and_one_that_waits_for_a_retry_pending(
    operator: Operator,
) -> None:
    database = operator.database()
    spec = CallSpec(
        candidates=[Candidate("m", "p", {})], inputs={}, output_folder="s3://r/", fingerprint="f", type="reel"
    )
    for job_id, give_up in (("asks", None), ("asks-optionally", 3600.0), ("settled", None), ("retried", None)):
        operator.receive(job_id)
        lease = operator.start(job_id).lease
        if job_id == "retried":
            leases.park(database, lease, seconds=60, event="retry_later", failures=1)
            continue
        calls.enqueue_and_park(database, lease, "align", spec, tenant=None, urgency=1, give_up_seconds=give_up)
    with database.write() as connection:
        calls.stop_calls(connection, "settled")
        call_transitions.wake_job(connection, "settled")  # a worker takes it up within a second
    database.close()
    for word, ids in (("pending", ["retried"]), ("processing", ["settled", "asks-optionally", "asks"])):
        assert [job["job_id"] for job in operator.run("list", "--status", word, "--json").json] == ids
    runtime = operator.runtime()
    try:
        found = list_jobs(runtime.database)
        words = source_words(runtime.database, found, runtime.database.now())
    finally:
        runtime.close()
    assert words == dict.fromkeys(["settled", "asks-optionally", "asks"], "processing") | {"retried": "pending"}


def test_list_refuses_an_unknown_state_and_names_the_valid_ones(operator: Operator) -> None:
    result = operator.run("list", "--status", "done")
    assert result.status == 2
    assert "completed" in result.err


def test_list_in_a_pipe_has_one_unwrapped_line_per_job(operator: Operator) -> None:
    long = "x" * 120
    operator.receive(long)
    lines = operator.run("list").out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(long)


def test_cancel_ends_an_idle_job_at_once(operator: Operator) -> None:
    operator.receive("order-1", callback=CALLBACK)
    result = operator.run("cancel", "order-1", "--json")
    assert result.json["status"] == "cancelled"
    assert result.json["message"] == "order-1 is cancelled."
    [callback] = operator.run("callbacks", "list", "--json").json
    assert callback["event"] == "job.failed"


def test_cancel_notifies_the_worker_of_a_running_job(operator: Operator) -> None:
    operator.receive("order-1")
    operator.start("order-1")
    result = operator.run("cancel", "order-1")
    assert result.status == 0
    assert "is being cancelled" in result.out
    view = operator.run("status", "order-1", "--json").json
    assert (view["status"], view["cancel_requested"]) == ("running", True)


def test_cancel_ends_a_job_whose_worker_is_dead(operator: Operator) -> None:
    operator.receive("order-1")
    operator.start("order-1", owner=DEAD_WORKER)
    assert operator.run("cancel", "order-1", "--json").json["status"] == "cancelled"


def test_cancel_does_not_change_an_ended_job_and_fails_friction_low(operator: Operator) -> None:
    operator.completed("order-1")
    operator.receive("order-2")
    operator.fail(operator.start("order-2"), InputNotFound("it does not exist"))
    for job_id, state in (("order-1", "completed"), ("order-2", "failed")):
        result = operator.run("cancel", job_id)
        assert result.status == 1
        assert f"{job_id} had already ended as {state} and was not changed." in result.out
        assert operator.run("cancel", job_id, "--json").status == 1


def test_a_cancelled_job_can_be_cancelled_again(operator: Operator) -> None:
    operator.receive("order-1")
    assert [operator.run("cancel", "order-1").status for _ in range(2)] == [0, 0]


def test_invalid_settings_are_one_line_without_the_value(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_HEALTH_PORT", "not-a-port")
    result = operator.run("list")
    assert result.status == 1
    assert "TELECINE_HEALTH_PORT" in result.err
    assert "not-a-port" not in result.err


def test_a_ledger_that_does_not_answer_is_one_line_without_the_password(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_LEDGER_URL", "postgresql+psycopg://me:hidden@127.0.0.1:1/telecine")
    result = operator.run("list")
    assert result.status == 1
    assert "the ledger does not answer" in result.err
    assert "hidden" not in result.err


def test_show_prints_the_request_without_secrets_friction_m1(operator: Operator) -> None:
    operator.receive(
        "order-1", callback=CALLBACK, metadata={"order": 7, "link": ["https://me:pw@shop.example/a?sig=x"]}
    )
    asked = operator.run("show", "order-1", "--request").json
    assert asked["data"]["lyrics"] == "One\nTwo"
    assert asked["metadata"]["order"] == 7
    assert asked["callback"]["url"].startswith("https://shop.example/hooks?")
    assert operator.run("show", "order-1", "--json").json["request"] == asked
    plain = operator.run("show", "order-1").out
    assert "order-1" in plain.splitlines()[0]
    assert "s3://inbox/song.mp3" in plain
    for secret in ("hidden", "sig=x", "me:pw"):
        assert secret not in plain + json.dumps(asked)
    assert "request" not in operator.run("status", "order-1", "--json").json


def test_list_filters_by_type_code_and_time_friction_m18(operator: Operator) -> None:
    operator.receive("new")
    operator.receive("old")
    operator.receive("broken")
    operator.fail(operator.start("broken"), InvalidImage())
    database = operator.database()
    with database.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "old").values(received_at=jobs.c.received_at - 7200))
    database.close()

    def listed(*arguments: str) -> set[str]:
        return {item["job_id"] for item in operator.run("list", *arguments, "--json").json}

    assert listed("--type", "reel") == {"new", "old", "broken"}
    assert listed("--type", "text-to-image") == set()
    assert listed("--code", "invalid_image") == {"broken"}
    assert listed("--since", "1h") == {"new", "broken"}
    assert listed("--since", "0.5d") == {"new", "old", "broken"}
    assert listed("--since", "2001-01-01") == {"new", "old", "broken"}
    assert listed("--since", "2999-01-01T00:00Z") == set()
    assert listed("--since", "1h", "--code", "invalid_image", "--status", "failed") == {"broken"}
    result = operator.run("list", "--since", "yesterday")
    assert result.status == 1
    assert "30m, 2h or 7d" in result.err
    assert operator.run("list", "--code", "x").err == "No job matches. The codes there are: invalid_image.\n"
