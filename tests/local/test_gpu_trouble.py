"""Faults around a GPU worker: crash, out of memory, closed broker connection, cancellation, no worker running."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.failpoints import LOCAL_FAILPOINTS
from consumer.ledger.queries import find_job, story
from consumer.ledger.states import State
from ops.checks.finding import ok
from ops.checks.workers import workers
from tests.local.entries import entries
from tests.local.gpu_line import FILM, PICTURE, GpuLine
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
    tmp_path_factory: pytest.TempPathFactory, weights: Path, rabbitmq: RabbitMQ, postgres: Postgres,
    ministack: Ministack,
) -> Iterator[GpuLine]:  # fmt: skip
    home = tmp_path_factory.mktemp("gpu")
    with Receiver() as receiver:
        s3 = endpoint("ministack", ministack)
        line = GpuLine(home, rabbitmq, postgres, s3, receiver, entries(weights))
        with line.running("--roles", "io,render"):
            yield line


@pytest.fixture(name="line")
def _line(idle: GpuLine) -> Iterator[GpuLine]:
    """Return the deployment with a running worker and no armed failpoint."""
    idle.armed.unlink(missing_ok=True)
    if not idle.worker.running:
        idle.start_worker()
    yield idle
    idle.armed.unlink(missing_ok=True)


def start_slowly(line: GpuLine, job_id: str, *, steps: int = 20, **fields: object) -> None:
    """Start a job that takes seconds; return when the worker is in the middle of it."""
    line.made(f"before-{job_id}", "text-to-image", PICTURE)  # loads the model first
    line.armed.write_text(SLOW)
    line.ask(job_id, "text-to-image", {**PICTURE, "num_inference_steps": steps}, **fields)
    line.generating(job_id)


def test_a_job_is_cancelled_between_two_steps_and_the_worker_takes_the_next(line: GpuLine) -> None:
    start_slowly(line, "cancel-1", steps=50)
    line.ask("after-cancel", "text-to-image", PICTURE)
    line.up.run("cancel", "cancel-1")
    job = line.ended("cancel-1")
    assert (job.state, job.progress < 90) == (State.CANCELLED, True)
    at = {entry.event: entry.at for entry in story(line.database, "cancel-1")}
    assert at["cancelled"] - at["cancel_requested"] < 10  # otherwise it would run for more than twenty seconds
    line.armed.unlink()
    line.result("after-cancel")
    assert line.workers("cancel-1") == line.workers("after-cancel") == [line.worker.pid]
    wait_until(lambda: line.told("cancel-1"))
    assert line.told("cancel-1")[0]["data"]["status"] == "cancelled"


def test_a_deadline_that_passes_in_mid_generation_ends_the_job(line: GpuLine) -> None:
    start_slowly(line, "late-1", steps=50, deadline=12)
    job = line.ended("late-1")
    assert job.error is not None
    assert (job.state, job.error["code"]) == (State.EXPIRED, "deadline_exceeded")
    assert 0 < job.progress < 90
    line.armed.unlink()
    line.made("after-late", "text-to-image", PICTURE)
    assert line.workers("after-late") == [line.worker.pid]


def test_a_broker_that_hangs_up_in_mid_generation_costs_nothing(line: GpuLine) -> None:
    start_slowly(line, "lonely-1")
    # Acknowledged early: RabbitMQ closes a channel that holds a message for half an hour.
    wait_until(lambda: "telecine.gpu.normal\t0\n" in line.rabbitmq.ctl("list_queues", "name", "messages"))
    line.rabbitmq.ctl("close_all_connections", "a test")
    line.armed.unlink()
    line.result("lonely-1")
    line.made("after-lonely", "text-to-image", PICTURE)
    assert line.workers("lonely-1") == line.workers("after-lonely") == [line.worker.pid]


def test_a_job_that_runs_out_of_memory_once_is_made_in_low_memory_mode(line: GpuLine) -> None:
    line.made("before-once", "text-to-image", PICTURE)
    line.armed.write_text(f"local.step:memory\n{line.armed.with_name('met')}")
    _, manifest = line.made("once", "text-to-image", PICTURE)
    assert line.armed.with_name("met").exists()
    assert manifest["details"]["low_vram"] is True
    assert [loaded["low_vram"] for loaded in line.loaded()] == [True]
    assert line.workers("before-once") == line.workers("once") == [line.worker.pid]


def test_a_job_that_always_runs_out_of_memory_fails_alone(line: GpuLine) -> None:
    line.armed.write_text("local.step:memory")
    line.ask("always", "text-to-image", PICTURE)
    job = line.ended("always")
    assert job.error is not None
    assert (job.state, job.error["code"]) == (State.FAILED, "out_of_memory")
    assert "segmind/tiny-sd ran out of memory, also in low-memory mode" in job.error["message"]
    assert line.loaded() == []
    line.armed.unlink()
    _, manifest = line.made("after-always", "text-to-image", PICTURE)
    assert "low_vram" not in manifest["details"]
    assert line.workers("always") == line.workers("after-always") == [line.worker.pid]


def test_memory_that_really_ends_fails_the_job_alone(line: GpuLine) -> None:
    line.made("before-real", "text-to-image", PICTURE)
    pages = int(Path(f"/proc/{line.worker.pid}/statm").read_text().split()[0])
    before = resource.prlimit(line.worker.pid, resource.RLIMIT_AS)
    size = pages * resource.getpagesize() + 100_000_000
    resource.prlimit(line.worker.pid, resource.RLIMIT_AS, (size, before[1]))
    large = {**FILM, "num_frames": 24, "width": 384, "height": 384, "parameters": {"num_inference_steps": 2}}
    line.ask("real", "text-to-video", {**large, "model": "mochi", "prompt": "a fox"})
    job = line.ended("real")
    assert job.error is not None
    assert (job.state, job.error["code"], job.crashes) == (State.FAILED, "out_of_memory", 0)
    line.made("after-real", "text-to-image", PICTURE)
    assert line.workers("real") == line.workers("after-real") == [line.worker.pid]
    resource.prlimit(line.worker.pid, resource.RLIMIT_AS, before)


def test_a_worker_killed_anywhere_in_a_generation_is_followed_by_one_that_finishes_the_job_once(line: GpuLine) -> None:
    killed: list[int] = []
    for point in LOCAL_FAILPOINTS:
        line.armed.write_text(f"{point}:kill")
        if not killed:
            line.ask("kill-1", "text-to-image", {**PICTURE, "seed": 7})
        killed.append(line.worker.pid)
        assert line.worker.wait_for_death() == -signal.SIGKILL, point
        line.armed.unlink()
        line.start_worker()
    files, _ = line.result("kill-1")
    job = line.ended("kill-1")
    assert (set(files), job.crashes) == ({"image.png", "manifest.json"}, 3)
    assert line.workers("kill-1") == [*killed, line.worker.pid]
    told = line.up.run("explain", "kill-1").stdout.decode()
    assert (
        told.count("died (SIGKILL, power loss or out of memory) while running, in the middle of step `generate`") == 3
    )
    # The same request gives the same image on another worker.
    assert line.made("kill-2", "text-to-image", {**PICTURE, "seed": 7})[0]["image.png"] == files["image.png"]


def test_a_worker_that_is_told_to_stop_finishes_its_job_and_the_next_says_what_it_waits_for(line: GpuLine) -> None:
    start_slowly(line, "drain-1")
    line.ask("drain-2", "text-to-image", PICTURE)
    line.publish({"id": "note-1", "type": "note", "data": {"text": "x"}})
    assert line.ended("note-1").state is State.COMPLETED  # by the other worker of this machine
    first = line.worker.pid
    assert workers(line.up.settings) == ok("io 1, render 1, gpu 1")
    assert line.worker.stop(timeout=60) == 0
    job = find_job(line.database, "drain-1")
    assert job is not None
    assert (job.state, job.crashes, line.workers("drain-1")) == (State.COMPLETED, 0, [first])

    told = " ".join(line.up.run("explain", "drain-2").stdout.decode().split())
    assert "Waiting for a free worker with role gpu; `telecine worker --role gpu` starts one" in told
    found = workers(line.up.settings)
    assert (found.verdict, found.advice) == ("warn", "run `telecine worker --role gpu`")
    assert found.found == "io 1, render 1, gpu none; waiting without a worker: 1 job for role gpu"
    line.armed.unlink()
    line.start_worker()
    line.result("drain-2")
    line.result("drain-1")
    assert line.workers("drain-2") == [line.worker.pid]
