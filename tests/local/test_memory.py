"""Memory of local models: batch sizes, out of memory, and waiting for the only device."""

from __future__ import annotations

import errno
import threading
import time
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from providers.catalogue import Model
from providers.local import machine, model_cache
from providers.local.base import Device, ImageArray, LocalCall, LocalResult, Progress
from providers.local.device import Cpu
from providers.local.host import ModelHost
from providers.local.image_model import ImageModel
from providers.local.memory_errors import drop_tracebacks, is_out_of_memory
from schemas.errors import InsufficientVram, JobCancelled, OutOfMemory
from tests.local.catalogue_entries import catalogue

SCENES = LocalCall(
    prompts=("a fox", "a hill", "the sea", "the sun", "a house"),
    seeds=(1, 2, 3, 4, 5),
    width=64,
    height=64,
    parameters={"num_inference_steps": 2},
)
#: Estimated memory of one image of this size.
SHARE = 64 * 64 * 3_000


def ignore_progress(part: float) -> None:
    """Ignore progress."""


class FakeDevice(Cpu):
    """The CPU as a device with the given free memory."""

    def __init__(self, free: int) -> None:
        self.free = free

    def free_bytes(self) -> int:
        return self.free


class Recorded(ImageModel):
    """Records the images of each pipeline call."""

    asked: list[list[int]]

    def _generate_batch(self, call: LocalCall, numbers: range, *rest: Any) -> list[ImageArray]:
        Recorded.asked.append(list(numbers))
        return super()._generate_batch(call, numbers, *rest)


class Failing:
    """Progress callback that raises MemoryError after the given steps, counted from 1 over all pipeline calls."""

    def __init__(self, *steps: int) -> None:
        self.left = set(steps)
        self.seen = 0

    def __call__(self, part: float) -> None:
        self.seen += part > 0
        if part > 0 and self.seen in self.left:
            raise MemoryError


@pytest.fixture(name="model")
def _model(weights: Path) -> Model:
    return catalogue(weights).find("segmind/tiny-sd", "text-to-image")


@pytest.fixture(name="alone")
def _alone(host: ModelHost, model: Model) -> list[ImageArray]:
    """Return the scenes, each generated on its own."""
    scenes = zip(SCENES.prompts, SCENES.seeds, strict=True)
    return [
        host.run(model, replace(SCENES, prompts=(text,), seeds=(seed,)), ignore_progress).images[0]
        for text, seed in scenes
    ]


def other(model: Model, **weights: Any) -> Model:
    assert model.weights is not None
    return model.model_copy(update={"weights": model.weights.model_copy(update=weights)})


def recording(weights: Path, free: int, budget: int | None = None) -> ModelHost:
    Recorded.asked = []
    return ModelHost(weights, device=lambda: FakeDevice(free), budget_bytes=budget, model_factory=Recorded)


def equal(made: LocalResult, wanted: list[ImageArray]) -> bool:
    """Return whether the images are equal, except for rounding by one in up to a thousandth of the values.

    A batch sums in a different order.
    """
    apart = np.stack(list(made.images)).astype(int) - np.stack(wanted)
    return bool(np.abs(apart).max() <= 1 and (apart != 0).mean() < 0.001)


@pytest.mark.parametrize(
    ("fit", "calls"),
    [(1, [[0], [1], [2], [3], [4]]), (2, [[0, 1], [2, 3], [4]]), (4, [[0, 1, 2], [3, 4]]), (9, [[0, 1, 2, 3, 4]])],
)
@pytest.mark.parametrize("bounded_by", ["device", "budget"])
def test_scenes_are_made_in_as_few_calls_as_memory_allows_and_are_what_single_calls_make(
    weights: Path, model: Model, alone: list[ImageArray], fit: int, calls: list[list[int]], bounded_by: str
) -> None:
    room = fit * SHARE + SHARE // 2
    host = recording(weights, room) if bounded_by == "device" else recording(weights, 10**12, room)
    made = host.run(model, SCENES, ignore_progress)
    assert Recorded.asked == calls
    assert made.details["batches"] == len(calls)
    assert equal(made, alone)


def test_an_operator_bounds_batches_and_says_what_a_further_picture_takes(weights: Path, model: Model) -> None:
    host = recording(weights, 10**9)
    assert host.run(other(model, most_batch=2), SCENES, ignore_progress).details["batches"] == 3
    stated = other(model, need_gb=0.7, picture_gb=0.2)
    assert host.run(stated, SCENES, ignore_progress).details["batches"] == 3
    assert Recorded.asked[3:] == [[0, 1], [2, 3], [4]]
    assert host.run(other(stated, picture_gb=0.0), SCENES, ignore_progress).details["batches"] == 1


def test_a_picture_that_fits_is_not_refused_because_its_batch_would_not(weights: Path, model: Model) -> None:
    host = recording(weights, 10**9)
    assert host.run(other(model, need_gb=0.9), SCENES, ignore_progress).details["batches"] >= 1
    with pytest.raises(InsufficientVram, match=r"needs ~1\.1GB"):
        host.run(other(model, need_gb=1.1), SCENES, ignore_progress)


def test_a_batch_that_runs_out_of_memory_is_halved_and_what_was_made_is_kept(
    weights: Path, model: Model, alone: list[ImageArray]
) -> None:
    host = recording(weights, 10**9)
    made = host.run(model, SCENES, Failing(2))
    assert Recorded.asked == [[0, 1, 2, 3, 4], [0, 1], [2, 3], [4]]
    assert made.details["batches"] == 3
    assert equal(made, alone)
    Recorded.asked = []
    made = host.run(other(model, most_batch=2), SCENES, Failing(3))
    assert Recorded.asked == [[0, 1], [2, 3], [2], [3], [4]]
    assert equal(made, alone)
    assert "low_vram" not in made.details
    assert [loaded.low_memory for loaded in host.loaded] == [False]


def test_one_picture_that_does_not_fit_is_made_in_low_memory_mode_and_the_manifest_tells(
    weights: Path, model: Model
) -> None:
    host = recording(weights, 10**9)
    made = host.run(model, replace(SCENES, prompts=("a fox",), seeds=(1,)), Failing(1))
    assert made.details["low_vram"] is True
    assert [loaded.low_memory for loaded in host.loaded] == [True]


def test_memory_that_always_ends_ends_the_call_and_leaves_nothing_loaded(weights: Path, model: Model) -> None:
    host = recording(weights, 10**9)
    with pytest.raises(OutOfMemory):
        host.run(model, SCENES, Failing(*range(1, 100)))
    assert host.loaded == []
    assert Recorded.asked == [[0, 1, 2, 3, 4], [0, 1], [0]] * 2
    assert len(host.run(model, SCENES, ignore_progress).images) == 5


def test_out_of_memory_is_known_by_what_torch_and_the_system_say() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**16)
    assert "out of memory" not in str(caught.value)
    assert is_out_of_memory(caught.value)
    ours = (torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), OSError(errno.ENOMEM, "mmap"))
    assert all(is_out_of_memory(error) for error in ours)
    others = (RuntimeError("shapes differ"), OSError(errno.ENOENT, "no file"), OutOfMemory("it was"))
    assert not any(is_out_of_memory(error) for error in others)


def test_what_a_failed_call_held_is_free_while_its_error_is_still_known() -> None:
    seen: list[weakref.ref[torch.Tensor]] = []

    def fails() -> None:
        held = torch.ones(10)
        seen.append(weakref.ref(held))
        try:
            raise MemoryError
        finally:
            raise RuntimeError("while it was tidied up")

    with pytest.raises(RuntimeError) as caught:
        fails()
    error = caught.value
    del caught
    assert seen[0]() is not None
    drop_tracebacks(error)
    assert seen[0]() is None


@pytest.mark.parametrize("wait", ["run", "check"])
def test_a_job_that_waits_for_another_ones_model_can_be_cancelled_at_once(
    weights: Path, model: Model, wait: str
) -> None:
    host = recording(weights, 10**9)
    busy, go_on = threading.Event(), threading.Event()

    def hold(part: float) -> None:
        busy.set()
        assert go_on.wait(60)

    def cancelled(part: float) -> None:
        assert part == 0
        raise JobCancelled

    made: list[LocalResult] = []
    other_job = threading.Thread(target=lambda: made.append(host.run(model, SCENES, hold)))
    other_job.start()
    assert busy.wait(60)
    started = time.monotonic()
    with pytest.raises(JobCancelled):
        getattr(host, wait)(model, SCENES, cancelled)
    assert time.monotonic() - started < 20  # the other job runs until it is released
    assert other_job.is_alive()
    go_on.set()
    other_job.join(60)
    assert len(made[0].images) == 5


def test_a_refusal_keeps_the_same_model_loaded_in_its_other_mode(weights: Path, model: Model) -> None:
    host = recording(weights, 10**9)
    both = other(model, need_gb=2.0)
    host.run(both, replace(SCENES, low_memory=True), ignore_progress)
    with pytest.raises(InsufficientVram):
        host.run(both, SCENES, ignore_progress)
    assert [(loaded.id, loaded.low_memory) for loaded in host.loaded] == [("segmind/tiny-sd", True)]


def test_a_model_that_failed_for_an_unknown_reason_is_loaded_again(
    weights: Path, model: Model, alone: list[ImageArray]
) -> None:
    host = recording(weights, 10**9)

    def fail(part: float) -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        host.run(model, SCENES, fail)
    assert host.loaded == []
    assert equal(host.run(model, SCENES, ignore_progress), alone)
    assert host.load_count == 2


def test_a_model_that_cannot_be_loaded_leaves_nothing_on_the_device(weights: Path, model: Model) -> None:
    made: list[ImageModel] = []

    class Broken(ImageModel):
        def load(self, device: Device, *, low_memory: bool) -> None:
            super().load(device, low_memory=low_memory)
            made.append(self)
            raise RuntimeError("the driver is gone")

    host = ModelHost(weights, device=Cpu, model_factory=Broken)
    with pytest.raises(RuntimeError, match="the driver"):
        host.run(model, SCENES, ignore_progress)
    assert (made[0].pipe, host.loaded) == (None, [])


@dataclass
class ModelInMainMemory:
    """A model whose weights stay in main memory while a GPU computes."""

    entry: Model
    loaded: bool = field(default=False)

    def device_memory_bytes(self, call: LocalCall, *, batch: int = 1) -> int:
        return 1_000

    def main_memory_bytes(self, call: LocalCall, kind: str) -> int:
        return 30_000 if kind == "cuda" else 0

    def load(self, device: Device, *, low_memory: bool) -> None:
        self.loaded = True

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        return LocalResult()

    def unload(self) -> None:
        self.loaded = False


def test_models_with_weights_in_main_memory_are_evicted_before_it_runs_out(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ModelInMainMemory] = []

    def make(entry: Model, folder: Path) -> ModelInMainMemory:
        made.append(ModelInMainMemory(entry))
        return made[-1]

    card = FakeDevice(10**9)
    card.kind = "cuda"
    monkeypatch.setattr(
        model_cache, "memory_bytes", lambda: (80_000, 80_000 - 30_000 * sum(one.loaded for one in made))
    )
    host = ModelHost(Path("/nowhere"), device=lambda: card, model_factory=make)
    for name in ("first", "second", "third"):
        host.run(model.model_copy(update={"id": name}), SCENES, ignore_progress)
    assert [loaded.id for loaded in host.loaded] == ["second", "third"]
    assert [one.loaded for one in made] == [False, True, True]


def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUP_FOLDER", tmp_path)
    whole = machine.memory_bytes()[0]
    (tmp_path / "memory.max").write_text("100000000\n")
    (tmp_path / "memory.current").write_text("70000000\n")
    (tmp_path / "memory.stat").write_text("anon 50000000\ninactive_file 20000000\n")
    assert machine.memory_bytes() == (100_000_000, 50_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory_bytes()[0] == whole
