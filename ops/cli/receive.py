"""``telecine receive``: a receiver of callbacks on this machine, to try them out."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.text import Text

from consumer.callbacks.signing import check_secret
from ops.cli.console import JsonOption, out, remark, show
from ops.cli.opening import read_settings
from ops.demo.receiver import CallbackReceiver, ReceivedCallback
from ops.formatting import styled_state
from ops.views import iso
from schemas.errors import ConfigurationError
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("receive")(receive)


def receive(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8099,
    secret: Annotated[
        str | None, typer.Option(help="Verify with this secret instead of those of the settings; - reads it.")
    ] = None,
    status: Annotated[int, typer.Option(min=200, max=599, help="Answer each callback with this HTTP status.")] = 204,
    body: Annotated[bool, typer.Option("--body", help="Print the bodies too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Receive callbacks on this machine, verify their signatures and print a line for each, until Ctrl-C.

    Bodies contain presigned URLs. With --json, each callback is one line of JSON with its body.
    """
    printer = _Printer(_secrets(read_settings(), secret), body=body, as_json=as_json)
    try:
        receiver = CallbackReceiver(port, status=status, notify=printer)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another --port"
        ) from None
    with receiver:
        remark(f"Listening on {receiver.url} (any path); Ctrl-C ends.")
        remark(f"Telecine may call it if TELECINE_ALLOWED_PRIVATE_HOSTS contains 127.0.0.1:{receiver.port}.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


class _Printer:
    """Prints each callback."""

    def __init__(self, secrets: Sequence[SecretStr], *, body: bool, as_json: bool) -> None:
        self._secrets, self._body, self._as_json = secrets, body, as_json
        self._seen: set[str] = set()

    def __call__(self, callback: ReceivedCallback) -> None:
        fault, duplicate = callback.fault(self._secrets), callback.webhook_id in self._seen
        self._seen.add(callback.webhook_id)
        content = _content(callback.body)
        fields = content if isinstance(content, dict) else {}
        data = fields.get("data") if isinstance(fields.get("data"), dict) else {}
        if self._as_json:
            record = {
                "received_at": iso(time.time()),
                "webhook_id": callback.webhook_id,
                "verified": fault is None,
                "fault": fault,
                "duplicate": duplicate,
                "body": content,
            }
            out.print(json.dumps(record, ensure_ascii=False), soft_wrap=True, markup=False)
        else:
            show(_line(fields, data or {}, fault, callback.webhook_id, duplicate=duplicate))
            if self._body:
                text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
                out.print(text, soft_wrap=True, markup=False)
        out.file.flush()


def _line(fields: Any, data: Any, fault: str | None, webhook_id: str, *, duplicate: bool) -> Text:
    verdict = ("verified", "green") if fault is None else (f"NOT VERIFIED: {fault}", "bold red")
    parts = [
        Text(time.strftime("%H:%M:%S"), style="dim"),
        Text(str(data.get("id") or ""), style="bold"),
        Text(str(fields.get("type") or "")),
        styled_state(str(data.get("status") or "")),
        Text(*verdict),
        Text("duplicate" if duplicate else "", style="yellow"),
        # Too long for one line of most terminals.
        Text("" if out.is_terminal and out.width < 120 else webhook_id, style="dim"),
    ]
    return Text("  ").join(part for part in parts if part)


def _content(body: bytes) -> Any:
    """Return the body as JSON, or as text if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _secrets(settings: Settings, given: str | None) -> list[SecretStr]:
    if given is None:
        from consumer.wiring import signing_secrets

        found = [secret for secrets in signing_secrets(settings).values() for secret in secrets]
        if not found:
            raise ConfigurationError("no signing secret is set; give --secret, or set TELECINE_CALLBACK_SECRETS")
        return found
    secret = SecretStr(sys.stdin.readline().strip() if given == "-" else given)
    check_secret(secret)
    return [secret]
