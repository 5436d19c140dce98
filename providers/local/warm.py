"""The models that are loaded, and room for one more: the least recently used are put away first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from providers.local.base import Device, LocalModel
from providers.local.machine import memory_bytes
from providers.local.memory import insufficient
from providers.weights import GB

_log = structlog.get_logger()

#: A model's id, its weights as the entry describes them, and whether they stay in main memory.
Key = tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One warm model."""

    id: str
    #: What it keeps on the device between calls.
    bytes: int
    low_memory: bool


@dataclass(slots=True)
class Warm:
    """One warm model, as the host needs it."""

    model: LocalModel
    bytes: int
    #: What it keeps in main memory, where the device has memory of its own.
    main_bytes: int = 0


class WarmModels:
    """What stays on the device from call to call. Whoever changes it holds the host's lock."""

    def __init__(self, device: Callable[[], Device], budget_bytes: int | None) -> None:
        self._device = device
        self._budget = budget_bytes
        self._models: OrderedDict[Key, Warm] = OrderedDict()

    @property
    def loaded(self) -> list[Loaded]:
        """The models, the most recently used last. Safe to ask without the lock."""
        return [Loaded(key[0], warm.bytes, key[2]) for key, warm in list(self._models.items())]

    def use(self, key: Key) -> Warm | None:
        """The model of ``key``, from now on the most recently used; nothing, if it is not here."""
        warm = self._models.get(key)
        if warm is not None:
            self._models.move_to_end(key)
        return warm

    def keep(self, key: Key, warm: Warm) -> None:
        """Adds a model that was loaded."""
        self._models[key] = warm

    def free_bytes(self) -> int:
        """What a call could take now. Less than nothing, where loaded models take more than they may."""
        free = self._device().free_bytes()
        if self._budget is None:
            return free
        return min(free, self._budget - sum(warm.bytes for warm in self._models.values()))

    def most_bytes(self, key: Key | None = None) -> int:
        """What a call could take, were every model put away but that of ``key``."""
        return self.free_bytes() + sum(warm.bytes for other, warm in self._models.items() if other != key)

    def make_room(self, key: Key, need: int, wanted: int) -> None:
        """Puts models away, but not that of ``key``, until ``wanted`` fits, or as much of it as ever can.

        Raises:
            InsufficientVram: not even ``need`` fits. No model is put away, if that was foreseen.
        """
        most = self.most_bytes(key)
        if need > most:
            raise insufficient(key[0], need, most, self._device().kind)
        wanted = min(max(need, wanted), most)
        for other in [known for known in self._models if known != key]:
            # The same model in its other mode, or as its entry was before, is not wanted again.
            if other[0] == key[0] or wanted > self.free_bytes():
                self.put_away(other)
        if need > (free := self.free_bytes()):
            raise insufficient(key[0], need, free, self._device().kind)

    def make_main_room(self, need: int) -> None:
        """Puts models away that keep their weights in main memory, until so much is free there."""
        for key in [key for key, warm in self._models.items() if warm.main_bytes]:
            if need <= memory_bytes()[1]:
                return
            self.put_away(key)

    def put_away(self, key: Key) -> None:
        """Unloads one model, if it is here."""
        warm = self._models.pop(key, None)
        if warm is None:
            return
        _log.info("model_put_away", model=key[0], gb=round(warm.bytes / GB, 2), low_vram=key[2])
        warm.model.unload()
        del warm
        self._device().release()

    def clear(self) -> None:
        """Unloads every model."""
        for key in list(self._models):
            self.put_away(key)
