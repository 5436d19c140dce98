"""How every command ends: a named error is one line and status 1. Typer handles Ctrl-C and closed pipes silently."""

from __future__ import annotations

from typing import Any

import typer
from sqlalchemy.exc import DBAPIError
from typer.core import TyperGroup

from consumer import logs
from consumer.extensions import load_extensions
from ops.cli.console import Stopped, fail, report_stop
from ops.cli.opening import read_settings
from schemas.errors import ConfigurationError, TelecineError


class Commands(TyperGroup):
    """The group of all commands. Named errors become one line on stderr; a bug becomes a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember ``--json`` and ``--help`` before the subcommand is parsed."""
        ctx.meta["telecine.json"] = "--json" in args
        ctx.meta["telecine.help"] = bool({"-h", "--help"} & set(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn its errors into messages and exit statuses."""
        as_json = bool(ctx.meta.get("telecine.json"))
        try:
            if not ctx.meta.get("telecine.help"):
                logs.configure("ERROR", "auto")
                load_extensions(read_settings().extensions)
            return super().invoke(ctx)
        except Stopped as stopped:
            report_stop(stopped, as_json=as_json)
            raise typer.Exit(stopped.status) from None
        except TelecineError as error:
            fail(error, as_json=as_json)
        except DBAPIError as error:
            fail(_unreachable(error), as_json=as_json)
        raise typer.Exit(1)


def _unreachable(error: DBAPIError) -> ConfigurationError:
    first = str(error.orig).strip().splitlines()[0] if error.orig is not None else type(error).__name__
    return ConfigurationError(f"the ledger does not answer: {logs.scrub(first)}; run `telecine doctor`")
