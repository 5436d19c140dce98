"""Files of this machine as inputs, in embedded mode, with doubles of the providers: every reader of a reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consumer.ledger.states import State
from tests.embedded_deployment import EmbeddedDeployment
from tests.media_probe import write_photo, write_wav

Deploy = Callable[..., EmbeddedDeployment]
LYRICS = "la la la la"


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deploy]:
    with ExitStack() as stack:

        def deploy(**settings: Any) -> EmbeddedDeployment:
            made = EmbeddedDeployment(tmp_path, stack, **settings)
            stack.callback(made.close)
            return made

        (tmp_path / "media").mkdir()
        write_wav(tmp_path / "media" / "my song.wav", 1.0)
        write_photo(tmp_path / "media" / "cover.png", 64, 64)
        yield deploy


def media(deployment: EmbeddedDeployment, form: str = "file://{}") -> dict[str, str]:
    """Return the references of an image and a song in the media folder."""
    folder = deployment.runtime.settings.home.absolute() / "media"
    names = {"image": folder / "cover.png", "audio": folder / "my song.wav"}
    return {name: form.format(path.as_uri().removeprefix("file://")) for name, path in names.items()}


@pytest.mark.parametrize(
    "form", ["file://{}", "file://localhost{}", "FILE://{}"], ids=["F0-plain", "F0-host", "F0-case"]
)
def test_a_default_reel_of_local_files_is_aligned_by_the_provider(deployed: Deploy, form: str) -> None:
    deployment = deployed()
    job = deployment.run("reel", **media(deployment, form), lyrics=LYRICS, width=128, height=128)
    assert job.state is State.COMPLETED, job.error
    assert deployment.elevenlabs.charges() == 1
    manifest = json.loads((deployment.runtime.settings.storage_folder / "results" / "j" / "manifest.json").read_text())
    assert manifest["details"]["alignment"] == {"mode": "auto", "used": "forced_alignment"}


def test_a_local_file_is_transcribed_F0(deployed: Deploy) -> None:
    deployment = deployed()
    job = deployment.run("audio-to-captions", audio=media(deployment)["audio"], alignment_mode="elevenlabs")
    assert (job.state, deployment.elevenlabs.charges()) == (State.COMPLETED, 1), job.error


@pytest.mark.parametrize(
    ("job_type", "data", "provider", "field"),
    [
        pytest.param("image-to-video", {"model": "pika"}, "replicate", "data.image", id="F0-prompt-for-pika"),
        pytest.param("image-to-video", {"model": "pika", "prompt": "a"}, "pika", "data.image", id="F0-pika"),
        pytest.param("image-to-prompt", {}, "replicate", "data.image", id="F0-replicate"),
        pytest.param(
            "audio-to-video", {"model": "infinitetalk"}, "runpod-public", "data.image", id="F0-route-of-cococlip"
        ),
        pytest.param("reel", {"renderer": "runpod", "lyrics": LYRICS}, "runpod", "data.image", id="F0-runpod"),
    ],
)
@pytest.mark.parametrize("in_storage", [False, True], ids=["file", "folder-storage"])
def test_a_provider_that_reads_urls_refuses_a_local_file_before_anything_is_paid(
    deployed: Deploy,
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
