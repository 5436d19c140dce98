"""A fleet for the tests: Telecine on five hosts, its servers, a provider and a receiver each on one of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook

from consumer.doors.publish import publish
from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from tests.acceptance.line import SECRET, upload_media
from tests.doubles.double import KEY
from tests.servers.hosts import Network
from tests.servers.ministack import Ministack
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import endpoint
from tests.telecine_process import ROOT, TelecineProcess

QUEUE = "telecine.requests"
FRONTS, WORKERS = ("front1", "front2"), ("worker1", "worker2", "worker3")
#: Hosts whose clocks are wrong, and by how many seconds: the ledger uses the database's.
CLOCKS = {"front2": 420, "worker3": -360}
PARTS = {
    **dict.fromkeys(FRONTS, ("up", "--only", "doors,sweep,calls,outbox")),
    **dict.fromkeys(WORKERS, ("worker",)),
}
_REPLICATE, _COCOCLIP, _RECEIVER = 8101, 8102, 8103


class Fleet:
    """A context manager, with everything started. ``hosts`` has all hosts by name, ``telecine`` the processes."""

    def __init__(self, folder: Path, parts: Mapping[str, tuple[str, ...]] = PARTS) -> None:
        self._folder, self._parts = folder, parts
        self.network = Network()
        self.hosts = self.network.hosts
        self.telecine: dict[str, TelecineProcess] = {}
        #: Callbacks as they arrived: the job and ``webhook-id`` of each.
        self.callbacks: Counter[tuple[str, str]] = Counter()
        self._read = 0
        self._open = ExitStack()
        self._servers: list[Postgres | RabbitMQ | Ministack] = []

    def __enter__(self) -> Self:
        with self._open:
            self._open.callback(self._close_servers)
            self._open.enter_context(self.network)
            self._start_servers()
            self._start_others()
            self._prepare()
            for name in self._parts:
                self.start(name)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def start(self, name: str) -> None:
        """Start Telecine on a host."""
        process = self.telecine.get(name) or self._configured(name)
        if name in self.telecine:
            process.kill()  # its host vanished: this collects what remains
        else:
            self._open.callback(process.kill)
        self.telecine[name] = process
        process.start(arguments=self._parts[name])

    def submit(self, requests: Sequence[dict[str, Any]]) -> None:
        """Publish requests, with confirmation."""
        callback = {"callback": {"url": f"http://{self.hosts['receiver'].address}:{_RECEIVER}/hook"}}
        bodies = [json.dumps(request | callback).encode() for request in requests]
        publish(self._rabbitmq.url, QUEUE, bodies, delivery_limit=20)

    def charges(self) -> dict[str, Counter[str]]:
        """Return what each provider charged, by reference."""
        return {name: Counter(self._state(name)["charges"]) for name in ("replicate", "cococlip")}

    def tasks(self, provider: str) -> dict[str, str]:
        """Return the provider's tasks by reference."""
        return {task["ref"]: task["id"] for task in self._state(provider)["tasks"]}

    def receive(self) -> None:
        """Check the signature of each callback that arrived since the last call, by the receiver's clock."""
        with self._attempts.open() as lines:
            lines.seek(self._read)
            while (line := lines.readline()).endswith("\n"):
                attempt = json.loads(line)
                verified = Webhook(SECRET).verify(attempt["body"], attempt["headers"])
                assert verified["type"] == "job.completed", verified
                self.callbacks[verified["data"]["id"], attempt["headers"]["webhook-id"]] += 1
                self._read = lines.tell()

    def logs(self) -> str:
        """Return the ends of the logs."""
        return "\n".join(f"{name}: …{each.log.read_text()[-1500:]}" for name, each in self.telecine.items())

    def _start_servers(self) -> None:
        hosts = [self.network.host(name) for name in ("postgres", "rabbitmq", "s3")]
        self._postgres, self._rabbitmq, self._s3_server = Postgres(hosts[0]), RabbitMQ(hosts[1]), Ministack(hosts[2])
        self._servers += [self._postgres, self._rabbitmq, self._s3_server]
        with ThreadPoolExecutor() as pool:
            for start in [pool.submit(each.start) for each in self._servers]:
                start.result()
        self.s3 = endpoint("ministack", self._s3_server)

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()

    def _start_others(self) -> None:
        provider, receiver = self.network.host("provider"), self.network.host("receiver")
        self._attempts = self._folder / "attempts.jsonl"
        self._attempts.touch()
        log = self._folder / "others.log"
        python = [sys.executable, "-m"]
        for module, port in (("replicate", _REPLICATE), ("cococlip", _COCOCLIP)):
            options = ["--host", provider.address, "--port", str(port), "--work-seconds", "0.5"]
            provider.spawn([*python, f"tests.doubles.{module}", *options], log)
        options = ["--host", receiver.address, "--port", str(_RECEIVER), "--log", str(self._attempts)]
        receiver.spawn([*python, "tests.receiver", *options], log)

    def _prepare(self) -> None:
        # A host that vanished is noticed sooner than in half a minute.
        self._ledger = f"{self._postgres.create_database()}?tcp_user_timeout=4000&connect_timeout=2"
        self.s3.client().create_bucket(Bucket="bucket")
        self.song = upload_media(self.s3, "bucket", self._folder / "media", seconds=2.0)
        self._clock = self._folder / "wrong_clock.so"
        source = ROOT / "tests" / "servers" / "wrong_clock.c"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self._clock, source], check=True, timeout=60)
        for name in self._parts:
            self.network.host(name)
        self.database = Database(self._ledger)
        self._open.callback(self.database.close)
        migrate(self.database)

    def _configured(self, name: str) -> TelecineProcess:
        host = self.hosts[name]
        provider = self.hosts["provider"].address
        quick = {"first_wait_seconds": 0.2, "poll_seconds": 0.3, "price": "0.10", "routes": []}
        generous = {"burst": 1000, "rate_per_minute": 60000, "concurrency": 1000, "breaker_failures": 100_000}
        chosen: dict[str, object] = {
            "broker_url": self._rabbitmq.url,
            "amqp_queues": QUEUE,
            "ledger_url": self._ledger,
            "storage": "s3",
            "s3_endpoint_url": self.s3.url,
            "s3_region": self.s3.region,
            "output": "s3://bucket/results/",
            "callback_secrets": json.dumps({"default": [SECRET]}),
            "allowed_private_hosts": ",".join(self.hosts[each].address for each in ("provider", "receiver", "s3")),
            "models": json.dumps([{"id": model, **quick} for model in ("hailuo02standard", "clip-interrogator")]),
            "provider_limits": json.dumps({"cococlip": generous, "replicate": generous}),
            "cococlip_base_url": f"http://{provider}:{_COCOCLIP}",
            "cococlip_auth_header": f"x-cococlip-key: {KEY}",
            "replicate_settle_seconds": 0,
            "exchange_timeout_seconds": 5,
            "lease_seconds": 4,
            "max_crashes": 1000,
            "callback_schedule_seconds": "0.3,0.5," + ",".join(["1"] * 100),
        }
        process = TelecineProcess(self._folder / name, host, notes=True, **chosen)
        process.environment |= self.s3.environment
        process.environment |= {
            "REPLICATE_API_TOKEN": KEY,
            "REPLICATE_BASE_URL": f"http://{provider}:{_REPLICATE}",
            "PYTHONPATH": str(ROOT),
        }
        if name in CLOCKS:
            process.environment |= {"LD_PRELOAD": str(self._clock), "CLOCK_SECONDS": str(CLOCKS[name])}
        return process

    def _state(self, provider: str) -> Any:
        port = {"replicate": _REPLICATE, "cococlip": _COCOCLIP}[provider]
        with urllib.request.urlopen(f"http://{self.hosts['provider'].address}:{port}/_control/state", timeout=60) as it:
            return json.load(it)
