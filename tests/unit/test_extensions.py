"""Extensions: their registrations are available, and an invalid one is rejected by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.extensions import load_extensions
from ops.settings_view import settings_view
from pipelines.registry import PIPELINES
from providers.http.policy import Policy
from providers.memory_provider import MemoryProvider
from providers.registry import EXTENSION_PROVIDERS, catalogue_of, open_provider, provider_names
from schemas.errors import ConfigurationError, ProviderNotConfigured
from schemas.job_types import JOB_TYPES
from schemas.settings import Settings
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")

Write = Callable[[str], None]

HEAD = """
from providers.catalogue import Model, Parameter
from providers.memory_provider import MemoryProvider
from providers.registry import add_provider
from providers.weights import Weights
from pipelines.registry import PIPELINES
from schemas.job_types import JOB_TYPES

def opener(settings, policy):
    return MemoryProvider()

def model(**changes):
    return Model(**{"id": "gamma-1", "provider": "gamma", "types": ("text-to-video",), "price": "0.30", **changes})
"""


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes the module ``gamma``; its registrations are removed after the test."""
    before = [(registry, dict(registry)) for registry in (EXTENSION_PROVIDERS, JOB_TYPES, PIPELINES)]
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> None:
        (tmp_path / "gamma.py").write_text(HEAD + text)
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("gamma", None)
    for registry, entries in before:
        registry.clear()
        registry.update(entries)  # type: ignore[arg-type]


def test_a_provider_and_its_models_are_available_after_the_start(extension: Write) -> None:
    extension('add_provider("gamma", opener, [model()])')
    load_extensions(["gamma"])
    load_extensions(["gamma"])  # as every command and every worker does
    assert "gamma" in provider_names()
    assert isinstance(open_provider("gamma", Settings(), Policy()), MemoryProvider)
    assert catalogue_of(Settings()).find("gamma-1", "text-to-video").price == "0.30"
    changed = catalogue_of(Settings(models=[{"id": "gamma-1", "price": "0.25"}]))
    assert changed.find("gamma-1", "text-to-video").price == "0.25"
    with pytest.raises(ProviderNotConfigured, match=r"provider 'delta' does not exist; .*gamma"):
        open_provider("delta", Settings(), Policy())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = (", r"SyntaxError: .*gamma\.py, line"),
        ("1 / 0", r"fails to import: ZeroDivisionError: .*gamma\.py, line"),
        ("from schemas.errors import Nothing", "ImportError: cannot import name 'Nothing'"),
        ("import no_such_module", "module no_such_module does not exist"),
        ('add_provider("pika", opener)', "extension gamma: a provider 'pika' already exists"),
        ('add_provider("local", opener)', "a provider 'local' already exists"),
        ('add_provider("gamma", opener); add_provider("gamma", opener)', "a provider 'gamma' already exists"),
        ('add_provider("Gamma Inc", opener)', "'Gamma Inc' is not a valid provider name"),
        ('add_provider("gamma", MemoryProvider())', "opener must be a function"),
        ('add_provider("gamma", opener, [{"id": "gamma-1"}])', "dict is not a Model"),
        ('add_provider("gamma", opener, [model(provider="pika")])', "model gamma-1 is not gamma's"),
        ('add_provider("gamma", opener, [model(id="PIKA")])', "a model 'PIKA' already exists"),
        ('add_provider("gamma", opener, [model(), model()])', "a model 'gamma-1' already exists"),
        (
            'add_provider("gamma", opener, [model(weights=Weights(family="caption", source="a"))])',
            "and no weights",
        ),
        ('add_provider("gamma", opener, [model(types=("text-to-song",))])', "'text-to-song', which is not a job type"),
        ('JOB_TYPES["text-to-song"] = JOB_TYPES["reel"]', "job type 'text-to-song' is not in PIPELINES"),
        ('PIPELINES["text-to-song"] = PIPELINES["reel"]', "job type 'text-to-song' is not in JOB_TYPES"),
    ],
)
def test_an_invalid_extension_is_refused_by_its_name(text: str, reason: str, extension: Write) -> None:
    extension(text)
    with pytest.raises(ConfigurationError, match=reason) as refused:
        load_extensions(["gamma"])
    assert "gamma" in refused.value.message or "extension" in refused.value.message
    assert "\n" not in refused.value.message


def test_a_command_ends_with_the_error_of_an_extension(
    operator: Operator, extension: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension("1 / 0")
    monkeypatch.setenv("TELECINE_EXTENSIONS", "gamma")
    result = operator.run("models")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("error configuration  extension gamma fails to import: ZeroDivisionError")


def test_an_account_that_no_extension_uses_is_a_warning_and_no_key_is_printed(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_PROVIDERS", '{"gamma": {"key": "hidden-3f"}}')
    examined, listed = operator.run("doctor"), operator.run("doctor", "--settings")
    assert "[providers.gamma], which no extension adds" in examined.out
    assert "hidden-3f" not in examined.out + examined.err + listed.out + listed.err
    (shown,) = [view.value for view in settings_view(Settings()) if view.variable == "TELECINE_PROVIDERS"]
    assert shown == {"gamma": {"key": "********"}}


@pytest.mark.parametrize("account", ["{}", '{"key": ""}', '{"key": "hidden-3f", "kye": 1}'])
def test_an_invalid_account_is_refused_without_its_key(
    account: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELECINE_PROVIDERS", f'{{"gamma": {account}}}')
    result = operator.run("models")
    assert result.status == 1
    assert "TELECINE_PROVIDERS, gamma." in result.err
    assert "hidden-3f" not in result.out + result.err
