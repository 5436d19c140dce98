"""The error tree: the drawing matches the classes, codes are unique, and every default message gives advice."""

from __future__ import annotations

import re

import pytest

import schemas.errors as errors
from schemas.errors import InternalError, TelecineError, Verdict, error_for, every_error

#: Messages of the source systems, word for word (contract, section 6).
SOURCE_WORDS = {
    "lyrics_required": "Lyrics text is required",
    "file_too_large": "File too large",
    "invalid_image": "Image must be JPG or PNG",
    "invalid_audio": "Audio must be MP3, WAV, or FLAC",
}
LINE = re.compile(r"^    (?P<indent>(?:│   )*)[├└]── (?P<name>\w+) *(?P<rest>.*)$")


def drawn() -> dict[str, tuple[str, str]]:
    """Parse the tree in the module's docstring: class name to parent and the text after the name."""
    found, parents = {}, ["TelecineError"]
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if match is not None:
            depth = len(match["indent"]) // 4
            parents[depth + 1 :] = [match["name"]]
            found[match["name"]] = (parents[depth], match["rest"])
    return found


def test_the_drawing_is_the_tree() -> None:
    classes = {}

    def walk(parent: type[TelecineError]) -> None:
        for child in parent.__subclasses__():
            if child.__module__.startswith("schemas."):
                classes[child.__name__] = parent.__name__
                walk(child)

    walk(TelecineError)
    assert {name: parent for name, (parent, _) in drawn().items()} == classes


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_the_drawing_shows_the_code_of_each_error_and_which_are_temporary(kind: type[TelecineError]) -> None:
    rest = drawn()[kind.__name__][1]
    assert rest.split()[0] == kind.code
    if issubclass(kind, errors.InputError | errors.StorageError | errors.RenderError):
        assert ("(" in rest) == (kind.verdict is not Verdict.NEVER)
        assert ("retried later" in rest) == (kind.verdict is Verdict.LATER)


def test_codes_are_words_and_no_two_errors_share_one() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z][a-z_]{3,40}", code) for code in codes)
    assert "error" not in codes


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_default_messages_say_what_happened_and_what_to_do(kind: type[TelecineError]) -> None:
    message = kind().message
    assert "\n" not in message
    assert str(kind()) == message
    if kind.code in SOURCE_WORDS:
        assert message == SOURCE_WORDS[kind.code]
    elif kind.code != "cancelled":  # a cancelled job needs no action
        assert len(re.findall(r"[.;:] ", message)) >= 1, f"{kind.__name__} gives no advice: {message}"
        assert message.endswith(".")


def test_every_source_system_wording_belongs_to_an_error() -> None:
    assert set(SOURCE_WORDS) <= {kind.code for kind in every_error()}


def test_a_record_names_what_a_failure_callback_promises() -> None:
    error = errors.InvalidImage("no", field="data.image", step="render")
    assert error.as_record() == {
        "code": "invalid_image",
        "message": "no",
        "retryable": False,
        "field": "data.image",
        "step": "render",
    }
    later = "Object storage did not respond. Will retry."
    assert errors.StorageUnavailable().as_record() == {
        "code": "storage_unavailable",
        "message": later,
        "retryable": True,
    }


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_of_a_child_process_is_restored(kind: type[TelecineError]) -> None:
    again = error_for(kind.code, "why", step="render")
    assert (type(again), again.message, again.step) == (kind, "why", "render")


def test_an_unknown_code_from_a_child_is_a_defect() -> None:
    again = error_for("segfault", "at 0x0")
    assert isinstance(again, InternalError)
    assert again.message == "segfault: at 0x0"
