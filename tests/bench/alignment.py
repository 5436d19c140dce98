"""How far aligned words are from where they are sung: ``python -m tests.bench.alignment --songs FOLDER``.

Speech of known word times is made by espeak-ng, clean and with music. A folder of songs may be added: ``NAME.mp3`` (or
``.wav``, ``.flac``), ``NAME.txt`` with the lyrics and ``NAME.words.csv`` with a column ``word_start`` and one row for
each word. Every case is made into captions in three ways, as a worker would: ``even``, ``spread`` (``auto`` without a
key and without the extra align) and ``local``. The words' times are those of ``words.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pipelines.audio_to_captions import audio_to_captions
from pipelines.media.captions.word_groups import words_of
from pipelines.memory_context import MemoryContext
from providers.registry import catalogue_of
from schemas.audio_to_captions import AudioToCaptions
from schemas.settings import Settings
from tests.spoken import TEXTS, spoken, write_speech

WAYS = ("even", "spread", "local")
#: Music relative to the voice: none, 10 dB below it, as loud.
LEVELS = {"clean": 0.0, "music -10 dB": 0.316, "music 0 dB": 1.0}
WRONG_LYRICS = "wrong lyrics"


@dataclass
class Figure:
    """One case in one way. Errors are those of the starts of all words, in milliseconds."""

    case: str
    way: str
    words: int
    median: float
    p95: float
    within_300: float
    #: The share of the words that are shown as aligned, and of the lines that are and are more than a second off.
    aligned: float
    lines_off: float
    cpu_per_minute: float
    used: str
    confidence: float | None


@dataclass
class Case:
    """A recording with its lyrics and the starts of the words."""

    name: str
    path: Path
    lyrics: str
    language: str | None
    starts: list[float]


def cases(folder: Path, languages: list[str], songs: Path | None) -> Iterator[Case]:
    """Yield the constructed cases, one with wrong lyrics for each language, and the songs of the folder."""
    for index, language in enumerate(languages):
        speech = spoken(language)
        for level, loudness in LEVELS.items():
            path = write_speech(folder / f"{language}-{level}.wav", speech, loudness)
            yield Case(f"{language}, {level}", path, TEXTS[language][1], language, speech.starts)
        other = [*languages, "de", "en"][index + 1]
        yield Case(f"{language}, {WRONG_LYRICS}", folder / f"{language}-clean.wav", TEXTS[other][1], other, [])
    for table in sorted(songs.glob("*.words.csv")) if songs else []:
        name = table.name.removesuffix(".words.csv")
        path = next(p for p in (table.with_name(f"{name}.{kind}") for kind in ("mp3", "wav", "flac")) if p.exists())
        lyrics = table.with_name(f"{name}.txt").read_text(encoding="utf-8")
        with table.open(encoding="utf-8", newline="") as file:
            starts = [float(row["word_start"]) for row in csv.DictReader(file)]
        if len(starts) != len(words_of(lyrics)):
            raise SystemExit(f"{name}: the lyrics have {len(words_of(lyrics))} words, {table.name} has {len(starts)}")
        yield Case(name, path, lyrics, None, starts)


def measure(case: Case, way: str) -> Figure:
    """Make captions of a case and compare the words' times with the true ones."""
    mode = {"spread": "auto"}.get(way, way)
    data = {"audio": "s3://bench/a", "lyrics": case.lyrics, "alignment_mode": mode, "language": case.language}
    without = mock.patch("pipelines.models.alignment.local_alignment_installed", return_value=False)
    with tempfile.TemporaryDirectory() as name, without if way == "spread" else nullcontext():
        catalogue = catalogue_of(Settings())
        context = MemoryContext(Path(name), "audio-to-captions", {"s3://bench/a": case.path}, catalogue)
        before = _cpu()
        # Captions of one word may be shorter than a millisecond in a dense text: only the words are looked at.
        audio_to_captions(AudioToCaptions.model_validate({**data, "min_duration": 0, "words_per_group": 50}), context)
        cpu = _cpu() - before
        record = json.loads((Path(name) / "words.json").read_text())
    return _figure(case, way, record, context.manifest_details.get("alignment", {}), cpu)


def _figure(case: Case, way: str, record: dict[str, Any], said: dict[str, Any], cpu: float) -> Figure:
    found = np.array([word["start"] for word in record["words"]])
    errors = np.abs(found - np.array(case.starts)) * 1000 if case.starts else np.array([np.nan])
    lines = [line for line in record.get("lines", []) if line["way"] == "aligned"]
    spans = [slice(line["first"], line["first"] + line["count"]) for line in lines] if case.starts else []
    off = [float(np.median(errors[span])) > 1000 for span in spans]
    return Figure(
        case.name,
        way,
        len(found),
        round(float(np.median(errors)), 1),
        round(float(np.percentile(errors, 95)), 1),
        round(float(np.mean(errors <= 300)), 3),
        round(float(np.mean([word["heard"] for word in record["words"]])), 3),
        round(float(np.mean(off)), 3) if off else 0.0,
        round(cpu * 60 / record["duration_seconds"], 2),
        record["source"],
        said.get("confidence"),
    )


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| case | way | median ms | 95 % ms | ≤ 0.3 s | words aligned | lines > 1 s off | CPU s per minute | used |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for one in figures:
        known = one.median == one.median  # not NaN: the lyrics are those of the recording
        errors = f"{one.median:.0f} | {one.p95:.0f} | {one.within_300:.1%}" if known else "– | – | –"
        confidence = "" if one.confidence is None else f" ({one.confidence:.2f})"
        lines.append(
            f"| {one.case} | {one.way} | {errors} | {one.aligned:.0%} | {one.lines_off:.0%} "
            f"| {one.cpu_per_minute:.1f} | {one.used}{confidence} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the JSON file."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.alignment", description=__doc__)
    options.add_argument("--songs", type=Path, help="folder with NAME.mp3, NAME.txt and NAME.words.csv")
    options.add_argument("--languages", default=",".join(TEXTS), help="of the constructed speech; empty: none")
    options.add_argument("--json", type=Path, default=Path("alignment-bench.json"), help="where the figures go")
    given = options.parse_args()
    load, began = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        languages = [name for name in given.languages.split(",") if name]
        figures = [
            measure(case, way)
            for case in cases(Path(folder), languages, given.songs)
            for way in WAYS
            if case.starts or way == "local"
        ]
    print(table(figures))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    record = {
        "load_at_start": load,
        "seconds": round(time.monotonic() - began, 1),
        "peak_bytes": peak,
        "figures": [{k: None if v != v else v for k, v in asdict(one).items()} for one in figures],
    }
    given.json.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
