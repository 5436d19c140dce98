"""The three ways to add a model, run as their page prints them."""

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

from consumer.doors.inbox import drop
from consumer.ledger import calls
from consumer.ledger.states import CallState, State
from providers.catalogue import Model, Parameter
from providers.http.policy import Policy
from providers.registry import open_provider
from providers.weights import Weights
from schemas.errors import ProviderError
from schemas.settings import Settings
from tests.acceptance.desk import PAGE, Desk, frames
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

#: Builds the weights in a process of their own: torch does not belong into one that starts others.
TINY = """
import sys; from pathlib import Path; from tests.local import tiny_models
folder = Path(sys.argv[1])
tiny_models.stable_diffusion().save_pretrained(folder / "house-style")
tiny_models.wan().save_pretrained(folder / "house-film")
tiny_models.save_blip(folder / "house-words")
"""
ONE_THREAD = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def test_a_film_of_a_model_that_only_the_settings_file_knows(tmp_path: Path) -> None:
    with Replicate(key="your-token", work_seconds=1) as replicate:
        desk = Desk(tmp_path, "replicate", REPLICATE_API_TOKEN=replicate.key, REPLICATE_BASE_URL=replicate.url)
        with desk.start():
            desk.session("replicate")
            assert len(frames(desk.done("film-1")["video.mp4"])) == 24
            desk.ask("film-2", "text-to-video", model="seedance-lite", prompt="a boat", aspect_ratio="9:16")
            assert desk.refusal("film-2") == "invalid_field"
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


def seen_by(double: Double, provider: str, remote: str, job_type: str, **settings: Any) -> Seen:
    """The submission of an entry with this ``remote``, as the vendor's double gets it; most know no such model."""
    takes = {"prompt": Parameter(), "shutter": Parameter()}
    model = Model(id="mine", provider=provider, types=(job_type,), remote=remote, parameters=takes)
    inputs = {"image": media("in.png", "image/png")} if job_type == "image-to-video" else {}
    policy = Policy(allowed_hosts=frozenset({double.host}))
    with double:
        adapter = open_provider(provider, Settings(**settings), policy)

        async def send(vendor: Any) -> None:
            try:
                await vendor.submit(call_of(model, {"prompt": "a boat", "shutter": "slow"}, inputs))
            except ProviderError:
                return

        asyncio.run(closing(adapter, send))
        return double.requests[-1][1]


def test_remote_of_an_entry_is_what_the_table_says() -> None:
    cococlip, imagine, pika, runpod = Cococlip(), Imagine(), Pika(), RunPod()
    told = seen_by(
        cococlip, "cococlip", "text2video/new9", "text-to-video",
        cococlip_base_url=cococlip.url, cococlip_auth_header=f"x-cococlip-key: {cococlip.key}",
    )  # fmt: skip
    assert (told.path, told.json()) == ("/v3/text2video/new9", {"prompt": "a boat", "shutter": "slow"})
    told = seen_by(
        imagine, "imagine", "new-style", "text-to-video", imagine_api_key=imagine.key, imagine_base_url=imagine.url
    )
    assert told.parts() == {"prompt": b"a boat", "style": b"new-style"}
    told = seen_by(pika, "pika", "2.1", "image-to-video", pika_token=pika.key, pika_base_url=pika.url)
    assert told.json()["model"] == "2.1"
    told = seen_by(
        runpod, "runpod", "other", "text-to-video", runpod_api_key=runpod.key, runpod_base_url=f"{runpod.url}/v2"
    )
    assert told.path == "/v2/other/run"
    assert told.json()["input"]["parameters"] == {"prompt": "a boat", "shutter": "slow"}


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
    desk = Desk(tmp_path, "local", TELECINE_LOCAL_THREADS="1", **ONE_THREAD)
    with desk.start():
        desk.session("local")
        files = desk.done("picture-1")
        assert Image.open(io.BytesIO(files["image.png"])).size == (256, 192)
        assert json.loads(files["manifest.json"])["model"] == "house-style"
        film = {"width": 264, "height": 256, "num_frames": 10, "parameters": {"num_inference_steps": 2}}
        desk.ask("film-1", "text-to-video", model="house-film", prompt="a fox", **film)
        assert frames(desk.done("film-1")["video.mp4"]) == [(264, 256)] * 10
        write_photo(desk.telecine.settings.storage_folder / "inbox" / "cover.png")
        desk.ask("words-1", "image-to-prompt", model="house-words", image="s3://inbox/cover.png")
        assert desk.done("words-1")["prompt.txt"].strip()


@pytest.fixture
def aurora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, Double]]:
    """The page's vendor, its double and its settings. Telecine is not started."""
    desk = Desk(tmp_path, "aurora")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("aurora", "test_aurora"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("providers.registry.add_provider", lambda *parts: None)  # only the child process has it
    spec = importlib.util.spec_from_file_location("test_aurora", tmp_path / "test_aurora.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.AuroraDouble(key="your-key", work_seconds=1) as double:
        desk.environment["TELECINE_PROVIDERS"] = json.dumps({"aurora": {"base_url": double.url}})
        with desk.telecine:
            yield desk, double
    monkeypatch.delitem(sys.modules, "aurora", raising=False)


def test_a_film_of_a_vendor_that_a_file_brings(aurora: tuple[Desk, Double]) -> None:
    desk, double = aurora
    desk.start()
    desk.session("aurora")
    assert len(frames(desk.done("kite-1")["video.mp4"])) == 24
    (task,) = double.tasks.values()
    assert task.asked == {
        "model": "aurora-2",
        "reference": task.ref,
        "prompt": "A red kite over dunes",
        "duration": 8,
    }


def test_the_tests_that_the_page_prints_pass(aurora: tuple[Desk, Double]) -> None:
    desk, _ = aurora
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "test_aurora.py"],
        cwd=desk.folder,
        env={**os.environ, "PYTHONPATH": desk.environment["PYTHONPATH"]},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def killed_at(desk: Desk, point: str) -> None:
    """Asks for the page's film; Telecine kills itself at the point, and is started again."""
    marker = desk.folder / "killed"
    drop(desk.telecine.settings.inbox_folder, (desk.folder / "kite.json").read_bytes())
    desk.start(TELECINE_FAILPOINT=f"{point}:kill", TELECINE_FAILPOINT_ONCE=str(marker))
    desk.telecine.wait_for_death()
    assert marker.exists(), "the process died before it came to the failpoint"
    desk.start()


@pytest.mark.parametrize("point", ["call.intended", "call.accepted", "call.recorded"])
def test_killed_around_the_submission_the_film_is_charged_once(point: str, aurora: tuple[Desk, Double]) -> None:
    desk, double = aurora
    killed_at(desk, point)
    assert "video.mp4" in desk.done("kite-1")
    assert double.charges() == double.count("submit") == 1


@pytest.mark.parametrize(("point", "charges"), [("call.intended", 0), ("call.accepted", 1)])
def test_without_a_list_to_look_in_the_outcome_is_unknown_and_nothing_is_sent_again(
    point: str, charges: int, aurora: tuple[Desk, Double]
) -> None:
    desk, double = aurora
    file = desk.folder / "aurora.py"
    file.write_text(file.read_text().replace("can_find = True", "can_find = False"))
    killed_at(desk, point)
    database = desk.telecine.database()
    wait_until(lambda: [row.state for row in calls.of_job(database, "kite-1")] == [CallState.UNKNOWN])
    database.close()
    assert "It is unknown whether aurora accepted" in desk.run("explain", "kite-1")
    desk.run("resolve", "kite-1", "--fail")
    job = desk.telecine.wait_for_job("kite-1")
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "outcome_unknown")
    assert double.charges() == charges
