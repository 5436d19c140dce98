"""kill -9 at every failpoint of the SQS door: the message is redelivered and the job runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.failpoints import FAILPOINTS
from consumer.ledger.queries import deliveries_of, timeline_of
from consumer.ledger.states import DeliveryState
from tests.acceptance.line import SECRET, objects_below
from tests.acceptance.test_sqs_line import telecine_on_sqs
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.receiver import Receiver
from tests.servers.s3 import S3
from tests.servers.sqs import make_queue
from tests.telecine_process import wait_until

DOOR = [point for point in FAILPOINTS if point.startswith("door.")]
#: Failpoints after which the message is still in the queue and the job already in the ledger.
KNOWN = ("door.committed",)


@pytest.mark.parametrize("point", DOOR)
def test_a_door_killed_at_any_point_loses_no_message_and_runs_no_job_twice(
    point: str, s3: S3, bucket: str, queue_prefix: str, tmp_path: Path
) -> None:
    queue = make_queue(s3, f"{queue_prefix}requests")
    marker, runs = tmp_path / "killed", tmp_path / "runs"
    # Messages in flight at the kill become visible after this time; it is longer than a live door may stall.
    settings = {"sqs_visibility_seconds": 8}
    with Receiver() as receiver, telecine_on_sqs(tmp_path / "home", s3, queue, bucket, **settings) as telecine:
        telecine.start(env={"TELECINE_FAILPOINT": f"{point}:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        data = {"text": "once", "ledger_of_runs": str(runs)}
        queue.send(
            {"id": "j-1", "type": "note", "data": data, "callback": {"url": receiver.url}},
            {"id": "bad", "type": "hologram", "data": {}},
        )
        telecine.wait_for_death()
        assert marker.exists(), "the process died before it came to the failpoint"

        telecine.start()
        job = telecine.wait_for_job("j-1")

        database = telecine.database()
        check_finished_once(database, job, objects_below(s3, bucket, "results/j-1/"))
        check_callback_once(receiver, "j-1", SECRET)
        wait_until(lambda: deliveries_of(database, "j-1")[0].state is DeliveryState.DELIVERED)
        wait_until(lambda: queue.counts() == (0, 0))
        assert len(runs.read_text().splitlines()) == 1
        assert ("duplicate" in [entry.event for entry in timeline_of(database, "j-1")]) is (point in KNOWN)
        assert queue.dead(1)[0]["MessageAttributes"]["telecine-code"]["StringValue"] == "unknown_type"
