"""The manifests and the Compose file against their schemas: `make deploy-check`, which installs what this needs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.manifests import DEPLOY, KUBERNETES, Document, parts

NODE = Path(__file__).parent / "node"
PROGRAMS = Path(sys.executable).parent
#: Kinds that a cluster has only with an operator.
CUSTOM = ("keda.sh/", "monitoring.coreos.com/")
KINDS = ["PodMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"]
OVERLAYS = ("base", "overlays/cpu", "overlays/gpu", "overlays/keda")


@functools.cache
def built(overlay: str) -> str:
    """Return what `kubectl apply` would send."""
    command = [str(PROGRAMS / "kubectl"), "kustomize", str(KUBERNETES / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(overlay: str) -> list[Document]:
    return list(yaml.safe_load_all(built(overlay)))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_of_an_overlay_is_valid_and_has_no_unknown_field(overlay: str, tmp_path: Path) -> None:
    ours = [document for document in documents(overlay) if not document["apiVersion"].startswith(CUSTOM)]
    path = tmp_path / "objects.yaml"
    path.write_text(yaml.safe_dump_all(ours))
    command = [str(PROGRAMS / "kubernetes-validate"), "--strict", "--quiet", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_keda_and_the_prometheus_operator_read_is_valid() -> None:
    custom = [document for document in documents("overlays/keda") if document["apiVersion"].startswith(CUSTOM)]
    assert sorted({document["kind"] for document in custom}) == KINDS
    command = ["node", "validate.mjs"]
    done = subprocess.run(command, cwd=NODE, input=json.dumps(custom), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_and_reads_its_settings_from_what_is_there(overlay: str) -> None:
    found = documents(overlay)
    names = {(document["kind"], document["metadata"]["name"]) for document in found}
    assert {document["metadata"].get("namespace", "telecine") for document in found} == {"telecine"}
    for name, pod, container in parts(found):
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in names, name
        assert container["resources"]["limits"]["memory"], name
        for volume in pod["volumes"]:
            assert volume.get("emptyDir", True), f"{name}: {volume['name']} may fill the node's disk"


def test_every_part_has_probes_a_budget_and_a_known_port() -> None:
    found = documents("overlays/keda")
    budgets = [
        document["spec"]["selector"]["matchLabels"] for document in found if document["kind"] == "PodDisruptionBudget"
    ]
    for document in found:
        if document["kind"] != "Deployment":
            continue
        template = document["spec"]["template"]
        container = template["spec"]["containers"][0]
        probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
        assert probes == {"startup": "/live", "liveness": "/live", "readiness": "/ready"}
        assert {"name": "health", "containerPort": 8080} in container["ports"]
        labels = template["metadata"]["labels"]
        assert [budget for budget in budgets if budget.items() <= labels.items()] == [
            document["spec"]["selector"]["matchLabels"]
        ]
    for document in _of_kind(found, "Service"):
        selected = [
            d for d in _of_kind(found, "Deployment") if document["spec"]["selector"].items() <= _labels(d).items()
        ]
        assert len(selected) == 1
        ports = selected[0]["spec"]["template"]["spec"]["containers"][0]["ports"]
        assert document["spec"]["ports"][0]["targetPort"] in [port["name"] for port in ports]


def test_other_namespaces_reach_the_edge_and_the_metrics_only() -> None:
    """The dashboard is reached with `kubectl port-forward`."""
    found = documents("overlays/keda")
    callers = {}
    for policy in _of_kind(found, "NetworkPolicy"):
        if policy["spec"].get("ingress"):
            chosen = policy["spec"]["podSelector"].get("matchLabels", {})
            names = {
                d["metadata"]["name"] for d in _of_kind(found, "Deployment") if chosen.items() <= _labels(d).items()
            }
            callers[policy["metadata"]["name"]] = names
    assert callers["telecine-http"] == {"telecine-edge"}
    assert callers.keys() == {"telecine-http", "telecine-metrics"}


def test_keda_alone_decides_how_many_workers_there_are_and_gpu_workers_may_be_none() -> None:
    found = documents("overlays/keda")
    for document in _of_kind(found, "Deployment"):
        scaled = document["metadata"]["name"].startswith("telecine-worker-")
        assert ("replicas" in document["spec"]) is not scaled
    least = {
        document["metadata"]["name"]: document["spec"]["minReplicaCount"]
        for document in _of_kind(found, "ScaledObject")
    }
    assert least == {"telecine-worker-io": 1, "telecine-worker-render": 1, "telecine-worker-gpu": 0}


def test_the_compose_file_is_valid() -> None:
    schema = json.loads((NODE / "node_modules/dclint/schemas/compose.schema.json").read_text())
    found = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(found)] == []


def _of_kind(found: list[Document], kind: str) -> Iterator[Document]:
    return (document for document in found if document["kind"] == kind)


def _labels(deployment: Document) -> dict[str, Any]:
    labels: dict[str, Any] = deployment["spec"]["template"]["metadata"]["labels"]
    return labels
