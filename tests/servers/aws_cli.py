"""The AWS CLI against a server of ours, as a shell user would run it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from tests.servers.process import program
from tests.servers.s3 import S3

#: Where install.sh puts it, beside ministack.
_OWN_PROGRAMS = Path(__file__).parent / ".ministack" / "bin"


class AwsFailed(Exception):
    """The command ended with an error; the message is what it said."""


class AwsCli:
    """``aws`` with an endpoint and keys: ``aws("sqs", "list-queues")``."""

    def __init__(self, of: S3, folder: Path) -> None:
        """``folder`` takes a program named ``aws``."""
        folder.mkdir(parents=True, exist_ok=True)
        self._program = folder / "aws"
        # Version 1 of the CLI, which PyPI has, reads no AWS_ENDPOINT_URL for SQS; the option it heeds.
        found = shlex.quote(program("aws", str(_OWN_PROGRAMS)))
        self._program.write_text(f'#!/bin/sh\nexec {found} --endpoint-url {shlex.quote(of.url)} "$@"\n')
        self._program.chmod(0o755)
        #: What a shell needs so that ``aws`` in it talks to the same server.
        self.environment = {
            **of.environment,
            "AWS_PAGER": "",
            "AWS_DEFAULT_OUTPUT": "json",
            "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """What the command prints, which is JSON for most of them.

        Raises:
            AwsFailed: it ended with another status than 0.
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
