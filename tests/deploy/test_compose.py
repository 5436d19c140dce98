"""docs/deploying-compose.md, followed literally; the services of compose.yaml run as processes."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ops.serving import CLOSING_SECONDS, GRACE_SECONDS
from schemas.settings import Settings
from tests.deploy.composed import COMPOSE, OURS, SERVICES, Composed
from tests.deploy.manifests import check_command, check_settings
from tests.servers.ministack import Ministack
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import ROOT, wait_until

PAGE = (ROOT / "docs" / "deploying-compose.md").read_text()
FILE = yaml.safe_load(COMPOSE.read_text())


def test_every_command_and_setting_of_the_file_exists() -> None:
    for name in OURS - {"buckets"}:
        check_command(SERVICES[name]["command"])
        check_settings({key: str(value) for key, value in SERVICES[name]["environment"].items()})


def test_every_secret_is_a_file_that_make_secrets_writes_and_is_given_to_those_that_read_it(tmp_path: Path) -> None:
    subprocess.run(["sh", str(COMPOSE.parent / "make-secrets.sh"), str(tmp_path / "secrets")], check=True)
    written = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert {Path(secret["file"]).name for secret in FILE["secrets"].values()} | {
        "edge-token",
        "dashboard-token",
    } == written
    for name, service in SERVICES.items():
        given = {f"/run/secrets/{secret}" for secret in service.get("secrets", []) if isinstance(secret, str)}
        read = {value for value in service.get("environment", {}).values() if str(value).startswith("/run/secrets/")}
        read |= set(re.findall(r"/run/secrets/[\w.-]+", " ".join(map(str, service.get("command", [])))))
        assert read == given, name


def test_the_page_gives_the_key_of_a_provider_to_the_service_that_uses_it() -> None:
    (block,) = re.findall(r"^  ```yaml\n(.*?)^  ```", PAGE, re.MULTILINE | re.DOTALL)
    override = yaml.safe_load(block)
    ((name, service),) = override["services"].items()
    assert "calls" in " ".join(SERVICES[name]["command"])
    assert set(service["secrets"]) == set(override["secrets"])
    assert set(service["environment"].values()) == {f"/run/secrets/{secret}" for secret in service["secrets"]}
    check_settings(service["environment"])


def test_a_service_has_the_time_that_its_process_takes_to_stop() -> None:
    def needed(name: str) -> float:
        environment = SERVICES[name]["environment"]

        def seconds(setting: str) -> float:
            return float(environment.get(f"TELECINE_{setting.upper()}", Settings.model_fields[setting].default))

        work = {
            "front": seconds("call_stop_seconds") + CLOSING_SECONDS,
            "worker-io": 2 * seconds("fetch_timeout_seconds"),
            "worker-render": 2 * seconds("fetch_timeout_seconds") + seconds("render_timeout_seconds"),
            "worker-gpu": 2 * seconds("fetch_timeout_seconds") + seconds("local_timeout_seconds"),
        }
        return work.get(name, GRACE_SECONDS + CLOSING_SECONDS)

    for name in OURS - {"migrate", "buckets"}:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= needed(name), name


def test_health_checks_ask_for_readiness_and_files_that_are_mounted_exist() -> None:
    for name in OURS - {"migrate", "buckets"}:
        test = SERVICES[name]["healthcheck"]["test"]
        assert test[:2] == ["CMD", "telecine"]
        check_command(test[2:])
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (COMPOSE.parent / volume.partition(":")[0]).exists(), volume


def test_the_broker_and_the_ledger_are_reached_by_telecine_only() -> None:
    networks = {name: set(service.get("networks", ["default"])) for name, service in SERVICES.items()}
    assert FILE["networks"]["back"] == {"internal": True}
    assert {name for name, own in networks.items() if own == {"back"}} == {"rabbitmq", "postgres", "migrate", "buckets"}
    assert {name for name, own in networks.items() if "back" in own} == OURS | {"rabbitmq", "postgres", "s3"}
    for name, service in SERVICES.items():
        assert "default" in networks[name] or "ports" not in service, name
        assert all(networks[name] & networks[needed] for needed in service.get("depends_on", [])), name
    assert SERVICES["s3"]["networks"]["back"] == SERVICES["s3"]["networks"]["default"]


def test_prometheus_scrapes_every_service_of_telecine() -> None:
    found = yaml.safe_load((COMPOSE.parent / "prometheus" / "prometheus.yml").read_text())
    (discovery,) = found["scrape_configs"][0]["dns_sd_configs"]
    assert set(discovery["names"]) == OURS - {"migrate", "buckets"}


@pytest.fixture
def composed(tmp_path: Path, rabbitmq: RabbitMQ, postgres: Postgres, ministack: Ministack) -> Iterator[Composed]:
    with Composed(tmp_path, rabbitmq, postgres, ministack) as made:
        yield made


def test_a_newcomer_makes_a_reel_and_receives_its_callback(composed: Composed) -> None:
    shown: dict[str, str] = {}
    receiver: subprocess.Popen[str] | None = None
    remembered = ""
    for line in commands(PAGE):
        words = shlex.split(line)
        if words[:3] == ["docker", "compose", "up"]:
            composed.prepare_servers()
            worker_waits_for_the_broker(composed)
            composed.up()
        elif words[:3] == ["docker", "compose", "exec"]:
            started = composed.execute(*words[3:])
            if words[5] == "receive":
                receiver = started
                print_until(receiver, "Ctrl-C")
                continue
            if receiver is not None and "receive" not in shown:
                shown["receive"] = print_until(receiver, "order-1042")
            shown[words[5]] = started.communicate(timeout=60)[0]
            assert started.returncode == 0, shown[words[5]]
        elif re.match(r"\w+=\$\(", line):
            remembered += f"{line}\n"
        elif words[0] != "cd":
            script = remembered + composed.moved(line)
            done = subprocess.run(["bash", "-euc", script], cwd=composed.folder, capture_output=True, text=True)
            shown["curl"] = done.stdout
            assert done.returncode == 0, done.stderr
    assert '"completed"' in shown["curl"]
    assert f"{composed.moved('http://s3.localhost:8333')}/results/order-1042/video.mp4?" in shown["curl"]
    assert "job.completed" in shown["receive"]
    assert "callback `completed` was delivered" in shown["explain"]
    assert re.search(r"workers +ok +io 1, render 1", shown["doctor"])


def commands(page: str) -> list[str]:
    """Return the commands of the page in their order; one may have several lines."""
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [command.strip() for block in blocks for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]


def worker_waits_for_the_broker(composed: Composed) -> None:
    """A worker whose broker comes up later is alive and not ready until then (FRICTIONS H5)."""
    with composed.broker_down():
        composed.start("worker-render")
        wait_until(lambda: composed.health("worker-render", "live")[0] == 200)
        connections = composed.broker.connections
        wait_until(lambda: composed.broker.connections > connections)
        status, report = composed.health("worker-render", "ready")
        assert (status, report["checks"]["worker"]) == (503, "not connected")
        assert composed.health("worker-render", "live")[0] == 200


def print_until(receiver: subprocess.Popen[str], text: str) -> str:
    """Return what the receiver prints, up to the line with the text."""
    assert receiver.stdout is not None
    printed = ""
    for line in receiver.stdout:
        printed += line
        if text in line:
            return printed
    raise AssertionError(printed)
