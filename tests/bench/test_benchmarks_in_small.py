"""Every benchmark runs in small, so that it cannot rot: counts, not speeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.bench.dashboard import PAGES
from tests.bench.flights import WAYS
from tests.bench.messages import in_turn
from tests.bench.reel import make_material
from tests.servers.rabbitmq import RabbitMQ
from tests.spoken import TEXTS, spoken, write_speech
from tests.telecine_process import ROOT


def run(name: str, folder: Path, *options: str) -> dict[str, Any]:
    """Run a benchmark as ``make bench`` does and return its figures."""
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(out), *options]
    subprocess.run(command, cwd=ROOT, check=True, timeout=240, stdout=subprocess.DEVNULL)
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures


def test_every_way_of_taking_messages_gets_through_a_few_of_them(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    options = ("--count", "30", "--rounds", "1", "--callbacks", "5", "--broker", rabbitmq.url)
    figures = run("messages", tmp_path, *options)
    assert figures["failed"] == {}
    assert list(figures["messages_per_second"]) == [
        "Telecine, SQLite",
        "Telecine, PostgreSQL",
        "Telecine, admission alone, SQLite",
        "Telecine, admission alone, PostgreSQL",
        "Celery, prefork 2, prefetch 1",
        "Celery, prefork 2, prefetch 4 (default)",
        "dramatiq, 2 processes",
        "pika, prefetch 100",
    ]
    assert set(figures["milliseconds_to_callback"]) == {"SQLite", "PostgreSQL"}


def test_starts_of_commands_and_workers_are_measured(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    figures = run("start", tmp_path, "--rounds", "1", "--broker", rabbitmq.url)
    assert {name for name, each in figures.items() if each["cpu_seconds"]["least"] > 0.05} == {
        "celery --help",
        "telecine --help",
        "telecine submit",
        "celery worker",
        "telecine worker",
    }
    # A ratio of processor times: importing the pipelines or the ledger would more than double it.
    assert figures["telecine submit"]["cpu_ratio"] < 2.5
    assert figures["telecine worker"]["seconds"]["least"] < 60


def test_a_rival_that_fails_is_reported_and_the_others_go_on() -> None:
    def broken() -> float:
        raise RuntimeError("0 of 4000 messages after 120 seconds")

    failed: dict[str, str] = {}
    assert in_turn({"broken": broken, "sound": lambda: 5.0}, 2, failed) == {"sound": [5.0, 5.0]}
    assert failed == {"broken": "0 of 4000 messages after 120 seconds"}


def test_jobs_are_traced_in_one_of_two_ways(tmp_path: Path) -> None:
    figures = run("traces", tmp_path, "--count", "50", "--rounds", "2")
    assert figures["spans_per_job"] == 3


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_waiting_for_a_provider_notices_that_its_tasks_are_done(way: str, tmp_path: Path) -> None:
    options = ("--count", "4", "--task-seconds", "1", "--poll-seconds", "1", "--limit-seconds", "60", "--only", way)
    figures = run("flights", tmp_path, *options)["ways"][way]
    assert (figures["submitted"], figures["noticed"]) == (4, 4)


def test_a_short_reel_is_made_in_every_way(tmp_path: Path) -> None:
    options = ("--seconds", "3", "--repeats", "1", "--moviepy-seconds", "0", "--long-seconds", "7")
    found = run("reel", tmp_path, *options)
    figures = {figure["name"]: figure for figure in [*found["figures"], *found["lengths"]]}
    assert all(figure["wall_seconds"] > 0 and figure["file_bytes"] > 0 for figure in figures.values())
    styles = ("classic", "bold", "minimal", "box", "karaoke", "pop")
    assert {name: figure["frames"] for name, figure in figures.items()} == {
        "AAC alone (ffmpeg, fast coder)": None,
        **{f"Telecine, {style}": 90 for style in styles},
        "ffmpeg, loop filter, veryfast": 90,
        "ffmpeg, -loop 1, veryfast": 90,
        "ffmpeg, one frame a second, veryfast": 3,
        "Telecine, 5 s": 150,
        "Telecine, 7 s": 210,
    }
    assert found["reels_a_minute"] > 0


def test_films_of_which_every_frame_differs_are_measured(tmp_path: Path) -> None:
    figures = run("films", tmp_path, "--frames", "24")["figures"]
    assert [figure["film"] for figure in figures] == ["smooth", "with grain"]
    assert all(0.5 < figure["bytes_at_equal_ssim"] <= 1.05 for figure in figures)


def test_no_caption_of_the_reel_is_shown_twice(tmp_path: Path) -> None:
    lines = make_material(tmp_path, 180)[2].split("\n")
    assert len(set(lines)) == len(lines) == 180


def test_the_edge_is_measured_and_its_open_waits_take_no_more_memory_with_time(tmp_path: Path) -> None:
    options = ("--count", "40", "--rounds", "1", "--waits", "150", "--wait-seconds", "4", "--events", "3")
    figures = run("edge", tmp_path, *options)
    for ways in figures["admitted_per_second"].values():
        assert all(found["median"] > 0 for found in ways.values())
    assert list(figures["admitted_per_second"]["1 MB of files"]) == [
        "Telecine",
        "plain FastAPI",
        "plain FastAPI, synced",
    ]
    waits = figures["waits"]
    assert waits["answered"] == 150
    assert max(waits["megabytes_waiting"]) - waits["megabytes_waiting"][0] < 3
    assert waits["megabytes_waiting"][-1] - waits["megabytes_idle"] < 60
    assert 0 < figures["milliseconds_to_first_event"]["p50"] < 5000


def test_local_models_are_measured(tmp_path: Path) -> None:
    figures = run("local", tmp_path, "--steps", "2", "--runs", "1", "--jobs", "6")
    assert figures["jobs"] == 6
    assert figures["pictures_per_second"] > 0


def test_alignment_is_measured_for_speech_and_for_songs_of_a_folder(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    write_speech(songs / "mine.wav", spoken("it"))
    (songs / "mine.txt").write_text(TEXTS["it"][1], encoding="utf-8")
    (songs / "mine.words.csv").write_text("word_start\n" + "\n".join(map(str, spoken("it").starts)) + "\n")
    figures = run("alignment", tmp_path, "--languages", "en", "--songs", str(songs))["figures"]
    found = {(figure["case"], figure["way"]): figure for figure in figures}
    assert found["en, wrong lyrics", "local"]["used"] == "spread"
    for case in ("en, clean", "en, music 0 dB", "mine"):
        assert found[case, "local"]["within_300"] >= 0.85
        assert found[case, "local"]["median"] < found[case, "spread"]["median"]
        assert found[case, "even"]["used"] == "even"


def test_the_job_of_one_tenant_does_not_wait_for_the_flood_of_another(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    sizes = ("--waiting", "300", "--samples", "3", "--flood", "300")
    figures = run("turns", tmp_path, *sizes, "--ledgers", "SQLite", "--broker", rabbitmq.url)
    assert list(figures["claims"]) == ["SQLite, 1 tenant", "SQLite, 1,000 tenants"]
    waits = figures["waits"]
    assert waits["Celery"]["ledger"] > 0
    # Two workers may each be in the middle of a group when it arrives, and its turn is within the next one.
    assert waits["Telecine, SQLite"]["jobs_before"] <= 2 * 50 + 10


def test_growth_is_measured_and_drawn(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    small = ("--count", "40", "--rounds", "1", "--samples", "100", "--processes", "1", "--workers", "1")
    figures = run(
        "growth", tmp_path, *small, "--rows", "300", "--broker", rabbitmq.url, "--plot", str(tmp_path / "plot.svg")
    )
    assert [each["median"] > 0 for each in figures["jobs_a_second"]] == [True]
    assert figures["ledger_bytes_a_job"] > 1000
    assert all(taken["postgresql"] and taken["rabbitmq"] for taken in figures["processes"].values())
    assert figures["finished"]["300"]["claim_ms"] > 0
    assert ET.parse(tmp_path / "plot.svg").getroot().tag.endswith("svg")


def test_the_dashboard_answers_every_page_that_is_measured(tmp_path: Path) -> None:
    figures = run("dashboard", tmp_path, "--jobs", "300", "--seconds", "1", "--viewers", "5", "--looks", "2")
    for name in ("SQLite", "PostgreSQL"):
        assert set(figures["ways"][name]["first_byte_ms"]) == set(PAGES)
        assert max(figures["ways"][name]["first_visit_bytes"].values()) < 100_000


def test_a_scrape_is_measured_with_open_jobs_calls_and_a_full_log(tmp_path: Path) -> None:
    sizes = ("--jobs", "300", "--backlog", "50", "--calls", "40", "--ended", "60", "--looks", "2")
    figures = run("metrics", tmp_path, *sizes)["ways"]
    for name in ("SQLite", "PostgreSQL"):
        assert 0 < figures[name]["idle_scrape_ms"]["median"] < 5000
        assert figures[name]["scrape_ms"]["bytes"] > 10_000
