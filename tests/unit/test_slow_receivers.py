"""Which receivers are slow."""

from __future__ import annotations

from consumer.callbacks.slow_receivers import MOST_SLOW, SLOW_SECONDS, SlowReceivers


def test_a_receiver_is_slow_until_it_is_quick_and_others_are_not_touched() -> None:
    lanes = SlowReceivers(32)
    assert (lanes.slow, lanes.slow_places, SlowReceivers(1).slow_places) == ((), 8, 0)
    lanes.seen("https://a.example:8443/x?y", SLOW_SECONDS + 1)
    lanes.seen("https://b.example/x", SLOW_SECONDS)
    assert lanes.slow == ("https://a.example:8443",)
    lanes.seen("https://a.example:8443/z", 0.1)
    assert not lanes.slow


def test_so_many_are_remembered_and_the_oldest_is_forgotten() -> None:
    lanes = SlowReceivers(32)
    for number in range(MOST_SLOW + 1):
        lanes.seen(f"https://{number}.example/", 9)
    assert len(lanes.slow) == MOST_SLOW
    assert "https://0.example" not in lanes.slow
