"""Checks of the ledger: it is reachable, has this version's tables and agrees with this machine's clock."""

from __future__ import annotations

import os
import time

from consumer.ledger.database import Database, describe
from consumer.ledger.queries import count_dead_letters
from consumer.ledger.schema import HEAD, ledger_version, oldest_version
from consumer.logs import scrub
from ops.checks.finding import Finding, failed, ok, warn
from ops.checks.paths import missing_ledger, nearest_existing
from ops.formatting import count
from schemas.settings import Settings

_CLOCK_SECONDS = 5.0


def ledger(settings: Settings) -> Finding:
    """Check that the ledger answers and has this version's tables, without changing it."""
    if (missing := missing_ledger(settings)) is not None:
        folder = nearest_existing(missing.parent)
        if not os.access(folder, os.W_OK):
            return failed(
                f"{missing} does not exist and {folder} is not writable", "grant write access, or set TELECINE_HOME"
            )
        return ok(f"{missing} is created at the first start")
    database = Database(settings.ledger)
    try:
        if database.is_read_only():
            return failed(
                f"{scrub(settings.ledger)} is read-only: no job is admitted and none runs",
                "name the primary server in TELECINE_LEDGER_URL, or make the disk writable",
            )
        version = ledger_version(database)
        oldest = oldest_version(database)
    except Exception as error:
        return failed(
            f"{scrub(settings.ledger)} does not answer: {_first_line(error)}",
            "check TELECINE_LEDGER_URL; is the server running, and may this user log in?",
        )
    finally:
        database.close()
    return _version_finding(f"{describe(database.dialect)}, {scrub(settings.ledger)}", version, oldest)


def _version_finding(name: str, version: str | None, oldest: str | None) -> Finding:
    if version is None:
        return ok(f"{name}: empty, its tables are created at the first start")
    if version == HEAD:
        return ok(f"{name}, schema version {version}")
    if version < HEAD:
        return warn(
            f"{name}: schema version {version}, this Telecine needs {HEAD}",
            "back it up, then run `telecine migrate` (`telecine up` does it with SQLite)",
        )
    if (oldest or version) <= HEAD:
        return ok(f"{name}, schema version {version}, newer than {HEAD} of this Telecine, which can use it")
    return failed(
        f"{name}: schema version {version}, newer than {HEAD} of this Telecine",
        "install the same Telecine as on the other workers",
    )


def clock(settings: Settings) -> Finding:
    """Compare the database's clock with this machine's, because receivers refuse signatures with a wrong time."""
    if missing_ledger(settings) is not None:
        return ok("the ledger will be on this machine")
    database = Database(settings.ledger)
    try:
        before = time.time()
        now = database.now()
        apart = now - (before + time.time()) / 2
    finally:
        database.close()
    if abs(apart) > _CLOCK_SECONDS:
        return failed(
            f"the ledger's clock is {apart:+.1f} s from this machine's",
            "synchronise both with NTP: receivers refuse signatures with a wrong time",
        )
    return ok(f"the ledger's clock is {apart:+.2f} s from this machine's")


def dead_letters(settings: Settings) -> Finding:
    """Count the dead letters that were not replayed."""
    if missing_ledger(settings) is not None:
        return ok("none")
    database = Database(settings.ledger)
    try:
        waiting = count_dead_letters(database) if ledger_version(database) is not None else {}
    finally:
        database.close()
    if not waiting:
        return ok("none")
    codes = ", ".join(f"{code} {number}" for code, number in sorted(waiting.items()))
    return warn(
        f"{count(sum(waiting.values()), 'message')}: {codes}",
        "see `telecine dead-letters list`; replay or dismiss them",
    )


def retention(settings: Settings) -> Finding:
    """Print for how long results, job records and dead letters are kept."""
    kept = (
        ("results", settings.results_ttl_days, "TELECINE_RESULTS_TTL_DAYS"),
        ("jobs", settings.jobs_ttl_days, "TELECINE_JOBS_TTL_DAYS"),
        ("dead letters", settings.dead_letters_ttl_days, "TELECINE_DEAD_LETTERS_TTL_DAYS"),
    )
    return ok(
        "; ".join(
            f"{what}: kept, {variable} is not set" if days is None else f"{what}: deleted after {days:g} days"
            for what, days, variable in kept
        )
    )


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return scrub(text.splitlines()[0]) if text else type(error).__name__
