"""kill -9 at every failpoint around a paid call, in embedded mode: one charge, or an operator decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.failpoints import CALL_FAILPOINTS
from consumer.ledger.states import State
from tests.acceptance.line import SECRET, objects_below, publish_with_node, telecine_with
from tests.doubles.misbehaviour import Fault
from tests.provider_line import ProviderLine, check_settled
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3
from tests.telecine_process import wait_until

#: Failpoints with an unknown outcome at Cococlip, which cannot be searched; the charges, and the decision.
DECISIONS = [
    ("call.intended", 0, ("--resubmit",)),
    ("call.accepted", 1, ("--adopt", "TASK")),
    ("call.accepted", 1, ("--fail",)),
]
#: Failpoints without an unknown outcome.
CERTAIN = [name for name in CALL_FAILPOINTS if name not in ("call.intended", "call.accepted", "call.looked_up")]


def killed_at(line: ProviderLine, point: str, marker: Path) -> None:
    """Start Telecine, which kills itself at the failpoint, and start it again."""
    line.telecine.start(env={"TELECINE_FAILPOINT": f"{point}:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
    line.telecine.wait_for_death()
    assert marker.exists(), "the process died before it came to the failpoint"
    line.telecine.start()


@pytest.mark.parametrize("point", CERTAIN)
def test_a_film_whose_engine_is_killed_is_paid_once_and_completed(point: str, tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home") as line:
        line.film("j-1")
        killed_at(line, point, tmp_path / "killed")
        job = line.telecine.wait_for_job("j-1")
        line.check_completed(job)
        assert line.cococlip.charges() == line.cococlip.count("submit") == 1


@pytest.mark.parametrize(("point", "charges", "decision"), DECISIONS)
def test_an_operator_settles_an_outcome_that_the_crash_made_unknown(
    point: str, charges: int, decision: tuple[str, ...], tmp_path: Path
) -> None:
    with ProviderLine(tmp_path / "home") as line:
        line.film("j-1")
        killed_at(line, point, tmp_path / "killed")
        call = line.unknown("j-1")
        assert (line.cococlip.charges(), call.reserved, call.lease_owner) == (charges, 100_000, None)
        assert "It is unknown whether cococlip accepted" in line.telecine.run("explain", "j-1").stdout.decode()
        task = next(iter(line.cococlip.tasks), "")
        line.telecine.run("resolve", "j-1", *(task if word == "TASK" else word for word in decision))
        job = line.telecine.wait_for_job("j-1")
        assert line.cococlip.charges() == 1
        database = line.telecine.database()
        check_settled(database, "j-1")
        if decision == ("--fail",):
            assert (job.state, (job.error or {})["code"]) == (State.FAILED, "outcome_unknown")
            settled = line.call(database, "j-1")
            assert settled is not None
            assert settled.spent == 100_000
        else:
            line.check_completed(job)
        database.close()


@pytest.mark.parametrize("point", CALL_FAILPOINTS)
def test_a_provider_that_can_be_searched_needs_no_operator(point: str, tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home") as line:
        if point == "call.looked_up":
            line.replicate.fault(Fault("submit", "reset", accept=True))
        line.prompt("j-1")
        killed_at(line, point, tmp_path / "killed")
        job = line.telecine.wait_for_job("j-1")
        line.check_completed(job)
        assert line.replicate.charges() == 1


def test_the_same_over_rabbitmq_and_s3(
    rabbitmq: RabbitMQ, queue_prefix: str, s3: S3, bucket: str, tmp_path: Path
) -> None:
    queue, marker = f"{queue_prefix}requests", tmp_path / "killed"
    telecine = telecine_with(tmp_path / "home", rabbitmq, queue, s3, bucket)
    s3.client().put_object(Bucket=bucket, Key="in/cover.png", Body=_png())
    with ProviderLine(tmp_path / "home", telecine) as line, Receiver():
        telecine.start(env={"TELECINE_FAILPOINT": "call.accepted:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        data = {"image": f"s3://{bucket}/in/cover.png"}
        request = {"id": "j-1", "type": "image-to-video", "data": data, "callback": {"url": line.receiver.url}}
        publish_with_node(rabbitmq, queue, [request])
        wait_until(marker.exists)
        telecine.kill()
        telecine.start()
        job = telecine.wait_for_job("j-1", timeout=90)
        line.check_completed(job, objects_below(s3, bucket, "results/j-1/"), SECRET)
        assert (line.replicate.charges(), line.pika.charges()) == (1, 1)


def _png() -> bytes:
    import io

    from PIL import Image

    into = io.BytesIO()
    Image.new("RGB", (64, 48)).save(into, "PNG")
    return into.getvalue()
