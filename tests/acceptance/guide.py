"""Runs the programs and sessions that the guides print, without changes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.acceptance.line import NODE

CLIENTS = Path(__file__).resolve().parents[2] / "ops" / "clients" / "python"
#: Has telecine-client and its extras, and nothing of Telecine.
CLIENT = Path(__file__).resolve().parent.parent / "servers" / ".client" / "bin" / "python"
#: The file that a block of the language becomes, and the command that runs it.
_JARS = ":".join(f"/usr/share/java/{name}.jar" for name in ("amqp-client", "slf4j-api", "slf4j-nop"))
_COMMANDS: Mapping[str, tuple[str, list[str]]] = {
    "js": ("send.mjs", ["node"]),
    "python": ("send.py", [sys.executable, "-W", "error"]),
    "java": ("Send.java", ["java", "-cp", _JARS]),
    "sh": ("send.sh", ["sh", "-eu"]),
    "ts": (
        "send.mts",
        [
            "sh",
            "-c",
            'node_modules/.bin/tsc --strict --target es2022 --module nodenext --types node "$0" && node send.mjs',
        ],
    ),
}


def program(language: str, text: str, folder: Path) -> list[str]:
    """Write the block into ``folder`` and return the command that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    name, command = _COMMANDS[language]
    path = folder / name
    path.write_text(text, encoding="utf-8")
    packages = folder / "node_modules"
    if language in ("js", "ts") and not packages.exists():
        packages.symlink_to(NODE / "node_modules")
    if "telecine_client" in text:
        command = [str(CLIENT), *command[1:]]
    return [*command, str(path)]


def run(
    language: str, text: str, folder: Path, environment: Mapping[str, str], *, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the block in ``folder`` until it ends."""
    return subprocess.run(
        program(language, text, folder),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def telecine_session(
    text: str, folder: Path, environment: Mapping[str, str], *, timeout: float = 120
) -> Iterator[tuple[str, str, subprocess.CompletedProcess[str]]]:
    """Run each ``$ telecine …`` command except ``up``; yield its line, the output on the page and the result."""
    for line, shown in re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        words = shlex.split(line, comments=True)
        if words[:1] != ["telecine"] or words[1] == "up":
            continue
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli.main", *words[1:]],
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        yield line, shown, done


def shows(page: str, output: str) -> bool:
    """Return whether the page shows this output; spacing and file sizes may differ, and ``…`` matches any text."""
    wanted = ["(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in _plain(page)]
    return re.fullmatch("".join(wanted), "".join(line + "\n" for line in _plain(output))) is not None


def _plain(text: str) -> list[str]:
    return [re.sub(r"\d[\d.,]* (bytes|kB|MB)\b", "SIZE", " ".join(line.split())) for line in text.splitlines()]
