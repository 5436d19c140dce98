"""The contract of all remote providers: the one in memory, and the adapters against their doubles."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from providers.base import Call, Pending, Ready, RemoteProvider, TaskRef
from providers.catalogue import Model
from providers.cococlip import adapter as cococlip_adapter
from providers.cococlip.models import MODELS as COCOCLIP_MODELS
from providers.http.policy import Policy
from providers.imagine import adapter as imagine_adapter
from providers.imagine.models import IMAGINE
from providers.memory_provider import MemoryProvider
from providers.pika import adapter as pika_adapter
from providers.pika.models import PIKA
from providers.replicate import adapter as replicate_adapter
from providers.replicate.models import CLIP_INTERROGATOR
from providers.runpod import adapter as runpod_adapter
from providers.runpod.models import REEL
from providers.runpod_public import adapter as public_adapter
from providers.runpod_public.models import WAN_25
from schemas.errors import ProviderRefused
from schemas.settings import Settings
from tests.doubles.calls import call_of, media
from tests.doubles.cococlip import Cococlip
from tests.doubles.double import Double
from tests.doubles.imagine import Imagine
from tests.doubles.misbehaviour import Plan
from tests.doubles.pika import Pika
from tests.doubles.replicate import Replicate
from tests.doubles.runpod import RunPod
from tests.doubles.runpod_public import RunPodPublic

PICTURE = {"image": media("in.png", "image/png")}


@dataclass
class Account:
    """A provider's adapter and double with a short running time, and the number of charges."""

    open: Callable[[], RemoteProvider]
    call: Call
    charges: Callable[[], int]

    def run(self, work: Callable[[RemoteProvider], Awaitable[Any]]) -> Any:
        """Run ``work`` with a new adapter, close the adapter and return the result."""

        async def closing() -> Any:
            adapter = self.open()
            try:
                return await work(adapter)
            finally:
                await adapter.aclose()

        return asyncio.run(closing())


@pytest.fixture(params=["memory", "pika", "cococlip", "imagine", "replicate", "runpod-public"])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with ExitStack() as stack:
        yield _account(request.param, stack)


def _account(name: str, stack: ExitStack) -> Account:
    if name == "memory":
        memory = MemoryProvider(polls=2)
        model = Model(id="first", provider="memory", types=("ask",))
        return Account(lambda: memory, call_of(model, {}), memory.charges.total)
    kinds: dict[str, type[Double]] = {"pika": Pika, "cococlip": Cococlip, "imagine": Imagine, "replicate": Replicate}
    kinds |= {"runpod": RunPod, "runpod-public": RunPodPublic}
    double = stack.enter_context(kinds[name]())
    double.plan(Plan(polls=1, times=-1))
    key = SecretStr(double.key)
    settings = Settings(
        pika_base_url=double.url,
        pika_token=key,
        imagine_base_url=double.url,
        imagine_api_key=key,
        replicate_base_url=double.url,
        replicate_token=key,
        replicate_settle_seconds=0,
        cococlip_base_url=double.url,
        cococlip_auth_header=SecretStr(f"x-cococlip-key: {double.key}"),
        runpod_base_url=f"{double.url}/v2",
        runpod_api_key=key,  # and no endpoint
    )
    policy = Policy(allowed_hosts=frozenset({double.host}))
    models = {model.id: model for model in (*COCOCLIP_MODELS, IMAGINE, PIKA)}
    openers: dict[str, tuple[Callable[[Settings, Policy], RemoteProvider], Call]] = {
        "pika": (pika_adapter.from_settings, call_of(models["pika"], {"prompt": "a kite"}, PICTURE)),
        "cococlip": (cococlip_adapter.from_settings, call_of(models["hailuo02standard"], {"prompt": "a kite"})),
        "imagine": (imagine_adapter.from_settings, call_of(models["imagine-text-to-video"], {"prompt": "a kite"})),
        "runpod": (runpod_adapter.from_settings, call_of(REEL, {"film": "{}"})),
        "runpod-public": (public_adapter.from_settings, call_of(WAN_25, {"prompt": "a kite"}, PICTURE)),
        "replicate": (replicate_adapter.from_settings, call_of(CLIP_INTERROGATOR, {}, PICTURE)),
    }
    opener, call = openers[name]
    return Account(lambda: opener(settings, policy), call, double.charges)


def test_a_submission_charges_once_and_names_a_task_that_is_pending_and_then_ready(account: Account) -> None:
    async def work(adapter: RemoteProvider) -> tuple[Any, Any]:
        task = await adapter.submit(account.call)
        assert isinstance(task, TaskRef)
        first = found = await adapter.poll(account.call, task)
        while isinstance(found, Pending):
            await asyncio.sleep(0.05)
            found = await adapter.poll(account.call, task)
        return first, found

    first, last = account.run(work)
    assert isinstance(first, Pending)
    assert first.progress is None or 0.0 <= first.progress <= 1.0
    assert isinstance(last, Ready)
    assert last.url or last.value
    assert account.charges() == 1


def test_poll_find_and_cancel_cost_nothing(account: Account) -> None:
    async def work(adapter: RemoteProvider) -> None:
        before = await adapter.find(account.call)
        assert before is None
        task = await adapter.submit(account.call)
        assert isinstance(task, TaskRef)
        await adapter.poll(account.call, task)
        found = await adapter.find(account.call)
        assert found == (TaskRef(task.id) if adapter.can_find else None)
        assert isinstance(await adapter.cancel(account.call, task), bool)

    account.run(work)
    assert account.charges() == 1


def test_another_adapter_can_poll_the_task(account: Account) -> None:
    task = account.run(lambda adapter: adapter.submit(account.call))
    answer = account.run(lambda adapter: adapter.poll(account.call, task))
    assert isinstance(answer, Pending | Ready)
    assert account.charges() == 1


@pytest.mark.parametrize(
    ("name", "kind", "content_type"),
    [
        ("pika", "image", "image/png"),
        ("pika", "image", "audio/mpeg"),
        ("replicate", "image", "image/png"),
        ("cococlip", "audio", "audio/mpeg"),
        ("cococlip", "audio", "audio/flac"),
        ("runpod", "audio", "audio/mpeg"),
        ("runpod-public", "image", "image/png"),
    ],
)
@pytest.mark.parametrize("uri", ["file:///home/example/in", "FILE://localhost/home/in", "memory://bucket/in"])
def test_a_local_file_is_refused_before_anything_else_F0(name: str, kind: str, content_type: str, uri: str) -> None:
    local = {kind: dataclasses.replace(media("in", content_type), url=uri)}
    with ExitStack() as stack:
        account = _account(name, stack)
        call = dataclasses.replace(account.call, inputs=local)
        with pytest.raises(ProviderRefused) as refused:
            account.run(lambda adapter: adapter.submit(call))
        assert refused.value.message == (
            f"data.{kind}: {name} cannot read a file on this machine; use S3 storage or an https:// input"
        )
        assert refused.value.field == f"data.{kind}"
        assert account.charges() == 0


def test_the_scheme_of_an_inputs_url_may_be_in_upper_case_F0() -> None:
    with ExitStack() as stack:
        account = _account("pika", stack)
        image = dataclasses.replace(media("in.png", "image/png"), url="HTTPS://media.example/in.png")
        call = dataclasses.replace(account.call, inputs={"image": image})
        with pytest.raises(ProviderRefused, match="image must be a URL"):  # Pika's own answer: it got the URL
            account.run(lambda adapter: adapter.submit(call))
