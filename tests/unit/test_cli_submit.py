"""``telecine submit`` and ``telecine plan``."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.wiring import admission_policy
from pipelines.context import Context
from pipelines.registry import PIPELINES, Pipeline
from providers.local import device
from schemas.errors import InputNotFound
from schemas.media import Plan
from tests.cli_operator import Operator, an_operator, request
from tests.media_probe import write_wav

_operator = pytest.fixture(an_operator, name="operator")


def inbox(operator: Operator) -> list[Path]:
    return sorted(operator.settings.inbox_folder.glob("*.json"))


class Door:
    """Admit the inbox's files like a running Telecine, then call ``after``."""

    def __init__(self, operator: Operator, after: Callable[[], None] = lambda: None, *, requests: int = 1) -> None:
        self._operator, self._after, self._requests = operator, after, requests
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        deadline = time.monotonic() + 20
        while len(inbox(self._operator)) < self._requests and time.monotonic() < deadline:
            time.sleep(0.02)
        runtime = self._operator.runtime()
        BatchAdmitter(runtime.database, admission_policy(runtime))(
            [IncomingMessage(p.read_bytes(), "inbox", "inbox") for p in inbox(self._operator)]
        )
        runtime.close()
        self._after()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_submit_puts_the_bytes_into_the_inbox_and_prints_the_id(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(request("order-1"))
    result = operator.run("submit", str(file))
    assert (result.status, result.out) == (0, "order-1\n")
    [dropped] = inbox(operator)
    assert dropped.read_bytes() == request("order-1")


def test_submit_reads_standard_input(operator: Operator) -> None:
    assert operator.run("submit", "-", "--json", stdin=request("order-1")).json["job_id"] == "order-1"
    assert len(inbox(operator)) == 1


def test_an_invalid_request_is_not_sent(operator: Operator) -> None:
    result = operator.run("submit", "-", stdin=b'{"id": "x", "type": "reel", "data": {}}')
    assert result.status == 1
    assert "missing_field" in result.err
    assert not operator.home.exists()


def test_a_missing_file_is_a_one_line_error(operator: Operator) -> None:
    result = operator.run("submit", "nowhere.json")
    assert result.status == 1
    assert result.err == "nowhere.json cannot be read: No such file or directory.\n"


def test_a_wait_that_times_out_ends_with_status_2_and_names_the_next_command(operator: Operator) -> None:
    result = operator.run("submit", "-", "--wait", "--timeout", "0.3", stdin=request("order-1"))
    assert result.status == 2
    assert "has not ended after 0.3 s" in result.err
    assert "telecine status order-1" in result.err
    assert "invalid_request" not in result.err


def test_a_wait_for_a_request_that_is_not_received_warns_once_without_a_terminal(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.cli.job_waiter._PATIENCE_SECONDS", 0.1)
    result = operator.run("submit", "-", "--wait", "--timeout", "1", stdin=request("order-1"))
    assert result.err.count("order-1 not received yet; is `telecine up` running?") == 1
    with Door(operator, lambda: operator.complete(operator.start("order-1"))):
        result = operator.run("submit", "-", "--wait", "--json", "--timeout", "20", stdin=request("order-1"))
    assert "not received" not in result.err


def test_a_wait_ends_with_the_job(operator: Operator) -> None:
    with Door(operator, lambda: operator.complete(operator.start("order-1"))):
        result = operator.run("submit", "-", "--wait", "--json", "--timeout", "20", stdin=request("order-1"))
    assert result.status == 0
    assert result.json["status"] == "completed"


def test_a_wait_for_a_cancelled_job_ends_with_status_1(operator: Operator) -> None:
    with Door(operator, lambda: void(operator.run("cancel", "order-1"))):
        result = operator.run("submit", "-", "--wait", "--timeout", "20", stdin=request("order-1"))
    assert result.status == 1


def test_a_wait_for_a_refused_request_shows_its_error_and_not_the_other_job(operator: Operator) -> None:
    operator.completed("order-1")
    with Door(operator):
        result = operator.run("submit", "-", "--wait", "--timeout", "20", stdin=request("order-1", priority="high"))
    assert result.status == 1
    assert "id_conflict" in result.err


def test_an_unreachable_broker_is_one_line_without_the_password(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", "amqp://me:hidden@127.0.0.1:1//")
    result = operator.run("submit", "-", stdin=request("order-1"))
    assert result.status == 1
    assert "did not confirm" in result.err
    assert "hidden" not in result.err


def test_a_plan_with_a_missing_input_is_an_error(operator: Operator) -> None:
    result = operator.run("plan", "-", stdin=request("order-1"))
    assert result.status == 1
    assert "input_not_found" in result.err
    assert not (operator.home / "ledger.sqlite3").exists()


def test_a_control_message_has_no_plan(operator: Operator) -> None:
    cancel = json.dumps({"type": "job.cancel", "data": {"id": "x"}}).encode()
    assert operator.run("plan", "-", stdin=cancel).status == 1


def void(_: object) -> None:
    """Accepts a result and ignores it."""


def test_a_plan_shows_frames_length_run_time_and_cost(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(data: object, context: Context) -> Plan:
        file = context.input("image", "s3://inbox/cover.jpg", kinds=("jpeg",), limit_bytes=100)
        return Plan(
            frames=240,
            duration_seconds=10,
            fps=24,
            width=512,
            height=512,
            estimated_seconds=2,
            details={"bytes": file.bytes, "parameters": {"seed": 7, "loop": True, "prompt": "a fox"}},
        )

    cover = operator.settings.storage_folder / "inbox" / "cover.jpg"
    cover.parent.mkdir(parents=True)
    cover.write_bytes(b"\xff\xd8\xff\xe0" + bytes(60))
    monkeypatch.setitem(PIPELINES, "reel", Pipeline(run=lambda data, context: [], plan=plan, role="render"))
    view = operator.run("plan", "-", "--json", stdin=request("order-1")).json
    assert (view["job_id"], view["plan"]["frames"], view["plan"]["cost"]["amount"]) == ("order-1", 240, "0.00")
    out = operator.run("plan", "-", stdin=request("order-1")).out
    assert "240 at 24 fps" in out
    assert "about 2.00 s" in out
    assert "seed: 7, loop: true, prompt: a fox" in out
    assert not (operator.home / "ledger.sqlite3").exists()


@pytest.mark.parametrize("state", ["completed", "cancelled"], ids=lambda state: f"H2-{state}")
def test_a_wait_for_a_request_that_has_ended_before_says_so(operator: Operator, state: str) -> None:
    if state == "completed":
        operator.completed("order-1")
    else:
        operator.receive("order-1")
        operator.run("cancel", "order-1")
    said = operator.run("submit", "-", "--wait", "--timeout", "20", stdin=request("order-1"))
    assert f"order-1 already {state} " in said.err
    assert "use a new id" in said.err
    assert ("telecine retry order-1" in said.err) is (state != "completed")
    without_waiting = operator.run("submit", "-", stdin=request("order-1"))
    assert f"order-1 already {state} " in without_waiting.err
    assert without_waiting.out == "order-1\n"
    quiet = operator.run("submit", "-", "--wait", "--json", "--timeout", "20", stdin=request("order-1"))
    assert "already" not in quiet.err


def test_a_wait_for_a_running_or_another_job_does_not_say_so_friction_h2(operator: Operator) -> None:
    operator.receive("order-1")
    said = operator.run("submit", "-", "--wait", "--timeout", "0.2", stdin=request("order-1"))
    assert "already" not in said.err
    assert "already" not in operator.run("submit", "-", stdin=request("order-1")).err
    assert "already" not in operator.run("submit", "-", stdin=request("order-2")).err


def lines(*bodies: bytes) -> bytes:
    return b"\n".join(bodies) + b"\n"


def bad_callback(job_id: str) -> bytes:
    return request(job_id, callback={"url": "http://10.0.0.1/hooks"})


@pytest.mark.parametrize("source", ["files", "jsonl", "unnamed lines", "stdin", "mixed"])
def test_several_requests_are_sent_at_once_part_6(source: str, operator: Operator, tmp_path: Path) -> None:
    bodies = [request(f"order-{number}") for number in range(3)]
    (tmp_path / "all.jsonl").write_bytes(lines(*bodies[:2], b"", bodies[2]))
    (tmp_path / "all.txt").write_bytes(lines(*bodies))
    for number, body in enumerate(bodies):
        (tmp_path / f"{number}.json").write_bytes(json.dumps(json.loads(body), indent=2).encode())
    arguments = {
        "files": ["0.json", "1.json", "2.json"],
        "jsonl": ["all.jsonl"],
        "unnamed lines": ["all.txt"],
        "stdin": ["-"],
        "mixed": ["0.json", "-"],
    }[source]
    result = operator.run("submit", *arguments, stdin=lines(*(bodies[1:] if source == "mixed" else bodies)))
    assert (result.status, result.out.split()) == (0, ["order-0", "order-1", "order-2"])
    assert sorted(json.loads(path.read_bytes())["id"] for path in inbox(operator)) == ["order-0", "order-1", "order-2"]


def test_nothing_is_sent_if_one_line_is_invalid_except_with_keep_going_part_6(
    operator: Operator, tmp_path: Path
) -> None:
    other = json.dumps(json.loads(request("order-1")) | {"priority": "high"}).encode()
    (tmp_path / "all.jsonl").write_bytes(
        lines(request("order-1"), b"", b"nonsense", b'{"id": "x", "type": "reel"}', bad_callback("order-2"), other)
    )
    result = operator.run("submit", "all.jsonl", "nowhere.json")
    assert (result.status, result.out, inbox(operator)) == (1, "", [])
    for place, code in (
        ("all.jsonl:3", "invalid_json"),
        ("all.jsonl:4", "missing_field"),
        ("all.jsonl:5", "address_forbidden"),
        ("all.jsonl:6", "invalid_field"),
        ("nowhere.json", "cannot be read"),
    ):
        assert any(place in line and code in line for line in result.err.splitlines()), (place, result.err)
    assert "Nothing was sent: 5 of 6 requests invalid" in result.err
    kept = operator.run("submit", "all.jsonl", "nowhere.json", "--keep-going", "--json")
    assert (kept.status, [one["job_id"] for one in kept.json["sent"]]) == (1, ["order-1"])
    assert [one["place"] for one in kept.json["errors"]][:2] == ["all.jsonl:3", "all.jsonl:4"]
    assert len(inbox(operator)) == 1


def test_a_wait_for_several_ends_with_a_summary_part_6(operator: Operator) -> None:
    def work() -> None:
        operator.complete(operator.start("order-1"))
        operator.fail(operator.start("order-2"), InputNotFound("it does not exist"))
        operator.run("cancel", "order-3")

    bodies = lines(*(request(f"order-{number}") for number in (1, 2, 3)))
    with Door(operator, work, requests=3):
        result = operator.run("submit", "-", "--wait", "--timeout", "30", stdin=bodies)
    assert result.status == 1
    assert "3 requests: 1 completed, 1 failed, 1 cancelled." in result.out
    assert "input_not_found" in result.out
    again = operator.run("submit", "-", "--wait", "--timeout", "30", "--json", stdin=bodies).json
    assert [job["status"] for job in again["jobs"]] == ["completed", "failed", "cancelled"]


@pytest.mark.parametrize("bodies", [1, 2], ids=["one", "several"])
def test_a_wait_that_times_out_names_what_has_not_ended_part_6(bodies: int, operator: Operator) -> None:
    sent = lines(*(request(f"order-{number}") for number in range(bodies)))
    result = operator.run("submit", "-", "--wait", "--timeout", "0.3", stdin=sent)
    assert result.status == 2
    assert "order-0" in result.out + result.err


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"callback": {"url": "http://10.0.0.1/hooks"}}, "address_forbidden"),
        ({"callback": {"url": "https://169.254.169.254/latest"}}, "address_forbidden"),
        ({"callback": {"url": "https://shop.example/", "secret_name": "other"}}, "invalid_field"),
        ({"type": "text-to-image", "data": {"prompt": "a robot", "model": "no-such-model"}}, "unknown_model"),
    ],
    ids=["M14-private", "M14-metadata", "M14-secret", "M14-model"],
)
def test_submit_checks_what_the_door_checks(change: dict[str, object], code: str, operator: Operator) -> None:
    result = operator.run("submit", "-", stdin=request("order-1", **change))
    assert (result.status, inbox(operator)) == (1, [])
    operator.arrive(request("order-1", **change))
    [letter] = operator.run("dead-letters", "list", "--json").json
    assert f"error {letter['code']}  {letter['message']}" in result.err
    assert letter["code"] == code


def test_a_producer_that_knows_only_the_broker_leaves_the_check_to_the_door_friction_m14(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", "amqp://127.0.0.1:1//")
    result = operator.run("submit", "-", stdin=bad_callback("order-1"))
    assert "did not confirm" in result.err  # it was about to be sent


def test_submit_says_where_the_request_went_and_that_nothing_reads_it_friction_m13(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("TELECINE_HEALTH_PORT", str(free.getsockname()[1]))
    result = operator.run("submit", "-", stdin=request("order-1"))
    assert f"Sent to the inbox {operator.settings.inbox_folder}; no Telecine answers at 127.0.0.1:" in result.err
    found = operator.run("submit", "-", "--json", stdin=request("order-1")).json
    assert (found["sent_to"], found["read"]) == (f"the inbox {operator.settings.inbox_folder}", False)


@pytest.mark.parametrize("options", [(), ("--wait",), ("--json",)], ids=lambda options: f"M13{' '.join(options)}")
def test_submit_in_the_wrong_directory_makes_no_inbox(
    options: tuple[str, ...], operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TELECINE_HOME")
    monkeypatch.setattr("ops.cli.sending._START_SECONDS", 0.2)
    result = operator.run("submit", "-", *options, stdin=request("order-1"))
    assert result.status == 1
    assert f"{tmp_path}/telecine-data does not exist" in result.err
    assert list(tmp_path.iterdir()) == []


def planned(operator: Operator, job_type: str, **data: Any) -> Any:
    """Return the plan of a request as JSON."""
    body = json.dumps({"id": "a", "type": job_type, "data": data}).encode()
    result = operator.run("plan", "-", "--json", stdin=body)
    assert result.status == 0, result.err
    return result.json


@pytest.mark.parametrize(
    ("job_type", "data", "reason"),
    [
        pytest.param("text-to-image", {"prompt": "a robot"}, "model_not_installed: segmind/tiny-sd has", id="M5"),
        pytest.param(
            "text-to-video",
            {"prompt": "a kite", "model": "auto", "lawful_use_consent": True},
            "model_not_installed: ",
            id="M5-auto",
        ),
        pytest.param("story-to-video", {"scenes": ["a kite", "a dune"]}, "model_not_installed: ", id="M5-story"),
        pytest.param(
            "text-to-video",
            {"prompt": "a kite", "model": "imagine-text-to-video"},
            "provider_not_configured: Imagine.art has no key",
            id="M5-key",
        ),
        pytest.param(
            "text-to-video",
            {"prompt": "a kite", "model": ["hailuo02standard", "imagine-text-to-video"]},
            "provider_not_configured: Cococlip is disabled",
            id="M5-two-keys",
        ),
    ],
)
def test_a_plan_says_what_this_machine_lacks(
    operator: Operator,
    job_type: str,
    data: dict[str, Any],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(operator.home / "nothing"))
    view = planned(operator, job_type, **data)
    assert view["possible"] is False
    assert any(found.startswith(reason) for found in view["obstacles"]), view["obstacles"]
    body = json.dumps({"id": "a", "type": job_type, "data": data}).encode()
    assert "not possible on this machine: " in operator.run("plan", "-", stdin=body).out


def test_a_plan_names_missing_packages_and_weights_together_M5(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "missing_packages", lambda: ["torch"])
    view = planned(operator, "text-to-image", prompt="a robot")
    assert ["torch" in view["obstacles"][0], "no weights" in view["obstacles"][1]] == [True, True]


def test_a_plan_is_possible_if_one_model_of_the_request_is_available_M5(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGINE_API_KEY", "key")
    view = planned(operator, "text-to-video", prompt="a kite", model=["hailuo02standard", "imagine-text-to-video"])
    assert (view["possible"], "obstacles" in view) == (True, False)
    assert (
        "not possible"
        not in operator.run(
            "plan",
            "-",
            stdin=json.dumps(
                {"id": "a", "type": "text-to-video", "data": {"prompt": "a kite", "model": "imagine-text-to-video"}}
            ).encode(),
        ).out
    )


def test_a_plan_is_possible_if_a_route_of_the_model_is_available(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = {"prompt": "a kite", "model": "seedancev1lite"}
    lacking = planned(operator, "text-to-video", **film)
    for name in ("TELECINE_COCOCLIP_BASE_URL", "REPLICATE_API_TOKEN", "RUNPOD_API_KEY"):
        assert name in " ".join(lacking["obstacles"])
    monkeypatch.setenv("RUNPOD_API_KEY", "key")
    view = planned(operator, "text-to-video", **film)
    assert view["possible"] is True
    prices = {"seedance-1-lite": "unknown", "runpod-seedance-1-pro": "0.27 USD"}
    assert view["plan"]["details"]["routes"] == prices
    assert planned(operator, "text-to-video", **film, aspect_ratio="9:16")["possible"] is False


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"alignment_mode": "auto", "lyrics": "la"}, None),
        ({"alignment_mode": "even", "lyrics": "la"}, None),
        ({"alignment_mode": "auto"}, "ELEVENLABS_API_KEY"),
        ({"alignment_mode": "elevenlabs", "lyrics": "la"}, "ELEVENLABS_API_KEY"),
    ],
    ids=lambda value: f"M5-{value}",
)
def test_a_plan_of_captions_says_whether_words_can_be_timed(
    operator: Operator, data: dict[str, str], reason: str | None
) -> None:
    (operator.settings.storage_folder / "inbox").mkdir(parents=True)
    write_wav(operator.settings.storage_folder / "inbox" / "song.wav", 0.5)
    view = planned(operator, "audio-to-captions", audio="s3://inbox/song.wav", **data)
    assert view["possible"] is (reason is None)
    assert reason is None or reason in view["obstacles"][0]
