"""Word timing: words match by their letters, words without a time are filled in, and the order is kept."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pipelines.media.captions.matching import Times, coverage, match
from pipelines.media.captions.placement import place
from pipelines.media.captions.timing import fill, spans_of, text_of
from pipelines.media.captions.word_groups import group_words, words_of
from pipelines.memory_context import Answerer, MemoryContext, RecordedCall
from pipelines.models.alignment import Timing, align
from providers.registry import catalogue_of
from schemas.errors import (
    BudgetExceeded,
    ProviderError,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderResultInvalid,
    ProviderUnauthorized,
    QuotaExhausted,
    RetriesExhausted,
    TelecineError,
)
from schemas.lyrics import AlignmentMode
from schemas.settings import Settings
from schemas.words import AlignedWord, parse_aligned_words
from tests.media_probe import input_file, write_wav

CATALOGUE = catalogue_of(Settings())
SECONDS = 6.0


def aligned_words(*words: tuple[str, float | None, float | None]) -> list[AlignedWord]:
    return [AlignedWord(text=text, start=start, end=end) for text, start, end in words]


def beats(text: str, start: float = 0.0, each: float = 0.5) -> list[AlignedWord]:
    """Return the words of a text, one every ``each`` seconds; each takes four fifths of that time."""
    return [
        AlignedWord(text=word, start=start + index * each, end=start + (index + 0.8) * each)
        for index, word in enumerate(text.split())
    ]


def starts(lyrics: str, words: list[AlignedWord]) -> list[float | None]:
    return [None if time is None else round(time.start, 3) for time in match(words_of(lyrics), words)]


def test_words_get_the_aligned_times() -> None:
    assert starts("one two\nthree", beats("one two three")) == [0.0, 0.5, 1.0]


def test_spelling_case_and_punctuation_are_ignored() -> None:
    assert starts("Don't STOP,\n“me” now…", beats("dont stop me now")) == [0.0, 0.5, 1.0, 1.5]
    assert starts("ﬁne café", beats("fine cafe\u0301")) == [0.0, 0.5]


def test_words_that_are_split_differently_match_by_their_letters() -> None:
    assert starts("rock-n-roll baby", aligned_words(("rock", 0, 1), ("n", 1, 2), ("roll", 2, 3), ("baby", 3, 4))) == [
        0,
        3,
    ]
    times = match(words_of("夜に駆ける"), aligned_words(("夜", 0, 1), ("に", 1, 2), ("駆ける", 2, 5)))
    assert times == [Times(0, 2), Times(2, 5)]
    assert starts("夜に駆ける", aligned_words(("夜に駆ける", 0.0, 5.0))) == [0.0, 2.0]


def test_additional_words_are_ignored_and_missing_words_have_no_time() -> None:
    assert starts("one two three four", beats("one oh yeah baby two three four")) == [0.0, 2.0, 2.5, 3.0]
    assert starts("one two unsung words three four", beats("one two three four")) == [0.0, 0.5, None, None, 1.0, 1.5]


def test_accidentally_equal_letters_do_not_match() -> None:
    assert starts("two three", beats("three")) == [None, 0.0]
    assert starts("three", beats("two three")) == [0.5]


def test_a_repeated_chorus_is_matched_in_order() -> None:
    song = "la la hey\nverse number one\nla la hey\nverse number two\nla la hey"
    times = starts(song, beats(song))
    assert times == [index * 0.5 for index in range(15)]


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (("two", None, None), "no times"),
        (("two", 0.5, None), "half of them"),
        (("two", 0.5, 0.5), "no length"),
        (("two", 0.9, 0.5), "an end before the start"),
    ],
)
def test_unusable_times_are_none(word: tuple[str, float | None, float | None], why: str) -> None:
    assert starts("one two three", aligned_words(("one", 0, 0.4), word, ("three", 1, 1.4))) == [0, None, 1], why


def test_a_word_that_goes_back_in_time_is_dropped() -> None:
    words = aligned_words(("one", 1, 1.4), ("two", 90, 91), ("three", 2, 2.4), ("four", 3, 3.4))
    assert starts("one two three four", words) == [1, None, 2, 3]


def test_coverage_is_the_share_of_words_with_letters() -> None:
    words = ["one", "—", "two"]
    assert coverage(words, match(words, beats("one"))) == 0.5
    assert coverage(["—"], [None]) == 0.0


def test_matching_unrelated_texts_is_fast() -> None:
    lyrics = words_of("\n".join(f"alpha{n} beta{n} gamma{n}" for n in range(3000)))
    began = time.process_time()
    assert coverage(lyrics, match(lyrics, beats("zwölf xylophone " * 4500))) < 0.2
    assert time.process_time() - began < 20


def test_words_between_two_timed_ones_share_the_gap_by_length() -> None:
    placed = fill(["a", "bb", "cccc", "d"], [Times(0, 1), None, None, Times(5, 6)], 8.0)
    assert [(word.start, word.end, word.heard) for word in placed] == [
        (0, 1, True),
        (1, 2.5, False),
        (2.5, 5, False),
        (5, 6, True),
    ]


def test_words_at_both_ends_are_next_to_the_nearest_timed_one() -> None:
    placed = fill(["a", "b", "c"], [None, Times(20, 21), None], 60.0)
    assert [(word.start, word.end) for word in placed] == [(19.5, 20), (20, 21), (21, 21.5)]
    assert [word.start for word in fill(["a", "b"], [None, Times(0.2, 1)], 9.0)] == [0.0, 0.2]


def test_without_times_every_word_gets_an_equal_share() -> None:
    assert [word.start for word in fill(["a", "b"], [None, None], 4.0)] == [0.0, 2.0]
    assert [word.start for word in fill(["a", "b"], [Times(9, 10), None], 4.0)] == [0.0, 2.0]


times = st.one_of(st.none(), st.tuples(st.floats(0, 40), st.floats(0.01, 5)).map(lambda t: Times(t[0], t[0] + t[1])))


@settings(deadline=None)
@given(st.lists(times, min_size=1, max_size=60), st.floats(4, 30), st.integers(1, 4), st.floats(0, 3))
def test_every_caption_is_visible_and_none_overlaps(
    known: list[Times | None], duration: float, size: int, least: float
) -> None:
    words = [f"w{index}" for index in range(len(known))]
    order = iter(sorted((time for time in known if time is not None), key=lambda time: time.start))
    placed = fill(words, [None if time is None else next(order) for time in known], duration)
    assert [word.text for word in placed] == words
    for one, other in pairwise(placed):
        assert 0 <= one.start <= one.end <= other.start + 1e-9
    assert placed[-1].end <= duration + 1e-9
    groups = group_words("\n".join(words), size)
    frames = round(duration * 30)
    captions = place(
        spans_of(groups, placed, duration),
        duration=duration,
        fps=30,
        frames=frames,
        offset=0.0,
        min_duration=least,
        debug=False,
    )
    assert len(captions) == len(groups)
    position = 0
    for caption in captions:
        assert position <= caption.first < caption.end <= frames
        position = caption.end


def test_a_transcription_is_split_at_pauses_and_sentences() -> None:
    words = [*beats("Hello there. How are you"), *beats("fine", start=9.0)]
    assert text_of(words) == "Hello there.\nHow are you\nfine"
    assert text_of(aligned_words(("夜", 0, 1), ("に", 1, 2), ("go", 2, 3), ("now", 3, 4))) == "夜に go now"
    assert text_of([]) == ""


def test_invalid_words_of_an_aligner_are_ignored() -> None:
    value = {
        "words": [{"text": "a", "start": 1, "end": True}, {"text": " "}, 7, {"start": 1}, {"text": "b", "start": -1}]
    }
    assert parse_aligned_words(value) == [AlignedWord(text="a", start=1.0), AlignedWord(text="b")]
    nothing: Any
    for nothing in (None, [], {}, {"words": None}, {"words": "ab"}, "words"):
        assert parse_aligned_words(nothing) == []


LYRICS = "[Chorus]\none two three\nfour five six"
SUNG = "one two three\nfour five six"


def words_answer(words: list[AlignedWord]) -> Answerer:
    return lambda call: {"words": [asdict(word) for word in words]}


def failing(error: Exception) -> Answerer:
    def answer(call: RecordedCall) -> object:
        raise error

    return answer


def aligned(
    tmp_path: Path, mode: AlignmentMode, lyrics: str = LYRICS, language: str | None = None, **answers: Answerer
) -> tuple[Timing, MemoryContext]:
    audio = input_file(write_wav(tmp_path / "song.wav", SECONDS, rate=8000), "audio")
    named = {name.replace("_", "-"): answer for name, answer in answers.items()}
    context = MemoryContext(tmp_path, "reel", catalogue=CATALOGUE, answers=named)
    return align(mode, lyrics, language, audio, context), context


def test_auto_aligns_the_lyrics_without_headings(tmp_path: Path) -> None:
    timing, context = aligned(tmp_path, "auto", forced_alignment=words_answer(beats(SUNG, start=1.0)))
    assert (timing.lyrics, timing.source) == (SUNG, "forced_alignment")
    assert timing.times is not None
    assert [time and time.start for time in timing.times] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    assert [(call.step, call.parameters["text"]) for call in context.calls] == [("align", SUNG)]
    assert context.calls[0].seconds == pytest.approx(SECONDS)
    assert context.manifest_details == {"alignment": {"mode": "auto", "used": "forced_alignment"}}


def test_a_verse_that_is_not_sung_is_left_out_and_the_manifest_says_so_reel_H1(tmp_path: Path) -> None:
    verse = "never sung at all\nnor this other line\nor that third one"
    heard = [*beats("one two three", start=1.0), *beats("four five six", start=2.8)]
    timing, context = aligned(
        tmp_path, "auto", f"one two three\n\n{verse}\n\nfour five six", forced_alignment=words_answer(heard)
    )
    assert (timing.lyrics, timing.source) == (SUNG, "forced_alignment")
    assert timing.times is not None
    assert [time and time.start for time in timing.times] == [word.start for word in heard]
    details = context.manifest_details["alignment"]
    assert (details["lines_not_found"], details["lines_left_out"]) == (3, 3)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (failing(ProviderRefused("the text does not fit the audio")), "the text does not fit the audio"),
        (failing(RetriesExhausted("tried 5 times")), "tried 5 times"),
        (words_answer(beats("one two")), "found 33% of the words"),
        (words_answer([]), "found 0% of the words"),
        (lambda call: None, "found 0% of the words"),
    ],
)
def test_auto_falls_back_to_the_transcription_and_records_why(tmp_path: Path, answer: Answerer, why: str) -> None:
    timing, context = aligned(
        tmp_path, "auto", language="pt-BR", forced_alignment=answer, scribe=words_answer(beats("ooh yeah"))
    )
    assert (timing.lyrics, timing.source, timing.times) == (
        "ooh yeah",
        "transcription",
        (Times(0.0, 0.4), Times(0.5, 0.9)),
    )
    assert [call.step for call in context.calls] == ["align", "transcribe"]
    assert context.calls[1].parameters["language_code"] == "pt"
    details = context.manifest_details["alignment"]
    assert (details["mode"], details["used"]) == ("auto", "transcription")
    assert why in details["why"]


@pytest.mark.parametrize("error", [BudgetExceeded(), ProviderUnauthorized(), QuotaExhausted()])
def test_auto_has_no_fallback_for_a_failure_that_an_operator_must_fix(tmp_path: Path, error: ProviderError) -> None:
    with pytest.raises(type(error)):
        aligned(tmp_path, "auto", forced_alignment=failing(error), scribe=words_answer(beats("x")))


def test_auto_without_a_key_and_a_local_aligner_spreads_the_words_and_records_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.models.alignment.local_alignment_installed", lambda: False)
    timing, context = aligned(tmp_path, "auto")
    assert (timing.lyrics, timing.source) == (SUNG, "spread")
    assert timing.times is not None
    assert None not in timing.times
    assert len(timing.times) == 6
    assert context.manifest_details == {
        "alignment": {"mode": "auto", "used": "spread", "why": "no ElevenLabs API key is configured"}
    }


def test_auto_spreads_if_no_words_are_recognized(tmp_path: Path) -> None:
    timing, context = aligned(tmp_path, "auto", forced_alignment=words_answer([]), scribe=words_answer([]))
    assert (timing.lyrics, timing.source) == (SUNG, "spread")
    why = context.manifest_details["alignment"]["why"].split("; ")
    assert why[1] == "the transcription contains no words"
    assert why[2].startswith("local alignment: the lyrics do not fit the audio")


def test_auto_transcribes_if_the_lyrics_are_too_long_for_the_aligner(tmp_path: Path) -> None:
    lyrics = "\n".join(["a" * 1000] * 101)
    never = failing(AssertionError())
    timing, context = aligned(tmp_path, "auto", lyrics, forced_alignment=never, scribe=words_answer(beats("x")))
    assert timing.source == "transcription"
    assert "at most 100,000 characters" in context.manifest_details["alignment"]["why"]


def test_elevenlabs_ignores_the_lyrics(tmp_path: Path) -> None:
    timing, context = aligned(tmp_path, "elevenlabs", scribe=words_answer(beats("sung otherwise")))
    assert (timing.lyrics, timing.source) == ("sung otherwise", "transcription")
    assert [call.model.id for call in context.calls] == ["scribe"]


@pytest.mark.parametrize(("mode", "lyrics"), [("elevenlabs", LYRICS), ("elevenlabs", ""), ("auto", "")])
def test_a_transcription_without_a_key_fails_with_the_source_systems_message(
    tmp_path: Path, mode: AlignmentMode, lyrics: str
) -> None:
    with pytest.raises(ProviderNotConfigured) as caught:
        aligned(tmp_path, mode, lyrics)
    assert caught.value.message == "ElevenLabs API key is required"


def test_a_transcription_of_silence_fails_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ProviderResultInvalid, match="no words were recognized"):
        aligned(tmp_path, "elevenlabs", scribe=words_answer([]))


def test_even_makes_no_call_and_does_not_measure_the_audio(tmp_path: Path) -> None:
    timing, context = aligned(tmp_path, "even")
    assert (timing, context.calls, context.manifest_details) == (Timing(LYRICS), [], {})


def test_an_alignment_is_paid_for_once_if_the_job_runs_again(tmp_path: Path) -> None:
    audio = input_file(write_wav(tmp_path / "song.wav", 1.0, rate=8000), "audio")
    error: TelecineError = ProviderRefused("no")
    context = MemoryContext(
        tmp_path,
        "reel",
        catalogue=CATALOGUE,
        answers={"forced-alignment": failing(error), "scribe": words_answer(beats("one"))},
    )
    assert align("auto", LYRICS, None, audio, context) == align("auto", LYRICS, None, audio, context)
    assert len(context.calls) == 2
