"""``telecine convert``: convert the pickled weights of a local model to safetensors."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.console import JsonOption, print_json, remark, show, table
from ops.cli.opening import read_settings
from ops.formatting import size
from providers.catalogue import Model
from providers.registry import LOCAL, catalogue_of
from schemas.errors import UnknownModel


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)


def convert(
    model: Annotated[str, typer.Argument(help="A local model of `telecine models`.")], as_json: JsonOption = False
) -> None:
    """Convert the pickled weights of a local model to safetensors, the only format that workers load."""
    from pipelines.models.weights import convert_in_child
    from providers.local.weight_files import find_adapter, find_weights, has_adapter

    settings = read_settings()
    entry = _entry(model, list(catalogue_of(settings)))
    folder, weights = settings.local_models_folder, entry.weights
    assert weights is not None
    places = [find_weights(entry, folder)]
    if weights.ranker is not None:
        places.append(find_weights(entry, folder, source=weights.ranker))
    if weights.adapter is not None and has_adapter(entry, folder):
        places.append(find_adapter(entry, folder) / weights.adapter.image_encoder_folder)
    written = [file for place in places for file in convert_in_child(entry.id, place)]
    if as_json:
        print_json({"model": entry.id, "written": [str(file) for file in written]})
        return
    if not written:
        remark(f"All pickled weights of {entry.id} already have safetensors next to them.")
        return
    made = table("WRITTEN", "SIZE", right=("SIZE",))
    for file in written:
        made.add_row(str(file), size(file.stat().st_size))
    show(made)


def _entry(name: str, models: list[Model]) -> Model:
    local = [model for model in models if model.provider == LOCAL and model.weights is not None]
    for model in local:
        if model.id.lower() == name.lower():
            return model
    raise UnknownModel(f"{name} is not a local model; available: {', '.join(model.id for model in local)}")
