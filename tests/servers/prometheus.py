"""A Prometheus server for the tests, with Telecine's alert rules in short."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.servers.ports import answers, free_port
from tests.servers.process import end, program, spawn, wait_until
from tests.telecine_process import ROOT

RULES = ROOT / "ops/deploy/prometheus/rules.yml"
#: In place of the ranges of queries: minutes take too long.
RANGE = "5s"


def in_short(query: str) -> str:
    """Return the query with short ranges. Thresholds stay as they are."""
    return re.sub(
        r"\[(?:\d+[smhd]|\$__rate_interval)(:\d+[smhd])?\]",
        lambda found: f"[{RANGE}:1s]" if found[1] else f"[{RANGE}]",
        query,
    )


class Prometheus:
    """A server that scrapes its targets every second."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="telecine-prometheus-"))
        self.port = free_port()
        self._log = self._folder / "out"
        self._process: subprocess.Popen[bytes] | None = None
        rules = yaml.safe_load(RULES.read_text())
        for rule in rules["groups"][0]["rules"]:
            rule |= {"expr": in_short(rule["expr"]), "for": "300ms"}
        (self._folder / "rules.yml").write_text(json.dumps(rules))
        jobs = [{"job_name": "telecine", "static_configs": [{"targets": list(targets)}]}]
        interval = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}
        configuration = {"global": interval, "rule_files": ["rules.yml"], "scrape_configs": jobs}
        (self._folder / "prometheus.yml").write_text(json.dumps(configuration))

    def start(self) -> None:
        """Start the server."""
        command = [
            program("prometheus"),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--query.lookback-delta=5s",
            "--log.level=warn",
        ]
        self._process = spawn(command, self._log)
        wait_until(self._is_ready, "prometheus", self._log)

    def _is_ready(self) -> bool:
        return answers(self.port) and requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=10).ok

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def query(self, query: str) -> list[float]:
        """Return the values of an instant query."""
        return [float(found["value"][1]) for found in self._get("query", query=query)["result"]]

    def close(self) -> None:
        """Stop the server and delete its files."""
        if self._process is not None:
            end(self._process, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _get(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.ok, answer.text
        return answer.json()["data"]
