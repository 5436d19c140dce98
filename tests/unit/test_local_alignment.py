"""``alignment_mode: local``: what the pipelines make of it, and the parts of the aligner."""

from __future__ import annotations

import json
import unicodedata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.audio_to_captions import audio_to_captions, plan
from pipelines.media.align.acoustic import emissions_of
from pipelines.media.align.aligner import _places
from pipelines.media.align.espeak import pronounce
from pipelines.media.align.gate import sure_lines
from pipelines.media.align.languages import voices_for
from pipelines.media.align.long_texts import align_parts, margin_of, parts_of
from pipelines.media.align.onsets import onset_delay
from pipelines.media.align.phonemes import tokens_of
from pipelines.media.align.recording import Sound
from pipelines.media.align.viterbi import STAR, Emissions, align_tokens, path_scores
from pipelines.memory_context import MemoryContext
from pipelines.models.alignment import Timing, caption_spec
from pipelines.models.remote_reel import read_film, write_film
from providers.registry import catalogue_of
from schemas import lyrics
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import LyricsRequired, RenderTimeout, UnsupportedOption
from schemas.settings import Settings
from schemas.words import LineTimes
from tests.media_probe import ffmpeg, reel_data
from tests.spoken import TEXTS, spoken, write_speech

EN = TEXTS["en"][1]


def request(text: str = EN, mode: str = "local", **options: Any) -> AudioToCaptions:
    data = {"audio": "s3://inbox/a.wav", "lyrics": text, "language": "en", "alignment_mode": mode, "min_duration": 0}
    return AudioToCaptions.model_validate({**data, **options})


@pytest.fixture
def context(tmp_path: Path) -> MemoryContext:
    path = write_speech(tmp_path / "a.wav", spoken("en"))
    return MemoryContext(tmp_path, "audio-to-captions", {"s3://inbox/a.wav": path}, catalogue_of(Settings()))


def words_of(context: MemoryContext) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((context.folder / "words.json").read_text())
    return record


@pytest.mark.parametrize(("mode", "why"), [("local", None), ("auto", "no ElevenLabs API key is configured")])
def test_lyrics_are_aligned_without_a_key(context: MemoryContext, mode: str, why: str | None) -> None:
    made = audio_to_captions(request("[Verse 1]\n" + EN, mode), context)
    assert [file.name for file in made] == [
        "captions.srt",
        "captions.vtt",
        "captions.lrc",
        "captions.ass",
        "words.json",
    ]
    words = words_of(context)
    errors = [abs(w["start"] - start) for w, start in zip(words["words"], spoken("en").starts, strict=True)]
    assert np.mean(np.array(errors) <= 0.3) >= 0.9
    assert words["source"] == "local_alignment"
    assert [(line["count"], line["way"]) for line in words["lines"]] == [
        (len(line.split()), "aligned") for line in EN.split("\n")
    ]
    assert all(0.5 <= line["confidence"] <= 1 for line in words["lines"])
    said = context.manifest_details["alignment"]
    assert (said["mode"], said["used"], said.get("why")) == (mode, "local_alignment", why)
    assert (said["lines"], said["lines_unsure"], said["voice"]) == (5, 0, "en-us")
    assert context.calls == []


@pytest.mark.parametrize("form", ["m4a", "ogg", "mp3", "attack-2-wav", "F1-wav"])
def test_every_kind_of_audio_that_a_reel_takes_is_aligned(context: MemoryContext, form: str) -> None:
    speech = context.files["s3://inbox/a.wav"]
    path = context.folder / f"b.{form[-3:]}"
    if form == "attack-2-wav":  # a title in Latin-1
        info = b"INAM" + (10).to_bytes(4, "little") + "Motörhead".encode("latin-1") + b"\0"
        listed = b"LIST" + (4 + len(info)).to_bytes(4, "little") + b"INFO" + info
        content = speech.read_bytes() + listed
        path.write_bytes(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])
    elif form == "F1-wav":  # a length that no file has, as from a pipe
        content = speech.read_bytes()
        size = content.index(b"data") + 4
        path.write_bytes(content[:size] + b"\xff\xff\xff\x7f" + content[size + 4 :])
    else:
        ffmpeg("-i", str(speech), str(path))
    context.files = {"s3://inbox/a.wav": path}
    audio_to_captions(request(), context)
    assert words_of(context)["source"] == "local_alignment"


def test_lyrics_of_something_else_are_spread_and_the_manifest_says_why(context: MemoryContext) -> None:
    audio_to_captions(request(TEXTS["de"][1], language="de"), context)
    words = words_of(context)
    assert words["source"] == "spread"
    assert not any(word["heard"] for word in words["words"])
    assert "lines" not in words
    said = context.manifest_details["alignment"]
    assert (said["mode"], said["used"]) == ("local", "spread")
    assert said["why"].startswith("local alignment: the lyrics do not fit the audio")


def test_an_aligner_that_fails_does_not_fail_the_job(context: MemoryContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RenderTimeout()

    monkeypatch.setattr("pipelines.models.local_alignment.run_child", fail)
    audio_to_captions(request(), context)
    said = context.manifest_details["alignment"]
    assert said["used"] == "spread"
    assert said["why"].startswith("local alignment: it failed: ")


def test_words_of_an_unsure_line_are_spread_and_marked(context: MemoryContext) -> None:
    lines = EN.split("\n")
    unsung = "purple monkeys juggle broken bicycles"
    audio_to_captions(request("\n".join([*lines[:2], unsung, *lines[2:]])), context)
    words = words_of(context)
    unsure = next(line for line in words["lines"] if line["way"] == "spread")
    spread = words["words"][unsure["first"] : unsure["first"] + unsure["count"]]
    assert [word["text"] for word in spread] == unsung.split()
    assert not any(word["heard"] for word in spread)
    assert context.manifest_details["alignment"]["lines_unsure"] == 1


def test_a_job_that_runs_again_does_not_align_again(context: MemoryContext) -> None:
    audio_to_captions(request(), context)
    before = context.manifest_details.copy()
    # Without its audio, the lyrics could not be aligned.
    (context.folder / "a.wav").rename(context.folder / "b.wav")
    context.files = {"s3://inbox/a.wav": context.folder / "b.wav"}
    context._steps = {"align-locally": context._steps["align-locally"]}
    audio_to_captions(request(), context)
    assert words_of(context)["source"] == "local_alignment"
    assert context.manifest_details == before


def test_a_worker_without_the_package_names_the_command(
    monkeypatch: pytest.MonkeyPatch, context: MemoryContext
) -> None:
    monkeypatch.setattr(lyrics, "_LOCAL_PACKAGES", ("hama", "no_such_package"))
    with pytest.raises(UnsupportedOption, match=r"pip install '\.\[align\]'") as caught:
        request()
    assert caught.value.field == "data.alignment_mode"
    audio_to_captions(request(mode="auto"), context)
    assert context.manifest_details["alignment"]["used"] == "spread"


def test_local_needs_lyrics() -> None:
    with pytest.raises(LyricsRequired, match="Lyrics text is required"):
        request(" ")


def test_a_plan_counts_the_time_of_the_alignment_and_no_price(context: MemoryContext) -> None:
    planned, even = (plan(request(mode=mode), context) for mode in ("local", "even"))
    assert planned.estimated_seconds > even.estimated_seconds
    assert planned.cost["amount"] == "0.00"


def test_the_lines_reach_a_remote_renderer() -> None:
    timing = Timing("a", "local_alignment", (None,), (LineTimes(0, 1, 0.3, "spread"),))
    data, read = read_film(write_film(reel_data("a"), timing))
    assert read == timing
    spec = caption_spec(data, read)
    assert type(spec).from_json(json.loads(json.dumps(spec.as_json()))) == spec


def emissions(rows: list[list[float]], gap: list[float]) -> Emissions:
    return Emissions(np.array([[*row, 0.0] for row in rows], np.float32), np.array(gap, np.float32))


@pytest.mark.parametrize("tokens", [[0], [0, 1], [0, 0], [1, STAR, 0], [STAR, 1, 1], [0, 1, 0, 1]])
def test_the_best_path_is_that_of_trying_all(tokens: list[int]) -> None:
    random = np.random.default_rng(len(tokens))
    frames = 6
    sound = emissions(random.uniform(-5, 0, (frames, 2)).tolist(), random.uniform(-5, 0, frames).tolist())

    def score(states: tuple[int, ...]) -> float:
        """Return the score of one state a frame: even ones are gaps, odd ones tokens."""
        steps = np.diff([0, *states])
        skips = [b for a, b, step in zip([0, *states], states, steps, strict=False) if step == 2]
        legal = states[0] <= 1 and states[-1] >= 2 * len(tokens) - 1 and steps.min() >= 0 and steps.max() <= 2
        if not legal or any(not s % 2 or tokens[s // 2] == tokens[s // 2 - 1] for s in skips):
            return -np.inf
        return sum(
            float(sound.tokens[frame, tokens[state // 2]] if state % 2 else sound.gap[frame])
            for frame, state in enumerate(states)
        )

    best = max(map(score, product(range(2 * len(tokens) + 1), repeat=frames))) if len(tokens) < 4 else None
    path = align_tokens(sound, tokens)
    assert best is None or path.score == pytest.approx(best, abs=1e-4)
    assert path_scores(sound, [tokens, tokens[::-1]])[0] == pytest.approx(path.score, abs=1e-4)
    assert all(a <= b for a, b in zip(path.first, path.last, strict=True))
    assert all(last < first for last, first in zip(path.last, path.first[1:], strict=False))


def test_more_tokens_than_frames_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 tokens cannot be aligned with 2 frames"):
        align_tokens(emissions([[0.0]] * 2, [0.0] * 2), [0, 0, 0])


def test_a_line_between_two_sure_ones_needs_less() -> None:
    assert sure_lines([1.0, 0.3, 1.0, 0.3, 0.1, 1.0]) == [True, True, True, False, False, True]
    # Where most lines fit very well, one that fits a little does not.
    assert sure_lines([4.0, 4.0, 1.2, 0.9, 4.0]) == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("text", "language", "voices"),
    [
        ("x", "en", ["en-us"]),
        ("x", "pt-PT", ["pt-pt", "pt-br", "en-us"]),
        ("नदी", None, ["hi"]),
        ("привет", None, ["ru"]),
        ("привіт", None, ["uk"]),
        ("夜に駆ける", None, ["ja"]),
        ("河面", None, ["cmn"]),
        ("hello नदी पर उतरती", None, ["hi"]),
    ],
)
def test_voices_follow_the_language_or_the_script(text: str, language: str | None, voices: list[str]) -> None:
    assert voices_for(text, language) == voices


LATIN = ["en-us", "es-419", "fr", "de", "it", "pt-br", "nl"]


@pytest.mark.parametrize(
    ("voice", "text"),
    [TEXTS[language] for language in ("en", "es", "de", "fr", "it", "pt")]
    + [
        ("en-us", "I walk the long road home and it is late\nwhen all the lamps are out you wait for me"),
        ("es-419", "No sé por qué la noche es larga y fría\nyo te espero en el puerto con una flor"),
        ("de", "Ich weiß nicht wie der Tag begann\nund du bist so weit weg von mir\nwir sehen uns auf den Bergen"),
        ("fr", "Je ne sais pas où va le vent\ntu es dans mes bras et il pleut sur les toits\nqui chante pour moi"),
        ("it", "Non so perché il vento è freddo\nma tu sei con me e la notte non finisce\nche bella una stella"),
        ("pt-br", unicodedata.normalize("NFD", "Não vejo mais ninguém aqui\nvocê é uma estrela distante")),
        ("nl", "Ik loop alleen door de straat en het is koud\nmaar je wacht op mij met een lamp voor het raam"),
    ],
)
def test_frequent_words_decide_the_language(voice: str, text: str) -> None:
    assert voices_for(text, None) == [voice]
    assert voices_for(text, "xx") == ["xx", voice]
    assert voices_for(text, "cs") == ["cs", voice]


@pytest.mark.parametrize(
    "text",
    [
        "Te quiero mucho",
        "la la la la\nna na na\nthe the the the the the\noh oh oh yeah",
        "I walk alone on the road and you are gone\ncamino solo por la vieja ciudad y no es de día\n"
        "it is all that we need\nquiero cantar con los que se van",
        "La luz del río cae sobre la mañana y el mar\nvocê é uma estrela e a noite não acaba\n"
        "todo lo que tengo es para ti\nfica comigo em paz",
        "Jag går ensam längs den långa vägen och det finns ingen\nmen när natten kommer är du här hos mig",
        "Idę sam długą drogą i nikt nie wie dokąd\nale gdy przychodzi noc jesteś tu ze mną",
        "In terra pax hominibus\nqui tollis peccata mundi miserere nobis\net in unum deum qui est et erat",
        "Nagai michi o hitori de aruku\ndare mo shiranai doko e iku no ka\ndemo yoru ga kureba kimi ga iru",
    ],
    ids=["short", "syllables", "en-es", "es-pt", "sv", "pl", "la", "ja"],
)
def test_where_words_do_not_decide_the_sound_does(text: str) -> None:
    assert voices_for(text, None) == LATIN


def test_every_voice_that_is_tried_exists() -> None:
    scripts = ("ա", "क", "α", "ა", "ש", "한", "あ", "ไ", "б", "і", "پ", "ٹ", "ب", "ক", "中", "a")
    for voice in {voice for letter in scripts for voice in voices_for(letter, None)} | {"nb", "he", "id"}:
        assert len(pronounce(["1"], voice)) == 1
    with pytest.raises(ValueError, match="no voice 'xx'"):
        pronounce(["a"], "xx")


def test_digits_are_spoken_and_symbols_have_no_tokens() -> None:
    inventory = {letter: index for index, letter in enumerate("abdefhijklmnoprstuvwzæŋɑɔəɛɪʃʊʌθɹ")}
    one, digits, heart, mixed = tokens_of(["two", "2", "♥", "❤️"], "en-us", inventory)
    assert one == digits != []
    assert (heart, mixed) == ([], [])


def test_the_delay_is_measured_only_where_words_begin_out_of_silence() -> None:
    rate, seconds = 16_000, 10
    sound = np.random.default_rng(1).normal(0, 0.2, rate * seconds).astype(np.float32)
    beginnings = [1.0, 3.0, 5.0, 7.0]
    quiet = np.zeros_like(sound)
    for start in beginnings:
        quiet[int(start * rate) : int((start + 1) * rate)] = sound[:rate]
    late = [start + 0.08 for start in beginnings]
    with Sound([quiet]) as out_of_silence, Sound([sound[:123_456], sound[123_456:]]) as steady:
        assert onset_delay(out_of_silence.levels(), late) == pytest.approx(0.1, abs=0.02)
        assert onset_delay(steady.levels(), late) == 0.04
        assert onset_delay(out_of_silence.levels(), []) == 0.04


def test_a_long_text_is_aligned_in_parts_like_the_whole() -> None:
    random = np.random.default_rng(3)
    lines = [[[int(token) for token in random.integers(0, 30, 5)] for _ in range(4)] for _ in range(40)]
    frames = sum(len(word) for line in lines for word in line) * 4 + 20 * len(lines)
    sound = random.uniform(-8, -4, (frames, 31)).astype(np.float32)
    sound[:, -1] = 0
    gap, at, starts = np.full(frames, -0.1, np.float32), 10, []
    for line in lines:
        for word in line:
            starts.append(at)
            for token in word:
                sound[at, token], gap[at] = -0.1, -5.0
                at += 4
        at += 20
    heard = Emissions(sound, gap)
    whole, parts = parts_of(heard, lines), parts_of(heard, lines, frames * 1000 // 5)
    assert (len(whole), len(parts)) == (1, 5)
    assert [part.first for part in parts[1:]] == [part.end for part in parts[:-1]]
    one, cut = align_parts(heard, whole), align_parts(heard, parts)
    words = [word[0] for line in _places(lines) for word in line]
    assert [int(one.first[word]) for word in words] == starts
    assert np.array_equal(one.first[words], cut.first[words])
    assert margin_of(heard, parts) > 1


@pytest.mark.parametrize("count", [1, 100, 24 * 16_000, 24 * 16_000 + 1, 48 * 16_000 + 330])
def test_every_moment_of_a_recording_has_a_frame(count: int) -> None:
    class Model:
        """Returns a frame less than there is sound for, as networks without padding do."""

        def recognise(self, samples: Any) -> Any:
            frames = max(0, len(samples) // 320 - 1)
            return np.full((frames, 3), -1.0, np.float32), np.full(frames, -2.0, np.float32)

        def readings(self, *_: Any) -> Any:
            return []

    with Sound([np.zeros(count, np.float32)]) as sound:
        found = emissions_of(Model(), sound, [0, 2], lambda _: None)
    assert len(found) == (0 if count < 640 else -(-count // 320))
    assert found.tokens.shape == (len(found), 3)
    assert not found.tokens[:, 2].any(), "the column of the star"
