"""What a command opens: the settings, and the ledger."""

from __future__ import annotations

import contextlib
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.engine import make_url

from consumer.ledger.database import Database
from consumer.ledger.dead_letters import last_refusal_of
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.ledger.schema import migrate
from consumer.runtime import open_ledger
from ops.cli.console import remark
from schemas.errors import ConfigurationError, JobNotFound
from schemas.settings import Settings


def read_settings() -> Settings:
    """The settings.

    Raises:
        ConfigurationError: one of them is wrong; the message names it and does not repeat its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = "; ".join(f"{_place(p['loc'])}: {p['msg'].removeprefix('Value error, ')}" for p in problems)
        raise ConfigurationError(f"the settings are wrong: {named}") from None
    except SettingsError as error:
        raise ConfigurationError(f"the settings are wrong: {error}; such a variable holds JSON") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the settings file is no TOML: {error}") from None


@contextlib.contextmanager
def opened_ledger(settings: Settings) -> Iterator[Database]:
    """The ledger, for one command. One that does not exist yet is shown as empty, not made."""
    missing = missing_ledger(settings)
    if missing is None:
        database = open_ledger(settings)
        try:
            yield database
        finally:
            database.close()
        return
    remark(f"There is no ledger at {missing} yet; `telecine up` makes it.")
    with tempfile.TemporaryDirectory(prefix="telecine-") as folder:
        database = Database(f"sqlite:///{folder}/empty.sqlite3")
        migrate(database)
        try:
            yield database
        finally:
            database.close()


def missing_ledger(settings: Settings) -> Path | None:
    """Where the ledger's file is going to be, if it is a file and not there yet."""
    url = make_url(settings.ledger)
    path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    return path if path is not None and not path.exists() else None


def known_job(database: Database, job_id: str) -> Job:
    """The job.

    Raises:
        JobNotFound: no job has this id. The message says where a request with it was refused, if one was.
    """
    job = find_job(database, job_id)
    if job is None:
        letter = last_refusal_of(database, job_id)
        if letter is not None:
            raise JobNotFound(
                f"no job has the id {job_id!r}: its request was refused; `telecine dead-letters show {letter}` says why"
            )
        raise JobNotFound(f"no job has the id {job_id!r}; `telecine list` prints the jobs there are")
    return job


def _place(location: tuple[int | str, ...]) -> str:
    """The setting, and the entry of it: the rule and its field, the name and its field, the number in a list."""
    entry = list(location[1:])
    if entry and isinstance(entry[0], int):
        kind = "trigger rule" if location[0] == "triggers" else "entry"
        entry[0] = f"{kind} {entry[0] + 1}"
        return ", ".join(filter(None, (_variable(location), str(entry[0]), ".".join(map(str, entry[1:])))))
    return ", ".join(filter(None, (_variable(location), ".".join(map(str, entry)))))


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"TELECINE_{name.upper()}"
