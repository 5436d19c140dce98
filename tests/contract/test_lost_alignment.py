"""ElevenLabs' response is lost: a reel that can do without it is not held up, and nothing is paid twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import calls, queries, tables
from consumer.ledger.states import CallState, State
from tests.doubles.misbehaviour import Fault
from tests.embedded_deployment import EmbeddedDeployment
from tests.media_probe import write_photo, write_wav

LYRICS = "la la la la"
LOOK = {"lyrics": LYRICS, "width": 128, "height": 128}


@pytest.fixture
def deployment(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedDeployment]:
    with ExitStack() as stack:
        made = EmbeddedDeployment(tmp_path, stack, unknown_outcome_seconds=getattr(request, "param", 0.5))
        stack.callback(made.close)
        inbox = made.runtime.settings.storage_folder / "inbox"
        inbox.mkdir(parents=True)
        write_wav(inbox / "song.wav", 1.0)
        write_photo(inbox / "cover.png", 64, 64)
        yield made


def data_of(job_type: str, **data: Any) -> dict[str, Any]:
    image = {"image": "s3://inbox/cover.png"} if job_type == "reel" else {}
    return {"audio": "s3://inbox/song.wav", **image, **data}


def alignment(deployment: EmbeddedDeployment) -> dict[str, Any]:
    folder = deployment.runtime.settings.storage_folder / "results" / "j"
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["details"]["alignment"]
    return found


def check_given_up(deployment: EmbeddedDeployment, step: str) -> None:
    """Check that the step's only call counts as paid, and that the timeline and the manifest say why."""
    (call,) = [call for call in calls.of_job(deployment.runtime.database, "j") if call.step == step]
    assert (call.state, call.reserved, call.spent) == (CallState.FAILED, 0, 10_000)
    (entry,) = [found for found in queries.timeline_of(deployment.runtime.database, "j") if found.event == "resolved"]
    assert (entry.detail["how"], entry.detail["by"]) == ("given up", "telecine")
    found = alignment(deployment)
    assert (found["mode"], found["used"]) == ("auto", "spread")
    assert f"the answer of the {step} call was lost" in found["why"]


FAULTS = [
    pytest.param(Fault("submit", "drop", accept=True), id="gap_M5-dropped"),
    pytest.param(Fault("submit", "reset", accept=True), id="gap_M5-reset"),
    pytest.param(Fault("submit", "cut", accept=True), id="gap_M5-cut"),
    pytest.param(Fault("submit", status=502, accept=True), id="gap_M5-502"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("job_type", ["reel", "audio-to-captions"])
def test_a_lost_alignment_is_given_up_and_the_words_are_spread_evenly(
    deployment: EmbeddedDeployment, job_type: str, fault: Fault
) -> None:
    deployment.elevenlabs.fault(fault)
    look = LOOK if job_type == "reel" else {"lyrics": LYRICS}
    job = deployment.run(job_type, **data_of(job_type, **look))
    assert job.state is State.COMPLETED, job.error
    assert deployment.elevenlabs.charges() == 1
    check_given_up(deployment, "align")


def test_a_lost_transcription_after_a_poor_alignment_is_given_up_gap_M5(deployment: EmbeddedDeployment) -> None:
    words = json.dumps({"words": [{"text": "other", "start": 0.1, "end": 0.2}]})
    deployment.elevenlabs.fault(Fault("submit", status=200, body=words, accept=True))
    deployment.elevenlabs.fault(Fault("submit", "drop", accept=True))
    job = deployment.run("reel", **data_of("reel", **LOOK))
    assert job.state is State.COMPLETED, job.error
    assert deployment.elevenlabs.charges() == 2
    check_given_up(deployment, "transcribe")


@pytest.mark.parametrize("deployment", [3.0], indirect=True)
def test_until_the_time_has_passed_a_lost_alignment_waits_and_is_woken_then_gap_M5(
    deployment: EmbeddedDeployment,
) -> None:
    deployment.elevenlabs.fault(Fault("submit", "drop", accept=True))
    deployment.send("reel", **data_of("reel", **LOOK))
    parked = waiting(deployment)
    call = deployment.call()
    assert (call.state, call.reserved) == (CallState.UNKNOWN, 10_000)
    assert parked.wake_at == parked.not_before == pytest.approx((call.submitted_at or 0.0) + 3.0, abs=1.0)


@pytest.mark.parametrize("data", [{"alignment_mode": "elevenlabs", "lyrics": LYRICS}, {"alignment_mode": "auto"}])
def test_without_another_way_a_lost_transcription_waits_for_a_decision_gap_M5(
    deployment: EmbeddedDeployment, data: dict[str, Any]
) -> None:
    deployment.elevenlabs.fault(Fault("submit", "drop", accept=True))
    deployment.send("audio-to-captions", **data_of("audio-to-captions", **data))
    parked = waiting(deployment)
    assert (parked.state, parked.wake_at, deployment.call().state) == (State.WAITING.value, None, CallState.UNKNOWN)
    assert deployment.elevenlabs.charges() == 1


def waiting(deployment: EmbeddedDeployment) -> Any:
    """Run the job until the outcome of its call is unknown and a second passed, and return its row."""
    deployment.start()
    deployment.until(lambda: deployment.advance() is State.WAITING)
    deployment.until(lambda: deployment.call().state is CallState.UNKNOWN)
    for _ in range(10):
        deployment.advance()
        time.sleep(0.1)
    with deployment.runtime.database.read() as connection:
        return connection.execute(sa.select(tables.jobs)).one()
