"""The commands of docs/sqs.md, run as printed, create queues that the door and ``telecine doctor`` accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.doors.sqs.client import SqsClient, SqsOptions
from ops.checks import sqs
from ops.checks.finding import Finding
from schemas.settings import Settings
from tests.pages import one_fence
from tests.servers.aws_cli import AwsCli
from tests.servers.s3 import S3
from tests.servers.sqs import make_queue


def _settings(s3: S3, *queues: str, **more: object) -> Settings:
    chosen = {"sqs_queues": list(queues), "sqs_endpoint_url": s3.url, "sqs_region": s3.region}
    return Settings.model_validate(chosen | more)


def _look(s3: S3, *queues: str) -> Finding:
    return sqs.queues(_settings(s3, *queues))


def test_the_commands_of_the_guide_make_a_queue_with_dead_letters(aws_cli: AwsCli, s3: S3, tmp_path: Path) -> None:
    environment = os.environ | aws_cli.environment
    subprocess.run(["sh", "-eu"], input=one_fence("sh", "queues").encode(), env=environment, cwd=tmp_path, check=True)
    finding = _look(s3, "telecine-requests")
    assert (finding.verdict, finding.found) == ("ok", "telecine-requests (0 messages)")
    client = SqsClient(SqsOptions(s3.url, s3.region))
    dead = client.dead_letter_queue(client.find_queue("telecine-requests"))
    assert dead is not None
    assert dead.name == "telecine-requests-dead"
    assert client.attributes(dead, "MessageRetentionPeriod") == {"MessageRetentionPeriod": "1209600"}


def test_the_policy_of_the_guide_grants_what_the_door_calls() -> None:
    policy = json.loads(one_fence("sh", "policy").partition("'JSON'\n")[2].partition("\nJSON\n")[0])
    reading, copying = (set(statement["Action"]) for statement in policy["Statement"])
    common = {"sqs:GetQueueUrl", "sqs:GetQueueAttributes"}
    assert reading == common | {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}
    assert copying == common | {"sqs:SendMessage"}


def test_the_doctor_explains_what_is_wrong_with_a_queue(s3: S3, queue_prefix: str) -> None:
    bare = make_queue(s3, f"{queue_prefix}bare", dead_letters=False)
    assert (_look(s3, bare.name).verdict, "RedrivePolicy" in _look(s3, bare.name).advice) == ("warn", True)
    hasty = make_queue(s3, f"{queue_prefix}hasty", max_receives=1)
    assert "maxReceiveCount" in _look(s3, hasty.name).advice
    short = make_queue(s3, f"{queue_prefix}short", MessageRetentionPeriod="1209600")
    assert "MessageRetentionPeriod" in _look(s3, short.name).advice
    good = make_queue(s3, f"{queue_prefix}good")
    good.send("{}", "{}")
    assert _look(s3, good.url) == Finding("ok", f"{good.name} (2 messages)")
    good.client.send_message(QueueUrl=str(good.dead_url), MessageBody="x")
    assert "dead-letters list" in _look(s3, good.name).advice
    missing = _look(s3, f"{queue_prefix}missing")
    assert (missing.verdict, "TELECINE_SQS_QUEUES" in missing.advice) == ("fail", True)


def test_the_doctor_reports_an_unreachable_server_and_missing_keys(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    away = sqs.queues(_settings(s3, "any", sqs_endpoint_url="http://127.0.0.1:1"))
    assert (away.verdict, "TELECINE_SQS_ENDPOINT_URL" in away.advice) == ("fail", True)
    assert sqs.queues(_settings(s3)).verdict == "ok"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    without = _look(s3, "any")
    assert (without.verdict, "AWS_ACCESS_KEY_ID" in without.advice) == ("fail", True)


def test_the_doctor_checks_celery_on_sqs(s3: S3, tmp_path: Path) -> None:
    environment = os.environ | {
        "TELECINE_BROKER_URL": "sqs://",
        "TELECINE_SQS_ENDPOINT_URL": s3.url,
        "TELECINE_STORAGE": "folder",
        "TELECINE_HOME": str(tmp_path),
        "TELECINE_HEALTH_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "doctor", "--json"], env=environment, capture_output=True, check=False
    )
    found = {item["check"]: item for item in json.loads(done.stdout)["checks"]}
    assert found["broker"]["verdict"] == "ok", found["broker"]
    assert "SQS" in found["broker"]["found"]
