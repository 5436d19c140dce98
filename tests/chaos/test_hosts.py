"""Many hosts: partitions, hosts that vanish and wrong clocks, under a mix of jobs. Then every job is checked."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consumer.ledger import call_resolution, calls
from consumer.ledger.queries import list_jobs
from consumer.ledger.records import Job
from tests.acceptance.line import objects_below
from tests.chaos.evidence import check_finished_once
from tests.chaos.fleet import FRONTS, PARTS, WORKERS, Fleet
from tests.chaos.test_soak_calls import unknown_calls
from tests.ledger_views import count_jobs
from tests.provider_line import check_settled
from tests.servers.hosts import Host, How
from tests.telecine_process import wait_until

JOBS = int(os.environ.get("TELECINE_SOAK_HOSTS_JOBS", "10000"))
#: Which hosts talk to which: a partition between any others changes nothing.
LINKS = [
    *((front, other) for front in FRONTS for other in ("postgres", "rabbitmq", "s3", "provider", "receiver")),
    *((worker, other) for worker in WORKERS for other in ("postgres", "rabbitmq", "s3")),
]


def mixed_jobs(fleet: Fleet, count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield requests: most do nothing, a quarter pays a provider, a few are reels."""
    cover = {"image": fleet.song["image"]}
    for number in range(count):
        kind = "reel" if number % 100 == 1 else chance.choice(["noop"] * 6 + ["film", "prompt"])
        job_id = f"{kind}-{number}"
        data, job_type = {
            "noop": ({"text": job_id}, "noop"),
            "film": ({"prompt": job_id, "model": "hailuo02standard"}, "text-to-video"),
            "prompt": (cover, "image-to-prompt"),
            "reel": (fleet.song | {"lyrics": "One two", "alignment_mode": "even", "width": 270, "height": 480}, "reel"),
        }[kind]
        yield {"id": job_id, "type": job_type, "data": data}


class Faults:
    """Makes faults and counts them."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self._fleet, self._chance = fleet, chance
        self.made: Counter[str] = Counter()
        self._dead: list[Host] = []

    def cut(self, a: str, b: str, how: str) -> None:
        """Partition two hosts: ``drop`` or ``refuse`` both ways, ``deaf`` or ``mute`` one way."""
        hosts = self._fleet.hosts
        first, second = hosts[a], hosts[b]
        if how == "deaf":
            first.deaf_to(second)
        elif how == "mute":
            second.deaf_to(first)
        else:
            named: How = "refuse" if how == "refuse" else "drop"
            self._fleet.network.partition(first, second, named)
        self.made[how] += 1

    def kill(self, name: str) -> None:
        """Make a host with Telecine vanish."""
        self._fleet.hosts[name].kill()
        self._dead.append(self._fleet.hosts[name])
        self.made["killed"] += 1

    def some(self) -> None:
        """Make one to three faults at once."""
        chance = self._chance
        if chance.random() < 0.3:
            self.kill(chance.choice(list(PARTS)))
        gone = {host.name for host in self._dead}
        alive = [link for link in LINKS if not gone & set(link)]
        for a, b in chance.sample(alive, chance.randint(1, 2)):
            self.cut(a, b, chance.choice(["drop", "drop", "refuse", "deaf", "mute"]))

    def mend(self) -> None:
        """End all faults."""
        while self._dead:
            host = self._dead.pop()
            host.boot()
            self._fleet.start(host.name)
        self._fleet.network.heal()


def settle_unknown(fleet: Fleet) -> int:
    """Look unknown outcomes up in Cococlip's list of tasks, as an operator would; return how many."""
    unknown = [call for call in unknown_calls(fleet.database) if call.provider == "cococlip"]
    tasks = fleet.tasks("cococlip") if unknown else {}
    for call in unknown:
        if call.job_id in tasks:
            call_resolution.adopt(fleet.database, call, tasks[call.job_id], by="operator", give_up_seconds=600)
        else:
            call_resolution.resubmit(fleet.database, call, by="operator")
    return len(unknown)


def check_everything(fleet: Fleet, sent: list[str]) -> None:
    """Check that each job ended once, with whole results, one charge at most and one callback."""
    assert [name for name, process in fleet.telecine.items() if not process.running] == []
    jobs = list_jobs(fleet.database, limit=len(sent) + 1)
    assert sorted(job.id for job in jobs) == sorted(sent)
    charges = fleet.charges()

    def check(job: Job) -> None:
        objects = objects_below(fleet.s3, "bucket", f"results/{job.id}/")
        check_finished_once(fleet.database, job, objects)
        made = {"film": {"video.mp4"}, "prompt": {"prompt.txt"}, "noop": set()}.get(job.id.partition("-")[0])
        assert made is None or set(objects) == {"manifest.json", *made}, job.id
        if made:
            check_settled(fleet.database, job.id)
            paid = [
                charges[call.provider][job.id if call.provider == "cococlip" else call.id]
                for call in calls.of_job(fleet.database, job.id)
            ]
            assert sum(paid) == 1, (job.id, paid)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, jobs))
    paying = [job_id for job_id in sent if job_id.startswith(("film", "prompt"))]
    assert charges["cococlip"].total() + charges["replicate"].total() == len(paying)
    assert sorted(job_id for job_id, _ in fleet.callbacks) == sorted(sent)


def wait_for_end(fleet: Fleet, sent: list[str], timeout: float) -> int:
    """Wait until every job has completed and its callback has arrived; return how many outcomes were looked up."""
    settled = 0

    def ended() -> bool:
        nonlocal settled
        settled += settle_unknown(fleet)
        fleet.receive()
        return count_jobs(fleet.database) == {"completed": len(sent)} and len(fleet.callbacks) >= len(sent)

    import time as tt

    t0 = tt.monotonic()

    def ended0() -> bool:
        done = ended()
        print(
            f"{tt.monotonic() - t0:.1f}",
            count_jobs(fleet.database),
            len(fleet.callbacks),
            [(j.id, j.state.value) for j in list_jobs(fleet.database, limit=500) if not j.terminal][:6],
            flush=True,
        )
        tt.sleep(1)
        return done

    def what() -> str:
        missing = sorted(set(sent) - {job_id for job_id, _ in fleet.callbacks})
        waiting = [call for job_id in missing[:5] for call in calls.of_job(fleet.database, job_id)]
        return f"{count_jobs(fleet.database)}, no callback: {missing[:5]}\n{waiting}\n{fleet.logs()}"

    wait_until(ended, timeout=timeout, what=what)
    return settled


@pytest.mark.timeout(300)
def test_hosts_that_are_cut_off_or_vanish_lose_no_job_and_pay_no_call_twice(tmp_path: Path) -> None:
    chance = random.Random(5)
    # The host that is killed submits no calls: if it dies while it does, the call is looked up after 15 minutes.
    parts = PARTS | {"front1": ("up", "--only", "doors,sweep,outbox")}
    with Fleet(tmp_path, parts) as fleet:
        faults = Faults(fleet, chance)
        requests = list(mixed_jobs(fleet, 102, chance))
        sent = [request["id"] for request in requests]
        fleet.submit(requests[:50])
        wait_until(lambda: count_jobs(fleet.database).get("completed", 0) >= 5, what=fleet.logs)
        faults.kill("worker1")
        faults.cut("front1", "postgres", "drop")
        faults.cut("worker2", "rabbitmq", "deaf")
        faults.cut("front2", "provider", "mute")
        fleet.submit(requests[50:])
        time.sleep(4)
        faults.mend()
        faults.kill("front1")
        faults.cut("worker3", "s3", "refuse")
        faults.cut("front2", "receiver", "drop")
        time.sleep(2)
        faults.mend()
        wait_for_end(fleet, sent, timeout=200)
        check_everything(fleet, sent)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_ten_thousand_mixed_jobs_on_many_hosts_lose_nothing_and_pay_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20261130)
    with Fleet(tmp_path) as fleet:
        faults = Faults(fleet, chance)
        requests = list(mixed_jobs(fleet, JOBS, chance))
        sent: list[str] = []
        settled = 0
        start = time.monotonic()
        while (ended := count_jobs(fleet.database).get("completed", 0)) < JOBS * 0.99:
            if batch := requests[len(sent) : ended + 500]:
                fleet.submit(batch)
                sent += [request["id"] for request in batch]
            faults.some()
            time.sleep(chance.uniform(1, 8))
            faults.mend()
            fleet.receive()
            settled += settle_unknown(fleet)
            time.sleep(chance.uniform(1, 6))
            print(f"{time.monotonic() - start:.0f} s: {ended} of {len(sent)}, {dict(faults.made)}", flush=True)
        settled += wait_for_end(fleet, sent, timeout=1800)
        minutes = (time.monotonic() - start) / 60
        check_everything(fleet, sent)
        jobs = list_jobs(fleet.database, limit=JOBS)
        print(
            f"\n{JOBS} jobs in {minutes:.0f} min, {dict(faults.made)}, {sum(job.crashes for job in jobs)} crashes "
            f"met by jobs, {settled} outcomes looked up by hand, {fleet.callbacks.total() - len(sent)} callbacks sent "
            "again: lost 0, doubled 0, paid twice 0"
        )
