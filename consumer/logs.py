"""Structured logs: one stable word an event, job and attempt bound once, no payload, no secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Each begins at one letter and looks at a bounded length: a log line may repeat what a producer wrote on purpose.
_QUERY = re.compile(r"(\w://[^\s?#]{1,4096})\?[^\s\"']*")
_CREDENTIALS = re.compile(r"(\w://)[^/\s@]+@")
#: What a terminal obeys instead of showing it, line breaks and tabs aside. An id that is refused may hold any of it.
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def scrub(text: str) -> str:
    """``text`` without the query and the credentials of any URL in it."""
    return _CREDENTIALS.sub(r"\1", _QUERY.sub(r"\1?…", text))


def configure(level: str, style: str) -> None:
    """Sets up structlog and the standard library's loggers for the process, on stderr."""
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # as text, so that what follows scrubs it, and without local variables
        _scrub_event,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _show_commands, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in (
        "botocore",
        "boto3",
        "urllib3",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "amqp",
        "alembic",
        "kombu",
        "s3transfer",
        # "received" and "succeeded", with a new id each: the job's own lines say more.
        "celery.worker.strategy",
        "celery.app.trace",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def logger(name: str) -> Any:
    """The logger of a module."""
    return structlog.stdlib.get_logger(name)


def _scrub_event(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = scrub(value)
    return event


def _show_commands(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return event
