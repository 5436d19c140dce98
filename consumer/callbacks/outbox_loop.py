"""The outbox's loop: sends what is due, many at once, and writes down what came of it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence

from consumer.callbacks.game import DELIVERED, EVENT_PREFIX, GameApi
from consumer.callbacks.schedule import Delivered, Disabled, Retry, next_attempt
from consumer.callbacks.signing import check_secret, default_secret, sign
from consumer.callbacks.slow_receivers import SlowReceivers
from consumer.failpoints import failpoint
from consumer.ledger.outbox import claim_due, record_attempt
from consumer.ledger.records import Delivery
from consumer.ledger.states import DeliveryState
from consumer.logs import logger
from consumer.runtime import Runtime
from providers.http.posts import AsyncGuardedClient
from schemas.errors import AddressForbidden, ConfigurationError

log = logger(__name__)

# Progress is worth sending once; a late one tells nothing that a later one does not.
_ONCE = frozenset({"job.progress"})


class OutboxLoop:
    """Delivers callbacks until it is stopped. Any number may run; each delivery is taken by one.

    A crash sends a callback again, with the same ``webhook-id``; none is lost.
    """

    def __init__(self, runtime: Runtime, *, jitter: Callable[[], float] = random.random) -> None:
        if not runtime.secrets:
            raise ConfigurationError(
                'no signing secret is configured; set TELECINE_CALLBACK_SECRETS=\'{"default": ["whsec_…"]}\' '
                "(`telecine secret` makes one)"
            )
        for name, secrets in runtime.secrets.items():
            if not secrets:
                raise ConfigurationError(f"TELECINE_CALLBACK_SECRETS has no secret under {name!r}; give one or drop it")
            for secret in secrets:
                check_secret(secret)
        self._runtime = runtime
        self._game = GameApi(runtime.settings.callback_api_url, runtime.settings.game_api_key)
        self._jitter = jitter
        self._client = AsyncGuardedClient(runtime.policy)
        self._lanes = SlowReceivers(runtime.settings.callback_concurrency)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Delivers until ``stop``; whatever fails is logged and tried again."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Makes ``run`` return after the deliveries that are on the way."""
        self._stopped.set()

    async def _run(self) -> None:
        settings = self._runtime.settings
        on_the_way: set[asyncio.Task[None]] = set()
        waiting: set[asyncio.Task[None]] = set()  # those of slow receivers
        while not self._stopped.is_set():
            waiting &= on_the_way
            slow = self._lanes.slow
            kept = max(0, self._lanes.slow_places - len(waiting)) if slow else 0
            taken = await self._take(settings.callback_concurrency - len(on_the_way) - kept, but=slow)
            if kept:
                late = await self._take(min(kept, settings.callback_concurrency - len(on_the_way)), only=slow)
                waiting.update(late)
                taken += late
            on_the_way.update(taken)
            if on_the_way:
                done, on_the_way = await asyncio.wait(on_the_way, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if (error := task.exception()) is not None:
                        log.error("delivery_failed", exc_info=error)
            if not taken:
                await asyncio.sleep(0.05 if on_the_way else settings.outbox_poll_seconds)
        if on_the_way:
            await asyncio.wait(on_the_way, timeout=settings.callback_timeout_seconds)

    async def _take(self, free: int, *, only: Sequence[str] = (), but: Sequence[str] = ()) -> list[asyncio.Task[None]]:
        if free <= 0:
            return []
        seconds = self._runtime.settings.callback_timeout_seconds * 2
        try:
            taken = await asyncio.to_thread(
                claim_due, self._runtime.database, limit=free, seconds=seconds, only=only, but=but
            )
        except Exception:
            log.warning("outbox_cannot_read", exc_info=True)
            await asyncio.sleep(1)
            return []
        if taken:
            failpoint("outbox.claimed")
        return [asyncio.create_task(self._deliver(delivery)) for delivery in taken]

    async def _deliver(self, delivery: Delivery) -> None:
        runtime = self._runtime
        status: int | None = None
        retry_after: str | None = None
        error: Exception | None = None
        headers = await asyncio.to_thread(self._headers, delivery)  # asks the ledger for the time
        try:
            reply = await self._client.post(
                delivery.url, delivery.body, headers, runtime.settings.callback_timeout_seconds
            )
            self._lanes.seen(delivery.url, reply.elapsed_seconds)
            status, retry_after = reply.status, reply.headers.get("retry-after")
            answer = f"HTTP {status}" if status is not None else (reply.failure or "no answer")
        except AddressForbidden as forbidden:
            error, answer = forbidden, f"{forbidden.code}: {forbidden.message}"
        except Exception as defect:  # counted as an attempt, or it would be sent for ever
            log.exception("callback_not_sent", webhook_id=delivery.id)
            answer = f"could not be sent: {type(defect).__name__}"
        failpoint("outbox.sent")
        verdict = next_attempt(
            delivery.attempts + 1,
            status,
            retry_after,
            jitter=self._jitter,
            error=error,
            delays_seconds=() if delivery.event in _ONCE else runtime.settings.callback_schedule_seconds,
            delivered=DELIVERED if delivery.event.startswith(EVENT_PREFIX) else (),
        )
        state = _state(verdict)
        wait = verdict.after_seconds if isinstance(verdict, Retry) else None
        await asyncio.to_thread(record_attempt, runtime.database, delivery, state, answer=answer, retry_in=wait)
        failpoint("outbox.recorded")
        log.info(
            "callback", webhook_id=delivery.id, job_id=delivery.job_id, state=state.value, answer=answer, retry_in=wait
        )

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        secrets = self._runtime.secrets
        default = default_secret(secrets)
        # A secret that was removed since the request came is replaced by the default one.
        chosen = secrets.get(delivery.secret_name or default) or secrets[default]
        timestamp = int(self._runtime.database.now())
        headers = {"content-type": "application/json", **sign(delivery.id, timestamp, delivery.body, chosen)}
        return headers | self._game.headers() if delivery.event.startswith(EVENT_PREFIX) else headers


def _state(verdict: object) -> DeliveryState:
    if isinstance(verdict, Delivered):
        return DeliveryState.DELIVERED
    if isinstance(verdict, Retry):
        return DeliveryState.RETRYING
    return DeliveryState.DISABLED if isinstance(verdict, Disabled) else DeliveryState.EXHAUSTED
