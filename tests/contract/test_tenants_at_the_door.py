"""Tenants and priorities by queue, on every ledger: a request is one job, through any door."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import dead_letters
from consumer.ledger.queries import find_job, list_jobs
from consumer.ledger.records import Job
from ops.dead_letter_replay import DeadLetterReplay
from providers.http.policy import Policy
from schemas.envelope import Priority
from schemas.parse import parse_mapping
from schemas.tenants import Tenant, TenantRules
from tests.ledger_views import DATA, Ledger

ACME = Tenant(
    read=["s3://inbox/"], write=["s3://results/acme/"], output="s3://results/acme/", queues=["acme", "acme.fast"]
)
SHOP = Tenant(read=["s3://inbox/"], write=["s3://results/shop/"])
PRIORITIES: dict[str, Priority] = {"acme.fast": "high", "nightly": "low", "telecine.urgent": "high"}


def policy(tenants: dict[str, Tenant] | None = None) -> AdmissionPolicy:
    return AdmissionPolicy(
        roles={"reel": "render"},
        secret_names=frozenset(),
        policy=Policy(),
        max_message_bytes=262_144,
        tenants=TenantRules(tenants or {}),
        queue_priorities=PRIORITIES,
    )


TENANTS = policy({"acme": ACME, "shop": SHOP})


def send(
    ledger: Ledger, source: str, policy: AdmissionPolicy = TENANTS, door: str = "amqp", **fields: Any
) -> AdmitResult:
    value = {"id": "j", "type": "reel", "data": DATA} | fields
    return BatchAdmitter(ledger.a, policy)([IncomingMessage(json.dumps(value).encode(), door, source)])[0]


def cancel(ledger: Ledger, source: str, job_id: str, policy: AdmissionPolicy = TENANTS, **fields: Any) -> str | None:
    """Send a cancellation; return the error code if it becomes a dead letter."""
    value = {"type": "job.cancel", "data": {"id": job_id}} | fields
    answer = BatchAdmitter(ledger.a, policy)([IncomingMessage(json.dumps(value).encode(), "sqs", source)])[0]
    return None if answer.error is None else answer.error.code


def job(ledger: Ledger, job_id: str = "j") -> Job:
    found = find_job(ledger.b, job_id)
    assert found is not None
    return found


def test_the_queue_determines_the_tenant_and_the_output_of_a_request(ledger: Ledger) -> None:
    assert send(ledger, "acme").wake is not None
    assert job(ledger).tenant == "acme"
    assert job(ledger).parsed().tenant == "acme"
    # The job stores its output, so a later change of the tenant's default has no effect.
    assert job(ledger).parsed().output == "s3://results/acme/"


def test_a_request_is_one_job_whether_queue_or_request_name_the_tenant(ledger: Ledger) -> None:
    assert send(ledger, "acme").wake is not None
    again: list[tuple[str, dict[str, Any]]] = [
        ("acme", {"tenant": "acme"}),
        ("acme.fast", {}),
        ("acme.fast", {"tenant": "acme"}),
    ]
    for source, fields in again:
        answer = send(ledger, source, door="sqs", **fields)
        assert (answer.wake, answer.error) == (None, None)
    assert job(ledger).duplicates == 3


def test_the_priority_of_the_queue_belongs_to_the_job_and_not_to_the_request(ledger: Ledger) -> None:
    free = policy()
    answer = send(ledger, "telecine.urgent", free)
    assert answer.wake is not None
    assert answer.wake.priority == "high"
    assert job(ledger).priority == "high"
    # The same request from another queue is a duplicate, and does not change the job.
    for source, fields in (("telecine.requests", {}), ("nightly", {}), ("q", {"priority": "normal"})):
        again = send(ledger, source, free, **fields)
        assert (again.wake, again.error) == (None, None)
    assert (job(ledger).priority, job(ledger).duplicates) == ("high", 3)


@pytest.mark.parametrize(
    ("source", "named", "priority"),
    [
        ("telecine.urgent", "low", "low"),
        ("telecine.urgent", "normal", "normal"),
        ("nightly", None, "low"),
        ("telecine.requests", None, "normal"),
        ("TELECINE.URGENT", None, "normal"),
        ("nightly", "high", "high"),
    ],
)
def test_the_priority_of_a_request_overrides_that_of_its_queue(
    ledger: Ledger, source: str, named: str | None, priority: str
) -> None:
    fields: dict[str, Any] = {} if named is None else {"priority": named}
    send(ledger, source, policy(), **fields)
    assert job(ledger).priority == priority


@pytest.mark.parametrize(
    ("source", "fields", "code"),
    [
        ("shared", {"output": "s3://results/shop/"}, "tenant_required"),
        ("shared", {"tenant": "unknown"}, "tenant_unknown"),
        ("shared", {"tenant": "acme"}, "tenant_forbidden"),
        ("acme", {"tenant": "shop"}, "tenant_forbidden"),
        ("acme", {"output": "s3://results/shop/"}, "tenant_forbidden"),
        ("shared", {"tenant": "shop"}, "tenant_forbidden"),
    ],
)
def test_a_dead_letter_can_be_replayed_once_the_rules_allow_it(
    ledger: Ledger, source: str, fields: dict[str, Any], code: str
) -> None:
    answer = send(ledger, source, **fields)
    assert answer.error is not None
    assert answer.error.code == code
    assert list_jobs(ledger.b) == []
    (letter,) = dead_letters.list_newest(ledger.b, limit=9)
    assert (letter.source, letter.code) == (source, code)
    still = DeadLetterReplay(ledger.a, TENANTS)(letter)
    assert still.refused is not None
    assert still.refused.code == code
    replayed = DeadLetterReplay(ledger.a, policy())(letter)
    assert (replayed.result, replayed.refused) == ("admitted", None)


def test_a_replayed_message_belongs_to_the_queue_that_it_came_from(ledger: Ledger) -> None:
    send(ledger, "acme.fast", policy({"shop": SHOP}))
    (letter,) = dead_letters.list_newest(ledger.b, limit=9)
    assert DeadLetterReplay(ledger.a, TENANTS)(letter).result == "admitted"
    assert (job(ledger).tenant, job(ledger).priority) == ("acme", "high")


def test_a_tenant_cancels_its_own_jobs_and_no_others(ledger: Ledger) -> None:
    send(ledger, "acme")
    send(ledger, "shared", id="s", tenant="shop", output="s3://results/shop/")
    assert cancel(ledger, "acme", "s") == "job_not_found"
    assert cancel(ledger, "shared", "j", tenant="shop") == "job_not_found"
    assert cancel(ledger, "shared", "j") == "tenant_required"
    assert cancel(ledger, "shared", "j", tenant="acme") == "tenant_forbidden"
    assert cancel(ledger, "acme", "j", tenant="shop") == "tenant_forbidden"
    assert not job(ledger).cancel_requested
    assert not job(ledger, "s").cancel_requested
    assert cancel(ledger, "acme", "j") is None
    assert cancel(ledger, "shared", "s", tenant="shop") is None
    assert job(ledger).cancel_requested
    assert job(ledger, "s").cancel_requested
    assert len(dead_letters.list_newest(ledger.b, limit=9)) == 5


def test_the_error_for_a_foreign_job_is_that_for_an_unknown_job(ledger: Ledger) -> None:
    send(ledger, "acme")
    for job_id in ("j", "k"):
        assert cancel(ledger, "shared", job_id, tenant="shop") == "job_not_found"
    foreign, none = (letter.message for letter in dead_letters.list_newest(ledger.b, limit=9))
    assert foreign.replace("'k'", "'j'") == none.replace("'k'", "'j'")


def test_without_tenants_a_cancellation_with_a_tenant_name_ends_only_jobs_of_that_name(ledger: Ledger) -> None:
    free = policy()
    send(ledger, "q", free, tenant="a")
    assert cancel(ledger, "q", "j", free, tenant="b") == "job_not_found"
    assert cancel(ledger, "q", "j", free, tenant="a") is None
    assert cancel(ledger, "q", "j", free) is None


def test_a_replayed_cancellation_is_judged_like_a_new_one(ledger: Ledger) -> None:
    cancel(ledger, "acme", "j")
    (letter,) = dead_letters.list_newest(ledger.b, limit=9)
    send(ledger, "shared", id="j", tenant="shop", output="s3://results/shop/")
    refused = DeadLetterReplay(ledger.a, TENANTS)(letter).refused
    assert refused is not None
    assert refused.code == "job_not_found"
    assert not job(ledger).cancel_requested


def test_the_newest_jobs_of_one_tenant_are_listed(ledger: Ledger) -> None:
    send(ledger, "acme")
    send(ledger, "shared", id="s", tenant="shop", output="s3://results/shop/")
    assert [found.id for found in list_jobs(ledger.b, tenant="shop")] == ["s"]
    assert list_jobs(ledger.b, tenant="sho") == []


def test_a_duplicate_is_absorbed_although_the_rules_have_changed_friction_low(ledger: Ledger) -> None:
    fields: dict[str, Any] = {"callback": {"url": "http://hooks.internal/x"}, "output": "s3://results/acme/"}
    before = dataclasses.replace(policy(), policy=Policy(allowed_hosts=frozenset({"hooks.internal"})))
    assert send(ledger, "q", before, **fields).wake is not None
    for changed in (policy(), dataclasses.replace(before, roles={})):
        again = send(ledger, "q", changed, **fields)
        assert (again.wake, again.error) == (None, None)
    # Other content is refused by the rules, and so is the same content of another tenant.
    other = send(ledger, "q", policy(), **fields, metadata={"a": 1})
    assert other.error is not None
    assert other.error.code == "address_forbidden"
    foreign = send(ledger, "q", policy(), **fields, tenant="acme")
    assert foreign.error is not None
    assert job(ledger).duplicates == 2
    assert len(list_jobs(ledger.b)) == 1


def test_a_dead_letter_whose_request_has_a_job_by_now_is_a_duplicate_under_any_rules(ledger: Ledger) -> None:
    fields: dict[str, Any] = {"callback": {"url": "http://hooks.internal/x"}}
    send(ledger, "q", policy(), **fields)
    (letter,) = dead_letters.list_newest(ledger.b, limit=9)
    before = dataclasses.replace(policy(), policy=Policy(allowed_hosts=frozenset({"hooks.internal"})))
    assert DeadLetterReplay(ledger.a, policy())(letter).result == "refused"
    assert send(ledger, "q", before, **fields).wake is not None
    assert DeadLetterReplay(ledger.a, policy())(letter).result == "duplicate"
    assert job(ledger).duplicates == 1


def test_an_invalid_message_is_validated_once(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    counted: list[object] = []

    def count(mapping: Any) -> Any:
        counted.append(mapping)
        return parse_mapping(mapping)

    monkeypatch.setattr("consumer.admission.parsing.parse_mapping", count)
    changes: list[dict[str, Any]] = [
        {"data": {}},
        {"tenant": "unknown"},
        {"callback": {"url": "http://127.0.0.1/"}},
        {},
    ]
    for fields in changes:
        send(ledger, "q", **fields)
    assert len(counted) == 4
