"""Pickle bombs that ``telecine models pull`` downloads, and the download at a model's first use."""

from __future__ import annotations

import collections
import fcntl
import io
import json
import pickle
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from consumer.ledger.states import State
from ops.availability import obstacles
from ops.demo.story import story_request
from pipelines.models.first_use import pull_in_process
from pipelines.models.routing import choose_backend
from providers.local.base import LocalCall
from providers.local.device import Cpu
from providers.local.host import ModelHost
from providers.registry import catalogue_of
from providers.weights import GB
from schemas.envelope import Request
from schemas.errors import JobCancelled, ModelNotInstalled
from schemas.parse import parse_request
from schemas.settings import Settings
from tests.cli_operator import an_operator
from tests.doubles.hub import Repository
from tests.local.pull_machine import (
    CALL,
    COMMIT,
    NAME,
    PICKLED_UNET,
    UNET,
    Machine,
    a_machine,
    make_pickled,
    make_repository_folder,
    stalled,
    the_repository,
)
from tests.local.test_convert import MaliciousPickle
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until

_operator = pytest.fixture(an_operator, name="operator")
_folder = pytest.fixture(make_repository_folder, name="repository_folder", scope="module")
_machine = pytest.fixture(a_machine, name="machine")
_repository = pytest.fixture(the_repository, name="repository")
_pickled = pytest.fixture(make_pickled, name="pickled_repository")


class _Storage:
    pass


class _Huge:
    """A tensor that claims to need 40 TB of memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (_Storage(), 0, (2,), (1,), False, collections.OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, held: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", 10**13, None) if isinstance(held, _Storage) else None


def _file_with(bomb: Any) -> bytes:
    """Return a file in torch's older format, in which a tensor's description says how much memory it takes."""
    held = io.BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(head, held, protocol=2)
    _Pickler(held, protocol=2).dump({"a": bomb})
    pickle.dump(["0"], held, protocol=2)
    return held.getvalue()


def test_a_pickle_bomb_is_refused_in_the_child_and_what_was_downloaded_deleted(
    machine: Machine, pickled_repository: Repository
) -> None:
    harmed = machine.operator.home / "harmed"
    for bomb, says in ((MaliciousPickle(harmed), "no code in it was run"), (_Huge(), "take more memory")):
        pickled_repository.files[PICKLED_UNET] = _file_with(bomb)
        assert says in machine.refused()
        assert not harmed.exists()
        assert not list(machine.models.rglob("*.bin"))


def test_a_cancelled_job_ends_the_download_and_what_came_is_kept(
    machine: Machine, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.harms[UNET] = [stalled]
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)

    def progress(part: float) -> None:
        if machine.partial(UNET).is_file() and machine.partial(UNET).stat().st_size:
            raise JobCancelled

    host = ModelHost(machine.models, device=Cpu, installer=pull_in_process)
    with pytest.raises(JobCancelled):
        host.run(catalogue_of(Settings()).find(NAME, "text-to-image"), CALL, progress)
    assert _is_unlocked(machine.models / ".partial")
    assert machine.partial(UNET).stat().st_size == len(repository.files[UNET]) // 2


def test_auto_downloads_the_first_backend_that_fits(tmp_path: Path) -> None:
    catalogue, call = catalogue_of(Settings()), LocalCall(prompts=["a fox"], low_memory=True)
    auto = catalogue.find("auto", "text-to-video")
    asked: list[str] = []
    host = ModelHost(
        tmp_path, device=Cpu, budget_bytes=5 * GB, installer=lambda model, progress, adapter: asked.append(model.id)
    )
    chosen = choose_backend(auto, call, "text-to-video", catalogue, host, lambda part: None)
    with pytest.raises(ModelNotInstalled):
        host.run(chosen, call, lambda part: None)
    assert asked == ["wan-1.3b"]  # wan needs 8 GB in low-memory mode


def test_a_plan_has_no_obstacle_where_the_weights_will_be_downloaded(tmp_path: Path) -> None:
    request = parse_request(json.dumps({"id": "a", "type": "text-to-image", "data": {"prompt": "a fox"}}).encode())
    assert isinstance(request, Request)
    assert obstacles(Settings(home=tmp_path, local_pull=True), request) == []
    assert f"telecine models pull {NAME}" in obstacles(Settings(home=tmp_path), request)[0]


def test_the_demo_story_with_the_default_model_downloads_it_at_its_first_use_in_spite_of_a_kill(
    machine: Machine, pickled_repository: Repository, tmp_path: Path
) -> None:
    half = len(pickled_repository.files[PICKLED_UNET]) // 2
    pickled_repository.harms[PICKLED_UNET] = [stalled]
    with Receiver() as receiver:
        request = story_request(receiver.url)
        del request["data"]["model"]
        deployment = TelecineProcess(tmp_path / "fresh", local_pull=True, local_device="cpu", local_threads=1)
        deployment.environment |= {"HF_ENDPOINT": machine.hub.url, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        with deployment:
            deployment.start().submit(request)
            folder = deployment.settings.local_models_folder
            partial = folder / machine.partial(PICKLED_UNET).relative_to(machine.models)
            wait_until(lambda: partial.is_file() and partial.stat().st_size == half)
            deployment.kill()
            wait_until(lambda: _is_unlocked(folder / ".partial"))  # the download ends with its worker
            job = deployment.start().wait_for_job(request["id"], timeout=200)
            assert job.state is State.COMPLETED, job.error
            wait_until(lambda: [seen for seen in receiver.attempts if seen.json()["data"]["id"] == job.id])
        ranges = [seen.headers["range"] for seen in machine.hub.fetched(PICKLED_UNET)]
        assert ranges == ["bytes=0-", f"bytes={half}-"]
        video = deployment.settings.storage_folder / "results" / job.id / "video.mp4"
        with av.open(str(video)) as film:
            frames = sum(1 for _ in film.decode(video=0))
        facts = next(one for one in (job.outcome or {})["outputs"] if one["name"] == "video.mp4")
        assert frames == facts["frames"] > 6 * 20
        made = json.loads((video.parent / "manifest.json").read_text())
        assert COMMIT in json.dumps(made)


def _is_unlocked(folder: Path) -> bool:
    """Return whether no process downloads into the folder any longer."""
    with next(folder.glob("*.lock")).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
