"""The edge's limit on the rate of calls."""

from __future__ import annotations

import pytest

from ops.edge.rate import RateLimit
from ops.edge.refusal import Refusal


def test_each_tenant_has_its_own_calls_and_gets_them_back_with_time() -> None:
    now = [100.0]
    rate = RateLimit(6, clock=lambda: now[0])

    def allowed(tenant: str) -> int:
        for number in range(20):
            try:
                rate.count(tenant)
            except Refusal:
                return number
        return 20

    assert (allowed("a"), allowed("b")) == (6, 6)
    now[0] += 25
    assert allowed("a") == 2
    with pytest.raises(Refusal, match="at most 6 calls a minute") as refused:
        rate.count("a")
    assert refused.value.headers == {"retry-after": "5"}
    now[0] += 3600
    assert allowed("a") == 6
    for _ in range(1000):
        RateLimit(None).count("a")
