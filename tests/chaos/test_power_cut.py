"""A power cut at any moment: what was not flushed is lost, and every promise made before it is still kept."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consumer.callbacks.signing import generate_secret
from consumer.ledger import queries
from consumer.ledger.states import State
from consumer.wiring import open_ledger
from providers.memory_provider import MemoryProvider
from tests.chaos.evidence import check_finished_once
from tests.chaos.power_cut import Recording, record
from tests.chaos.power_cut_work import JOBS, run_jobs, settings_of
from tests.receiver import Attempt, Receiver
from tests.telecine_process import ROOT


class History:
    """One recorded run of the jobs, and what others know of it at any moment."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        home, base, said = folder / "home", folder / "base", folder / "said"
        home.mkdir()
        open_ledger(settings_of(home)).close()
        (home / "callback-secret").write_text(generate_secret())
        shutil.copytree(home, base)
        command = [sys.executable, "-m", "tests.chaos.power_cut_work", str(home), receiver.url]
        with said.open("wb") as output:
            self.recording: Recording = record(
                command, home, base, folder / "logs", cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )
        lines = [json.loads(line) for line in said.read_text().splitlines() if line.startswith('{"at"')]
        self._promises: list[dict[str, Any]] = lines
        self._attempts = receiver.attempts

    def accepted(self, moment: float) -> set[str]:
        return {one["accepted"] for one in self._promises if one["at"] <= moment and "accepted" in one}

    def provider(self, moment: float) -> MemoryProvider:
        """Return the provider, which has no power cut, as it was at that moment."""
        charged = {one["task"]: one["charged"] for one in self._promises if one["at"] <= moment and "charged" in one}
        provider = MemoryProvider(charges=Counter(charged.values()), _tasks=charged)
        provider._ids = itertools.count(len(charged) + 1)
        return provider

    def callbacks(self, moment: float) -> dict[str, Attempt]:
        return {one.json()["data"]["id"]: one for one in self._attempts if one.at <= moment}


@pytest.fixture
def history(tmp_path: Path) -> Any:
    with Receiver() as receiver:
        yield History(tmp_path, receiver), receiver


@pytest.mark.parametrize("cuts", [12, pytest.param(300, marks=pytest.mark.slow)])
def test_no_promise_is_broken_by_a_power_cut_at_any_moment(
    cuts: int, history: tuple[History, Receiver], tmp_path: Path
) -> None:
    past, receiver = history
    chance = random.Random(2026)
    moments = chance.sample(past.recording.moments, cuts)
    for number, moment in enumerate([*moments, past.recording.moments[-1]]):
        home = tmp_path / f"cut-{number}"
        past.recording.state_at(moment, home, chance)
        _check(past, moment, home, receiver)
        shutil.rmtree(home)


def _check(past: History, moment: float, home: Path, receiver: Receiver) -> None:
    called_back, provider, before = past.callbacks(moment), past.provider(moment), len(receiver.attempts)
    database = open_ledger(settings_of(home))
    for job_id in past.accepted(moment):
        found = queries.find_job(database, job_id)
        assert found is not None, f"{job_id} was accepted and is lost"
        assert found.state is State.COMPLETED or job_id not in called_back, f"{job_id} is no longer completed"
    database.close()

    run_jobs(home, receiver.url, provider, lambda job_id: None)

    assert all(count == 1 for count in provider.charges.values()), provider.charges
    assert len(provider.charges) == sum(kind == "ask" for kind in JOBS.values())
    attempts = [*called_back.values(), *receiver.attempts[before:]]
    database = open_ledger(settings_of(home))
    for job_id in JOBS:
        folder = settings_of(home).storage_folder / "results" / job_id
        job = queries.find_job(database, job_id)
        assert job is not None
        check_finished_once(database, job, {path.name: path.read_bytes() for path in folder.iterdir()})
        own = [one for one in attempts if one.json()["data"]["id"] == job_id]
        assert len({(one.headers["webhook-id"], one.body) for one in own}) == 1, f"{job_id}: {len(own)} callbacks"
    database.close()


WRITER = """
import os, shutil, sys
folder = sys.argv[1]

def written(name, *, flushed):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(b"whole")
        file.flush()
        if flushed:
            os.fsync(file.fileno())

def flush_folder():
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)

written("safe", flushed=True)
written("content lost", flushed=False)
written("old", flushed=True)
flush_folder()
written("name lost", flushed=True)
os.rename(f"{folder}/old", f"{folder}/new")

inside = os.open(folder, os.O_RDONLY)
part = os.open(".", os.O_TMPFILE | os.O_WRONLY, dir_fd=inside)
os.write(part, b"whole")
os.link(f"/proc/self/fd/{part}", "late name", dst_dir_fd=inside, follow_symlinks=True)
"""


def test_the_recording_keeps_what_was_flushed_and_may_lose_everything_else(tmp_path: Path) -> None:
    home, base = tmp_path / "home", tmp_path / "base"
    home.mkdir()
    base.mkdir()
    recording = record([sys.executable, "-c", WRITER, str(home)], home, base, tmp_path / "logs")
    seen: dict[str, set[bytes | None]] = {}
    for seed in range(40):
        cut = tmp_path / f"cut-{seed}"
        recording.state_at(recording.moments[-1], cut, random.Random(seed))
        files = {path.name: path.read_bytes() for path in cut.iterdir()}
        assert len({"old", "new"} & files.keys()) == 1
        for name in ("safe", "content lost", "name lost", "old", "new", "late name"):
            seen.setdefault(name, set()).add(files.get(name))
    assert seen == {
        "safe": {b"whole"},
        "content lost": {b"whole", b""},
        "name lost": {b"whole", None},
        "old": {b"whole", None},
        "new": {b"whole", None},
        "late name": {b"whole", b"", None},
    }
