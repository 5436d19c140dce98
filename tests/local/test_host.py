"""The model host: loading, caching, eviction, refusal, cancellation and out of memory."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from providers.catalogue import Catalogue, Model
from providers.local.base import Device, LocalCall, LocalResult, Progress
from providers.local.device import Cpu
from providers.local.diffusers_model import DiffusersModel
from providers.local.host import ModelHost, create_model
from providers.local.image_model import ImageModel
from providers.local.weight_files import find_weights
from providers.weights import GB
from schemas.errors import InsufficientVram, InvalidWeights, JobCancelled, ModelNotInstalled, OutOfMemory
from tests.local.catalogue_entries import catalogue

CALL = LocalCall(prompts=("a fox",), seeds=(7,), width=64, height=64, parameters={"num_inference_steps": 2})


@pytest.fixture(name="models")
def _models(weights: Path) -> Catalogue:
    return catalogue(weights)


def ignore_progress(part: float) -> None:
    """Ignore progress."""


def picture_model(models: Catalogue, name: str = "segmind/tiny-sd") -> Model:
    return models.find(name, "text-to-image")


def other_model(models: Catalogue, name: str, **weights: Any) -> Model:
    model = picture_model(models)
    assert model.weights is not None
    return model.model_copy(update={"id": name, "weights": model.weights.model_copy(update=weights)})


class FakeDevice(Cpu):
    """The CPU as a device of a given size; models run normally."""

    def __init__(self, free: int) -> None:
        self.free = free

    def free_bytes(self) -> int:
        return self.free


def host_on(device: Device, weights: Path, **options: Any) -> ModelHost:
    return ModelHost(weights, device=lambda: device, **options)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(host: ModelHost, models: Catalogue) -> None:
    first, again = (host.run(picture_model(models), CALL, ignore_progress).images[0] for _ in range(2))
    assert np.array_equal(first, again)
    other = host.run(picture_model(models), LocalCall(**{**_fields(CALL), "seeds": (8,)}), ignore_progress).images[0]
    assert not np.array_equal(first, other)
    assert first.shape == (64, 64, 3)


def test_a_batch_makes_what_single_calls_make(host: ModelHost, models: Catalogue) -> None:
    prompts, seeds = ("a fox", "a hill", "the sea"), (1, 2, 3)
    batch = host.run(
        picture_model(models), LocalCall(**{**_fields(CALL), "prompts": prompts, "seeds": seeds}), ignore_progress
    ).images
    for number in range(3):
        one = LocalCall(**{**_fields(CALL), "prompts": (prompts[number],), "seeds": (seeds[number],)})
        alone = host.run(picture_model(models), one, ignore_progress).images[0].astype(int)
        assert np.abs(alone - batch[number].astype(int)).max() <= 1


def test_shared_attention_changes_the_pictures_and_leaves_the_model_as_it_was(
    host: ModelHost, models: Catalogue
) -> None:
    plain = LocalCall(**{**_fields(CALL), "prompts": ("a fox", "a hill"), "seeds": (1, 2)})
    sharing = LocalCall(**{**_fields(plain), "parameters": {**CALL.parameters, "consistency": "shared-attention"}})
    before, shared, again, after = (
        host.run(picture_model(models), call, ignore_progress).images for call in (plain, sharing, sharing, plain)
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(shared, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(before, shared, strict=True))


def test_progress_is_reported_after_each_step_and_grows(host: ModelHost, models: Catalogue) -> None:
    reported: list[float] = []
    four = LocalCall(
        prompts=("a", "b", "c"), seeds=(1, 2, 3), width=64, height=64, parameters={"num_inference_steps": 4}
    )
    host.run(other_model(models, "by-two", most_batch=2), four, reported.append)
    assert reported == sorted(reported)
    assert reported.pop(0) == 0.0  # after loading
    assert len(reported) == 8
    assert reported[-1] == 1.0


def test_a_model_is_loaded_once_and_kept(weights: Path, models: Catalogue) -> None:
    host = host_on(Cpu(), weights)
    for _ in range(3):
        host.run(picture_model(models), CALL, ignore_progress)
    assert host.load_count == 1
    assert [loaded.id for loaded in host.loaded] == ["segmind/tiny-sd"]
    assert host.loaded[0].bytes > 100_000


def test_two_models_that_do_not_fit_together_are_swapped_by_least_recent_use(weights: Path, models: Catalogue) -> None:
    first, second = (other_model(models, name, need_gb=0.0006) for name in ("first", "second"))
    host = host_on(Cpu(), weights, budget_bytes=700_000)
    for model in (first, second, first):
        host.run(model, CALL, ignore_progress)
    assert host.load_count == 3
    assert [loaded.id for loaded in host.loaded] == ["first"]


def test_the_model_that_was_used_longest_ago_makes_way(weights: Path, models: Catalogue) -> None:
    first, second, third = (other_model(models, name, need_gb=0.0003) for name in ("first", "second", "third"))
    host = host_on(Cpu(), weights, budget_bytes=800_000)
    for model in (first, second, first, third):
        host.run(model, CALL, ignore_progress)
    assert [loaded.id for loaded in host.loaded] == ["first", "third"]
    assert host.load_count == 3


def test_a_loaded_model_refuses_a_call_that_does_not_fit(weights: Path, models: Catalogue) -> None:
    host = host_on(Cpu(), weights, budget_bytes=100_000_000)
    host.run(picture_model(models), CALL, ignore_progress)
    with pytest.raises(InsufficientVram):
        host.run(picture_model(models), LocalCall(**{**_fields(CALL), "width": 1024, "height": 1024}), ignore_progress)
    assert len(host.run(picture_model(models), CALL, ignore_progress).images) == 1
    assert host.load_count == 1


def test_a_model_is_not_kept_in_both_of_its_modes(weights: Path, models: Catalogue) -> None:
    host = host_on(Cpu(), weights)
    for low_memory in (False, True, True):
        host.run(picture_model(models), LocalCall(**{**_fields(CALL), "low_memory": low_memory}), ignore_progress)
    assert host.load_count == 2
    assert [loaded.low_memory for loaded in host.loaded] == [True]


def test_memory_does_not_grow_from_job_to_job(weights: Path, models: Catalogue) -> None:
    host = host_on(Cpu(), weights)
    small = LocalCall(**{**_fields(CALL), "width": 32, "height": 32, "parameters": {"num_inference_steps": 1}})
    sizes = []
    for number in range(60):
        host.run(picture_model(models), small, ignore_progress)
        if number in (9, 59):
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert sizes[1] - sizes[0] < 8_000_000


def test_a_model_that_cannot_fit_is_refused_with_the_numbers_before_it_is_loaded(
    weights: Path, models: Catalogue
) -> None:
    host = host_on(FakeDevice(4_200_000_000), weights)
    host.device.kind = "cuda"  # type: ignore[misc]
    with pytest.raises(InsufficientVram) as caught:
        host.run(other_model(models, "mochi", need_gb=6.0), CALL, ignore_progress)
    assert caught.value.message == "Insufficient VRAM: mochi needs ~6.0GB, but only 4.2GB available."
    assert host.load_count == 0


@pytest.mark.parametrize(("free", "low"), [(22.0, False), (21.9, True), (12.0, True), (6.0, True)])
@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_h2_a_model_that_fits_in_its_low_memory_mode_only_takes_it_by_itself(
    weights: Path, models: Catalogue, monkeypatch: pytest.MonkeyPatch, free: float, low: bool, kind: str
) -> None:
    host = host_on(FakeDevice(int(free * GB)), weights)
    mochi = other_model(models, "mochi", need_gb=22.0, low_need_gb=6.0)
    if kind == "cuda":
        monkeypatch.setattr(FakeDevice, "kind", "cuda")
        monkeypatch.setattr(DiffusersModel, "_place", lambda *_, **__: 0)
        monkeypatch.setattr(DiffusersModel, "dtype_on", lambda *_: "float32")
    for _ in range(2):
        made = host.run(mochi, CALL, ignore_progress)
        assert made.details.get("low_vram", False) is low
    assert ([item.low_memory for item in host.loaded], host.load_count) == ([low], 1)


def test_h2_the_refusal_has_the_number_of_the_low_memory_mode(weights: Path, models: Catalogue) -> None:
    host = host_on(FakeDevice(4_200_000_000), weights)
    host.device.kind = "cuda"  # type: ignore[misc]
    mochi = other_model(models, "mochi", need_gb=22.0, low_need_gb=6.0)
    for call in (CALL, replace(CALL, low_memory=True)):
        with pytest.raises(InsufficientVram) as caught:
            host.run(mochi, call, ignore_progress)
        assert caught.value.message == "Insufficient VRAM: mochi needs ~6.0GB, but only 4.2GB available."
    assert (host.load_count, caught.value.__cause__) == (0, None)


def test_a_refusal_keeps_the_loaded_models(weights: Path, models: Catalogue) -> None:
    host = host_on(FakeDevice(1_000_000_000), weights)
    host.run(picture_model(models), CALL, ignore_progress)
    with pytest.raises(InsufficientVram, match=r"Insufficient RAM: large needs ~90\.0GB"):
        host.run(other_model(models, "large", need_gb=90.0), CALL, ignore_progress)
    assert [loaded.id for loaded in host.loaded] == ["segmind/tiny-sd"]


def test_a_cancelled_call_ends_between_two_steps_and_the_next_one_is_as_if_nothing_had_been(
    host: ModelHost, models: Catalogue
) -> None:
    wanted = host.run(picture_model(models), CALL, ignore_progress).images[0]

    def cancel(part: float) -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        host.run(picture_model(models), LocalCall(**{**_fields(CALL), "width": 128}), cancel)
    assert np.array_equal(host.run(picture_model(models), CALL, ignore_progress).images[0], wanted)


class RunsOutOfMemory(ImageModel):
    """A model that runs out of memory the first ``failures`` times."""

    failures = 1

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        if RunsOutOfMemory.failures:
            RunsOutOfMemory.failures -= 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().generate(call, progress)


@pytest.mark.parametrize(("failures", "loads"), [(1, 2), (2, 2)])
def test_running_out_of_memory_frees_everything_and_tries_once_more_with_low_memory(
    weights: Path, models: Catalogue, failures: int, loads: int
) -> None:
    RunsOutOfMemory.failures = failures
    host = host_on(Cpu(), weights, model_factory=RunsOutOfMemory)
    if failures == 1:
        assert len(host.run(picture_model(models), CALL, ignore_progress).images) == 1
        assert [loaded.low_memory for loaded in host.loaded] == [True]
    else:
        with pytest.raises(OutOfMemory, match="segmind/tiny-sd ran out of memory, also in low-memory mode"):
            host.run(picture_model(models), CALL, ignore_progress)
        assert host.loaded == []
    assert host.load_count == loads
    assert len(host.run(picture_model(models), CALL, ignore_progress).images) == 1


def test_calls_of_several_threads_wait_for_each_other(host: ModelHost, models: Catalogue) -> None:
    wanted = host.run(picture_model(models), CALL, ignore_progress).images[0]
    made: list[Any] = []
    threads = [
        threading.Thread(target=lambda: made.append(host.run(picture_model(models), CALL, ignore_progress).images[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert all(np.array_equal(picture, wanted) for picture in made)


def test_missing_weights_are_refused_with_the_command_that_brings_them(tmp_path: Path, models: Catalogue) -> None:
    host = host_on(Cpu(), tmp_path)
    with pytest.raises(ModelNotInstalled) as caught:
        host.run(other_model(models, "sdxl", source="stabilityai/sdxl", revision="abc"), CALL, ignore_progress)
    assert caught.value.message.endswith("download them with: telecine models pull sdxl")
    with pytest.raises(ModelNotInstalled, match="correct weights"):
        host.run(other_model(models, "moved", source=str(tmp_path / "nowhere")), CALL, ignore_progress)


def test_weights_below_the_folder_of_models_are_found_by_the_models_name(weights: Path, models: Catalogue) -> None:
    host = host_on(Cpu(), weights)
    assert host.run(other_model(models, "pictures", source="example/pictures"), CALL, ignore_progress).images


@pytest.mark.parametrize(("revision", "named"), [(None, "main"), ("v2", "v2"), ("0123abcd", None)])
def test_weights_in_the_hubs_cache_are_found_without_the_hub(
    tmp_path: Path,
    weights: Path,
    models: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    revision: str | None,
    named: str | None,
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    copies = tmp_path / "hub" / "models--example--fox"
    shutil.copytree(weights / "pictures", copies / "snapshots" / "0123abcd")
    if named is not None:
        (copies / "refs").mkdir()
        (copies / "refs" / named).write_text("0123abcd")
    model = other_model(models, "fox", source="example/fox", revision=revision)
    assert find_weights(model, tmp_path / "none") == copies / "snapshots" / "0123abcd"
    with pytest.raises(ModelNotInstalled, match="telecine models pull fox"):
        find_weights(other_model(models, "fox", source="example/fox", revision="v9"), tmp_path / "none")


def _cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _no_header(file: Path) -> None:
    file.write_bytes(b"\xff" * 64)


def _pickled(file: Path) -> None:
    file.rename(file.with_suffix(".bin"))


def _another_form(file: Path) -> None:
    file.rename(file.with_suffix(".ckpt"))


@pytest.mark.parametrize(("harm", "says"), [(_cut_short, "is damaged"), (_no_header, "is damaged")])
def test_damaged_weights_are_refused_before_anything_loads_them(
    tmp_path: Path, weights: Path, models: Catalogue, harm: Any, says: str
) -> None:
    folder = Path(shutil.copytree(weights / "pictures", tmp_path / "copy"))
    harm(folder / "unet" / "diffusion_pytorch_model.safetensors")
    host = host_on(Cpu(), tmp_path)
    with pytest.raises(InvalidWeights, match=says):
        host.run(other_model(models, "copy", source=str(folder)), CALL, ignore_progress)
    assert (host.load_count, host.loaded) == (0, [])


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path, weights: Path, models: Catalogue) -> None:
    folder = Path(shutil.copytree(weights / "pictures", tmp_path / "copy"))
    for file in list(folder.rglob("*.safetensors")):
        _another_form(file)
    with pytest.raises(InvalidWeights, match="not as safetensors, the only format that is loaded"):
        host_on(Cpu(), tmp_path).run(other_model(models, "copy", source=str(folder)), CALL, ignore_progress)
    part = Path(shutil.copytree(weights / "pictures", tmp_path / "part"))
    _pickled(part / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InvalidWeights, match="telecine convert part"):
        host_on(Cpu(), tmp_path).run(other_model(models, "part", source=str(part)), CALL, ignore_progress)


def test_code_next_to_the_weights_is_not_run(tmp_path: Path, weights: Path, models: Catalogue) -> None:
    folder = Path(shutil.copytree(weights / "pictures", tmp_path / "copy"))
    (folder / "pipeline.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\n")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace('"StableDiffusionPipeline"', '"StableDiffusionPipeline"'))
    unet = folder / "unet" / "my_unet.py"
    unet.write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\nclass MyUnet: pass\n")
    index.write_text(index.read_text().replace('"diffusers",\n    "UNet2DConditionModel"', '"my_unet",\n    "MyUnet"'))
    with pytest.raises(InvalidWeights):
        host_on(Cpu(), tmp_path).run(other_model(models, "copy", source=str(folder)), CALL, ignore_progress)
    assert not (tmp_path / "harm").exists()


def test_a_film_has_the_frames_and_the_size_that_were_asked_for(host: ModelHost, models: Catalogue) -> None:
    for name in ("mochi", "wan-1.3b"):
        call = LocalCall(
            prompts=("a fox",), seeds=(3,), width=40, height=24, frames=8, parameters={"num_inference_steps": 2}
        )
        made, again = (host.run(models.find(name, "text-to-video"), call, ignore_progress) for _ in range(2))
        assert [frame.shape for frame in made.images] == [(24, 40, 3)] * 8
        assert all(np.array_equal(a, b) for a, b in zip(made.images, again.images, strict=True))


def test_every_entry_of_the_catalogue_that_runs_here_has_a_family_that_is_known(models: Catalogue) -> None:
    local = [model for model in models if model.provider == "local" and model.weights is not None]
    assert len(local) >= 10
    for model in local:
        create_model(model, Path("/nowhere"))


def _fields(call: LocalCall) -> dict[str, Any]:
    return {name: getattr(call, name) for name in call.__dataclass_fields__}
