"""One machine in embedded mode with the real adapters and doubles of every provider, for contract tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.calls.engine import CallEngine
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.schema import migrate
from consumer.ledger.states import State
from consumer.wiring import admission_policy, build_runtime
from pipelines.registry import PIPELINES
from tests.call_line import Line
from tests.doubles.cococlip import Cococlip
from tests.doubles.elevenlabs import ElevenLabs
from tests.doubles.imagine import Imagine
from tests.doubles.pika import Pika
from tests.doubles.replicate import Replicate
from tests.doubles.runpod import RunPod
from tests.ledger_views import Ledger


class EmbeddedDeployment(Line):
    """One machine in embedded mode, with a key of every provider. The engine opens the real adapters."""

    def __init__(self, home: Path, doubles: ExitStack, more_hosts: Sequence[str] = (), **settings: Any) -> None:
        self.elevenlabs, self.pika = doubles.enter_context(ElevenLabs()), doubles.enter_context(Pika())
        self.replicate, self.runpod = doubles.enter_context(Replicate()), doubles.enter_context(RunPod())
        self.cococlip, self.imagine = doubles.enter_context(Cococlip()), doubles.enter_context(Imagine())
        database = Database(f"sqlite:///{home / 'ledger.sqlite3'}")
        migrate(database)
        doubles.callback(database.close)
        quick = {"first_wait_seconds": 0.05, "poll_seconds": 0.05}
        models: list[dict[str, Any]] = [{"id": name, **quick} for name in ("pika", "clip-interrogator", "runpod-reel")]
        models += [{"id": name, "price": "0.01"} for name in ("forced-alignment", "scribe")]
        hosts = [double.host for double in self.doubles] + [double.result_host for double in self.doubles]
        hosts += more_hosts
        keys: dict[str, Any] = {
            "elevenlabs_base_url": self.elevenlabs.url,
            "elevenlabs_key": self.elevenlabs.key,
            "pika_base_url": self.pika.url,
            "pika_token": self.pika.key,
            "replicate_base_url": self.replicate.url,
            "replicate_token": self.replicate.key,
            "runpod_base_url": self.runpod.base_url,
            "runpod_api_key": self.runpod.key,
            "runpod_endpoint_id": self.runpod.endpoint,
            "cococlip_base_url": self.cococlip.url,
            "cococlip_auth_header": f"x-cococlip-key: {self.cococlip.key}",
            "imagine_base_url": self.imagine.url,
            "imagine_api_key": self.imagine.key,
            "allowed_private_hosts": hosts,
            "models": models,
        }
        super().__init__(Ledger(database, database), home, **keys | settings)
        made = build_runtime(self.runtime.settings, pipelines=PIPELINES)
        self.runtime.close()
        self.runtime = made

    @property
    def doubles(self) -> tuple[Any, ...]:
        return self.elevenlabs, self.pika, self.replicate, self.runpod, self.cococlip, self.imagine

    def charges(self) -> int:
        return sum(double.charges() for double in self.doubles)

    def start(self, *, missing: str = "") -> None:
        engine = CallEngine(self.runtime, self._woken)
        self.engine = engine
        self._thread = threading.Thread(target=engine.run, daemon=True)
        self._thread.start()

    def send(self, job_type: str, **data: Any) -> None:
        """Admit a job."""
        body = json.dumps({"id": "j", "type": job_type, "data": data}).encode()
        (answer,) = BatchAdmitter(self.runtime.database, admission_policy(self.runtime))(
            [IncomingMessage(body, "test", "q")]
        )
        assert answer.error is None, answer.error

    def run(self, job_type: str, **data: Any) -> Job:
        """Run a job until it has ended."""
        self.send(job_type, **data)
        self.start()
        self.until(lambda: self.advance() in (State.COMPLETED, State.FAILED))
        return self.job()
