"""The loaded models. To make room for another one, the least recently used are evicted first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from providers.local.base import Device, LocalModel
from providers.local.machine import memory_bytes
from providers.local.memory_errors import insufficient_memory
from providers.weights import GB

_log = structlog.get_logger()

#: Model id, the entry's ``weights`` as JSON, and whether the weights stay in main memory.
Key = tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One loaded model, as reported to others."""

    id: str
    #: Device memory that it keeps between calls.
    bytes: int
    low_memory: bool


@dataclass(slots=True)
class CachedModel:
    """One loaded model, as the host uses it."""

    model: LocalModel
    bytes: int
    #: Main memory that it keeps if the device has its own memory.
    main_memory_bytes: int = 0


class ModelCache:
    """The models that stay on the device between calls. Callers that change it hold the host's lock."""

    def __init__(self, device: Callable[[], Device], budget_bytes: int | None) -> None:
        self._device = device
        self._budget = budget_bytes
        self._models: OrderedDict[Key, CachedModel] = OrderedDict()

    @property
    def loaded(self) -> list[LoadedModel]:
        """The models, most recently used last. Safe to read without the lock."""
        return [LoadedModel(key[0], cached.bytes, key[2]) for key, cached in list(self._models.items())]

    def get(self, key: Key) -> CachedModel | None:
        """Return the model of ``key`` and mark it as the most recently used; ``None`` if it is not loaded."""
        cached = self._models.get(key)
        if cached is not None:
            self._models.move_to_end(key)
        return cached

    def add(self, key: Key, cached: CachedModel) -> None:
        """Add a loaded model."""
        self._models[key] = cached

    def free_bytes(self) -> int:
        """Return the device memory available now. Negative if the loaded models exceed the budget."""
        free = self._device().free_bytes()
        if self._budget is None:
            return free
        return min(free, self._budget - sum(cached.bytes for cached in self._models.values()))

    def max_free_bytes(self, key: Key | None = None) -> int:
        """Return the device memory that would be available if all models but ``key``'s were evicted."""
        return self.free_bytes() + sum(cached.bytes for other, cached in self._models.items() if other != key)

    def make_room(self, key: Key, need: int, wanted: int) -> None:
        """Evict models other than ``key``'s until ``wanted`` bytes fit, or as much of that as possible.

        Raises:
            InsufficientVram: even ``need`` does not fit. If that can be computed in advance, no model is evicted.
        """
        most = self.max_free_bytes(key)
        if need > most:
            raise insufficient_memory(key[0], need, most, self._device().kind)
        wanted = min(max(need, wanted), most)
        for other in [known for known in self._models if known != key]:
            # The same model in its other mode or with an older entry will not be needed again.
            if other[0] == key[0] or wanted > self.free_bytes():
                self.evict(other)
        if need > (free := self.free_bytes()):
            raise insufficient_memory(key[0], need, free, self._device().kind)

    def make_main_memory_room(self, need: int) -> None:
        """Evict models that keep weights in main memory until ``need`` bytes of it are available."""
        for key in [key for key, cached in self._models.items() if cached.main_memory_bytes]:
            if need <= memory_bytes()[1]:
                return
            self.evict(key)

    def evict(self, key: Key) -> None:
        """Unload one model, if it is loaded."""
        cached = self._models.pop(key, None)
        if cached is None:
            return
        _log.info("model_evicted", model=key[0], gb=round(cached.bytes / GB, 2), low_vram=key[2])
        cached.model.unload()
        del cached
        self._device().release()

    def clear(self) -> None:
        """Unload all models."""
        for key in list(self._models):
            self.evict(key)
