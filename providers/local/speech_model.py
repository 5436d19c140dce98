"""Speech models in an operator's own folder: wav2vec2 with CTC, and Whisper, on the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.local.device import require_packages
from providers.local.memory_errors import is_out_of_memory
from providers.local.weight_files import check_weight_files, load_error
from schemas.errors import InvalidWeights, ModelNotInstalled

#: Samples a second, and samples of one frame, that the models are made for.
RATE, FRAME = 16_000, 320
_SETTING = "TELECINE_ALIGNMENT_MODEL"
_CTC, _WHISPER = "ForCTC", "WhisperForConditionalGeneration"

_Floats = NDArray[np.float32]


def is_whisper(folder: Path) -> bool:
    """Return whether the folder contains Whisper; otherwise it contains a CTC model with frames of 20 ms.

    Raises:
        ModelNotInstalled: There is no model in the folder, or transformers is not installed.
        InvalidWeights: It is another model, or its weights are no safetensors.
    """
    require_packages()
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [str(name) for name in config["architectures"]]
    except OSError:
        raise ModelNotInstalled(
            f"{_SETTING} is {folder}, and there is no config.json; save a model there with transformers' "
            "save_pretrained, or remove the setting"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InvalidWeights(f"{_SETTING}: {folder / 'config.json'} does not name the model's architecture") from None
    if not any(name == _WHISPER or name.endswith(_CTC) for name in names):
        raise InvalidWeights(
            f"{_SETTING}: {', '.join(names)} cannot align lyrics; use Whisper or a CTC model such as Wav2Vec2ForCTC"
        )
    check_weight_files(_SETTING, folder)
    return _WHISPER in names


class CtcSpeech:
    """A network that recognises characters in each frame of 20 ms."""

    def __init__(self, folder: Path) -> None:
        """Load the model.

        Raises:
            InvalidWeights: It cannot be loaded, or its frames are not 20 ms long.
        """
        self._model, processor = _load(folder, "AutoModelForCTC")
        self._extract = processor.feature_extractor
        #: The tokens by their characters, without those that are no text.
        self.inventory: dict[str, int] = {
            text: token for text, token in processor.tokenizer.get_vocab().items() if len(text) == 1 and text != "|"
        }
        self._gaps = [processor.tokenizer.pad_token_id, processor.tokenizer.get_vocab().get("|")]
        if self._model.config.inputs_to_logits_ratio != FRAME or self._extract.sampling_rate != RATE:
            raise InvalidWeights(f"{_SETTING}: {folder} does not have frames of 20 ms of audio at {RATE:,} Hz")

    def recognise(self, samples: _Floats) -> tuple[_Floats, _Floats]:
        """Return the log-probabilities of all tokens, and that of none of them, in each frame."""
        import torch

        features = self._extract(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**features).logits[0]
        found = torch.log_softmax(logits.float(), dim=-1).numpy()
        gaps = [found[:, token] for token in self._gaps if token is not None]
        return found, np.logaddexp.reduce(gaps, axis=0)


class WhisperSpeech:
    """A network that writes down what it recognises, with the times of the words."""

    def __init__(self, folder: Path) -> None:
        """Load the model.

        Raises:
            InvalidWeights: It cannot be loaded, or it has no alignment heads, without which it gives no times.
        """
        import transformers

        self._model, self._processor = _load(folder, "WhisperForConditionalGeneration")
        if getattr(self._model.generation_config, "alignment_heads", None) is None:
            raise InvalidWeights(
                f"{_SETTING}: the generation_config.json of {folder} has no alignment_heads, so there are no word times"
            )
        pipeline: Any = transformers.pipeline
        self._pipeline = pipeline(
            "automatic-speech-recognition",
            model=self._model,
            tokenizer=self._processor.tokenizer,
            feature_extractor=self._processor.feature_extractor,
        )

    def words(self, samples: _Floats, language: str | None) -> list[tuple[str, float, float]]:
        """Return the words and their times in seconds of at most 30 s of sound.

        A ``language`` that the model does not know is detected, like that of ``None``.
        """
        known = getattr(self._model.generation_config, "lang_to_id", {})
        options = {"task": "transcribe", **({"language": language} if f"<|{language}|>" in known else {})}
        multilingual = getattr(self._model.generation_config, "is_multilingual", True)
        found = self._pipeline(
            {"raw": samples, "sampling_rate": RATE},
            return_timestamps="word",
            generate_kwargs=options if multilingual else {},
        )
        limit = len(samples) / RATE
        return [
            (chunk["text"].strip(), float(start), float(limit if end is None else end))
            for chunk in found["chunks"]
            if (start := chunk["timestamp"][0]) is not None
            for end in (chunk["timestamp"][1],)
        ]


def _load(folder: Path, kind: str) -> tuple[Any, Any]:
    """Return the model and its processor, from the folder alone."""
    import transformers

    library: Any = transformers
    library.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = getattr(library, kind).from_pretrained(str(folder), use_safetensors=True, **options)
        return model.eval(), library.AutoProcessor.from_pretrained(str(folder), **options)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise load_error(_SETTING, folder, error) from None
