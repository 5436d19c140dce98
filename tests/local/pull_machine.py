"""A machine without weights whose hub is a stand-in, for the tests of ``telecine models pull``."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from providers.local.base import LocalCall
from providers.local.models import PINNED_REVISIONS
from tests.cli_operator import CommandResult, Operator
from tests.doubles.hub import Hub, Repository
from tests.doubles.server import Reply
from tests.local.test_convert import pickled

NAME = "segmind/tiny-sd"
COMMIT = PINNED_REVISIONS[NAME]
UNET = "unet/diffusion_pytorch_model.safetensors"
PICKLED_UNET = "unet/diffusion_pytorch_model.bin"
ROOT = Path(__file__).parents[2]
CALL = LocalCall(prompts=["a fox"], seeds=[1], width=64, height=64, parameters={"num_inference_steps": 2})


@dataclasses.dataclass
class Machine:
    """A machine without weights, whose hub is the stand-in."""

    operator: Operator
    hub: Hub

    @property
    def models(self) -> Path:
        return self.operator.settings.local_models_folder

    @property
    def folder(self) -> Path:
        return self.models / NAME

    def partial(self, path: str) -> Path:
        """Return where a file is as long as it is not complete."""
        return self.models / ".partial" / f"segmind--tiny-sd--{COMMIT}" / f"{path}.part"

    def environment(self) -> dict[str, str]:
        """Return the environment of a process on the machine."""
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        own = {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": self.hub.url, "COLUMNS": "200"}
        return {**kept, **own, "HOME": str(self.operator.home), "TELECINE_HOME": str(self.operator.home)}

    def start(self, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start the command in a process of its own."""
        command = [sys.executable, "-P", "-m", "ops.cli.main", "models", "pull", NAME]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment(), stdin=stdin, stdout=pipe, stderr=pipe, text=True)

    def pull(self, *arguments: str) -> CommandResult:
        return self.operator.run("models", "pull", *(arguments or (NAME,)))

    def refused(self, *arguments: str) -> str:
        """Return the message of a command that fails, after which the model is not installed."""
        result = self.pull(*arguments)
        assert (result.status, result.out) == (1, ""), result.err
        assert not self.folder.exists()
        return result.err


def make_repository_folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a repository, with some that are not needed."""
    folder = Path(shutil.copytree(weights / "pictures", tmp_path_factory.mktemp("hub") / "tiny-sd"))
    (folder / "unet" / "flax_model.msgpack").write_bytes(bytes(1000))
    (folder / "vae" / "diffusion_pytorch_model.fp16.bin").write_bytes(bytes(1000))
    (folder / "unet" / "convert.py").write_text("raise SystemExit")
    (folder / "tiny-sd.ckpt").write_bytes(bytes(1000))
    return folder


def a_machine(operator: Operator, repository_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr("providers.local.hub._MOST_PAUSE_SECONDS", 0.0)
    with Hub() as hub:
        hub.add(NAME, repository_folder, COMMIT)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
        yield Machine(operator, hub)
        huggingface_hub.close_session()


def the_repository(machine: Machine) -> Repository:
    return machine.hub.repositories[NAME]


def make_pickled(machine: Machine, repository_folder: Path, tmp_path: Path) -> Repository:
    """Return the repository with pickled weights, as the default model is published."""
    folder = Path(shutil.copytree(repository_folder, tmp_path / "pickled"))
    pickled(folder)
    return machine.hub.add(NAME, folder, COMMIT)


def stalled(reply: Reply) -> Reply:
    """Send half of the body and nothing more."""
    return dataclasses.replace(reply, fate="stall")


def cut(reply: Reply) -> Reply:
    """Close the connection in the middle of the body."""
    return dataclasses.replace(reply, fate="cut")


def reset(reply: Reply) -> Reply:
    """Reset the connection."""
    return dataclasses.replace(reply, fate="reset")


def short(reply: Reply) -> Reply:
    """Send a third of the body, as if that were all."""
    return dataclasses.replace(reply, body=reply.body[: len(reply.body) // 3])


def other_bytes(reply: Reply) -> Reply:
    """Send another file of the same size."""
    return dataclasses.replace(reply, body=bytes(len(reply.body)))
