"""Stories with a reference, end to end: the hero that one job generates is the reference of the next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from consumer.doors.drop import drop
from consumer.ledger.dead_letters import list_newest
from consumer.ledger.states import State
from tests.local.catalogue_entries import entries
from tests.local.test_local_pipelines import frames_of
from tests.local.test_reference import HERO, STORY, entry, same
from tests.telecine_process import TelecineProcess, wait_until


@pytest.fixture(name="telecine")
def _telecine(tmp_path: Path, weights: Path) -> Iterator[TelecineProcess]:
    models = json.dumps([*entries(weights), entry(weights)])
    process = TelecineProcess(tmp_path / "home", models=models, local_threads=1, local_device="cpu")
    process.environment["HF_HUB_OFFLINE"] = "1"
    with process:
        yield process.start()


def story(telecine: TelecineProcess, job_id: str, **data: Any) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return the completed job's files by name, and its manifest."""
    telecine.submit({"id": job_id, "type": "story-to-video", "data": {**STORY, "hero_description": HERO, **data}})
    job = telecine.wait_for_job(job_id, timeout=120)
    assert job.state is State.COMPLETED, job.error
    folder = next(telecine.home.rglob(f"{job_id}/manifest.json")).parent
    return {path.name: path for path in folder.iterdir()}, json.loads((folder / "manifest.json").read_text())


def test_the_hero_of_one_story_is_given_to_the_next(telecine: TelecineProcess) -> None:
    files, manifest = story(telecine, "first")
    assert set(files) == {"video.mp4", "hero.png", "manifest.json"}
    assert [artifact["name"] for artifact in manifest["artifacts"]] == ["video.mp4", "hero.png"]
    told = manifest["details"]["reference"]
    assert (told["hero"], told["hero_seed"], manifest["seed"]) == ("made", 5, 5)
    with Image.open(files["hero.png"]) as hero:
        assert hero.size == (64, 64)
    media = telecine.home / "media"
    media.mkdir(exist_ok=True)
    (media / "hero.png").write_bytes(files["hero.png"].read_bytes())
    again, manifest = story(telecine, "second", hero_image=(media / "hero.png").as_uri())
    assert set(again) == {"video.mp4", "manifest.json"}
    assert manifest["details"]["reference"]["hero"] == "given"
    assert same(frames_of(files["video.mp4"]), frames_of(again["video.mp4"]))


def test_a_story_with_a_model_that_has_no_adapter_is_refused_at_the_door(telecine: TelecineProcess) -> None:
    data = {**STORY, "hero_description": HERO, "model": "demo-shapes"}
    request = json.dumps({"id": "third", "type": "story-to-video", "data": data})
    # Not with `telecine submit`, which would refuse it by itself.
    drop(telecine.settings.inbox_folder, request.encode())
    database = telecine.database()
    (letter,) = wait_until(lambda: list_newest(database, limit=1))
    database.close()
    assert letter.code == "unsupported_option"
    assert "demo-shapes cannot use an image of the hero" in letter.message
