"""A device that stops responding ends the worker; a call that takes too long ends alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.worker import state

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.app import advance, use_runtime
from consumer.ledger import queries
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.runtime import Runtime
from consumer.wiring import admission_policy, build_runtime
from ops.local_models_health import LocalModelsHealth
from providers.catalogue import Model
from providers.local.base import LocalCall, LocalResult, Progress
from providers.local.device import Cpu
from providers.local.host import ModelHost
from providers.local.image_model import ImageModel
from providers.local.timeouts import with_timeout
from schemas.errors import DeviceFailed, RenderTimeout
from schemas.settings import Settings
from tests.local.catalogue_entries import catalogue, entries
from tests.telecine_process import wait_until

CALL = LocalCall(prompts=("a fox",), seeds=(1,), width=64, height=64, parameters={"num_inference_steps": 2})


def ignore_progress(part: float) -> None:
    """Ignore progress."""


class FakeDevice(Cpu):
    """A device that can fail."""

    def __init__(self) -> None:
        self.lost = False

    def total_bytes(self) -> int:
        return self.free_bytes()

    def free_bytes(self) -> int:
        if self.lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().free_bytes()

    def release(self) -> None:
        self.free_bytes()


class DeviceLosingModel(ImageModel):
    """A model during whose call the device fails."""

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        assert isinstance(self.device, FakeDevice)
        self.device.lost = True
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.fixture(name="model")
def _model(weights: Path) -> Model:
    return catalogue(weights).find("segmind/tiny-sd", "text-to-image")


def test_a_device_that_stops_responding_is_distinguished_from_a_model_that_fails(weights: Path, model: Model) -> None:
    card = FakeDevice()
    host = ModelHost(weights, device=lambda: card, model_factory=DeviceLosingModel)
    with pytest.raises(DeviceFailed):
        host.run(model, CALL, ignore_progress)
    assert host.device_failed
    with pytest.raises(DeviceFailed):
        host.check(model, CALL)


def test_a_card_that_is_lost_while_nothing_runs_is_noticed_by_the_next_call(weights: Path, model: Model) -> None:
    card = FakeDevice()
    host = ModelHost(weights, device=lambda: card)
    host.run(model, CALL, ignore_progress)
    card.lost = True
    with pytest.raises(DeviceFailed):
        host.run(model, CALL, ignore_progress)
    assert host.device_failed


def test_health_reports_a_lost_device_before_a_job_fails_on_it(weights: Path, model: Model) -> None:
    card = FakeDevice()
    card.kind = "cuda"
    host = ModelHost(weights, device=lambda: card)
    watch = LocalModelsHealth(lambda: host, [model], needed=True)
    assert watch.add_to({"status": "healthy"})["local"]["free_vram_gb"] > 0
    card.lost = True
    report = watch.add_to({"status": "healthy"})
    assert (report["status"], report["local"]["free_vram_gb"]) == ("unhealthy", None)
    assert report["local"]["message"] == "the device of the local models no longer responds; restart the worker"


def test_a_model_that_fails_on_a_sound_card_is_no_reason_to_end(weights: Path, model: Model) -> None:
    class Clumsy(ImageModel):
        def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
            raise RuntimeError("CUDA error: invalid argument")

    host = ModelHost(weights, device=FakeDevice, model_factory=Clumsy)
    with pytest.raises(RuntimeError, match="invalid argument"):
        host.run(model, CALL, ignore_progress)
    assert not host.device_failed


@pytest.fixture(name="runtime")
def _runtime(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setattr(state, "should_stop", None)
    made = build_runtime(Settings(home=tmp_path, models=entries(weights), retry_seconds=0.1, local_device="cpu"))
    yield made
    made.close()


def advance_on(runtime: Runtime, host: ModelHost) -> Job:
    """Advance the job on a worker with this host; return it."""
    runtime.__dict__["host"] = host
    use_runtime(runtime)
    advance("fox-1")
    job = queries.find_job(runtime.database, "fox-1")
    assert job is not None
    return job


def test_the_job_waits_for_the_worker_that_comes_after_the_one_that_lost_its_card(
    runtime: Runtime, weights: Path
) -> None:
    data = {"prompt": "a fox", "width": 64, "height": 64, "num_inference_steps": 10}
    body = json.dumps({"id": "fox-1", "type": "text-to-image", "data": data}).encode()
    BatchAdmitter(runtime.database, admission_policy(runtime))([IncomingMessage(body, "test", "q")])
    job = advance_on(runtime, ModelHost(weights, device=FakeDevice, model_factory=DeviceLosingModel))
    assert (job.state, job.failures, job.crashes) == (State.WAITING, 1, 0)
    # Celery's loop checks this before it takes the next message.
    assert state.should_stop == 1
    (entry,) = [event for event in queries.timeline_of(runtime.database, "fox-1") if event.event == "retry_later"]
    assert entry.detail["code"] == "device_failed"
    # A worker that is stopping does not claim the job again.
    time.sleep(0.2)
    advance("fox-1")
    again = queries.find_job(runtime.database, "fox-1")
    assert again is not None
    assert (again.failures, again.epoch) == (job.failures, job.epoch)
    state.should_stop = None
    wait_until(lambda: advance_on(runtime, ModelHost(weights, device=FakeDevice)).state is State.COMPLETED, timeout=30)
    assert state.should_stop is None


def test_a_call_that_takes_too_long_ends_after_a_step_and_the_model_stays(weights: Path, model: Model) -> None:
    host = ModelHost(weights, device=Cpu, timeout_seconds=0.001)
    with pytest.raises(
        RenderTimeout, match=r"segmind/tiny-sd did not finish within 0 s; .* TELECINE_LOCAL_TIMEOUT_SECONDS"
    ):
        host.run(model, CALL, ignore_progress)
    assert [loaded.id for loaded in host.loaded] == ["segmind/tiny-sd"]


def test_what_was_done_in_the_last_moment_is_kept() -> None:
    reported: list[float] = []
    timed = with_timeout(0.001, "a model", reported.append)
    time.sleep(0.01)
    timed(1.0)
    with pytest.raises(RenderTimeout):
        timed(0.5)
    assert reported == [1.0, 0.5]
