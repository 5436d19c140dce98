"""Missing components, weights and API keys: what the error says and which command helps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.memory_context import RecordedCall
from providers.local.host import ModelHost, host_for
from providers.registry import catalogue_of
from schemas.errors import InvalidWeights, ModelNotInstalled, ProviderNotConfigured
from schemas.settings import Settings
from tests.local.test_local_pipelines import FILM, IMAGE, Stage


def set_source(stage: Stage, name: str, source: Path, **weights: object) -> None:
    """Point the entry's weights to ``source``."""
    entry = {"id": name, "weights": {"source": str(source), **weights}}
    stage.context.catalogue = stage.context.catalogue.with_entries([entry])


def without_weights(tmp_path: Path, weights: Path, kind: str) -> Stage:
    """Return a worker with the built-in catalogue and no weights except the demonstration models'."""
    stage = Stage(tmp_path, weights, host_for(Settings(local_models=tmp_path / "models", local_device="cpu")), kind)
    stage.context.catalogue = catalogue_of(Settings())
    return stage


def test_no_download_is_suggested_for_weights_that_no_pipeline_can_load(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    with pytest.raises(ModelNotInstalled, match="no release of diffusers has a pipeline for hpcai-tech") as caught:
        Stage(tmp_path, weights, host, "text-to-video").run(model="opensora", prompt="a fox", **FILM)
    assert "models pull" not in caught.value.message


@pytest.mark.parametrize("preferred", ["", "opensora"])
def test_where_no_backend_is_installed_the_command_brings_one_that_works(
    tmp_path: Path, weights: Path, preferred: str
) -> None:
    stage = without_weights(tmp_path, weights, "text-to-video")
    with pytest.raises(ModelNotInstalled, match="no backend for text-to-video has weights on this worker") as caught:
        stage.run(model="auto", prompt="a fox", prefer_backend=preferred, **FILM)
    assert caught.value.message.endswith("download them with: telecine models pull wan")


def test_a_missing_ranker_is_downloaded_with_its_model(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-prompt")
    set_source(stage, "clip-interrogator/local", weights / "blip", ranker="openai/clip-vit-large-patch14")
    with pytest.raises(ModelNotInstalled, match="telecine models pull clip-interrogator/local"):
        stage.run(image=IMAGE, model="clip-interrogator/local")


def test_a_part_that_a_download_left_out_is_named(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    half = Path(shutil.copytree(weights / "wan-i2v", tmp_path / "half"))
    shutil.rmtree(half / "vae")
    stage = Stage(tmp_path, weights, host, "image-to-video")
    set_source(stage, "wan", half)
    with pytest.raises(InvalidWeights, match=r"half lacks vae, named in its model_index\.json; download it again"):
        stage.run(image=IMAGE, model="wan", prompt="it runs", **FILM)


def test_a_captioner_that_cannot_be_loaded_says_why(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    half = Path(shutil.copytree(weights / "blip", tmp_path / "half"))
    (half / "config.json").write_text("{")
    stage = Stage(tmp_path, weights, host, "image-to-prompt")
    set_source(stage, "clip-interrogator/local", half)
    with pytest.raises(InvalidWeights, match=r"half cannot be loaded: OSError: .*config\.json.* not a valid JSON file"):
        stage.run(image=IMAGE, model="clip-interrogator/local")


def test_what_fits_worst_is_asked_of_no_captioner_without_a_ranker(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = Stage(tmp_path, weights, host, "image-to-prompt")
    error = stage.refusal(image=IMAGE, model="demo-captioner", mode="negative")
    assert error.message == "data.mode: must be one of best, fast, classic for demo-captioner"
    set_source(stage, "clip-interrogator/local", weights / "blip", ranker=None)
    error = stage.refusal(image=IMAGE, model="clip-interrogator/local", mode="negative")
    assert (error.code, error.field) == ("unsupported_option", "data.mode")


def test_without_a_key_for_replicate_the_prompt_for_pika_is_written_here(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    film = tmp_path / "pika.mp4"
    film.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")

    def animated(asked: RecordedCall) -> Path:
        return film

    made = Stage(tmp_path, weights, host, "image-to-video", answers={"pika": animated})
    assert [artifact.name for artifact in made.run(image=IMAGE)] == ["video.mp4", "prompt.txt"]
    words = (tmp_path / "prompt.txt").read_text().strip()
    assert [(asked.model.id, asked.parameters["prompt"]) for asked in made.context.calls] == [("pika", words)]
    no_provider = without_weights(tmp_path, weights, "image-to-video")
    no_provider.context.answers = {"pika": animated}
    with pytest.raises(ProviderNotConfigured):
        no_provider.run(image=IMAGE)
