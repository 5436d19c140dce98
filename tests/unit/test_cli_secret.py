"""``telecine secret``: generated once, printed, and stored where Telecine reads it."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")


def in_shell(file: Path, command: str) -> str:
    script = f"set -a; . ./{file.name}; set +a; {command}"
    return subprocess.run(["sh", "-c", script], cwd=file.parent, capture_output=True, text=True, check=True).stdout


def test_the_secret_is_printed_and_stored_for_the_workers_friction_m19(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "telecine.env"
    result = operator.run("secret", "--env-file", str(file))
    secret = result.out.strip()
    assert secret.startswith("whsec_")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", in_shell(file, 'printf %s "$TELECINE_CALLBACK_SECRETS"'))
    keys = {check["check"]: check for check in operator.run("doctor", "--json").json["checks"]}["keys"]
    assert (keys["verdict"], keys["found"]) == ("ok", "default")


@pytest.mark.parametrize("before", ["A=1\n", "A=1", "# TELECINE_CALLBACK_SECRETS is below\n"])
def test_a_file_with_other_variables_keeps_them_friction_m19(before: str, operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "telecine.env"
    file.write_text(before)
    assert operator.run("secret", "--env-file", str(file)).status == 0
    assert file.read_text().startswith(before)
    assert "whsec_" in in_shell(file, 'printf %s "$TELECINE_CALLBACK_SECRETS"')


@pytest.mark.parametrize("name", ["TELECINE_CALLBACK_SECRETS", "export TELECINE_CALLBACK_SECRETS"])
def test_a_secret_that_receivers_have_is_not_replaced_friction_m19(
    name: str, operator: Operator, tmp_path: Path
) -> None:
    file = tmp_path / "telecine.env"
    file.write_text(f"{name}='{{}}'\n")
    result = operator.run("secret", "--env-file", str(file))
    assert (result.status, file.read_text()) == (1, f"{name}='{{}}'\n")
    assert "has TELECINE_CALLBACK_SECRETS already" in result.err


def test_a_secret_without_a_file_is_not_stored(operator: Operator, tmp_path: Path) -> None:
    assert operator.run("secret").out.startswith("whsec_")
    assert list(tmp_path.iterdir()) == []
