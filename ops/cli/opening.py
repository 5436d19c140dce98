"""What commands open: the ledger, and the settings (see ``reading.py``)."""

from __future__ import annotations

import contextlib
import difflib
import tempfile
from collections.abc import Iterable, Iterator

from sqlalchemy.exc import OperationalError, ProgrammingError

from consumer.ledger import dead_letters
from consumer.ledger.database import Database, connect_ledger, lacks_schema
from consumer.ledger.queries import find_job
from consumer.ledger.records import DeadLetter, Job
from consumer.ledger.schema import HEAD, check_not_too_new, ledger_version, migrate
from consumer.ledger.tables import metadata
from ops.checks.paths import missing_ledger
from ops.cli.console import remark, stop
from ops.cli.reading import read_settings as read_settings, warn_of_unknown_variables as warn_of_unknown_variables
from providers.catalogue import Model
from schemas.errors import ConfigurationError, JobNotFound
from schemas.settings import Settings


@contextlib.contextmanager
def opened_ledger(settings: Settings, *, quiet: bool = False) -> Iterator[Database]:
    """Open the ledger for one command, as it is. A ledger that does not exist yet appears empty and is not created.

    The user is informed of that, unless ``quiet``.

    Raises:
        ConfigurationError: The ledger is too new, or too old for this command.
    """
    missing = missing_ledger(settings)
    if missing is None:
        database = connect_ledger(settings)
        with contextlib.closing(database):
            version = ledger_version(database)
            check_not_too_new(database, version)
            if version is not None:
                with _missing_migrations_named(version):
                    yield database
                return
    if not quiet:
        where = f"ledger at {missing}" if missing is not None else "table in the ledger"
        remark(f"There is no {where} yet; `telecine up` creates it.")
    with tempfile.TemporaryDirectory(prefix="telecine-") as folder:
        database = Database(f"sqlite:///{folder}/empty.sqlite3")
        with contextlib.closing(database):
            with database.write() as connection:
                metadata.create_all(connection)  # quicker than the migrations
            yield database


@contextlib.contextmanager
def _missing_migrations_named(version: str) -> Iterator[None]:
    """Explain why a statement failed that needs a table or column that the ledger does not have yet."""
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        if version >= HEAD or not lacks_schema(error):
            raise
        raise ConfigurationError(
            f"the ledger is at schema version {version}, which this command cannot read; run `telecine migrate`"
        ) from None


def open_or_create_ledger(settings: Settings) -> Database:
    """Open the ledger for a command that waits for a job. An empty one is created; an older one is used as it is."""
    database = connect_ledger(settings)
    try:
        version = ledger_version(database)
        if version is None:
            migrate(database)
        check_not_too_new(database, version)
    except BaseException:
        database.close()
        raise
    return database


def require_job(database: Database, job_id: str) -> Job:
    """Return the job.

    Raises:
        JobNotFound: If no job has this id. The message names the dead letter of its request, if there is one.
    """
    job = find_job(database, job_id)
    if job is None:
        letter = dead_letters.newest_number_for_request(database, job_id)
        if letter is not None:
            raise JobNotFound(
                f"no job has the id {job_id!r}: its request is a dead letter; see `telecine dead-letters show {letter}`"
            )
        raise JobNotFound(f"no job has the id {job_id!r}; `telecine list` prints the existing jobs")
    return job


def require_model(catalogue: Iterable[Model], name: str) -> Model:
    """Return the model of the catalogue; end the command if there is none of this name."""
    models = {model.id.lower(): model for model in catalogue}
    if name.lower() not in models:
        near = difflib.get_close_matches(name, [model.id for model in models.values()], n=1)
        hint = f"did you mean {near[0]}?" if near else "`telecine models` lists them."
        stop(f"There is no model {name!r}; {hint}", code="unknown_model")
    return models[name.lower()]


def require_dead_letter(database: Database, number: int) -> DeadLetter:
    """Return the dead letter with this number; end the command if it does not exist."""
    letter = dead_letters.find(database, number)
    if letter is None:
        stop(
            f"There is no dead letter {number}; `telecine dead-letters list` prints the existing ones.",
            code="dead_letter_not_found",
        )
    return letter
