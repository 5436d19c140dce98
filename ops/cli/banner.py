"""The start-up message of ``telecine up`` on a terminal."""

from __future__ import annotations

from importlib.metadata import version

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from consumer.logs import scrub
from ops.cli.console import out
from schemas.settings import Settings


def greet(settings: Settings, health_url: str) -> None:
    """Print where everything is and what to do next, if stdout is a terminal."""
    if not out.is_terminal:
        return
    mode = "embedded mode, no server needed" if settings.embedded else "with a broker"
    out.print(Text.assemble("\n", ("Telecine", "bold"), f" {version('telecine')}  ", (mode, "dim"), "\n"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _places(settings, health_url).items():
        grid.add_row(name, Text(value))
    out.print(Padding(grid, (0, 0, 0, 2)))
    out.print("\n  [bold]telecine submit request.json --wait[/]  sends a request, from another terminal")
    out.print("  [bold]Ctrl-C[/]  stops; unfinished jobs continue at the next start\n")


def _places(settings: Settings, health_url: str) -> dict[str, str]:
    places = {}
    if settings.broker_url is None:
        places["inbox"] = str(settings.inbox_folder)
    else:
        places["broker"] = scrub(settings.broker_url.get_secret_value())
    if settings.amqp_url is not None:
        places["queues"] = ", ".join(settings.amqp_queues)
    if settings.sqs_queues:
        places["SQS"] = ", ".join(settings.sqs_queues)
    if settings.storage_kind == "folder":
        places["storage"] = str(settings.storage_folder)
    else:
        places["storage"] = (
            f"{settings.output}  at {scrub(settings.s3_endpoint_url) if settings.s3_endpoint_url else 'AWS'}"
        )
    places["ledger"] = scrub(settings.ledger)
    places["health"] = f"{health_url}/health"
    return places
