"""The files that embedded mode creates: readable by their owner only, and whole or repaired after a crash."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumer.callbacks.signing import check_secret
from consumer.ledger import schema
from consumer.ledger.database import Database
from consumer.wiring import build_runtime
from schemas.settings import Settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret_of(home: Path) -> str:
    runtime = build_runtime(Settings(home=home))
    (secret,) = runtime.secrets["default"]
    runtime.close()
    check_secret(secret)
    return secret.get_secret_value()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b" \n\n"], ids=["attack-12-empty", "attack-12-line", "attack-12-blank"]
)
def test_a_secret_file_that_a_crash_left_empty_is_filled_by_the_next_start(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "callback-secret"
    path.write_bytes(content)
    assert secret_of(tmp_path) == secret_of(tmp_path) == path.read_text().strip()


def test_a_start_that_dies_or_meets_a_full_disk_leaves_a_file_that_the_next_one_fills_attack_12(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr("consumer.wiring.generate_secret", lambda: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            build_runtime(Settings(home=tmp_path))
    assert (tmp_path / "callback-secret").exists()
    assert secret_of(tmp_path)
    assert mode(tmp_path / "callback-secret") == 0o600


def test_starts_at_the_same_time_agree_on_one_secret_attack_12(tmp_path: Path) -> None:
    from consumer.wiring import _embedded_secret

    for number in range(20):
        path = tmp_path / str(number) / "callback-secret"
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(_embedded_secret, [path] * 8))) == 1


def test_a_new_ledger_is_readable_by_its_owner_only_attack_12(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        database = Database(f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite3'}")
        schema.migrate(database)
        with database.write() as connection:
            connection.exec_driver_sql("SELECT 1")
            files = list((tmp_path / "new").iterdir())
            assert {path.name: oct(mode(path)) for path in files} == {path.name: "0o600" for path in files}
            assert {"ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"} <= {path.name for path in files}
        database.close()
    finally:
        os.umask(old)


def test_the_mode_of_an_existing_ledger_is_left_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.touch(0o640)
    path.chmod(0o640)
    database = Database(f"sqlite:///{path}")
    schema.migrate(database)
    database.close()
    assert mode(path) == 0o640
