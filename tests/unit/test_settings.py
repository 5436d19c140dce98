"""Settings: their sources and precedence, and that secrets are never printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_origin

import pytest
from pydantic import ValidationError
from pydantic_settings import NoDecode

from ops.cli.opening import read_settings
from ops.settings_view import settings_view
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from schemas.settings.processors import usable_processors
from schemas.settings.sources import json_form, unknown_variables, variable

ROOT = Path(__file__).resolve().parents[2]
SECRET = "canary-d41d8cd98f00"
Write = Callable[[str], None]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all settings from the environment and change to an empty folder."""
    for name in os.environ:
        if name.startswith(("TELECINE_", "SENTRY_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    """Return a function that writes the settings file."""

    def write(text: str) -> None:
        (tmp_path / "telecine.toml").write_text(text)

    return write


def test_without_settings_everything_is_in_one_folder(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.embedded
    assert settings.storage_kind == "folder"
    assert settings.ledger == f"sqlite:///{tmp_path}/telecine-data/ledger.sqlite3"
    assert settings.scratch_folder == tmp_path / "telecine-data" / "scratch"
    assert settings.inbox_folder == tmp_path / "telecine-data" / "inbox"
    assert settings.storage_folder == tmp_path / "telecine-data" / "storage"
    assert not list(tmp_path.iterdir())


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert settings.max_message_bytes == 256 * 1024
    assert settings.callback_schedule_seconds == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert settings.amqp_queues == ["telecine.requests"]
    assert settings.health_host == "127.0.0.1"
    assert settings.allowed_private_hosts == []
    assert (settings.sentry_dsn, settings.broker_url, settings.callback_secrets) == (None, None, {})


def test_the_environment_is_read_with_lists_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", f"amqp://user:{SECRET}@mq/")
    monkeypatch.setenv("TELECINE_AMQP_QUEUES", " a, b ,,c")
    monkeypatch.setenv("TELECINE_CALLBACK_SCHEDULE_SECONDS", "1,2.5")
    monkeypatch.setenv("TELECINE_ALLOWED_INPUT_FOLDERS", "/srv/a,/srv/b")
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", f'{{"default": ["{SECRET}", "old"]}}')
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry.example/1")
    monkeypatch.setenv("TELECINE_HOME", "/srv/telecine")
    settings = Settings()
    assert not settings.embedded
    assert settings.storage_kind == "s3"
    assert settings.amqp_queues == ["a", "b", "c"]
    assert settings.callback_schedule_seconds == [1, 2.5]
    assert settings.allowed_input_folders == [Path("/srv/a"), Path("/srv/b")]
    assert [s.get_secret_value() for s in settings.callback_secrets["default"]] == [SECRET, "old"]
    assert settings.sentry_dsn is not None
    assert settings.inbox_folder == Path("/srv/telecine/inbox")


def test_the_settings_file_is_read(toml: Write) -> None:
    toml('home = "/data"\namqp_queues = ["x", "y"]\nlease_seconds = 45\n[callback_secrets]\ndefault = ["whsec_1"]\n')
    settings = Settings()
    assert (settings.home, settings.amqp_queues, settings.lease_seconds) == (Path("/data"), ["x", "y"], 45)
    assert settings.callback_secrets["default"][0].get_secret_value() == "whsec_1"


def test_arguments_override_the_environment_and_the_environment_overrides_the_file(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml("lease_seconds = 11\nsweep_seconds = 11\nretry_seconds = 11\n")
    monkeypatch.setenv("TELECINE_SWEEP_SECONDS", "22")
    monkeypatch.setenv("TELECINE_RETRY_SECONDS", "22")
    settings = Settings(retry_seconds=33)
    assert settings.lease_seconds == 11
    assert settings.sweep_seconds == 22
    assert settings.retry_seconds == 33
    assert settings.max_crashes == 5


def test_the_settings_file_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("lease_seconds = 77")
    code = "from schemas.settings import Settings; print(Settings().lease_seconds)"
    environment = {"TELECINE_SETTINGS_FILE": str(tmp_path / "other.toml"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "77.0\n"


@pytest.mark.parametrize("folder", ["/srv/media", None])
def test_folders_do_not_depend_on_where_a_later_command_runs(folder: str | None, tmp_path: Path) -> None:
    settings = Settings(scratch=None if folder is None else Path(folder))
    assert settings.scratch_folder.is_absolute()
    assert settings.ledger.startswith("sqlite:////")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_SECONDS", "0"),
        ("HEALTH_PORT", "65536"),
        ("LOG_LEVEL", "LOUD"),
        ("STORAGE", "ftp"),
        ("CONCURRENCY", "none"),
        ("DOOR_BATCH_MESSAGES", "0"),
        ("MAX_MESSAGE_BYTES", "1"),
        ("RESULT_URL_SECONDS", "604801"),
        ("CALLBACK_TIMEOUT_SECONDS", "61"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TELECINE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_no_secret_is_printed_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", f"amqp://user:{SECRET}@mq/")
    monkeypatch.setenv("TELECINE_LEDGER_URL", f"postgresql+psycopg://user:{SECRET}@db/x")
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", f'{{"default": ["whsec_{SECRET}"]}}')
    monkeypatch.setenv("SENTRY_DSN", f"https://{SECRET}@sentry.example/1")
    settings = Settings()
    assert SECRET in settings.ledger
    for shown in (repr(settings), str(settings), f"{settings.model_dump()}", settings.model_dump_json()):
        assert SECRET not in shown


@pytest.mark.parametrize(
    "value", [f'{{"default": "{SECRET}"}}', SECRET, f'["{SECRET}"]', f'{{"default": [["{SECRET}"]]}}']
)
def test_no_secret_is_printed_with_an_error_about_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", value)
    with pytest.raises(Exception) as caught:
        Settings()
    assert SECRET not in str(caught.value)
    assert "callback_secrets" in str(caught.value).lower()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BUDGETS", '{"a": {"usd": "x"}}', "TELECINE_BUDGETS, a.usd: must be a number"),
        ("PROVIDER_LIMITS", '{"pika": {"burst": 0}}', "TELECINE_PROVIDER_LIMITS, pika.burst: "),
        ("TENANTS", '{"a": {"read": ["x"]}}', "TELECINE_TENANTS, a.read.0: must be s3://"),
        ("QUEUE_PRIORITIES", '{"q": "urgent"}', "TELECINE_QUEUE_PRIORITIES, q: "),
        ("MODELS", "[{}, 1]", "TELECINE_MODELS, entry 2: "),
        ("TRIGGERS", '[{"bucket": "inbox", "priority": "x"}]', "TELECINE_TRIGGERS, trigger rule 1, priority: "),
        ("LEASE_SECONDS", "x", "TELECINE_LEASE_SECONDS: "),
        (
            "BROKER_URL",
            "amqp://user:se/cret@rabbit:5672//",
            "TELECINE_BROKER_URL: is not a valid URL; write / ? # and @ in its",
        ),
        ("BROKER_URL", "sqs://AKIA:sec#ret@", "TELECINE_BROKER_URL: is not a valid URL; write / ? # and @ in its"),
    ],
)
def test_an_error_names_the_setting_and_its_entry(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TELECINE_{variable}", value)
    with pytest.raises(ConfigurationError, match=f"^the settings are invalid: {re.escape(message)}") as caught:
        read_settings()
    assert "cret" not in str(caught.value)


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().home = Path("/elsewhere")  # type: ignore[misc]


def test_every_setting_is_documented_with_its_unit() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        if re.search(r"timeout|interval|lease|lifetime|wait", name):
            assert name.endswith("_seconds"), name
        if re.search(r"memory|size", name):
            assert name.endswith("_bytes"), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tenant.acme]\nread = ['s3://inbox/']\n", "tenant (did you mean tenants?)"),
        ("[budget.acme]\nusd = 5\n", "budget (did you mean budgets?)"),
        ("[[trigger]]\nbucket = 'inbox'\n", "trigger (did you mean triggers?)"),
        ("borker_url = 'amqp://mq'\n", "borker_url (did you mean broker_url?)"),
        ("TELECINE_BROKER_URL = 'amqp://mq'\n", "TELECINE_BROKER_URL (did you mean broker_url?)"),
        ("qwertzuiop = 1\n", "qwertzuiop"),
        ("concurency = 2\nlease_secnds = 9\n", "concurency (did you mean concurrency?); lease_secnds (did you mean le"),
    ],
    ids=lambda value: None if "\n" in value else f"H1-{value.partition(' ')[0]}",
)
def test_an_unknown_name_in_the_file_is_an_error_with_the_nearest_name(toml: Write, text: str, said: str) -> None:
    toml(text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert f"telecine.toml contains unknown settings: {said}" in caught.value.message


def test_each_documented_name_is_a_key_of_the_file_friction_h1(toml: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    toml('pikapi_bearer_token = "lower"\nGAME_API_KEY = "upper"\nsentry_environment = "test"\n')
    settings = Settings()
    assert settings.pika_token is not None
    assert settings.pika_token.get_secret_value() == "lower"
    assert settings.game_api_key is not None
    assert settings.game_api_key.get_secret_value() == "upper"
    assert settings.sentry_environment == "test"
    monkeypatch.setenv("PIKAPI_BEARER_TOKEN", "environment")
    overridden = Settings().pika_token
    assert overridden is not None
    assert overridden.get_secret_value() == "environment"


@pytest.mark.parametrize("named", ["missing.toml", "/nonexistent.toml", "."], ids=lambda name: f"H1-{name}")
def test_a_named_settings_file_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("TELECINE_SETTINGS_FILE", named)
    with pytest.raises(ConfigurationError, match=r"TELECINE_SETTINGS_FILE names .*, which is not a file"):
        read_settings()


def test_unknown_variables_are_found_with_the_nearest_name_friction_h1() -> None:
    environment = {
        "TELECINE_BROKER_URI": "amqp://mq",
        "TELECINE_CONCURENCY": "3",
        "telecine_lease_secs": "3",
        "TELECINE_SENTRY_DSN": "x",
        "TELECINE_QWERTZUIOP": "x",
        # Settings, what is not Telecine's, and what Kubernetes sets for a service called telecine.
        "TELECINE_HOME": "x",
        "telecine_health_port": "1",
        "TELECINE_SETTINGS_FILE": "x",
        "TELECINE_FAILPOINT": "x",
        "TELECINES": "x",
        "TELECINE_SERVICE_HOST": "10.0.0.1",
        "TELECINE_SERVICE_PORT_HTTP": "80",
        "TELECINE_PORT": "tcp://10.0.0.1:80",
        "TELECINE_WEB_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_variables(Settings, environment) == [
        "TELECINE_BROKER_URI (did you mean TELECINE_BROKER_URL?)",
        "TELECINE_CONCURENCY (did you mean TELECINE_CONCURRENCY?)",
        "TELECINE_QWERTZUIOP",
        "TELECINE_SENTRY_DSN (did you mean SENTRY_DSN?)",
        "telecine_lease_secs (did you mean TELECINE_LEASE_SECONDS?)",
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://localhost:6379/0", "redis:// is not a broker of Telecine; use amqp:// or amqps://"),
        ("http://mq", "http:// is not a broker of Telecine; use amqp:// or amqps://"),
        ("rabbit.example", "is not a valid URL; use amqp:// or amqps://"),
        ("", "is not a valid URL; use amqp:// or amqps://"),
        ("memory://", "memory:// is not a broker"),
    ],
    ids=lambda value: f"M2-{value[:8]}",
)
def test_a_broker_that_telecine_does_not_have_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("TELECINE_BROKER_URL", url)
    with pytest.raises(ConfigurationError, match=f"TELECINE_BROKER_URL: {re.escape(said)}"):
        read_settings()


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("postgres://u:p@db/x", "postgresql+psycopg://u:p@db/x"),
        ("postgresql://u:p@db/x?sslmode=require", "postgresql+psycopg://u:p@db/x?sslmode=require"),
        ("postgresql+psycopg://u:p@db/x", "postgresql+psycopg://u:p@db/x"),
        ("sqlite:////srv/ledger.sqlite3", "sqlite:////srv/ledger.sqlite3"),
    ],
    ids=lambda url: f"M3-{url[:14]}",
)
def test_every_usual_name_of_postgresql_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str, used: str) -> None:
    monkeypatch.setenv("TELECINE_LEDGER_URL", url)
    assert read_settings().ledger == used


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:secret@db/x", "mysql:// is not a ledger of Telecine; use postgresql:// or sqlite:///"),
        ("postgresql+psycopg2://u:secret@db/x", "postgresql+psycopg2:// is not a ledger of Telecine"),
        ("mongodb://db", "mongodb:// is not a ledger of Telecine"),
        ("ledger.sqlite3", "is not a valid URL; use postgresql:// or sqlite:///"),
        ("postgres://u:secret@db:port/x", "is not a valid URL"),
    ],
    ids=lambda value: f"M3-{value[:10]}",
)
def test_a_ledger_that_telecine_does_not_have_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("TELECINE_LEDGER_URL", url)
    with pytest.raises(ConfigurationError, match=f"TELECINE_LEDGER_URL: {re.escape(said)}") as caught:
        read_settings()
    assert "secret" not in caught.value.message


JSON_SETTINGS = [name for name, field in Settings.model_fields.items() if json_form(name, Settings)]


@pytest.mark.parametrize("name", JSON_SETTINGS, ids=[f"friction-low-{name}" for name in JSON_SETTINGS])
@pytest.mark.parametrize("value", ["whsec_canary", "{'canary': 1}", "[canary", ""])
def test_a_setting_that_is_not_json_is_named_with_its_form_and_an_example(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable(name, Settings), value)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    message = caught.value.message
    example = json.dumps(Settings.model_fields[name].examples[0], ensure_ascii=False)  # type: ignore[index]
    kind = "array" if example.startswith("[") else "object"
    assert message.startswith(f"{variable(name, Settings)} must be a JSON {kind} such as {example}; ")
    assert "canary" not in message
    assert "EnvSettingsSource" not in message


@pytest.mark.parametrize("name", JSON_SETTINGS)
def test_the_example_of_a_setting_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    example = Settings.model_fields[name].examples[0]  # type: ignore[index]
    monkeypatch.setenv(variable(name, Settings), json.dumps(example, ensure_ascii=False))
    assert getattr(read_settings(), name)


@pytest.mark.parametrize("value", ['"whsec_canary"', '["whsec_canary"]', '{"default": "whsec_canary"}', "7"])
def test_json_of_another_form_is_answered_with_the_form_friction_low(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", value)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert "TELECINE_CALLBACK_SECRETS" in caught.value.message
    assert 'a JSON object such as {"default": ["whsec_…"]}' in caught.value.message
    assert "canary" not in caught.value.message


def test_every_setting_with_a_table_or_an_array_has_an_example() -> None:
    structured = {
        name
        for name, field in Settings.model_fields.items()
        if get_origin(field.annotation) in (dict, list) and NoDecode not in field.metadata
    }
    assert structured == set(JSON_SETTINGS)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"\xef\xbb\xbflease_seconds = 45\n", None, id="H1-byte-order-mark"),
        pytest.param("lease_seconds = 45\n".encode("utf-16"), "not UTF-8; save it as UTF-8", id="H1-utf-16"),
        pytest.param('home = "/data/Björk"\n'.encode("latin-1"), "not UTF-8; save it as UTF-8", id="H1-latin-1"),
    ],
)
def test_a_settings_file_of_an_editor_on_windows(
    tmp_path: Path, toml: Write, content: bytes, problem: str | None
) -> None:
    toml("")
    (tmp_path / "telecine.toml").write_bytes(content)
    if problem is None:
        assert Settings().lease_seconds == 45
        return
    with pytest.raises(ConfigurationError, match=problem):
        read_settings()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_a_ledger_in_memory_is_refused_friction_M3(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_LEDGER_URL", url)
    with pytest.raises(ConfigurationError, match=r"LEDGER_URL: is in memory.*name a file"):
        read_settings()


def test_a_secret_is_read_from_the_file_that_its_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"postgresql+psycopg://telecine:{SECRET}@db/telecine"
    for name, content in (("url", f"{url}\n"), ("secrets", f'{{"default": ["{SECRET}"]}}'), ("key", SECRET)):
        (tmp_path / name).write_text(content)
    (tmp_path / "dashboard").write_text(f'{{"anna": {{"token": "{SECRET}"}}}}')
    monkeypatch.setenv("TELECINE_DASHBOARD_TOKENS_FILE", str(tmp_path / "dashboard"))
    monkeypatch.setenv("TELECINE_LEDGER_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS_FILE", str(tmp_path / "secrets"))
    monkeypatch.setenv("REPLICATE_API_TOKEN_FILE", str(tmp_path / "key"))
    settings = Settings()
    assert settings.ledger == url
    assert settings.callback_secrets["default"][0].get_secret_value() == SECRET
    assert unknown_variables(Settings, os.environ) == []
    assert settings.replicate_token is not None
    assert settings.replicate_token.get_secret_value() == SECRET
    assert settings.dashboard_tokens["anna"].token.get_secret_value() == SECRET
    origins = {view.variable: view.origin for view in settings_view(settings)}
    assert origins["TELECINE_LEDGER_URL"] == "environment"
    monkeypatch.setenv("TELECINE_LEDGER_URL", "sqlite:///x")
    with pytest.raises(ConfigurationError, match="both TELECINE_LEDGER_URL and TELECINE_LEDGER_URL_FILE are set"):
        Settings()


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), (b"", "is empty"), (b"\xff" + SECRET.encode(), "is not UTF-8")]
)
def test_a_file_of_a_secret_that_cannot_be_used_is_named_without_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("TELECINE_BROKER_URL_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigurationError, match=f"TELECINE_BROKER_URL_FILE names .*secret, which .*{says}") as caught:
        read_settings()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, len(os.sched_getaffinity(0))),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, len(os.sched_getaffinity(0))),
        ({}, len(os.sched_getaffinity(0))),
    ],
)
def test_concurrency_follows_the_limit_of_the_container(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert usable_processors(tmp_path) == expected
