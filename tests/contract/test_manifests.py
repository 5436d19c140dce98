"""A manifest does not wait for the disk: the ledger keeps it until it is flushed, and restores a damaged one."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from consumer.execution import flushing, manifest, outcome
from consumer.execution.durable import advance, run
from consumer.execution.flushing import ManifestFlusher, restore_manifests
from consumer.ledger import leases, manifests, queries
from consumer.ledger.manifests import UnflushedManifest
from consumer.ledger.tables import jobs, unflushed_manifests
from consumer.retention.job_deleter import JobDeleter
from consumer.runtime import Runtime
from consumer.storage.artifacts import manifest_facts
from consumer.storage.folder import FolderStorage
from consumer.storage.marks import record_of
from consumer.wiring import build_runtime
from ops import serving
from pipelines.registry import PIPELINES
from schemas.errors import OutputExists
from schemas.settings import Settings
from tests import note_pipeline
from tests.ledger_views import Ledger

assert note_pipeline  # importing it adds its job types


@pytest.fixture
def settings(ledger: Ledger, tmp_path: Path) -> Settings:
    url = ledger.a.url.render_as_string(hide_password=False)
    return Settings(home=tmp_path, ledger_url=url, lease_seconds=60)


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    made = build_runtime(settings, pipelines=PIPELINES)
    yield made
    made.close()


def complete(ledger: Ledger, runtime: Runtime, job_id: str) -> Path:
    """Run a job that does nothing; return the path of its manifest."""
    ledger.admit({"id": job_id, "type": "noop", "data": {}})
    assert advance(runtime, job_id) == "completed"
    return runtime.settings.storage_folder / "results" / job_id / "manifest.json"


def kept(ledger: Ledger) -> list[UnflushedManifest]:
    return list(manifests.list_kept(ledger.b, limit=10))


def flusher(runtime: Runtime) -> ManifestFlusher:
    assert runtime.storage.small_files is not None
    return ManifestFlusher(runtime, runtime.storage.small_files)


def test_the_ledger_keeps_a_manifest_until_it_is_flushed(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []

    def fsync(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", fsync)
    paths = [complete(ledger, runtime, name) for name in ("one", "two")]
    assert not [path for path in flushed if "manifest" in path]
    assert [manifest.content for manifest in kept(ledger)] == [path.read_bytes() for path in paths]
    flushed.clear()
    flusher(runtime).flush()
    assert kept(ledger) == []
    # The files, and every folder whose entries are new.
    folders = {folder for path in paths for folder in (path.parent, path.parent.parent)}
    assert {*map(str, paths), *map(str, folders)} <= set(flushed)
    assert not list(runtime.settings.scratch_folder.glob("job-*"))


@pytest.mark.parametrize("damage", ["missing", "empty", "unmarked", "without folder"])
def test_what_a_power_cut_damaged_is_written_again(damage: str, ledger: Ledger, runtime: Runtime) -> None:
    path = complete(ledger, runtime, "one")
    content = path.read_bytes()
    if damage in ("empty", "unmarked"):
        path.unlink()
        path.write_bytes(content if damage == "unmarked" else b"")
    elif damage == "missing":
        path.unlink()
    else:
        path.unlink()
        path.parent.rmdir()
    restore_manifests(runtime)
    assert path.read_bytes() == content
    found = runtime.storage.head("s3://results/one/manifest.json")
    assert found is not None
    found.check_owner("one", kept(ledger)[0].fingerprint)


@pytest.mark.parametrize("left", ["nothing", "content", "metadata"])
def test_what_a_power_cut_damaged_before_the_job_ended_is_replaced_by_the_next_attempt(
    left: str, ledger: Ledger, runtime: Runtime
) -> None:
    path = runtime.settings.storage_folder / "results" / "one" / "manifest.json"
    path.parent.mkdir(parents=True)
    ledger.admit({"id": "one", "type": "noop", "data": {}})
    content = json.dumps({"job_id": "one", "fingerprint": ledger.job("one").fingerprint}).encode()
    path.write_bytes(content if left == "content" else b"")
    if left == "metadata":
        facts = manifest_facts(content, "one", ledger.job("one").fingerprint)
        os.setxattr(path, "user.telecine", record_of(facts))
    assert advance(runtime, "one") == "completed"
    assert json.loads(path.read_bytes())["type"] == "noop"


def test_a_file_of_another_job_is_not_overwritten(ledger: Ledger, runtime: Runtime) -> None:
    path = complete(ledger, runtime, "one")
    path.unlink()
    other, uri = b"other", "s3://results/one/manifest.json"
    assert runtime.storage.small_files is not None
    assert runtime.storage.small_files.put(other, uri, manifest_facts(other, "two", "f")) == other
    flusher(runtime).flush()
    assert path.read_bytes() == other
    assert len(kept(ledger)) == 1
    with pytest.raises(OutputExists):
        runtime.storage.small_files.put(b"more", uri, manifest_facts(b"more", "one", "f"))


def test_a_deleted_manifest_is_not_written_again(ledger: Ledger, runtime: Runtime, settings: Settings) -> None:
    path = complete(ledger, runtime, "one")
    (manifest,) = kept(ledger)
    JobDeleter(settings, runtime.database, runtime.storage).delete_results(ledger.job("one"))
    restore_manifests(runtime)
    assert kept(ledger) == []
    assert runtime.storage.small_files is not None
    # By a process that read the ledger before.
    assert flushing._restore(runtime, runtime.storage.small_files, manifest) is None
    assert not path.exists()


@pytest.mark.parametrize("whole_job", [True, False])
def test_what_the_version_before_deleted_is_not_written_again(
    whole_job: bool, ledger: Ledger, runtime: Runtime
) -> None:
    """It does not delete what the ledger keeps of the manifest."""
    path = complete(ledger, runtime, "one")
    (manifest,) = kept(ledger)
    with ledger.a.write() as connection:
        deleted = sa.delete(jobs) if whole_job else sa.update(jobs).values(results_deleted_at=1.0)
        connection.execute(deleted.where(jobs.c.id == "one"))
    path.unlink()
    restore_manifests(runtime)
    assert runtime.storage.small_files is not None
    assert flushing._restore(runtime, runtime.storage.small_files, manifest) is None
    assert flusher(runtime).flush()
    assert not path.exists()
    with ledger.b.read() as connection:
        assert connection.execute(sa.select(unflushed_manifests)).first() is None


def test_only_a_service_that_sends_callbacks_or_sweeps_writes_manifests_again(
    ledger: Ledger, runtime: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = complete(ledger, runtime, "one")
    path.unlink()
    settings = settings.model_copy(update={"health_port": 0})
    monkeypatch.setattr(serving, "_loops", lambda *_: [])
    stop = threading.Event()
    stop.set()
    seen: list[bool] = []
    for parts in (["dashboard", "edge", "worker"], ["outbox"]):
        assert serving.serve(settings, parts, [], stop, lambda *_: seen.append(path.exists()))
    assert seen == [False, True]

    closed: list[Runtime] = []
    close = Runtime.close

    def note_and_close(self: Runtime) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(Runtime, "close", note_and_close)
    monkeypatch.setattr(manifests, "list_kept", lambda *_, **__: [].pop())
    with pytest.raises(IndexError):
        serving.serve(settings, ["sweep"], [], stop, lambda *_: None)
    assert len(closed) == 1


def refuse_fsync(monkeypatch: pytest.MonkeyPatch, part_of_path: str) -> list[str]:
    """Let the next fsync of such a file fail, and return the paths of the later ones."""
    later: list[str] = []
    failed = False

    def fsync(descriptor: int) -> None:
        nonlocal failed
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if part_of_path in path and not failed:
            failed = True
            raise OSError(errno.EIO, "no")
        later.append(path)

    monkeypatch.setattr(os, "fsync", fsync)
    return later


def test_a_manifest_that_cannot_be_written_again_is_kept_and_tried_later(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [complete(ledger, runtime, name) for name in ("one", "two")]
    contents = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
        path.write_bytes(b"{}")
    one = flusher(runtime)
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            one.stop()

    monkeypatch.setattr(one._stopped, "wait", wait)
    refuse_fsync(monkeypatch, "/parts/")
    really_forget = manifests.forget
    left: list[list[bytes]] = []

    def forget(*arguments: Any) -> None:
        left.append([path.read_bytes() for path in paths])
        really_forget(*arguments)

    monkeypatch.setattr(manifests, "forget", forget)
    with capture_logs() as logs:
        one.run()
    # The damaged file stays until a whole one takes its name.
    assert left == [[b"{}", contents[1]], contents]
    assert pauses == [10.0, 1.0]
    assert kept(ledger) == []
    assert [entry["manifests"] for entry in logs if entry["event"] == "manifests_not_restored"] == [1]


def test_after_a_failed_flush_the_files_are_written_again(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports the error once; what it could not write then is not on the disk."""
    paths = [complete(ledger, runtime, name) for name in ("one", "two")]
    contents = [path.read_bytes() for path in paths]
    old = [path.open("rb") for path in paths]
    later = refuse_fsync(monkeypatch, "manifest.json")
    one = flusher(runtime)
    with pytest.raises(OSError, match="no"):
        one.flush()
    assert len(kept(ledger)) == 2
    later.clear()
    assert one.flush()
    assert not any(
        os.path.samestat(path.stat(), os.fstat(file.fileno())) for path, file in zip(paths, old, strict=True)
    )
    for file in old:
        file.close()
    assert [path.read_bytes() for path in paths] == contents
    assert sum("/parts/" in path for path in later) == 2
    assert kept(ledger) == []


def test_one_of_two_processes_writes_a_manifest_again(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = complete(ledger, runtime, "one")
    path.unlink()
    files, is_kept = runtime.storage.small_files, manifests.is_kept
    assert files is not None
    (manifest,) = kept(ledger)
    inodes: list[int] = []

    def other_first(*arguments: Any) -> bool:
        files.restore(manifest.content, manifest.uri, manifest_facts(manifest.content, "one", manifest.fingerprint))
        inodes.append(path.stat().st_ino)
        return is_kept(*arguments)

    monkeypatch.setattr(manifests, "is_kept", other_first)
    restore_manifests(runtime)
    assert inodes == [path.stat().st_ino]


@pytest.mark.parametrize("mounted", ["nothing", "an empty folder"])
def test_a_storage_folder_that_is_not_mounted_is_not_created(
    mounted: str, ledger: Ledger, runtime: Runtime, tmp_path: Path
) -> None:
    path, storage = complete(ledger, runtime, "one"), runtime.settings.storage_folder
    content = path.read_bytes()
    path.unlink()
    shutil.move(storage, tmp_path / "unmounted")
    if mounted != "nothing":
        storage.mkdir()
    restore_manifests(runtime)
    assert not flusher(runtime).flush()
    assert storage.exists() == (mounted != "nothing")
    assert mounted == "nothing" or not list(storage.iterdir())
    shutil.rmtree(storage, ignore_errors=True)
    shutil.move(tmp_path / "unmounted", storage)
    assert flusher(runtime).flush()
    assert path.read_bytes() == content


def test_on_storage_without_attributes_and_unnamed_files_a_manifest_is_written_again(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = complete(ledger, runtime, "one")
    (manifest,) = kept(ledger)
    path.unlink()
    refuse_unnamed_files(monkeypatch)
    for name in ("setxattr", "getxattr"):
        monkeypatch.setattr(os, name, refuse_attributes)
    restore_manifests(runtime)
    found = runtime.storage.head(manifest.uri)
    assert found is not None
    found.check_owner("one", manifest.fingerprint)
    assert path.read_bytes() == manifest.content
    assert flusher(runtime).flush()
    assert kept(ledger) == []


def refuse_attributes(*_: Any) -> None:
    raise OSError(errno.ENOTSUP, "no")


def refuse_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no")
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)


def test_the_ledger_keeps_the_manifest_of_the_first_attempt(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker writes its manifest and loses its lease; the next one ends the job with that manifest."""
    ledger.admit({"id": "one", "type": "noop", "data": {}})
    lost = leases.claim(runtime.database, "one", owner="first", seconds=0.0)
    assert lost is not None
    first: list[UnflushedManifest] = []
    write = manifest.write_manifest

    def then_take_over(*arguments: Any) -> Any:
        written = write(*arguments)
        if not first:
            assert written[1] is not None
            first.append(written[1])
            assert advance(runtime, "one") == "completed"
        return written

    monkeypatch.setattr(outcome, "write_manifest", then_take_over)
    assert run(runtime, dataclasses.replace(lost, job=ledger.job("one"))) == "running"
    assert kept(ledger) == first
    recorded = queries.find_job(ledger.a, "one")
    assert recorded is not None
    assert recorded.outcome is not None
    sha256 = manifest_facts(first[0].content, "one", "f").sha256
    assert [output["sha256"] for output in recorded.outcome["outputs"]] == [sha256]


def test_without_unnamed_files_a_manifest_waits_for_the_disk(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unnamed_files(monkeypatch)
    assert complete(ledger, runtime, "one").exists()
    assert kept(ledger) == []


def test_a_small_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "storage")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "storage" / "results").mkdir(parents=True)
    (tmp_path / "storage" / "results" / "one").symlink_to(tmp_path / "elsewhere")
    for key in ("one/manifest.json", "one"):
        with pytest.raises(OutputExists):
            storage.small_files.put(b"x", f"s3://results/{key}", manifest_facts(b"x", "one", "f"))
    assert not list((tmp_path / "elsewhere").iterdir())
    long = f"s3://results/{'é' * 500}/{'k' * 20}"
    assert storage.small_files.put(b"x", long, manifest_facts(b"x", "one", "f")) == b"x"
    assert storage.head(long) is not None
