"""Faults around a GPU worker: crash, out of memory, closed broker connection, cancellation, no worker running."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.failpoints import LOCAL_FAILPOINTS
from consumer.ledger.queries import find_job, timeline_of
from consumer.ledger.states import State
from ops.checks.finding import ok
from ops.checks.workers import workers
from tests.local.catalogue_entries import entries
from tests.local.gpu_deployment import FILM, PICTURE, GpuDeployment
from tests.receiver import Receiver
from tests.servers.ministack import Ministack
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import endpoint
from tests.telecine_process import wait_until

#: Delay after each step of the model.
SLOW = "local.step:sleep=0.5"


@pytest.fixture(scope="module", name="idle")
def _idle(
    tmp_path_factory: pytest.TempPathFactory,
    weights: Path,
    rabbitmq: RabbitMQ,
    postgres: Postgres,
    ministack: Ministack,
) -> Iterator[GpuDeployment]:
    home = tmp_path_factory.mktemp("gpu")
    with Receiver() as receiver:
        s3 = endpoint("ministack", ministack)
        deployment = GpuDeployment(home, rabbitmq, postgres, s3, receiver, entries(weights))
        with deployment.running("--roles", "io,render"):
            yield deployment


@pytest.fixture(name="deployment")
def _line(idle: GpuDeployment) -> Iterator[GpuDeployment]:
    """Return the deployment with a running worker and no armed failpoint."""
    idle.armed.unlink(missing_ok=True)
    if not idle.worker.running:
        idle.start_worker()
    yield idle
    idle.armed.unlink(missing_ok=True)


def start_slowly(deployment: GpuDeployment, job_id: str, *, steps: int = 20, **fields: object) -> None:
    """Start a job that takes seconds; return when the worker is in the middle of it."""
    deployment.run(f"before-{job_id}", "text-to-image", PICTURE)  # loads the model first
    deployment.armed.write_text(SLOW)
    deployment.submit(job_id, "text-to-image", {**PICTURE, "num_inference_steps": steps}, **fields)
    deployment.wait_until_generating(job_id)


def test_a_job_is_cancelled_between_two_steps_and_the_worker_takes_the_next(deployment: GpuDeployment) -> None:
    start_slowly(deployment, "cancel-1", steps=50)
    deployment.submit("after-cancel", "text-to-image", PICTURE)
    deployment.up.run("cancel", "cancel-1")
    job = deployment.wait_for_end("cancel-1")
    assert (job.state, job.progress < 90) == (State.CANCELLED, True)
    at = {entry.event: entry.at for entry in timeline_of(deployment.database, "cancel-1")}
    assert at["cancelled"] - at["cancel_requested"] < 10  # otherwise it would run for more than twenty seconds
    deployment.armed.unlink()
    deployment.result("after-cancel")
    assert deployment.workers("cancel-1") == deployment.workers("after-cancel") == [deployment.worker.pid]
    wait_until(lambda: deployment.callbacks("cancel-1"))
    assert deployment.callbacks("cancel-1")[0]["data"]["status"] == "cancelled"


def test_a_deadline_that_passes_in_mid_generation_ends_the_job(deployment: GpuDeployment) -> None:
    start_slowly(deployment, "late-1", steps=50, deadline=12)
    job = deployment.wait_for_end("late-1")
    assert job.error is not None
    assert (job.state, job.error["code"]) == (State.EXPIRED, "deadline_exceeded")
    assert 0 < job.progress < 90
    deployment.armed.unlink()
    deployment.run("after-late", "text-to-image", PICTURE)
    assert deployment.workers("after-late") == [deployment.worker.pid]


def test_a_broker_that_hangs_up_in_mid_generation_costs_nothing(deployment: GpuDeployment) -> None:
    start_slowly(deployment, "lonely-1")
    # Acknowledged early: RabbitMQ closes a channel that holds a message for half an hour.
    wait_until(lambda: "telecine.gpu.normal\t0\n" in deployment.rabbitmq.ctl("list_queues", "name", "messages"))
    deployment.rabbitmq.ctl("close_all_connections", "a test")
    deployment.armed.unlink()
    deployment.result("lonely-1")
    deployment.run("after-lonely", "text-to-image", PICTURE)
    assert deployment.workers("lonely-1") == deployment.workers("after-lonely") == [deployment.worker.pid]


def test_a_job_that_runs_out_of_memory_once_is_made_in_low_memory_mode(deployment: GpuDeployment) -> None:
    deployment.run("before-once", "text-to-image", PICTURE)
    deployment.armed.write_text(f"local.step:memory\n{deployment.armed.with_name('met')}")
    _, manifest = deployment.run("once", "text-to-image", PICTURE)
    assert deployment.armed.with_name("met").exists()
    assert manifest["details"]["low_vram"] is True
    assert [loaded["low_vram"] for loaded in deployment.loaded()] == [True]
    assert deployment.workers("before-once") == deployment.workers("once") == [deployment.worker.pid]


def test_a_job_that_always_runs_out_of_memory_fails_alone(deployment: GpuDeployment) -> None:
    deployment.armed.write_text("local.step:memory")
    deployment.submit("always", "text-to-image", PICTURE)
    job = deployment.wait_for_end("always")
    assert job.error is not None
    assert (job.state, job.error["code"]) == (State.FAILED, "out_of_memory")
    assert "segmind/tiny-sd ran out of memory, also in low-memory mode" in job.error["message"]
    assert deployment.loaded() == []
    deployment.armed.unlink()
    _, manifest = deployment.run("after-always", "text-to-image", PICTURE)
    assert "low_vram" not in manifest["details"]
    assert deployment.workers("always") == deployment.workers("after-always") == [deployment.worker.pid]


def test_memory_that_really_ends_fails_the_job_alone(deployment: GpuDeployment) -> None:
    deployment.run("before-real", "text-to-image", PICTURE)
    pages = int(Path(f"/proc/{deployment.worker.pid}/statm").read_text().split()[0])
    before = resource.prlimit(deployment.worker.pid, resource.RLIMIT_AS)
    size = pages * resource.getpagesize() + 100_000_000
    resource.prlimit(deployment.worker.pid, resource.RLIMIT_AS, (size, before[1]))
    large = {**FILM, "num_frames": 24, "width": 384, "height": 384, "parameters": {"num_inference_steps": 2}}
    deployment.submit("real", "text-to-video", {**large, "model": "mochi", "prompt": "a fox"})
    job = deployment.wait_for_end("real")
    assert job.error is not None
    assert (job.state, job.error["code"], job.crashes) == (State.FAILED, "out_of_memory", 0)
    deployment.run("after-real", "text-to-image", PICTURE)
    assert deployment.workers("real") == deployment.workers("after-real") == [deployment.worker.pid]
    resource.prlimit(deployment.worker.pid, resource.RLIMIT_AS, before)


def test_a_worker_killed_anywhere_in_a_generation_is_followed_by_one_that_finishes_the_job_once(
    deployment: GpuDeployment,
) -> None:
    killed: list[int] = []
    for point in LOCAL_FAILPOINTS:
        deployment.armed.write_text(f"{point}:kill")
        if not killed:
            deployment.submit("kill-1", "text-to-image", {**PICTURE, "seed": 7})
        killed.append(deployment.worker.pid)
        assert deployment.worker.wait_for_death() == -signal.SIGKILL, point
        deployment.armed.unlink()
        deployment.start_worker()
    files, _ = deployment.result("kill-1")
    job = deployment.wait_for_end("kill-1")
    assert (set(files), job.crashes) == ({"image.png", "manifest.json"}, 3)
    assert deployment.workers("kill-1") == [*killed, deployment.worker.pid]
    explained = deployment.up.run("explain", "kill-1").stdout.decode()
    assert (
        explained.count("died (SIGKILL, power loss or out of memory) while running, in the middle of step `generate`")
        == 3
    )
    # The same request gives the same image on another worker.
    assert deployment.run("kill-2", "text-to-image", {**PICTURE, "seed": 7})[0]["image.png"] == files["image.png"]


def test_a_worker_that_stops_finishes_its_job_and_the_next_job_says_what_it_waits_for(
    deployment: GpuDeployment,
) -> None:
    start_slowly(deployment, "drain-1")
    deployment.submit("drain-2", "text-to-image", PICTURE)
    deployment.publish({"id": "note-1", "type": "note", "data": {"text": "x"}})
    assert deployment.wait_for_end("note-1").state is State.COMPLETED  # by the other worker of this machine
    first = deployment.worker.pid
    assert workers(deployment.up.settings) == ok("io 1, render 1, gpu 1")
    assert deployment.worker.stop(timeout=60) == 0
    job = find_job(deployment.database, "drain-1")
    assert job is not None
    assert (job.state, job.crashes, deployment.workers("drain-1")) == (State.COMPLETED, 0, [first])

    explained = " ".join(deployment.up.run("explain", "drain-2").stdout.decode().split())
    assert "Waiting for a free worker with role gpu; `telecine worker --role gpu` starts one" in explained
    found = workers(deployment.up.settings)
    assert (found.verdict, found.advice) == ("warn", "run `telecine worker --role gpu`")
    assert found.found == "io 1, render 1, gpu none; waiting without a worker: 1 job for role gpu"
    deployment.armed.unlink()
    deployment.start_worker()
    deployment.result("drain-2")
    deployment.result("drain-1")
    assert deployment.workers("drain-2") == [deployment.worker.pid]
