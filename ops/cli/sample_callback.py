"""``telecine callbacks test``: send one sample callback to a receiver."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets as random
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from consumer.callbacks.schedule import AttemptOutcome, Delivered, Disabled, Retry, next_attempt
from consumer.callbacks.signing import default_secret, sign
from ops.cli.console import JsonOption, print_json, show, stop
from ops.cli.opening import read_settings
from ops.formatting import duration
from providers.http.policy import Policy
from providers.http.posts import AsyncGuardedClient, Reply
from schemas.callback import Callback, CallbackData, Output
from schemas.errors import AddressForbidden
from schemas.settings import Settings

TEST_ID = "telecine-test"
_NOTE = "Sent by `telecine callbacks test`. There is no such job."


def send_sample(
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's URL, as in callback.url.")],
    secret_name: Annotated[
        str | None, typer.Option(help="Name of the signing secret, as in callback.secret_name.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a sample `job.completed` to a receiver, signed and checked like a real callback, and show its answer.

    Its id is telecine-test and its metadata say that it is a test. It is sent once, and the ledger does not know it.
    The exit status is 0 if the receiver accepted it.
    """
    settings = read_settings()
    body = sample_callback().model_dump_json(exclude_none=True).encode()
    webhook_id = f"msg_test_{random.token_hex(12)}"
    headers = sign(webhook_id, int(time.time()), body, _signing_secrets(settings, secret_name))
    forbidden: AddressForbidden | None = None
    reply = Reply(None)
    try:
        reply = asyncio.run(_post(settings, url, body, headers))
    except AddressForbidden as error:
        forbidden = error
    outcome = next_attempt(
        1,
        reply.status,
        reply.headers.get("retry-after"),
        jitter=lambda: 0.0,
        error=forbidden,
        delays_seconds=settings.callback_schedule_seconds,
    )
    answer = f"HTTP {reply.status}" if reply.status is not None else reply.failure or str(forbidden)
    verdict = _verdict(outcome, forbidden)
    if as_json:
        print_json(
            {
                "url": url,
                "webhook_id": webhook_id,
                "status": reply.status,
                "answer": answer,
                "seconds": round(reply.elapsed_seconds, 3),
                "verdict": type(outcome).__name__.lower(),
                "retry_in_seconds": outcome.after_seconds if isinstance(outcome, Retry) else None,
            }
        )
    else:
        show(_facts(webhook_id, answer, reply, outcome, verdict))
    if not isinstance(outcome, Delivered):
        raise typer.Exit(1)


def sample_callback() -> Callback:
    """Return the callback of a job that does not exist, marked as a test."""
    now = dt.datetime.now(dt.UTC)
    uri = f"s3://results/{TEST_ID}/video.mp4"
    output = Output(name="video.mp4", uri=uri, sha256="0" * 64, bytes=0, content_type="video/mp4")
    data = CallbackData(
        id=TEST_ID,
        type="reel",
        status="completed",
        progress_percentage=100,
        outputs=[output],
        created_at=now,
        metadata={"test": True, "note": _NOTE},
    )
    return Callback(type="job.completed", timestamp=now, data=data)


async def _post(settings: Settings, url: str, body: bytes, headers: dict[str, str]) -> Reply:
    client = AsyncGuardedClient(Policy(allowed_hosts=frozenset(settings.allowed_private_hosts)))
    signed = {"content-type": "application/json", **headers}
    return await client.post(url, body, signed, settings.callback_timeout_seconds)


def _signing_secrets(settings: Settings, name: str | None) -> Sequence[SecretStr]:
    # Imported here, because it imports every pipeline.
    from consumer.wiring import signing_secrets

    known = signing_secrets(settings)
    chosen = name or default_secret(known)
    if not known.get(chosen):
        stop(
            f"There is no signing secret {chosen!r}; available: {', '.join(sorted(known)) or 'none'}. "
            "Set TELECINE_CALLBACK_SECRETS; `telecine secret` generates one.",
            code="configuration",
        )
    return known[chosen]


def _verdict(outcome: AttemptOutcome, forbidden: AddressForbidden | None) -> Text:
    if isinstance(outcome, Delivered):
        return Text("delivered", style="green")
    if isinstance(outcome, Retry):
        return Text(f"would be sent again in {duration(outcome.after_seconds)}", style="yellow")
    if forbidden is not None:
        return Text("disabled: Telecine does not call this address", style="bold red")
    if isinstance(outcome, Disabled):
        return Text("disabled: 410 says that the receiver wants no more callbacks", style="bold red")
    return Text("exhausted: TELECINE_CALLBACK_SCHEDULE_SECONDS allows one attempt", style="bold red")


def _facts(webhook_id: str, answer: str, reply: Reply, outcome: AttemptOutcome, verdict: Text) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    took = f" in {duration(reply.elapsed_seconds)}" if reply.status is not None else ""
    grid.add_row("answer", Text(f"{answer}{took}"))
    grid.add_row("verdict", verdict)
    excerpt = reply.body_excerpt.decode(errors="replace").strip()[:300]
    if excerpt and not isinstance(outcome, Delivered):
        grid.add_row("body", Text(excerpt))
    grid.add_row("webhook-id", webhook_id)
    return grid
