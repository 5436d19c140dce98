"""The media child and its ffmpeg are killed, crash or meet a full disk: none of that is a fault of the media."""

from __future__ import annotations

import errno
import json
import os
import signal
import textwrap
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipelines.media.child import _as_telecine_error
from pipelines.media.sandbox import process
from pipelines.media.sandbox.process import Bounds, Task, run_child
from pipelines.models import local_reel
from pipelines.models.local_reel import render_reel
from schemas.errors import (
    InternalError,
    OutOfMemory,
    RenderFailed,
    RenderInterrupted,
    RenderKilled,
    RenderTimeout,
    StorageUnavailable,
    TelecineError,
)
from schemas.media import LocalFile
from tests.media_probe import input_file, reel_data, write_photo, write_wav
from tests.telecine_process import ROOT

_REAL_FFMPEG = local_reel._ffmpeg()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def run_code(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, **bounds: float) -> dict[str, object]:
    """Run ``code`` in place of the child; ``run`` is the number of its runs, and ``done`` ends it with a result."""
    prelude = """
        import json, os, pathlib, signal
        count = pathlib.Path("count")
        run = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(run))
        def done():
            print(json.dumps({"result": {"run": run}}), flush=True)
    """
    (folder / "doomed.py").write_text(textwrap.dedent(prelude) + textwrap.dedent(code))
    monkeypatch.setattr(process, "_ROOT", str(folder))
    monkeypatch.setattr(process, "_MODULE", "doomed")
    return run_child(Task.PROBE, {}, folder, Bounds(**bounds))  # type: ignore[arg-type]


def render(folder: Path) -> list[LocalFile]:
    photo, song = write_photo(folder.parent / "p.jpg"), write_wav(folder.parent / "a.wav", 2)
    return render_reel(reel_data("one two"), input_file(photo, "image"), input_file(song, "audio"), folder)


def use_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Run the shell ``script`` before the real ffmpeg; ``$RUN`` is the number of its runs."""
    program = folder.parent / "ffmpeg"
    count = f'echo x >> {folder.parent}/runs; RUN=$(wc -l < {folder.parent}/runs); {script}\nexec {_REAL_FFMPEG} "$@"\n'
    program.write_text(f"#!/bin/sh\n{count}")
    program.chmod(0o755)
    monkeypatch.setattr(local_reel, "_ffmpeg", lambda: str(program))


# --- signals --------------------------------------------------------------------------------------------------------


def test_signals_that_stop_a_service_do_not_end_the_child_attack_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    code = "for name in ('TERM', 'INT', 'HUP', 'QUIT'): os.kill(os.getpid(), getattr(signal, 'SIG' + name))\ndone()"
    assert run_code(folder, monkeypatch, code) == {"run": 1}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGALRM", "SIGPWR"])
def test_a_child_that_is_ended_from_outside_is_not_a_verdict_attack_1(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = getattr(signal, name)
    code = f"""
        signal.signal({number}, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), {number})
        done()
    """
    with pytest.raises(RenderInterrupted, match=f"signal {number}") as caught:
        run_code(folder, monkeypatch, code)
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"])
@pytest.mark.parametrize("crashes", [2, 9])
def test_a_child_that_crashes_is_started_again_before_the_media_is_blamed_attack_1(
    crashes: int, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"if run <= {crashes}: os.kill(os.getpid(), signal.{name})\ndone()"
    if crashes == 2:
        assert run_code(folder, monkeypatch, code) == {"run": 3}
        return
    with pytest.raises(RenderFailed, match=f"signal {getattr(signal, name)}") as caught:
        run_code(folder, monkeypatch, code)
    assert (caught.value.retryable, (folder / "count").read_text()) == (False, "3")


def test_a_child_out_of_processor_time_is_not_out_of_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from pipelines.media.sandbox.rlimits import bound_self
        bound_self(memory_bytes=2**32, cpu_seconds=1, file_bytes=2**32)
        while True: pass
    """
    with pytest.raises(RenderTimeout):
        run_code(folder, monkeypatch, code)


# --- ffmpeg ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "error", "runs"),
    [
        ("kill -TERM $$", None, 1),
        ("kill -HUP $$", None, 1),
        ("[ $RUN -gt 1 ] || kill -KILL $$", None, 2),
        ("kill -KILL $$", RenderKilled, 2),
        ("kill -USR1 $$", RenderInterrupted, 1),
        ("exit 255", RenderInterrupted, 1),
        ("[ $RUN -gt 2 ] || kill -SEGV $$", None, 3),
        ("kill -SEGV $$", RenderFailed, 3),
        ("kill -BUS $$", RenderFailed, 3),
        ("echo 'x: Cannot allocate memory' >&2; exit 1", OutOfMemory, 1),
    ],
)
def test_the_end_of_ffmpeg_counts_like_that_of_the_child_attack_1(
    script: str, error: type[TelecineError] | None, runs: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_ffmpeg(folder, monkeypatch, script)
    if error is None:
        assert [file.name for file in render(folder)] == [
            "video.mp4",
            "captions.srt",
            "captions.vtt",
            "captions.lrc",
            "captions.ass",
            "cover.jpg",
        ]
    else:
        with pytest.raises(error) as caught:
            render(folder)
        assert type(caught.value) is error
    assert (folder.parent / "runs").read_text().count("x") == runs


def test_the_last_line_of_ffmpeg_is_in_the_error_and_in_the_log_attack_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = (
        "head -c 3000000 /dev/zero | tr '\\0' 'z' >&2; echo >&2; echo '[aac @ 0x5f] bad \\033[2J in file:/a/b/song' >&2"
    )
    use_ffmpeg(folder, monkeypatch, f"{flood}; exit 183")
    with capture_logs() as logs, pytest.raises(RenderFailed, match=r"could not be encoded \(bad \[2J in song\)"):
        render(folder)
    (entry,) = [entry for entry in logs if entry["event"] == "media_child_failed"]
    assert entry["last_line"].endswith("song")
    assert len(json.dumps(entry)) < 1000


@pytest.mark.parametrize("mode", [0o644, None], ids=["not executable", "missing"])
def test_an_ffmpeg_that_cannot_be_started_is_not_the_media_s_fault_attack_1(
    mode: int | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_ffmpeg(folder, monkeypatch, "")
    if mode is None:
        (folder.parent / "ffmpeg").unlink()
    else:
        (folder.parent / "ffmpeg").chmod(mode)
    with pytest.raises(InternalError, match="ffmpeg cannot be started"):
        render(folder)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), RenderInterrupted),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), RenderInterrupted),
        (RuntimeError("can't start new thread"), RenderInterrupted),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemory),
        (ModuleNotFoundError("No module named 'av'", name="av"), InternalError),
        (ZeroDivisionError(), RenderFailed),  # a defect, which another attempt would meet again
    ],
)
def test_an_exhausted_machine_or_half_an_installation_is_not_the_media_s_fault_attack_1(
    fault: Exception, expected: type[TelecineError]
) -> None:
    assert type(_as_telecine_error(fault)) is expected


def test_a_child_that_cannot_be_imported_is_not_the_media_s_fault_attack_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InternalError, match="incomplete"):
        run_code(folder, monkeypatch, "import pipelines.that_an_upgrade_has_removed")


def test_the_last_line_of_an_ffmpeg_that_crashes_is_in_the_error_attack_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_ffmpeg(folder, monkeypatch, "echo 'Assertion p->size failed at /src/aac.c:9' >&2; kill -ABRT $$")
    with pytest.raises(RenderFailed, match=r"signal 6 \(Assertion p->size failed at aac.c:9\)"):
        render(folder)


def test_a_child_that_aborts_for_lack_of_memory_is_not_started_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutOfMemory):
        run_code(
            folder,
            monkeypatch,
            "import sys; sys.stderr.write('memory allocation failed'); sys.stderr.flush(); os.abort()",
        )
    assert (folder / "count").read_text() == "1"


@pytest.mark.parametrize("kills", [1, 9])
def test_a_child_that_is_killed_is_started_again_once_attack_1(
    kills: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"if run <= {kills}: os.kill(os.getpid(), signal.SIGKILL)\ndone()"
    if kills == 1:
        assert run_code(folder, monkeypatch, code) == {"run": 2}
        return
    with pytest.raises(RenderKilled) as caught:
        run_code(folder, monkeypatch, code)
    assert (caught.value.code, caught.value.retryable) == ("out_of_memory", True)
    assert (folder / "count").read_text() == "2"


# --- the disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["audio.aac", "video.mp4", "captions.srt"])
def test_a_full_disk_is_a_passing_fault_whoever_writes_attack_3(name: str, folder: Path) -> None:
    (folder / name).symlink_to("/dev/full")
    with pytest.raises(StorageUnavailable, match="no disk space") as caught:
        render(folder)
    assert caught.value.retryable


@pytest.mark.parametrize("task", [Task.PROBE, Task.MEASURE, Task.DECODE])
@pytest.mark.parametrize("kind", ["mp3", "flac", "mp4", "webm", "png"])
def test_an_input_that_the_disk_does_not_return_is_not_held_against_the_media_attack_3(
    kind: str, task: Task, folder: Path
) -> None:
    # Reading the memory of a process at address 0 fails with EIO, as reading a file of a broken disk does.
    arguments = {"path": "/proc/self/mem", "kind": kind, "target": str(folder / "t.png")}
    with pytest.raises(StorageUnavailable, match="disk"):
        run_child(task, arguments, folder)


@pytest.mark.parametrize("number", [28, 122, 30, 5], ids=["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def test_a_disk_that_ffmpeg_cannot_write_is_a_passing_fault_attack_3(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_ffmpeg(folder, monkeypatch, f"echo 'Error writing trailer: {os.strerror(number)}' >&2; exit {256 - number}")
    with pytest.raises(StorageUnavailable, match="disk"):
        render(folder)
