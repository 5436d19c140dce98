"""The Kubernetes manifests name commands, settings and queries that exist. `make deploy-check` knows their schemas."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.dialects import postgresql

from consumer.ledger import leases, pauses, queries
from consumer.ledger.database import db_now
from consumer.ledger.due import workers_wanted
from consumer.ledger.pauses import PauseKind
from consumer.ledger.states import State
from consumer.ledger.tables import jobs
from consumer.wakeups.queues import ROLES
from ops.serving import CLOSING_SECONDS, GRACE_SECONDS
from schemas.settings import Settings
from tests.deploy.manifests import (
    DEPLOY,
    KUBERNETES,
    Document,
    check_command,
    check_settings,
    kubernetes,
    parts,
    settings_file,
    variables,
)
from tests.ledger_views import Ledger, opened

COMMON = settings_file(KUBERNETES / "base" / "settings.env")
PARTS = {name.removeprefix("telecine-"): (pod, container) for name, pod, container in parts(kubernetes())}
#: Between the last signal of a process and its end.
MARGIN_SECONDS = 30


def test_every_command_and_setting_of_the_manifests_exists() -> None:
    assert set(PARTS) == {
        *("migrate", "doors", "sweep", "calls", "outbox", "edge", "dashboard"),
        *(f"worker-{role}" for role in ROLES),
    }
    for _, container in PARTS.values():
        check_command(container["args"])
        check_settings(COMMON | variables(container))


def test_a_pod_has_the_secrets_that_it_reads_and_no_others() -> None:
    pod = next(
        document for document in kubernetes() if document["metadata"]["name"] == "any" and "volumes" in _pod(document)
    )
    common = _files(_pod(pod), _pod(pod)["containers"][0])
    for name, (own, container) in PARTS.items():
        read = set()
        for variable, value in (COMMON | variables(container)).items():
            if "SECRET" in variable or "TOKEN" in variable or variable.endswith(("BROKER_URL", "LEDGER_URL", "KEY")):
                assert variable.endswith("_FILE")
            if value.startswith("/run/secrets/"):
                read.add(value)
        assert common | _files(own, container) == read, name


def test_the_key_of_callbacks_in_format_game_reaches_the_parts_that_need_it() -> None:
    component = yaml.safe_load((KUBERNETES / "components" / "game-api-key" / "kustomization.yaml").read_text())
    (patch,) = component["patches"]
    wanted = {name for name in PARTS if re.fullmatch(patch["target"]["name"], f"telecine-{name}")}
    assert wanted == {"doors", "edge", "outbox"}
    pod = _pod(yaml.safe_load(patch["patch"]))
    (container,) = pod["containers"]
    assert {f"{Settings.model_fields['game_api_key'].validation_alias}_FILE"} == variables(container).keys()
    assert set(variables(container).values()) == _files(pod, container)
    (secret,) = pod["volumes"]
    page = (DEPLOY.parents[1] / "docs" / "deploying-kubernetes.md").read_text()
    assert f"`{secret['secret']['items'][0]['key']}`" in page


def _pod(document: Document) -> Document:
    pod: Document = document["spec"]["template"]["spec"]
    return pod


def _files(pod: Document, container: Document) -> set[str]:
    """Return the paths of the secrets that a container has; an optional secret is chosen by the operator."""
    folders = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    found = set()
    for volume in pod["volumes"]:
        sources = volume.get("projected", {}).get("sources", [volume])
        for source in sources:
            secret = source.get("secret", {})
            assert secret.get("optional") or "items" in secret or not secret
            found |= {f"{folders[volume['name']]}/{item['path']}" for item in secret.get("items", [])}
    return found


def test_the_prometheus_operator_gets_the_alerts_of_rules_yml() -> None:
    (rule,) = [document for document in kubernetes() if document["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())


def test_a_pod_has_the_time_that_its_process_takes_to_stop() -> None:
    def seconds(setting: str, part: str) -> float:
        given = (COMMON | variables(PARTS[part][1])).get(f"TELECINE_{setting.upper()}")
        return float(given if given is not None else Settings.model_fields[setting].default)

    needed = dict.fromkeys(("doors", "sweep", "outbox", "edge", "dashboard"), GRACE_SECONDS + CLOSING_SECONDS)
    needed["calls"] = seconds("call_stop_seconds", "calls") + CLOSING_SECONDS
    # A worker ends its jobs first: they fetch two inputs, one after another, and render or run a model.
    fetch = {role: 2 * seconds("fetch_timeout_seconds", f"worker-{role}") for role in ROLES}
    needed["worker-io"] = fetch["io"]
    needed["worker-render"] = fetch["render"] + seconds("render_timeout_seconds", "worker-render")
    needed["worker-gpu"] = fetch["gpu"] + seconds("local_timeout_seconds", "worker-gpu")
    grace = {name: PARTS[name][0]["terminationGracePeriodSeconds"] for name in needed}
    assert {
        name: grace[name] for name in grace if not needed[name] <= grace[name] <= needed[name] + 3 * MARGIN_SECONDS
    } == {}
    assert seconds("call_stop_seconds", "calls") > seconds("elevenlabs_timeout_seconds", "calls")


def autoscaling_queries() -> dict[str, str]:
    """Return the query of the manifests for each role."""
    scaled = [document for document in kubernetes() if document["kind"] == "ScaledObject"]
    return {
        document["spec"]["scaleTargetRef"]["name"].removeprefix("telecine-worker-"): trigger["metadata"]["query"]
        for document in scaled
        for trigger in document["spec"]["triggers"]
    }


@pytest.mark.parametrize(("component", "workers"), [("keda", "base"), ("keda-gpu", "gpu")])
def test_a_component_scales_only_workers_that_its_overlays_have(component: str, workers: str) -> None:
    there = {name for name, _, _ in parts(kubernetes(workers))}
    scaled = [item for item in kubernetes(f"components/{component}") if item["kind"] == "ScaledObject"]
    assert {item["spec"]["scaleTargetRef"]["name"] for item in scaled} == {name for name in there if "worker" in name}


def test_autoscaling_sends_the_query_of_the_ledger_for_every_role() -> None:
    def text(role: str) -> str:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        compiled = workers_wanted(role).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        return " ".join(str(compiled).split())

    assert autoscaling_queries() == {role: text(role) for role in ROLES}


def test_autoscaling_counts_the_jobs_that_run_or_are_due_and_no_others(postgres_url: str) -> None:
    """In each state: parked, scheduled, retrying, paused and ended jobs need no worker."""
    with opened(postgres_url) as ledger:
        _jobs_in_every_state(ledger)
        with ledger.a.write() as connection:
            # One job in each of the other roles.
            connection.execute(sa.update(jobs).where(jobs.c.id == "due-2").values(role="gpu"))
            connection.execute(sa.update(jobs).where(jobs.c.id == "running-2").values(role="io"))
        found = {}
        with ledger.b.read() as connection:
            for role, query in autoscaling_queries().items():
                found[role] = connection.execute(sa.text(re.sub(r":(?=\w)", r"\\:", query))).scalar_one()
        assert found == {"io": 1, "gpu": 1, "render": 4}
        counted = queries.count_open_jobs(ledger.b)
        assert found == {role: counted.get(("running", role), 0) + counted.get(("due", role), 0) for role in ROLES}


def _jobs_in_every_state(ledger: Ledger) -> None:
    names = ["due", "due-2", "running", "running-2", "lost", "parked", "retrying", "later", "storing", "paused"]
    ledger.admit(*({"id": name} for name in names))
    for state in (State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED):
        ledger.ended(state, f"ended-{state}")
    ledger.claimed("running")
    ledger.claimed("running-2")
    ledger.claimed("lost", seconds=-1)  # its worker died
    leases.park(ledger.a, ledger.claimed("retrying"), seconds=600, event="retry_later", failures=1)
    with ledger.a.write() as connection:
        change = sa.update(jobs)
        connection.execute(change.where(jobs.c.id == "parked").values(state="waiting", wake_at=None))
        connection.execute(change.where(jobs.c.id == "later").values(not_before=db_now() + 600, wake_at=db_now() + 600))
        connection.execute(
            change.where(jobs.c.id == "storing").values(
                state="storing", lease_owner="a", lease_until=db_now() + 60, wake_at=db_now() + 60
            )
        )
        connection.execute(change.where(jobs.c.id == "paused").values(type="image_to_prompt"))
    pauses.pause(ledger.a, PauseKind.TYPE, "image_to_prompt", by="anna")
