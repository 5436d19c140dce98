"""An invalid request is refused once, with all its invalid fields in plain words."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.ledger import dead_letters
from consumer.ledger.browsing import list_deliveries
from consumer.wiring import admission_policy
from schemas import lyrics
from schemas.errors import RequestError
from schemas.field_problems import MOST_FIELDS
from schemas.parse import parse_request
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")
REEL = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "La", "alignment_mode": "even"}
STORY = {"scenes": ["a", "b"]}
#: Words of pydantic, which mean nothing to a producer.
PYDANTIC = ("Input should", "should have", "should match", "Value error", "valid integer", "after validation")


def refused(kind: str = "reel", data: object = None, **changes: Any) -> RequestError:
    value = {"id": "a", "type": kind, "data": REEL if data is None else data} | changes
    with pytest.raises(RequestError) as caught:
        parse_request(json.dumps(value).encode())
    assert not [words for words in PYDANTIC if words in caught.value.message]
    return caught.value


def paths(error: RequestError) -> list[str]:
    return [field.path for field in error.fields]


SLIPS: dict[str, Any] = {
    "id": "t 3",
    "priority": "urgent",
    "calback": {"url": "https://a.example"},
    "data": REEL
    | {"fontsize": 30, "font_size": 4000, "words_per_group": "many", "lyrics": "", "debug_mode": "perhaps"},
}


def test_all_problems_of_a_request_are_named_at_once_M12() -> None:
    error = refused(**SLIPS)
    assert (error.code, error.field) == ("unknown_field", "data.fontsize")
    assert {field.path: field.message for field in error.fields} == {
        "data.fontsize": "unknown field (did you mean data.font_size?)",
        "data.font_size": "must be at most 400",
        "data.words_per_group": "must be a whole number",
        "data.debug_mode": "must be true or false",
        "data.lyrics": "Lyrics text is required",
        "calback": "unknown field (did you mean callback?)",
        "id": error.fields[-2].message,
        "priority": "must be 'high', 'normal' or 'low'",
    }
    for field in error.fields:
        assert field.path.removeprefix("data.lyrics") in error.message
        assert field.message.removeprefix("unknown field") in error.message
    assert error.as_record()["fields"][1] == {"path": "data.font_size", "message": "must be at most 400"}


@pytest.mark.parametrize(
    ("kind", "changes", "code", "named"),
    [
        pytest.param("reel", {"data": {}}, "missing_field", ["data.image", "data.audio"], id="M12-missing"),
        pytest.param("reel", {"data": None, "id": None}, "missing_field", ["data", "id"], id="M12-data-and-id"),
        pytest.param("rel", {"priority": 1}, "unknown_type", ["type", "priority"], id="M12-type-and-envelope"),
        pytest.param(
            "reel",
            {"data": {**REEL, "alignment_mode": "local"}, "tenant": "a b"},
            "unsupported_option",
            ["data.alignment_mode", "tenant"],
            id="M12-option-and-envelope",
        ),
        pytest.param(
            "story-to-video",
            {"data": {"scenes": ["a", "", "c", 4], "fps": 0}},
            "invalid_field",
            ["data.scenes.1", "data.scenes.3", "data.fps"],
            id="M12-items",
        ),
        pytest.param(
            "story-to-video",
            {"data": STORY | {"consistency": "refrence", "hero_image": "s3://inbox/hero.png"}},
            "invalid_field",
            [],
            id="M12-no-false-report-of-checks-together",
        ),
        pytest.param(
            "reel",
            {"callback": {"urls": "x", "events": ["done"], "url": "ftp://a"}},
            "unknown_field",
            ["callback.urls", "callback.url", "callback.events.0"],
            id="M12-nested",
        ),
        pytest.param(
            "reel",
            {"not_before": 90, "deadline": 60, "priority": "x"},
            "invalid_field",
            ["priority", "deadline"],
            id="M12-envelope-together",
        ),
        pytest.param(
            "job.cancel",
            {"data": {"id": "a b", "why": 1}, "tenant": 7},
            "unknown_field",
            ["data.why", "data.id", "tenant"],
            id="M12-cancel",
        ),
    ],
)
def test_the_code_is_that_of_the_first_problem(
    kind: str, changes: dict[str, Any], code: str, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lyrics, "_LOCAL_PACKAGES", ("no_such_package",))
    data = changes.pop("data", REEL)
    value = {"id": "a", "type": kind, "data": data} | changes
    with pytest.raises(RequestError) as caught:
        parse_request(json.dumps(value).encode())
    assert (caught.value.code, paths(caught.value)) == (code, named)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        pytest.param("reel", REEL | {"font_size": 4000}, "data.font_size: must be at most 400", id="gap_L13-most"),
        pytest.param("reel", REEL | {"font_size": 7}, "data.font_size: must be at least 8", id="gap_L13-least"),
        pytest.param("reel", REEL | {"font_size": 9.5}, "data.font_size: must be a whole number", id="gap_L13-whole"),
        pytest.param("reel", REEL | {"timing_offset": []}, "data.timing_offset: must be a number", id="gap_L13-number"),
        pytest.param(
            "reel",
            REEL | {"renderer": "cloud"},
            "data.renderer: must be 'auto', 'local' or 'runpod'",
            id="gap_L13-choice",
        ),
        pytest.param(
            "story-to-video", {"scenes": ["a"]}, "data.scenes: needs at least 2 items, has 1", id="gap_L13-items"
        ),
        pytest.param(
            "story-to-video",
            STORY | {"width": 513},
            "data.width: must be a multiple of 8",
            id="gap_L13-multiple",
        ),
        pytest.param(
            "text-to-image", {"prompt": "a" * 2001}, "data.prompt: must have at most 2000 characters", id="gap_L13-long"
        ),
        pytest.param("text-to-image", {"prompt": " "}, "data.prompt: must not be blank", id="gap_L13-blank"),
        pytest.param("text-to-image", {"prompt": ""}, "data.prompt: must not be empty", id="gap_L13-empty"),
        pytest.param(
            "image-to-video",
            {"image": "s3://inbox/c.jpg", "parameters": 3},
            "data.parameters: must be an object",
            id="gap_L13-object",
        ),
    ],
)
def test_a_problem_is_described_in_plain_words(kind: str, data: dict[str, Any], message: str) -> None:
    error = refused(kind, data)
    assert (error.message, error.fields) == (message, ())


@pytest.mark.parametrize(
    ("changes", "nearest"),
    [
        pytest.param({"data": REEL | {"fontSize": 1}}, "data.font_size", id="M12-camel-case"),
        pytest.param({"data": REEL | {"font-size": 1}}, "data.font_size", id="M12-hyphen"),
        pytest.param({"data": REEL | {"lyric": "x"}}, "data.lyrics", id="M12-singular"),
        pytest.param({"font_size": 1}, "data.font_size", id="M12-belongs-in-data"),
        pytest.param({"data": REEL | {"priority": "low"}}, "priority", id="M12-belongs-in-the-envelope"),
        pytest.param({"callback": {"url": "https://a.example", "event": []}}, "callback.events", id="M12-callback"),
        pytest.param({"type": "reels"}, "reel", id="M12-type"),
    ],
)
def test_the_nearest_name_is_suggested(changes: dict[str, Any], nearest: str) -> None:
    assert f"(did you mean {nearest}?)" in refused(**changes).message


@pytest.mark.parametrize(
    "job_id",
    [
        pytest.param("order 7", id="gap_M9-space"),
        pytest.param("réq-1", id="gap_M9-accent"),
        pytest.param("{3f0c}", id="gap_M9-braces"),
        pytest.param("注文", id="gap_M9-no-letter-left"),
    ],
)
def test_an_id_with_other_characters_is_answered_with_one_that_is_accepted(job_id: str) -> None:
    error = refused(id=job_id)
    assert (error.code, error.field) == ("invalid_field", "id")
    assert "A-Z a-z 0-9 . _ : -" in error.message
    example = error.message.rpartition(" ")[2]
    parse_request(json.dumps({"id": example, "type": "reel", "data": REEL}).encode())
    assert refused(id=job_id).message == error.message
    assert refused(id=job_id + "/").message.rpartition(" ")[2] != example


def test_a_hostile_request_gets_a_short_answer_quickly() -> None:
    names = {f"{'n' * 1000}{number}": 1 for number in range(150)}
    seconds: list[float] = []
    hostile = [
        REEL | names,
        REEL | {"x" * 150_000: 1},
        REEL | {"image": [None] * 30_000},
        {"image": "s3://inbox/c.jpg", "parameters": {f"a{number}": [] for number in range(12_000)}},
        {"scenes": [[]] * 50_000},
    ]
    for kind, data in zip(("reel", "reel", "reel", "image-to-video", "story-to-video"), hostile, strict=True):
        began = time.process_time()
        error = refused(kind, data, **{f"e{number}": 1 for number in range(500)})
        seconds.append(time.process_time() - began)
        assert len(error.fields) <= MOST_FIELDS
        assert len(json.dumps(error.as_record())) < 20_000
        assert error.message.endswith("; and more")
    assert max(seconds) < 2


def test_dead_letter_and_callback_contain_all_problems_M12(operator: Operator) -> None:
    value = {"type": "reel"} | SLIPS | {"id": "t3", "callback": {"url": "https://a.example/hook"}}
    runtime = operator.runtime()
    admit = BatchAdmitter(runtime.database, admission_policy(runtime))
    admit([IncomingMessage(json.dumps(value).encode(), "inbox", "inbox")])
    letter = dead_letters.list_newest(runtime.database, limit=1)[0]
    [delivery] = list_deliveries(runtime.database, limit=9)
    runtime.close()
    error = json.loads(delivery.body)["data"]["error"]
    assert error["message"] == letter.message
    named = [field["path"] for field in error["fields"]]
    assert named[:3] == ["data.fontsize", "data.font_size", "data.words_per_group"]
    assert all(path in letter.message for path in named if path != "data.lyrics")


@pytest.mark.parametrize("command", ["submit", "plan"])
def test_a_command_prints_one_problem_per_line_M12(command: str, operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"type": "reel"} | SLIPS))
    result = operator.run(command, str(file))
    assert result.status == 1
    lines = result.err.splitlines()
    assert lines[0] == "error unknown_field  8 invalid fields:"
    assert "  data.font_size: must be at most 400" in lines
    assert len(lines) == 9
    record = json.loads(operator.run(command, str(file), "--json").err)
    assert len(record["error"]["fields"]) == 8
