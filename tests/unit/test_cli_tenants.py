"""Tenant, priority and deadline in the output of the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli_operator import REEL, Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")

TENANTS = {"acme": {"read": ["s3://inbox/acme/"], "write": ["s3://results/acme/"], "queues": ["inbox"]}}


def test_status_shows_tenant_priority_and_deadline_if_set(operator: Operator) -> None:
    operator.receive("order-1", tenant="acme", priority="high", deadline=3600)
    operator.receive("order-2")
    result = operator.run("status", "order-1").out
    for line in ("tenant acme", "priority high", "deadline "):
        assert line in " ".join(result.split())
    assert "(in 59 min" in result or "(in 1 h" in result
    plain = operator.run("status", "order-2").out
    assert not any(word in plain for word in ("tenant", "priority", "deadline"))
    view = operator.run("status", "order-1", "--json").json
    assert (view["tenant"], view["priority"], view["deadline_at"][-1]) == ("acme", "high", "Z")


def test_explain_shows_tenant_priority_and_deadline(operator: Operator) -> None:
    operator.receive("order-1", tenant="acme", priority="low", deadline="2099-01-02T03:04:05Z")
    assert "tenant acme, priority low, deadline 2099-01-02 03:04:05 UTC" in operator.run("explain", "order-1").out
    operator.receive("order-2")
    assert "priority" not in operator.run("explain", "order-2").out


def test_list_has_a_tenant_column_if_needed_and_notes_priority_and_deadline(operator: Operator) -> None:
    operator.receive("order-1", priority="high")
    assert "TENANT" not in operator.run("list").out
    operator.receive("order-2", tenant="acme", deadline=3600)
    head, second, first = operator.run("list").out.splitlines()
    assert head.split()[:3] == ["JOB", "TENANT", "TYPE"]
    assert second.split()[:3] == ["order-2", "acme", "reel"]
    assert "due in" in second
    assert "high priority" in first


def test_list_can_be_limited_to_one_tenant(operator: Operator) -> None:
    operator.receive("order-1", tenant="acme")
    operator.receive("order-2", tenant="shop")
    operator.receive("order-3")
    assert [job["job_id"] for job in operator.run("list", "--tenant", "acme", "--json").json] == ["order-1"]
    assert "guest has no jobs" in operator.run("list", "--tenant", "guest").err
    assert "No job of acme is failed" in operator.run("list", "--tenant", "acme", "--status", "failed").err


def test_the_settings_in_force_show_the_tenants(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_TENANTS", json.dumps(TENANTS))
    shown = json.dumps(operator.run("doctor", "--settings", "--json").json)
    assert json.dumps(TENANTS["acme"]) in shown


def test_a_plan_follows_the_tenant_rules(operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELECINE_TENANTS", json.dumps(TENANTS))
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"id": "p", "type": "reel", "data": REEL}))
    result = operator.run("plan", str(path))
    assert result.status == 1
    assert "tenant_forbidden" in result.err
    assert "data.image" in result.err
