"""Lyrics aligned by a speech model in the operator's own folder: real architectures with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ops.demo.speech import Speech
from pipelines.audio_to_captions import audio_to_captions
from pipelines.context import AlignerOptions
from pipelines.media.align.aligner import CtcAligner
from pipelines.media.align.own_model import CharacterModel, WhisperAligner
from pipelines.memory_context import MemoryContext
from providers.local import device
from providers.local.speech_model import CtcSpeech, WhisperSpeech
from providers.registry import catalogue_of
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import TelecineError
from schemas.settings import Settings
from tests.local.tiny_speech import save_wav2vec2, save_whisper
from tests.spoken import TEXTS, lines_of, spoken, write_speech

SAVED = {"wav2vec2": save_wav2vec2, "whisper": save_whisper}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("speech")
    return {name: save(folder / name) for name, save in SAVED.items()}


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "a.wav", spoken("en"))


def captions(sound: Path, model: Path, mode: str = "local") -> dict[str, Any]:
    """Make captions as a worker does, in a child process; return what the manifest says."""
    files = {"s3://inbox/a.wav": sound}
    context = MemoryContext(sound.parent, "audio-to-captions", files, catalogue_of(Settings()))
    context.aligner = AlignerOptions(model=model)
    data = {"audio": "s3://inbox/a.wav", "lyrics": TEXTS["en"][1], "language": "en", "alignment_mode": mode}
    audio_to_captions(AudioToCaptions.model_validate(data), context)
    said: dict[str, Any] = context.manifest_details["alignment"]
    return said


@pytest.mark.parametrize(("model", "why"), [("wav2vec2", "the lyrics do not fit the audio"), ("whisper", "recognised")])
def test_a_model_that_recognises_nothing_aligns_nothing(
    folders: dict[str, Path], model: str, why: str, sound: Path
) -> None:
    speech = spoken("en")
    write_speech(sound, Speech(speech.samples[: 8 * speech.rate], speech.rate, []))
    said = captions(sound, folders[model])
    assert (said["used"], said["voice"]) == ("spread", model)
    assert why in said["why"]


def test_what_a_ctc_model_recognises_becomes_the_words_times(
    folders: dict[str, Path], sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech, words = spoken("en"), TEXTS["en"][1].split()
    model = CharacterModel(folders["wav2vec2"])

    def recognise(speech_model: CtcSpeech, samples: np.ndarray) -> Any:
        found = np.full((len(samples) // 320, 32), -9.0, np.float32)
        gap = np.zeros(len(found), np.float32)
        for start, word in zip(speech.starts, words, strict=True):
            for number, letter in enumerate(word):
                frame = round(start * 50) + number
                found[frame, speech_model.inventory[letter.upper()]], gap[frame] = 0.0, -9.0
        return found, gap

    monkeypatch.setattr(CtcSpeech, "recognise", recognise)
    assert len(speech.samples) < 24 * speech.rate, "all of it is one window"
    found = CtcAligner(model).align(sound, "wav", lines_of("en"), "en", lambda _: None)
    assert (found.voice, found.confidence) == ("wav2vec2", 1.0)
    assert found.times is not None, found.why
    errors = [abs(span[0] - start) for span, start in zip(found.times, speech.starts, strict=True) if span is not None]
    assert len(errors) == len(words)
    assert np.mean(np.array(errors) < 0.1) > 0.9


def test_words_that_whisper_writes_down_are_matched_with_the_lyrics(
    folders: dict[str, Path], sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech, words = spoken("en"), TEXTS["en"][1].split()
    asked: list[tuple[str | None, bool]] = []
    at = [0.0]

    def recognised(_: WhisperSpeech, samples: np.ndarray, language: str | None) -> list[tuple[str, float, float]]:
        first, at[0] = at[0], at[0] + len(samples) / 16_000
        asked.append((language, len(samples) <= 30 * 16_000))
        heard = [
            (w, s - first, s - first + 0.2) for w, s in zip(words, speech.starts, strict=True) if first <= s < at[0]
        ]
        return heard[:4] + heard[5:]  # one word is missing

    monkeypatch.setattr(WhisperSpeech, "words", recognised)
    aligner = WhisperAligner(folders["whisper"])
    found = aligner.align(sound, "wav", lines_of("en"), "en-GB", lambda _: None)
    assert set(asked) == {("en", True)}
    at[0] = 0.0
    assert found.times is not None
    assert found.times.count(None) == len(asked)
    assert {line.way for line in found.lines} == {"aligned"}
    unsung = aligner.align(sound, "wav", [*lines_of("en"), ["purple", "monkeys", "juggle"]], None, lambda _: None)
    assert [line.way for line in unsung.lines] == ["aligned"] * 5 + ["spread"]
    at[0] = 0.0
    assert aligner.align(sound, "wav", lines_of("de"), None, lambda _: None).times is None


def _another_architecture(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": ["BertModel"]}')


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()


def _no_vocabulary(folder: Path) -> None:
    for path in [*folder.glob("*token*"), *folder.glob("vocab*"), *folder.glob("processor*")]:
        path.unlink()


BROKEN = {
    _no_configuration: ("model_not_installed", "there is no config.json; save a model there"),
    _another_architecture: ("invalid_weights", "BertModel cannot align lyrics; use Whisper or a CTC model"),
    _no_weights: ("invalid_weights", "has no weights"),
    _pickled: ("invalid_weights", "only safetensors are loaded"),
    _cut: ("invalid_weights", "model.safetensors"),
    _no_vocabulary: ("invalid_weights", "cannot be loaded"),
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__.strip("_"))
def test_a_folder_that_cannot_be_used_is_an_error_with_a_code(damage: Any, tmp_path: Path, sound: Path) -> None:
    folder = save_wav2vec2(tmp_path / "model")
    damage(folder)
    code, message = BROKEN[damage]
    with pytest.raises(TelecineError) as caught:
        captions(sound, folder)
    assert caught.value.code == code
    assert message in caught.value.message


def test_auto_continues_without_the_model_and_says_why(tmp_path: Path, sound: Path) -> None:
    said = captions(sound, tmp_path / "nothing", mode="auto")
    assert said["used"] == "spread"
    assert "TELECINE_ALIGNMENT_MODEL is" in said["why"]


def test_whisper_without_alignment_heads_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = save_whisper(tmp_path / "model")
    path = folder / "generation_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "alignment_heads"}))
    with pytest.raises(TelecineError, match="no alignment_heads"):
        WhisperSpeech(folder)


def test_without_torch_the_error_names_the_command(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from providers.local.speech_model import is_whisper

    monkeypatch.setattr(device, "_PACKAGES", ("no_such_package",))
    with pytest.raises(TelecineError, match=r"pip install '\.\[local\]'") as caught:
        is_whisper(folders["whisper"])
    assert caught.value.code == "model_not_installed"
