"""Files of this machine as inputs, in embedded mode, with doubles of the providers: every reader of a reference."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.calls.engine import CallEngine
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.schema import migrate
from consumer.ledger.states import State
from consumer.wiring import admission_policy, build_runtime
from pipelines.registry import PIPELINES
from tests.call_line import Line
from tests.doubles.cococlip import Cococlip
from tests.doubles.elevenlabs import ElevenLabs
from tests.doubles.pika import Pika
from tests.doubles.replicate import Replicate
from tests.doubles.runpod import RunPod
from tests.ledger_views import Ledger
from tests.media_probe import write_photo, write_wav

LYRICS = "la la la la"


class Deployment(Line):
    """One machine in embedded mode, with a key of every provider. The engine opens the real adapters."""

    def __init__(self, home: Path, doubles: ExitStack, **settings: Any) -> None:
        self.elevenlabs, self.pika = doubles.enter_context(ElevenLabs()), doubles.enter_context(Pika())
        self.replicate, self.runpod = doubles.enter_context(Replicate()), doubles.enter_context(RunPod())
        self.cococlip = doubles.enter_context(Cococlip())
        database = Database(f"sqlite:///{home / 'ledger.sqlite3'}")
        migrate(database)
        doubles.callback(database.close)
        quick = {"first_wait_seconds": 0.05, "poll_seconds": 0.05}
        models = [{"id": name, **quick} for name in ("pika", "clip-interrogator", "runpod-reel")]
        hosts = [double.host for double in self.doubles] + [double.result_host for double in self.doubles]
        keys: dict[str, Any] = {
            "elevenlabs_base_url": self.elevenlabs.url,
            "elevenlabs_key": self.elevenlabs.key,
            "pika_base_url": self.pika.url,
            "pika_token": self.pika.key,
            "replicate_base_url": self.replicate.url,
            "replicate_token": self.replicate.key,
            "runpod_base_url": self.runpod.base_url,
            "runpod_api_key": self.runpod.key,
            "runpod_endpoint_id": self.runpod.endpoint,
            "cococlip_base_url": self.cococlip.url,
            "cococlip_auth_header": f"x-cococlip-key: {self.cococlip.key}",
            "allowed_private_hosts": hosts,
            "models": models,
        }
        super().__init__(Ledger(database, database), home, **keys | settings)
        made = build_runtime(self.runtime.settings, pipelines=PIPELINES)
        self.runtime.close()
        self.runtime = made

    @property
    def doubles(self) -> tuple[Any, ...]:
        return self.elevenlabs, self.pika, self.replicate, self.runpod, self.cococlip

    def charges(self) -> int:
        return sum(double.charges() for double in self.doubles)

    def start(self, *, missing: str = "") -> None:
        engine = CallEngine(self.runtime, self._woken)
        self.engine = engine
        self._thread = threading.Thread(target=engine.run, daemon=True)
        self._thread.start()

    def run(self, job_type: str, **data: Any) -> Job:
        """Run a job until it has ended."""
        body = json.dumps({"id": "j", "type": job_type, "data": data}).encode()
        (answer,) = BatchAdmitter(self.runtime.database, admission_policy(self.runtime))(
            [IncomingMessage(body, "test", "q")]
        )
        assert answer.error is None, answer.error
        self.start()
        self.until(lambda: self.advance() in (State.COMPLETED, State.FAILED))
        return self.job()


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    with ExitStack() as stack:

        def deploy(**settings: Any) -> Deployment:
            made = Deployment(tmp_path, stack, **settings)
            stack.callback(made.close)
            return made

        (tmp_path / "media").mkdir()
        write_wav(tmp_path / "media" / "my song.wav", 1.0)
        write_photo(tmp_path / "media" / "cover.png", 64, 64)
        yield deploy


def media(deployment: Deployment, form: str = "file://{}") -> dict[str, str]:
    """Return the references of an image and a song in the media folder."""
    folder = deployment.runtime.settings.home.absolute() / "media"
    names = {"image": folder / "cover.png", "audio": folder / "my song.wav"}
    return {name: form.format(path.as_uri().removeprefix("file://")) for name, path in names.items()}


@pytest.mark.parametrize(
    "form", ["file://{}", "file://localhost{}", "FILE://{}"], ids=["F0-plain", "F0-host", "F0-case"]
)
def test_a_default_reel_of_local_files_is_aligned_by_the_provider(
    deployed: Callable[..., Deployment], form: str
) -> None:
    deployment = deployed()
    job = deployment.run("reel", **media(deployment, form), lyrics=LYRICS, width=128, height=128)
    assert job.state is State.COMPLETED, job.error
    assert deployment.elevenlabs.charges() == 1
    manifest = json.loads((deployment.runtime.settings.storage_folder / "results" / "j" / "manifest.json").read_text())
    assert manifest["details"]["alignment"] == {"mode": "auto", "used": "forced_alignment"}


def test_a_local_file_is_transcribed_F0(deployed: Callable[..., Deployment]) -> None:
    deployment = deployed()
    job = deployment.run("audio-to-captions", audio=media(deployment)["audio"], alignment_mode="elevenlabs")
    assert (job.state, deployment.elevenlabs.charges()) == (State.COMPLETED, 1), job.error


@pytest.mark.parametrize(
    ("job_type", "data", "provider", "field"),
    [
        pytest.param("image-to-video", {"model": "pika"}, "replicate", "data.image", id="F0-prompt-for-pika"),
        pytest.param("image-to-video", {"model": "pika", "prompt": "a"}, "pika", "data.image", id="F0-pika"),
        pytest.param("image-to-prompt", {}, "replicate", "data.image", id="F0-replicate"),
        pytest.param("audio-to-video", {"model": "infinitetalk"}, "cococlip", "data.image", id="F0-cococlip"),
        pytest.param("reel", {"renderer": "runpod", "lyrics": LYRICS}, "runpod", "data.image", id="F0-runpod"),
    ],
)
@pytest.mark.parametrize("in_storage", [False, True], ids=["file", "folder-storage"])
def test_a_provider_that_reads_urls_refuses_a_local_file_before_anything_is_paid(
    deployed: Callable[..., Deployment],
    job_type: str,
    data: dict[str, Any],
    provider: str,
    field: str,
    in_storage: bool,
) -> None:
    deployment = deployed()
    files = media(deployment)
    if in_storage:
        home = deployment.runtime.settings.home
        deployment.runtime.settings.storage_folder.mkdir(exist_ok=True)
        (home / "media").rename(deployment.runtime.settings.storage_folder / "inbox")
        files = {"image": "s3://inbox/cover.png", "audio": "s3://inbox/my song.wav"}
    if job_type in ("image-to-video", "image-to-prompt"):
        del files["audio"]
    job = deployment.run(job_type, **files, **data)
    error = job.error or {}
    assert (job.state, error["code"], error["field"]) == (State.FAILED, "provider_refused", field)
    assert f"{provider} cannot read a file on this machine" in error["message"]
    assert deployment.charges() == 0
