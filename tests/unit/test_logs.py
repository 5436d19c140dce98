"""Log lines: safe to show in a terminal and without credentials, for any message."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import PathDistribution, version
from typing import Any

import pytest

from consumer.logs import scrub
from consumer.sentry import start_sentry
from schemas.settings import Settings

PROGRAM = r"""
import logging
from consumer import logs
logs.configure("INFO", "{style}")
logs.logger("x").warning("rejected", request_id="\x1b[2J\x9b\u202eevil", uri="s3://inbox/\x1b]0;title\x07")
logging.getLogger("library").warning("\x1b[2J")
try:
    raise ValueError("\x1b[2J")
except ValueError:
    logs.logger("x").exception("failed")
"""


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_control_sequence_of_a_message_reaches_the_terminal(style: str) -> None:
    command = [sys.executable, "-c", PROGRAM.replace("{style}", style)]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=60).stderr.decode()
    assert shown.count("[2J") == 3
    assert "evil" in shown
    for command_sequence in ("\x1b[2J", "\x1b]", "\x9b", "\u202e", "\x07"):
        assert command_sequence not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://a.example/x?X-Amz-Signature=abc failed", "GET https://a.example/x?… failed"),
        ("postgresql+psycopg://user:pass@db/x and amqp://u:p@q//", "postgresql+psycopg://db/x and amqp://q//"),
        ('{"a":"https://u:p@a/?b","c":"s3://b/k?d"}', '{"a":"https://a/?…","c":"s3://b/k?…"}'),
        ("what?", "what?"),
    ],
)
def test_urls_are_logged_without_query_and_credentials(text: str, shown: str) -> None:
    assert scrub(text) == shown


@pytest.mark.parametrize("text", ["token" * 13_000, "a://" * 16_000, "https://" + "a" * 64_000])
def test_a_long_text_is_scrubbed_quickly(text: str) -> None:
    started = time.process_time()
    scrub(text)
    assert time.process_time() - started < 3


LEDGER_PROGRAM = """
import logging
from consumer import logs
from consumer.ledger.database import Database
logs.configure("INFO", "json")
try:
    Database("postgresql+psycopg://u:secret@127.0.0.1:1/x").now()
except Exception as error:
    logs.logger("x").warning("sweep_failed", exc_info=True)
    logs.logger("x").exception("call_action_dropped")
    logging.getLogger("celery").error("task failed", exc_info=error)
try:
    raise ValueError
except ValueError:
    logs.logger("x").exception("a_defect")
"""


def test_a_ledger_that_does_not_answer_is_one_short_line_attack_12() -> None:
    done = subprocess.run([sys.executable, "-c", LEDGER_PROGRAM], capture_output=True, check=True, timeout=60)
    *unavailable, defect = map(json.loads, done.stderr.decode().splitlines())
    assert len(unavailable) == 3
    for line in unavailable:
        assert "onnection refused" in line["reason"]
        assert "Traceback" not in str(line)
        assert len(str(line)) < 600
    assert "Traceback" in defect["exception"]


def read_text_of(source: str | None) -> Any:
    """Return a ``Distribution.read_text`` that finds ``source`` as the place that pip installed from."""
    read = PathDistribution.read_text
    return lambda self, name: source if name == "direct_url.json" else read(self, name)


FROM_GIT = '{"url": "https://git.example/t.git", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}'


@pytest.mark.parametrize(
    ("given", "source", "release"),
    [
        ("", None, f"telecine@{version('telecine')}"),
        ("", '{"url": "file:///src", "dir_info": {}}', f"telecine@{version('telecine')}"),
        ("", FROM_GIT, f"telecine@{version('telecine')}+0123456789ab"),
        ("shop-7", FROM_GIT, "shop-7"),
    ],
)
def test_sentry_knows_the_release_friction_low(
    monkeypatch: pytest.MonkeyPatch, given: str, source: str | None, release: str
) -> None:
    options: dict[str, Any] = {}
    monkeypatch.setattr("sentry_sdk.init", lambda **given: options.update(given))
    monkeypatch.setattr("importlib.metadata.PathDistribution.read_text", read_text_of(source))
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry.example/1")
    monkeypatch.setenv("SENTRY_RELEASE", given)
    assert start_sentry(Settings())
    assert options["release"] == release
