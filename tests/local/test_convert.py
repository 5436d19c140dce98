"""``telecine convert``: pickled weights become safetensors, which workers load."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from providers.catalogue import Catalogue
from providers.local.base import LocalCall
from providers.local.convert import convert
from providers.local.host import host_for
from schemas.errors import InvalidWeights
from schemas.settings import Settings
from tests.cli_operator import Operator, an_operator
from tests.local.catalogue_entries import catalogue

_operator = pytest.fixture(an_operator, name="operator")

CALL = LocalCall(prompts=["a fox"], seeds=[1], width=64, height=64, parameters={"num_inference_steps": 2})


class MaliciousPickle:
    """Runs a command in the process that unpickles it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.fixture(name="models")
def _models(weights: Path) -> Catalogue:
    return catalogue(weights)


def pickled(folder: Path) -> None:
    """Replace each safetensors file below ``folder`` with a pickle, as some models are published."""
    for file in list(folder.rglob("*.safetensors")):
        name = file.name if file.name.startswith("diffusion_") else file.name.replace("model", "pytorch_model")
        torch.save(load_file(file), file.with_name(name).with_suffix(".bin"))
        file.unlink()


def test_pickled_weights_are_refused_with_the_command_that_converts_them_and_then_draw_the_same(
    operator: Operator, tmp_path: Path, weights: Path, models: Catalogue
) -> None:
    model = models.find("segmind/tiny-sd", "text-to-image")
    drawn = host_for(Settings(local_models=weights, local_device="cpu", local_threads=1)).run(
        model, CALL, ignore_progress
    )
    own = operator.settings.local_models_folder
    pickled(Path(shutil.copytree(weights / "pictures", own / "segmind" / "tiny-sd")))
    assert model.weights is not None
    model = model.model_copy(update={"weights": model.weights.model_copy(update={"source": "segmind/tiny-sd"})})
    host = host_for(Settings(local_models=own, local_device="cpu", local_threads=1))
    with pytest.raises(InvalidWeights, match="telecine convert segmind/tiny-sd"):
        host.run(model, CALL, ignore_progress)
    reported = operator.run("convert", "segmind/tiny-sd", "--json").json
    assert {Path(file).parent.name for file in reported["written"]} == {"unet", "vae", "text_encoder"}
    assert np.array_equal(host.run(model, CALL, ignore_progress).images[0], drawn.images[0])
    assert "already have safetensors" in operator.run("convert", "segmind/tiny-sd").err


def test_shards_are_converted_with_the_list_that_names_them(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": torch.zeros(3)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    listed = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    convert("big", tmp_path)
    written = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert torch.equal(load_file(tmp_path / written["a"])["a"], torch.ones(2))
    assert torch.equal(load_file(tmp_path / written["b"])["b"], torch.zeros(3))


def test_tensors_that_share_memory_are_written_each_for_itself(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    torch.save({"in": shared, "out": shared, "part": shared[::2]}, tmp_path / "pytorch_model.bin")
    (file,) = convert("tied", tmp_path)
    held = load_file(file)
    assert torch.equal(held["in"], shared)
    assert torch.equal(held["out"], shared)
    assert torch.equal(held["part"], torch.tensor([0.0, 2.0]))


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    harmed = tmp_path / "harmed"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": MaliciousPickle(harmed)}))
    torch.save({"a": torch.ones(1), "b": MaliciousPickle(harmed)}, tmp_path / "diffusion_pytorch_model.bin")
    for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin"):
        with pytest.raises(InvalidWeights, match="no code in it was run"):
            convert("evil", tmp_path)
        (tmp_path / name).unlink()
    assert not harmed.exists()
    assert list(tmp_path.glob("*.safetensors*")) == []


def test_a_model_that_runs_elsewhere_cannot_be_converted(operator: Operator) -> None:
    said = operator.run("convert", "pika")
    assert said.status == 1
    assert "unknown_model" in said.err


def ignore_progress(part: float) -> None:
    pass
