"""The receivers of the guide, run as printed, with callbacks of real jobs and their duplicates."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from consumer.callbacks.signing import generate_secret
from consumer.ledger.queries import deliveries_of
from consumer.ledger.states import DeliveryState
from telecine_client import Inbox
from tests.acceptance import guide
from tests.pages import one_fence
from tests.servers.ports import answers, free_port
from tests.telecine_process import TelecineProcess, wait_until


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver_takes_each_callback_once_while_the_secret_is_replaced(language: str, tmp_path: Path) -> None:
    old, new, port = generate_secret(), generate_secret(), free_port()
    folder = tmp_path / "receiver"
    command = guide.program(language, one_fence(language, "receiver"), folder)
    # Telecine signs with both secrets; the receiver knows only the old one.
    secrets = json.dumps({"default": [new, old]})
    with TelecineProcess(tmp_path / "home", notes=True, callback_secrets=secrets) as telecine:
        telecine.start()
        receiver = _started(command, folder, port, old)
        try:
            _send(telecine, "order-1", port)
            assert _refused(port) == 401
            # Wait until the callback is marked as done: a receiver stopped before that would do the work again.
            wait_until(lambda: _done(folder, language) == 1, what=(folder / "output").read_text)
        finally:
            receiver.terminate()
            receiver.wait(30)
        # The receiver now knows both secrets, and still knows the callbacks that it stored.
        receiver = _started(command, folder, port, f"{new} {old}")
        try:
            telecine.run("callbacks", "replay", "--job", "order-1")
            _wait_until_delivered(telecine, "order-1")
            _send(telecine, "order-2", port)
            output = folder / "output"
            wait_until(lambda: "order-2" in output.read_text(), what=output.read_text)
            assert sorted(output.read_text().splitlines()) == [
                "job.completed order-1 completed",
                "job.completed order-2 completed",
            ]
        finally:
            receiver.terminate()
            receiver.wait(30)


def _started(command: list[str], folder: Path, port: int, secrets: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PORT": str(port), "WEBHOOK_SECRETS": secrets}
    with (folder / "output").open("ab") as output, (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
    wait_until(lambda: answers(port), what=(folder / "errors").read_text)
    return process


def _send(telecine: TelecineProcess, job_id: str, port: int) -> None:
    callback = {"url": f"http://127.0.0.1:{port}/hooks"}
    request = {"id": job_id, "type": "note", "data": {"text": "x"}, "callback": callback}
    wait_until((telecine.home / "inbox").is_dir)
    Inbox(telecine.home / "inbox").submit_unchecked(request)
    telecine.wait_for_job(job_id)
    _wait_until_delivered(telecine, job_id)


def _wait_until_delivered(telecine: TelecineProcess, job_id: str) -> None:
    database = telecine.database()
    try:
        wait_until(
            lambda: [d.state for d in deliveries_of(database, job_id)] == [DeliveryState.DELIVERED],
            what=lambda: str(deliveries_of(database, job_id)),
        )
    finally:
        database.close()


def _done(folder: Path, language: str) -> int:
    """Count the callbacks that the receiver has marked as done."""
    if language == "js":
        return len(list((folder / "callbacks").glob("*.done")))
    with closing(sqlite3.connect(folder / "callbacks.sqlite3", timeout=10)) as connection:
        return int(connection.execute("SELECT count(*) FROM callbacks WHERE done = 1").fetchone()[0])


def _refused(port: int) -> int:
    """Send an unsigned POST and return the error status."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/hooks", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()
    return caught.value.code
