"""Fixtures for every test: real servers, started when a test first asks for one and ended with the session.

A server that is not installed is an error and never a skip: `make test` installs them.
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.aws_cli import AwsCli
from tests.servers.ministack import Ministack
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.radosgw import Radosgw
from tests.servers.s3 import S3, endpoint

# What takes long on a machine that is busy is no defect of what is tested.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure() -> None:
    """Give the processes of the tests the usual actions of signals, which a shell ignores in the background."""
    for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """One RabbitMQ node for all tests. A test that stops or kills it starts it again; queues need own names."""
    server = RabbitMQ()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a database that only this test uses."""
    return postgres.create_database()


@pytest.fixture(scope="session")
def ministack() -> Iterator[Ministack]:
    """One ministack for all tests: S3, SQS and SNS, started in half a second."""
    server = Ministack()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def radosgw() -> Iterator[Radosgw]:
    """One Ceph object store for all tests: the strictest S3 there is here, started in a quarter of a minute."""
    server = Radosgw()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def use_s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], S3]:
    """Starts ``ministack`` or ``radosgw`` and puts its keys into this test's environment."""

    def use(name: str) -> S3:
        found = endpoint(name, request.getfixturevalue(name))
        for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in found.environment.items():
            monkeypatch.setenv(variable, value)
        return found

    return use


@pytest.fixture
def s3(request: pytest.FixtureRequest, use_s3: Callable[[str], S3]) -> S3:
    """An S3 endpoint, ministack if nothing else is said: ``parametrize("s3", ["radosgw"], indirect=True)``."""
    return use_s3(getattr(request, "param", "ministack"))


@pytest.fixture
def aws_cli(use_s3: Callable[[str], S3], tmp_path: Path) -> AwsCli:
    """The AWS CLI against ministack: ``aws_cli("sqs", "list-queues")``; its ``environment`` is for shells."""
    return AwsCli(use_s3("ministack"), tmp_path / "bin")


@pytest.fixture
def bucket(s3: S3) -> str:
    """An empty bucket that only this test uses."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    s3.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def queue_prefix() -> str:
    """The beginning of queue names that only this test uses."""
    return f"test-{uuid.uuid4().hex[:12]}-"
