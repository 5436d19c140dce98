"""``telecine system``: this machine's resources for local models."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from ops.cli.console import JsonOption, print_json, remark, show, table
from ops.cli.opening import read_settings
from ops.health_client import ask_health
from schemas.settings import Settings

_ROWS = (
    ("device", "device"),
    ("device_name", "device name"),
    ("total_vram_gb", "VRAM, GB"),
    ("free_vram_gb", "free VRAM, GB"),
    ("used_vram_gb", "used VRAM, GB"),
    ("cpu_percent", "CPU, percent"),
    ("ram_total_gb", "RAM, GB"),
    ("ram_available_gb", "available RAM, GB"),
    ("backend", "backend for videos"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("system")(system)


def system(as_json: JsonOption = False) -> None:
    """Show the device, memory, and installed and loaded local models of this machine."""
    from providers.local.host import host_for
    from providers.local.system_report import state_of, system_report
    from providers.registry import catalogue_of

    settings = read_settings()
    report = system_report(host_for(settings), list(catalogue_of(settings)))
    loaded = _loaded(settings)
    report["loaded"] = [] if loaded is None else loaded
    report["status"], report["message"] = state_of(report)
    if as_json:
        print_json(report)
        return
    made = table("", "")
    for name, words in _ROWS:
        if report.get(name) is not None:
            made.add_row(words, str(report[name]))
    made.add_row("installed models", "\n".join(report["installed"]) or "none")
    made.add_row("loaded models", "\n".join(f"{one['model']}  {one['gb']} GB" for one in report["loaded"]) or "none")
    show(Text.assemble((report["status"], "bold"), f"  {report['message']}"))
    show(made)
    if loaded is None:
        remark("Start Telecine with TELECINE_HEALTH_PORT set to see which models are loaded; none answers now.")


def _loaded(settings: Settings) -> list[dict[str, Any]] | None:
    """Return the models loaded by the Telecine that runs on this machine; ``None`` if none answers."""
    answer = ask_health(settings)
    try:
        return None if answer is None else list(answer.report["local"]["loaded"])
    except (KeyError, TypeError):
        return None
