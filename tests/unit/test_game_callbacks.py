"""Callbacks in format ``game``: the exact body, the URL, and which host gets the API key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.callbacks.game import DEFAULT_URL, DELIVERED, GameApi, game_body, game_url
from consumer.callbacks.schedule import Delivered, Disabled, Retry, next_attempt
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.schema import migrate
from consumer.ledger.tables import deliveries, jobs
from providers.http.policy import Policy
from schemas.callback import Output
from schemas.envelope import CallbackSpec, Request
from schemas.errors import InvalidField, RequestError
from schemas.parse import parse_request

#: From the I2V service's documentation.
COMPLETED = b"""{
    "data": {
        "addToInventory": true,
        "status": "COMPLETED",
        "output": {
            "title": "Generated Video Title",
            "type": "MEDIA",
            "category": "MARKETING_VIDEO",
            "url": "video_url"
        }
    }
}"""
FAILED = b"""{
    "data": {
        "addToInventory": false,
        "status": "FAILED",
        "output": null
    }
}"""

KEY = SecretStr("game-key-5f2a")
OURS = "https://game.example/requests"


def output(name: str, content_type: str, url: str | None) -> Output:
    return Output(name=name, uri=f"s3://results/{name}", url=url, sha256="0" * 64, bytes=1, content_type=content_type)


VIDEO = output("video.mp4", "video/mp4", "video_url")
MANIFEST = output("manifest.json", "application/json", "manifest_url")


def request(**callback: Any) -> dict[str, Any]:
    data = {"image": "s3://inbox/a.png", "audio": "s3://inbox/a.mp3", "lyrics": "la", "alignment_mode": "even"}
    return {"id": "order-1", "type": "reel", "data": data, "callback": {"format": "game", **callback}}


def parsed(**callback: Any) -> Request:
    found = parse_request(json.dumps(request(**callback)).encode())
    assert isinstance(found, Request)
    return found


def policy(**changes: Any) -> AdmissionPolicy:
    found = AdmissionPolicy(
        roles={"reel": "render"},
        secret_names=frozenset({"default"}),
        policy=Policy(),
        max_message_bytes=10_000,
        game=GameApi(OURS, KEY),
    )
    return dataclasses.replace(found, **changes)


def test_the_body_of_a_finished_video_is_byte_for_byte_that_of_the_source_system() -> None:
    title = {"title": "Generated Video Title", "seed": 4}
    assert game_body(completed=True, outputs=[MANIFEST, VIDEO], details=title) == COMPLETED


def test_the_body_of_a_failure_is_byte_for_byte_that_of_the_source_system() -> None:
    assert game_body(completed=False, outputs=[VIDEO], details={"title": "x"}) == FAILED


@pytest.mark.parametrize("details", [None, {}, {"title": None}, {"title": "  "}, {"title": 7}])
def test_a_result_without_a_title_has_the_default_title_of_the_source_system(
    details: Mapping[str, object] | None,
) -> None:
    body = json.loads(game_body(completed=True, outputs=[VIDEO], details=details))
    assert body["data"]["output"]["title"] == "Generated Video"


def test_the_url_is_that_of_the_video_or_else_of_a_text() -> None:
    captions = output("captions.srt", "application/x-subrip", "captions_url")
    bodies = [json.loads(game_body(completed=True, outputs=o)) for o in ([captions, VIDEO], [MANIFEST, captions])]
    assert [body["data"]["output"]["url"] for body in bodies] == ["video_url", "captions_url"]


def test_a_plan_adds_nothing_to_the_inventory() -> None:
    assert json.loads(game_body(completed=True)) == {
        "data": {"addToInventory": False, "status": "COMPLETED", "output": None}
    }


def test_a_title_in_any_script_is_sent_as_it_is() -> None:
    assert "Drachen über Dünen 凧".encode() in game_body(
        completed=True, outputs=[VIDEO], details={"title": "Drachen über Dünen 凧"}
    )


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (DEFAULT_URL, "https://game-api.virtuals.io/requests/order-1/callback"),
        (OURS + "/", OURS + "/order-1/callback"),
        ("https://game.example", "https://game.example/order-1/callback"),
        ("https://game.example/r?tenant=4#top", "https://game.example/r/order-1/callback?tenant=4"),
    ],
)
def test_the_callback_goes_to_the_jobs_own_address(base: str, url: str) -> None:
    assert game_url(base, "order-1") == url


@given(st.text(max_size=140) | st.sampled_from([".", "..", "a/b", "a?b", "a b", "a\n", "%2e%2e"]))
def test_an_id_never_changes_another_part_of_the_address(job_id: str) -> None:
    url = game_url(OURS, job_id)
    if url is not None:
        assert url == f"{OURS}/{job_id}/callback"
        assert not set(job_id) & set("/?#% \n\\")
        assert job_id not in ("", ".", "..")


def test_without_an_address_the_operators_is_used_and_the_request_is_unchanged() -> None:
    admissible = policy().check(parsed())
    assert admissible.callback is not None
    assert admissible.callback.url == OURS
    assert admissible.request.identity()["callback"] == {"format": "game"}


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/requests", "https://game.example.evil.example/", "https://game.example:8443/requests"],
)
def test_the_operators_key_is_sent_to_no_other_host(url: str) -> None:
    with pytest.raises(InvalidField, match=r"callback\.url: format game carries the operator's key") as refused:
        policy().check(parsed(url=url))
    assert refused.value.field == "callback.url"


def test_another_path_on_the_operators_host_is_allowed() -> None:
    admissible = policy().check(parsed(url="https://game.example:443/sandbox/requests"))
    assert admissible.callback is not None
    assert admissible.callback.url == "https://game.example:443/sandbox/requests"


def test_without_a_key_the_format_is_refused_with_the_name_of_the_variable() -> None:
    with pytest.raises(RequestError, match="GAME_API_KEY") as refused:
        policy(game=GameApi(OURS, None)).check(parsed())
    assert (refused.value.code, refused.value.field) == ("unsupported_option", "callback.format")


@pytest.mark.parametrize("event", ["started", "progress"])
def test_events_without_a_body_in_this_format_are_refused(event: str) -> None:
    with pytest.raises(InvalidField, match="format game supports completed and failed") as refused:
        parsed(events=["completed", event])
    assert refused.value.field == "callback.events"


def test_the_standard_format_still_needs_an_address() -> None:
    with pytest.raises(RequestError, match=r"callback\.url is missing"):
        parsed(format="standard")


def test_a_duplicate_that_the_api_reports_counts_as_delivered() -> None:
    def verdict(status: int) -> object:
        return next_attempt(1, status, jitter=lambda: 0.0, delivered=DELIVERED)

    assert verdict(409) == Delivered()
    assert verdict(410) == Disabled("gone")
    assert verdict(400) == Retry(5.0)
    assert next_attempt(1, 409, jitter=lambda: 0.0) == Retry(5.0)


def test_the_key_is_a_header_and_never_printed() -> None:
    api = GameApi(OURS, KEY)
    assert api.headers() == {"x-api-key": "game-key-5f2a"}
    assert "5f2a" not in repr(api)
    assert GameApi().headers() == {}


@pytest.fixture
def database(tmp_path: Any) -> Any:
    found = Database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    migrate(found)
    yield found
    found.close()


def test_a_job_keeps_the_address_of_its_admission(database: Database) -> None:
    BatchAdmitter(database, policy())([IncomingMessage(json.dumps(request()).encode(), "test", "q")])
    job = find_job(database, "order-1")
    assert job is not None
    assert json.loads(job.request)["callback"]["url"] == OURS
    again = BatchAdmitter(database, policy())([IncomingMessage(json.dumps(request()).encode(), "test", "q")])
    assert again[0].error is None


@pytest.mark.parametrize(
    ("fields", "urls"),
    [({}, [f"{OURS}/order-1/callback"]), ({"id": "../a"}, []), ({"id": ".."}, []), ({"id": 7}, [])],
)
def test_a_refused_request_has_a_callback_if_its_id_is_valid_in_a_url(
    database: Database, fields: dict[str, Any], urls: list[str]
) -> None:
    refused = {**request(), **fields, "data": {"wrong": 1}}
    BatchAdmitter(database, policy())([IncomingMessage(json.dumps(refused).encode(), "test", "q")])
    with database.read() as connection:
        rows = connection.execute(deliveries.select()).mappings().all()
        assert connection.execute(jobs.select()).first() is None
    assert [row["url"] for row in rows] == urls
    assert all((bytes(row["body"]), row["event"]) == (FAILED, "game.failed") for row in rows)


def test_a_spec_of_the_format_game_may_have_no_address() -> None:
    assert CallbackSpec(format="game").url == ""
