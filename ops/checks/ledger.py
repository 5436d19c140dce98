"""The ledger: reachable, of this version, and of the same time."""

from __future__ import annotations

import os
import time

from consumer.ledger.database import Database, describe
from consumer.ledger.queries import count_rejections, ledger_version
from consumer.ledger.schema import HEAD
from consumer.logs import scrub
from ops.checks.finding import Finding, failed, ok, warn
from ops.checks.machine import existing
from ops.cli.opening import missing_ledger
from ops.wording import count
from schemas.settings import Settings

_CLOCK_SECONDS = 5.0


def ledger(settings: Settings) -> Finding:
    """Whether the ledger answers and its tables are those of this version. It is not changed."""
    if (missing := missing_ledger(settings)) is not None:
        folder = existing(missing.parent)
        if not os.access(folder, os.W_OK):
            return failed(
                f"{missing} does not exist and {folder} cannot be written", "grant write access, or set TELECINE_HOME"
            )
        return ok(f"{missing} is made at the first start")
    database = Database(settings.ledger)
    try:
        version = ledger_version(database)
    except Exception as error:
        return failed(
            f"{scrub(settings.ledger)} does not answer: {_first_line(error)}",
            "see TELECINE_LEDGER_URL; is the server up, may this user log in?",
        )
    finally:
        database.close()
    name = f"{describe(database.dialect)}, {scrub(settings.ledger)}"
    if version is None:
        return ok(f"{name}: empty, its tables are made at the first start")
    if version == HEAD:
        return ok(f"{name}, version {version}")
    if version < HEAD:
        return warn(
            f"{name}: version {version}, this Telecine has {HEAD}",
            "it is brought up to date at the next start; back it up first",
        )
    return failed(
        f"{name}: version {version}, this Telecine knows {HEAD} only",
        "install the Telecine that the other workers have",
    )


def clock(settings: Settings) -> Finding:
    """The database's clock against this machine's: receivers refuse signatures from another time."""
    if missing_ledger(settings) is not None:
        return ok("the ledger is going to be on this machine")
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
            "synchronise both with NTP: receivers refuse old signatures",
        )
    return ok(f"the ledger's clock is {apart:+.2f} s from this machine's")


def dead_letters(settings: Settings) -> Finding:
    """How many refused messages wait for a person."""
    if missing_ledger(settings) is not None:
        return ok("none")
    database = Database(settings.ledger)
    try:
        waiting = count_rejections(database) if ledger_version(database) is not None else {}
    finally:
        database.close()
    if not waiting:
        return ok("none")
    told = ", ".join(f"{code} {number}" for code, number in sorted(waiting.items()))
    return warn(
        f"{count(sum(waiting.values()), 'message')}: {told}",
        "look at `telecine dead-letters list`; replay or leave them",
    )


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return scrub(text.splitlines()[0]) if text else type(error).__name__
