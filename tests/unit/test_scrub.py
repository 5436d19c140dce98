"""Messages of providers: short, one line, and without secrets, in every form that a provider sends them."""

from __future__ import annotations

import json
import time

import pytest

from providers.http.scrub import LONGEST, extract_message, provider_message, scrubbed

KEY = "k7-Zq/81 x+Qm=="


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no face was found", "no face was found"),
        ("line one\r\nline\ttwo\x1b[31m\x00", "line one line two [31m"),
        (f"your key {KEY} is wrong", "your key [hidden] is wrong"),
        ("your key k7-Zq%2F81%20x%2BQm%3D%3D is wrong", "your key [hidden] is wrong"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [hidden]"),
        ("bearer aaaa.bbbb.cccc", "bearer [hidden]"),
        ("the bearer of this letter", "the bearer of this letter"),
        ("GET https://u:p@h.example/a/b.mp4?X-Amz-Signature=1f#x failed", "GET https://h.example/a/b.mp4 failed"),
        ("(s3://bucket/key?versionId=9)", "(s3://bucket/key"),
        ("query X-Amz-Signature=1f2e3d&X-Amz-Date=5", "query X-Amz-Signature=[hidden]&X-Amz-Date=5"),
        ('{"api_key": "abc123", "seed": 4}', '{"api_key": "[hidden]", "seed": 4}'),
        (r"{\"token\": \"abc123\"}", r"{\"token\": \"[hidden]\"}"),
        ("password=hunter2;user=x", "password=[hidden];user=x"),
        ("sent eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s5Tg4", "sent [hidden]"),
        ("r8_AbCdEfGh12345678 and sk-AbCdEf123456 and AKIAIOSFODNN7EXAMPLE", "[hidden] and [hidden] and [hidden]"),
        ("the skating rink", "the skating rink"),
    ],
)
def test_only_the_secrets_of_a_message_are_hidden(text: str, left: str) -> None:
    assert scrubbed(text, [KEY]) == left


def test_a_long_message_is_cut_and_a_huge_one_is_not_read() -> None:
    assert scrubbed("x" * 1000) == "x" * (LONGEST - 1) + "…"
    assert scrubbed("word " * 10_000_000) == ("word " * 100)[: LONGEST - 1] + "…"


def test_cutting_a_huge_message_leaves_no_half_of_a_secret() -> None:
    assert "k7" not in scrubbed("https://h/" + "a" * 4_080 + f" {'k7-Zq81xQm'}", ["k7-Zq81xQm"])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": {"message": "bad ratio"}}, "bad ratio"),
        ({"error": "bad ratio"}, "bad ratio"),
        ({"detail": [{"loc": ["body"], "msg": "too long"}, {"msg": "too wide"}]}, "too long; too wide"),
        ({"detail": {"status": "quota_exceeded", "message": "no credits"}}, "no credits"),
        (
            {"status": "error", "code": 1101, "error": "Validation", "message": "prompt is required"},
            "prompt is required",
        ),
        ({"code": 500, "msg": "busy", "data": None}, "busy"),
        ({"data": {"errors": {"message": "deep"}}}, "deep"),
        ({"status": "ok"}, ""),
        ([], ""),
        (7, ""),
    ],
)
def test_the_message_is_found_in_every_form_of_a_providers_answer(answer: object, message: str) -> None:
    assert extract_message(answer) == message
    assert provider_message(json.dumps(answer).encode(), "application/json") == message


def test_plain_text_is_a_message_and_a_web_page_is_not() -> None:
    assert provider_message(b"rate limit\nexceeded", "text/plain") == "rate limit exceeded"
    assert provider_message(b"<html><body>502 nginx", "text/plain") == ""
    assert provider_message(b"oops <b>", "text/html; charset=utf-8") == ""
    assert provider_message(b"\xff\xfe\x00garbage", "") == "\ufffd\ufffd garbage"
    assert provider_message(b"", "") == ""


def test_a_deeply_nested_message_is_not_followed() -> None:
    assert provider_message(b"[" * 50_000, "application/json") == scrubbed("[" * 50_000)
    assert extract_message({"error": {"error": {"error": {"error": {"error": "deep"}}}}}) == ""


@pytest.mark.parametrize("word", ["x", "-", "token", "key ", "a://", "bearer ", "token=", "token   "])
def test_a_long_message_is_scrubbed_quickly_for_every_repeated_word(word: str) -> None:
    started = time.process_time()
    scrubbed(word * (20_000 // len(word)))
    assert time.process_time() - started < 1.0
