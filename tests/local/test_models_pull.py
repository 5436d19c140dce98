"""``telecine models pull``: weights from a stand-in of the hub, interrupted, resumed, damaged, hostile and gated."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from pipelines.models import weights as installing
from providers.local.host import host_for
from providers.local.hub import Repository as FoundRepository
from providers.local.hub_files import HubFile, folder_files, pipeline_files
from providers.local.models import PINNED_REVISIONS
from providers.local.weight_files import PULL_RECORD
from providers.registry import catalogue_of
from schemas.errors import InvalidWeights, StorageUnavailable
from schemas.settings import Settings
from tests.cli_operator import an_operator
from tests.doubles.hub import TOKEN, Repository
from tests.doubles.server import Reply
from tests.local.catalogue_entries import catalogue
from tests.local.pull_machine import (
    CALL,
    COMMIT,
    NAME,
    PICKLED_UNET,
    UNET,
    Machine,
    a_machine,
    cut,
    make_pickled,
    make_repository_folder,
    other_bytes,
    reset,
    short,
    stalled,
    the_repository,
)
from tests.telecine_process import wait_until

_operator = pytest.fixture(an_operator, name="operator")
_folder = pytest.fixture(make_repository_folder, name="repository_folder", scope="module")
_machine = pytest.fixture(a_machine, name="machine")
_repository = pytest.fixture(the_repository, name="repository")
_pickled = pytest.fixture(make_pickled, name="pickled_repository")


def test_a_pull_that_is_killed_in_the_middle_of_a_file_continues_there(
    machine: Machine, pickled_repository: Repository, weights: Path
) -> None:
    half = len(pickled_repository.files[PICKLED_UNET]) // 2
    pickled_repository.harms[PICKLED_UNET] = [stalled]
    first, partial = machine.start(), machine.partial(PICKLED_UNET)
    wait_until(lambda: partial.is_file() and partial.stat().st_size == half)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not machine.folder.exists()

    out, err = (second := machine.start()).communicate(timeout=120)
    assert (second.returncode, out) == (0, f"{NAME} is installed.\n"), err
    for line in (f"{NAME} at {COMMIT[:12]}\n", "licence  creativeml-openrail-m", "of them already there", "are free"):
        assert line in err
    assert [seen.headers["range"] for seen in machine.hub.fetched(PICKLED_UNET)] == ["bytes=0-", f"bytes={half}-"]
    assert len(machine.hub.fetched("text_encoder/pytorch_model.bin")) == 1
    assert {seen.path.split("/")[1] for seen in machine.hub.requests} == {"api", "cdn", "segmind"}
    suffixes = {file.suffix for file in machine.folder.rglob("*") if file.is_file()}
    assert suffixes == {".json", ".safetensors"}

    default = catalogue_of(Settings()).find(NAME, "text-to-image")
    own = host_for(Settings(local_models=machine.models, local_device="cpu", local_threads=1))
    tiny = host_for(Settings(local_device="cpu", local_threads=1))
    expected = tiny.run(catalogue(weights).find(NAME, "text-to-image"), CALL, lambda part: None)
    assert np.array_equal(own.run(default, CALL, lambda part: None).images[0], expected.images[0])


def test_the_list_shows_what_is_here_and_at_which_revision(machine: Machine, repository: Repository) -> None:
    before = {model["id"]: model for model in machine.operator.run("models", "--json").json}
    assert [before[name]["installed"] for name in (NAME, "demo-shapes", "pika")] == [False, True, None]
    assert f"telecine models pull {NAME}" in machine.operator.run("models", NAME).out
    installed = machine.pull(NAME, "--json").json["installed"]
    assert [(one["source"], one["revision"], one["folder"]) for one in installed] == [
        (NAME, COMMIT, str(machine.folder))
    ]
    shown = machine.operator.run("models", "list", NAME, "--json").json
    assert (shown["installed"], shown["revision"]) == (True, COMMIT)
    row = next(line for line in machine.operator.run("models").out.splitlines() if line.startswith(NAME))
    assert row.endswith("yes")
    assert "is already installed" in machine.pull().out
    assert machine.pull(NAME, "--json").json["installed"] == []


def test_a_model_of_another_revision_is_replaced_and_one_from_elsewhere_is_left(
    machine: Machine, repository: Repository
) -> None:
    machine.pull()
    record = machine.folder / PULL_RECORD
    record.write_text(json.dumps({"revision": "a" * 40}))
    (machine.folder / "old.json").write_text("{}")
    assert "is installed" in machine.pull().out
    assert json.loads(record.read_text())["revision"] == COMMIT
    assert not (machine.folder / "old.json").exists()
    record.unlink()
    assert "is already installed" in machine.pull().out


def test_two_pulls_at_once_download_once(machine: Machine, repository: Repository) -> None:
    part = installing.missing_parts(catalogue_of(Settings()).find(NAME, "text-to-image"), machine.models)[0]
    downloads = [installing.look_up(part, machine.models) for _ in range(2)]
    machine.hub.seconds = 0.05
    waited: list[bool] = []
    with ThreadPoolExecutor() as pool:
        made = [
            pool.submit(installing.install, NAME, download, lambda added: None, lambda: waited.append(True))
            for download in downloads
        ]
        assert {one.result() for one in made} == {machine.folder}
    assert waited
    assert len(machine.hub.fetched(UNET)) == 1
    assert [path.suffix for path in (machine.models / ".partial").iterdir()] == [".lock"]


def test_a_connection_that_breaks_or_ends_early_is_opened_again_where_it_ended(
    machine: Machine, repository: Repository
) -> None:
    size = len(repository.files[UNET])
    repository.harms[UNET] = [cut, short, reset, reset]
    assert machine.pull().status == 0
    third = size // 2 + (size - size // 2) // 3
    ranges = [seen.headers["range"] for seen in machine.hub.fetched(UNET)]
    assert ranges == ["bytes=0-", f"bytes={size // 2}-", *[f"bytes={third}-"] * 3]


def test_a_hub_that_always_sends_half_a_file_is_given_up_and_what_came_is_kept(
    machine: Machine, repository: Repository
) -> None:
    repository.harms[UNET] = [cut, *[reset] * 4]
    assert "run the command again" in machine.refused()
    assert machine.partial(UNET).stat().st_size == len(repository.files[UNET]) // 2


def test_a_server_that_ignores_the_range_and_sends_too_much_is_read_from_the_start(
    machine: Machine, repository: Repository
) -> None:
    whole = repository.files[UNET]
    repository.harms[UNET] = [cut, lambda _: Reply(200, whole + bytes(1000))]
    assert machine.pull().status == 0
    assert (machine.folder / UNET).read_bytes() == whole


def test_a_file_of_another_revision_is_refused_and_deleted(machine: Machine, repository: Repository) -> None:
    for path in ("model_index.json", "unet/config.json", UNET):
        repository.harms[path] = [other_bytes]
        assert f"{path} of {NAME}" in machine.refused()
        assert not list(machine.models.rglob("*.part"))
    assert machine.pull().status == 0


def test_a_hub_that_answers_with_another_revision_is_refused(machine: Machine, repository: Repository) -> None:
    repository.claimed = "f" * 40
    assert f"the hub answered with revision {'f' * 40} of {NAME} instead of {COMMIT}" in machine.refused()
    repository.claimed, repository.commit = None, "e" * 40
    assert f"{NAME} has no revision {COMMIT} on the hub" in machine.refused()


@pytest.mark.parametrize("component", ["../../../evil", "/evil", "a/../../evil", ".ssh", "a\\b"])
def test_a_component_whose_name_leads_out_of_the_folder_is_refused(component: str) -> None:
    index = {"unet": ["diffusers", "UNet2DModel"], component: ["diffusers", "UNet2DModel"]}
    files = [HubFile(f"{folder}/config.json", 2, "") for folder in ("unet", component)]
    with pytest.raises(InvalidWeights, match="which cannot be a folder"):
        pipeline_files(files, index, None)


def test_a_file_whose_name_leads_out_of_the_folder_is_not_written(machine: Machine, repository: Repository) -> None:
    index = json.loads(repository.files["model_index.json"])
    repository.files["model_index.json"] = json.dumps({**index, "../evil": ["diffusers", "UNet2DModel"]}).encode()
    repository.files["../evil/config.json"] = repository.files["unet/../../evil.json"] = b"{}"
    assert "which cannot be a folder" in machine.refused()
    repository.files["model_index.json"] = json.dumps(index).encode()
    assert machine.pull().status == 0
    assert not list(machine.operator.home.rglob("evil*"))


def test_only_one_format_and_one_variant_of_the_weights_are_needed() -> None:
    names = ("config.json", "model.safetensors", "model.fp16.safetensors", "pytorch_model.bin", "model.onnx")
    shards = [f"unet/diffusion_pytorch_model.bf16-0000{n}-of-00002.safetensors" for n in (1, 2)]
    plain = [f"unet/diffusion_pytorch_model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    index = "unet/diffusion_pytorch_model.safetensors.index"
    files = [HubFile(path, 1, "") for path in (*(f"text/{name}" for name in names), *shards, *plain)]
    files += [HubFile(path, 1, "") for path in (f"{index}.json", f"{index}.bf16.json")]

    def needed(folder: str, variant: str | None) -> set[str]:
        return {file.path for file in folder_files(files, folder, variant)}

    assert needed("text", None) == needed("text", "bf16") == {"text/config.json", "text/model.safetensors"}
    assert needed("text", "fp16") == {"text/config.json", "text/model.fp16.safetensors"}
    assert needed("unet", "bf16") == {*shards, f"{index}.bf16.json"}
    assert needed("unet", None) == {*plain, f"{index}.json"}


def test_a_variant_is_downloaded_and_loaded(machine: Machine, weights: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(weights / "pictures", tmp_path / "variant"))
    for file in list(folder.rglob("*.safetensors")):
        shutil.copy(file, file.with_suffix(".fp16.safetensors"))
        file.write_bytes(bytes(10))  # the plain file is never read
    source = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    machine.hub.add(source, folder, PINNED_REVISIONS[source])
    assert machine.pull("stable-diffusion-v1-5").status == 0
    host = host_for(Settings(local_models=machine.models, local_device="cpu", local_threads=1))
    assert host.run(
        catalogue_of(Settings()).find("stable-diffusion-v1-5", "text-to-image"), CALL, lambda _: None
    ).images


def test_a_captioner_comes_with_its_ranker_and_an_adapter_when_it_is_asked_for(
    machine: Machine, weights: Path, repository_folder: Path
) -> None:
    for source, name in (
        ("Salesforce/blip-image-captioning-base", "blip"),
        ("openai/clip-vit-large-patch14", "clip"),
        ("h94/IP-Adapter", "adapter"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "pictures"),
    ):
        machine.hub.add(source, weights / name, PINNED_REVISIONS[source])
    adapter = machine.hub.repositories["h94/IP-Adapter"].files
    weight = next(path for path in adapter if path.endswith("ip-adapter.safetensors"))
    adapter["models/ip-adapter_sd15.safetensors"] = adapter[weight]
    assert machine.pull("clip-interrogator/local").status == 0
    shown = machine.operator.run("models", "clip-interrogator/local", "--json").json
    assert shown["installed"] is True
    assert (machine.models / "openai/clip-vit-large-patch14/config.json").is_file()
    result = machine.pull("stable-diffusion-v1-5", "--adapter", "--json")
    assert [one["source"] for one in result.json["installed"]] == [
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "h94/IP-Adapter",
    ]
    found = {str(file.relative_to(machine.models)) for file in (machine.models / "h94").rglob("*.safetensors")}
    assert found == {
        "h94/IP-Adapter/models/ip-adapter_sd15.safetensors",
        "h94/IP-Adapter/models/image_encoder/model.safetensors",
    }
    assert "has no adapter" in machine.pull("segmind/tiny-sd", "--adapter").err


def test_a_gated_model_names_the_page_of_its_licence_and_comes_with_a_token_that_accepted_it(
    machine: Machine, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.gated = True
    page = f"{NAME} is gated: accept its licence on {machine.hub.url}/{NAME}, set HF_TOKEN"
    assert page in machine.refused()
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert page in machine.refused()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert machine.pull().status == 0  # the stand-in refuses a token at the address of large files


def test_a_hub_that_does_not_answer_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.hub.status = 503
    assert "the hub answered 503" in machine.refused()
    machine.hub.status = 200
    assert "did not answer like a hub" in machine.refused()
    machine.hub.status, machine.hub.seconds = 0, 30
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    assert "does not answer (ReadTimeout)" in machine.refused()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in machine.refused()


def test_a_name_that_cannot_be_pulled_says_why(machine: Machine) -> None:
    assert "There is no model 'segmind/tiny'; did you mean segmind/tiny-sd?" in machine.refused("segmind/tiny")
    assert "pika is not a local model" in machine.refused("pika")
    assert "no release of diffusers has a pipeline" in machine.refused("opensora")
    assert "auto has no weights of its own" in machine.refused("auto")
    assert "the hub has no genmo/mochi-1-preview, or it is private" in machine.refused("mochi")


def test_an_entry_whose_name_leads_out_of_the_folder_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"id": "../../evil", "provider": "local", "types": ["text-to-image"], "parameters": {}}
    parameters = {name: {"kind": "integer", "default": 8} for name in ("num_inference_steps", "width", "height")}
    weights = {"family": "pictures", "source": NAME}
    monkeypatch.setenv("TELECINE_MODELS", json.dumps([{**entry, "parameters": parameters, "weights": weights}]))
    assert "would be outside" in machine.refused("../../evil")


def test_a_full_disk_keeps_what_has_arrived(machine: Machine) -> None:
    part = machine.partial(UNET)
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    assert "no space is left for" in machine.refused()
    assert (part.parents[1] / "text_encoder" / "model.safetensors").is_file()


def test_a_download_that_cannot_fit_on_the_disk_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    part = installing.Part("a/b", None, tmp_path / "models")
    found = FoundRepository("a/b", "c" * 40, (), None, "")
    file = HubFile("pytorch_model.bin", 600_000_000, "")  # which is there twice while it is converted
    download = installing.Download(part, found, [file], tmp_path / "models" / "partial")
    with pytest.raises(StorageUnavailable, match=r"needs 1\.3 GB in .*, and 1\.0 GB are free"):
        installing.check_space([download], tmp_path / "models")


def test_on_a_terminal_the_command_asks_and_downloads_nothing_after_no(machine: Machine) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    process = machine.start(stdin=theirs)
    err = process.communicate(timeout=60)[1]
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 1
    assert "licence  creativeml-openrail-m" in err
    assert "Download?" in err
    assert not machine.models.exists()
    assert not machine.hub.fetched(UNET)


def test_the_stand_in_answers_huggingface_hub_itself(machine: Machine, repository: Repository, tmp_path: Path) -> None:
    program = "import sys, huggingface_hub as h; h.snapshot_download(sys.argv[1], local_dir=sys.argv[2])"
    command = [sys.executable, "-c", program, NAME, str(tmp_path / "whole")]
    subprocess.run(command, env=machine.environment(), check=True, timeout=60, capture_output=True)
    assert {path: (tmp_path / "whole" / path).read_bytes() for path in repository.files} == repository.files
