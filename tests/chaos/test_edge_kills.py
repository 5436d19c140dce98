"""Two edges under load are killed in the middle of uploads, waits and downloads: nothing is lost or doubled."""

from __future__ import annotations

import io
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import av
import pytest
import requests
from PIL import Image

from consumer.ledger.queries import find_job
from consumer.ledger.states import State
from consumer.retention.orphaned_uploads import delete_orphaned_uploads
from consumer.storage.factory import storage_of
from tests.edge_process import EdgeProcess
from tests.media_probe import write_photo, write_wav
from tests.telecine_process import TelecineProcess, wait_until

KILLS = 4
CLIENTS = 4
TEXT = "a long line of text " * 5000


class Clients:
    """Programs that call one edge or the other, and call again when a connection breaks, until they are stopped."""

    def __init__(self, edges: list[EdgeProcess], runs: Path, picture: bytes, reel: dict[str, Any]) -> None:
        self.jobs: list[str] = []
        self.broken = 0
        self.stopping = threading.Event()
        self._edges, self._runs, self._picture, self._reel = itertools.cycle(edges), runs, picture, reel

    def notes(self, client: int) -> None:
        """Upload a picture, send a request that uses it, wait for the job and download its file."""
        for number in itertools.count():
            if self.stopping.is_set():
                return
            job_id = f"note-{client}-{number}"
            uri = self._call("PUT", f"/v1/uploads/{job_id}/image", data=self._picture).json()["uri"]
            self._call("PUT", f"/v1/uploads/orphan-{client}-{number}/image", data=self._picture)
            data = {"image": uri, "text": f"{job_id} {TEXT}", "seconds": 0.2, "ledger_of_runs": str(self._runs)}
            self._call("POST", "/v1/jobs", json={"id": job_id, "type": "note", "data": data})
            job = self._call("GET", f"/v1/jobs/{job_id}?wait=60").json()
            assert job["status"] == "completed", job
            got = self._call("GET", f"/v1/jobs/{job_id}/outputs/note.txt").text
            assert got == data["text"]
            self.jobs.append(job_id)

    def reels(self, client: int) -> None:
        """Send forms with files, and get the reel as the response."""
        for number in itertools.count():
            if self.stopping.is_set():
                return
            job_id = f"reel-{client}-{number}"
            data = {"lyrics": f"number {number}", "alignment_mode": "even"}
            header = {"idempotency-key": job_id}
            got = self._call("POST", "/create-video", files=self._reel, data=data, headers=header).content
            with av.open(io.BytesIO(got), "r") as film:
                assert len(list(film.decode(video=0))) == 30
            self.jobs.append(job_id)

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = next(self._edges).call(method, path, **options)
                if answer.ok:
                    return answer
                assert answer.status_code in (503, 504), (path, answer.status_code, answer.text)
            except requests.RequestException:
                self.broken += 1
            assert time.monotonic() < deadline, f"{method} {path} was not answered"
            time.sleep(0.1)


def owned(scratch: Path) -> list[str]:
    """Return the owners of the folders in the scratch folder that have one."""
    found = []
    for path in scratch.glob("job-*/.owner"):
        with suppress(FileNotFoundError):
            found.append(path.read_text())
    return list(filter(None, found))


@pytest.mark.timeout(300)
def test_edges_are_killed_under_load(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.effect_noise((600, 600), 80).save(picture, "PNG")
    reel = {
        "image": ("i.jpg", write_photo(tmp_path / "image.jpg").read_bytes()),
        "audio": ("a.wav", write_wav(tmp_path / "audio.wav", 1.0).read_bytes()),
    }
    runs = tmp_path / "runs"
    with ExitStack() as opened:
        telecine = opened.enter_context(TelecineProcess(tmp_path / "home", notes=True)).start()
        edges = [EdgeProcess(telecine, name=f"edge-{number}") for number in range(2)]
        for edge in edges:
            opened.enter_context(edge)
        clients = Clients(edges, runs, picture.getvalue(), reel)
        with ThreadPoolExecutor() as pool:
            work = [pool.submit(clients.notes, client) for client in range(CLIENTS)] + [pool.submit(clients.reels, 0)]
            try:
                for number in range(KILLS):
                    time.sleep(0.7)
                    edges[number % 2].kill()
                    edges[number % 2].start()
            finally:
                clients.stopping.set()
            for done in work:
                done.result()
        assert clients.broken >= KILLS
        assert len(clients.jobs) > CLIENTS
        database = telecine.database()
        for job_id in clients.jobs:
            job = find_job(database, job_id)
            assert job is not None
            assert (job.state, job.epoch) == (State.COMPLETED, 1)
        notes = [job_id for job_id in clients.jobs if job_id.startswith("note-")]
        assert len(runs.read_text().splitlines()) == len(notes)
        storage = storage_of(telecine.settings)
        assert delete_orphaned_uploads(telecine.settings, database, storage, age_seconds=-5) >= len(notes)
        left = {path.name for path in (telecine.settings.storage_folder / "results" / "~uploads").iterdir()}
        assert left == set(clients.jobs)
        database.close()
        for edge in edges:
            edge.kill()
        edges[0].start()  # deletes what the other left in the scratch folder
        # A folder whose owner was killed before it wrote its name stays for five minutes.
        scratch = telecine.settings.scratch_folder
        wait_until(lambda: not owned(scratch), what=lambda: str(list(scratch.rglob("*"))))
