"""The outbox loop: sends due callbacks, several at once, and records the result of each attempt."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence

from consumer.callbacks.game import DELIVERED, EVENT_PREFIX, GameApi
from consumer.callbacks.schedule import AttemptOutcome, Delivered, Disabled, Retry, next_attempt
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

# Progress is sent once without retries: a later progress callback replaces it.
_ONCE = frozenset({"job.progress"})


class OutboxLoop:
    """Delivers callbacks until it is stopped. Any number of loops may run; each delivery is claimed by one.

    After a crash a callback is sent again with the same ``webhook-id``; none is lost.
    """

    def __init__(self, runtime: Runtime, *, jitter: Callable[[], float] = random.random) -> None:
        if not runtime.secrets:
            raise ConfigurationError(
                'no signing secret is configured; set TELECINE_CALLBACK_SECRETS=\'{"default": ["whsec_…"]}\' '
                "(`telecine secret` generates one)"
            )
        for name, secrets in runtime.secrets.items():
            if not secrets:
                raise ConfigurationError(
                    f"TELECINE_CALLBACK_SECRETS has no secret for {name!r}; add one or remove the name"
                )
            for secret in secrets:
                check_secret(secret)
        self._runtime = runtime
        self._game = GameApi(runtime.settings.callback_api_url, runtime.settings.game_api_key)
        self._jitter = jitter
        self._client = AsyncGuardedClient(runtime.policy)
        self._slow_receivers = SlowReceivers(runtime.settings.callback_concurrency)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Deliver callbacks until ``stop``. Failures are logged and retried."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Make ``run`` return after the deliveries in flight."""
        self._stopped.set()

    async def _run(self) -> None:
        settings = self._runtime.settings
        in_flight: set[asyncio.Task[None]] = set()
        to_slow: set[asyncio.Task[None]] = set()  # the deliveries in flight to slow receivers
        while not self._stopped.is_set():
            to_slow &= in_flight
            slow = self._slow_receivers.origins
            reserved = max(0, self._slow_receivers.slots - len(to_slow)) if slow else 0
            taken = await self._claim(settings.callback_concurrency - len(in_flight) - reserved, but=slow)
            if reserved:
                late = await self._claim(min(reserved, settings.callback_concurrency - len(in_flight)), only=slow)
                to_slow.update(late)
                taken += late
            in_flight.update(taken)
            if in_flight:
                done, in_flight = await asyncio.wait(in_flight, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if (error := task.exception()) is not None:
                        log.error("delivery_task_failed", exc_info=error)
            if not taken:
                await asyncio.sleep(0.05 if in_flight else settings.outbox_poll_seconds)
        if in_flight:
            await asyncio.wait(in_flight, timeout=settings.callback_timeout_seconds)

    async def _claim(self, free: int, *, only: Sequence[str] = (), but: Sequence[str] = ()) -> list[asyncio.Task[None]]:
        if free <= 0:
            return []
        seconds = self._runtime.settings.callback_timeout_seconds * 2
        try:
            claimed = await asyncio.to_thread(
                claim_due, self._runtime.database, limit=free, seconds=seconds, only=only, but=but
            )
        except Exception:
            log.warning("outbox_read_failed", exc_info=True)
            await asyncio.sleep(1)
            return []
        if claimed:
            failpoint("outbox.claimed")
        return [asyncio.create_task(self._deliver(delivery)) for delivery in claimed]

    async def _deliver(self, delivery: Delivery) -> None:
        runtime = self._runtime
        status: int | None = None
        retry_after: str | None = None
        error: Exception | None = None
        headers = await asyncio.to_thread(self._headers, delivery)  # reads the ledger's clock
        try:
            reply = await self._client.post(
                delivery.url, delivery.body, headers, runtime.settings.callback_timeout_seconds
            )
            self._slow_receivers.record(delivery.url, reply.elapsed_seconds)
            status, retry_after = reply.status, reply.headers.get("retry-after")
            answer = f"HTTP {status}" if status is not None else (reply.failure or "no answer")
        except AddressForbidden as forbidden:
            error, answer = forbidden, f"{forbidden.code}: {forbidden.message}"
        except Exception as unexpected:  # must count as an attempt, or it would be retried forever
            log.exception("callback_send_failed", webhook_id=delivery.id)
            answer = f"could not be sent: {type(unexpected).__name__}"
        failpoint("outbox.sent")
        outcome = next_attempt(
            delivery.attempts + 1,
            status,
            retry_after,
            jitter=self._jitter,
            error=error,
            delays_seconds=() if delivery.event in _ONCE else runtime.settings.callback_schedule_seconds,
            delivered=DELIVERED if delivery.event.startswith(EVENT_PREFIX) else (),
        )
        state = _state(outcome)
        wait = outcome.after_seconds if isinstance(outcome, Retry) else None
        await asyncio.to_thread(record_attempt, runtime.database, delivery, state, answer=answer, retry_in=wait)
        failpoint("outbox.recorded")
        log.info(
            "callback_attempted",
            webhook_id=delivery.id,
            job_id=delivery.job_id,
            state=state.value,
            answer=answer,
            retry_in=wait,
        )

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        secrets = self._runtime.secrets
        default = default_secret(secrets)
        # If the secret was removed from the settings after the request was admitted, the default one signs.
        chosen = secrets.get(delivery.secret_name or default) or secrets[default]
        timestamp = int(self._runtime.database.now())
        headers = {"content-type": "application/json", **sign(delivery.id, timestamp, delivery.body, chosen)}
        return headers | self._game.headers() if delivery.event.startswith(EVENT_PREFIX) else headers


def _state(outcome: AttemptOutcome) -> DeliveryState:
    if isinstance(outcome, Delivered):
        return DeliveryState.DELIVERED
    if isinstance(outcome, Retry):
        return DeliveryState.RETRYING
    return DeliveryState.DISABLED if isinstance(outcome, Disabled) else DeliveryState.EXHAUSTED
