"""``telecine status``, ``list``, ``cancel``: one job and many."""

from __future__ import annotations

import json

import pytest

from schemas.errors import InvalidImage
from tests.cli_operator import DEAD_WORKER, Operator, an_operator, request

_operator = pytest.fixture(an_operator, name="operator")

CALLBACK = {"url": "https://shop.example/hooks?token=hidden"}


def test_every_looking_command_works_before_there_is_a_ledger_and_makes_none(operator: Operator) -> None:
    for command in (["list"], ["dead-letters", "list"], ["callbacks", "list"]):
        said = operator.run(*command, "--json")
        assert said.status == 0
        assert said.json == []
        assert operator.run(*command).status == 0
    assert not operator.home.exists()


@pytest.mark.parametrize("command", ["status", "explain", "cancel", "delete"])
def test_an_unknown_job_is_a_named_error(operator: Operator, command: str) -> None:
    said = operator.run(command, "nobody")
    assert said.status == 1
    assert said.out == ""
    assert "job_not_found" in said.err
    assert "telecine list" in said.err


@pytest.mark.parametrize("command", ["status", "explain", "cancel", "delete"])
def test_a_refused_request_is_found_by_its_id(operator: Operator, command: str) -> None:
    operator.arrive(request("order-1", data={}), request("order-2", data={}), request("order-1", priority="urgent"))
    said = operator.run(command, "order-1")
    assert said.status == 1
    assert "job_not_found" in said.err
    assert "`telecine dead-letters show 3`" in said.err


def test_an_error_is_json_too_when_json_is_asked_for(operator: Operator) -> None:
    said = operator.run("status", "nobody", "--json")
    assert json.loads(said.err.splitlines()[-1])["error"]["code"] == "job_not_found"


def test_status_tells_state_times_outputs_and_callback(operator: Operator) -> None:
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
    said = operator.run("status", "order-1")
    assert "1080×1920, 30 fps, 3 min 2 s" in said.out
    assert "job.completed  pending" in said.out


def test_the_query_of_a_callback_address_is_never_printed(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    for command in (["status", "order-1"], ["explain", "order-1"], ["callbacks", "list"]):
        for more in ([], ["--json"]):
            assert "hidden" not in operator.run(*command, *more).out


def test_status_tells_why_a_job_failed(operator: Operator) -> None:
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


def test_list_understands_the_words_of_the_source_systems(operator: Operator) -> None:
    operator.receive("waits")
    operator.receive("runs")
    operator.start("runs")
    for word, job_id in (("pending", "waits"), ("received", "waits"), ("processing", "runs"), ("running", "runs")):
        assert [job["job_id"] for job in operator.run("list", "--status", word, "--json").json] == [job_id]
    assert operator.run("list", "--status", "failed", "--json").json == []


def test_list_refuses_a_state_that_does_not_exist_and_names_those_that_do(operator: Operator) -> None:
    said = operator.run("list", "--status", "done")
    assert said.status == 2
    assert "completed" in said.err


def test_list_in_a_pipe_has_one_unfolded_line_for_each_job(operator: Operator) -> None:
    long = "x" * 120
    operator.receive(long)
    lines = operator.run("list").out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(long)


def test_cancel_ends_a_job_that_nobody_works_on_at_once(operator: Operator) -> None:
    operator.receive("order-1", callback=CALLBACK)
    said = operator.run("cancel", "order-1", "--json")
    assert said.json["status"] == "cancelled"
    assert said.json["message"] == "order-1 is cancelled."
    [callback] = operator.run("callbacks", "list", "--json").json
    assert callback["event"] == "job.failed"


def test_cancel_tells_the_worker_of_a_running_job(operator: Operator) -> None:
    operator.receive("order-1")
    operator.start("order-1")
    said = operator.run("cancel", "order-1")
    assert said.status == 0
    assert "is being cancelled" in said.out
    view = operator.run("status", "order-1", "--json").json
    assert (view["status"], view["cancel_requested"]) == ("running", True)


def test_cancel_ends_a_job_whose_worker_is_dead(operator: Operator) -> None:
    operator.receive("order-1")
    operator.start("order-1", owner=DEAD_WORKER)
    assert operator.run("cancel", "order-1", "--json").json["status"] == "cancelled"


def test_cancel_leaves_a_job_that_has_ended_as_it_is(operator: Operator) -> None:
    operator.completed("order-1")
    said = operator.run("cancel", "order-1")
    assert said.status == 0
    assert "had already ended" in said.out


def test_wrong_settings_are_one_line_without_the_value(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_HEALTH_PORT", "not-a-port")
    said = operator.run("list")
    assert said.status == 1
    assert "TELECINE_HEALTH_PORT" in said.err
    assert "not-a-port" not in said.err


def test_a_ledger_that_does_not_answer_is_one_line_without_the_password(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_LEDGER_URL", "postgresql+psycopg://me:hidden@127.0.0.1:1/telecine")
    said = operator.run("list")
    assert said.status == 1
    assert "the ledger does not answer" in said.err
    assert "hidden" not in said.err
