"""The model host: one per process, one call at a time, models kept warm and put away by least recent use."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.catalogue import Model
from providers.local.base import Device, LocalCall, LocalModel, LocalResult, Progress
from providers.local.device import find_device
from providers.weights import GB
from schemas.errors import InsufficientVram, ModelNotInstalled, OutOfMemory
from schemas.settings import Settings

#: Makes a model that is not loaded yet, of its entry; the path is the folder of all weights.
Maker = Callable[[Model, Path], LocalModel]


#: The model's id, its weights as the entry describes them, and whether they stay in main memory.
_Key = tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One warm model."""

    id: str
    #: What it keeps on the device between calls.
    bytes: int
    low_memory: bool


@dataclass(slots=True)
class _Warm:
    model: LocalModel
    bytes: int


class ModelHost:
    """Runs local models. Safe to use from several threads: calls wait for each other."""

    def __init__(
        self,
        folder: Path,
        *,
        device: Callable[[], Device],
        budget_bytes: int | None = None,
        maker: Maker | None = None,
    ) -> None:
        """``device`` is asked when the first model is wanted: until then nothing heavy is imported."""
        self.folder = folder
        self._find_device = device
        self._budget = budget_bytes
        self._maker = maker or make_model
        self._warm: OrderedDict[_Key, _Warm] = OrderedDict()
        self._device: Device | None = None
        self._lock = threading.RLock()
        #: How many models were loaded from their files so far.
        self.loads = 0

    @property
    def device(self) -> Device:
        """Where models run."""
        if self._device is None:
            with self._lock:
                if self._device is None:
                    self._device = self._find_device()
        return self._device

    @property
    def device_found(self) -> Device | None:
        """The device, if it was wanted already. Does not wait for a running call."""
        return self._device

    @property
    def loaded(self) -> list[Loaded]:
        """The warm models, the most recently used last. Does not wait for a running call."""
        return [Loaded(key[0], warm.bytes, key[2]) for key, warm in list(self._warm.items())]

    def run(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        """What the model makes of ``call``. Short of memory, it is tried once more with ``low_memory``.

        Raises:
            InsufficientVram: it cannot fit; nothing was loaded.
            ModelNotInstalled, InvalidWeights: its files are not there, or cannot be used.
            OutOfMemory: it did not fit although it should have; everything was freed.
        """
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the libraries tell each other of their next releases
            try:
                return self._run(entry, call, progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # What the failed call held hangs on the error's frames, and goes with them.
                error.__traceback__ = None
            self.clear()
            again = LocalCall(**{**_fields(call), "low_memory": True})
            try:
                return self._run(entry, again, progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                error.__traceback__ = None
            self.clear()
            raise OutOfMemory(
                f"{entry.id} ran out of memory, also in its low-memory mode; ask for a smaller size or fewer frames"
            )

    def check(self, entry: Model, call: LocalCall) -> None:
        """Returns if ``call`` fits once every other model is put away.

        Raises:
            InsufficientVram: it does not.
            ModelNotInstalled: there are no weights.
        """
        with self._lock:
            need = self._maker(entry, self.folder).need(call)
            if need > (free := self._free() + sum(warm.bytes for warm in self._warm.values())):
                raise insufficient(entry.id, need, free, self.device.kind)

    def clear(self) -> None:
        """Puts every model away."""
        with self._lock:
            while self._warm:
                self._evict()

    def _run(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        weights = entry.weights
        assert weights is not None
        key = (entry.id, weights.model_dump_json(), call.low_memory)
        warm = self._warm.get(key)
        if warm is not None:
            self._warm.move_to_end(key)
            self._make_room(entry.id, warm.model.need(call) - warm.bytes, kept=1)
        else:
            for other in [known for known in self._warm if known[0] == entry.id]:
                self._evict(other)  # the same model in its other mode, or as its entry was before
            model = self._maker(entry, self.folder)
            self._make_room(entry.id, model.need(call))
            before = self.device.free_bytes()
            model.load(self.device, low_memory=call.low_memory)
            self.loads += 1
            warm = _Warm(model, kept_bytes(model, before - self.device.free_bytes()))
            self._warm[key] = warm
        return warm.model.generate(call, progress)

    def _make_room(self, name: str, need: int, *, kept: int = 0) -> None:
        """Puts the least recently used models away until ``need`` fits; none, if all together would not help.

        The last ``kept`` of them stay.
        """
        others = list(self._warm.values())[: len(self._warm) - kept]
        most = self._free() + sum(warm.bytes for warm in others)
        if need > most:
            raise insufficient(name, need, most, self.device.kind)
        while len(self._warm) > kept and need > self._free():
            self._evict()
        if need > (free := self._free()):
            raise insufficient(name, need, free, self.device.kind)

    def _free(self) -> int:
        free = self.device.free_bytes()
        if self._budget is None:
            return free
        return min(free, self._budget - sum(warm.bytes for warm in self._warm.values()))

    def _evict(self, key: _Key | None = None) -> None:
        warm = self._warm.pop(next(iter(self._warm)) if key is None else key)
        warm.model.unload()
        del warm
        self.device.release()


def host_for(settings: Settings) -> ModelHost:
    """The host that the settings describe."""
    return ModelHost(
        settings.local_models_folder,
        device=lambda: find_device(settings),
        budget_bytes=settings.local_memory_bytes,
    )


def make_model(entry: Model, folder: Path) -> LocalModel:
    """The model of an entry, not loaded.

    Raises:
        ModelNotInstalled: the entry has no weights.
    """
    from providers.local.captions import Captioner
    from providers.local.films import FilmModel
    from providers.local.pictures import PictureModel

    if entry.weights is None:
        raise ModelNotInstalled(f"{entry.id} has no weights in the catalogue; give its entry some")
    families: dict[str, Callable[[Model, Path], LocalModel]] = {
        "pictures": PictureModel,
        "film": FilmModel,
        "caption": Captioner,
    }
    return families[entry.weights.family](entry, folder)


def insufficient(name: str, need: int, free: int, kind: str = "cuda") -> InsufficientVram:
    """The refusal with its numbers."""
    what = "RAM" if kind == "cpu" else "VRAM"
    return InsufficientVram(
        f"Insufficient {what}: {name} needs ~{need / GB:.1f}GB, but only {max(0, free) / GB:.1f}GB available."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or this machine, ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    names = {base.__name__ for base in type(error).__mro__}
    return "OutOfMemoryError" in names or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())


def kept_bytes(model: LocalModel, taken: int) -> int:
    """What a loaded model keeps: what it counts itself, else what the device lost."""
    counted = getattr(model, "loaded_bytes", None)
    return int(counted) if counted is not None else max(0, taken)


def _fields(call: LocalCall) -> dict[str, Any]:
    return {name: getattr(call, name) for name in call.__dataclass_fields__}
