"""A job from end to end with real parts: Node, RabbitMQ, S3, a worker and a receiver."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from consumer.doors.drop import drop
from consumer.ledger.dead_letters import list_newest
from consumer.ledger.queries import deliveries_of, list_jobs, timeline_of
from consumer.ledger.states import DeliveryState, State
from tests.acceptance.line import SECRET, objects_below, publish_with_node, telecine_with, upload_media
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.media_probe import frames_of
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import wait_until

SECONDS = 6.0
LYRICS = "First words here\nand second ones\nthird line now\nand last"


@pytest.mark.parametrize("s3", ["radosgw", "ministack"], indirect=True)
def test_a_reel_goes_from_a_node_producer_to_a_verified_callback(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    data = upload_media(s3, bucket, tmp_path, seconds=SECONDS) | {"lyrics": LYRICS, "alignment_mode": "even"}
    with (
        Receiver([500, 500, 200]) as receiver,
        telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket) as telecine,
    ):
        telecine.start()
        request = {
            "id": "order-1042",
            "type": "reel",
            "data": data,
            "output": f"s3://{bucket}/orders/1042/",
            "callback": {"url": receiver.url, "events": ["completed", "failed"]},
            "metadata": {"customer": "c-17"},
        }
        publish_with_node(rabbitmq, queue, [request])
        job = telecine.wait_for_job("order-1042")

        objects = objects_below(s3, bucket, "orders/1042/order-1042/")
        assert set(objects) == {
            "video.mp4",
            "captions.srt",
            "captions.vtt",
            "captions.lrc",
            "captions.ass",
            "cover.jpg",
            "manifest.json",
        }
        check_finished_once(telecine.database(), job, objects)
        _check_video(objects["video.mp4"], objects["captions.srt"].decode(), tmp_path)

        attempts = receiver.wait_for(3, timeout=30)
        check_callback_once(receiver, "order-1042", SECRET)
        assert len(attempts) == 3
        told = attempts[-1].json()["data"]
        assert told["metadata"] == {"customer": "c-17"}
        assert told["progress_percentage"] == 100
        video = next(output for output in told["outputs"] if output["name"] == "video.mp4")
        assert (video["width"], video["height"], video["frames"], video["fps"]) == (1080, 1920, round(SECONDS * 30), 30)

        database = telecine.database()
        wait_until(lambda: deliveries_of(database, job.id)[0].state is DeliveryState.DELIVERED)
        told_story = telecine.run("explain", "order-1042").stdout.decode()
        assert "HTTP 500" in told_story
        assert "delivered" in told_story
        assert telecine.stop() == 0
        check_log(telecine.log_lines(), "order-1042")


def check_log(lines: list[dict[str, Any]], job_id: str) -> None:
    """Check that JSON logs are JSON only, and say when the job's attempt began and how it ended."""
    of_job = [line for line in lines if line.get("job_id") == job_id]
    started, ended = (line for line in of_job if line["event"] in ("job_started", "job_completed"))
    assert (started["event"], started["attempt"], started["type"]) == ("job_started", 1, "reel")
    assert ended["event"] == "job_completed"
    assert ended["duration"] > 0.1
    events = [line["event"] for line in lines]
    assert {"started", "worker_started", "worker_stopped", "stopping"} <= set(events)
    assert any("superuser privileges" in event for event in events) == (os.getuid() == 0)  # Celery's warning


def test_the_same_job_sent_five_times_through_two_doors_runs_once(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    runs = tmp_path / "runs"
    request = {"id": "same", "type": "note", "data": {"text": "x", "ledger_of_runs": str(runs), "seconds": 0.3}}
    settings = {"inbox": tmp_path / "inbox"}
    with telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket, **settings) as telecine:
        telecine.start()
        publish_with_node(rabbitmq, queue, [request, request, request])
        reordered = {name: request[name] for name in reversed(request)}
        drop(tmp_path / "inbox", json.dumps(reordered, indent=4).encode())
        drop(tmp_path / "inbox", json.dumps(request | {"specversion": "1.0", "source": "/shop"}).encode())
        telecine.wait_for_job("same")
        database = telecine.database()
        wait_until(lambda: list_jobs(database)[0].duplicates == 4, what=lambda: str(list_jobs(database)))
        assert len(runs.read_text().splitlines()) == 1
        doors = [entry.detail["door"] for entry in timeline_of(database, "same") if entry.event == "duplicate"]
        assert sorted(doors).count("amqp") in (2, 3)
        assert "inbox" in doors

        publish_with_node(rabbitmq, queue, [request | {"data": {"text": "other"}}])
        refused = wait_until(lambda: list_newest(database, limit=1))[0]
        assert refused.code == "id_conflict"
        assert refused.request_id == "same"
        assert list_jobs(database)[0].state is State.COMPLETED
        assert len(runs.read_text().splitlines()) == 1
        assert [entry.event for entry in timeline_of(database, "same")].count("duplicate") == 4


def _check_video(video: bytes, srt: str, folder: Path) -> None:
    path = folder / "result.mp4"
    path.write_bytes(video)
    with av.open(io.BytesIO(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sound.codec_context.name == "aac"
        ends = []
        for stream in (picture, sound):
            assert stream.duration is not None
            assert stream.time_base is not None
            ends.append(float(stream.duration * stream.time_base))
    assert abs(ends[0] - ends[1]) <= 1 / 30
    frames = [pixels for _, _, pixels in frames_of(path)]
    assert len(frames) == round(SECONDS * 30)
    captions = _captions(srt)
    assert [text for _, _, text in captions] == LYRICS.splitlines()
    for start, end, _ in captions:
        assert _yellow(frames[round((start + end) / 2 * 30)]) > 500
    changes = {0} | {n for n in range(1, len(frames)) if not np.array_equal(frames[n], frames[n - 1])}
    # The picture changes exactly at the frames where captions start and end (key frames may re-encode held frames).
    assert {round(start * 30) for start, _, _ in captions} <= changes


def _captions(srt: str) -> list[tuple[float, float, str]]:
    time = r"(\d+):(\d+):(\d+),(\d+)"
    found = re.findall(rf"{time} --> {time}\n(.+)\n", srt)
    return [(_seconds(item[0:4]), _seconds(item[4:8]), item[8]) for item in found]


def _seconds(parts: tuple[str, ...]) -> float:
    hours, minutes, seconds, millis = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def _yellow(pixels: np.ndarray) -> int:
    red, green, blue = (pixels[:, :, channel].astype(int) for channel in range(3))
    return int(((red > 180) & (green > 180) & (blue < 110)).sum())
