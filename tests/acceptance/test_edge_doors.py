"""The HTTP edge in front of the queues: RabbitMQ and SQS, with results in S3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import requests

from consumer.ledger.queries import timeline_of
from tests.acceptance.line import objects_below, telecine_with
from tests.acceptance.test_sqs_line import telecine_on_sqs
from tests.edge_process import EdgeProcess
from tests.media_probe import write_photo, write_wav
from tests.servers.s3 import S3
from tests.servers.sqs import make_queue
from tests.telecine_process import TelecineProcess

SMALL = {"lyrics": "One two", "alignment_mode": "even"}


@pytest.fixture(params=["amqp", "sqs"])
def telecine(
    request: pytest.FixtureRequest, s3: S3, bucket: str, queue_prefix: str, tmp_path: Path
) -> Iterator[TelecineProcess]:
    name, home = f"{queue_prefix}requests", tmp_path / "home"
    if request.param == "amqp":
        made = telecine_with(home, request.getfixturevalue("rabbitmq"), name, s3, bucket)
    else:
        made = telecine_on_sqs(home, s3, make_queue(s3, name), bucket)
    made.environment["TELECINE_EXTENSIONS"] = ""
    with made as process:
        yield process.start()


def test_the_edge_sends_through_the_door(
    telecine: TelecineProcess, s3: S3, bucket: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files = {
        "image": write_photo(tmp_path / "image.jpg").read_bytes(),
        "audio": write_wav(tmp_path / "audio.wav", 1.0).read_bytes(),
    }
    door = request.node.callspec.params["telecine"]
    with EdgeProcess(telecine, extensions="tests.note_pipeline") as edge:
        for _ in range(2):
            answer = edge.call("POST", "/create-video", files=files, data=SMALL, headers={"idempotency-key": "e-1"})
            with av.open(io.BytesIO(answer.content), "r") as film:
                assert len(list(film.decode(video=0))) == 30
        database = telecine.database()
        assert timeline_of(database, "e-1")[0].detail["door"] == door
        database.close()
        assert len(objects_below(s3, bucket, "results/~uploads/e-1/")) == 2
        url = edge.call("GET", "/v1/jobs/e-1").json()["outputs"][0]["url"]
        assert url.startswith(s3.url)
        assert requests.get(url, timeout=30).status_code == 200
        # Of a job type that only the edge knows: the door refuses the request, and the edge repeats the reason.
        refused = edge.call("POST", "/v1/jobs", json={"type": "note", "data": {}})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_type")
        assert edge.call("DELETE", "/jobs/e-1").json()["files_deleted"] >= 4
        assert objects_below(s3, bucket, "results/") == {}


def test_a_queue_that_is_not_reached_is_503(telecine: TelecineProcess, request: pytest.FixtureRequest) -> None:
    closed = {
        "amqp": {"broker_url": "amqp://guest:secret-9@127.0.0.1:1"},
        "sqs": {"sqs_endpoint_url": "http://127.0.0.1:1"},
    }
    door = request.node.callspec.params["telecine"]
    with EdgeProcess(telecine, extensions="tests.note_pipeline", **closed[door]) as edge:
        answer = edge.call("POST", "/v1/jobs", json={"type": "text-to-image", "data": {"prompt": "a cat"}})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["retryable"]) == (503, "not_sent", True)
        assert int(answer.headers["retry-after"]) > 0
        assert "secret-9" not in answer.text
        assert edge.call("GET", "/v1/jobs").json() == {"jobs": []}
