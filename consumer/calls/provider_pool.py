"""The providers' adapters of one event loop, opened when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from providers.base import RemoteProvider


class ProviderPool:
    """Adapters by provider. To be used from one event loop and closed there; any thread may ask for one."""

    def __init__(self, opener: Callable[[str], RemoteProvider]) -> None:
        self._open = opener
        self._opened: dict[str, RemoteProvider] = {}
        self._lock = threading.Lock()

    def get(self, provider: str) -> RemoteProvider:
        """The adapter.

        Raises:
            ProviderNotConfigured: a setting is missing; the message names it.
        """
        with self._lock:
            if provider not in self._opened:
                self._opened[provider] = self._open(provider)
            return self._opened[provider]

    def can_find(self, provider: str) -> bool:
        """Whether the provider can be asked for a call that it may have got."""
        try:
            return self.get(provider).can_find
        except Exception:  # not configured any more: a person has to look
            return False

    async def aclose(self) -> None:
        """Closes what was opened."""
        for adapter in self._opened.values():
            await adapter.aclose()
        self._opened.clear()
