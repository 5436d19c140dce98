"""``telecine preview``: the captions of a reel in one picture, without making the reel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.arguments import FileArgument, read_request
from ops.cli.console import JsonOption, print_json, remark, stop
from ops.cli.reading import read_settings
from schemas.envelope import Cancel
from schemas.parse import parse_request


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("preview")(preview)


def preview(
    file: FileArgument,
    target: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")] = Path("preview.png"),
    as_json: JsonOption = False,
) -> None:
    """Draw up to 40 captions of a reel as a contact sheet, without encoding or sending the request.

    No provider is called: unless the captions can be timed on this machine, they are spread evenly.
    """
    from ops.planning import preview_request

    settings = read_settings()
    request = parse_request(read_request(file), limit_bytes=settings.max_message_bytes)
    if isinstance(request, Cancel):
        stop("A control message has no preview.", code="invalid_request")
    try:
        facts = preview_request(settings, request, target)
    except OSError as error:
        stop(f"{target} cannot be written: {error.strerror}.", code="file_not_writable")
    if as_json:
        print_json({"job_id": request.id, "file": str(target), **facts})
        return
    remark(f"{target}: {facts['shown']:,} of {facts['captions']:,} captions")
