"""The AWS CLI against a server of the tests, run as a shell user would."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from tests.servers.process import program
from tests.servers.s3 import S3

#: Where install.sh installs the CLI, next to ministack.
_OWN_PROGRAMS = Path(__file__).parent / ".ministack" / "bin"


class AwsFailed(Exception):
    """The command failed; the message is its standard error."""


class AwsCli:
    """``aws`` with an endpoint and keys: ``aws("sqs", "list-queues")``."""

    def __init__(self, of: S3, folder: Path) -> None:
        """Write a program named ``aws`` to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self._program = folder / "aws"
        # Version 1 of the CLI, the one on PyPI, ignores AWS_ENDPOINT_URL for SQS but accepts --endpoint-url.
        found = shlex.quote(program("aws", str(_OWN_PROGRAMS)))
        self._program.write_text(f'#!/bin/sh\nexec {found} --endpoint-url {shlex.quote(of.url)} "$@"\n')
        self._program.chmod(0o755)
        #: Environment variables with which ``aws`` in a shell uses the same server.
        self.environment = {
            **of.environment,
            "AWS_PAGER": "",
            "AWS_DEFAULT_OUTPUT": "json",
            "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Run a command and return its output, which for most commands is JSON.

        Raises:
            AwsFailed: the exit status is not 0.
        """
        done = subprocess.run(
            [self._program, *map(str, arguments)],
            env={"HOME": "/nonexistent", "LANG": "C.UTF-8", **self.environment},
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise AwsFailed(f"aws {' '.join(map(str, arguments[:2]))}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode().strip()
