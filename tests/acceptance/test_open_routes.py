"""The gateway's models without an agreement with Cococlip: at RunPod's public endpoints and at Replicate."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
import requests

from consumer.ledger import calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.states import CallState, State
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.runpod_public import RunPodPublic
from tests.edge_examples import GATEWAY
from tests.edge_process import EdgeProcess
from tests.media_probe import write_photo, write_wav
from tests.provider_line import ProviderLine
from tests.servers.ministack import Ministack
from tests.servers.s3 import endpoint
from tests.telecine_process import wait_until

_EXAMPLES = {example.name: example for example in GATEWAY}
PORTRAIT, PORTRAIT_1080P = _EXAMPLES["portrait with instructions"], _EXAMPLES["portrait without a prompt"]
MODELS = ("Infinitetalk", "hailuo02standard", "hailuo-02", "runpod-infinitetalk", "p-video-avatar")


class OpenLine(ProviderLine):
    """Telecine with RunPod's public endpoints, Replicate and, unless it is off, Cococlip."""

    def __init__(self, home: Path, runpod: RunPodPublic, **settings: object) -> None:
        quick = {"first_wait_seconds": 0.1, "poll_seconds": 0.1}
        models = json.dumps([{"id": name, **quick} for name in MODELS])
        super().__init__(home, None, **{"models": models, **settings})
        self.runpod = runpod

    def of_job(self, job_id: str) -> list[CallRow]:
        database = self.telecine.database()
        try:
            return calls.of_job(database, job_id)
        finally:
            database.close()

    def job_of_task(self, task: str) -> str:
        database = self.telecine.database()
        try:
            with database.read() as connection:
                rows = connection.exec_driver_sql("select job_id, task from calls where task is not null").all()
            return next(str(row.job_id) for row in rows if json.loads(row.task)["id"] == task)
        finally:
            database.close()


@contextmanager
def opened(home: Path, runpod: RunPodPublic, environment: dict[str, str], **settings: object) -> Iterator[OpenLine]:
    with OpenLine(home, runpod, **settings) as line:
        line.telecine.environment |= environment | {
            "RUNPOD_API_KEY": runpod.key,
            "RUNPOD_ENDPOINT_BASE_URL": runpod.base_url,
        }
        line.telecine.start()
        yield line


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, ministack: Ministack) -> Iterator[OpenLine]:
    """No agreement with Cococlip; results in S3."""
    s3 = endpoint("ministack", ministack)
    s3.client().create_bucket(Bucket="open-routes")
    chosen: dict[str, object] = {
        "storage": "s3",
        "s3_endpoint_url": s3.url,
        "s3_region": s3.region,
        "output": "s3://open-routes/results/",
        "cococlip_base_url": "",
        "budgets": json.dumps({"*": {"usd": 0.65, "period": "ever"}}),
    }
    home = tmp_path_factory.mktemp("open") / "home"
    with RunPodPublic() as runpod, opened(home, runpod, dict(s3.environment), **chosen) as made:
        yield made


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_photo(tmp_path / "portrait.jpg")
    write_wav(tmp_path / "voice.mp3", 2.0)
    return tmp_path


def decoded_frames(url: str) -> int:
    with av.open(io.BytesIO(requests.get(url, timeout=30).content), "r") as film:
        return sum(1 for _ in film.decode(video=0))


def test_the_gateways_portrait_is_made_over_the_open_route_and_costs_what_its_provider_reports(
    line: OpenLine, media: Path
) -> None:
    line.runpod.cost = 0.1234  # not the page's price
    with EdgeProcess(line.telecine) as edge:
        made: dict[str, Any] = edge.run(PORTRAIT, media).json()
        assert (made["status"], made["inference_time"]) == ("COMPLETED", 45678)
        assert decoded_frames(made["url"]) == 24
        task = line.runpod.tasks[made["task_id"]]
        assert task.asked["endpoint"] == "infinitetalk"
        assert task.asked["input"]["size"] == "720p"
        assert task.asked["input"]["image"].startswith("http")
        job_id = line.job_of_task(task.id)
        first, second = line.of_job(job_id)
        assert (first.provider, first.error and first.error.code, first.spent) == (
            "cococlip",
            "provider_not_configured",
            0,
        )
        assert (second.provider, second.reserved, second.spent) == ("runpod-public", 0, 123_400)
        manifest = edge.call("GET", f"/v1/jobs/{job_id}/outputs/manifest.json").json()
        assert (manifest["provider"], manifest["model"]) == ("runpod-public", "runpod-infinitetalk")
        assert manifest["cost"] == {"amount": "0.1234", "currency": "USD"}
        explained = line.telecine.run("explain", job_id).stdout.decode()
        assert "uses the model runpod-infinitetalk of runpod-public" in " ".join(explained.split())
        assert (line.runpod.charges(), line.replicate.charges()) == (1, 0)

        # The budget has room for another one only because the reported cost has replaced the page's price of $0.50.
        made = edge.run(PORTRAIT, media).json()
        assert made["task_id"] in line.runpod.tasks
        # A third one would exceed it. The next route has no price, so that no budget could stop it; the last one has.
        made = edge.run(PORTRAIT, media).json()
        assert line.runpod.tasks[made["task_id"]].asked["endpoint"] != "infinitetalk"
        assert (line.runpod.charges(), line.replicate.charges()) == (3, 0)
        # The route without a price makes what the first one cannot: 1080p.
        made = edge.run(PORTRAIT_1080P, media).json()
        assert decoded_frames(made["url"]) == 24
        asked = line.replicate.tasks[made["task_id"]].asked
        assert (asked["version"], asked["input"]["resolution"]) == ("prunaai/p-video-avatar", "1080p")
        assert asked["input"]["video_prompt"] == "The person is talking."
        assert (line.runpod.charges(), line.replicate.charges()) == (3, 1)


def test_a_certain_refusal_turns_to_the_open_route_and_an_unknown_outcome_does_not(tmp_path: Path) -> None:
    with RunPodPublic() as runpod, opened(tmp_path / "home", runpod, {}) as line:
        line.cococlip.fault(Fault("submit", "reply", status=403, body='{"detail": "the agreement has ended"}'))
        line.film("refused")
        assert line.telecine.wait_for_job("refused").state is State.COMPLETED
        first, second = line.of_job("refused")
        assert (first.state, second.provider, second.model) == (CallState.FAILED, "replicate", "hailuo-02")
        assert (line.cococlip.charges(), line.replicate.charges()) == (0, 1)
        (task,) = line.replicate.tasks.values()
        assert task.asked["input"] == {"prompt": "refused", "duration": 6, "resolution": "768p"}

        line.cococlip.fault(Fault("submit", "drop", accept=True))
        line.film("lost")
        assert line.unknown("lost").provider == "cococlip"

        line.cococlip.plan(Plan("fail", message="no"))
        line.film("failed")
        job = line.telecine.wait_for_job("failed")
        assert job.state is State.FAILED
        wait_until(lambda: len(line.of_job("failed")) == 1)
        assert [len(line.of_job(name)) for name in ("lost", "failed")] == [1, 1]
        assert (line.cococlip.charges(), line.replicate.charges()) == (2, 1)
