"""The provider adapters of one event loop, opened when first used."""

from __future__ import annotations

import threading
from collections.abc import Callable

from providers.base import RemoteProvider


class ProviderPool:
    """Adapters by provider. Use and close them in one event loop; ``get`` may be called from any thread."""

    def __init__(self, opener: Callable[[str], RemoteProvider]) -> None:
        self._open = opener
        self._opened: dict[str, RemoteProvider] = {}
        self._lock = threading.Lock()

    def get(self, provider: str) -> RemoteProvider:
        """Return the provider's adapter.

        Raises:
            ProviderNotConfigured: A setting is missing; the message names it.
        """
        with self._lock:
            if provider not in self._opened:
                self._opened[provider] = self._open(provider)
            return self._opened[provider]

    def is_set_up(self, provider: str) -> bool:
        """Return whether the provider can be called here."""
        try:
            self.get(provider)
        except Exception:  # a setting or a package is missing
            return False
        return True

    def can_find(self, provider: str) -> bool:
        """Return whether the provider can be searched for a call that it may have received."""
        try:
            return self.get(provider).can_find
        except Exception:  # the provider is no longer configured: an operator has to decide
            return False

    async def aclose(self) -> None:
        """Close the adapters that were opened."""
        for adapter in self._opened.values():
            await adapter.aclose()
        self._opened.clear()
