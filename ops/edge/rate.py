"""A limit on the rate of calls, for each tenant of one edge process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ops.edge.refusal import Refusal

_MINUTE = 60.0


class RateLimit:
    """Lets a number of calls a minute through. A tenant that was idle for a minute may make them all at once."""

    def __init__(self, per_minute: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        #: When a tenant that makes no more calls has its whole minute again.
        self._full_at: dict[str | None, float] = {}

    def count(self, tenant: str | None) -> None:
        """Count one call of the tenant.

        Raises:
            Refusal: It is one too many.
        """
        if self._per_minute is None:
            return
        now, one = self._clock(), _MINUTE / self._per_minute
        full_at = max(now, self._full_at.get(tenant, now)) + one
        early = full_at - now - _MINUTE
        if early > 1e-9:
            raise Refusal(
                429,
                "rate_limited",
                f"Rate limit exceeded: at most {self._per_minute} calls a minute; send it again later",
                retry_after=str(math.ceil(early)),
            )
        self._full_at[tenant] = full_at
