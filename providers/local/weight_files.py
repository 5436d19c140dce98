"""The files of a local model: found without network access, and checked before anything loads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from providers.catalogue import Model
from providers.weights import Weights
from schemas.errors import InvalidWeights, ModelNotInstalled

#: Written by `telecine models pull` into the folder of a model.
PULL_RECORD = "telecine-pull.json"
_INDEX_FILES = ("model_index.json", "config.json")
_LENGTH_FIELD_BYTES = 8
#: Suffix of the index of a large component that is split into several files.
_SHARD_INDEX_SUFFIX = ".safetensors.index.json"
#: The exceptions that parsing a damaged file raises.
_PARSE_ERRORS = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
#: The largest header that the format allows.
_MAX_HEADER_BYTES = 100_000_000
#: Models on the hub that no release of diffusers can load, so downloading them is of no use.
_UNSUPPORTED = frozenset(("hpcai-tech/Open-Sora-v2",))


def find_weights(model: Model, folder: Path, *, source: str | None = None) -> Path:
    """Return the folder of the model's files: the entry's source, a folder below ``folder``, or the hub's cache.

    ``source`` is another model that the entry names, such as a captioner's ranker.

    Raises:
        ModelNotInstalled: they are missing; the message contains the command that downloads them.
    """
    weights = model.weights
    assert weights is not None
    wanted = source or weights.source
    for place in (Path(wanted), folder / (source or model.id), folder / wanted):
        if place.is_absolute() and _has_index(place):
            return place
    cached = _hub_cache_folder(wanted, None if source else weights.revision)
    if cached is not None and _has_index(cached):
        return cached
    if Path(wanted).is_absolute():
        raise ModelNotInstalled(f"{model.id} has no weights at {wanted}; correct weights.source of its entry")
    if wanted in _UNSUPPORTED:
        raise ModelNotInstalled(
            f"{model.id} has no weights on this worker, and no release of diffusers has a pipeline for {wanted}; "
            "set weights.source of its entry to weights that diffusers can load, or use another model"
        )
    raise ModelNotInstalled(f"{model.id} has no weights on this worker; download them with: {download_command(model)}")


def download_command(model: Model, *, adapter: bool = False) -> str:
    """Return the command that downloads what the model needs."""
    return f"telecine models pull {model.id}{' --adapter' if adapter else ''}"


def is_downloadable(model: Model) -> bool:
    """Return whether the entry names a model on the hub that this worker could load."""
    source = "" if model.weights is None else model.weights.source
    return bool(source) and not Path(source).is_absolute() and source not in _UNSUPPORTED


def find_adapter(model: Model, folder: Path) -> Path:
    """Return the base folder of the model's adapter: its source, a folder below ``folder``, or the hub's cache.

    Raises:
        ModelNotInstalled: the adapter or its image encoder is missing; the message contains the command that downloads
            them.
    """
    assert model.weights is not None
    adapter = model.weights.adapter
    assert adapter is not None
    encoder = adapter.image_encoder_folder
    needed = [adapter.weight_path, f"{encoder}/config.json"]
    source = adapter.source
    for place in (Path(source), folder / source, _hub_cache_folder(source, adapter.revision)):
        if place is not None and place.is_absolute() and all((place / name).is_file() for name in needed):
            return place
    raise ModelNotInstalled(
        f"{model.id} has no adapter for reference images on this worker; download it with: "
        f"{download_command(model, adapter=True)}"
        if not Path(source).is_absolute()
        else f"{model.id} has no adapter for reference images at {source}; correct weights.adapter of its entry"
    )


def has_weights(model: Model, folder: Path) -> bool:
    """Return whether the model's files are on this machine."""
    try:
        find_weights(model, folder)
    except ModelNotInstalled:
        return False
    return True


def has_adapter(model: Model, folder: Path) -> bool:
    """Return whether the model's adapter is on this machine."""
    try:
        find_adapter(model, folder)
    except ModelNotInstalled:
        return False
    return True


def recorded_revision(folder: Path) -> str | None:
    """Return the commit that `telecine models pull` put into the folder; ``None`` if the files came from elsewhere."""
    try:
        return str(json.loads((folder / PULL_RECORD).read_text("utf-8"))["revision"])
    except (OSError, *_PARSE_ERRORS):
        return None


def version_of(weights: Weights, folder: Path) -> str:
    """Return the version of a model for manifests: its commit if it is known, otherwise the name of its source."""
    return recorded_revision(folder) or weights.revision or weights.source.rstrip("/").rpartition("/")[2]


def check_weight_files(name: str, folder: Path) -> int:
    """Check header and size of each safetensors file below ``folder``; return the bytes of all tensors.

    Raises:
        InvalidWeights: a file is damaged or incomplete, or there are no safetensors.
    """
    files = sorted(folder.rglob("*.safetensors"))
    if any(not any(pickled.parent.glob("*.safetensors")) for pickled in pickled_files(folder)):
        raise InvalidWeights(
            f"{name} has pickled weights, and only safetensors are loaded; convert them with: telecine convert {name}"
        )
    if not files:
        others = any(folder.rglob("*.bin")) or any(folder.rglob("*.ckpt")) or any(folder.rglob("*.pt"))
        kind = "has weights, but not as safetensors, the only format that is loaded" if others else "has no weights"
        raise InvalidWeights(f"{name} {kind}: {folder}")
    for index in folder.rglob(f"*{_SHARD_INDEX_SUFFIX}"):
        _check_shards(name, index)
    return sum(check_weight_file(name, file) for file in files)


def variant_to_load(folder: Path, variant: str | None) -> str | None:
    """Return ``variant`` if a component has its files and not the plain ones, otherwise ``None``."""
    if variant is None:
        return None
    files = folder.glob(f"*/*.{variant}*.safetensors")
    plain = (file.with_name(file.name.replace(f".{variant}", "", 1)) for file in files)
    return None if all(file.exists() for file in plain) else variant


def load_error(name: str, folder: Path, error: Exception) -> InvalidWeights:
    """Return the error for files that passed the checks but that the libraries cannot load."""
    if missing := _missing_components(folder):
        return InvalidWeights(
            f"{name}: {folder} lacks {', '.join(missing)}, named in its model_index.json; download it again"
        )
    text = str(error).strip().splitlines()
    first = f": {text[0][:300]}" if text else ""
    return InvalidWeights(f"{name}: {folder} cannot be loaded: {type(error).__name__}{first}")


def pickled_files(folder: Path) -> list[Path]:
    """Return the pickled weights below ``folder``, by the names that transformers and diffusers give them."""
    return sorted(folder.rglob("*pytorch_model*.bin"))


def check_weight_file(name: str, file: Path) -> int:
    """Check the header and size of a safetensors file; return the bytes of its tensors.

    Raises:
        InvalidWeights: the file is damaged or incomplete.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_LENGTH_FIELD_BYTES), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - _LENGTH_FIELD_BYTES):
                raise ValueError("its header is longer than the file")
            header = json.loads(opened.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        tensors = max(ends, default=0)
        if _LENGTH_FIELD_BYTES + length + tensors != size:
            raise ValueError(f"it has {size:,} bytes, but its header says {_LENGTH_FIELD_BYTES + length + tensors:,}")
    except _PARSE_ERRORS as error:
        raise InvalidWeights(f"{name}: {file.name} in {file.parent} is damaged: {error}; download it again") from None
    return int(tensors)


def _check_shards(name: str, index: Path) -> None:
    """Check that the files named in ``index`` exist next to it and are safetensors.

    Raises:
        InvalidWeights: a file is missing or not allowed, or the index is damaged.
    """
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        disallowed = sorted(shard for shard in shards if "/" in shard or not shard.endswith(".safetensors"))
        missing = sorted(shard for shard in shards if not (index.parent / shard).is_file())
        if disallowed or missing:
            raise ValueError(
                f"it names {disallowed[0]}, not a weights file" if disallowed else f"{missing[0]} is missing"
            )
    except _PARSE_ERRORS as error:
        raise InvalidWeights(f"{name}: {index.name} in {index.parent} is damaged: {error}; download it again") from None


def _missing_components(folder: Path) -> list[str]:
    """Return the components that ``model_index.json`` names and that have no folder.

    This happens if a download was interrupted.
    """
    try:
        listed = json.loads((folder / _INDEX_FILES[0]).read_text("utf-8"))
        parts = [name for name, kind in listed.items() if isinstance(kind, list) and kind[0] is not None]
    except (OSError, *_PARSE_ERRORS):
        return []
    return sorted(part for part in parts if not (folder / part).is_dir())


def _has_index(folder: Path) -> bool:
    return any((folder / index).is_file() for index in _INDEX_FILES)


def _hub_cache_folder(source: str, revision: str | None) -> Path | None:
    """Return the snapshot folder of the Hugging Face cache; ``None`` if ``source`` is not ``owner/name``.

    Implemented here because importing huggingface_hub takes a second.
    """
    if source.count("/") != 1:
        return None
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    copies = cache / f"models--{source.replace('/', '--')}"
    wanted = revision or "main"
    try:
        commit = (copies / "refs" / wanted).read_text().strip()
    except OSError:
        commit = wanted
    return copies / "snapshots" / commit
