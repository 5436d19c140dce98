"""The I2V service's use case, with fallbacks, budgets and circuit breakers, in real processes and the CLI."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from consumer.ledger import accounts, calls
from consumer.ledger.database import Database
from consumer.ledger.states import CallState, State
from tests.acceptance.line import objects_below
from tests.doubles.misbehaviour import Fault, Plan
from tests.provider_line import GAME_KEY, ProviderLine, check_settled
from tests.servers.s3 import S3
from tests.telecine_process import wait_until

#: The callback body in the I2V service's documentation.
BODY = """{
    "data": {
        "addToInventory": true,
        "status": "COMPLETED",
        "output": {
            "title": "%s",
            "type": "MEDIA",
            "category": "MARKETING_VIDEO",
            "url": "%s"
        }
    }
}"""
FAILED = """{
    "data": {
        "addToInventory": false,
        "status": "FAILED",
        "output": null
    }
}"""


def test_an_image_id_becomes_a_film_and_a_callback_to_the_game_api_byte_for_byte(
    tmp_path: Path, s3: S3, bucket: str
) -> None:
    stored: dict[str, object] = {
        "storage": "s3",
        "s3_endpoint_url": s3.url,
        "s3_region": s3.region,
        "output": f"s3://{bucket}/results/",
    }
    with ProviderLine(tmp_path / "home", None, **stored) as line:
        line.telecine.start()
        picture = html.escape(f"{line.picture}?size=1&kind=cover")
        line.ask("order-1", "image-to-video", {"image_id": picture}, callback={"format": "game"})
        job = line.telecine.wait_for_job("order-1")
        (attempt,) = line.receiver.wait_for(1)
        assert job.state is State.COMPLETED, job.error
        objects = objects_below(s3, bucket, "results/order-1/")
        database = line.telecine.database()
        check_settled(database, "order-1")
        database.close()
        story = line.telecine.run("explain", "order-1").stdout.decode()

    assert (line.replicate.charges(), line.pika.charges()) == (1, 1)
    (asked,) = [task.asked for task in line.pika.tasks.values()]
    assert asked["promptText"] == "a red kite over dunes, golden hour, trending on artstation"
    assert set(objects) == {"video.mp4", "manifest.json"}
    manifest = json.loads(objects["manifest.json"])
    assert (manifest["provider"], manifest["model"], manifest["cost"]["amount"]) == ("pika", "pika", "0.20")
    assert [call["provider"] for call in manifest["details"]["calls"]] == ["replicate", "pika"]
    assert manifest["details"]["title"] == "a red kite over dunes"

    assert (attempt.method, attempt.path) == ("POST", "/requests/order-1/callback")
    assert attempt.headers["x-api-key"] == GAME_KEY
    url = attempt.json()["data"]["output"]["url"]
    assert url.startswith(f"{s3.url}/{bucket}/results/order-1/video.mp4?")
    # The title is Pika's file name up to the first comma.
    assert attempt.body.decode() == BODY % ("a red kite over dunes", url)
    assert story.index("replicate accepted") < story.index("pika accepted") < story.rindex("completed")


def test_the_game_api_gets_a_callback_for_a_failed_film(tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home") as line:
        line.pika.plan(Plan("fail", message="the image shows a person"))
        line.telecine.start()
        line.ask("order-1", "image-to-video", {"image_id": line.picture}, callback={"format": "game"})
        job = line.telecine.wait_for_job("order-1")
        (attempt,) = line.receiver.wait_for(1)
    assert (job.error or {})["code"] == "provider_task_failed"
    assert "the image shows a person" in (job.error or {})["message"]
    assert attempt.body.decode() == FAILED


def test_a_fallback_is_used_and_explained(tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home") as line:
        line.cococlip.fault(Fault(status=400, body='{"detail": "prompt is not allowed"}'))
        line.telecine.start()
        line.film("j-1", model=["seedancev1lite", "hailuo02standard"])
        job = line.telecine.wait_for_job("j-1")
        line.check_completed(job)
        story = line.telecine.run("explain", "j-1").stdout.decode()
        manifest = json.loads(line.objects("j-1")["manifest.json"])
    words = " ".join(story.split())
    assert "Step `generate` failed with seedancev1lite of cococlip" in words
    assert "Step `generate` uses the model hailuo02standard of cococlip; others were skipped" in words
    assert "prompt is not allowed" in words
    assert (manifest["model"], manifest["cost"]["amount"]) == ("hailuo02standard", "0.10")
    assert manifest["details"]["inference_time"] == 128036
    (call,) = manifest["details"]["calls"]
    assert [item["model"] for item in call["passed_over"]] == ["seedancev1lite"]


def test_a_budget_stops_the_next_call_before_it_is_made(tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home", budgets=json.dumps({"*": {"usd": 0.15, "period": "ever"}})) as line:
        line.telecine.start()
        line.film("j-1")
        assert line.telecine.wait_for_job("j-1").state is State.COMPLETED
        line.film("j-2")
        job = line.telecine.wait_for_job("j-2")
        assert (job.error or {})["code"] == "budget_exceeded"
        assert line.cococlip.count("submit") == 1
        (told,) = wait_until(lambda: [a.json() for a in line.receiver.attempts if a.json()["data"]["id"] == "j-2"][:1])
        assert told["data"]["error"]["code"] == "budget_exceeded"
        (row,) = [row for row in providers(line) if row["provider"] == "cococlip"]
        assert (row["today"], row["this_month"], row["out"]) == ("0.10", "0.10", 0)


def test_the_breaker_opens_and_one_call_is_tried_before_it_closes(tmp_path: Path) -> None:
    limits = json.dumps({"cococlip": {"breaker_failures": 2, "breaker_seconds": 2}})
    with ProviderLine(tmp_path / "home", provider_limits=limits) as line:
        line.cococlip.fault(Fault(act="drop", times=2))
        line.telecine.start()
        line.film("lost-1")
        line.film("lost-2")
        database = line.telecine.database()
        # The second failure opens the breaker; the outcome of its call is recorded slightly later.
        wait_until(lambda: breaker_state(database) == "open" and count_unknown(database) == 2)
        (row,) = [row for row in providers(line) if row["provider"] == "cococlip"]
        assert (row["breaker"], row["unknown"]) == ("open", 2)
        assert "may have arrived" in str(row["last_error"])
        table = line.telecine.run("providers").stdout.decode()
        assert "open" in table
        submitted = line.cococlip.count("submit")
        line.cococlip.plan(Plan(polls=2))
        line.film("after")
        line.film("after-2", model=["hailuo02standard", "seedancev1lite"])
        wait_until(lambda: breaker_state(database) in ("half", "closed"))
        for name in ("after", "after-2"):
            assert line.telecine.wait_for_job(name).terminal
        assert breaker_state(database) == "closed"
        assert submitted == 2
        database.close()


@pytest.mark.parametrize("secret", ["Ffd3x9SignatureOfTheResult"])
def test_the_operators_tables_show_no_secret(secret: str, tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home") as line:
        line.cococlip.plan(Plan(result="html"))
        line.telecine.start()
        line.film("j-1")
        line.film("j-2")
        for name in ("j-1", "j-2"):
            line.telecine.wait_for_job(name)
        shown = b"".join(
            line.telecine.run(*words).stdout
            for words in (
                ("explain", "j-1"),
                ("explain", "j-1", "--json"),
                ("providers",),
                ("list",),
                ("explain", "j-2"),
            )
        ).decode()
        log = line.telecine.log.read_text()
        held = (line.telecine.home / "ledger.sqlite3").read_bytes()
        keys = (line.cococlip.key, GAME_KEY)
    for text in (shown, log):
        assert secret not in text
        assert not any(key in text for key in keys)
    assert not any(key.encode() in held for key in keys)


def providers(line: ProviderLine) -> list[dict[str, object]]:
    """Return the output of ``telecine providers --json``."""
    found: list[dict[str, object]] = json.loads(line.telecine.run("providers", "--json").stdout)
    return found


def count_unknown(database: Database) -> int:
    """Count the calls with an unknown outcome."""
    found = [calls.of_job(database, job_id) for job_id in ("lost-1", "lost-2")]
    return sum(call.state is CallState.UNKNOWN for rows in found for call in rows)


def breaker_state(database: Database) -> str:
    """Return the state of Cococlip's circuit breaker."""
    return next((a.breaker for a in accounts.list_accounts(database) if a.provider == "cococlip"), "closed")
