"""Cancelling a job at RunPod: free while it waits, charged once a worker has it."""

from __future__ import annotations

import pytest

from providers.base import Failed, Pending, Ready
from providers.runpod import adapter as runpod_adapter
from tests.contract.test_runpod import ask, double, reel
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.runpod import RunPod

assert double  # the fixture


@pytest.mark.parametrize(("polls", "free"), [(0, True), (2, False)])
def test_a_job_is_cancelled_and_costs_nothing_while_no_worker_has_it(double: RunPod, polls: int, free: bool) -> None:
    call = reel()

    async def work(provider: runpod_adapter.RunPod) -> tuple[bool, Pending | Ready | Failed]:
        task = await provider.submit(call)
        for _ in range(polls):
            await provider.poll(call, task)
        return await provider.cancel(call, task), await provider.poll(call, task)

    double.plan(Plan("never"))
    stopped, found = ask(double, work)
    assert (stopped, double.count("cancel")) == (free, 1)
    assert isinstance(found, Failed)


def test_a_job_that_has_ended_was_not_cancelled_and_is_paid(double: RunPod) -> None:
    call = reel()

    async def work(provider: runpod_adapter.RunPod) -> tuple[bool, Pending | Ready | Failed]:
        task = await provider.submit(call)
        await provider.poll(call, task)
        return await provider.cancel(call, task), await provider.poll(call, task)

    stopped, found = ask(double, work)
    assert not stopped
    assert isinstance(found, Ready)


def test_a_job_is_cancelled_although_it_is_unknown_whether_it_has_run(double: RunPod) -> None:
    call = reel()

    async def work(provider: runpod_adapter.RunPod) -> bool:
        task = await provider.submit(call)
        double.fault(Fault(status=503, body="{}", verb="poll"))
        return await provider.cancel(call, task)

    double.plan(Plan("never"))
    assert (ask(double, work), double.count("cancel")) == (False, 1)
