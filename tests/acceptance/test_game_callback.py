"""A callback in format ``game``, from a real Telecine to a real receiver."""

from __future__ import annotations

import json
from pathlib import Path

from consumer.doors.drop import drop
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess

KEY = "game-key-5f2a"
BODY = """{
    "data": {
        "addToInventory": true,
        "status": "COMPLETED",
        "output": {
            "title": "Generated Video",
            "type": "MEDIA",
            "category": "MARKETING_VIDEO",
            "url": %s
        }
    }
}"""


def test_the_game_api_gets_its_body_its_key_and_one_id_over_all_attempts(tmp_path: Path) -> None:
    with Receiver([500, 409]) as receiver, TelecineProcess(tmp_path / "home", notes=True) as telecine:
        receiver_root = receiver.url.removesuffix("/hook")
        telecine.environment |= {"CALLBACK_API_URL": f"{receiver_root}/requests", "GAME_API_KEY": KEY}
        for job_id, fields in (("order-1", {}), ("order-2", {"type": "nothing-like-it"})):
            request = {"id": job_id, "type": "note", "data": {}, "callback": {"format": "game"}, **fields}
            drop(telecine.settings.inbox_folder, json.dumps(request).encode())
        telecine.start()
        job = telecine.wait_for_job("order-1")
        attempts = receiver.wait_for(3)
        assert KEY not in telecine.log.read_text()
    told = [attempt for attempt in attempts if attempt.path == "/requests/order-1/callback"]
    refused = [attempt for attempt in attempts if attempt.path == "/requests/order-2/callback"]
    assert len(told) + len(refused) == 3
    assert all(attempt.headers["x-api-key"] == KEY for attempt in attempts)
    assert job.outcome is not None
    note = Path(told[0].json()["data"]["output"]["url"].removeprefix("file://"))
    assert note.name == "note.txt"
    assert told[0].body.decode() == BODY % json.dumps(told[0].json()["data"]["output"]["url"])
    assert refused[0].json() == {"data": {"addToInventory": False, "status": "FAILED", "output": None}}
    assert len({attempt.headers["webhook-id"] for attempt in attempts}) == 2
