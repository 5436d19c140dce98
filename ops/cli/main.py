"""The ``telecine`` command.

A named error is one line on stderr and exit status 1; a bug is a traceback. Typer handles Ctrl-C and closed pipes.
"""

from __future__ import annotations

import errno
import os
from typing import Annotated, Any

import typer

from ops.cli.commands import HELP_OPTIONS, LazyCommands
from ops.cli.console import Stopped, fail, out, report_stop
from schemas.errors import ConfigurationError, TelecineError

#: Faults of the disk or of its rights, which the person at the keyboard can mend; the exception names the file.
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST)
#: Faults that are the disk's even if the exception names no file, because writing into an open one failed.
_FULL = (errno.ENOSPC, errno.EDQUOT)


#: Commands that run until they are stopped. With JSON logs even the reason why they do not start is a line of JSON.
_SERVICES = ("up", "worker", "edge", "dashboard")


class Commands(LazyCommands):
    """The commands. Named errors become one line on stderr; a bug becomes a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember ``--json`` and ``--help`` before the subcommand is parsed."""
        ctx.meta["telecine.json"] = "--json" in args
        ctx.meta["telecine.service"] = args[:1] != [] and args[0] in _SERVICES
        ctx.meta["telecine.help"] = bool({"-h", "--help"} & set(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn its errors into messages and exit statuses."""
        as_json = bool(ctx.meta.get("telecine.json"))
        try:
            if not ctx.meta.get("telecine.help"):
                _prepare()
            return super().invoke(ctx)
        except Stopped as stopped:
            report_stop(stopped, as_json=as_json)
            raise typer.Exit(stopped.status) from None
        except TelecineError as error:
            _report(ctx, error)
        except OSError as error:
            if error.errno not in (_NOT_WRITABLE if error.filename is not None else _FULL):
                raise
            _report(ctx, _not_writable(error))
        except Exception as error:
            unreachable = _unreachable(error)
            if unreachable is None:
                raise
            _report(ctx, unreachable)
        raise typer.Exit(1)


app = typer.Typer(
    name="telecine",
    cls=Commands,
    help="Telecine: JSON requests in, finished media and signed callbacks out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": HELP_OPTIONS},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed_version

        out.print(f"telecine {installed_version('telecine')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Telecine: JSON requests in, finished media and signed callbacks out."""


def main() -> None:
    """Run the command line. A named error is one line on stderr and exit status 1; a bug is a traceback."""
    app(prog_name="telecine")


def _report(ctx: Any, error: TelecineError) -> None:
    """Print the error, or log it for a service with JSON logs. The variable is read, as the settings may be invalid."""
    if not ctx.meta.get("telecine.service") or os.environ.get("TELECINE_LOG_FORMAT") != "json":
        fail(error, as_json=bool(ctx.meta.get("telecine.json")))
        return
    from consumer import logs

    logs.configure("ERROR", "json")
    log = logs.logger(__name__)
    log.error("not_started", code=error.code, reason=error.message)


def _prepare() -> None:
    """Set up logging and load the extensions, which may add job types and models to what a command shows."""
    from consumer import logs
    from ops.cli.reading import read_settings

    logs.configure("ERROR", "auto")
    if modules := read_settings().extensions:
        from consumer.extensions import load_extensions

        load_extensions(modules)


def _unreachable(error: Exception) -> ConfigurationError | None:
    """Return the error of a ledger that does not answer; ``None`` for any other exception."""
    from sqlalchemy.exc import DBAPIError

    from consumer.logs import scrub

    if not isinstance(error, DBAPIError):
        return None
    first = str(error.orig).strip().splitlines()[0] if error.orig is not None else type(error).__name__
    problem = "is read-only" if "read-only" in first or "readonly" in first else "does not answer"
    problem = "cannot be written" if "disk is full" in first else problem  # SQLite's words
    return ConfigurationError(f"the ledger {problem}: {scrub(first)}; run `telecine doctor`")


def _not_writable(error: OSError) -> ConfigurationError:
    if error.filename is None:
        return ConfigurationError(
            f"the disk is full: {error.strerror}; make room, or name another folder in TELECINE_HOME"
        )
    return ConfigurationError(
        f"{error.filename} cannot be written: {error.strerror}; "
        "make its folder writable, or name another one in TELECINE_HOME"
    )


if __name__ == "__main__":
    main()
