"""A project with the files that the page on adding a model prints, and Telecine with its settings."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av

from consumer.doors.drop import drop
from consumer.ledger import calls
from consumer.ledger.dead_letters import list_newest
from consumer.ledger.records import Job
from tests.acceptance import guide
from tests.chaos.evidence import check_finished_once
from tests.pages import ROOT, fences, one_fence
from tests.provider_line import check_settled
from tests.telecine_process import TelecineProcess, wait_until

PAGE = ROOT / "docs" / "adding-a-model.md"
#: The pages whose files a project has.
GUIDES = (PAGE, ROOT / "docs" / "adding-a-provider.md")


class GuideProject:
    """A folder with the files of the page, and Telecine in embedded mode with the settings file in it."""

    def __init__(self, folder: Path, way: str, **environment: str) -> None:
        self.folder = folder
        (folder / "telecine.toml").write_text(one_fence("toml", way), encoding="utf-8")
        for fence in fences("json", "request"):
            if fence.page in GUIDES:
                (folder / f"{json.loads(fence.text)['id'].partition('-')[0]}.json").write_text(fence.text)
        for fence in fences("python"):
            if fence.page in GUIDES:
                (folder / f"{fence.words[1]}.py").write_text(fence.text, encoding="utf-8")
        self.telecine = TelecineProcess(
            folder / "telecine-data", call_poll_seconds=0.1, exchange_timeout_seconds=8, local_device="cpu"
        )
        #: Environment variables for child processes only; the test process does not read the settings file.
        self.environment = {
            "TELECINE_SETTINGS_FILE": str(folder / "telecine.toml"),
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            **environment,
        }

    def start(self, **environment: str) -> TelecineProcess:
        """Start Telecine and return it."""
        return self.telecine.start(env=self.environment | environment)

    def run(self, *arguments: str) -> str:
        """Run a command and return its output."""
        command = [sys.executable, "-m", "ops.cli.main", *arguments]
        environment = {**self.telecine.inherited(), **self.environment}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def run_sessions(self, way: str) -> None:
        """Run the page's console sessions and check that each command prints what the page shows."""
        for fence in fences("console", way):
            environment = {**self.telecine.inherited(), **self.environment}
            for line, printed, done in guide.telecine_session(fence.text, self.folder, environment):
                assert done.returncode == 0, f"{line}: {done.stderr}{self.telecine.log.read_text()}"
                assert guide.shows(printed, done.stdout), f"{fence}, {line}:\n{done.stdout}"

    def ask(self, job_id: str, job_type: str, **data: Any) -> None:
        request = {"id": job_id, "type": job_type, "data": data}
        drop(self.telecine.settings.inbox_folder, json.dumps(request).encode())

    def rejection_code(self, job_id: str) -> str:
        """Wait for the dead letter of a request and return its error code."""
        database = self.telecine.database()
        try:
            found = wait_until(lambda: [one for one in list_newest(database, limit=9) if one.request_id == job_id])
            return str(found[0].code)
        finally:
            database.close()

    def files(self, job_id: str) -> dict[str, bytes]:
        folder = self.telecine.settings.storage_folder / "results" / job_id
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def wait_for_files(self, job_id: str) -> dict[str, bytes]:
        """Wait for a job, check that it completed once and all its calls are settled, and return its files."""
        job: Job = self.telecine.wait_for_job(job_id, timeout=120)
        database, files = self.telecine.database(), self.files(job_id)
        try:
            check_finished_once(database, job, files)
            if calls.of_job(database, job_id):
                check_settled(database, job_id)
        finally:
            database.close()
        return files


def frames(film: bytes) -> list[tuple[int, int]]:
    """Return the size of each frame."""
    with av.open(io.BytesIO(film), "r") as opened:
        return [(frame.width, frame.height) for frame in opened.decode(video=0)]
