"""A newcomer's first steps: the commands of the quickstart, one after the other, print what the page shows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.doubles.runpod import RunPod
from tests.pages import ROOT, fences, one_fence
from tests.servers.ministack import Ministack
from tests.servers.ports import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3, endpoint
from tests.telecine_process import wait_until


class Newcomer:
    """A folder like a checkout in which Telecine is installed, and a shell in it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        (folder / "ops").symlink_to(ROOT / "ops")
        (folder / "bin").mkdir()
        command = folder / "bin" / "telecine"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ops.cli.main "$@"\n')
        command.chmod(0o755)
        request = next(fence for fence in fences("json", "request") if fence.page.name == "quickstart.md")
        (folder / "request.json").write_text(request.text)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TELECINE_", "SENTRY_"))}
        self.environment = {
            **inherited,
            "PATH": f"{command.parent}{os.pathsep}{inherited['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TELECINE_HEALTH_PORT": str(free_port()),
            **environment,
        }

    def run(self, line: str) -> str:
        """Run a line of a session and return everything that it prints."""
        command = ["sh", "-c", line]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def running(self, line: str) -> Iterator[None]:
        """Run a line in another terminal, until Ctrl-C."""
        with (self.folder / "log").open("ab") as log:
            command = ["sh", "-c", f"exec {line}"]
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _steps(*words: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the sessions with the lines that the page shows below it."""
    text = "".join(fence.text for fence in fences("console", *words))
    for line, shown in re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        yield line, _without_what_varies(shown)


def _without_what_varies(text: str) -> list[str]:
    """Return the lines without times, sizes, folders and names of processes."""
    text = re.sub(r"\d[\d.,]* (bytes|kB|MB)\b", "SIZE", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text)
    text = re.sub(r"\+?[\d.]+ s\b", "TIME", text)
    text = re.sub(r"\S*/telecine-data", "HOME", text)
    text = re.sub(r"127\.0\.0\.1:\d+|worker \S+:\d+", "PROCESS", text, flags=re.IGNORECASE)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_in_one_process(tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path)
    (start, _), *steps = _steps("embedded")
    with newcomer.running(start):
        wait_until(lambda: (tmp_path / "telecine-data" / "ledger.sqlite3").exists())
        for line, shown in steps:
            printed = newcomer.run(line)
            assert _without_what_varies(printed)[: len(shown)] == shown, f"{line}\n{printed}"
    results = tmp_path / "telecine-data" / "storage" / "results" / "order-1042"
    assert json.loads((results / "manifest.json").read_text())["job_id"] == "order-1042"
    assert (results / "video.mp4").stat().st_size > 100_000


def test_http_clients(tmp_path: Path) -> None:
    (install, _), (start, _), (ask, _) = _steps("edge")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\.\[(\w+)\]", install)) < set(extras)
    port = str(free_port())
    newcomer = Newcomer(tmp_path, TELECINE_EDGE_PORT=port)
    moved = ask.replace(str(Settings.model_fields["edge_port"].default), port).replace("curl ", "curl --silent ")
    with newcomer.running(start):
        models = json.loads(wait_until(lambda: newcomer.run(moved), timeout=60))
    assert "seedance-1-lite" in [model["id"] for model in models["data"]]


def test_runpod(s3: S3, bucket: str, tmp_path: Path) -> None:
    (keys, _), (start, _), (plan, _) = _steps("runpod")
    for name in ("cover.jpg", "song.mp3"):
        s3.client().upload_file(str(ROOT / "ops" / "demo" / name), bucket, name)
    with RunPod() as runpod:
        place = {"STORAGE": "s3", "OUTPUT": f"s3://{bucket}/", "S3_ENDPOINT_URL": s3.url, "S3_REGION": s3.region}
        environment = {f"TELECINE_{name}": value for name, value in place.items()} | dict(s3.environment)
        newcomer = Newcomer(tmp_path, RUNPOD_ENDPOINT_BASE_URL=runpod.base_url, **environment)
        keys = keys.replace("KEY=…", f"KEY={runpod.key}").replace("ID=…", f"ID={runpod.endpoint}")
        request = json.loads((tmp_path / "request.json").read_text().replace("s3://inbox/", f"s3://{bucket}/"))
        printed = {}
        with newcomer.running(f"sh -c '{keys}; exec {start}'"):
            for renderer in ("auto", "runpod"):
                request["data"]["renderer"] = renderer
                (tmp_path / "request.json").write_text(json.dumps(request))
                printed[renderer] = newcomer.run(f"{keys}; {plan}")
            ready = "curl --silent --fail 127.0.0.1:$TELECINE_HEALTH_PORT/ready"
            wait_until(lambda: newcomer.run(ready), timeout=30, what=lambda: (tmp_path / "log").read_text())
        assert runpod.tasks == {}
    assert ["cost", "0.00", "USD"] in [line.split() for line in printed["auto"].splitlines()]
    assert ["cost", "unknown"] in [line.split() for line in printed["runpod"].splitlines()], printed["runpod"]


@pytest.fixture
def servers(rabbitmq: RabbitMQ, postgres_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the variables of the page, for servers on which no other test uses the page's names."""
    vhost = f"quickstart-{uuid.uuid4().hex[:8]}"
    rabbitmq.ctl("add_vhost", vhost)
    rabbitmq.ctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
    server = Ministack()
    try:
        server.start()
        s3 = endpoint("ministack", server)
        client = s3.client()
        for bucket in ("inbox", "results"):
            client.create_bucket(Bucket=bucket)
        for name in ("cover.jpg", "song.mp3"):
            client.upload_file(str(ROOT / "ops" / "demo" / name), "inbox", name)
        yield {
            "TELECINE_BROKER_URL": rabbitmq.url.removesuffix("%2F") + vhost,
            "TELECINE_LEDGER_URL": postgres_url,
            "TELECINE_S3_ENDPOINT_URL": s3.url,
            "TELECINE_OUTPUT": "s3://results/",
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "AWS_DEFAULT_REGION": s3.region,
        }
    finally:
        server.close()


def test_with_rabbitmq_s3_and_postgresql(servers: dict[str, str], tmp_path: Path) -> None:
    assert set(re.findall(r"\b([A-Z_0-9]+)=", one_fence("sh", "servers"))) == set(servers)
    newcomer = Newcomer(tmp_path, **servers)
    (secret, _), (read, _), (doctor, shown), (start, _), (submit, _) = _steps("servers")
    made, hint = newcomer.run(secret).splitlines()
    assert made.startswith("whsec_")
    load = hint.split("`")[1]
    assert made in newcomer.run(f'{load}; printf %s "$TELECINE_CALLBACK_SECRETS"')
    printed = newcomer.run(f"{read}; {doctor}")
    assert _checks(_without_what_varies(printed)) == _checks(shown), printed
    with newcomer.running(f"sh -c '{read}; exec {start}'"):
        printed = newcomer.run(f"{read}; {submit}")
    assert "order-1042  reel  completed" in printed
    assert "s3://results/order-1042/video.mp4" in printed


def _checks(lines: list[str]) -> list[str]:
    """Return the names of what the doctor has found to be right, and its last line."""
    return [line.partition(" ok ")[0] for line in lines if " ok " in line] + lines[-1:]
