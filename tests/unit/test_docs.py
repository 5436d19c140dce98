"""The documentation is true: examples are valid, snippets run, links have a target, tables are current."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from pydantic import SecretStr, TypeAdapter

from consumer.callbacks.game import game_body
from consumer.callbacks.signing import generate_secret, sign
from consumer.execution.outcome import MAX_INLINE_BYTES
from ops.cli.commands import load
from ops.cli.main import app
from schemas.callback import Callback, Output
from schemas.envelope import Cancel
from schemas.job_types import JOB_TYPES
from schemas.parse import parse_request
from schemas.settings import Settings
from schemas.words import WordTimes
from tests.acceptance import guide
from tests.pages import FENCES, PAGES, ROOT, Fence, fences, one_fence

#: The status that a receiver answers to each of ``_deliveries``, and what it prints for all of them.
ANSWERS = [204, 204, 204, 401, 401, 401, 401]
PRINTED = "job.completed j-1 ✓ completed\n"
BODY = json.dumps(
    {"type": "job.completed", "data": {"id": "j-1 ✓", "status": "completed"}}, ensure_ascii=False
).encode()


@pytest.mark.parametrize("fence", fences("json"), ids=str)
def test_every_json_example_is_a_valid_request_callback_or_policy(fence: Fence) -> None:
    if fence.words[1:] == ("callback",):
        Callback.model_validate_json(fence.text)
        return
    if fence.words[1:] == ("game",):
        details = json.loads(fence.text)["data"]["output"]
        file = {"name": "video.mp4", "uri": "s3://a/b", "sha256": "", "bytes": 1, "content_type": "video/mp4"}
        outputs = [] if details is None else [Output(**file, url=details["url"])]
        assert fence.text.encode() == game_body(completed=details is not None, outputs=outputs, details=details) + b"\n"
        return
    if fence.words[1:] == ("policy",):
        policy = json.loads(fence.text)
        assert policy["Version"] == "2012-10-17"
        assert all({"Effect", "Action", "Resource"} <= set(statement) for statement in policy["Statement"])
        return
    if fence.words[1:] == ("words",):
        TypeAdapter(WordTimes).validate_json(fence.text)
        return
    assert fence.words[1:2] == ("request",), f"{fence} is not marked as request, callback or policy"
    if len(fence.words) == 3:
        assert json.loads(fence.text)["type"] == fence.words[2]
        assert fence.words[2] not in JOB_TYPES, "this job type is built in: mark the example without a type"
        return
    request = parse_request(fence.text.encode())
    assert isinstance(request, Cancel) or request.type in JOB_TYPES


@pytest.mark.parametrize("fence", fences("python"), ids=str)
def test_every_python_snippet_compiles(fence: Fence) -> None:
    compile(fence.text, str(fence), "exec")


@pytest.mark.parametrize("fence", [*fences("js"), *fences("mjs")], ids=str)
@pytest.mark.node
def test_every_javascript_snippet_is_valid_for_node(fence: Fence, tmp_path: Path) -> None:
    path = tmp_path / "snippet.mjs"
    path.write_text(fence.text, encoding="utf-8")
    done = subprocess.run(["node", "--check", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fence", fences("toml"), ids=str)
def test_every_settings_file_is_valid(fence: Fence) -> None:
    values = tomllib.loads(fence.text)
    assert set(values) - set(Settings.model_fields) == set()
    Settings(**values)


@pytest.mark.parametrize("fence", fences("sh"), ids=str)
def test_every_shell_snippet_is_valid_and_sets_existing_variables(fence: Fence) -> None:
    done = subprocess.run(["sh", "-n"], input=fence.text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    named = set(re.findall(r"\bTELECINE_([A-Z0-9_]+)=", fence.text))
    assert named - {name.upper() for name in Settings.model_fields} == set()


@pytest.mark.parametrize("fence", fences("console"), ids=str)
def test_every_option_in_a_session_exists(fence: Fence) -> None:
    for line in re.findall(r"^\$ (?!kubectl )(?:.* )?telecine ([^|>&#\n]+)", fence.text, re.MULTILINE):
        command = _app_command()
        for word in shlex.split(line):
            if word in getattr(command, "commands", {}):
                command = command.commands[word]
            elif word.startswith("--"):
                command = getattr(command, "commands", {}).get(getattr(command, "default_command", None), command)
                known = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
                assert word.partition("=")[0] in known | {"--help", "--version"}, line


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    # No mermaid: the site renders without scripts. docs/drawings.py makes drawings.
    checked = {"json", "python", "js", "ts", "java", "sh", "console", "toml"}
    assert [str(fence) for fence in FENCES if fence.words[:1] and fence.words[0] not in checked] == []


@pytest.mark.parametrize("fence", fences("java"), ids=str)
def test_every_java_program_compiles(fence: Fence, tmp_path: Path) -> None:
    command = guide.program("java", fence.text, tmp_path)
    done = subprocess.run(
        ["javac", "-Xlint:all", "-Werror", *command[1:3], "-d", str(tmp_path), command[-1]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_has_a_target(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    broken = [target for pair in targets if (target := pair[0] or pair[1]) and not _leads(page, target)]
    assert broken == []


def _leads(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return target.startswith("https://")
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in _anchors(path)


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_generated_pages_and_tables_are_current() -> None:
    stale = [path.name for path, text in _generator().pages() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run python docs/generate.py"


def test_every_table_that_can_be_generated_is_in_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in _generator().TABLES if f"<!-- generated: {name} -->" not in text] == []


def _generator() -> ModuleType:
    if str(ROOT / "docs") not in sys.path:  # as for `python docs/generate.py`
        sys.path.append(str(ROOT / "docs"))
    return importlib.import_module("generate")


def test_every_command_that_the_pages_name_exists() -> None:
    commands = _commands(_app_command())
    named = [
        (page.name, words)
        for page in PAGES
        for words in re.findall(
            r"(?<=[`$|&>/(] )telecine((?: [a-z][a-z-]+)+)|`telecine((?: [a-z][a-z-]+)+)", _text(page)
        )
    ]
    assert len(named) > 30
    unknown = [(page, words) for page, pair in named if not _known(words := (pair[0] or pair[1]).split(), commands)]
    assert unknown == []


@pytest.mark.parametrize(("running", "fine"), [((3, 10, 13), False), ((2, 7, 18), False), ((3, 11, 0), True)])
def test_make_says_which_python_it_needs_friction_low(running: tuple[int, ...], fine: bool, tmp_path: Path) -> None:
    python = tmp_path / "python"
    imitate = f"import sys; sys.version_info = {running}; exec(sys.argv[2])"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 0\nexec {sys.executable} -c "{imitate}" "$@"\n')
    python.chmod(0o755)
    made = ["make", f"PYTHON={python}", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/bin/python"]
    done = subprocess.run(made, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode == 0) == fine
    assert fine or "Telecine needs Python 3.11 or newer" in done.stderr


def test_no_page_or_message_installs_telecine_from_an_index_friction_M6() -> None:
    """The distribution is on no index, so another one of that name would be installed."""
    sources = [
        path for top in ("consumer", "ops", "pipelines", "providers", "schemas") for path in (ROOT / top).rglob("*.py")
    ]
    install = re.compile(r"(pip|pipx|uv|uvx)\b[^\n]* (install|run)\b[^\n]* ['\"]?telecine(?![\w-])")
    assert [str(path) for path in [*PAGES, *sources] if install.search(path.read_text(encoding="utf-8"))] == []


def test_every_test_that_the_pages_name_exists() -> None:
    named = {(page.name, path) for page in PAGES for path in re.findall(r"`(tests/[a-z0-9_/]+\.py)`", _text(page))}
    assert len(named) > 12
    assert [(page, path) for page, path in named if not (ROOT / path).is_file()] == []


def test_every_command_is_explained() -> None:
    text = _text(ROOT / "docs" / "reference-cli.md")
    assert [name for name in _leaves(_commands(_app_command()), "telecine") if f"## {name}\n" not in text] == []


@functools.cache
def _app_command() -> Any:
    command: Any = typer.main.get_command(app)
    command.commands = {name: load(name) for name in command.commands}
    return command


def _commands(command: Any) -> dict[str, Any]:
    return {name: _commands(child) for name, child in getattr(command, "commands", {}).items()}


def _leaves(commands: dict[str, Any], name: str) -> list[str]:
    if not commands:
        return [name]
    return [leaf for word, below in commands.items() for leaf in _leaves(below, f"{name} {word}")]


def _known(words: Sequence[str], commands: dict[str, Any]) -> bool:
    if words[0] not in commands:
        return False
    below = commands[words[0]]
    return not below or len(words) == 1 or words[1] in below


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_python_receiver_accepts_a_signed_callback_once_and_refuses_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = generate_secret()
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{generate_secret()} {secret}")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(one_fence("python", "receiver"), "receiver.py", "exec"), names)
    answers = [names["receive"](body, headers) for body, headers in _deliveries(secret)]
    assert answers == ANSWERS
    for _ in range(2):
        names["work"]()
    assert capsys.readouterr().out == PRINTED


def test_the_receiver_with_the_client_gives_the_same_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = generate_secret()
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{generate_secret()} {secret}")
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(one_fence("python", "client-receiver"), "receiver.py", "exec"), names)
    assert [names["receive"](body, headers) for body, headers in _deliveries(secret)] == ANSWERS
    assert capsys.readouterr().out == "j-1 ✓ []\n" * 3


@pytest.mark.node
def test_the_receiver_in_typescript_gives_the_same_answers(tmp_path: Path) -> None:
    secret = generate_secret()
    compiled = guide.run("ts", one_fence("ts", "client-receiver"), tmp_path, {"WEBHOOK_SECRETS": secret})
    assert compiled.returncode == 0, compiled.stdout
    main = (
        'import { receive } from "./send.mjs";\n'
        "for (const [body, headers] of deliveries) answers.push(receive(Buffer.from(body), headers));\n"
    )
    text = (tmp_path / "send.mjs").read_text(encoding="utf-8")
    assert _in_node(tmp_path, text, main, secret) == ("j-1 ✓ []\n" * 3, ANSWERS)


@pytest.mark.node
def test_the_node_receiver_accepts_a_signed_callback_once_and_refuses_all_others(tmp_path: Path) -> None:
    secret = generate_secret()
    main = (
        'import { receive, work } from "./send.mjs";\n'
        "for (const [body, headers] of deliveries) answers.push(receive(Buffer.from(body), headers));\n"
        "work();\n"
    )
    printed, answers = _in_node(tmp_path, one_fence("js", "receiver"), main, secret)
    assert answers == ANSWERS
    assert printed == PRINTED


@pytest.mark.node
def test_the_verification_without_a_package_gives_the_same_answers(tmp_path: Path) -> None:
    secret = generate_secret()
    main = (
        'import { verified } from "./send.mjs";\n'
        "const secret = process.env.WEBHOOK_SECRETS.split(' ')[1];\n"
        "for (const [body, headers] of deliveries)\n"
        "  answers.push(verified(secret, Buffer.from(body), headers) ? 204 : 401);\n"
    )
    assert _in_node(tmp_path, one_fence("js", "verify"), main, secret) == ("", ANSWERS)


def _in_node(folder: Path, text: str, main: str, secret: str) -> tuple[str, list[int]]:
    """Run a program that imports the block; return its output and its answers to the deliveries."""
    guide.program("js", text, folder)
    deliveries = [[body.decode(), headers] for body, headers in _deliveries(secret)]
    first = f"const deliveries = {json.dumps(deliveries)};\nconst answers = [];\n"
    last = "console.error(JSON.stringify(answers));\n"
    (folder / "main.mjs").write_text(first + main + last, encoding="utf-8")
    environment = {**os.environ, "WEBHOOK_SECRETS": f"{generate_secret()} {secret}"}
    done = subprocess.run(["node", "main.mjs"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(done.stderr)


def _deliveries(secret: str) -> list[tuple[bytes, dict[str, str]]]:
    """Return deliveries: valid, again, signed with two secrets; then changed, foreign, old and unsigned ones."""
    now = int(time.time())
    mine, other = SecretStr(secret), SecretStr(generate_secret())
    good = sign("msg_1", now, BODY, [mine])
    return [
        (BODY, good),
        (BODY, good),
        (BODY, sign("msg_1", now, BODY, [other, mine])),
        (BODY.replace(b"j-1", b"j-2"), good),
        (BODY, sign("msg_2", now, BODY, [other])),
        (BODY, sign("msg_3", now - 3600, BODY, [mine])),
        (BODY, {name: value for name, value in good.items() if name != "webhook-signature"}),
    ]


def test_the_example_of_a_job_type_runs_as_an_extension(tmp_path: Path) -> None:
    (tmp_path / "file_card.py").write_text(one_fence("python", "extension"), encoding="utf-8")
    request = tmp_path / "request.json"
    request.write_text(one_fence("json", "request", "file-card"), encoding="utf-8")
    picture = tmp_path / "telecine-data" / "storage" / "inbox" / "cover.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes((ROOT / "ops" / "demo" / "cover.jpg").read_bytes())
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TELECINE_", "SENTRY_"))}
    environment = {
        **inherited,
        "PYTHONPATH": str(tmp_path),
        "TELECINE_EXTENSIONS": "file_card",
        "TELECINE_HEALTH_PORT": "0",
    }
    telecine = [sys.executable, "-m", "ops.cli.main"]
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen([*telecine, "up"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        done = subprocess.run(
            [*telecine, "submit", str(request), "--wait", "--timeout", "60"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
    finally:
        up.terminate()
        up.wait(60)
    assert done.returncode == 0, done.stderr + (tmp_path / "up.log").read_text()
    card = tmp_path / "telecine-data" / "storage" / "results" / "card-1" / "card.json"
    assert json.loads(card.read_text())["kind"] == "jpeg"


def test_the_pages_name_no_path_of_the_machine_they_were_written_on() -> None:
    found = [page.name for page in PAGES if re.search(r"/work/|/tmp/doc|\.\./shared", _text(page))]
    assert found == []


def test_the_picture_in_the_readme_is_small() -> None:
    assert (ROOT / "docs" / "images" / "reel-all.webp").stat().st_size < 60_000


@pytest.mark.parametrize("fence", [*fences("python", "receiver"), *fences("js", "receiver")], ids=str)
def test_a_receiver_accepts_the_largest_inline_picture_gap_L11(fence: Fence) -> None:
    limits = [int(found.replace("_", "")) for found in re.findall(r"\d(?:_\d{3}){2,}", fence.text)]
    assert min(limits, default=10**9) > MAX_INLINE_BYTES * 4 / 3 + 256 * 1024
