"""``telecine models``: the models of the catalogue, their providers, parameters and prices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from ops.cli.commands import HELP_OPTIONS
from ops.cli.console import JsonOption, out, print_json, remark, show, stop, table
from ops.cli.models_pull import pull
from ops.cli.opening import read_settings, require_model
from pipelines.models.local_names import LOCAL
from pipelines.models.routing import AUTO
from providers.catalogue import Model, Parameter
from providers.local.weight_files import find_weights, recorded_revision
from providers.registry import catalogue_of
from schemas.errors import ModelNotInstalled
from schemas.job_types import JOB_TYPES

#: The ``created`` time of every model in the Cococlip service's own list.
_CREATED = 1_704_067_200


class ModelCommands(TyperGroup):
    """The commands. Without the name of one, ``list`` is used: ``telecine models pika``."""

    default_command = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command if none is named."""
        if not args or args[0] not in (*self.commands, *HELP_OPTIONS):
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=ModelCommands, help="The models of the catalogue. `telecine models [NAME]` is short for `list [NAME]`."
    )
    group.command("list")(models)
    group.command("pull")(pull)
    app.add_typer(group, name="models")


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Show only this model, with its parameters."),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Only models for this job type.", autocompletion=lambda: list(JOB_TYPES)),
    ] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only models of this provider; may be repeated.")] = None,
    v1: Annotated[bool, typer.Option("--v1", help="Print JSON in the form of GET /v1/models.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models of the catalogue, including those of the settings file, or show one."""
    settings = read_settings()
    catalogue, folder = list(catalogue_of(settings)), settings.local_models_folder
    if name is not None:
        _show_one(require_model(catalogue, name), folder, as_json)
        return
    found = [
        model
        for model in catalogue
        if (type_ is None or type_ in model.types) and (not provider or model.provider in provider)
    ]
    if v1:
        out.print(v1_list(found), end="", soft_wrap=True, markup=False)
    elif as_json:
        print_json([model_view(model, folder) for model in found])
    elif found:
        show(_table(found, folder))
        remark(
            "`telecine models NAME` shows the parameters of one. Set a price that is unknown in [[models]]. "
            "HERE is for local models: `telecine models pull NAME` downloads the weights of one."
        )
    else:
        types = sorted({name for model in catalogue for name in model.types})
        stop(f"No model matches; available job types: {', '.join(types)}.", code="unknown_model")


def _show_one(model: Model, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json(model_view(model, folder))
        return
    show(Text(model.id, style="bold"))
    if model.description:
        show(Text(model.description))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("provider", model.provider)
    grid.add_row("for", ", ".join(model.types))
    grid.add_row("price", _price(model))
    if model.routes:
        grid.add_row("routes", ", ".join(model.routes))
    if model.documentation:
        grid.add_row("documented at", model.documentation)
    for title, value in _weights_rows(model, folder):
        grid.add_row(title, value)
    show(grid)
    if model.parameters:
        made = table("PARAMETER", "TAKES", whole=("PARAMETER",))
        for parameter, rule in model.parameters.items():
            made.add_row(parameter, _takes(rule))
        out.print()
        show(made)


def model_view(model: Model, folder: Path) -> dict[str, Any]:
    """Return one model as JSON, without the fields that only Telecine itself uses.

    ``installed`` is ``null`` for models that run elsewhere, and ``revision`` unless `telecine models pull` fetched it.
    """
    record = model.model_dump(mode="json", include={"id", "provider", "types", "price", "price_per", "owned_by"})
    parameters = {
        name: parameter.model_dump(mode="json", exclude_defaults=True) | {"kind": parameter.kind}
        for name, parameter in model.parameters.items()
    }
    more = model.model_dump(mode="json", include={"prices", "routes", "documentation"}, exclude_defaults=True)
    known = {**record, "description": model.description, **more, "parameters": parameters}
    return {**known, **_local_facts(model, folder)}


def _local_facts(model: Model, folder: Path) -> dict[str, Any]:
    if model.weights is None or model.id == AUTO:
        return {"installed": None, "revision": None}
    try:
        place = find_weights(model, folder)
    except ModelNotInstalled:
        return {"installed": False, "revision": None}
    return {"installed": True, "revision": recorded_revision(place)}


def v1_list(models: Sequence[Model]) -> str:
    """Return the body of the Cococlip service's ``GET /v1/models``, laid out as in its documentation."""
    entries = ",\n".join(
        "    "
        + json.dumps(
            {"id": model.id, "object": "model", "created": _CREATED, "owned_by": model.owned_by or model.provider}
        )
        for model in models
    )
    data = f"[\n{entries}\n  ]" if entries else "[]"
    return f'{{\n  "object": "list",\n  "data": {data}\n}}\n'


def _weights_rows(model: Model, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what is known of a local model's weights: where they are, or which command downloads them."""
    if model.weights is None or model.id == AUTO:
        return
    try:
        place = find_weights(model, folder)
    except ModelNotInstalled as error:
        yield "weights", error.message
        return
    yield "weights", str(place)
    if revision := recorded_revision(place):
        yield "revision", revision


def _table(models: Sequence[Model], folder: Path) -> Table:
    made = table(
        "MODEL",
        "PROVIDER",
        "FOR",
        "PRICE",
        "HERE",
        right=("PRICE",),
        whole=("PROVIDER", "PRICE", "HERE"),
        cut=("FOR",),
        drop=("PRICE", "PROVIDER"),
    )
    for model in models:
        installed = _local_facts(model, folder)["installed"]
        here = "" if installed is None else "yes" if installed else "no"
        made.add_row(Text(model.id, style="bold"), model.provider, ", ".join(model.types), _price(model), here)
    return made


def _takes(parameter: Parameter) -> str:
    """Describe a parameter's allowed values and its default."""
    default = "" if parameter.default is None else f" ({_word(parameter.default)})"
    if parameter.kind == "choice":
        return "·".join(map(_word, parameter.choices)) + (default if len(parameter.choices) > 1 else "")
    if parameter.kind == "switch":
        return f"true·false{default}"
    if parameter.kind == "text":
        limit = "" if parameter.longest is None else f"up to {parameter.longest:,} characters"
        return ", ".join(filter(None, (limit, "required" if parameter.required else ""))) + default
    low, high = parameter.minimum, parameter.maximum
    if low is None or high is None:
        return f"{'' if low is None else f'from {low:g}'}{default}"
    return f"{int(low) if low == int(low) else low}–{int(high) if high == int(high) else high}{default}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _price(model: Model) -> str:
    """Return the price, or the lowest and the highest one if it depends on a parameter."""
    by_value = [price for prices in model.prices.values() for price in prices.values()]
    own = model.price or ("0.00" if model.provider == LOCAL else None)
    prices = sorted({price for price in (own, *by_value) if price is not None}, key=float)
    if not prices:
        return "unknown"
    shown = prices[0] if len(prices) == 1 else f"{prices[0]}–{prices[-1]}"
    return f"{shown} USD" + ("/s" if model.price_per == "second" else "")
