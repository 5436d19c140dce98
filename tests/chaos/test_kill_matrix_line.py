"""kill -9 at every failpoint of a reel with a Node producer, RabbitMQ, S3 and a callback."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.failpoints import FAILPOINTS
from consumer.ledger.queries import deliveries_of, timeline_of
from consumer.ledger.states import DeliveryState
from tests.acceptance.line import SECRET, objects_below, publish_with_node, telecine_with, upload_media
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import wait_until


@pytest.mark.parametrize("point", FAILPOINTS)
def test_a_reel_whose_worker_is_killed_at_any_point_is_finished_once(
    point: str, rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue = f"{queue_prefix}requests"
    marker = tmp_path / "killed"
    data = upload_media(s3, bucket, tmp_path, seconds=1.0) | {"lyrics": "One two", "alignment_mode": "even"}
    small = {"width": 270, "height": 480}
    with Receiver() as receiver, telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket) as telecine:
        telecine.start(env={"TELECINE_FAILPOINT": f"{point}:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        publish_with_node(
            rabbitmq,
            queue,
            [{"id": point, "type": "reel", "data": {**data, **small}, "callback": {"url": receiver.url}}],
        )
        wait_until(marker.exists)
        telecine.kill()  # the processes that outlived the failpoint: the worker's parent, or the doors

        telecine.start()
        job = telecine.wait_for_job(point)

        database = telecine.database()
        check_finished_once(database, job, objects_below(s3, bucket, f"results/{point}/"))
        check_callback_once(receiver, point, SECRET)
        wait_until(lambda: deliveries_of(database, point)[0].state is DeliveryState.DELIVERED)
        if point.startswith("advance.") and point != "advance.finished":
            assert "worker_lost" in [entry.event for entry in timeline_of(database, point)]
            assert "died" in telecine.run("explain", point).stdout.decode()
        # Redelivered messages have been acknowledged, too.
        wait_until(lambda: rabbitmq.ctl("list_queues", "name", "messages").count(f"{queue}\t0") == 1)
        telecine.stop()
        wait_until(lambda: rabbitmq.ctl("list_queues", "name", "messages").count(f"{queue}\t0") == 1)
