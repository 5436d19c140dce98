"""``alignment_mode: local`` on a worker: a crash after the alignment does not repeat it."""

from __future__ import annotations

import json
from pathlib import Path

from consumer.doors.drop import drop
from consumer.ledger import steps
from consumer.ledger.queries import timeline_of
from consumer.ledger.states import State
from tests.spoken import TEXTS, spoken, write_speech
from tests.telecine_process import TelecineProcess


def test_a_worker_that_is_killed_after_the_alignment_does_not_align_again(tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    with TelecineProcess(tmp_path / "home") as telecine:
        inbox = telecine.settings.storage_folder / "inbox"
        inbox.mkdir(parents=True)
        write_speech(inbox / "a.wav", spoken("en"))
        data = {"audio": "s3://inbox/a.wav", "lyrics": TEXTS["en"][1], "alignment_mode": "local"}
        telecine.start(env={"TELECINE_FAILPOINT": "advance.step_recorded:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        body = {"id": "j-1", "type": "audio-to-captions", "data": data}
        drop(telecine.settings.inbox_folder, json.dumps(body).encode())
        telecine.wait_for_death()
        database = telecine.database()
        (aligned,) = steps.of_job(database, "j-1")
        assert (aligned.name, aligned.finished_at is not None) == ("align-locally", True)

        telecine.start()
        job = telecine.wait_for_job("j-1")

        assert (job.state, job.crashes) == (State.COMPLETED, 1)
        assert [step.name for step in steps.of_job(database, "j-1")] == ["align-locally", "write"]
        assert steps.of_job(database, "j-1")[0] == aligned
        done = [entry.detail["step"] for entry in timeline_of(database, "j-1") if entry.event == "step_done"]
        assert done == ["align-locally", "write"]
        manifest = json.loads((telecine.settings.storage_folder / "results" / "j-1" / "manifest.json").read_text())
        assert manifest["details"]["alignment"]["used"] == "local_alignment"
