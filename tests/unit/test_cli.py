"""The command line as a whole: its help, its start, ``python -m telecine`` and the completion of shells."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consumer.wiring import open_ledger
from ops.cli.commands import PANELS, entries, load
from ops.cli.main import app
from schemas.settings import Settings

ROOT = Path(__file__).parents[2]


def run(*arguments: str, columns: int = 80) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.stdout


def leaves(name: str, command: Any) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    if not below:
        return [(name,)]
    return [(name, *leaf) for word, child in below.items() for leaf in leaves(word, child)]


def test_the_help_groups_the_commands_and_shows_no_types_of_flags_friction_low() -> None:
    text = run("--help")
    assert all(f"─ {panel} ─" in text for panel in PANELS)
    assert all(f"│ {entry.name} " in text and entry.summary in text for entry in entries())
    assert "<bool>" not in text


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_a_command_is_documented_and_its_flags_have_no_type(name: str) -> None:
    for words in leaves(name, load(name)):
        text = run(*words, "--help", columns=200)
        assert "<bool>" not in text
        assert "<str>" not in text


def test_the_help_fits_a_narrow_terminal_friction_m17() -> None:
    lines = run("--help", columns=50).splitlines()
    assert max(map(len, lines)) <= 50
    assert "…" not in "".join(lines)


def imported(modules: tuple[str, ...], *arguments: str, **environment: str) -> tuple[str, list[str]]:
    """Run a command in a process; return its output and which of the modules it has imported."""
    code = (
        f"import sys; from ops.cli.main import app; sys.argv = ['telecine', *{arguments!r}]\n"
        "try: app()\nexcept SystemExit as end: assert not end.code\n"
        f"print(*(name for name in {modules!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | environment
    )
    *output, names = done.stdout.split("\n")[:-1]
    return "\n".join(output), names.split()


def test_the_help_imports_no_command() -> None:
    slow = ("sqlalchemy", "numpy", "PIL", "av", "kombu", "pydantic", "httpx2", "pipelines", "consumer.ledger")
    output, found = imported(slow, "--help")
    assert (found, "submit" in output) == ([], True)


@pytest.mark.parametrize("line", ["status", "list", "callbacks list", "dead-letters list"])
def test_commands_that_read_the_ledger_import_no_pipelines(line: str, tmp_path: Path) -> None:
    slow = ("pipelines", "alembic", "boto3", "kombu", "numpy", "av", "consumer.wiring")
    home = tmp_path / "data"
    assert imported(slow, *line.split(), "--json", TELECINE_HOME=str(home))[1] == []
    with contextlib.closing(open_ledger(Settings(home=home))):
        assert imported(slow, *line.split(), "--json", TELECINE_HOME=str(home))[1] == []


def test_submit_imports_neither_pipelines_nor_the_ledger(tmp_path: Path) -> None:
    slow = ("sqlalchemy", "alembic", "numpy", "av", "PIL", "kombu", "celery", "boto3", "httpx2", "consumer.wiring")
    home, file = tmp_path / "data", tmp_path / "request.json"
    data = {"image": "s3://inbox/a.png", "audio": "s3://inbox/b.mp3"}
    file.write_text(json.dumps({"id": "j", "type": "reel", "data": data}))
    with contextlib.closing(open_ledger(Settings(home=home))):
        output, found = imported(slow, "submit", str(file), "--json", TELECINE_HOME=str(home))
    assert (found, json.loads(output)["job_id"]) == ([], "j")
    assert len(list(Settings(home=home).inbox_folder.iterdir())) == 1


def test_a_misspelt_command_gets_a_suggestion() -> None:
    result = CliRunner().invoke(app, ["stauts"])
    assert result.exit_code == 2
    assert "Did you mean 'status'?" in result.stderr


def test_python_m_telecine_runs_it_and_no_code_of_the_working_directory_friction_low(tmp_path: Path) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    site = tmp_path / "site"
    site.mkdir()
    for source, target in wheel["force-include"].items():
        shutil.copyfile(ROOT / source, site / target)
    for name in ("ops", "schemas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("print('code of the working directory')")
    done = subprocess.run(
        [sys.executable, "-m", "telecine", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{site}:{ROOT}"},
    )
    assert done.stdout.startswith("telecine ")
    assert "working directory" not in done.stdout


@pytest.fixture
def path_with_telecine(tmp_path: Path) -> str:
    program = tmp_path / "bin" / "telecine"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m ops.cli.main "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("telecine st", ["status"]),
        ("telecine callbacks re", ["replay"]),
        ("telecine list --st", ["--status", "--stuck"]),
        ("telecine list --status fa", ["failed"]),
        ("telecine submit reque", []),
    ],
)
def test_bash_completes_commands_and_options_friction_low(
    line: str, offered: list[str], path_with_telecine: str
) -> None:
    words = line.split(" ")
    script = (
        'eval "$(telecine completion bash)"\n'
        f"COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}\n"
        '_telecine_completion telecine\nprintf "%s\\n" "${COMPREPLY[@]}"\ncomplete -p telecine'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path_with_telecine},
    )
    *found, rule = done.stdout.split("\n")[:-1]
    assert [word for word in found if word] == offered
    assert rule.startswith("complete -o default")  # file names where there is nothing to offer


@pytest.mark.parametrize(
    ("shell", "mark"), [("zsh", "compdef _telecine_completion telecine"), ("fish", "complete --command telecine")]
)
def test_other_shells_get_their_script(shell: str, mark: str) -> None:
    assert mark in run("completion", shell)
