"""An outage of this side under load, and jobs that are retried afterwards while processes are killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.publish import publish
from consumer.ledger import calls
from consumer.ledger.database import Database
from consumer.ledger.queries import job_ids, list_jobs, timeline_of
from consumer.ledger.states import State
from tests.acceptance.line import objects_below, telecine_with
from tests.chaos.test_kill_matrix_calls import _png
from tests.doubles.misbehaviour import Fault
from tests.ledger_views import count_jobs
from tests.provider_line import ProviderLine, check_settled
from tests.receiver import Receiver
from tests.servers.ports import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import TelecineProcess, wait_until

JOBS = 24


@pytest.mark.parametrize("s3", ["radosgw"], indirect=True)  # it checks signatures
@pytest.mark.timeout(300)
def test_a_wrong_storage_key_under_load_ends_no_job_friction_H3(
    rabbitmq: RabbitMQ,
    queue_prefix: str,
    postgres_url: str,
    s3: S3,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = _rotating_keys(s3, tmp_path, monkeypatch)
    queue, port = f"{queue_prefix}requests", free_port()
    s3.client().put_object(Bucket=bucket, Key="in/cover.png", Body=_png())
    settings = {"ledger_url": postgres_url, "health_port": port, "max_failures": 2, "retry_seconds": 0.2}
    telecine = telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket, **settings)
    with Receiver() as receiver, telecine:
        keys.wrong()
        telecine.start()
        requests = [_note(f"job-{number}", bucket, receiver.url) for number in range(JOBS)]
        publish(rabbitmq.url, queue, requests, delivery_limit=telecine.settings.amqp_delivery_limit)
        database = telecine.database()
        wait_until(lambda: _waits(database) > 2 * JOBS, timeout=120, what=lambda: str(count_jobs(database)))
        _check_outage_is_visible(telecine, port)
        assert count_jobs(database).keys() <= {"received", "running", "waiting"}
        keys.right()  # in the file only: no process is restarted

        wait_until(
            lambda: count_jobs(database) == {"completed": JOBS}, timeout=120, what=lambda: str(count_jobs(database))
        )
        wait_until(lambda: _ready(port)[0] == 200, timeout=60)
        assert {job.failures for job in list_jobs(database, limit=JOBS)} == {0}
        _check_missing_input_is_retried(telecine, database, rabbitmq, queue, s3, bucket, receiver)
        database.close()
        _check_endings(receiver, {f"job-{number}": ["completed"] for number in range(JOBS)})


class _Keys:
    """The credentials file of a worker."""

    def __init__(self, path: Path, s3: S3) -> None:
        self._path, self._s3 = path, s3

    def wrong(self) -> None:
        self._write("not-the-secret-key")

    def right(self) -> None:
        self._write(self._s3.secret_key)

    def _write(self, secret: str) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(f"[default]\naws_access_key_id = {self._s3.access_key}\naws_secret_access_key = {secret}\n")
        part.replace(self._path)


def _rotating_keys(s3: S3, folder: Path, monkeypatch: pytest.MonkeyPatch) -> _Keys:
    path = folder / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return _Keys(path, s3)


def _note(job_id: str, bucket: str, url: str, key: str = "in/cover.png") -> bytes:
    data = {"text": job_id, "image": f"s3://{bucket}/{key}"}
    return json.dumps({"id": job_id, "type": "note", "data": data, "callback": {"url": url}}).encode()


def _waits(database: Database) -> int:
    found = [entry for job in list_jobs(database, limit=JOBS) for entry in timeline_of(database, job.id)]
    return sum(entry.event == "retry_later" for entry in found)


def _ready(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, {}


def _check_outage_is_visible(telecine: TelecineProcess, port: int) -> None:
    wait_until(lambda: _ready(port)[0] == 503, timeout=30)
    status, report = _ready(port)
    assert (status, report["status"]) == (503, "degraded")
    assert "credentials" in report["checks"]["storage"]
    assert "SignatureDoesNotMatch" in report["checks"]["storage"]  # although a HEAD has no code
    lines = [json.loads(line) for line in telecine.log.read_text().splitlines() if line.startswith("{")]
    loud = [line for line in lines if line["event"] == "credentials_rejected"]
    assert 1 <= len(loud) <= 6  # once for each process, not for each job
    doctor = telecine.run("doctor", check=False).stdout.decode()
    assert "SignatureDoesNotMatch" in doctor
    assert "AWS_SECRET_ACCESS_KEY" in doctor


def _check_missing_input_is_retried(
    telecine: TelecineProcess,
    database: Database,
    rabbitmq: RabbitMQ,
    queue: str,
    s3: S3,
    bucket: str,
    receiver: Receiver,
) -> None:
    """What is the fault of the request fails as before; one command brings it back once the cause is gone."""
    late = [f"late-{number}" for number in range(5)]
    requests = [_note(job_id, bucket, receiver.url, "in/late.png") for job_id in late]
    publish(rabbitmq.url, queue, requests, delivery_limit=telecine.settings.amqp_delivery_limit)
    wait_until(lambda: count_jobs(database).get("failed") == len(late), timeout=60)
    s3.client().put_object(Bucket=bucket, Key="in/late.png", Body=_png())
    telecine.run("retry", "--code", "input_not_found", "--yes")
    wait_until(lambda: count_jobs(database) == {"completed": JOBS + len(late)}, timeout=60)
    _check_endings(receiver, {job_id: ["failed", "completed"] for job_id in late})
    assert set(objects_below(s3, bucket, "results/late-0/")) == {"note.txt", "manifest.json"}


def _check_endings(receiver: Receiver, expected: dict[str, list[str]]) -> None:
    """Check that each job has one callback for each of its endings."""

    def endings() -> dict[str, list[str]]:
        found: dict[str, dict[str, str]] = {}
        for attempt in list(receiver.attempts):
            data = attempt.json()["data"]
            found.setdefault(data["id"], {})[attempt.headers["webhook-id"]] = data["status"]
        return {job_id: sorted(found.get(job_id, {}).values(), reverse=True) for job_id in expected}

    wait_until(lambda: endings() == expected, timeout=60, what=lambda: str(endings()))


@pytest.mark.parametrize("s3", ["radosgw"], indirect=True)  # it checks policies
@pytest.mark.timeout(300)
def test_paid_results_wait_until_they_may_be_written_where_results_go_by_default(
    s3: S3, bucket: str, tmp_path: Path
) -> None:
    own = f"{bucket}-own"
    s3.client().create_bucket(Bucket=own)
    for name in (bucket, own):
        _deny_writing(s3, name)
    settings: dict[str, object] = {
        "storage": "s3",
        "s3_endpoint_url": s3.url,
        "s3_region": s3.region,
        "output": f"s3://{bucket}/results/",
        "max_failures": 2,
        "retry_seconds": 0.2,
    }
    with ProviderLine(tmp_path / "home", None, **settings) as line:
        line.film("paid")
        line.prompt("text")
        line.prompt("elsewhere", output=f"s3://{own}/")
        line.telecine.start()
        assert (line.telecine.wait_for_job("elsewhere").error or {})["code"] == "output_forbidden"
        database = line.telecine.database()
        wait_until(lambda: "retry_later" in [entry.event for entry in timeline_of(database, "text")], timeout=60)
        wait_until(lambda: _put_off(database, "paid") > 3, timeout=60)
        assert count_jobs(database) == {"failed": 1, "waiting": 2}
        assert "results go there by default" in line.telecine.run("explain", "paid").stdout.decode()
        s3.client().delete_bucket_policy(Bucket=bucket)
        wait_until(lambda: count_jobs(database) == {"failed": 1, "completed": 2}, timeout=60)
        check_settled(database, "paid")
        database.close()
        assert set(objects_below(s3, bucket, "results/paid/")) == {"video.mp4", "manifest.json"}
        assert (line.cococlip.charges(), line.replicate.charges()) == (1, 2)


def _deny_writing(s3: S3, bucket: str) -> None:
    arn = f"arn:aws:s3:::{bucket}/*"
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": arn}
    s3.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [denied]}))


def _put_off(database: Database, job_id: str) -> int:
    return sum(entry.event == "call_put_off" for entry in timeline_of(database, job_id))


@pytest.mark.timeout(600)
def test_kills_while_jobs_are_retried_double_nothing_and_pay_nothing_twice_friction_H2(tmp_path: Path) -> None:
    chance = random.Random(15)
    generous = {"burst": 1000, "rate_per_minute": 60000, "concurrency": 1000, "breaker_failures": 1000}
    limits = json.dumps({"replicate": generous})
    settings: dict[str, object] = {"max_crashes": 1000, "lease_seconds": 2, "concurrency": 2, "provider_limits": limits}
    with ProviderLine(tmp_path / "home", None, **settings) as line:
        sent = [f"prompt-{number}" for number in range(8)]
        line.replicate.fault(Fault(act="reply", status=401, body="{}", times=len(sent)))
        for job_id in sent:
            line.prompt(job_id)
        line.telecine.start()
        wait_until((line.telecine.home / "ledger.sqlite3").exists)
        database = line.telecine.database()
        wait_until(
            lambda: count_jobs(database) == {"failed": len(sent)}, timeout=90, what=lambda: str(count_jobs(database))
        )
        assert line.replicate.charges() == 0
        line.replicate.fault(Fault(act="slow", seconds=0.5, times=-1))
        line.replicate.work_seconds = 0.5
        kills = 0
        while kills < 4 or job_ids(database, states=[State.FAILED]):
            line.telecine.kill()
            line.telecine.start()
            kills += 1
            operator = subprocess.Popen(
                line.telecine._command("retry", "--all", "--yes"), env=line.telecine.inherited(), cwd=Path.cwd()
            )
            time.sleep(chance.uniform(1.5, 5.0))
            operator.kill()  # in the middle, or after its end
            operator.wait()
        wait_until(
            lambda: count_jobs(database) == {"completed": len(sent)},
            timeout=120,
            what=lambda: str(count_jobs(database)),
        )
        for job_id in sent:
            check_settled(database, job_id)
            *refused, made = calls.of_job(database, job_id)
            assert line.replicate.charges(made.id) == 1
            assert [line.replicate.charges(call.id) for call in refused] == [0] * len(refused)
            events = Counter(entry.event for entry in timeline_of(database, job_id))
            assert (events["failed"], events["retried"], events["completed"]) == (1, 1, 1)
            assert set(line.objects(job_id)) == {"prompt.txt", "manifest.json"}
        assert line.replicate.charges() == len(sent)
        _check_endings(line.receiver, {job_id: ["failed", "completed"] for job_id in sent})
        database.close()
