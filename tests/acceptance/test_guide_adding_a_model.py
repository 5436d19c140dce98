"""The three ways to add a model, run exactly as the page prints them."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from consumer.doors.drop import drop
from consumer.ledger import calls
from consumer.ledger.states import CallState, State
from providers.catalogue import Model, Parameter
from providers.http.policy import Policy
from providers.registry import open_provider
from providers.weights import Weights
from schemas.errors import ProviderError
from schemas.settings import Settings
from tests.acceptance.guide_project import PAGE, GuideProject, frames
from tests.doubles.calls import call_of, closing, media
from tests.doubles.cococlip import Cococlip
from tests.doubles.double import Double
from tests.doubles.imagine import Imagine
from tests.doubles.pika import Pika
from tests.doubles.replicate import Replicate
from tests.doubles.runpod import RunPod
from tests.doubles.server import Seen
from tests.media_probe import write_photo
from tests.pages import ROOT
from tests.telecine_process import wait_until

#: Builds the weights in a separate process, because torch must not be loaded in one that forks.
TINY = """
import sys; from pathlib import Path; from tests.local import tiny_models
folder = Path(sys.argv[1])
tiny_models.stable_diffusion().save_pretrained(folder / "house-style")
tiny_models.wan().save_pretrained(folder / "house-film")
tiny_models.save_blip(folder / "house-words")
"""
ONE_THREAD = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def test_a_film_of_a_model_from_the_settings_file(tmp_path: Path) -> None:
    with Replicate(key="your-token", work_seconds=1) as replicate:
        project = GuideProject(
            tmp_path, "replicate", REPLICATE_API_TOKEN=replicate.key, REPLICATE_BASE_URL=replicate.url
        )
        with project.start():
            project.run_sessions("replicate")
            assert len(frames(project.wait_for_files("film-1")["video.mp4"])) == 24
            project.ask("film-2", "text-to-video", model="seedance-lite", prompt="a boat", aspect_ratio="9:16")
            assert project.rejection_code("film-2") == "invalid_field"
        (task,) = replicate.tasks.values()
        asked = {name: value for name, value in task.asked["input"].items() if name != "seed"}
        assert task.asked["version"] == "bytedance/seedance-1-lite"
        assert asked == {
            "prompt": "A paper boat drifts down a stream",
            "duration": 5,
            "resolution": "720p",
            "camera_fixed": True,
            "fps": 24,
        }


def submitted_to(double: Double, provider: str, remote: str, job_type: str, **settings: Any) -> Seen:
    """Submit a model entry with this ``remote``; return the request that the provider's double got.

    Most doubles reject the model as unknown.
    """
    takes = {"prompt": Parameter(), "shutter": Parameter()}
    model = Model(id="mine", provider=provider, types=(job_type,), remote=remote, parameters=takes)
    inputs = {"image": media("in.png", "image/png")} if job_type == "image-to-video" else {}
    policy = Policy(allowed_hosts=frozenset({double.host}))
    with double:
        adapter = open_provider(provider, Settings(**settings), policy)

        async def send(provider: Any) -> None:
            try:
                await provider.submit(call_of(model, {"prompt": "a boat", "shutter": "slow"}, inputs))
            except ProviderError:
                return

        asyncio.run(closing(adapter, send))
        return double.requests[-1][1]


def test_remote_of_an_entry_is_what_the_table_describes() -> None:
    cococlip, imagine, pika, runpod = Cococlip(), Imagine(), Pika(), RunPod()
    sent = submitted_to(
        cococlip,
        "cococlip",
        "text2video/new9",
        "text-to-video",
        cococlip_base_url=cococlip.url,
        cococlip_auth_header=f"x-cococlip-key: {cococlip.key}",
    )
    assert (sent.path, sent.json()) == ("/v3/text2video/new9", {"prompt": "a boat", "shutter": "slow"})
    sent = submitted_to(
        imagine, "imagine", "new-style", "text-to-video", imagine_api_key=imagine.key, imagine_base_url=imagine.url
    )
    assert sent.parts() == {"prompt": b"a boat", "style": b"new-style"}
    sent = submitted_to(pika, "pika", "2.1", "image-to-video", pika_token=pika.key, pika_base_url=pika.url)
    assert sent.json()["model"] == "2.1"
    sent = submitted_to(
        runpod, "runpod", "other", "text-to-video", runpod_api_key=runpod.key, runpod_base_url=f"{runpod.url}/v2"
    )
    assert sent.path == "/v2/other/run"
    assert sent.json()["input"]["parameters"] == {"prompt": "a boat", "shutter": "slow"}


def test_the_tables_name_every_field_of_an_entry() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert set(Model.model_fields) <= named
    assert set(Weights.model_fields) - {"family", "source"} <= named
    limits = set(Parameter.model_fields) - {"description"}
    assert {name for name in limits if f"`{name}`" not in text} == set()


def test_pictures_films_and_descriptions_of_weights_in_a_folder(tmp_path: Path) -> None:
    environment = {**os.environ, **ONE_THREAD}
    models = tmp_path / "telecine-data" / "models"
    subprocess.run([sys.executable, "-c", TINY, str(models)], cwd=ROOT, env=environment, check=True, timeout=200)
    project = GuideProject(tmp_path, "local", TELECINE_LOCAL_THREADS="1", **ONE_THREAD)
    with project.start():
        project.run_sessions("local")
        files = project.wait_for_files("picture-1")
        assert Image.open(io.BytesIO(files["image.png"])).size == (256, 192)
        assert json.loads(files["manifest.json"])["model"] == "house-style"
        film = {"width": 264, "height": 256, "num_frames": 10, "parameters": {"num_inference_steps": 2}}
        project.ask("film-1", "text-to-video", model="house-film", prompt="a fox", **film)
        assert frames(project.wait_for_files("film-1")["video.mp4"]) == [(264, 256)] * 10
        write_photo(project.telecine.settings.storage_folder / "inbox" / "cover.png")
        project.ask("words-1", "image-to-prompt", model="house-words", image="s3://inbox/cover.png")
        assert project.wait_for_files("words-1")["prompt.txt"].strip()


@pytest.fixture
def aurora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[GuideProject, Double]]:
    """Return the project with the page's provider, and its double. Telecine is not started."""
    project = GuideProject(tmp_path, "aurora")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("aurora", "test_aurora"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("providers.registry.add_provider", lambda *parts: None)  # only the child process registers it
    spec = importlib.util.spec_from_file_location("test_aurora", tmp_path / "test_aurora.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.AuroraDouble(key="your-key", work_seconds=1) as double:
        project.environment["TELECINE_PROVIDERS"] = json.dumps({"aurora": {"base_url": double.url}})
        with project.telecine:
            yield project, double
    monkeypatch.delitem(sys.modules, "aurora", raising=False)


def test_a_film_of_a_provider_that_a_file_adds(aurora: tuple[GuideProject, Double]) -> None:
    project, double = aurora
    project.start()
    project.run_sessions("aurora")
    assert len(frames(project.wait_for_files("kite-1")["video.mp4"])) == 24
    (task,) = double.tasks.values()
    assert task.asked == {
        "model": "aurora-2",
        "reference": task.ref,
        "prompt": "A red kite over dunes",
        "duration": 8,
    }


def test_the_tests_that_the_page_prints_pass(aurora: tuple[GuideProject, Double]) -> None:
    project, _ = aurora
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "test_aurora.py"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": project.environment["PYTHONPATH"]},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def kill_and_restart(project: GuideProject, point: str) -> None:
    """Request the page's film from a Telecine that kills itself at the failpoint, and restart it."""
    marker = project.folder / "killed"
    drop(project.telecine.settings.inbox_folder, (project.folder / "kite.json").read_bytes())
    project.start(TELECINE_FAILPOINT=f"{point}:kill", TELECINE_FAILPOINT_ONCE=str(marker))
    project.telecine.wait_for_death()
    assert marker.exists(), "the process died before it reached the failpoint"
    project.start()


@pytest.mark.parametrize("point", ["call.intended", "call.accepted", "call.recorded"])
def test_killed_around_the_submission_the_film_is_charged_once(point: str, aurora: tuple[GuideProject, Double]) -> None:
    project, double = aurora
    kill_and_restart(project, point)
    assert "video.mp4" in project.wait_for_files("kite-1")
    assert double.charges() == double.count("submit") == 1


@pytest.mark.parametrize(("point", "charges"), [("call.intended", 0), ("call.accepted", 1)])
def test_without_find_the_outcome_is_unknown_and_the_call_is_not_repeated(
    point: str, charges: int, aurora: tuple[GuideProject, Double]
) -> None:
    project, double = aurora
    file = project.folder / "aurora.py"
    file.write_text(file.read_text().replace("can_find = True", "can_find = False"))
    kill_and_restart(project, point)
    database = project.telecine.database()
    wait_until(lambda: [row.state for row in calls.of_job(database, "kite-1")] == [CallState.UNKNOWN])
    database.close()
    assert "It is unknown whether aurora accepted" in project.run("explain", "kite-1")
    project.run("resolve", "kite-1", "--fail")
    job = project.telecine.wait_for_job("kite-1")
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "outcome_unknown")
    assert double.charges() == charges
