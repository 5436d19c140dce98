"""Damaged weights, and files next to weights that try to run code."""

from __future__ import annotations

import builtins
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from providers.catalogue import Model
from providers.local.base import LocalCall
from providers.local.device import Cpu
from providers.local.host import ModelHost
from schemas.errors import InvalidWeights
from tests.local.catalogue_entries import catalogue

CALL = LocalCall(prompts=("a fox",), seeds=(1,), width=64, height=64, parameters={"num_inference_steps": 2})


def ignore_progress(part: float) -> None:
    """Ignore progress."""


def at(weights: Path, source: Path, name: str = "segmind/tiny-sd", kind: str = "text-to-image") -> Model:
    """Return a model whose files are in the folder ``source``."""
    model = catalogue(weights).find(name, kind)
    assert model.weights is not None
    return model.model_copy(update={"weights": model.weights.model_copy(update={"source": str(source)})})


def loaded(model: Model, call: LocalCall = CALL) -> None:
    ModelHost(Path("/nowhere"), device=Cpu).run(model, call, ignore_progress)


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, weights: Path) -> Path:
    return Path(shutil.copytree(weights / "pictures", tmp_path / "copy"))


@pytest.mark.parametrize("harmful", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_a_captioner_that_brings_code_is_not_asked_about_and_not_run(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, harmful: str
) -> None:
    folder = Path(shutil.copytree(weights / "blip", tmp_path / "copy"))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\nclass Own: pass\n")
    names = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer", "AutoImageProcessor")
    own = {"auto_map": dict.fromkeys(names, "own.Own"), "processor_class": "Own", "tokenizer_class": "Own"}
    rewrite(folder / harmful, model_type="own", **own)
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    Image.new("RGB", (64, 64), "orange").save(tmp_path / "fox.png")
    with contextlib.suppress(InvalidWeights):  # either refused, or loaded without that code
        loaded(at(weights, folder, "clip-interrogator/local", "image-to-prompt"), LocalCall(image=tmp_path / "fox.png"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "named", [["os", "system"], ["subprocess", "Popen"], ["torch.nn", "Linear"], ["antigravity", "x"], ["..", "x"]]
)
def test_a_part_is_never_taken_from_a_module_that_the_files_name(
    tmp_path: Path, weights: Path, folder: Path, named: list[str]
) -> None:
    rewrite(folder / "model_index.json", unet=named)
    before = set(sys.modules)
    with pytest.raises(InvalidWeights, match="cannot be loaded"):
        loaded(at(weights, folder))
    assert "antigravity" not in set(sys.modules) - before


def _deep(file: Path) -> None:
    header = b"[" * 100_000
    file.write_bytes(len(header).to_bytes(8, "little") + header)


def _overlapping(file: Path) -> None:
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": one, "b": one}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))


def _huge(file: Path) -> None:
    file.write_bytes((2**63).to_bytes(8, "little") + b"{}")


@pytest.mark.parametrize("harm", [_deep, _overlapping, _huge])
def test_a_file_with_a_wrong_header_is_refused(weights: Path, folder: Path, harm: Callable[[Path], None]) -> None:
    harm(folder / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InvalidWeights):
        loaded(at(weights, folder))


@pytest.mark.parametrize(
    ("shard", "says"),
    [
        ("../../other.safetensors", "not a weights file"),
        ("pytorch_model.bin", "not a weights file"),
        (
            "diffusion_pytorch_model-00002-of-00002.safetensors",
            "diffusion_pytorch_model-00002-of-00002.safetensors is missing",
        ),
        (7, "is damaged"),
    ],
)
def test_a_shard_index_must_name_existing_files_next_to_it(
    tmp_path: Path, weights: Path, folder: Path, shard: object, says: str
) -> None:
    shutil.copy(folder / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "other.safetensors")
    (folder / "unet" / "pytorch_model.bin").write_bytes(b"a pickle")
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"conv_in.weight": shard}}))
    with pytest.raises(InvalidWeights, match=says):
        loaded(at(weights, folder))


def test_the_hub_is_never_asked(tmp_path: Path) -> None:
    program = (
        "from providers.local.device import find_device\n"
        "from schemas.settings import Settings\n"
        "find_device(Settings(local_device='cpu'))\n"
        "import huggingface_hub.constants as hub\n"
        "print(hub.HF_HUB_OFFLINE)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        env={"PATH": "", "HOME": str(tmp_path)},
    )
    assert done.stdout.strip() == "True"
