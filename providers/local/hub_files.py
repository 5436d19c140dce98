"""Which files of a repository on the Hugging Face hub a local model needs: safetensors, configuration, tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from schemas.errors import InvalidWeights

#: The file that names the components of a diffusers pipeline.
PIPELINE_INDEX = "model_index.json"
#: Configuration and tokenizers. No code is among them.
_TEXT_SUFFIXES = (".json", ".txt", ".model", ".jinja")
_COMPONENT = re.compile(r"[A-Za-z0-9_]+")
#: The names that diffusers and transformers give to weights, with the variant and the number of the part.
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?:\.(?P<variant>\w+))?(?:-\d{5}-of-\d{5})?\.(?P<kind>safetensors|bin)"
)
_WEIGHTS_INDEX = re.compile(r".+\.(?P<kind>safetensors|bin)\.index(?:\.(?P<variant>\w+))?\.json")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository as the hub lists it."""

    path: str
    size: int
    #: SHA-256 of a large file; for others the SHA-1 of the git blob.
    digest: str

    @property
    def is_pickled(self) -> bool:
        """Whether the file has pickled weights, which must be converted."""
        return self.path.endswith(".bin")


def pipeline_files(files: Iterable[HubFile], index: Mapping[str, Any], variant: str | None) -> list[HubFile]:
    """Return the files of a diffusers pipeline whose ``model_index.json`` is ``index``.

    Raises:
        InvalidWeights: a component is not a folder of the repository, or has no files.
    """
    listed = list(files)
    needed = [file for file in listed if file.path == PIPELINE_INDEX]
    for name, kind in index.items():
        if not isinstance(kind, Sequence) or isinstance(kind, str) or not kind or kind[0] is None:
            continue
        if not _COMPONENT.fullmatch(name):
            raise InvalidWeights(f"{PIPELINE_INDEX} names the component {name!r}, which cannot be a folder")
        found = folder_files(listed, name, variant)
        if not found:
            raise InvalidWeights(f"{PIPELINE_INDEX} names the component {name}, of which the repository has no files")
        needed += found
    return needed


def folder_files(files: Iterable[HubFile], folder: str, variant: str | None) -> list[HubFile]:
    """Return the files of one component: the weights in one format and variant, and all configuration.

    The variant is used if it exists, and pickled weights only if there are no safetensors.
    """
    parent = PurePosixPath(folder)
    inside = [file for file in files if PurePosixPath(file.path).parent == parent]
    weights = {file.path: match for file in inside if (match := _WEIGHTS.fullmatch(_name(file)))}
    existing = {(match["kind"], match["variant"]) for match in weights.values()}
    preferred = [(kind, wanted) for kind in ("safetensors", "bin") for wanted in dict.fromkeys((variant, None))]
    chosen = next((one for one in preferred if one in existing), None)
    return [file for file in inside if _is_needed(_name(file), weights.get(file.path), chosen)]


def _is_needed(name: str, weights: re.Match[str] | None, chosen: tuple[str, str | None] | None) -> bool:
    match = weights or _WEIGHTS_INDEX.fullmatch(name)
    if match is not None:
        return (match["kind"], match["variant"]) == chosen
    return name.endswith(_TEXT_SUFFIXES)


def _name(file: HubFile) -> str:
    return PurePosixPath(file.path).name
