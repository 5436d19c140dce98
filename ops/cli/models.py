"""``telecine models``: the models of the catalogue, their providers, parameters and prices."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ops.cli.console import JsonOption, out, print_json, remark, show, stop, table
from ops.cli.opening import read_settings
from providers.catalogue import Model, Parameter
from providers.registry import catalogue_of
from schemas.job_types import JOB_TYPES

#: The ``created`` time of every model in the Cococlip service's own list.
_CREATED = 1_704_067_200


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


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
    catalogue = list(catalogue_of(read_settings()))
    if name is not None:
        _show_one(catalogue, name, as_json)
        return
    found = [
        model
        for model in catalogue
        if (type_ is None or type_ in model.types) and (not provider or model.provider in provider)
    ]
    if v1:
        out.print(v1_list(found), end="", soft_wrap=True, markup=False)
    elif as_json:
        print_json([model_view(model) for model in found])
    elif found:
        show(_table(found))
        remark(
            "`telecine models NAME` shows the parameters of one. A price of 0.00 means unknown: set it in [[models]]."
        )
    else:
        types = sorted({name for model in catalogue for name in model.types})
        stop(f"No model matches; available job types: {', '.join(types)}.", code="unknown_model")


def _show_one(catalogue: Sequence[Model], name: str, as_json: bool) -> None:
    model = next((one for one in catalogue if one.id.lower() == name.lower()), None)
    if model is None:
        near = difflib.get_close_matches(name, [one.id for one in catalogue], n=1)
        hint = f"did you mean {near[0]}?" if near else "`telecine models` lists them."
        stop(f"There is no model {name!r}; {hint}", code="unknown_model")
    if as_json:
        print_json(model_view(model))
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
    show(grid)
    if model.parameters:
        made = table("PARAMETER", "TAKES", whole=("PARAMETER",))
        for parameter, rule in model.parameters.items():
            made.add_row(parameter, _takes(rule))
        out.print()
        show(made)


def model_view(model: Model) -> dict[str, Any]:
    """Return one model as JSON, without the fields that only Telecine itself uses."""
    record = model.model_dump(mode="json", include={"id", "provider", "types", "price", "price_per", "owned_by"})
    parameters = {
        name: parameter.model_dump(mode="json", exclude_defaults=True) | {"kind": parameter.kind}
        for name, parameter in model.parameters.items()
    }
    more = model.model_dump(mode="json", include={"prices", "routes", "documentation"}, exclude_defaults=True)
    return {**record, "description": model.description, **more, "parameters": parameters}


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


def _table(models: Sequence[Model]) -> Table:
    made = table(
        "MODEL",
        "PROVIDER",
        "FOR",
        "PRICE",
        right=("PRICE",),
        whole=("PROVIDER", "PRICE"),
        cut=("FOR",),
        drop=("PRICE", "PROVIDER"),
    )
    for model in models:
        made.add_row(Text(model.id, style="bold"), model.provider, ", ".join(model.types), _price(model))
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
    prices = sorted({model.price, *by_value}, key=float)
    shown = prices[0] if len(prices) == 1 else f"{prices[0]}–{prices[-1]}"
    return f"{shown} USD" + ("/s" if model.price_per == "second" else "")
