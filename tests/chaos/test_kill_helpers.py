"""A reel completes although its helpers are signalled or the disk is full: now, later, or after the next start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.drop import drop
from consumer.ledger.queries import timeline_of
from consumer.ledger.states import State
from tests.acceptance.line import SECRET, objects_below, publish_with_node, telecine_with, upload_media
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.media_probe import write_photo, write_wav
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import TelecineProcess, wait_until

REEL = {"lyrics": "One two", "alignment_mode": "even", "width": 270, "height": 480}

#: Length of the song: ffmpeg encodes it for about a second.
SECONDS = 90.0


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    found = [pid]
    for entry in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in entry.read_text().split():
                found += tree(int(child))
    return found


def helper(telecine: TelecineProcess, name: str) -> int | None:
    """Return the process whose command line contains ``name``."""
    for pid in tree(telecine.pid)[1:]:
        with contextlib.suppress(OSError):
            if name in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
    return None


def submit_reel(telecine: TelecineProcess, receiver: Receiver) -> None:
    inbox = telecine.settings.storage_folder / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    write_photo(inbox / "cover.png")
    write_wav(inbox / "song.wav", SECONDS, 16_000)
    data = {"image": "s3://inbox/cover.png", "audio": "s3://inbox/song.wav", **REEL}
    request = {"id": "r", "type": "reel", "data": data, "callback": {"url": receiver.url}}
    # `telecine submit` returns so late that the sound may be encoded by then.
    drop(telecine.settings.inbox_folder, json.dumps(request).encode())


def check_completed(telecine: TelecineProcess, receiver: Receiver) -> Any:
    job = telecine.wait_for_job("r")
    folder = telecine.settings.storage_folder / "results" / "r"
    assert job.state is State.COMPLETED, job.error
    check_finished_once(telecine.database(), job, {path.name: path.read_bytes() for path in folder.iterdir()})
    check_callback_once(receiver, "r", (telecine.home / "callback-secret").read_text().strip())
    return job


@pytest.mark.parametrize("name", ["SIGTERM", "SIGQUIT"])
def test_a_reel_completes_although_every_process_of_the_service_is_stopped_attack_1(name: str, tmp_path: Path) -> None:
    with Receiver() as receiver, TelecineProcess(tmp_path / "home") as telecine:
        telecine.start()
        submit_reel(telecine, receiver)
        wait_until(lambda: helper(telecine, "pipelines.media.child"))
        for pid in tree(telecine.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, name))
        assert telecine.wait_for_death() == 0
        telecine.start()
        job = check_completed(telecine, receiver)
        assert (job.failures, job.crashes) == (0, 0)


def test_a_reel_completes_although_a_broker_s_worker_is_stopped_with_all_its_processes_attack_1(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    data = upload_media(s3, bucket, tmp_path, seconds=SECONDS) | REEL
    with Receiver() as receiver, telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket) as telecine:
        telecine.start()
        request = {"id": "r", "type": "reel", "data": data, "callback": {"url": receiver.url}}
        publish_with_node(rabbitmq, queue, [request])
        wait_until(lambda: helper(telecine, "pipelines.media.child"))
        for pid in tree(telecine.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        telecine.wait_for_death()
        telecine.start()
        job = telecine.wait_for_job("r")
        check_finished_once(telecine.database(), job, objects_below(s3, bucket, "results/r/"))
        check_callback_once(receiver, "r", SECRET)
        assert job.failures == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_stopping_a_worker_with_all_its_processes_is_no_crash_attack_1(
    name: str, rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    """A service manager stops ``telecine worker`` with all its processes."""
    queue = f"{queue_prefix}requests"
    data = upload_media(s3, bucket, tmp_path, seconds=SECONDS) | REEL
    parts = [telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket) for _ in range(2)]
    with parts[0] as doors, parts[1] as worker:
        doors.start(arguments=("up", "--only", "doors,sweep,calls,outbox"))
        worker.start(arguments=("worker",))
        publish_with_node(rabbitmq, queue, [{"id": "r", "type": "reel", "data": data}])
        wait_until(lambda: helper(worker, "pipelines.media.child"))
        for pid in tree(worker.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, name))
        worker.wait_for_death()
        worker.start(arguments=("worker",))
        job = doors.wait_for_job("r")
        assert (job.state, job.crashes, job.failures) == (State.COMPLETED, 0, 0), job.error
        assert "worker_stopped" in [entry.event for entry in timeline_of(doors.database(), "r")]
        assert "worker_started" in [line["event"] for line in worker.log_lines()]


@pytest.mark.parametrize(
    ("which", "name"),
    [
        ("child", "SIGKILL"),
        ("child", "SIGBUS"),
        ("child", "SIGUSR2"),
        ("ffmpeg", "SIGTERM"),
        ("ffmpeg", "SIGKILL"),
        ("ffmpeg", "SIGSEGV"),
    ],
)
def test_a_reel_completes_although_one_of_its_helpers_is_killed_attack_1(which: str, name: str, tmp_path: Path) -> None:
    with Receiver() as receiver, TelecineProcess(tmp_path / "home") as telecine:
        telecine.start()
        submit_reel(telecine, receiver)
        command = {"child": "pipelines.media.child", "ffmpeg": "audio.aac"}[which]
        os.kill(wait_until(lambda: helper(telecine, command)), getattr(signal, name))
        check_completed(telecine, receiver)
        retried = [
            entry.detail["code"] for entry in timeline_of(telecine.database(), "r") if entry.event == "retry_later"
        ]
        assert retried == (["render_interrupted"] if name == "SIGUSR2" else [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Mount a small disk at ``tmp_path / "scratch"``, and return a function that changes its size."""
    folder = tmp_path / "scratch"
    folder.mkdir()

    def resize(size: str) -> None:
        options = f"size={size}" if not os.path.ismount(folder) else f"remount,size={size}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"needs permission to mount: {done.stderr}")

    yield resize
    subprocess.run(["umount", "--lazy", folder], check=False)


# The inputs have 6.8 MB and the encoded sound 1.8 MB: room for nothing, and for the inputs only.
@pytest.mark.parametrize("size", ["3m", "7500k"])
def test_a_reel_completes_although_the_disk_was_full_attack_3(
    size: str, small_disk: Callable[[str], None], tmp_path: Path
) -> None:
    small_disk(size)
    with Receiver() as receiver, TelecineProcess(tmp_path / "home", scratch=tmp_path / "scratch") as telecine:
        telecine.start()
        submit_reel(telecine, receiver)

        def retried() -> list[Any]:
            return [entry.detail for entry in timeline_of(telecine.database(), "r") if entry.event == "retry_later"]

        wait_until(retried)
        small_disk("100m")
        check_completed(telecine, receiver)
        assert {detail["code"] for detail in retried()} == {"storage_unavailable"}
        assert all("no disk space" in detail["message"] for detail in retried())
        wait_until(lambda: list((tmp_path / "scratch").iterdir()) == [])
