"""Helpers that send calls to Replicate's double."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.catalogue import Model, Parameter
from providers.http.policy import Policy
from providers.replicate import adapter as replicate_adapter
from providers.replicate.models import CLIP_INTERROGATOR
from schemas.errors import ProviderError
from schemas.settings import Settings
from tests.doubles.calls import call_of, closing, contains_no_secret, media
from tests.doubles.misbehaviour import Fault
from tests.doubles.replicate import Replicate

T = TypeVar("T")
VIDEO = Model(
    id="minimax",
    provider="replicate",
    types=("image-to-video",),
    remote="minimax/video-01",
    names={"image": "first_frame_image"},
    parameters={
        "prompt": Parameter(required=True),
        "seed": Parameter(kind="integer", minimum=0),
    },
    fixed={"prompt_optimizer": False},
)
WORDS = Model(
    id="flux",
    provider="replicate",
    types=("text-to-image",),
    remote="black-forest-labs/flux-schnell",
    parameters={"prompt": Parameter(required=True)},
)
SEEDED = WORDS.model_copy(update={"parameters": VIDEO.parameters})


def adapter(double: Replicate, **changes: Any) -> replicate_adapter.Replicate:
    values: dict[str, Any] = {"replicate_base_url": double.url, "replicate_token": SecretStr(double.key)}
    settings = Settings(**(values | {"exchange_timeout_seconds": 5.0, "replicate_settle_seconds": 0.0} | changes))
    return replicate_adapter.from_settings(settings, Policy(allowed_hosts=frozenset({double.host})))


def ask(double: Replicate, work: Callable[[replicate_adapter.Replicate], Awaitable[T]], **changes: Any) -> T:
    return asyncio.run(closing(adapter(double, **changes), work))


def clip(**given: Any) -> Call:
    return call_of(CLIP_INTERROGATOR, given, {"image": media("in.png", "image/png")})


def made(double: Replicate, call: Call, polls: int = 1) -> tuple[TaskRef, Pending | Ready | Failed]:
    async def work(provider: replicate_adapter.Replicate) -> tuple[TaskRef, Pending | Ready | Failed]:
        task = await provider.submit(call)
        for _ in range(polls - 1):
            await provider.poll(call, task)
        return task, await provider.poll(call, task)

    return ask(double, work)


def trouble(
    double: Replicate, work: Callable[[replicate_adapter.Replicate], Awaitable[T]], **changes: Any
) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ask(double, work, **changes)
    assert contains_no_secret(caught.value, double.key)
    return caught.value


def submitting(call: Call) -> Callable[[replicate_adapter.Replicate], Awaitable[TaskRef]]:
    return lambda provider: provider.submit(call)


def seek(double: Replicate, call: Call, **changes: Any) -> TaskRef | None:
    return ask(double, lambda provider: provider.find(dataclasses.replace(call, submitted_at=time.time())), **changes)


def lose(double: Replicate, call: Call) -> str:
    """Submit a call whose response is lost; return its id at Replicate."""
    double.fault(Fault("submit", "drop", accept=True))
    assert trouble(double, submitting(call)).code == "outcome_unknown"
    return list(double.tasks)[-1]
