"""``telecine doctor``: findings and advice, without secrets."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.checks.all import run_checks
from ops.checks.finding import Check, Finding, ok
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")

SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


def findings(operator: Operator) -> dict[str, tuple[str, str]]:
    result = operator.run("doctor", "--json")
    return {item["check"]: (item["verdict"], item["found"] + item["advice"]) for item in result.json["checks"]}


@pytest.fixture(autouse=True)
def any_port(monkeypatch: pytest.MonkeyPatch, operator: Operator) -> None:
    monkeypatch.setenv("TELECINE_HEALTH_PORT", "0")


def test_all_is_well_before_the_first_start_and_no_file_is_created(operator: Operator) -> None:
    found = findings(operator)
    assert {verdict for verdict, _ in found.values()} <= {"ok", "warn"}, found
    assert not operator.home.exists()


def test_all_is_well_with_a_ledger_and_storage_in_use(operator: Operator) -> None:
    operator.completed("order-1")
    found = findings(operator)
    assert found["ledger"][0] == "ok"
    assert "version" in found["ledger"][1]
    assert found["storage"][0] == "ok"
    assert "refuses to overwrite" in found["storage"][1]
    assert found["clock"][0] == "ok"


def test_dead_letters_are_a_warning(operator: Operator) -> None:
    operator.arrive(b"{}")
    verdict, text = findings(operator)["dead letters"]
    assert verdict == "warn"
    assert "telecine dead-letters list" in text


def test_what_needs_a_ledger_that_does_not_answer_refers_to_its_check(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_LEDGER_URL", "postgresql://telecine@127.0.0.1:9/telecine")
    found = findings(operator)
    assert "check TELECINE_LEDGER_URL" in found["ledger"][1]
    for name in ("clock", "dead letters"):
        assert found[name][0] == "fail"
        assert found[name][1].endswith("mend what the check `ledger` found")


def test_a_malformed_secret_fails_and_is_not_printed(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", '{"default": ["whsec_!!hidden!!"]}')
    result = operator.run("doctor")
    assert result.status == 1
    assert "malformed" in result.out
    assert "hidden" not in result.out + result.err


def test_an_unreachable_broker_fails_with_advice_and_without_the_password(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", "amqp://me:hidden@127.0.0.1:1//")
    monkeypatch.setenv("TELECINE_STORAGE", "folder")
    result = operator.run("doctor", "--json")
    assert result.status == 1
    found = {item["check"]: item for item in result.json["checks"]}
    assert found["broker"]["verdict"] == "fail"
    assert "TELECINE_BROKER_URL" in found["broker"]["advice"]
    assert found["keys"]["verdict"] == "fail"
    assert "hidden" not in result.out


def test_an_invalid_model_is_named(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    entry: dict[str, object] = {"id": "mine", "provider": "pika", "types": ["image-to-video"]}
    for wrong, place in [(entry | {"price": "0,35"}, "price"), ({"id": "mine", "types": ["reel"]}, "provider")]:
        monkeypatch.setenv("TELECINE_MODELS", json.dumps([wrong]))
        verdict, text = findings(operator)["models"]
        assert verdict == "fail"
        assert f"entry 1 (mine): {place}: " in text


def test_providers_and_types_that_do_not_exist_are_a_warning(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {"id": "mine", "provider": "pica", "types": ["image-to-film"]}
    own = {"id": "own", "provider": "local", "types": ["image-to-prompt"]}
    routed = {"id": "pika", "routes": ["seedance-1-lite", "runpod-wan-9", "wan"]}  # wan is local
    monkeypatch.setenv("TELECINE_MODELS", json.dumps([mine, own, routed]))
    monkeypatch.setenv("TELECINE_PROVIDER_LIMITS", '{"pikka": {"concurrency": 2}, "pika": {"concurrency": 2}}')
    verdict, text = findings(operator)["models"]
    assert verdict == "warn"
    unknown = (
        "[[models]] mine: provider pica; [[models]] mine: type image-to-film; "
        "[[models]] pika: route runpod-wan-9; [[models]] pika: route wan; [provider_limits.pikka]"
    )
    assert text.startswith(f"unknown: {unknown}providers are ")


def test_the_providers_that_are_set_up_are_named(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIKAPI_BEARER_TOKEN", "hidden")
    verdict, text = findings(operator)["providers"]
    assert (verdict, "pika set up" in text, "hidden" in text) == ("ok", True, False)


def test_a_port_in_use_fails(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("TELECINE_HEALTH_PORT", str(taken.getsockname()[1]))
        verdict, text = findings(operator)["health port"]
    assert verdict == "fail"
    assert "TELECINE_HEALTH_PORT" in text


def test_a_check_that_hangs_or_raises_fails_and_does_not_delay_the_others() -> None:
    def hang() -> Finding:
        time.sleep(60)
        return ok("late")

    def fall_over() -> Finding:
        raise RuntimeError("no such thing at amqp://me:hidden@host/")

    started = time.monotonic()
    checks = [Check("hangs", hang), Check("breaks", fall_over), Check("well", lambda: ok("yes"))]
    found = {check.name: finding for check, finding in run_checks(checks, limit_seconds=1)}
    assert time.monotonic() - started < 20
    assert (found["hangs"].verdict, found["breaks"].verdict, found["well"].verdict) == ("fail", "fail", "ok")
    assert "hidden" not in found["breaks"].found


def test_settings_are_printed_with_their_secrets_masked(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", "amqp://me:hidden@broker//")
    monkeypatch.setenv("TELECINE_LEDGER_URL", "postgresql+psycopg://me:hidden@db/telecine")
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", json.dumps({"default": [SECRET]}))
    monkeypatch.setenv("SENTRY_DSN", "https://hidden@sentry.example/1")
    result = operator.run("doctor", "--settings", "--json")
    assert "hidden" not in result.out
    assert SECRET not in result.out
    view = result.json
    assert view["TELECINE_BROKER_URL"] == {"value": "amqp://broker//", "from": "environment"}
    assert view["TELECINE_CALLBACK_SECRETS"]["value"] == {"default": ["********"]}
    assert view["SENTRY_DSN"]["value"] == "********"
    assert view["TELECINE_LEASE_SECONDS"]["from"] == "default"
    assert "hidden" not in operator.run("doctor", "--settings").out


def test_the_settings_file_in_force_is_named_friction_h1(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert findings(operator)["settings"] == ("ok", "embedded mode; no settings file")
    (tmp_path / "telecine.toml").write_text("concurrency = 2\n")
    assert findings(operator)["settings"] == ("ok", f"embedded mode; {tmp_path}/telecine.toml")


def test_a_variable_without_effect_is_a_warning_friction_h1(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URI", "amqp://me:hidden@mq")
    monkeypatch.setenv("TELECINE_CONCURENCY", "4")
    verdict, text = findings(operator)["settings"]
    assert verdict == "warn"
    assert "TELECINE_BROKER_URI (did you mean TELECINE_BROKER_URL?), TELECINE_CONCURENCY (did you mean" in text
    assert "hidden" not in text


RULE = {"bucket": "songs", "prefix": "in/", "pair": True}


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (["in/a.jpg"], "1 incomplete pair: s3://songs/in/a without audio and lyrics"),
        (["in/a.mp3", "in/a.jpg", "in/b.lrc"], "2 incomplete pairs: s3://songs/in/a without lyrics; s3://songs/in/b"),
        (["in/a.mp3", "in/a.jpg", "in/a.txt", "in/notes.pdf", "other/b.jpg"], "none incomplete"),
    ],
)
def test_incomplete_pairs_are_listed_friction_low(
    files: list[str], missing: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_TRIGGERS", json.dumps([RULE]))
    for name in files:
        path = operator.settings.storage_folder / "songs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    verdict, text = findings(operator)["pairs"]
    assert text.startswith(missing)
    assert verdict == ("ok" if missing == "none incomplete" else "warn")


def test_doctor_advises_what_to_do_without_fonts_friction_low(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/site-packages/manimgx_fonts")

    monkeypatch.setattr("pipelines.media.text.fonts.Fonts", missing)
    verdict, text = findings(operator)["fonts"]
    assert verdict == "fail"
    assert "pip install --force-reinstall manimgx-fonts manimgx-fonts-cjk" in text
    assert "see the message" not in text


def test_the_summary_comes_after_the_table_in_a_pipe_friction_low(operator: Operator) -> None:
    operator.arrive(b"{}")
    command = f"{sys.executable} -m ops.cli.main doctor 2>&1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("CHECK")
    assert lines[-1].startswith("No check failed; ")
