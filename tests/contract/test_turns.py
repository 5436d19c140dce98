"""Tenants take turns: one that floods a queue does not make another wait. Positions are counted, not seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import call_claims, calls as ledger_calls, completion, due, leases, retries
from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.call_transitions import wake_job
from consumer.ledger.calls import _park
from consumer.ledger.claims import claim_next
from consumer.ledger.database import Database, db_now
from consumer.ledger.states import State
from consumer.ledger.tables import calls, jobs
from consumer.ledger.turns import Turns
from ops.views import iso
from schemas.accounts import ProviderLimits
from schemas.errors import RenderFailed
from tests.ledger_views import Ledger, renewed


def flood(ledger: Ledger, tenant: str | None, count: int, prefix: str = "", **more: Any) -> None:
    """Write so many waiting jobs of the tenant, received one after the other; the first is admitted."""
    first = f"{prefix or tenant}-0"
    ledger.admit({"id": first, **({"tenant": tenant} if tenant else {}), **more})
    with ledger.a.write() as connection:
        row = dict(connection.execute(sa.select(jobs).where(jobs.c.id == first)).mappings().one())
        rows = [
            row | {"id": f"{prefix or tenant}-{number}", "received_at": row["received_at"] + number / 1e6}
            for number in range(1, count)
        ]
        if rows:
            connection.execute(sa.insert(jobs), rows)


class Worker:
    """A worker that claims one group after the other; its jobs have no work."""

    def __init__(self, database: Database, most: int = 1, name: str = "one") -> None:
        self._database, self._most, self._name, self._turns = database, most, name, Turns()

    def claim(self, woken: str) -> list[str]:
        """Claim the next jobs and return their ids."""
        claims = claim_next(
            self._database, woken, owner=self._name, seconds=60, most=lambda _: self._most, turns=self._turns
        )
        return [claim.job.id for claim in claims]

    def next_ids(self, woken: str, claims: int) -> list[str]:
        return [job_id for _ in range(claims) for job_id in self.claim(woken)]


@pytest.mark.parametrize(("most", "tenant"), [(1, "another"), (1, None), (50, "another"), (50, "zoo")])
def test_after_a_flood_of_one_tenant_the_job_of_another_is_among_the_next(
    ledger: Ledger, most: int, tenant: str | None
) -> None:
    flood(ledger, "flood", 2000)
    worker = Worker(ledger.a, most)
    assert set(worker.next_ids("flood-0", 2)) == {f"flood-{number}" for number in range(2 * most)}
    flood(ledger, tenant, 1, "rare")
    assert "rare-0" in worker.next_ids("flood-0", 2)[:3]


def test_jobs_without_a_tenant_take_turns_as_one_tenant(ledger: Ledger) -> None:
    flood(ledger, None, 60, "none")
    flood(ledger, "acme", 60)
    found = Worker(ledger.a, 40).claim("none-0")
    assert Counter(name.split("-")[0] for name in found) == {"none": 20, "acme": 20}
    for prefix in ("none", "acme"):  # each in its own order
        assert [name for name in found if name.startswith(prefix)] == [f"{prefix}-{number}" for number in range(20)]


def test_with_several_workers_no_more_than_a_few_jobs_come_first(ledger: Ledger) -> None:
    flood(ledger, "flood", 400)
    taken: list[str] = []
    arrived = threading.Event()
    seen = threading.Event()

    def work(number: int) -> None:
        worker = Worker((ledger.a, ledger.b)[number % 2], 2, f"worker{number}")
        while not seen.is_set() and (ids := worker.claim("flood-0")):
            taken.extend(ids)
            if "rare-0" in ids:
                seen.set()
            if len(taken) > 60:
                arrived.set()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert arrived.wait(30)
    flood(ledger, "rare", 1)
    before = len(taken)
    for thread in threads:
        thread.join(30)
    assert "rare-0" in taken
    # Each worker may be in the middle of a claim of two when the job arrives, and records it later.
    assert taken.index("rare-0") - before <= 4 * 2 * 2
    assert len(taken) == len(set(taken))


def test_each_of_a_thousand_tenants_gets_its_turn_before_any_gets_a_second(ledger: Ledger) -> None:
    flood(ledger, "t0", 1)
    with ledger.a.write() as connection:
        row = dict(connection.execute(sa.select(jobs)).mappings().one())
        rows = [
            row | {"id": f"t{tenant}-{number}", "tenant": f"t{tenant}", "line": f"t{tenant}"}
            for tenant in range(1000)
            for number in range(2)
            if (tenant, number) != (0, 0)
        ]
        connection.execute(sa.insert(jobs), rows)
    found = Worker(ledger.a, 50).next_ids("t0-0", 20)
    assert len({name.split("-")[0] for name in found}) == len(found) == 1000


def test_priority_comes_first_and_its_tenants_take_turns(ledger: Ledger) -> None:
    flood(ledger, "acme", 5, "low", priority="low")
    flood(ledger, "shop", 4, "normal")
    flood(ledger, "acme", 2, "urgent", priority="high")
    flood(ledger, "shop", 2, "prompt", priority="high")
    found = Worker(ledger.a).next_ids("low-0", 13)
    assert set(found[:2]) == {"urgent-0", "prompt-0"}
    assert set(found[2:4]) == {"urgent-1", "prompt-1"}
    assert found[4:] == [f"normal-{number}" for number in range(4)] + [f"low-{number}" for number in range(5)]


def test_a_job_of_another_type_has_its_turn_after_the_group_of_its_neighbours(ledger: Ledger) -> None:
    flood(ledger, "acme", 100)
    flood(ledger, "shop", 1)
    flood(ledger, "zoo", 100)
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "shop-0").values(type="note"))
    worker = Worker(ledger.a, 10)
    groups = [worker.claim("acme-0") for _ in range(3)]
    assert ["shop-0"] in groups


def test_a_resumed_a_retried_and_a_lost_job_come_before_newer_ones_of_their_tenant(ledger: Ledger) -> None:
    for name in ("parked", "failing", "lost", "ended"):
        ledger.admit({"id": name, "tenant": "acme"})
    flood(ledger, "acme", 50)
    flood(ledger, "shop", 50)
    parked = ledger.claimed("parked")
    with ledger.a.write() as connection:
        _park(connection, parked)
    leases.park(ledger.a, ledger.claimed("failing"), seconds=0, event="retry_later", failures=1)
    ledger.claimed("lost", seconds=-1)
    completion.finish(ledger.a, ledger.claimed("ended"), State.FAILED, error=RenderFailed())
    worker = Worker(ledger.b)
    assert set(worker.next_ids("acme-0", 2)) == {"acme-0", "shop-0"}  # none of them is due
    with ledger.a.write() as connection:
        wake_job(connection, "parked")
    due.take_due(ledger.a, limit=500, again_seconds=60)
    retries.retry(ledger.a, "ended", by="test")
    found = worker.next_ids("acme-0", 10)
    assert [name for name in found if not name.startswith("shop")] == ["parked", "failing", "lost", "acme-1", "acme-2"]
    assert [name for name in found if name.startswith("shop")] == [f"shop-{number}" for number in range(1, 6)]
    # Received again, so behind those that were received before.
    assert worker.next_ids("acme-0", 94)[-1] == "ended"


def test_a_job_whose_worker_was_killed_at_the_claim_takes_its_turn_again(ledger: Ledger) -> None:
    flood(ledger, "acme", 3)
    child = ledger.run(
        "import os, signal\n"
        "from consumer.ledger import owner\n"
        "from consumer.ledger.claims import claim_next\n"
        "claim_next(database, 'acme-0', owner=owner.this_process(), seconds=600, most=lambda _: 2)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child.communicate(timeout=30)
    assert sorted(leases.expire_dead_owners(ledger.a)) == ["acme-0", "acme-1"]
    assert Worker(ledger.b).next_ids("acme-2", 4) == ["acme-0", "acme-1", "acme-2"]


def test_jobs_of_the_version_before_take_their_turns_too(ledger: Ledger) -> None:
    """It knows no lines: what it admits is in none, and what it claims stays in one."""
    flood(ledger, "acme", 10)
    flood(ledger, "busy", 3)
    flood(ledger, "old", 2)
    with ledger.a.write() as connection:
        held = {"state": "running", "lease_owner": "old", "lease_until": 9e9, "wake_at": 9e9, "epoch": 1}
        connection.execute(sa.update(jobs).where(jobs.c.tenant == "busy").values(held))
        connection.execute(sa.update(jobs).where(jobs.c.tenant == "old").values(line=None))
    worker = Worker(ledger.b)
    assert "old-0" in worker.next_ids("old-0", 2)  # its wake-up arrived
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "old-1").values(wake_at=0.0, line=None))
    due.take_due(ledger.a, limit=500, again_seconds=60)  # its wake-up was lost
    assert "old-1" in worker.next_ids("acme-0", 3)
    rest = worker.next_ids("acme-0", 10)
    assert len(rest) == 12 - 5
    assert all(name.startswith("acme") for name in rest)


@pytest.mark.parametrize("others", [0, 40])
def test_short_jobs_of_a_door_of_the_version_before_start_although_they_share_a_wake_up(
    ledger: Ledger, others: int
) -> None:
    """It knows no lines, and sends one message for ten of them."""
    ledger.admit(*({"id": f"later-{n}", "not_before": iso(time.time() + 86_400)} for n in range(30)))
    if others:
        flood(ledger, "acme", others)
    flood(ledger, "old", 130)
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.tenant == "old").values(line=None, wake_at=db_now() + 3600))
    worker = Worker(ledger.b)
    found: list[str] = []
    for woken in (0, *range(5, 130, 10)):
        while ids := worker.claim(f"old-{woken}"):
            found += ids
    assert [name for name in found if name.startswith("old")] == [f"old-{number}" for number in range(130)]
    assert len(found) == 130 + others
    assert sum(name.startswith("old") for name in found[: 2 * others]) == others


@pytest.mark.parametrize("renews", [True, False])
def test_tenants_take_turns_although_a_running_job_is_in_a_line(ledger: Ledger, renews: bool) -> None:
    """A machine that was suspended goes on with its job, which was due meanwhile; or an old worker has it."""
    flood(ledger, "held", 1, priority="high")
    lease = ledger.claimed("held-0", seconds=-1)
    due.take_due(ledger.a, limit=500, again_seconds=60)
    for tenant in ("acme", "shop", "zoo"):
        flood(ledger, tenant, 10)
    if renews:
        renewed(ledger.b, lease, seconds=60, progress=1)
        with ledger.b.read() as connection:
            assert connection.execute(sa.select(jobs.c.line).where(jobs.c.id == "held-0")).scalar() is None
    else:
        with ledger.a.write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == "held-0").values(lease_until=9e9, wake_at=9e9))
    found = Worker(ledger.b).next_ids("acme-0", 15)
    assert Counter(name.split("-")[0] for name in found) == {"acme": 5, "shop": 5, "zoo": 5}


def test_calls_of_one_tenant_do_not_wait_behind_a_flood_of_calls_of_another(ledger: Ledger) -> None:
    spec = CallSpec(
        candidates=[Candidate("m", "alpha", {})], inputs={}, output_folder="s3://out/", fingerprint="f", type="reel"
    )
    flood(ledger, "flood", 300)
    with ledger.a.write() as connection:
        for tenant, urgency in (("flood", 1), ("rare", 1), ("", 1), ("urgent", 0)):
            step = tenant or "none"
            ledger_calls.insert_call(ledger.a, connection, "flood-0", step, 1, spec, tenant=tenant, urgency=urgency)
        row = dict(connection.execute(sa.select(calls).where(calls.c.tenant == "flood")).mappings().one())
        more = [row | {"id": f"call{n:03}", "job_id": f"flood-{n}", "queued_at": 1.0 + n} for n in range(1, 300)]
        connection.execute(sa.insert(calls), more)

    limits = ProviderLimits(rate_per_minute=6000, burst=100, concurrency=400)
    policy = call_claims.SubmissionPolicy(limits=lambda _: limits, budgets={}, price=lambda _: 0)

    def claim(most: int) -> list[str]:
        claimed, _ = call_claims.claim_queued(ledger.b, policy, owner="e", lease_seconds=60, most=most)
        return [each.call.tenant for each in claimed]

    found = claim(2) + claim(2) + claim(2)
    assert found[0] == "urgent"
    assert set(found[1:4]) == {"flood", "rare", ""}
    assert found[4:] == ["flood", "flood"]
    assert claim(50) == ["flood"] * 50  # alone, it uses all there is
    with ledger.b.read() as connection:
        query = sa.select(calls.c.id).where(calls.c.tenant == "flood", calls.c.state == "submitting")
        sent = sorted(connection.execute(query).scalars())
    assert sent == [f"call{n:03}" for n in range(1, 54)]  # in the order in which they were queued
    with ledger.a.write() as connection:  # jobs of two tenants have ended, and their calls not yet
        connection.execute(sa.update(jobs).where(jobs.c.id == "flood-0").values(state="cancelled", wake_at=None))
        ended = [row | {"id": f"{name}-{n}", "tenant": name} for name in ("aa", "zz") for n in range(5)]
        connection.execute(sa.insert(calls), ended)
    assert [tenant for _ in range(4) for tenant in claim(1)] == ["flood"] * 4
