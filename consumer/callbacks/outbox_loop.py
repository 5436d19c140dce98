"""The outbox loop: sends due callbacks, several at once, and records the result of each attempt."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from consumer import tracing
from consumer.callbacks.alarm import Alarm
from consumer.callbacks.game import DELIVERED, EVENT_PREFIX, GameApi
from consumer.callbacks.schedule import AttemptOutcome, Delivered, Disabled, Retry, next_attempt
from consumer.callbacks.signing import check_secret, default_secret, sign
from consumer.callbacks.slow_receivers import InFlight, SlowReceivers
from consumer.failpoints import failpoint
from consumer.ledger.outbox import DueCallback, claim_due, list_due, record_attempt
from consumer.ledger.queries import tenant_of
from consumer.ledger.records import Delivery
from consumer.ledger.states import DeliveryState
from consumer.logs import logger
from consumer.runtime import Runtime
from providers.http.posts import AsyncGuardedClient
from schemas.errors import AddressForbidden, ConfigurationError, TenantForbidden

log = logger(__name__)

# Progress is sent once without retries: a later progress callback replaces it.
_ONCE = frozenset({"job.progress"})
#: Attempts without a known secret that are retried: a process with older settings does not know a new secret yet.
_UNKNOWN_SECRET_ATTEMPTS = 2
#: How many due deliveries are looked at together while the first ones have to wait for their receivers.
_PAGE = 2000
#: The longest pause between two looks while deliveries are in flight: one may have become late, or be due again.
_IN_FLIGHT_SECONDS = 0.05


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
        self._receivers = SlowReceivers(runtime.settings.callback_concurrency)
        #: The last due delivery that was looked at; ``None`` to begin with the first one.
        self._position: DueCallback | None = None
        self._stopped = threading.Event()
        self._alarm = Alarm(runtime.database)
        self._in_flight: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """Deliver callbacks until ``stop``. Failures are logged and retried."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Make ``run`` return after the deliveries in flight."""
        self._stopped.set()
        self._alarm.ring()

    async def _run(self) -> None:
        settings = self._runtime.settings
        async with self._alarm:
            while not self._stopped.is_set():
                for task in await self._start_due():
                    self._in_flight.add(task)
                    task.add_done_callback(self._ended)
                poll = settings.outbox_poll_seconds
                await self._alarm.wait(min(_IN_FLIGHT_SECONDS, poll) if self._in_flight else poll)
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=settings.callback_timeout_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._alarm.ring()  # the next delivery may start
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery_task_failed", exc_info=error)

    async def _start_due(self) -> list[asyncio.Task[None]]:
        """Start due deliveries that the limits allow.

        While the first deliveries in line have to wait for their receivers, each call looks further down the line.
        """
        free = self._receivers.free
        if free <= 0:
            return []
        database = self._runtime.database
        seconds = self._runtime.settings.callback_timeout_seconds * 2
        page = _PAGE if self._position is not None else 4 * free
        try:
            due = await asyncio.to_thread(list_due, database, limit=page, after=self._position)
            chosen = self._receivers.choose(due, most=4 * free)
            self._position = due[-1] if len(due) == page and len(chosen) < free else None
            if not chosen:
                return []
            # More than are free: another process may claim some of them first.
            claimed = await asyncio.to_thread(claim_due, database, limit=free, seconds=seconds, ids=chosen)
        except Exception:
            log.warning("outbox_read_failed", exc_info=True)
            await asyncio.sleep(1)
            return []
        if claimed:
            failpoint("outbox.claimed")
        return [
            asyncio.create_task(self._deliver(delivery, self._receivers.start(delivery.url))) for delivery in claimed
        ]

    async def _deliver(self, delivery: Delivery, in_flight: InFlight) -> None:
        try:
            response = await self._send(delivery, in_flight)
            failpoint("outbox.sent")
            await self._record(delivery, response)
            failpoint("outbox.recorded")
        finally:
            self._receivers.finish(in_flight)

    async def _send(self, delivery: Delivery, in_flight: InFlight) -> _Response:
        attributes = {
            "http.request.method": "POST",
            "telecine.job.id": delivery.job_id,
            "telecine.webhook_id": delivery.id,
            "telecine.callback.attempt": delivery.attempts + 1,
        }
        with tracing.continued(f"callback {delivery.event}", delivery.trace, attributes, sends=True):
            response = await self._post(delivery, in_flight)
            tracing.annotate({"http.response.status_code": response.status})
            if response.status is None or response.status >= 300:
                tracing.fail(response.answer)
            return response

    async def _post(self, delivery: Delivery, in_flight: InFlight) -> _Response:
        timeout = self._runtime.settings.callback_timeout_seconds
        try:
            headers = await asyncio.to_thread(self._headers, delivery)
        except TenantForbidden as error:
            return _Response(f"{error.code}: {error.message}", error=error)
        except ConfigurationError as error:
            return _Response(f"{error.code}: {error.message}")
        # A ledger that does not answer is not the receiver's failure: the claim expires without an attempt.
        try:
            reply = await self._client.post(delivery.url, delivery.body, headers, timeout)
        except AddressForbidden as error:
            return _Response(f"{error.code}: {error.message}", error=error)
        except Exception as unexpected:  # must count as an attempt, or it would be retried forever
            log.exception("callback_send_failed", webhook_id=delivery.id)
            return _Response(f"could not be sent: {type(unexpected).__name__}")
        self._receivers.answered(in_flight)
        answer = f"HTTP {reply.status}" if reply.status is not None else (reply.failure or "no answer")
        return _Response(answer, reply.status, reply.headers.get("retry-after"))

    async def _record(self, delivery: Delivery, response: _Response) -> None:
        runtime = self._runtime
        outcome = next_attempt(
            delivery.attempts + 1,
            response.status,
            response.retry_after,
            jitter=self._jitter,
            error=response.error,
            delays_seconds=() if delivery.event in _ONCE else runtime.settings.callback_schedule_seconds,
            delivered=DELIVERED if delivery.event.startswith(EVENT_PREFIX) else (),
        )
        state = _state(outcome)
        wait = outcome.after_seconds if isinstance(outcome, Retry) else None
        await asyncio.to_thread(
            record_attempt, runtime.database, delivery, state, answer=response.answer, retry_in=wait
        )
        log.info(
            "callback_attempted",
            webhook_id=delivery.id,
            job_id=delivery.job_id,
            state=state.value,
            answer=response.answer,
            retry_in=wait,
        )

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        secrets = self._signing_secrets(delivery)
        timestamp = int(self._runtime.database.now())
        headers = {
            "content-type": "application/json",
            **(tracing.carrier() or delivery.trace),
            **sign(delivery.id, timestamp, delivery.body, secrets),
        }
        return headers | self._game.headers() if delivery.event.startswith(EVENT_PREFIX) else headers

    def _signing_secrets(self, delivery: Delivery) -> Sequence[SecretStr]:
        """Return the secrets that sign the delivery by today's settings, which may differ from those at admission.

        Raises:
            ConfigurationError: The secret is unknown, perhaps because the settings of this process are old.
            TenantForbidden: It is still unknown minutes later, or belongs to another tenant now, whose receivers would
                accept the callback.
        """
        secrets, tenants = self._runtime.secrets, self._runtime.tenants
        default = default_secret(secrets)
        name = delivery.secret_name or default
        if not tenants.tenants:
            # If the secret was removed from the settings after the request was admitted, the default one signs.
            return secrets.get(name) or secrets[default]
        if name not in secrets:
            unknown = f"the signing secret {name!r} is not in TELECINE_CALLBACK_SECRETS; add it"
            if delivery.attempts < _UNKNOWN_SECRET_ATTEMPTS:
                raise ConfigurationError(unknown)
            raise TenantForbidden(f"{unknown}, then replay")
        if delivery.job_id is not None:
            tenant = tenant_of(self._runtime.database, delivery.job_id)
            # The callbacks of a tenant that was removed may still use a secret that no other tenant owns.
            tenants.check_secret(tenant if tenant in tenants.tenants else None, name)
        return secrets[name]


@dataclass(frozen=True, slots=True)
class _Response:
    """What an attempt led to. ``answer`` is for people; ``error`` says that the callback may not be sent."""

    answer: str
    status: int | None = None
    retry_after: str | None = None
    error: AddressForbidden | TenantForbidden | None = None


def _state(outcome: AttemptOutcome) -> DeliveryState:
    if isinstance(outcome, Delivered):
        return DeliveryState.DELIVERED
    if isinstance(outcome, Retry):
        return DeliveryState.RETRYING
    return DeliveryState.DISABLED if isinstance(outcome, Disabled) else DeliveryState.EXHAUSTED
