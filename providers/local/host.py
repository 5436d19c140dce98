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
from providers.local.device import find_device, responds
from providers.local.memory_errors import drop_tracebacks, insufficient_memory, is_out_of_memory
from providers.local.model_cache import CachedModel, Key, LoadedModel, ModelCache
from providers.local.timeouts import with_timeout
from providers.local.weight_files import has_adapter, has_weights, is_downloadable
from providers.weights import GB
from schemas.errors import DeviceFailed, InsufficientVram, ModelNotInstalled, ModelOutOfMemory, TelecineError
from schemas.settings import Settings

_log = structlog.get_logger()

#: Creates a model, not loaded yet, from its catalogue entry and the folder of all weights.
ModelFactory = Callable[[Model, Path], LocalModel]
#: Installs what a model lacks; the last argument says whether its adapter is needed. Calls ``progress`` while it waits.
Installer = Callable[[Model, Progress, bool], None]
#: Callback for the events of a call: ``loaded``, ``step`` and ``made``. Used for failpoints.
EventCallback = Callable[[str], None]

#: Seconds between two cancellation checks of a call that waits for another one.
WAIT_POLL_SECONDS = 0.2


class ModelHost:
    """Runs local models. Thread-safe: calls wait for each other."""

    def __init__(
        self,
        folder: Path,
        *,
        device: Callable[[], Device],
        budget_bytes: int | None = None,
        timeout_seconds: float | None = None,
        model_factory: ModelFactory | None = None,
        installer: Installer | None = None,
        on_event: EventCallback = lambda _: None,
    ) -> None:
        """Create a host. It imports nothing heavy until the first model is needed.

        Args:
            folder: Folder of all weights.
            device: Returns the device; called when the first model is needed.
            budget_bytes: Maximum device memory of all loaded models; ``None`` means all that is free.
            timeout_seconds: A call that takes longer ends after the step it is at.
            model_factory: Creates a model of its catalogue entry.
            installer: Downloads weights that are missing; ``None`` where that is not allowed.
            on_event: Called at each event of a call. An exception from it counts as one from the model.
        """
        self.folder = folder
        self._find_device = device
        self._model_factory = model_factory or create_model
        self._installer = installer
        self._on_event = on_event
        self._timeout = timeout_seconds
        self._cache = ModelCache(lambda: self.device, budget_bytes)
        self._device: Device | None = None
        self._lock = threading.RLock()
        #: A separate lock, so that a health check does not wait for the first call.
        self._finding = threading.Lock()
        #: Number of times a model was loaded from its files.
        self.load_count = 0
        #: Whether the device stopped responding. Only a new process can use it again.
        self.device_failed = False

    @property
    def device(self) -> Device:
        """The device that models run on. Found at the first access."""
        if self._device is None:
            with self._finding:
                if self._device is None:
                    self._device = self._find_device()
        return self._device

    @property
    def known_device(self) -> Device | None:
        """The device if it has been found already. Does not wait for a running call."""
        return self._device

    @property
    def installs(self) -> bool:
        """Whether missing weights are downloaded."""
        return self._installer is not None

    @property
    def loaded(self) -> list[LoadedModel]:
        """The loaded models, most recently used last. Does not wait for a running call."""
        return self._cache.loaded

    def run(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        """Run ``call`` on the model of ``entry``, in low-memory mode if it fits in no other or if memory runs out.

        ``progress`` is also called while another thread's call runs; an exception from it ends the wait.

        Raises:
            InsufficientVram: the call cannot fit; no model was loaded.
            ModelNotInstalled: the model's files are missing.
            InvalidWeights: the model's files cannot be used.
            ModelOutOfMemory: memory ran out although the call should have fitted; all memory was freed.
        """
        self.install(entry, progress)
        with self._device_lock(progress), self._detect_device_failure(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecation warnings among the libraries
            timed = progress if self._timeout is None else with_timeout(self._timeout, entry.id, progress)
            if (lower := in_low_memory(entry, call)) is not None:
                with contextlib.suppress(InsufficientVram):
                    return self._run_with_retry(entry, call, timed)
                call = lower
            return self._run_with_retry(entry, call, timed)

    def check(self, entry: Model, call: LocalCall, progress: Progress = lambda _: None) -> None:
        """Check that ``call`` fits on the device after all other models are evicted.

        Raises:
            InsufficientVram: it does not fit.
            ModelNotInstalled: the model's files are missing.
        """
        with self._device_lock(progress), self._detect_device_failure():
            need = self._model_factory(entry, self.folder).device_memory_bytes(call)
            if need > (most := self._cache.max_free_bytes()):
                raise insufficient_memory(entry.id, need, most, self.device.kind)

    def install(self, entry: Model, progress: Progress, *, adapter: bool = False) -> None:
        """Download what the model lacks, if that is allowed; other calls can run meanwhile.

        Raises:
            ProviderUnavailable: the hub does not answer.
            InvalidWeights: what it sends cannot be used.
        """
        missing = not has_weights(entry, self.folder) if not adapter else not has_adapter(entry, self.folder)
        if self._installer is not None and missing and is_downloadable(entry):
            self._installer(entry, progress, adapter)

    def could_fit(self, entry: Model, call: LocalCall) -> bool:
        """Return whether a model that is not installed fits by what its entry states, after all others are evicted."""
        assert entry.weights is not None
        need = entry.weights.low_need_gb if call.low_memory else entry.weights.need_gb
        return need is None or need * GB <= self._cache.max_free_bytes()

    def unload_all(self) -> None:
        """Unload all models."""
        with self._lock:
            self._cache.clear()

    @contextlib.contextmanager
    def _device_lock(self, progress: Progress) -> Iterator[None]:
        while not self._lock.acquire(timeout=WAIT_POLL_SECONDS):
            progress(0.0)
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _detect_device_failure(self) -> Iterator[None]:
        """Distinguish a failed call from a failed device, after which no call can succeed.

        Raises:
            DeviceFailed: the device no longer reports its free memory.
        """
        if self.device_failed:
            raise DeviceFailed
        try:
            yield
        except TelecineError:
            raise
        except Exception as error:
            if self._device is None or responds(self._device):
                raise
            self.device_failed = True
            _log.error("device_failed", device=self._device.kind, reason=str(error)[:500])
            raise DeviceFailed from error

    def _run_with_retry(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        """Run the call. If memory runs out, try once more in low-memory mode."""
        made = self._run_or_oom(entry, call, progress)
        if made is None:
            self.unload_all()
            call = replace(call, low_memory=True)
            made = self._run_or_oom(entry, call, progress)
        if made is None:
            self.unload_all()
            raise ModelOutOfMemory(
                f"{entry.id} ran out of memory, also in low-memory mode; request a smaller size or fewer frames"
            )
        return replace(made, details={**made.details, "low_vram": True}) if call.low_memory else made

    def _run_or_oom(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult | None:
        """Run the call; return ``None`` if memory ran out."""
        try:
            return self._run(entry, call, progress)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _log.warning("out_of_memory", model=entry.id, low_vram=call.low_memory, reason=str(error)[:500])
            drop_tracebacks(error)
        return None

    def _run(self, entry: Model, call: LocalCall, progress: Progress) -> LocalResult:
        assert entry.weights is not None
        key = (entry.id, entry.weights.model_dump_json(), call.low_memory)
        images = max(1, len(call.prompts))
        found = self._cache.get(key)
        if found is not None:
            need, wanted = found.model.device_memory_bytes(call), found.model.device_memory_bytes(call, batch=images)
            self._cache.make_room(key, need - found.bytes, wanted - found.bytes)
        cached = found or self._load(key, entry, call)

        def report(part: float) -> None:
            if part > 0:
                self._on_event("step")
            progress(part)

        try:
            if found is None:
                progress(0.0)  # loading took a while; the job may have been cancelled
            self._on_event("loaded")
            made = cached.model.generate(replace(call, free_bytes=self._cache.free_bytes()), report)
            self._on_event("made")
        except TelecineError:
            raise  # the call was cancelled or refused; the model is ready for the next one
        except Exception:
            self._cache.evict(key)  # its state is unknown
            raise
        return made

    def _load(self, key: Key, entry: Model, call: LocalCall) -> CachedModel:
        model = self._model_factory(entry, self.folder)
        self._cache.make_room(
            key, model.device_memory_bytes(call), model.device_memory_bytes(call, batch=max(1, len(call.prompts)))
        )
        main_memory_bytes = model.main_memory_bytes(call, self.device.kind)
        if main_memory_bytes:
            self._cache.make_main_memory_room(main_memory_bytes)
        before, started = self.device.free_bytes(), time.monotonic()
        try:
            model.load(self.device, low_memory=call.low_memory)
        except Exception:
            model.unload()
            self.device.release()
            raise
        self.load_count += 1
        cached = CachedModel(model, resident_bytes(model, before - self.device.free_bytes()), main_memory_bytes)
        self._cache.add(key, cached)
        seconds, size = round(time.monotonic() - started, 1), round(cached.bytes / GB, 2)
        _log.info("model_loaded", model=entry.id, seconds=seconds, gb=size, low_vram=call.low_memory)
        return cached


def host_for(
    settings: Settings, *, installer: Installer | None = None, on_event: EventCallback = lambda _: None
) -> ModelHost:
    """Return the model host for the settings."""
    return ModelHost(
        settings.local_models_folder,
        device=lambda: find_device(settings),
        budget_bytes=settings.local_memory_bytes,
        timeout_seconds=settings.local_timeout_seconds,
        installer=installer,
        on_event=on_event,
    )


def in_low_memory(entry: Model, call: LocalCall) -> LocalCall | None:
    """Return the call in low-memory mode; ``None`` if it is, or if the entry does not state what that needs."""
    stated = entry.weights is not None and entry.weights.low_need_gb is not None
    return replace(call, low_memory=True) if stated and not call.low_memory else None


def create_model(entry: Model, folder: Path) -> LocalModel:
    """Create the model of a catalogue entry without loading it.

    Raises:
        ModelNotInstalled: the entry has no weights.
    """
    from providers.local.image_captioner import ImageCaptioner
    from providers.local.image_model import ImageModel
    from providers.local.video_model import VideoModel

    if entry.weights is None:
        raise ModelNotInstalled(f"{entry.id} has no weights in the catalogue; set weights in its entry")
    families: dict[str, Callable[[Model, Path], LocalModel]] = {
        "pictures": ImageModel,
        "film": VideoModel,
        "caption": ImageCaptioner,
    }
    return families[entry.weights.family](entry, folder)


def resident_bytes(model: LocalModel, taken: int) -> int:
    """Return the memory a loaded model keeps: its own count, else what the device lost while it was loaded."""
    counted = getattr(model, "loaded_bytes", None)
    return int(counted) if counted is not None else max(0, taken)
