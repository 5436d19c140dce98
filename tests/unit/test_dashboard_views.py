"""What the dashboard makes of the ledger: the filter in words, the bars of a job, values that pages share."""

from __future__ import annotations

import sys
import threading

import pytest

from ops.dashboard.cache import Shared
from ops.dashboard.filters import JobFilter
from ops.dashboard.waterfall import WIDTH, Span, bars
from schemas.errors import InvalidField


def test_a_filter_is_the_same_in_the_address_in_words_and_as_a_query() -> None:
    wanted = JobFilter.parse({"state": "unsuccessful", "type": "reel", "tenant": "", "code": "a b&c", "since": "2h"})
    assert wanted.query(action="retry") == "?state=unsuccessful&type=reel&code=a+b%26c&since=2h&action=retry"
    assert wanted.words() == "unsuccessful jobs of type reel with code a b&c received in the last 2 hours"
    conditions = wanted.conditions(10_000.0)
    assert (sorted(conditions["states"]), conditions["since"]) == (["cancelled", "expired", "failed"], 2_800.0)
    assert JobFilter().words() == "all jobs"
    assert JobFilter(since="1d").words() == "all jobs received in the last day"
    assert wanted.without("code").fields() == {"state": "unsuccessful", "type": "reel", "since": "2h"}


@pytest.mark.parametrize("query", [{"state": "lost"}, {"since": "yesterday"}, {"since": "5"}, {"since": "1d2h"}])
def test_a_filter_without_a_meaning_names_its_part(query: dict[str, str]) -> None:
    with pytest.raises(InvalidField, match=next(iter(query))):
        JobFilter.parse(query)


def test_bars_keep_their_order_and_share_on_the_scale_of_the_work() -> None:
    spans = [
        Span("wait", "w", 100.0, 101.0),
        Span("attempt", "a", 101.0, 105.0),
        Span("step", "s", 102.0, None),
        Span("callback", "c", 110.0, None),
    ]
    wait, attempt, step, callback = bars(spans, now=110.0)
    assert (wait.x, wait.width) == (0.0, WIDTH / 10)
    assert (attempt.x, attempt.width) == (WIDTH / 10, WIDTH * 4 / 10)
    assert (step.x, step.width, step.running) == (WIDTH / 5, WIDTH * 8 / 10, True)
    assert callback.x + callback.width == WIDTH
    assert bars([], now=0.0) == []


def test_a_shared_value_is_read_once_and_again_after_an_action() -> None:
    reads: list[int] = []

    def read() -> int:
        reads.append(1)
        return len(reads)

    shared = Shared(read, seconds=60)
    threads = [threading.Thread(target=shared.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (shared.get(), len(reads)) == (1, 1)
    shared.forget()
    assert shared.get() == 2


def test_an_old_value_is_shown_while_one_thread_reads_the_new_one() -> None:
    go, reads = threading.Event(), []

    def read() -> int:
        reads.append(1)
        if len(reads) > 1:
            go.wait(30)
        return len(reads)

    shared = Shared(read, seconds=0)
    assert shared.get() == 1
    assert [shared.get() for _ in range(5)] == [1] * 5
    go.set()


def test_what_was_read_before_an_action_is_not_shown_after_it() -> None:
    begun, go = threading.Event(), threading.Event()
    numbers = iter([1, 2, 3])

    def read() -> int:
        number = next(numbers)
        if number == 2:
            begun.set()
            go.wait(30)
        return number

    shared = Shared(read, seconds=0)
    while not begun.wait(0.01):  # until a thread reads 2
        assert shared.get() == 1
    shared.forget()
    threading.Timer(0.1, go.set).start()
    assert shared.get() == 3


def test_a_value_may_be_forgotten_while_others_look_at_it() -> None:
    shared, failures = Shared(lambda: 1, seconds=60), []

    def look() -> None:
        try:
            assert {shared.get() for _ in range(20_000)} == {1}
        except Exception as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        shared.forget()
    sys.setswitchinterval(interval)
    assert failures == []
