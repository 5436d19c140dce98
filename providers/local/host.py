"""The model host: one per process, one call at a time. Keeps models loaded; evicts the least recently used."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from providers.catalogue import Model
from providers.local.base import Device, LocalCall, LocalModel, LocalResult, Progress
from providers.local.bounds import answers, within
from providers.local.device import find_device
from providers.local.memory import insufficient, is_out_of_memory, let_go
from providers.local.warm import Key, Loaded, Warm, WarmModels
from providers.weights import GB
from schemas.errors import DeviceFailed, ModelNotInstalled, ModelOutOfMemory, TelecineError
from schemas.settings import Settings

_log = structlog.get_logger()

#: Creates a model, not loaded yet, from its catalogue entry and the folder of all weights.
Maker = Callable[[Model, Path], LocalModel]
#: Callback for the events of a call: ``loaded``, ``step`` and ``made``. Used for failpoints.
Met = Callable[[str], None]

#: Seconds between two cancellation checks of a call that waits for another one.
LOOK_SECONDS = 0.2


class ModelHost:
    """Runs local models. Thread-safe: calls wait for each other."""

    def __init__(
        self,
        folder: Path,
        *,
        device: Callable[[], Device],
        budget_bytes: int | None = None,
        timeout_seconds: float | None = None,
        maker: Maker | None = None,
        met: Met = lambda _: None,
    ) -> None:
        """Create a host. It imports nothing heavy until the first model is needed.

        Args:
            folder: Folder of all weights.
            device: Returns the device; called when the first model is needed.
            budget_bytes: Maximum device memory of all loaded models; ``None`` means all that is free.
            timeout_seconds: A call that takes longer ends after the step it is at.
            maker: Creates a model of its catalogue entry.
            met: Called at each event of a call. An exception from it counts as one from the model.
        """
        self.folder = folder
        self._find_device = device
        self._maker = maker or make_model
        self._met = met
        self._timeout = timeout_seconds
        self._warm = WarmModels(lambda: self.device, budget_bytes)
        self._device: Device | None = None
        self._lock = threading.RLock()
        #: A separate lock, so that a health check does not wait for the first call.
        self._finding = threading.Lock()
        #: Number of times a model was loaded from its files.
        self.loads = 0
        #: Whether the device stopped responding. Only a new process can use it again.
        self.failed = False

    @property
    def device(self) -> Device:
        """The device that models run on. Found at the first access."""
        if self._device is None:
            with self._finding:
                if self._device is None:
                    self._device = self._find_device()
        return self._device

    @property
    def device_found(self) -> Device | None:
        """The device if it has been found already. Does not wait for a running call."""
        return self._device

    @property
    def loaded(self) -> list[Loaded]:
        """The loaded models, most recently used last. Does not wait for a running call."""
        return self._warm.loaded

    def run(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        """Run ``call`` on the model of ``entry``. If memory runs out, try once more in low-memory mode.

        ``progress`` is also called while another thread's call runs; an exception from it ends the wait.

        Raises:
            InsufficientVram: the call cannot fit; no model was loaded.
            ModelNotInstalled: the model's files are missing.
            InvalidWeights: the model's files cannot be used.
            ModelOutOfMemory: memory ran out although the call should have fitted; all memory was freed.
        """
        with self._turn(progress), self._answering(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecation warnings among the libraries
            timed = progress if self._timeout is None else within(self._timeout, entry.id, progress)
            made = self._tried(entry, call, timed)
            if made is not None:
                return made
            self.clear()
            made = self._tried(entry, replace(call, low_memory=True), timed)
            if made is not None:
                return replace(made, details={**made.details, "low_vram": True})
            self.clear()
            raise ModelOutOfMemory(
                f"{entry.id} ran out of memory, also in low-memory mode; request a smaller size or fewer frames"
            )

    def check(self, entry: Model, call: LocalCall, progress: Progress = lambda _: None) -> None:
        """Check that ``call`` fits on the device after all other models are evicted.

        Raises:
            InsufficientVram: it does not fit.
            ModelNotInstalled: the model's files are missing.
        """
        with self._turn(progress), self._answering():
            need = self._maker(entry, self.folder).need(call)
            if need > (most := self._warm.most_bytes()):
                raise insufficient(entry.id, need, most, self.device.kind)

    def clear(self) -> None:
        """Unload all models."""
        with self._lock:
            self._warm.clear()

    @contextlib.contextmanager
    def _turn(self, progress: Progress) -> Iterator[None]:
        while not self._lock.acquire(timeout=LOOK_SECONDS):
            progress(0.0)
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Distinguish a failed call from a failed device, after which no call can succeed.

        Raises:
            DeviceFailed: the device no longer reports its free memory.
        """
        if self.failed:
            raise DeviceFailed
        try:
            yield
        except TelecineError:
            raise
        except Exception as error:
            if self._device is None or answers(self._device):
                raise
            self.failed = True
            _log.error("device_failed", device=self._device.kind, reason=str(error)[:500])
            raise DeviceFailed from error

    def _tried(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult | None:
        """Run the call; return ``None`` if memory ran out."""
        try:
            return self._run(entry, call, progress)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _log.warning("out_of_memory", model=entry.id, low_vram=call.low_memory, reason=str(error)[:500])
            let_go(error)
        return None

    def _run(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        assert entry.weights is not None
        key = (entry.id, entry.weights.model_dump_json(), call.low_memory)
        pictures = max(1, len(call.prompts))
        found = self._warm.use(key)
        if found is not None:
            need, wanted = found.model.need(call), found.model.need(call, batch=pictures)
            self._warm.make_room(key, need - found.bytes, wanted - found.bytes)
        warm = found or self._load(key, entry, call)

        def told(part: float) -> None:
            if part > 0:
                self._met("step")
            progress(part)

        try:
            if found is None:
                progress(0.0)  # loading took a while; the job may have been cancelled
            self._met("loaded")
            made = warm.model.generate(replace(call, room_bytes=self._warm.free_bytes()), told)
            self._met("made")
        except TelecineError:
            raise  # the call was cancelled or refused; the model is ready for the next one
        except Exception:
            self._warm.put_away(key)  # its state is unknown
            raise
        return made

    def _load(self, key: Key, entry: Model, call: LocalCall) -> Warm:
        model = self._maker(entry, self.folder)
        self._warm.make_room(key, model.need(call), model.need(call, batch=max(1, len(call.prompts))))
        main_bytes = model.main_need(call, self.device.kind)
        if main_bytes:
            self._warm.make_main_room(main_bytes)
        before, started = self.device.free_bytes(), time.monotonic()
        try:
            model.load(self.device, low_memory=call.low_memory)
        except Exception:
            model.unload()
            self.device.release()
            raise
        self.loads += 1
        warm = Warm(model, kept_bytes(model, before - self.device.free_bytes()), main_bytes)
        self._warm.keep(key, warm)
        seconds, size = round(time.monotonic() - started, 1), round(warm.bytes / GB, 2)
        _log.info("model_loaded", model=entry.id, seconds=seconds, gb=size, low_vram=call.low_memory)
        return warm


def host_for(settings: Settings, *, met: Met = lambda _: None) -> ModelHost:
    """Return the model host for the settings."""
    return ModelHost(
        settings.local_models_folder,
        device=lambda: find_device(settings),
        budget_bytes=settings.local_memory_bytes,
        timeout_seconds=settings.local_timeout_seconds,
        met=met,
    )


def make_model(entry: Model, folder: Path) -> LocalModel:
    """Create the model of a catalogue entry without loading it.

    Raises:
        ModelNotInstalled: the entry has no weights.
    """
    from providers.local.captions import Captioner
    from providers.local.films import FilmModel
    from providers.local.pictures import PictureModel

    if entry.weights is None:
        raise ModelNotInstalled(f"{entry.id} has no weights in the catalogue; set weights in its entry")
    families: dict[str, Callable[[Model, Path], LocalModel]] = {
        "pictures": PictureModel,
        "film": FilmModel,
        "caption": Captioner,
    }
    return families[entry.weights.family](entry, folder)


def kept_bytes(model: LocalModel, taken: int) -> int:
    """Return the memory a loaded model keeps: its own count, else what the device lost while it was loaded."""
    counted = getattr(model, "loaded_bytes", None)
    return int(counted) if counted is not None else max(0, taken)
