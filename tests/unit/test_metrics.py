"""``/metrics``: the Prometheus metrics."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.metrics import render_metrics
from ops.metrics_snapshot import Snapshot, take_snapshot
from schemas.errors import InvalidImage
from tests.cli_operator import Operator, an_operator

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


def named(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.fixture
def snapshot(operator: Operator) -> Snapshot:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks"})
    operator.receive("order-2")
    operator.receive("order-3")
    operator.fail(operator.start("order-3"), InvalidImage())
    operator.arrive(b"{}")
    database = operator.database()
    try:
        return take_snapshot(database)
    finally:
        database.close()


def test_jobs_are_counted_by_type_and_state_with_zeros(snapshot: Snapshot) -> None:
    found = samples(snapshot)
    assert found[named("telecine_jobs", type="reel", state="completed")] == 1
    assert found[named("telecine_jobs", type="reel", state="failed")] == 1
    assert found[named("telecine_jobs", type="reel", state="received")] == 1
    assert found[named("telecine_jobs", type="reel", state="running")] == 0


def test_callbacks_and_dead_letters_are_counted(snapshot: Snapshot) -> None:
    found = samples(snapshot)
    assert found[named("telecine_callbacks", state="pending")] == 1
    assert found[named("telecine_callbacks", state="exhausted")] == 0
    assert found[named("telecine_dead_letters", code="invalid_request")] == 1


def test_the_age_of_the_oldest_open_job_is_exported(snapshot: Snapshot) -> None:
    assert samples(snapshot)[named("telecine_oldest_open_job_seconds")] > 0


def test_run_times_are_a_histogram_of_ended_jobs() -> None:
    recent = [("reel", "completed", 0.2, 3.0), ("reel", "completed", 0.2, 700.0), ("reel", "completed", 0.2, 9000.0)]
    found = samples(Snapshot(jobs={}, callbacks={}, dead_letters={}, oldest_open_seconds=0, recent=recent))

    def below(limit: str) -> float:
        return found[named("telecine_recent_run_seconds_bucket", type="reel", state="completed", le=limit)]

    assert [below("2.5"), below("5.0"), below("600.0"), below("1800.0"), below("3600.0"), below("+Inf")] == [
        0,
        1,
        1,
        2,
        2,
        3,
    ]
    assert found[named("telecine_recent_run_seconds_gcount", type="reel", state="completed")] == 3
    assert found[named("telecine_recent_run_seconds_gsum", type="reel", state="completed")] == 9703


def test_spend_has_a_label_per_configured_tenant_and_one_for_all_others() -> None:
    spend = {("pika", "acme"): 500_000, ("pika", "x1"): 200_000, ("pika", "x2"): 100_000, ("pika", ""): 1_000_000}
    snapshot = Snapshot(jobs={}, callbacks={}, dead_letters={}, oldest_open_seconds=0, recent=[], spend=spend)

    def spend_by_tenant(*tenants: str) -> dict[str, float]:
        families = text_string_to_metric_families(render_metrics(snapshot, {}, tenants).decode())
        found = [sample for family in families for sample in family.samples]
        name = "telecine_provider_spend_usd"
        return {sample.labels["tenant"]: sample.value for sample in found if sample.name == name}

    assert spend_by_tenant() == {"": 1.8}
    assert spend_by_tenant("acme", "shop") == {"": 1.3, "acme": 0.5}


def test_without_a_ledger_the_process_metrics_remain() -> None:
    found = samples(None, {"door-amqp": False, "sweep": True})
    assert found[named("telecine_ledger_up")] == 0
    assert found[named("telecine_part_up", part="door-amqp")] == 0
    assert found[named("telecine_part_up", part="sweep")] == 1
    assert found[named("process_start_time_seconds")] > 0
    assert not any(name == "telecine_jobs" for name, _ in found)


def test_the_version_is_exported() -> None:
    assert any(name == "telecine_info" for name, _ in samples(None))
