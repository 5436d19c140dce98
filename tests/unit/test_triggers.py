"""Trigger rules: which objects they cover, which requests they make, and which rules prevent the start of a worker."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from ops.cli.opening import read_settings
from schemas.envelope import Request
from schemas.errors import ConfigurationError, InvalidField, OutputTriggers
from schemas.lyrics_file import lyrics_text
from schemas.parse import parse_mapping
from schemas.relative_uris import resolve_relative_uris
from schemas.s3_events import Upload
from schemas.trigger_requests import check_rules, derived_id, manifest_request, object_request, pair_request
from schemas.triggers import Trigger, TriggerRules, part_of
from tests.pages import fences

OUTPUT = ["s3://results/"]
EVEN = {"alignment_mode": "even", "lyrics": "La"}
REEL: dict[str, Any] = {"bucket": "inbox", "type": "reel", "data": EVEN, "image": "{uri}", "audio": "s3://music/a.mp3"}
PAIR: dict[str, Any] = {"bucket": "inbox", "pair": True, "data": {"alignment_mode": "even"}}
KEY = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=200)


def rules(*given: dict[str, Any]) -> TriggerRules:
    """Check rules and return them."""
    return check_rules([Trigger(**rule) for rule in given], OUTPUT)


def request(mapping: dict[str, Any]) -> Request:
    """Parse the request that a rule made."""
    made = parse_mapping(mapping)
    assert isinstance(made, Request)
    return made


@pytest.mark.parametrize(
    ("rule", "key", "covered"),
    [
        ({}, "anything", True),
        ({"prefix": "in/"}, "in/a.jpg", True),
        ({"prefix": "in/"}, "inner/a.jpg", False),
        ({"suffix": ".jpg"}, "a.jpg", True),
        ({"suffix": ".jpg"}, "a.JPG", True),
        ({"suffix": [".jpg", ".png"]}, "a.png", True),
        ({"suffix": [".jpg", ".png"]}, "a.jpg.txt", False),
        ({"prefix": "in/", "suffix": ".jpg"}, "in/", False),
        ({}, "folder/", False),
        ({"prefix": "ü b/"}, "ü b/x", True),
        ({"prefix": "%2e/"}, "./x", False),
    ],
)
def test_a_rule_covers_objects_with_its_prefix_and_suffix(rule: dict[str, Any], key: str, covered: bool) -> None:
    assert Trigger(bucket="inbox", **rule).covers("inbox", key) == covered
    assert not Trigger(bucket="inbox", **rule).covers("inbox2", key)


def test_the_first_rule_that_covers_an_object_wins() -> None:
    both = rules(REEL | {"suffix": ".jpg"}, REEL | {"suffix": ".jpg", "priority": "low"}, REEL | {"prefix": "a"})
    assert both.match("inbox", "a.jpg") is both.rules[0]
    assert both.match("inbox", "a.txt") is both.rules[2]
    assert both.match("inbox", "b.txt") is None
    assert both.match("other", "a.jpg") is None


@pytest.mark.parametrize(
    ("key", "field", "stem"),
    [
        ("p/song.mp3", "audio", "p/song"),
        ("p/song.JPEG", "image", "p/song"),
        ("a.b.lrc", "lyrics", "a.b"),
        ("p/.mp3", None, None),
        ("p/song.mid", None, None),
        ("song", None, None),
        ("p.mp3/song", None, None),
    ],
)
def test_the_parts_of_a_pair_are_recognised_by_their_suffixes(key: str, field: str | None, stem: str | None) -> None:
    part = part_of(key)
    assert (part and part.field, part and part.stem) == (field, stem)


def test_placeholders_are_filled_in_everywhere_and_once() -> None:
    data = EVEN | {"lyrics": "{name} {{uri}} {stem}"}
    rule = Trigger(**REEL | {"data": data, "suffix": ".request.jpg", "metadata": {"from": {"key": ["{bucket}/{key}"]}}})
    made = request(object_request(rule, Upload("inbox", "in/{uri}.request.jpg"), "e1"))
    dumped = made.model_dump()
    assert dumped["data"]["lyrics"] == "{uri}.request.jpg {uri} {uri}"
    assert dumped["data"]["image"] == "s3://inbox/in/{uri}.request.jpg"
    assert made.metadata == {"from": {"key": ["inbox/in/{uri}.request.jpg"]}}


def test_the_envelope_of_a_rule_is_part_of_its_requests() -> None:
    envelope = {
        "output": "s3://out/x",
        "callback": {"url": "https://shop.example/hook"},
        "priority": "high",
        "tenant": "shop",
        "metadata": {"a": 1},
    }
    made = request(object_request(Trigger(**REEL, **envelope), Upload("inbox", "a.jpg"), "e1"))
    assert (made.output, made.priority, made.tenant, made.metadata) == ("s3://out/x/", "high", "shop", {"a": 1})
    assert made.callback is not None
    assert (made.source, made.subject) == ("s3://inbox", "a.jpg")


@given(KEY, KEY)
def test_an_id_is_valid_and_belongs_to_one_version_of_one_object(one: str, other: str) -> None:
    rule = Trigger(**REEL)
    ids = [
        object_request(rule, Upload(bucket, key), version)["id"]
        for bucket in ("inbox", "outbox")
        for key in {one, other}
        for version in ("v1", "v2")
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"s3-[A-Za-z0-9._-]{1,125}", found) for found in ids)
    assert object_request(rule, Upload("inbox", one), "v1")["id"] == ids[0] or one != other


def test_an_id_contains_the_name_of_the_object_for_people() -> None:
    assert derived_id("Song No. 7 (live)", "x").startswith("s3-Song-No.-7-live-")
    assert len(derived_id("s" * 1000, "x")) <= 128
    assert re.fullmatch(r"s3-[0-9a-f]{20}", derived_id("שיר", "x"))


def test_the_id_of_a_pair_depends_on_its_parts_only() -> None:
    rule = Trigger(**PAIR)
    parts = {
        "image": ("s3://inbox/s.jpg", "1"),
        "audio": ("s3://inbox/s.mp3", "2"),
        "lyrics": ("s3://inbox/s.txt", "3"),
    }
    first = pair_request(rule, "inbox", "s", parts, "La")
    assert pair_request(rule, "inbox", "s", dict(reversed(parts.items())), "La")["id"] == first["id"]
    for field, (uri, _) in parts.items():
        assert pair_request(rule, "inbox", "s", parts | {field: (uri, "4")}, "La")["id"] != first["id"]
    assert request(first).data.model_dump()["audio"] == "s3://inbox/s.mp3"


def test_a_request_in_a_file_is_the_same_as_the_request_in_a_message() -> None:
    data = EVEN | {"image": "s3://inbox/o/c.png", "audio": "https://a.b/c"}
    plain: dict[str, Any] = {"id": "order-1", "type": "reel", "data": data}
    uploaded = plain | {"data": data | {"image": "c.png"}}
    made = manifest_request(Trigger(bucket="inbox", manifest=True), Upload("inbox", "o/1.request.json"), "e", uploaded)
    assert request(resolve_relative_uris(made, "s3://inbox/o/")).identity() == request(plain).identity()
    without = manifest_request(
        Trigger(bucket="inbox", manifest=True, suffix=".request.json"),
        Upload("inbox", "o/1.request.json"),
        "e",
        {name: value for name, value in uploaded.items() if name != "id"},
    )
    assert re.fullmatch(r"s3-1-[0-9a-f]{20}", without["id"])


@pytest.mark.parametrize("name", ["../c.png", "a/../../c.png", "/c.png", "a//c.png", "./c.png", ".."])
def test_a_relative_name_does_not_lead_out_of_its_folder(name: str) -> None:
    with pytest.raises(InvalidField, match=r"data\.image"):
        resolve_relative_uris({"type": "reel", "data": {"image": name}}, "s3://inbox/o/")


def test_only_media_names_are_resolved_and_they_are_not_decoded() -> None:
    data = {"image": "%2e%2e/c d+.png", "audio": "s3://b/k", "lyrics": "c.png", "nonsense": "c.png"}
    found = resolve_relative_uris({"type": "reel", "data": data}, "s3://inbox/o/")["data"]
    assert found == data | {"image": "s3://inbox/o/%2e%2e/c d+.png"}
    for odd in ({"type": 1, "data": {}}, {"type": "reel", "data": 1}, {"type": "reel", "data": {"image": 1}}, {}):
        assert resolve_relative_uris(odd, "s3://inbox/") == odd


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"bucket": "inbox"}, "type is missing"),
        ({"bucket": "inbox", "type": "hologram"}, "hologram"),
        ({"bucket": "inbox", "type": "job.cancel", "data": {"id": "x"}}, "control message"),
        ({"bucket": "inbox", "type": "reel", "image": "{uri}"}, "data.audio"),
        (REEL | {"image": "{url}"}, r"\{url\} is not a placeholder"),
        (REEL | {"image": "{uri"}, r"\{ is not a placeholder"),
        (REEL | {"metadata": {"a": "{x}"}}, r"\{x\}"),
        (REEL | {"sufix": ".jpg"}, "data.sufix"),
        (REEL | {"data": EVEN | {"font_size": 1}}, "data.font_size"),
        (REEL | {"data": {"alignment_mode": "even"}}, "Lyrics text is required"),
        (PAIR | {"manifest": True}, "cannot be combined"),
        (PAIR | {"suffix": ".mp3"}, "remove suffix"),
        (PAIR | {"image": "s3://inbox/x.png"}, "image: is set from the pair"),
        (PAIR | {"metadata": {"a": "{uri}"}}, r"\{uri\}"),
        (PAIR | {"data": {"alignment_mode": "loud"}}, "alignment_mode"),
        ({"bucket": "inbox", "manifest": True, "type": "reel"}, "remove type"),
        ({"bucket": "inbox", "manifest": True, "image": "{uri}"}, "remove image"),
        (REEL | {"output": "s3://inbox/results/"}, "would match the trigger rule"),
        (REEL | {"bucket": "results"}, "would match the trigger rule"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_by_its_number(rule: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"trigger rule 2 .*{reason}"):
        rules(REEL | {"prefix": "good/"}, rule)


def test_the_rules_of_the_guide_and_of_the_contract_work() -> None:
    written = [tomllib.loads(fence.text).get("triggers", []) for fence in fences("toml", "settings")]
    for example in filter(None, written):
        assert len(rules(*example).rules) == len(example)
    assert sum(map(len, written)) >= 3


@pytest.mark.parametrize(
    ("prefix", "output", "loops"),
    [
        ("", "s3://inbox/", True),
        ("", "s3://inbox/deep/er/", True),
        ("in/", "s3://inbox/", True),
        ("in/", "s3://inbox/in/", True),
        ("in/", "s3://inbox/in/out/", True),
        ("in/out/", "s3://inbox/in/", True),
        ("in", "s3://inbox/inner/", True),
        ("in/", "s3://inbox/inner/", False),
        ("in/", "s3://inbox/out/", False),
        ("", "s3://inbox2/", False),
        ("in/", "s3://other/in/", False),
    ],
)
def test_an_output_that_could_match_a_rule_is_detected(prefix: str, output: str, loops: bool) -> None:
    found = TriggerRules((Trigger(**REEL | {"prefix": prefix}),))
    assert (found.would_trigger(output) is not None) == loops
    if loops:
        with pytest.raises(OutputTriggers, match="output"):
            found.check_no_loop(output)
    found.check_no_loop(None)


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"bucket": "arn:aws:s3:::inbox", "manifest": True}, "bucket"),
        ({"bucket": "inbox", "manifest": True, "output": "results"}, "output"),
        ({"bucket": "inbox", "manifest": True, "suffix": [""]}, r"suffix\.0"),
        ({"bucket": "inbox", "manifest": True, "priority": "urgent"}, "priority"),
        ({"bucket": "inbox", "manifest": True, "callback": {"url": "ftp://x"}}, r"callback\.url"),
        ({"bucket": "inbox", "manifest": True, "metadata": {"a": "x" * 5000}}, "metadata"),
        ({"manifest": True}, "bucket"),
    ],
)
def test_a_rule_of_an_invalid_form_is_refused_by_its_number_and_field(
    rule: dict[str, Any], place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError):
        Trigger(**rule)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELECINE_TRIGGERS", json.dumps([PAIR, rule]))
    with pytest.raises(ConfigurationError, match=rf"TELECINE_TRIGGERS, trigger rule 2, {place}"):
        read_settings()


def test_lrc_is_read_without_tags_in_the_order_of_its_times() -> None:
    lrc = "\ufeff[ar:Someone]\r\n[offset:+5]\r\n[00:10.00][01:05.5]Chorus <00:11.00>line\r\n[00:20:50] Verse [x2]\n\n"
    assert lyrics_text(lrc.encode(), "s3://inbox/a.LRC").splitlines() == [
        "Chorus line",
        "Verse [x2]",
        "",
        "Chorus line",
    ]


def test_all_times_and_lines_about_the_song_of_an_lrc_file_are_removed_fault_10() -> None:
    lrc = (
        "[ar: ABBA]\n[offset: 200]\n[id: er_ubvpssqw]\n[作词: Someone]\n[ti: Fernando [Live]]\n[00:01.72]First line\n"
        "[01:56.48]Never gonna give you up[01:58.40]\n[02:00.00]Second [02:00.50]line [02:01.00]here\n"
    )
    assert lyrics_text(lrc.encode(), "s3://inbox/a.lrc").splitlines() == [
        "First line",
        "Never gonna give you up",
        "Second line here",
    ]


def test_plain_lyrics_are_left_as_they_are() -> None:
    text = "[00:10.00] not LRC\n<b>\n"
    assert lyrics_text(text.encode("utf-8-sig"), "s3://inbox/a.txt") == text


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", b"a\x00b", "é".encode("latin-1")])
def test_lyrics_that_are_not_text_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidField, match=r"data\.lyrics: s3://inbox/a\.txt"):
        lyrics_text(content, "s3://inbox/a.txt")
