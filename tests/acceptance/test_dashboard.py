"""The dashboard in headless Chromium: a job from its request to its playing film, and what a person on call does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from consumer.ledger import dead_letters, outbox, pauses
from consumer.ledger.pauses import PauseKind
from consumer.ledger.queries import timeline_of
from consumer.ledger.states import CallState, State
from consumer.ledger.tables import deliveries
from consumer.wiring import build_runtime
from schemas.errors import InvalidJson
from tests.browser import PHONE, Served, chromium, sideways, violations, window
from tests.call_line import Line
from tests.ledger_views import opened
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until

NOTE = {"type": "note", "data": {"text": "hello"}}
#: 300 callbacks, which is more than a page shows.
MANY = 300


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture(scope="module")
def telecine(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[TelecineProcess]:
    """Yield a running Telecine with the job type `note`."""
    host = receiver.url.removeprefix("http://").partition("/")[0]
    home = tmp_path_factory.mktemp("telecine")
    with TelecineProcess(home, notes=True, allowed_private_hosts=host).start() as made:
        yield made
        made.stop()


@pytest.fixture(scope="module")
def served(telecine: TelecineProcess) -> Iterator[Served]:
    runtime = build_runtime(telecine.settings)
    with Served(runtime) as made:
        yield made
    runtime.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """Yield a page that has signed in. What its console complains about fails the test."""
    context = window(browser)
    made, complaints = context.new_page(), []
    made.on("console", lambda message: complaints.append(message.text) if _is_fault(message) else None)
    made.goto(served.sign_in_url)
    yield made
    context.close()
    assert complaints == []


def _is_fault(message: ConsoleMessage) -> bool:
    # Chromium reports the status of an answer that the test asked for as an error too.
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """Yield jobs that call providers in memory."""
    with opened(f"sqlite:///{tmp_path / 'ledger.sqlite3'}") as ledger:
        made = Line(ledger, tmp_path)
        yield made
        made.close()


def test_a_job_is_watched_from_an_empty_page_to_its_playing_film(page: Page, served: Served) -> None:
    expect(page.get_by_text("There are no jobs yet")).to_be_visible()
    page.get_by_role("button", name="Send the demo's request").click()
    page.wait_for_url(re.compile("/jobs/demo-"), timeout=60_000)
    # The page follows the job without being loaded again.
    page.evaluate("window.untouched = true")
    expect(page.locator("h1 .state")).to_have_text("completed", timeout=120_000)
    assert page.evaluate("window.untouched")
    film = page.locator("video")
    film.evaluate("async film => { film.muted = true; await film.play(); }")
    wait_until(lambda: film.evaluate("film => film.currentTime") > 0.5)
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [1080, 1920]
    # News on the page does not start the film again.
    position = film.evaluate("film => film.currentTime")
    page.wait_for_timeout(2500)
    assert film.evaluate("film => film.currentTime") > position
    cues = film.evaluate(
        "async film => { const track = film.textTracks[0]; track.mode = 'hidden';"
        " for (let n = 0; n < 50 && !track.cues?.length; n++) await new Promise(ok => setTimeout(ok, 100));"
        " return track.cues.length }"
    )
    assert cues > 3
    expect(page.locator(".waterfall")).to_contain_text("render")
    page.get_by_role("link", name="Manifest", exact=True).click()
    expect(page.locator("[data-inlined] pre")).to_contain_text('"sha256"')
    assert violations(page) == []


def test_a_dead_letter_becomes_a_job_by_a_click(page: Page, served: Served, telecine: TelecineProcess) -> None:
    body = json.dumps({"id": "late", **NOTE}).encode()
    error = InvalidJson("the job type was not known yet")
    database = telecine.database()
    with database.write(durable=True) as connection:
        number = dead_letters.add_dead_letter(
            connection, door="amqp", source="q", request_id="late", error=error, body=body, headers={}
        )
    page.goto(f"{served.url}/dead-letters")
    page.get_by_role("link", name=str(number), exact=True).click()
    expect(page.locator("pre").first).to_contain_text('"late"')
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("h1")).to_contain_text("late")
    expect(page.locator(".timeline")).to_contain_text(f"Dead letter {number} was replayed by operator (dashboard)")
    assert telecine.wait_for_job("late").state is State.COMPLETED
    database.close()


def test_300_callbacks_are_replayed_by_one_action_after_their_number_was_typed(
    page: Page, served: Served, telecine: TelecineProcess, receiver: Receiver
) -> None:
    telecine.submit({"id": "many", **NOTE})
    telecine.wait_for_job("many")
    database = telecine.database()
    with database.write(durable=True) as connection:
        for number in range(MANY):
            outbox.enqueue(
                database,
                connection,
                outbox.NewDelivery(
                    id=f"msg_{number}",
                    job_id="many",
                    event="job.completed",
                    url=f"{receiver.url}/many",
                    secret_name=None,
                    body=b"{}",
                ),
            )
        exhausted = sa.update(deliveries).where(deliveries.c.url.endswith("/many"))
        connection.execute(exhausted.values(state="exhausted", due_at=None))
    page.goto(f"{served.url}/callbacks?state=exhausted")
    page.get_by_role("link", name="replay …").click()
    expect(page.locator("h1")).to_have_text(f"Replay {MANY} callbacks")
    page.get_by_label("to confirm").fill("299")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("alert")).to_contain_text(f"type {MANY}")
    page.get_by_label("to confirm").fill(str(MANY))
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("main .lead")).to_contain_text(f"Ended: {MANY} done, 0 refused")
    sent = {f"msg_{number}" for number in range(MANY)}
    wait_until(lambda: {a.headers["webhook-id"] for a in receiver.attempts if a.path.endswith("/many")} == sent)
    noted = [entry.detail["by"] for entry in timeline_of(database, "many") if entry.event == "callback_replayed"]
    assert noted == ["operator (dashboard)"] * MANY
    page.goto(f"{served.url}/jobs/many")  # long timelines are cut in the middle
    expect(page.locator(".timeline .gap")).to_contain_text("telecine explain many")
    database.close()


def test_a_failed_job_is_sent_again_with_one_field_edited(
    page: Page, served: Served, telecine: TelecineProcess
) -> None:
    telecine.submit({"id": "wrong", "type": "note", "data": {"text": "x", "image": "s3://inbox/none.png"}})
    assert telecine.wait_for_job("wrong").state is State.FAILED
    page.goto(f"{served.url}/jobs?state=failed")
    page.get_by_role("textbox", name="Id").fill("wrong")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".notice.bad")).to_contain_text("input_not_found")
    page.get_by_role("link", name="Send again edited").click()
    request = json.loads(page.get_by_label("Request").input_value())
    assert request["id"] == "wrong-again"
    request["data"]["image"] = None
    page.get_by_label("Request").fill(json.dumps({**request, "data": {**request["data"], "seconds": "x"}}))
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("data.seconds")
    page.get_by_label("Request").fill(json.dumps(request))
    page.get_by_role("button", name="Send").click()
    expect(page.locator("h1")).to_contain_text("wrong-again")
    expect(page.locator(".timeline")).to_contain_text("The request was sent by operator (dashboard)")
    assert telecine.wait_for_job("wrong-again").state is State.COMPLETED


def test_without_javascript_and_by_keyboard_alone_a_job_is_found_and_retried(
    browser: Browser, served: Served, telecine: TelecineProcess
) -> None:
    telecine.submit({"id": "keys", "type": "note", "data": {"image": "s3://inbox/none.png"}})
    assert telecine.wait_for_job("keys").state is State.FAILED
    context = window(browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(served.sign_in_url)
    press_on(page, "Jobs")
    press_on(page, "keys")
    press_on(page, "Retry")
    expect(page.locator(".timeline")).to_contain_text("was requested by operator (dashboard)")
    context.close()


def press_on(page: Page, name: str) -> None:
    """Move the focus with the Tab key to the link or button with this name, and press Enter."""
    target = page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("link", name=name, exact=True))
    expect(target).to_have_count(1)
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.locator(":focus").count() and page.locator(":focus").inner_text().strip() == name:
            page.keyboard.press("Enter")
            page.wait_for_load_state()
            return
    raise AssertionError(f"the Tab key does not reach {name}")


def test_every_page_is_accessible_in_both_colours_and_fits_a_phone(
    browser: Browser, served: Served, telecine: TelecineProcess
) -> None:
    telecine.submit({"id": "look", "tenant": "acme", "type": "note", "data": {"image": "s3://inbox/none.png"}})
    telecine.wait_for_job("look")
    database = telecine.database()
    pauses.pause(database, PauseKind.TYPE, "reel", by="anna")
    paths = ["/", "/jobs", "/jobs?state=completed&code=x", "/jobs/look", "/callbacks", "/dead-letters?all=1"]
    paths += ["/providers", "/bulk?action=retry&state=failed", "/send?job=look", "/sign-in", "/jobs/none"]
    for scheme, size in (("light", (1360, 900)), ("dark", PHONE)):
        context = window(browser, size, color_scheme=scheme)
        page = context.new_page()
        page.goto(served.sign_in_url)
        for path in paths:
            page.goto(served.url + path)
            assert violations(page) == [], (path, scheme)
            assert sideways(page) <= 0, (path, size)
        context.close()
    pauses.resume(database, PauseKind.TYPE, "reel")
    database.close()


def test_live_updates_can_be_halted_and_go_on(page: Page, served: Served, telecine: TelecineProcess) -> None:
    page.goto(f"{served.url}/jobs")
    page.get_by_role("button", name="Live").click()
    telecine.submit({"id": "unseen", **NOTE})
    telecine.wait_for_job("unseen")
    page.wait_for_timeout(6000)
    expect(page.get_by_role("link", name="unseen")).to_have_count(0)
    page.get_by_role("textbox", name="Id").fill("half an id")
    page.get_by_role("button", name="Halted").click()
    expect(page.get_by_role("link", name="unseen")).to_have_count(1)
    # What one is using stays as it is.
    expect(page.get_by_role("textbox", name="Id")).to_have_value("half an id")
    page.goto(f"{served.url}/jobs/unseen")
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Live").click()
    with page.expect_response(re.compile("/jobs/unseen$")):
        page.get_by_role("button", name="Halted").click()
    page.wait_for_timeout(500)
    expect(page.get_by_role("button", name="Delete unseen")).to_be_visible()


def test_an_unknown_outcome_is_settled(browser: Browser, line: Line) -> None:
    line.lose_first_response()
    with Served(line.runtime) as served:
        page = window(browser).new_page()
        # A page that was loaded before another call became unknown settles nothing else.
        answer = served.post(served.session(), "/jobs/j/settle", how="fail", call="another")
        assert ("Step settled" in answer.text, line.call().state) == (True, CallState.UNKNOWN)
        page.goto(served.sign_in_url)
        expect(page.locator("main")).to_contain_text("1 paid call with an unknown outcome")
        page.get_by_role("link", name="Settle").click()
        page.get_by_role("link", name="j", exact=True).first.click()
        page.get_by_label("It has the task").fill("task-1")
        page.get_by_role("button", name="Adopt").click()
        line.until(lambda: line.call().settled)
        assert line.advance() is State.COMPLETED
        expect(page.locator(".timeline")).to_contain_text("operator (dashboard) settled the unknown outcome")
        assert line.alpha.charges.total() == 1
        page.context.close()


def test_a_provider_is_paused_and_its_jobs_are_seen_waiting_for_it(browser: Browser, line: Line) -> None:
    line.start()
    with Served(line.runtime) as served:
        page = window(browser).new_page()
        page.goto(served.sign_in_url)
        page.goto(f"{served.url}/providers")
        page.get_by_role("button", name="Pause pika").click()
        expect(page.get_by_role("row", name="pika")).to_contain_text("paused by operator (dashboard)")
        page.get_by_role("button", name="Resume pika").first.click()
        expect(page.get_by_role("row", name="pika")).to_contain_text("closed")
        pauses.pause(line.runtime.database, PauseKind.PROVIDER, "alpha", by="anna")
        line.submit()
        assert line.advance() is State.WAITING
        page.goto(f"{served.url}/jobs/j")
        expect(page.locator(".lead")).to_contain_text("the provider alpha was paused by anna")
        page.goto(served.url)
        page.get_by_role("link", name="Resume").click()
        page.get_by_role("button", name="Resume alpha").click()
        line.until(lambda: line.call().settled)
        page.context.close()
