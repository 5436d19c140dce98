"""A story's hero from a reference image: an IP-Adapter lets the model use the image for every scene.

The adapter is loaded for one call and removed afterwards, so calls without a reference stay as they were. The image is
encoded once, in main memory: the encoder takes no device memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from providers.catalogue import Model
from providers.local.base import LocalCall
from providers.local.memory_errors import is_out_of_memory
from providers.local.weight_files import check_weight_file, check_weight_files, find_adapter
from providers.weights import IPAdapter
from schemas.errors import InvalidWeights

#: Components that ``unload_ip_adapter()`` resets and that are restored afterwards.
_RESET_COMPONENTS = ("image_encoder", "feature_extractor")


def adapter_bytes(entry: Model, folder: Path, call: LocalCall) -> int:
    """Return the device memory of the adapter; 0 if ``call`` does not use it.

    Raises:
        ModelNotInstalled: the adapter's files are missing.
        InvalidWeights: the adapter's files are damaged.
    """
    adapter = _requested_adapter(entry, call)
    if adapter is None:
        return 0
    place = find_adapter(entry, folder)
    check_weight_files(entry.id, place / adapter.image_encoder_folder)
    return check_weight_file(entry.id, place / adapter.weight_path)


@contextlib.contextmanager
def reference_arguments(pipe: Any, entry: Model, folder: Path, call: LocalCall) -> Iterator[dict[str, Any]]:
    """Yield the keyword arguments with which ``pipe`` uses ``call.image`` as reference; restore it afterwards.

    They are empty if ``call`` does not use a reference.

    Raises:
        ModelNotInstalled: the adapter is missing.
        InvalidWeights: the adapter does not match the model.
    """
    adapter = _requested_adapter(entry, call)
    if adapter is None:
        yield {}
        return
    assert call.image is not None
    if getattr(pipe, "unet", None) is None:
        raise InvalidWeights(f"{entry.id}: {type(pipe).__name__} does not support IP-Adapters; remove weights.adapter")
    place = find_adapter(entry, folder)
    processors = dict(pipe.unet.attn_processors)
    kept = {name: getattr(pipe, name) for name in _RESET_COMPONENTS if hasattr(pipe, name)}
    try:
        with _naming_files(entry, place / adapter.weight_path):
            _load_adapter(pipe, place / adapter.weight_path, adapter.scale)
        with _naming_files(entry, place / adapter.image_encoder_folder):
            embedding = _encode_reference(pipe, place / adapter.image_encoder_folder, call.image)
        pipe.register_modules(**kept)
        yield {"ip_adapter_image_embeds": [embedding if _uses_guidance(pipe, entry, call) else embedding[1:]]}
    finally:
        pipe.unload_ip_adapter()
        pipe.unet.set_attn_processor(processors)
        pipe.register_modules(**kept)


def _requested_adapter(entry: Model, call: LocalCall) -> IPAdapter | None:
    if call.parameters.get("consistency") != "reference":
        return None
    assert entry.weights is not None
    return entry.weights.adapter


def _load_adapter(pipe: Any, file: Path, scale: float) -> None:
    import torch
    from safetensors.torch import load_file

    tensors: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(file).items():
        group, _, rest = name.partition(".")
        if group in tensors:
            tensors[group][rest] = tensor
    unet = pipe.unet
    adapter_layers = sum(name.endswith("to_k_ip.weight") for name in tensors["ip_adapter"])
    model_layers = sum(not name.endswith("attn1.processor") for name in unet.attn_processors)
    if adapter_layers != model_layers:
        raise ValueError(f"it has {adapter_layers} cross-attention layers, but the model has {model_layers}")
    pipe.load_ip_adapter(tensors, subfolder=None, weight_name=None, image_encoder_folder=None)
    pipe.set_ip_adapter_scale(scale)
    # Also if weights are streamed: the adapter's are not part of that and have to be on the device.
    target = {"device": pipe._execution_device, "dtype": unet.dtype}
    for part in (unet.encoder_hid_proj, *unet.attn_processors.values()):
        if isinstance(part, torch.nn.Module):
            part.to(**target)


def _encode_reference(pipe: Any, encoder: Path, picture: Path) -> Any:
    """Return the image's embedding, preceded by the one of an empty image for guidance."""
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
        (embedding,) = pipe.prepare_ip_adapter_image_embeds([pixels], None, torch.device("cpu"), 1, True)
        embedding = embedding.to(device=pipe._execution_device, dtype=pipe.unet.dtype)
        pipe.unet.encoder_hid_proj([embedding])  # fails here, not in the first step, if they do not match
    return embedding


def _uses_guidance(pipe: Any, entry: Model, call: LocalCall) -> bool:
    """Return whether the pipeline uses classifier-free guidance: a doubled batch, first half without prompt."""
    assert entry.weights is not None
    guidance = call.parameters.get("guidance_scale", entry.weights.guidance)
    return (guidance is None or float(guidance) > 1) and pipe.unet.config.time_cond_proj_dim is None


@contextlib.contextmanager
def _naming_files(entry: Model, place: Path) -> Iterator[None]:
    """Turn errors in using the files at ``place`` into one that names them.

    Raises:
        InvalidWeights: the files cannot be used.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        text = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise InvalidWeights(f"{entry.id}: the adapter's {place} cannot be used: {text[0][:300]}") from None
