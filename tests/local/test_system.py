"""``telecine system`` and the local models in ``/health``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import local_models_health
from ops.local_models_health import LocalModelsHealth
from providers.local.base import LocalCall
from providers.local.device import Cpu
from providers.local.host import ModelHost, host_for
from providers.local.image_model import ImageModel
from providers.local.system_report import state_of, system_report
from providers.registry import catalogue_of
from schemas.settings import Settings
from tests.cli_operator import Operator, an_operator
from tests.local.catalogue_entries import catalogue

_operator = pytest.fixture(an_operator, name="operator")


@pytest.fixture(name="own")
def _own(weights: Path) -> Iterator[ModelHost]:
    host = host_for(Settings(local_models=weights, local_device="cpu", local_threads=1))
    yield host
    host.unload_all()


def test_the_command_shows_device_memory_and_installed_models(operator: Operator) -> None:
    reported = operator.run("system", "--json").json
    assert reported["device"] in ("cpu", "cuda", "mps")
    assert reported["ram_total_gb"] >= reported["ram_available_gb"] > 0
    assert 0 <= reported["cpu_percent"] <= 100
    assert {"demo-shapes", "demo-captioner"} <= set(reported["installed"])
    assert reported["status"] in ("healthy", "degraded")
    said = operator.run("system").out
    for part in ("available RAM", "demo-shapes", "loaded models"):
        assert part in said


def test_health_shows_loaded_models_and_detects_no_device_before_a_job_does(weights: Path, own: ModelHost) -> None:
    models = list(catalogue(weights))
    watch = LocalModelsHealth(lambda: own, models, needed=False)
    before = watch.add_to({"status": "healthy", "checks": {}})
    assert (before["status"], before["local"]["device"], before["local"]["loaded"]) == ("healthy", None, [])
    assert before["local"]["message"].endswith("; the device is detected when a job needs it")
    call = LocalCall(prompts=("a",), seeds=(1,), width=64, height=64, parameters={"num_inference_steps": 2})
    own.run(catalogue(weights).find("segmind/tiny-sd", "text-to-image"), call, lambda part: None)
    after = watch.add_to({"status": "healthy", "checks": {}})["local"]
    assert [loaded["model"] for loaded in after["loaded"]] == ["segmind/tiny-sd"]
    assert after["device"] == "cpu"


@pytest.mark.parametrize("lacking", [{"missing": ["torch"]}, {"installed": []}, {"missing": ["torch", "diffusers"]}])
@pytest.mark.parametrize("needed", [False, True])
def test_models_that_nothing_needs_are_not_unhealthy_friction_low(
    weights: Path, own: ModelHost, monkeypatch: pytest.MonkeyPatch, lacking: dict[str, object], needed: bool
) -> None:
    models = list(catalogue(weights))
    report = system_report(own, models) | lacking
    monkeypatch.setattr(local_models_health, "system_report", lambda *_, **__: report)
    found = LocalModelsHealth(lambda: own, models, needed=needed).add_to({"status": "healthy", "checks": {}})
    assert (found["status"], found["local"]["status"]) == (
        ("unhealthy", "unhealthy") if needed else ("healthy", "not installed")
    )


def test_health_does_not_wait_for_the_first_call(weights: Path) -> None:
    begun, asked = threading.Event(), threading.Event()

    class Slow(ImageModel):
        def device_memory_bytes(self, call: LocalCall, *, batch: int = 1) -> int:
            begun.set()
            assert asked.wait(30)
            return super().device_memory_bytes(call, batch=batch)

    host = ModelHost(weights, device=Cpu, model_factory=Slow)
    call = LocalCall(prompts=("a",), seeds=(1,), width=64, height=64, parameters={"num_inference_steps": 2})
    model = catalogue(weights).find("segmind/tiny-sd", "text-to-image")
    thread = threading.Thread(target=lambda: host.run(model, call, lambda part: None))
    thread.start()
    assert begun.wait(30)
    report = LocalModelsHealth(lambda: host, [model], needed=True).add_to({"status": "healthy", "checks": {}})
    asked.set()
    thread.join()
    assert report["local"]["device"] == "cpu"


def test_a_worker_for_local_models_without_an_accelerator_is_degraded(weights: Path, own: ModelHost) -> None:
    watch = LocalModelsHealth(lambda: own, list(catalogue(weights)), needed=True)
    assert watch.add_to({"status": "healthy", "checks": {}})["status"] == "degraded"
    assert watch.add_to({"status": "unhealthy", "checks": {}})["status"] == "unhealthy"


def test_each_state_says_why(weights: Path, own: ModelHost) -> None:
    report = system_report(own, list(catalogue(weights)))
    assert state_of(report) == ("degraded", "no accelerator: local models run on the CPU")
    assert state_of({**report, "device": "cuda"}) == (
        "healthy",
        f"Service operational with {report['backend']} backend",
    )
    # A worker for pictures only is ready, and so is one before `telecine models pull`.
    assert state_of({**report, "device": "cuda", "backend": None}) == (
        "healthy",
        "no video backend has weights on this machine",
    )
    assert state_of({**report, "missing": ["torch"]}) == (
        "unhealthy",
        "local models need torch: pip install '.[local]' in Telecine's folder",
    )
    assert state_of({**report, "installed": []})[0] == "unhealthy"


def test_without_weights_no_backend_is_named(tmp_path: Path) -> None:
    host = host_for(Settings(local_models=tmp_path, local_device="cpu"))
    report = system_report(host, list(catalogue_of(Settings())))
    assert (report["backend"], report["installed"]) == (None, ["demo-shapes", "demo-captioner"])
