"""Stories with a reference image of the hero, supplied with the request or generated from the description."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pipelines.registry import PIPELINES
from providers.catalogue import Catalogue, Model
from providers.local.base import LocalCall
from providers.local.host import ModelHost, host_for
from providers.local.weight_files import find_adapter
from providers.registry import catalogue_of
from schemas.errors import ConfigurationError, InvalidImage, InvalidWeights, JobCancelled, ModelNotInstalled
from schemas.settings import Settings
from tests.local import tiny_models
from tests.local.catalogue_entries import catalogue
from tests.local.test_local_pipelines import IMAGE, Stage, frames_of

ABLE, LARGE = "stable-diffusion-v1-5", "stable-diffusion-xl"
OTHER = "s3://inbox/other.png"
STORY: dict[str, Any] = {
    "scenes": ["on a hill", "by the sea", "in a house"],
    "num_inference_steps": 10,
    "duration_per_scene": 0.25,
    "fps": 4,
    "width": 64,
    "height": 64,
    "transition_frames": 0,
    "seed": 5,
    "model": ABLE,
    "consistency": "reference",
}
HERO = "a fox in a red coat"


def entry(weights: Path, name: str = ABLE, **adapter: Any) -> dict[str, Any]:
    """Return the catalogue entry of a tiny model with a tiny adapter."""
    kind = "-xl" if name == LARGE else ""
    given = {"source": str(weights / f"adapter{kind}"), "subfolder": "models", "weight_name": "ip-adapter.safetensors"}
    own = {"source": str(weights / f"pictures{kind}"), "need_gb": None, "low_need_gb": None, "steps": 2}
    return {"id": name, "weights": {**own, "adapter": {**given, **adapter}}}


def with_adapters(weights: Path, **adapter: Any) -> Catalogue:
    """Return the catalogue with tiny models, two of them with adapters."""
    return catalogue(weights).with_entries([entry(weights, **adapter), entry(weights, LARGE, **adapter)])


def on_stage(folder: Path, weights: Path, host: ModelHost, **adapter: Any) -> Stage:
    folder.mkdir(exist_ok=True)
    stage = Stage(folder, weights, host, "story-to-video")
    Image.effect_noise((64, 64), 90).save(folder / "other.png")
    stage.context.files = {**stage.context.files, OTHER: folder / "other.png"}
    stage.context.catalogue = with_adapters(weights, **adapter)
    return stage


def scenes_of(stage: Stage, **data: Any) -> list[Any]:
    """Return the first frame of every scene."""
    stage.run(**{**STORY, **data})
    return frames_of(stage.context.folder / "video.mp4")


def all_differ(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Return whether all images differ by more than the encoding's error."""
    return all(difference(a, b) > 2 for a, b in zip(first, second, strict=True))


def ignore_progress(part: float) -> None:
    """Ignore progress."""


def images_of(host: ModelHost, model: Model, image: Path | None = None, **parameters: Any) -> list[Any]:
    """Return the model's images for three prompts, with ``image`` as reference if given."""
    looking = {} if image is None else {"consistency": "reference"}
    call = LocalCall(
        prompts=("a fox", "a hill", "the sea"),
        seeds=(1, 2, 3),
        width=64,
        height=64,
        image=image,
        parameters={"num_inference_steps": 2, **looking, **parameters},
    )
    return list(host.run(model, call, ignore_progress).images)


def same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def difference(one: Any, other: Any) -> float:
    """Return by how much two frames differ; the same ones may a little, as MKL may round otherwise on a busy CPU."""
    return float(np.abs(one.astype(int) - other).mean())


def nearly_same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Return whether all frames are the same but for the last bit."""
    return all(difference(a, b) < 0.25 for a, b in zip(first, second, strict=True))


@pytest.fixture(name="hero")
def _hero(tmp_path: Path) -> Path:
    path = tmp_path / "hero.png"
    Image.new("RGB", (80, 64), "orange").save(path)
    return path


@pytest.mark.parametrize("name", [ABLE, LARGE])
def test_every_scene_follows_the_picture_that_is_given(
    tmp_path: Path, weights: Path, host: ModelHost, name: str
) -> None:
    stages = [on_stage(tmp_path / part, weights, host) for part in ("one", "two", "again")]
    one, two, again = (
        scenes_of(stage, hero_image=uri, model=name) for stage, uri in zip(stages, (IMAGE, OTHER, IMAGE), strict=True)
    )
    assert len(one) == 3
    assert all_differ(one, two)
    assert nearly_same(one, again)
    told = stages[0].context.manifest_details["reference"]
    adapter = "adapter-xl" if name == LARGE else "adapter"
    assert (told["hero"], told["scale"]) == ("given", 0.6)
    assert told["adapter"] == f"{weights / adapter}/models/ip-adapter.safetensors"
    assert not (tmp_path / "one" / "hero.png").exists()


def test_without_a_picture_the_hero_is_made_from_the_description_alone_and_stored(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = on_stage(tmp_path, weights, host)
    film, hero = stage.run(**{**STORY, "hero_description": HERO, "width": 72})
    assert (film.name, hero.name, hero.content_type) == ("video.mp4", "hero.png", "image/png")
    assert (hero.facts.width, hero.facts.height) == (72, 64)
    alone = Stage(tmp_path, weights, host, "text-to-image")
    alone.context.catalogue = with_adapters(weights)
    alone.run(prompt=HERO, model=ABLE, seed=5, width=72, height=64, num_inference_steps=10)
    with Image.open(tmp_path / "hero.png") as made, Image.open(tmp_path / "image.png") as wanted:
        assert made.size == (72, 64)
        assert same([np.asarray(made)], [np.asarray(wanted)])
    told = stage.context.manifest_details["reference"]
    assert (told["hero"], told["hero_seed"]) == ("made", 5)
    assert stage.context.manifest_details["prompts"][0] == f"{HERO}, on a hill"


def test_a_made_hero_is_looked_at_as_a_given_one_would_be(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    first = on_stage(tmp_path / "made", weights, host)
    made = scenes_of(first, hero_description=HERO)
    second = on_stage(tmp_path / "given", weights, host)
    second.context.files = {IMAGE: tmp_path / "made" / "hero.png"}
    given = scenes_of(second, hero_description=HERO, hero_image=IMAGE)
    others = scenes_of(on_stage(tmp_path / "other", weights, host), hero_description=HERO, hero_image=OTHER)
    for one, again, other in zip(made, given, others, strict=True):
        assert difference(one, again) < difference(one, other) / 3


def test_all_scenes_are_made_in_one_call_and_progress_grows(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = on_stage(tmp_path, weights, host)
    stage.run(**STORY, hero_description=HERO)
    reported = stage.context.reported
    assert reported == sorted(reported)
    # Ten steps for the hero count as a quarter of the image work; ten more for all scenes together. 0.0 is the loading.
    assert len({part for part in reported if 0 < part <= 0.225}) == 10
    assert len({part for part in reported if 0.225 < part <= 0.9}) == 10


def test_the_plan_counts_the_picture_of_the_hero(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = on_stage(tmp_path, weights, host)
    plan = PIPELINES["story-to-video"].plan
    size = {"width": 512, "height": 512, "num_inference_steps": 25}
    made = plan(stage.data(**{**STORY, **size, "hero_description": HERO}), stage.context)
    given = plan(stage.data(**{**STORY, **size, "hero_image": IMAGE}), stage.context)
    assert (made.estimated_seconds, given.estimated_seconds) == (20.0, 15.0)
    assert made.frames == given.frames == 3


def test_pictures_without_a_reference_are_as_before_it(weights: Path, host: ModelHost, hero: Path) -> None:
    model = with_adapters(weights).find(ABLE, "story-to-video")
    before = images_of(host, model)
    looked = images_of(host, model, hero)
    assert same(before, images_of(host, model))
    assert same(looked, images_of(host, model, hero))
    shared = images_of(host, model, consistency="shared-attention")
    images_of(host, model, hero)
    assert same(shared, images_of(host, model, consistency="shared-attention"))


def test_a_reference_that_was_cancelled_leaves_no_trace(weights: Path, host: ModelHost, hero: Path) -> None:
    model = with_adapters(weights).find(ABLE, "story-to-video")
    before = images_of(host, model)

    def cancel(part: float) -> None:
        raise JobCancelled

    call = LocalCall(
        prompts=("a",),
        seeds=(1,),
        width=128,
        height=64,
        image=hero,
        parameters={"num_inference_steps": 2, "consistency": "reference"},
    )
    with pytest.raises(JobCancelled):
        host.run(model, call, cancel)
    assert same(before, images_of(host, model))


def test_a_picture_that_counts_nothing_changes_nothing(weights: Path, host: ModelHost, hero: Path) -> None:
    model = with_adapters(weights, scale=0.0).find(ABLE, "story-to-video")
    plain, looked = images_of(host, model), images_of(host, model, hero)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(plain, looked, strict=True))


def test_a_scene_is_the_same_alone_and_among_others(weights: Path, host: ModelHost, hero: Path) -> None:
    model = with_adapters(weights).find(ABLE, "story-to-video")
    for guidance in (7.5, 1.0):
        together = images_of(host, model, hero, guidance_scale=guidance)
        parameters = {"num_inference_steps": 2, "consistency": "reference", "guidance_scale": guidance}
        call = LocalCall(prompts=("a hill",), seeds=(2,), width=64, height=64, image=hero, parameters=parameters)
        alone = host.run(model, call, ignore_progress).images[0]
        assert np.abs(alone.astype(int) - together[1]).max() <= 1


@pytest.mark.parametrize("name", ["segmind/tiny-sd", "demo-shapes"])
def test_a_model_without_an_adapter_is_refused_at_the_door(
    tmp_path: Path, weights: Path, host: ModelHost, name: str
) -> None:
    error = on_stage(tmp_path, weights, host).refusal(**{**STORY, "model": name, "hero_image": IMAGE})
    assert (error.code, error.field) == ("unsupported_option", "data.consistency")
    assert f"{name} cannot use an image" in error.message
    assert "available with one: stable-diffusion-v1-5, stable-diffusion-xl" in error.message


def test_of_several_models_those_with_an_adapter_are_taken(tmp_path: Path, weights: Path, host: ModelHost) -> None:
    stage = on_stage(tmp_path, weights, host)
    stage.run(**{**STORY, "model": ["demo-shapes", ABLE], "hero_image": IMAGE})
    assert stage.context.manifest_details["model"] == ABLE


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({}, "missing_field", "requires an image of the hero"),
        ({"hero_description": " "}, "missing_field", "or a data.hero_description"),
        ({"hero_image": IMAGE, "consistency": "prompt"}, "invalid_field", "set data.consistency to reference"),
        ({"hero_image": "hero.png"}, "invalid_field", "must start with s3://"),
    ],
)
def test_a_reference_needs_a_hero_and_a_hero_the_reference(
    tmp_path: Path, weights: Path, host: ModelHost, change: dict[str, Any], code: str, says: str
) -> None:
    error = on_stage(tmp_path, weights, host).refusal(**{**STORY, **change})
    assert (error.code, error.field) == (code, "data.hero_image")
    assert says in error.message


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _no_picture(path: Path) -> None:
    path.write_bytes(b"GIF89a" + bytes(100))


@pytest.mark.parametrize("harm", [_cut, _no_picture])
def test_a_hero_that_is_no_picture_is_refused_by_its_field(
    tmp_path: Path, weights: Path, host: ModelHost, harm: Any
) -> None:
    stage = on_stage(tmp_path, weights, host)
    harm(tmp_path / "fox.png")
    with pytest.raises(InvalidImage) as caught:
        stage.run(**STORY, hero_image=IMAGE)
    assert caught.value.field == "data.hero_image"


def test_an_adapter_that_is_not_here_names_the_command_that_brings_it(
    tmp_path: Path, weights: Path, host: ModelHost
) -> None:
    stage = on_stage(tmp_path, weights, host, source="h94/IP-Adapter")
    with pytest.raises(ModelNotInstalled, match=f"telecine models pull {ABLE} --adapter"):
        stage.run(**STORY, hero_description=HERO)
    assert not (tmp_path / "hero.png").exists()
    with pytest.raises(ModelNotInstalled, match=r"correct weights\.adapter of its entry"):
        on_stage(tmp_path, weights, host, source="/nowhere").run(**STORY, hero_image=IMAGE)


def test_an_adapter_is_found_below_the_models_and_in_the_hubs_cache(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_adapters(weights, source="example/adapter").find(ABLE, "story-to-video")
    own = shutil.copytree(weights / "adapter", tmp_path / "example" / "adapter")
    assert find_adapter(model, tmp_path) == own
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    copies = tmp_path / "hub" / "models--example--adapter"
    shutil.copytree(weights / "adapter", copies / "snapshots" / "0123abcd")
    (copies / "refs").mkdir()
    (copies / "refs" / "main").write_text("0123abcd")
    assert find_adapter(model, tmp_path / "none") == copies / "snapshots" / "0123abcd"


def _cut_adapter(folder: Path) -> None:
    _cut(folder / "models" / "ip-adapter.safetensors")


def _cut_encoder(folder: Path) -> None:
    _cut(folder / "models" / "image_encoder" / "model.safetensors")


def _pickled_encoder(folder: Path) -> None:
    file = folder / "models" / "image_encoder" / "model.safetensors"
    file.rename(file.with_name("pytorch_model.bin"))


@pytest.mark.parametrize(
    ("harm", "says"),
    [(_cut_adapter, "damaged"), (_cut_encoder, "damaged"), (_pickled_encoder, "telecine convert")],
)
def test_a_damaged_adapter_is_refused_before_anything_loads_it(
    tmp_path: Path, weights: Path, hero: Path, harm: Any, says: str
) -> None:
    folder = Path(shutil.copytree(weights / "adapter", tmp_path / "copy"))
    harm(folder)
    own = host_for(Settings(local_models=weights, local_device="cpu", local_threads=1))
    with pytest.raises(InvalidWeights, match=says):
        images_of(own, with_adapters(weights, source=str(folder)).find(ABLE, "story-to-video"), hero)
    assert own.load_count == 0


def test_an_adapter_of_another_model_is_refused_and_the_model_is_as_it_was(
    tmp_path: Path, weights: Path, host: ModelHost, hero: Path
) -> None:
    before = images_of(host, with_adapters(weights).find(ABLE, "story-to-video"))
    foreign = Path(shutil.copytree(weights / "adapter", tmp_path / "foreign"))
    shutil.copy(weights / "adapter-xl" / "models" / "ip-adapter.safetensors", foreign / "models")
    with pytest.raises(InvalidWeights, match=r"the adapter's .*ip-adapter\.safetensors cannot be used"):
        images_of(host, with_adapters(weights, source=str(foreign)).find(ABLE, "story-to-video"), hero)
    both = Path(shutil.copytree(weights / "adapter", tmp_path / "both"))
    tiny_models.image_encoder(projection_dim=16).save_pretrained(both / "clip")
    encoder = {"image_encoder_folder": "clip", "source": str(both)}
    with pytest.raises(InvalidWeights, match=r"the adapter's .*clip cannot be used"):
        images_of(host, with_adapters(weights, **encoder).find(ABLE, "story-to-video"), hero)
    assert same(before, images_of(host, with_adapters(weights).find(ABLE, "story-to-video")))


def test_an_adapter_for_more_layers_than_the_model_has_is_refused(
    tmp_path: Path, weights: Path, host: ModelHost, hero: Path
) -> None:
    folder = Path(shutil.copytree(weights / "adapter", tmp_path / "more"))
    file = folder / "models" / "ip-adapter.safetensors"
    tensors = load_file(file)
    tensors["ip_adapter.99.to_k_ip.weight"] = tensors["ip_adapter.1.to_k_ip.weight"].clone()
    save_file(tensors, file)
    with pytest.raises(InvalidWeights, match=r"it has \d+ cross-attention layers, but the model has \d+"):
        images_of(host, with_adapters(weights, source=str(folder)).find(ABLE, "story-to-video"), hero)


def test_an_entry_with_a_pickled_adapter_is_refused_when_it_is_read(weights: Path) -> None:
    with pytest.raises(ConfigurationError, match="adapter"):
        with_adapters(weights, weight_name="ip-adapter.bin")


def test_the_built_in_models_with_adapters_are_those_that_the_page_names() -> None:
    named = {model.id for model in catalogue_of(Settings()) if model.weights and model.weights.adapter}
    assert named == {ABLE, LARGE}


def _resampler(width: int) -> dict[str, torch.Tensor]:
    """Return the tensors of a "plus" adapter, which uses patch embeddings instead of one image embedding."""
    own, seen, tokens = 64, 32, 4
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, tokens, own),
        "proj_in.weight": (own, seen),
        "proj_in.bias": (own,),
        "proj_out.weight": (width, own),
        "proj_out.bias": (width,),
        "norm_out.weight": (width,),
        "norm_out.bias": (width,),
    }
    for layer in range(4):
        shapes |= {
            f"layers.{layer}.{norm}.{part}": (own,)
            for norm in ("0.norm1", "0.norm2", "1.0")
            for part in ("weight", "bias")
        }
        shapes |= {
            f"layers.{layer}.0.to_q.weight": (64, own),
            f"layers.{layer}.0.to_kv.weight": (128, own),
            f"layers.{layer}.0.to_out.weight": (own, 64),
            f"layers.{layer}.1.1.weight": (4 * own, own),
            f"layers.{layer}.1.3.weight": (own, 4 * own),
        }
    chance = torch.Generator().manual_seed(0)
    return {f"image_proj.{name}": torch.randn(shape, generator=chance) for name, shape in shapes.items()}


def test_an_adapter_that_looks_at_places_of_the_picture_works_as_well(
    tmp_path: Path, weights: Path, host: ModelHost, hero: Path
) -> None:
    folder = Path(shutil.copytree(weights / "adapter", tmp_path / "plus"))
    file = folder / "models" / "ip-adapter.safetensors"
    layers = {name: tensor for name, tensor in load_file(file).items() if name.startswith("ip_adapter.")}
    save_file({**layers, **_resampler(32)}, file)
    model = with_adapters(weights, source=str(folder)).find(ABLE, "story-to-video")
    before, looked = images_of(host, model), images_of(host, model, hero)
    Image.effect_noise((64, 64), 90).save(hero)
    assert all_differ(before, looked)
    assert all_differ(looked, images_of(host, model, hero))
    assert same(before, images_of(host, model))
