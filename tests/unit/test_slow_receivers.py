"""Slow receivers of callbacks."""

from __future__ import annotations

from consumer.callbacks.slow_receivers import MOST_SLOW, SLOW_SECONDS, SlowReceivers


def test_a_receiver_is_slow_until_it_is_quick_and_others_are_not_affected() -> None:
    receivers = SlowReceivers(32)
    assert (receivers.origins, receivers.slots, SlowReceivers(1).slots) == ((), 8, 0)
    receivers.record("https://a.example:8443/x?y", SLOW_SECONDS + 1)
    receivers.record("https://b.example/x", SLOW_SECONDS)
    assert receivers.origins == ("https://a.example:8443",)
    receivers.record("https://a.example:8443/z", 0.1)
    assert not receivers.origins


def test_only_the_most_recent_slow_receivers_are_remembered() -> None:
    receivers = SlowReceivers(32)
    for number in range(MOST_SLOW + 1):
        receivers.record(f"https://{number}.example/", 9)
    assert len(receivers.origins) == MOST_SLOW
    assert "https://0.example" not in receivers.origins
