"""Structured logs: a stable event name, job and attempt bound once, no payloads, no secrets. See docs/log-events.md."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

# Bounded lengths keep these linear: a log line may repeat hostile text from a producer.
_QUERY = re.compile(r"(\w://[^\s?#]{1,4096})\?[^\s\"']*")
_CREDENTIALS = re.compile(r"(\w://)[^/\s@]+@")
#: Loggers of libraries that log at INFO more than is useful; they start at WARNING.
_NOISY = (
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
    # "received" and "succeeded" for every wake-up: the job's own lines say more.
    "celery.worker.strategy",
    "celery.apps.worker",
    "celery.app.trace",
)
#: What ``add_to_lines`` was given.
_more_fields: Callable[[], Mapping[str, str]] | None = None
#: Escapes for ``str.translate``: control characters except line breaks and tabs, and bidirectional controls, which
#: change how a terminal shows nearby text. Ids, keys and prompts come from producers and may contain any of these.
TERMINAL_CONTROLS = {
    code: f"\\u{code:04x}"  # also an escape in JSON
    for code in (
        *range(0x09),
        *range(0x0B, 0x20),
        *range(0x7F, 0xA0),
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}


def scrub(text: str) -> str:
    """Return ``text`` without the query and the credentials of any URL in it."""
    return _CREDENTIALS.sub(r"\1", _QUERY.sub(r"\1?…", text)) if "://" in text else text


def writes_json(style: str) -> bool:
    """Return whether the ``style`` of ``configure`` means JSON for this process."""
    return style == "json" or (style == "auto" and not sys.stderr.isatty())


def configure(level: str, style: str) -> None:
    """Set up structlog and the standard library's loggers for the process, on stderr.

    Args:
        level: The name of the lowest level that is printed, such as ``INFO``.
        style: ``json``, ``console``, or ``auto``: console on a terminal, JSON elsewhere.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_more_fields,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _shorten_ledger_fault,
        structlog.processors.format_exc_info,  # as text, so that _scrub_event sees it; without local variables
        _scrub_event,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if writes_json(style)
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
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _escape_terminal_controls,
                renderer,
            ],
        )
    )
    _send_all_to(handler, level)


def _send_all_to(handler: logging.Handler, level: str) -> None:
    """Make it the handler of all loggers, and of Python's warnings."""
    root = logging.getLogger()
    # Celery's pool has a logger that does not propagate and would print plain text.
    pool = logging.getLogger("multiprocessing")
    pool.propagate = False
    root.handlers[:] = pool.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def add_to_lines(fields: Callable[[], Mapping[str, str]]) -> None:
    """Add what ``fields`` returns to every line from now on."""
    global _more_fields
    _more_fields = fields


def _add_more_fields(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if _more_fields is not None:
        event.update(_more_fields())
    return event


def bound(**fields: Any) -> AbstractContextManager[None]:
    """Add ``fields`` to every log line inside the ``with`` block, in this thread."""
    return structlog.contextvars.bound_contextvars(**fields)


def logger(name: str) -> Any:
    """Return the logger of a module."""
    return structlog.stdlib.get_logger(name)


def _shorten_ledger_fault(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the traceback of a ledger that does not answer by one line: it may be logged every second."""
    given = event.get("exc_info")
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, Exception) and _is_connection_fault(error):
        del event["exc_info"]
        cause = str(getattr(error, "orig", None) or error).strip()
        event["reason"] = f"{type(error).__name__}: {cause.partition(chr(10))[0]}"
    return event


def _is_connection_fault(error: Exception) -> bool:
    """Return whether the ledger's connection failed. Other database errors are defects, and keep their traceback."""
    from sqlalchemy import exc  # here, because it is slow to import and `telecine --help` needs no database

    faults = (exc.DBAPIError, exc.PendingRollbackError, exc.TimeoutError)
    defects = (exc.ProgrammingError, exc.IntegrityError, exc.DataError, exc.NotSupportedError)
    return isinstance(error, faults) and not isinstance(error, defects)


def _scrub_event(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = scrub(value)
    return event


def _escape_terminal_controls(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = value.translate(TERMINAL_CONTROLS)
    return event
