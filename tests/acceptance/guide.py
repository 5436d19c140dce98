"""Programs as the guides print them, run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.line import NODE

#: The file that a block of the language becomes, and the command that runs it.
_JARS = ":".join(f"/usr/share/java/{name}.jar" for name in ("amqp-client", "slf4j-api", "slf4j-nop"))
_COMMANDS: Mapping[str, tuple[str, list[str]]] = {
    "js": ("send.mjs", ["node"]),
    "python": ("send.py", [sys.executable, "-W", "error"]),
    "java": ("Send.java", ["java", "-cp", _JARS]),
    "sh": ("send.sh", ["sh", "-eu"]),
}


def program(language: str, text: str, folder: Path) -> list[str]:
    """The command that runs the block, which is written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    name, command = _COMMANDS[language]
    path = folder / name
    path.write_text(text, encoding="utf-8")
    packages = folder / "node_modules"
    if language == "js" and not packages.exists():
        packages.symlink_to(NODE / "node_modules")
    return [*command, str(path)]


def run(
    language: str, text: str, folder: Path, environment: Mapping[str, str], *, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs the block to its end, in ``folder``."""
    return subprocess.run(
        program(language, text, folder),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
