"""``telecine explain``: the timeline of a job as sentences."""

from __future__ import annotations

import json

import pytest

from consumer.execution.durable import advance
from consumer.ledger.leases import park
from consumer.ledger.outbox import claim_due, record_attempt, replay
from consumer.ledger.records import TimelineEntry
from consumer.ledger.states import DeliveryState, State
from consumer.ledger.timeline import note
from ops.timeline.sentences import timeline_sentences
from schemas.errors import InvalidImage
from tests.cli_operator import DEAD_LABEL, DEAD_WORKER, Operator, an_operator, request
from tests.media_probe import write_wav

_operator = pytest.fixture(an_operator, name="operator")


def sentences(operator: Operator, job_id: str) -> list[str]:
    return [line["sentence"] for line in operator.run("explain", job_id, "--json").json["timeline"]]


def one(event: str, **detail: object) -> str:
    return timeline_sentences([TimelineEntry(at=1.0, event=event, epoch=1, detail=detail)], 0.0)[0].sentence


def test_a_crash_and_the_takeover_are_explained(operator: Operator) -> None:
    operator.receive("order-1")
    operator.step(operator.start("order-1", owner=DEAD_WORKER), "render")
    claim = operator.start("order-1")
    operator.step(claim, "render")
    operator.complete(claim)
    shown = sentences(operator, "order-1")
    lost = next(number for number, sentence in enumerate(shown) if "died" in sentence)
    assert shown[lost] == (
        f"Detected that worker {DEAD_LABEL} died (SIGKILL, power loss or out of memory) while running,"
        " after step `render`."
    )
    assert "took over the job as attempt 2." in shown[lost + 1]
    assert shown[lost + 2] == "Step `render` had already finished and was not repeated."
    assert shown[-1] == "Completed."


def test_a_crash_inside_a_step_names_the_step() -> None:
    story = [
        TimelineEntry(at=1.0, event="claimed", epoch=1, detail={"worker": "a:1"}),
        TimelineEntry(at=2.0, event="step_started", epoch=1, detail={"step": "render"}),
        TimelineEntry(at=9.0, event="worker_lost", epoch=1, detail={"worker": "a:1", "state": "running"}),
        TimelineEntry(at=9.0, event="claimed", epoch=2, detail={"worker": "b:2"}),
        TimelineEntry(at=9.1, event="step_started", epoch=2, detail={"step": "render"}),
    ]
    shown = [line.sentence for line in timeline_sentences(story, 0.0)]
    assert "while running, in the middle of step `render`." in shown[2]
    assert shown[4] == "Step `render` started again, from the beginning."


def test_the_header_counts_attempts_crashes_and_duplicates(operator: Operator) -> None:
    operator.receive("order-1")
    operator.arrive(request("order-1"))
    operator.start("order-1", owner=DEAD_WORKER)
    operator.complete(operator.start("order-1"))
    out = operator.run("explain", "order-1").out
    assert out.startswith("order-1  reel  completed\n")
    assert "2 attempts, 1 crash, 1 duplicate" in out
    assert f"fingerprint {operator.run('status', 'order-1', '--json').json['fingerprint']}" in out


def test_the_results_are_listed_with_their_checksums(operator: Operator) -> None:
    operator.completed("order-1")
    out = operator.run("explain", "order-1").out
    sha256 = operator.run("status", "order-1", "--json").json["outputs"][0]["sha256"]
    assert f"sha256 {sha256}" in out
    assert "s3://results/order-1/video.mp4" in out


def test_every_entry_shows_the_time_since_receipt(operator: Operator) -> None:
    operator.completed("order-1")
    timeline = operator.run("explain", "order-1", "--json").json["timeline"]
    assert timeline[0]["after_seconds"] == pytest.approx(0, abs=0.01)
    assert timeline[-1]["after_seconds"] >= timeline[0]["after_seconds"]
    assert "+0.00 s  Received through the inbox folder." in operator.run("explain", "order-1").out


def test_a_conflict_and_a_duplicate_are_part_of_the_timeline(operator: Operator) -> None:
    operator.receive("order-1")
    operator.arrive(request("order-1"), request("order-1", priority="high"))
    shown = " ".join(sentences(operator, "order-1"))
    assert "The same request arrived again through the inbox folder and was absorbed." in shown
    assert "other content" in shown


def test_a_temporary_failure_shows_its_reason_and_delay(operator: Operator) -> None:
    operator.receive("order-1")
    claim = operator.start("order-1")
    database = operator.database()
    park(
        database,
        claim.lease,
        seconds=5,
        event="retry_later",
        failures=1,
        code="input_unavailable",
        message="No answer.",
    )
    database.close()
    assert sentences(operator, "order-1")[-1] == (
        "Temporary failure 1: No answer (input_unavailable); will retry in 5.00 s."
    )


def test_a_failure_shows_code_and_message(operator: Operator) -> None:
    operator.receive("order-1")
    operator.fail(operator.start("order-1"), InvalidImage())
    assert "Failed: Image must be JPG or PNG (invalid_image)." in sentences(operator, "order-1")


def test_callbacks_are_explained_from_outbox_to_receiver(operator: Operator) -> None:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks"})
    database = operator.database()
    for state, answer, retry in (
        (DeliveryState.RETRYING, "HTTP 503", 0.0),
        (DeliveryState.EXHAUSTED, "HTTP 500", None),
    ):
        [delivery] = claim_due(database, limit=1, seconds=60)
        record_attempt(database, delivery, state, answer=answer, retry_in=retry)
    replay(database, [delivery.id])
    [delivery] = claim_due(database, limit=1, seconds=60)
    record_attempt(database, delivery, DeliveryState.DELIVERED, answer="HTTP 200", retry_in=None)
    database.close()
    shown = sentences(operator, "order-1")[-5:]
    assert shown[0] == "The callback `completed` is ready to be sent."
    assert shown[1].startswith("Attempt 1 to deliver the callback `completed` failed (HTTP 503); the next one is in")
    assert f"`telecine callbacks replay {delivery.id}` sends it again" in shown[2]
    assert shown[3] == "The callback `completed` was replayed by an operator."
    assert shown[4] == "The callback `completed` was delivered at attempt 1 (HTTP 200)."


@pytest.mark.parametrize(
    ("event", "detail", "sentence"),
    [
        ("cancel_requested", {"by": "cli"}, "Cancellation was requested through the command line."),
        ("cancelled", {"code": "cancelled", "message": "The job was cancelled."}, "Cancelled."),
        ("expired", {"code": "deadline_exceeded", "message": "Too late."}, "Expired: Too late (deadline_exceeded)."),
        ("storing", {}, "All results are stored; the manifest is being written."),
        ("input_fetched", {"input": "cover", "bytes": 12, "kind": "png"}, "Fetched the input `cover` (PNG, 12 bytes)."),
        (
            "callback_disabled",
            {"answer": "HTTP 410"},
            "The callback was disabled: the receiver does not want callbacks any more (HTTP 410).",
        ),
        (
            "received",
            {"door": "amqp", "source": "shop", "subject": "o-1"},
            "Received through RabbitMQ, as a CloudEvent from shop about o-1.",
        ),
    ],
)
def test_each_event_has_its_sentence(event: str, detail: dict[str, object], sentence: str) -> None:
    assert one(event, **detail) == sentence


@pytest.mark.parametrize(("offset", "lost"), [(3600, "all"), (-3600, "all"), (1.5, "1 of 2"), (0.1, "")])
def test_captions_outside_of_the_audio_are_explained_gap_L1(operator: Operator, offset: float, lost: str) -> None:
    bucket = operator.settings.home / "storage" / "inbox"
    bucket.mkdir(parents=True)
    write_wav(bucket / "song.wav", 2.0)
    data = {"audio": "s3://inbox/song.wav", "lyrics": "one\ntwo", "alignment_mode": "even", "timing_offset": offset}
    operator.arrive(json.dumps({"id": "order-1", "type": "audio-to-captions", "data": data}).encode())
    runtime = operator.runtime()
    try:
        assert advance(runtime, "order-1") is State.COMPLETED
    finally:
        runtime.close()
    (manifest,) = operator.settings.home.glob("storage/**/manifest.json")
    warning = f"timing_offset {offset:g} moves {lost} captions out of the audio; they are not shown"
    expected = [warning] if lost else []
    assert json.loads(manifest.read_text())["details"].get("warnings", []) == expected
    shown = [sentence for sentence in sentences(operator, "order-1") if sentence.startswith("Warning")]
    assert shown == [f"Warning: {text}." for text in expected]


def test_an_event_of_a_later_version_is_shown_by_its_name(operator: Operator) -> None:
    operator.receive("order-1")
    database = operator.database()
    with database.write() as connection:
        note(connection, "order-1", "moved_to_mars", ship="Ares")
        note(connection, "order-1", "callback_sung")
        note(connection, "order-1", "step_danced", step="waltz")
    database.close()
    assert sentences(operator, "order-1")[-3:] == [
        "Moved to mars (ship Ares).",
        "Callback sung.",
        "Step danced (step waltz).",
    ]


def test_an_idle_job_shows_what_it_waits_for(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.receive("order-1")
    assert "Waiting for a free worker; `telecine up` runs one." in operator.run("explain", "order-1").out
    monkeypatch.setenv("TELECINE_BROKER_URL", "amqp://nowhere.example//")
    waiting = "a free worker with role render; `telecine worker --role render` starts one"
    assert waiting in " ".join(operator.run("status", "order-1").out.split())
    assert operator.run("status", "order-1", "--json").json["waits_for"].startswith(waiting)
    operator.start("order-1")
    for command in ("explain", "status"):
        assert operator.run(command, "order-1", "--json").json["waits_for"] is None
