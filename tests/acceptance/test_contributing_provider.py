"""CONTRIBUTING's "Add a provider", followed in a copy of the code with the provider that the pages use as example."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, one_fence

COPIED = ("consumer", "ops", "pipelines", "providers", "schemas", "tests")
MODELS = '''"""Catalogue entry of Aurora."""

from __future__ import annotations

from providers.catalogue import Model, Parameter

'''
FROM_SETTINGS = '''
def from_settings(settings: Settings, policy: Policy) -> Aurora:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing.
    """
    if settings.aurora_key is None or not settings.aurora_key.get_secret_value():
        raise ProviderNotConfigured("Aurora has no key on this worker. Set TELECINE_AURORA_KEY.")
    key = {"authorization": f"Bearer {settings.aurora_key.get_secret_value()}"}
    return Aurora(Exchange(settings.aurora_base_url, policy, key, provider="Aurora", key_setting="TELECINE_AURORA_KEY"))
'''
SETTINGS = """    # Aurora
    aurora_key: SecretStr | None = Field(None, description="Aurora's API key. Without it its model is off.")
    aurora_base_url: str = Field("https://api.aurora.example/v1", description="Base URL of Aurora's API.")

"""
READY = """
def test_it_is_in_the_catalogue_and_can_be_opened() -> None:
    assert catalogue_of(Settings()).find("aurora-2", "text-to-video").price == "0.40"
    assert isinstance(open_provider("aurora", Settings(aurora_key="a-key"), Policy()), Aurora)
    with pytest.raises(ProviderNotConfigured, match="TELECINE_AURORA_KEY"):
        open_provider("aurora", Settings(), Policy())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the code, without what the test servers install."""
    for name in COPIED:
        ignore = shutil.ignore_patterns("__pycache__", "node_modules", ".*", "golden")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    for name in ("celeryconfig.py", "pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    """Replace text that occurs once in a file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def add_aurora(copy: Path) -> None:
    """Do steps 1 to 3: the package, the registry and settings, the double with its tests."""
    extension = one_fence("python", "aurora")
    entry = extension[extension.index("TAKES =") : extension.index("class Aurora")]
    package = copy / "providers" / "aurora"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(MODELS + entry.rstrip() + "\nMODELS = (MODEL,)\n")
    adapter = extension.replace(entry, "\n").partition("def from_settings")[0] + FROM_SETTINGS
    (package / "adapter.py").write_text(adapter.replace("from providers.registry import add_provider\n", ""))
    registry = copy / "providers" / "registry.py"
    replace(registry, 'REMOTE = ("cococlip"', 'REMOTE = ("aurora", "cococlip"')
    replace(copy / "schemas" / "settings" / "providers.py", "    # Imagine.art\n", SETTINGS + "    # Imagine.art\n")
    imports = (
        "from providers.aurora.adapter import Aurora, from_settings\nfrom providers.aurora.models import MODEL\n"
        "from providers.registry import catalogue_of, open_provider\nfrom schemas.errors import ProviderNotConfigured"
    )
    tests = one_fence("python", "test_aurora").replace("from aurora import MODEL, Aurora, from_settings", imports)
    account = 'providers={"aurora": {"key": double.key, "base_url": double.url}}'
    assert account in tests
    tests = tests.replace(account, "aurora_key=double.key, aurora_base_url=double.url").partition("\nif __name__")[0]
    (copy / "tests" / "contract" / "test_aurora.py").write_text(tests + READY)


def test_a_provider_that_is_added_by_the_page_passes_its_tests_and_the_layers_hold(copy: Path) -> None:
    add_aurora(copy)
    commands = (
        ["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/contract/test_aurora.py"],
        ["-m", "ops.cli.main", "models"],
        ["-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"],
    )
    printed = []
    for command in commands:
        done = subprocess.run([sys.executable, *command], cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout)
    assert "6 passed" in printed[0]
    assert "aurora" in printed[1]
    assert "0 broken" in printed[2]
