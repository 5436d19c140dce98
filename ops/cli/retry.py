"""``telecine retry``: run jobs again that ended without a result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from consumer.ledger.database import Database
from consumer.ledger.queries import error_codes, job_ids
from consumer.ledger.states import RETRYABLE, State
from ops.cli.arguments import no_match, parse_since
from ops.cli.console import JsonOption, print_json, remark, say, show, stop
from ops.cli.opening import opened_ledger, read_settings
from ops.cli.operator import operator_name
from ops.formatting import count
from ops.retrying import RetryResult, retry_jobs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("retry")(retry)


def retry(
    jobs: Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="Ids of jobs.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="Jobs in this state: failed, expired or cancelled; default with a filter: failed."),
    ] = None,
    code: Annotated[str | None, typer.Option(help="Jobs that ended with this error code.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Jobs of this type.")] = None,
    tenant: Annotated[str | None, typer.Option(help="This tenant's jobs.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Jobs received since then: 30m, 2h, 7d, or a time, 2026-11-30T06:00Z.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every failed job.")] = False,
    pay_again: Annotated[
        bool, typer.Option("--pay-again", help="Also jobs with a charged call without a result; it is paid again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print which jobs would be retried.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before jobs chosen by a filter are retried.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run jobs again that failed, expired or were cancelled: name them, or choose them by a filter.

    A job keeps its id, its finished steps and its paid results. Its failures and its deadline start again, and its new
    ending has its own callback. Completed and running jobs are refused.
    """
    filtered = any(value is not None for value in (status, code, type_, tenant, since)) or all_
    if bool(jobs) == filtered:
        usage = "Give the ids of the jobs to retry, or a filter such as --code; --all for every failed job."
        stop(usage, code="invalid_field", status=2)
    states = [_state(status or State.FAILED)]
    with opened_ledger(read_settings()) as database:
        start = None if since is None else parse_since(since, database.now())
        chosen = list(dict.fromkeys(jobs or ())) or job_ids(
            database, states=states, tenant=tenant, type_=type_, code=code, since=start
        )
        nothing = "" if chosen else no_match("job", code, lambda: error_codes(database))
        if dry_run:
            _show_choice(chosen, as_json, nothing)
            return
        if filtered and chosen and not yes:
            _confirm(len(chosen))
        results = _retried(database, chosen, pay_again)
    _report(results, as_json, nothing)


def _state(word: str) -> str:
    if word not in RETRYABLE:
        stop(f"Unknown state {word!r}; available: {', '.join(sorted(RETRYABLE))}.", code="invalid_field", status=2)
    return word


def _confirm(number: int) -> None:
    if not _interactive():
        stop(
            f"This would retry {count(number, 'job')}. Repeat it with --yes, or --dry-run to see them.",
            code="not_confirmed",
            status=2,
        )
    typer.confirm(f"Retry {count(number, 'job')}?", abort=True, err=True)


def _interactive() -> bool:
    return sys.stdin.isatty()


def _retried(database: Database, chosen: Sequence[str], pay_again: bool) -> list[RetryResult]:
    return list(retry_jobs(database, chosen, by=operator_name(), pay_again=pay_again))


def _show_choice(chosen: Sequence[str], as_json: bool, nothing: str) -> None:
    if as_json:
        print_json({"dry_run": True, "jobs": chosen})
        return
    for job_id in chosen:
        say(job_id)
    remark(nothing or f"Would retry {count(len(chosen), 'job')}.")


def _report(results: Sequence[RetryResult], as_json: bool, nothing: str) -> None:
    refused = [item for item in results if item.refused is not None]
    if as_json:
        print_json([item.as_record() for item in results])
    elif not results:
        remark(nothing)
    else:
        for item in results:
            show(_line(item))
        if len(results) > 1:
            remark(f"Retried {len(results) - len(refused)} of {count(len(results), 'job')}.")
    if refused:
        raise typer.Exit(1)


def _line(item: RetryResult) -> Text:
    if item.refused is not None:
        return Text.assemble((item.job_id, "bold"), "  ", (item.refused.code, "bold red"), f"  {item.refused.message}")
    return Text.assemble((item.job_id, "bold"), "  ", ("retried", "green"), f"  (retry {item.number})")
