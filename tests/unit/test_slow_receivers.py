"""Which deliveries may start while receivers do not respond."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from consumer.callbacks.slow_receivers import (
    LATE_FACTOR,
    LATE_SECONDS,
    MOST_KNOWN,
    SLOW_SECONDS,
    InFlight,
    SlowReceivers,
    origin_of,
    site_of,
)
from consumer.ledger.outbox import DueCallback

SLOTS = 32
GOOD = "https://good.example/hook"


class Clock:
    """Monotonic time that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receivers(clock: Clock) -> SlowReceivers:
    return SlowReceivers(SLOTS, clock)


def due(urls: Iterable[str], *, unanswered: bool = False) -> list[DueCallback]:
    return [DueCallback(url, url, float(number), unanswered) for number, url in enumerate(urls)]


def silent(count: int) -> list[str]:
    return [f"https://{number}.silent-{number}.example/" for number in range(count)]


def respond(receivers: SlowReceivers, clock: Clock, url: str, seconds: float) -> None:
    item = receivers.start(url)
    clock.now += seconds
    receivers.answered(item)
    receivers.finish(item)


def chosen(receivers: SlowReceivers, urls: Iterable[str]) -> list[str]:
    return receivers.choose(due(urls), most=1000)


def start(receivers: SlowReceivers, urls: Iterable[str]) -> list[InFlight]:
    return [receivers.start(url) for url in urls]


def test_one_origin_gets_one_probe_then_few_places_if_it_is_slow_and_most_if_it_is_quick_attack_4(
    receivers: SlowReceivers, clock: Clock
) -> None:
    many = [f"https://a.example/{number}" for number in range(100)]
    assert len(chosen(receivers, many)) == 1
    respond(receivers, clock, many[0], 0.1)
    assert len(chosen(receivers, many)) == SLOTS - SLOTS // 4
    respond(receivers, clock, many[0], SLOW_SECONDS + 1)
    assert len(chosen(receivers, many)) == SLOTS // 4
    start(receivers, many[:5])
    assert len(chosen(receivers, many)) == SLOTS // 4 - 5


def test_many_silent_origins_leave_places_to_one_that_responded_quickly_attack_4(
    receivers: SlowReceivers, clock: Clock
) -> None:
    respond(receivers, clock, GOOD, 0.1)
    picked = chosen(receivers, [*silent(250), GOOD])
    assert picked[-1] == GOOD
    assert len(picked) == SLOTS - SLOTS // 4 + 1
    start(receivers, picked[:-1])
    assert receivers.free == SLOTS // 4
    assert chosen(receivers, [*silent(250)[24:], GOOD]) == [GOOD]


def test_late_deliveries_give_their_places_back_up_to_a_limit_attack_4(receivers: SlowReceivers, clock: Clock) -> None:
    waiting, rounds = silent(1000), 0
    while picked := receivers.choose(due(waiting), most=receivers.free):
        waiting = waiting[len(picked) :]
        start(receivers, picked)
        clock.now += LATE_SECONDS + 0.01
        rounds += 1
    assert 1000 - len(waiting) == SLOTS * LATE_FACTOR
    assert rounds <= 12
    assert receivers.free == SLOTS  # for quick ones
    respond(receivers, clock, GOOD, 0.1)
    assert chosen(receivers, [*waiting, GOOD]) == [GOOD]


def test_origins_of_one_domain_share_a_limit_attack_4(receivers: SlowReceivers, clock: Clock) -> None:
    wildcard = [f"https://{number}.mallory.example/" for number in range(1000)]
    taken = 0
    while picked := receivers.choose(due(wildcard[taken:]), most=receivers.free):
        start(receivers, picked)
        taken += len(picked)
        clock.now += LATE_SECONDS + 0.01
    assert taken == SLOTS * LATE_FACTOR // 4
    assert chosen(receivers, [*wildcard[taken:], "https://new.example/"]) == ["https://new.example/"]


def test_a_receiver_is_slow_while_it_is_silent_and_after_a_restart_if_it_was_silent_before(
    receivers: SlowReceivers, clock: Clock
) -> None:
    respond(receivers, clock, GOOD, 0.1)
    start(receivers, [GOOD] * 10)
    clock.now += SLOW_SECONDS + 0.1
    assert chosen(receivers, [GOOD] * 9) == []
    retried = [f"https://{number}.retried-{number}.example/" for number in range(500)]
    taken = 0
    while picked := receivers.choose(due(retried[taken:], unanswered=True), most=receivers.free):
        start(receivers, picked)
        taken += len(picked)
        clock.now += LATE_SECONDS + 0.01
    assert taken == SLOTS * LATE_FACTOR // 4 - 10


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_few_places_are_enough_for_quick_and_for_slow_receivers(slots: int, clock: Clock) -> None:
    receivers = SlowReceivers(slots, clock)
    items = start(receivers, chosen(receivers, ["https://silent.example/"]))
    clock.now += LATE_SECONDS + 0.01
    assert receivers.free == slots
    assert chosen(receivers, ["https://silent.example/", GOOD]) == [GOOD]
    clock.now += 20
    receivers.answered(items[0])
    receivers.finish(items[0])
    assert chosen(receivers, ["https://silent.example/"]) == ["https://silent.example/"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://pay.co/hook", "https://pay.company.example/hook"),
        ("http://h:80/", "http://h:8080/"),
        ("https://a.example/", "http://a.example/"),
        ("https://a.example/", "https://a.example:8443/"),
    ],
)
def test_origins_are_compared_to_their_end_attack_4(one: str, other: str) -> None:
    assert origin_of(one) != origin_of(other)


@pytest.mark.parametrize(
    "url", ["https://A.Example/x", "https://a.example:443?x", "HTTPS://u:p@a.example./", "https://a.example#f"]
)
def test_one_origin_has_one_spelling_attack_4(url: str) -> None:
    assert origin_of(url) == origin_of("https://a.example")


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://a.b.example/", "b.example"),
        ("https://a.shop.co.uk/", "shop.co.uk"),
        ("https://localhost:1/", "localhost"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://host:99999/", "host"),
    ],
)
def test_a_site_is_the_domain_or_the_address(url: str, site: str) -> None:
    assert site_of(origin_of(url)) == site


def test_the_origins_used_least_recently_are_forgotten(receivers: SlowReceivers, clock: Clock) -> None:
    for number in range(MOST_KNOWN + 1):
        respond(receivers, clock, f"https://{number}.example/", 0)
    assert len(chosen(receivers, ["https://0.example/"] * 2)) == 1
    assert len(chosen(receivers, ["https://1.example/"] * 2)) == 2
