"""Scratch folders: those that crashes left_folder are deleted, those in use are kept."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from consumer.ledger import owner
from consumer.ledger.owner import this_process
from consumer.storage import scratch
from consumer.storage.scratch import FOREIGN_SECONDS, UNOWNED_SECONDS, clear_abandoned, job_folder

DEAD = this_process().split("/")
DEAD[3:5] = "999999999", "1"


def left_folder(root: Path, name: str | None, *, age: float = 0.0) -> Path:
    """Return a folder that a worker left_folder ``age`` seconds ago, with a file in a subfolder."""
    folder = root / f"job-{len(list(root.glob('*')))}"
    (folder / "steps").mkdir(parents=True)
    (folder / "steps" / "video.mp4").write_bytes(b"x" * 100)
    if name is not None:
        (folder / ".owner").write_text(name)
    then = time.time() - age
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (then, then))
    return folder


def test_the_folder_of_a_dead_process_is_deleted_at_once_and_that_of_a_live_one_is_kept(tmp_path: Path) -> None:
    dead = left_folder(tmp_path, "/".join(DEAD))
    with job_folder(tmp_path) as live:
        os.utime(live, (0, 0))
        assert clear_abandoned(tmp_path) == 1
        assert (dead.exists(), live.exists()) == (False, True)


@pytest.mark.parametrize("part", [0, 1])
def test_a_folder_of_another_boot_or_container_is_deleted_when_it_has_long_been_unchanged(
    part: int, tmp_path: Path
) -> None:
    name = this_process().split("/")
    name[part] = "another"
    old = left_folder(tmp_path, "/".join(name), age=FOREIGN_SECONDS + 60)
    young = left_folder(tmp_path, "/".join(name), age=FOREIGN_SECONDS - 600)
    busy = left_folder(tmp_path, "/".join(name), age=FOREIGN_SECONDS + 60)
    (busy / "steps" / "video.mp4").write_bytes(b"still written")
    os.utime(busy / "steps", (0, 0))
    assert clear_abandoned(tmp_path) == 1
    assert (old.exists(), young.exists(), busy.exists()) == (False, True, True)


@pytest.mark.parametrize("name", [None, ""])  # without its file; with an empty one, as a power failure leaves it
def test_a_folder_without_an_owner_is_deleted_after_some_minutes_attack_12(name: str | None, tmp_path: Path) -> None:
    old = left_folder(tmp_path, name, age=UNOWNED_SECONDS + 60)
    young = left_folder(tmp_path, name)
    assert clear_abandoned(tmp_path) == 1
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("number", range(6))
def test_a_kill_while_a_folder_is_deleted_leaves_its_owner_attack_12(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is deleted up to file ``number``, then the process dies."""

    class Killed(BaseException):
        pass

    unlink, deleted = os.unlink, 0

    def unlink_or_die(*arguments: Any, **named: Any) -> None:
        nonlocal deleted
        deleted += 1
        if deleted > number:
            raise Killed
        unlink(*arguments, **named)

    def work() -> None:
        with job_folder(tmp_path) as folder:
            for name in ("a", "z"):
                (folder / name).mkdir()
                (folder / name / "large").write_bytes(b"x")
                (folder / f"{name}.mp4").write_bytes(b"x")

    with monkeypatch.context() as patched, contextlib.suppress(Killed):
        patched.setattr(os, "unlink", unlink_or_die)
        work()
    monkeypatch.setattr(scratch, "is_gone", lambda owner: owner == this_process())
    cleared = clear_abandoned(tmp_path)
    assert (cleared, list(tmp_path.iterdir())) == (0 if number == 5 else 1, [])


def test_an_owner_is_near_only_in_the_same_boot_and_container() -> None:
    assert owner.is_near(this_process())
    assert owner.is_near("/".join(DEAD))
    assert not owner.is_near("")
    assert not owner.is_near("another/" + this_process().partition("/")[2])
