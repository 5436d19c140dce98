"""The workers that ``telecine up`` runs with a broker, and their names."""

from __future__ import annotations

import pytest
from celery.worker import state

from consumer.app import app
from consumer.worker import run_worker, worker_arguments
from ops.worker_process import WorkerProcess, worker_processes


@pytest.mark.parametrize(
    ("roles", "workers"),
    [
        (["io", "render"], {"worker": ("io", "render")}),
        (["gpu"], {"worker-gpu": ("gpu",)}),
        (["io", "render", "gpu"], {"worker": ("io", "render"), "worker-gpu": ("gpu",)}),
    ],
)
def test_local_models_have_a_worker_of_their_own(roles: list[str], workers: dict[str, tuple[str, ...]]) -> None:
    made = worker_processes(roles)
    assert {item.name: item.loop.roles for item in made if isinstance(item.loop, WorkerProcess)} == workers


def test_a_gpu_worker_does_one_job_at_a_time_in_its_own_process() -> None:
    arguments = worker_arguments(["gpu"], concurrency=4)
    assert {"--pool=threads", "--concurrency=1"} <= set(arguments)
    assert {"--pool=prefork", "--concurrency=4"} <= set(worker_arguments(["render"], concurrency=4))


def test_workers_of_one_machine_have_different_names() -> None:
    (first,) = (item for item in worker_arguments(["io", "gpu"], concurrency=1) if item.startswith("--hostname="))
    assert first.removeprefix("--hostname=").startswith("io-gpu-")
    assert "--hostname=mine@%h" in worker_arguments(["gpu"], concurrency=1, name="mine")


@pytest.mark.parametrize(("asked", "status"), [(None, None), (0, None), (1, 1)])
def test_a_worker_that_stopped_by_itself_exits_with_status_one(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, status: int | None
) -> None:
    monkeypatch.setattr(app, "worker_main", lambda arguments: None)
    monkeypatch.setattr(state, "should_stop", asked)
    code = None
    try:
        run_worker(["render"], concurrency=1)
    except SystemExit as ended:
        code = ended.code
    assert code == status
