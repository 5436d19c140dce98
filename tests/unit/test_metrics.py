"""``/metrics``: the Prometheus metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from consumer.ledger.counters import Counters
from ops import metric_families as families
from ops.machine_metrics import look_at_machine
from ops.metrics import render_metrics
from ops.metrics_snapshot import Snapshot, take_snapshot
from schemas.accounts import Budget
from schemas.errors import InvalidImage
from schemas.settings import Settings
from tests.cli_operator import Operator, an_operator
from tests.telecine_process import ROOT

DEPLOY = ROOT / "ops/deploy"
_operator = pytest.fixture(an_operator, name="operator")


def samples(
    snapshot: Snapshot | None, parts: Mapping[str, bool] | None = None
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = render_metrics(snapshot, parts or {}).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def named(name: str, /, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.fixture
def snapshot(operator: Operator) -> Snapshot:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks"})
    operator.receive("order-2")
    operator.receive("order-3")
    operator.fail(operator.start("order-3"), InvalidImage())
    operator.arrive(b"{}")
    operator.run("pause", "--provider", "pika")
    database = operator.database()
    try:
        return take_snapshot(database, operator.settings.model_copy(update={"budgets": {"acme": Budget(usd=50)}}))
    finally:
        database.close()


def test_what_has_ended_is_counted_with_zeros_for_what_is_known_before(snapshot: Snapshot) -> None:
    found = samples(snapshot)
    assert found[named("telecine_jobs_received_total", type="reel")] == 3
    assert found[named("telecine_jobs_received_total", type="text-to-video")] == 0
    ended = {"type": "reel", "tenant": ""}
    assert found[named("telecine_jobs_ended_total", state="completed", code="", **ended)] == 1
    assert found[named("telecine_jobs_ended_total", state="failed", code="invalid_image", **ended)] == 1
    assert found[named("telecine_result_bytes_total", type="reel")] > 0
    assert found[named("telecine_dead_letters_received_total", code="invalid_request")] == 1
    assert found[named("telecine_callback_attempts_total", outcome="delivered")] == 0
    assert found[named("telecine_job_failed_attempts_total", type="reel", reason="crash")] == 0
    assert found[named("telecine_job_run_seconds_count", type="reel", state="completed")] == 1
    assert found[named("telecine_job_wait_seconds_count", type="reel")] == 2


def test_what_is_open_now_is_exported(snapshot: Snapshot) -> None:
    found = samples(snapshot)
    assert found[named("telecine_jobs", type="reel", state="received")] == 1
    assert found[named("telecine_jobs", type="reel", state="running")] == 0
    assert found[named("telecine_open_jobs", role="render", priority="normal", status="due")] == 1
    assert found[named("telecine_open_jobs", role="gpu", priority="high", status="due")] == 0
    assert found[named("telecine_oldest_due_job_seconds", role="render", priority="normal")] > 0
    assert found[named("telecine_oldest_open_job_seconds")] > 0
    assert found[named("telecine_callbacks", state="pending")] == 1
    assert found[named("telecine_callbacks", state="exhausted")] == 0
    assert found[named("telecine_dead_letters", code="invalid_request")] == 1
    assert found[named("telecine_paused", kind="provider", name="pika")] == 1
    assert found[named("telecine_budget_usd", tenant="acme", period="month")] == 50
    assert found[named("telecine_budget_spent_usd", tenant="acme", period="month")] == 0


def test_histograms_are_cumulative_and_have_a_sum() -> None:
    counters: Counters = {
        ("job_run_bucket", ("reel", "completed", "5")): 1,
        ("job_run_bucket", ("reel", "completed", "12")): 1,
        ("job_run_bucket", ("reel", "completed", "14")): 1,
        ("job_run_micros", ("reel", "completed")): 9_703_000_000,
        ("spent", ("pika", "m", "acme")): 123_457,
    }
    found = samples(Snapshot(counters=counters))
    labels = {"type": "reel", "state": "completed"}
    limits = ("2.5", "5.0", "600.0", "1800.0", "3600.0", "+Inf")
    below = [found[named("telecine_job_run_seconds_bucket", le=limit, **labels)] for limit in limits]
    assert below == [0, 1, 1, 2, 2, 3]
    assert found[named("telecine_job_run_seconds_count", **labels)] == 3
    assert found[named("telecine_job_run_seconds_sum", **labels)] == 9703
    assert found[named("telecine_provider_spend_usd_total", provider="pika", model="m", tenant="acme")] == 0.123457


def test_without_a_ledger_the_metrics_of_the_process_remain() -> None:
    found = samples(None, {"door-amqp": False, "sweep": True})
    assert found[named("telecine_ledger_up")] == 0
    assert found[named("telecine_part_up", part="door-amqp")] == 0
    assert found[named("telecine_part_up", part="sweep")] == 1
    assert found[named("process_start_time_seconds")] > 0
    assert not any(name == "telecine_jobs" for name, _ in found)
    assert any(name == "telecine_info" for name, _ in found)


def test_disks_and_files_in_progress_are_measured(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "not" / "yet")
    machine = look_at_machine(settings, None)
    assert set(machine.disks) == {"scratch", "home", "storage"}
    assert all(0 <= free < size for free, size in machine.disks.values())
    (settings.scratch_folder / "job-1").mkdir(parents=True)
    (settings.scratch_folder / "job-1" / "song.wav").write_bytes(b"x" * 5000)
    (settings.scratch_folder / "job-1" / "gone").symlink_to("nowhere")
    assert 5000 <= look_at_machine(settings, None).scratch_bytes < 6000


def test_every_metric_is_documented_and_named_as_prometheus_wants(snapshot: Snapshot) -> None:
    machine = look_at_machine(Settings(), None)
    text = render_metrics(snapshot, {"sweep": True}, machine=machine, slots={"worker": 2}, storage_up=True)
    documented = {family.name for section in families.SECTIONS.values() for family in section}
    exported = {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE telecine")}
    assert exported == documented
    if (promtool := shutil.which("promtool")) is not None:
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"][0]["rules"]
    return found


def test_every_alert_has_a_severity_and_a_section_of_the_runbooks() -> None:
    sections = [line[3:] for line in (ROOT / "docs/runbooks.md").read_text().splitlines() if line.startswith("## ")]
    assert sections == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_rules_and_dashboard_use_metrics_that_exist() -> None:
    known = {family.name for section in families.SECTIONS.values() for family in section}
    known |= {f"{name}_bucket" for name in known}
    queries = [rule["expr"] for rule in rules()]
    panels = json.loads((DEPLOY / "grafana/telecine.json").read_text())["panels"]
    queries += [target["expr"] for panel in panels for target in panel.get("targets", ())]
    used = {name for query in queries for name in re.findall(r"\btelecine_\w+", query)}
    assert used
    assert used <= known
    places: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & places, panel["title"]
        places |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="tests/servers/install.sh installs it")
@pytest.mark.parametrize("arguments", ["check rules rules.yml", "test rules rules_test.yml"])
def test_promtool_accepts_the_rules(arguments: str) -> None:
    command = ["promtool", *arguments.split()]
    checked = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
