"""The hero from a picture: with an IP-Adapter a model looks at it while it makes every scene.

The adapter is loaded for the call and taken off after it, so that calls without a picture stay what they were. What is
to be seen in the picture is worked out once, in main memory: the encoder takes nothing on the device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from providers.catalogue import Model
from providers.local.base import LocalCall
from providers.local.files import check_file, check_files, find_adapter
from providers.local.memory import is_out_of_memory
from providers.weights import Adapter
from schemas.errors import InvalidWeights

#: Parts of a pipeline that taking the adapter off would forget.
_KEPT = ("image_encoder", "feature_extractor")


def adapter_bytes(entry: Model, folder: Path, call: LocalCall) -> int:
    """What the adapter takes on the device, where ``call`` wants it.

    Raises:
        ModelNotInstalled, InvalidWeights: its files are not there, or damaged.
    """
    adapter = _wanted(entry, call)
    if adapter is None:
        return 0
    place = find_adapter(entry, folder)
    check_files(entry.id, place / adapter.image_encoder_folder)
    return check_file(entry.id, place / adapter.weight_path)


@contextlib.contextmanager
def looking_at_hero(pipe: Any, entry: Model, folder: Path, call: LocalCall) -> Iterator[dict[str, Any]]:
    """What ``pipe`` is asked besides, so that its pictures show who is in ``call.image``; as before afterwards.

    Nothing, where ``call`` does not want it.

    Raises:
        ModelNotInstalled, InvalidWeights: the adapter is not there, or does not fit the model.
    """
    adapter = _wanted(entry, call)
    if adapter is None:
        yield {}
        return
    assert call.image is not None
    if getattr(pipe, "unet", None) is None:
        raise InvalidWeights(f"{entry.id}: {type(pipe).__name__} takes no IP-Adapter; remove weights.adapter")
    place = find_adapter(entry, folder)
    processors = dict(pipe.unet.attn_processors)
    kept = {name: getattr(pipe, name) for name in _KEPT if hasattr(pipe, name)}
    try:
        with _named(entry, place / adapter.weight_path):
            _put_on(pipe, place / adapter.weight_path, adapter.scale)
        with _named(entry, place / adapter.image_encoder_folder):
            seen = _seen(pipe, place / adapter.image_encoder_folder, call.image)
        pipe.register_modules(**kept)
        yield {"ip_adapter_image_embeds": [seen if _guided(pipe, entry, call) else seen[1:]]}
    finally:
        pipe.unload_ip_adapter()
        pipe.unet.set_attn_processor(processors)
        pipe.register_modules(**kept)


def _wanted(entry: Model, call: LocalCall) -> Adapter | None:
    if call.parameters.get("consistency") != "reference":
        return None
    assert entry.weights is not None
    return entry.weights.adapter


def _put_on(pipe: Any, file: Path, scale: float) -> None:
    import torch
    from safetensors.torch import load_file

    tensors: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(file).items():
        group, _, rest = name.partition(".")
        if group in tensors:
            tensors[group][rest] = tensor
    unet = pipe.unet
    theirs = sum(name.endswith("to_k_ip.weight") for name in tensors["ip_adapter"])
    own = sum(not name.endswith("attn1.processor") for name in unet.attn_processors)
    if theirs != own:
        raise ValueError(f"it is made for {theirs} cross-attention layers, the model has {own}")
    pipe.load_ip_adapter(tensors, subfolder=None, weight_name=None, image_encoder_folder=None)
    pipe.set_ip_adapter_scale(scale)
    # Where weights stay in main memory, those of the adapter do not: nothing would fetch them.
    target = {"device": pipe._execution_device, "dtype": unet.dtype}
    for part in (unet.encoder_hid_proj, *unet.attn_processors.values()):
        if isinstance(part, torch.nn.Module):
            part.to(**target)


def _seen(pipe: Any, encoder: Path, picture: Path) -> Any:
    """What is to be seen in the picture, and before it what is seen in none."""
    import torch
    import transformers

    library: Any = transformers
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    model = library.CLIPVisionModelWithProjection.from_pretrained(str(encoder), dtype=torch.float32, **options).eval()
    side = model.config.image_size
    processor = library.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    with Image.open(picture) as opened:
        pixels = processor(opened.convert("RGB"), return_tensors="pt").pixel_values
    pipe.register_modules(image_encoder=model)
    with torch.inference_mode():
        (seen,) = pipe.prepare_ip_adapter_image_embeds([pixels], None, torch.device("cpu"), 1, True)
        seen = seen.to(device=pipe._execution_device, dtype=pipe.unet.dtype)
        pipe.unet.encoder_hid_proj([seen])  # fails here, and not in the first step, where both do not fit together
    return seen


def _guided(pipe: Any, entry: Model, call: LocalCall) -> bool:
    """Whether the pipeline makes each picture from two halves, the first without the prompt."""
    assert entry.weights is not None
    guidance = call.parameters.get("guidance_scale", entry.weights.guidance)
    return (guidance is None or float(guidance) > 1) and pipe.unet.config.time_cond_proj_dim is None


@contextlib.contextmanager
def _named(entry: Model, place: Path) -> Iterator[None]:
    """What goes wrong with the files at ``place`` is told of them.

    Raises:
        InvalidWeights: they cannot be used.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        text = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise InvalidWeights(f"{entry.id}: the adapter's {place} cannot be used: {text[0][:300]}") from None
