"""Image to text: a captioner, and a CLIP model that ranks style phrases. Both run through transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from providers.catalogue import Model
from providers.local.base import Device, LocalCall, LocalResult, Progress
from providers.local.device import require_packages
from providers.local.memory_errors import is_out_of_memory
from providers.local.style_phrases import STYLE_PHRASES
from providers.local.weight_files import check_weight_files, find_weights, load_error, version_of
from providers.weights import GB, Weights
from schemas.errors import UnsupportedOption

#: Number of phrases added from each list, by mode.
_PHRASES_PER_LIST = {"best": 2, "fast": 1, "classic": 1, "negative": 0}
_BEAMS = {"best": 3, "fast": 1, "classic": 3, "negative": 1}
_MAX_TOKENS = 48
#: Rough number of words that the CLIP text encoder of an image model reads.
_MAX_WORDS = 60
#: Device memory that a call takes in addition to the weights.
_CALL_BYTES = 50_000_000


class ImageCaptioner:
    """Captions images: what is visible, followed by the style phrases that match best."""

    def __init__(self, entry: Model, folder: Path) -> None:
        assert entry.weights is not None
        self.entry = entry
        self.weights: Weights = entry.weights
        self.folder = folder
        self.loaded_bytes = 0
        self._device: Device | None = None
        self._parts: dict[str, Any] = {}
        #: The ranker's embedding of every phrase, by list. Computed once, with the first image.
        self._phrase_embeddings: dict[str, Any] = {}

    def device_memory_bytes(self, call: LocalCall, *, batch: int = 1) -> int:
        """Return the size of the weights plus a fixed amount for the call."""
        folders = self._folders()
        if self.weights.need_gb is not None:
            return int(self.weights.need_gb * GB)
        return sum(check_weight_files(self.entry.id, folder) for folder in folders.values()) + _CALL_BYTES

    def main_memory_bytes(self, call: LocalCall, kind: str) -> int:
        """Return 0: all weights are on the device."""
        return 0

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Load captioner and ranker. Both are small, so ``low_memory`` has no effect."""
        require_packages()
        import torch
        import transformers

        library: Any = transformers
        library.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
        kinds = {"captioner": library.AutoModelForImageTextToText, "ranker": library.AutoModel}
        dtype = torch.float32 if device.kind == "cpu" else torch.float16
        for name, folder in self._folders().items():
            check_weight_files(self.entry.id, folder)
            options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            try:
                model = kinds[name].from_pretrained(str(folder), dtype=dtype, use_safetensors=True, **options)
                processor = library.AutoProcessor.from_pretrained(str(folder), **options)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise load_error(self.entry.id, folder, error) from None
            self._parts[name] = (model.eval().to(device.kind), processor)
            self.loaded_bytes += sum(item.numel() * item.element_size() for item in model.parameters())
        self._device = device

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """Return the caption; in mode ``negative``, the phrases that match worst.

        Raises:
            UnsupportedOption: mode ``negative`` was requested, and the model has no ranker.
        """
        import torch

        assert call.image is not None
        mode = str(call.parameters.get("mode", "best"))
        if mode == "negative" and "ranker" not in self._parts:
            raise UnsupportedOption(
                f"data.mode: {self.entry.id} has no ranker, which mode negative needs; use best, fast or classic",
                field="data.mode",
            )
        with Image.open(call.image) as opened:
            image = opened.convert("RGB")
        progress(0.0)
        with torch.inference_mode():
            caption = "" if mode == "negative" else self._caption(image, _BEAMS[mode])
            progress(0.5)
            ranked = self._rank(image, worst=mode == "negative", count=_PHRASES_PER_LIST[mode] or 3)
        progress(1.0)
        text = ", ".join([part for part in (caption, *ranked) if part])
        return LocalResult(text=" ".join(text.split()[:_MAX_WORDS]), details=self._details())

    def unload(self) -> None:
        """Free both models."""
        self._parts.clear()
        self._phrase_embeddings.clear()
        self.loaded_bytes = 0

    def _folders(self) -> dict[str, Path]:
        folders = {"captioner": find_weights(self.entry, self.folder)}
        if self.weights.ranker is not None:
            folders["ranker"] = find_weights(self.entry, self.folder, source=self.weights.ranker)
        return folders

    def _caption(self, image: Image.Image, beams: int) -> str:
        model, processor = self._parts["captioner"]
        inputs = processor(images=image, return_tensors="pt").to(model.device, model.dtype)
        made = model.generate(**inputs, max_new_tokens=_MAX_TOKENS, num_beams=beams, do_sample=False)
        words = str(processor.batch_decode(made, skip_special_tokens=True)[0])
        return words.replace(" ,", ",").strip()

    def _rank(self, image: Image.Image, *, worst: bool, count: int) -> list[str]:
        """Return the phrases of each list that match the image best, or worst."""
        if "ranker" not in self._parts:
            return []
        model, processor = self._parts["ranker"]
        inputs = processor(images=[image], return_tensors="pt").to(model.device, model.dtype)
        image_features = _normalize(model.get_image_features(**inputs))
        phrases: list[str] = []
        for name, words in STYLE_PHRASES.items():
            if name not in self._phrase_embeddings:
                texts = processor(text=list(words), return_tensors="pt", padding=True).to(model.device)
                self._phrase_embeddings[name] = _normalize(model.get_text_features(**texts))
            similarity = (self._phrase_embeddings[name] @ image_features.T).squeeze(-1)
            best = similarity.argsort(descending=not worst)[:count]
            phrases += [words[int(index)] for index in best]
        return phrases

    def _details(self) -> dict[str, Any]:
        import transformers

        assert self._device is not None
        return {
            "model_version": version_of(self.weights, self._folders()["captioner"]),
            "device": self._device.kind,
            "versions": {"transformers": transformers.__version__},
        }


def _normalize(features: Any) -> Any:
    """Return the features scaled to unit length. Newer releases of transformers wrap them in an object."""
    values = getattr(features, "pooler_output", features)
    return values / values.norm(dim=-1, keepdim=True)
