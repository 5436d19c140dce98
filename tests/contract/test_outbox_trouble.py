"""The outbox with slow receivers, and without a signing secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from consumer.callbacks import slow_receivers
from consumer.callbacks.outbox_loop import OutboxLoop
from consumer.ledger import outbox
from consumer.runtime import Runtime
from consumer.wiring import build_runtime
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from tests.receiver import Answer, Receiver


@contextmanager
def running(home: Path, **settings: object) -> Iterator[Runtime]:
    """Run an outbox."""
    found = Settings(home=home, allowed_private_hosts=["127.0.0.1"], **settings)  # type: ignore[arg-type]
    runtime = build_runtime(found)
    loop = OutboxLoop(runtime)
    thread = threading.Thread(target=loop.run, name="outbox")
    thread.start()
    try:
        yield runtime
    finally:
        loop.stop()
        thread.join(30)
        runtime.close()


def promise(runtime: Runtime, number: int, url: str) -> None:
    """Enqueue a callback in the outbox."""
    with runtime.database.write() as connection:
        new = outbox.NewDelivery(
            id=f"msg_{number}", job_id=None, event="job.failed", url=url, secret_name=None, body=b"{}"
        )
        outbox.enqueue(runtime.database, connection, new)


@pytest.mark.parametrize("places", [1, 2])
def test_a_slow_receiver_does_not_delay_the_callbacks_of_others(
    places: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_receivers, "SLOW_SECONDS", 0.2)
    with (
        Receiver([Answer(delay_seconds=0.5)]) as slow,
        Receiver() as quick,
        running(tmp_path, callback_concurrency=places, outbox_poll_seconds=0.02) as runtime,
    ):
        promise(runtime, 1, slow.url)
        slow.wait_for(1)
        promise(runtime, 2, quick.url)
        quick.wait_for(1, timeout=10)
        promise(runtime, 3, slow.url)
        slow.wait_for(2, timeout=10)


@pytest.mark.parametrize("name", ["default", "old"])
def test_a_secret_name_without_a_secret_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    secrets = {"default": [SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], name: []}
    runtime = build_runtime(Settings(home=tmp_path, callback_secrets=secrets))
    with pytest.raises(ConfigurationError, match=f"TELECINE_CALLBACK_SECRETS.*{name}"):
        OutboxLoop(runtime)
    runtime.close()
