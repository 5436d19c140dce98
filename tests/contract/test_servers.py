"""The servers of the other tests start, serve, survive kills where they must, and stop without leftovers."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue
from sqlalchemy import create_engine, text

from tests.fault_proxy import Fault, FaultProxy
from tests.servers.ministack import Ministack
from tests.servers.ports import answers, free_port
from tests.servers.postgres import Postgres
from tests.servers.process import ServerMissing, program
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import wait_until

NODE = Path(__file__).parents[1] / "node"


def _publish(url: str, queue: str, bodies: list[bytes]) -> None:
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        arguments = {"x-queue-type": "quorum"}
        Queue(queue, durable=True, queue_arguments=arguments, channel=connection.default_channel).declare()
        for body in bodies:
            connection.Producer().publish(body, routing_key=queue, content_type="application/json", mandatory=True)


def _drain(url: str, queue: str) -> list[bytes]:
    found: list[bytes] = []
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(message.body.encode() if isinstance(message.body, str) else message.body)
    return found


def test_rabbitmq_keeps_confirmed_messages_over_a_kill_and_a_stop(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    queue = queue_prefix + "kept"
    _publish(rabbitmq.url, queue, [b"one"])
    time.sleep(5)  # see RabbitMQ.kill
    rabbitmq.kill()
    assert not answers(rabbitmq.port)
    rabbitmq.start()
    _publish(rabbitmq.url, queue, [b"two"])
    rabbitmq.stop()
    assert not answers(rabbitmq.port)
    rabbitmq.start()
    assert _drain(rabbitmq.url, queue) == [b"one", b"two"]


def test_rabbitmqctl_uses_the_tests_own_node(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    _publish(rabbitmq.url, queue_prefix + "listed", [b"x"])
    assert f"{queue_prefix}listed\tquorum" in rabbitmq.ctl("list_queues", "name", "type")
    with pytest.raises(RuntimeError, match="no_such_command"):
        rabbitmq.ctl("no_such_command")


def test_a_node_producer_publishes_plain_json(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    queue = queue_prefix + "node"
    _publish(rabbitmq.url, queue, [])
    requests = [{"id": f"order-{number}", "type": "reel", "data": {"lyrics": "é"}} for number in range(200)]
    lines = "\n".join(json.dumps(request, ensure_ascii=False) for request in requests)
    done = _node(rabbitmq.url, queue, lines)
    assert (done.returncode, done.stdout.strip()) == (0, "200"), done.stderr
    assert [json.loads(body) for body in _drain(rabbitmq.url, queue)] == requests


def test_the_node_producer_fails_when_no_queue_takes_the_message(rabbitmq: RabbitMQ, queue_prefix: str) -> None:
    done = _node(rabbitmq.url, queue_prefix + "nowhere", "{}")
    assert (done.returncode, done.stdout.strip()) == (1, "0")
    assert "NO_ROUTE" in done.stderr


def _node(url: str, queue: str, lines: str) -> subprocess.CompletedProcess[str]:
    command = [program("node"), str(NODE / "publish.mjs"), url, queue]
    return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=False)


def test_every_new_database_of_postgres_is_empty_and_separate(postgres: Postgres) -> None:
    for _ in range(2):
        engine = create_engine(postgres.create_database())
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE jobs (id text)"))
        engine.dispose()


def test_postgres_keeps_what_was_committed_over_a_kill() -> None:
    server = Postgres()
    try:
        server.start()
        url = server.create_database()
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE jobs AS SELECT 'order-1' AS id"))
        engine.dispose()
        server.kill()
        server.start()
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT id FROM jobs")).scalar_one() == "order-1"
        engine.dispose()
        server.stop()
        assert not answers(server.port)
    finally:
        server.close()


@pytest.mark.parametrize("s3", ["ministack", "radosgw"], indirect=True)
def test_s3_servers_keep_objects(s3: S3, bucket: str) -> None:
    s3.client().put_object(Bucket=bucket, Key="a b", Body=b"x")
    assert [found.get("Key") for found in s3.client().list_objects_v2(Bucket=bucket)["Contents"]] == ["a b"]


def test_ministack_listens_on_loopback_only_and_ends() -> None:
    server = Ministack()
    try:
        server.start()
        assert answers(server.port)
        addresses = Path("/proc/net/tcp").read_text().split()
        assert f"0100007F:{server.port:04X}" in addresses
        assert f"00000000:{server.port:04X}" not in addresses
        server.stop()
        assert not answers(server.port)
    finally:
        server.close()


def test_the_error_for_a_missing_server_names_the_command_that_installs_it() -> None:
    with pytest.raises(ServerMissing, match="make test"):
        program("no-such-server")


def test_a_free_port_is_never_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_the_fault_proxy_injects_each_fault(ministack: Ministack) -> None:
    with FaultProxy(ministack.port) as proxy:

        def answer(timeout_seconds: float = 20) -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{proxy.port}/", timeout=timeout_seconds) as got:
                return bytes(got.read())

        whole = answer()
        assert whole
        proxy.fault = Fault(delay_seconds=0.3)
        began = time.monotonic()
        assert len(answer()) == len(whole)
        assert time.monotonic() - began >= 0.3
        for fault in (Fault(cut_after_bytes=5), Fault(reset_after_bytes=0), Fault(refuse=True)):
            proxy.fault = fault
            with pytest.raises((OSError, http.client.BadStatusLine)):
                answer()
        proxy.fault = Fault(black_hole=True)
        with pytest.raises(TimeoutError):
            answer(0.3)
        wait_until(lambda: proxy.connections == 6)


def test_the_fault_proxy_leaves_no_thread(use_s3: Callable[[str], S3]) -> None:
    before = set(threading.enumerate())
    with FaultProxy(int(use_s3("ministack").url.rpartition(":")[2])) as proxy:
        assert proxy.port
    assert set(threading.enumerate()) <= before  # some of the earlier threads may have ended meanwhile
