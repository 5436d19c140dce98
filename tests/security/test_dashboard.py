"""The dashboard against forged requests, foreign tenants, hostile text, and a ledger or storage that is away."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.execution.durable import advance
from consumer.ledger import dead_letters, outbox, timeline
from consumer.ledger.browsing import timeline_ends
from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.calls import insert_call
from consumer.ledger.database import db_now
from consumer.ledger.queries import find_job, timeline_of
from consumer.ledger.tables import calls, jobs
from consumer.retention.job_deleter import JobDeleter
from consumer.runtime import Runtime
from consumer.wiring import admission_policy, build_runtime
from ops.dashboard import requirements
from ops.edge.app import build_app
from schemas.errors import ConfigurationError, InvalidJson
from schemas.settings import Settings
from tests import note_pipeline
from tests.browser import Served

assert note_pipeline  # importing it adds its job types

HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x07</textarea>'\"><img src=x onerror=alert(2)>"
TOKENS = {
    "anna": {"token": "a-long-token-of-anna", "may_act": True},
    "view": {"token": "a-long-token-to-look", "may_act": False},
    "acme": {"token": "a-long-token-of-acme", "tenant": "acme", "may_act": True},
}
ANNA, VIEW, ACME = (str(owner["token"]) for owner in TOKENS.values())


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    home = tmp_path_factory.mktemp("home")
    made = build_runtime(Settings(home=home, dashboard_tokens=TOKENS, health_port=0))
    admit(made, {"id": "ours", "tenant": "acme", "metadata": {"title": HOSTILE}})
    admit(made, {"id": "theirs", "tenant": "zoo", "data": {"text": HOSTILE}})
    admit(made, {"id": "none"})
    assert all(advance(made, job_id) for job_id in ("ours", "theirs", "none"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(runtime: Runtime) -> Iterator[Served]:
    with Served(runtime) as made:
        yield made


def admit(runtime: Runtime, envelope: dict[str, Any]) -> None:
    body = json.dumps({"type": "note", "data": {"text": "x"}} | envelope).encode()
    (answer,) = BatchAdmitter(runtime.database, admission_policy(runtime))([IncomingMessage(body, "test", "q")])
    assert answer.error is None, answer.error


def get(served: Served, client: requests.Session, path: str, **options: Any) -> requests.Response:
    return client.get(served.url + path, timeout=30, **options)


def test_without_a_token_nothing_is_shown_and_a_wrong_one_opens_nothing(served: Served) -> None:
    for path in ("/", "/jobs", "/jobs/ours", "/jobs/ours/files/note.txt", "/callbacks", "/bulk?action=retry"):
        answer = requests.get(served.url + path, timeout=30)
        assert answer.status_code == 401, path
        assert "ours" not in answer.text.replace(path, "")
    assert requests.post(f"{served.url}/sign-in", {"token": "wrong"}, timeout=30).status_code == 403
    assert requests.get(f"{served.url}/sign-in?token=wrong", timeout=30).status_code == 403


@pytest.mark.parametrize("change", ["", "x", "1.YW5uYQ==.0", "9999999999.YW5uYQ==.00"])
def test_a_forged_or_changed_cookie_is_no_session(served: Served, change: str) -> None:
    session = str(served.session(VIEW).cookies["telecine_dashboard"])
    swapped = session.replace(session.split(".")[1], "YW5uYQ==")  # anna, under the signature of another session
    for value in (change, swapped, session[:-1], session + "0"):
        assert requests.get(served.url, cookies={"telecine_dashboard": value}, timeout=30).status_code == 401


def test_the_cookie_is_strict_and_hidden_from_scripts(served: Served) -> None:
    answer = requests.post(f"{served.url}/sign-in", {"token": ANNA}, timeout=30, allow_redirects=False)
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))


def test_a_link_signs_nobody_in_with_a_token_of_the_settings(served: Served) -> None:
    answer = requests.get(f"{served.url}/sign-in?token={ACME}", timeout=30, allow_redirects=False)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_form_without_a_session_is_small(served: Served) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for body, status in ((b"a&" * 100_000, 413), (b"a&" * 1_000, 400)):
        assert requests.post(f"{served.url}/sign-in", body, headers=kind, timeout=30).status_code == status


def test_after_signing_in_one_stays_on_this_site(served: Served) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "evil.example"):
        fields = {"token": ANNA, "next": elsewhere}
        answer = requests.post(f"{served.url}/sign-in", fields, timeout=30, allow_redirects=False)
        assert answer.headers["location"] == "/"


def test_a_form_of_another_site_or_without_the_token_of_its_session_does_nothing(
    served: Served, runtime: Runtime
) -> None:
    client, other = served.session(ANNA), served.session(VIEW)
    url, before = f"{served.url}/jobs/none/delete", len(timeline_of(runtime.database, "none"))
    foreign = {"origin": "https://evil.example"}
    form_token = re.search(r'name="form_token" value="(\w+)"', get(served, client, "/send").text)
    assert form_token is not None
    fields = {"form_token": form_token[1]}
    attempts = [
        client.post(url, fields, headers=foreign, timeout=30),
        client.post(url, fields, headers={"sec-fetch-site": "cross-site"}, timeout=30),
        client.post(url, fields, headers={"sec-fetch-site": "same-site"}, timeout=30),
        client.post(url, {"other": "1"}, timeout=30),
        client.post(url, {"form_token": "0" * 64}, timeout=30),
        client.post(url, json=fields, timeout=30),
        other.post(url, fields, timeout=30),
        requests.post(url, fields, timeout=30),
    ]
    assert [answer.status_code for answer in attempts] == [403, 403, 403, 403, 403, 415, 403, 401]
    assert get(served, client, "/jobs/none/delete").status_code in (404, 405)
    assert find_job(runtime.database, "none") is not None
    assert len(timeline_of(runtime.database, "none")) == before


def test_a_token_that_may_not_act_has_no_buttons_and_no_actions(served: Served) -> None:
    client = served.session(VIEW)
    page = get(served, client, "/jobs/theirs").text
    assert 'method="post"' not in page.replace('action="/sign-out"', "").replace('<form method="post" >', "")
    for path in ("/jobs/theirs/retry", "/pauses", "/bulk", "/send", "/send/demo"):
        assert served.post(client, path, kind="type", name="note").status_code == 403, path


def test_a_tenant_sees_and_changes_its_own_jobs_only(served: Served, runtime: Runtime) -> None:
    client = served.session(ACME)
    home = get(served, client, "/")
    assert home.url.endswith("/jobs")
    listed = get(served, client, "/jobs?tenant=zoo").text
    assert "ours" in listed
    assert "theirs" not in listed
    with runtime.database.write(durable=True) as connection:
        for name in ("ours", "theirs"):
            new = outbox.NewDelivery(
                id=f"msg_{name}", job_id=name, event="e", url="http://127.0.0.1:9", secret_name=None, body=b"{}"
            )
            outbox.enqueue(runtime.database, connection, new)
        number = dead_letters.add_dead_letter(
            connection, door="d", source="s", request_id="x", error=InvalidJson("no"), body=b"{", headers={}
        )
    hidden = ["/jobs/theirs", "/jobs/theirs/files/note.txt", "/jobs/none", "/callbacks", "/callbacks/msg_theirs"]
    hidden += ["/dead-letters", f"/dead-letters/{number}", "/providers", "/bulk?action=replay-callbacks&state=pending"]
    assert [get(served, client, path).status_code for path in hidden] == [404] * len(hidden)
    assert get(served, client, "/callbacks/msg_ours").status_code == 200
    forbidden = ["/jobs/theirs/delete", "/jobs/theirs/cancel", "/callbacks/msg_theirs/replay", "/pauses"]
    forbidden += [f"/dead-letters/{number}/dismiss", "/jobs/ours/settle"]
    for path in forbidden:
        assert served.post(client, path, kind="type", name="note", how="fail").status_code == 404, path
    assert "theirs" not in get(served, client, "/send?job=theirs").text
    sent = served.post(client, "/send", request=json.dumps({"id": "z", "type": "note", "tenant": "zoo", "data": {}}))
    assert (sent.status_code, "tenant_forbidden" in sent.text) == (403, True)
    confirm = served.post(client, "/bulk", action="delete", tenant="zoo", typed="0").text
    assert "Delete 1 job" in confirm
    assert "of tenant acme" in confirm


def test_hostile_text_is_shown_as_text_everywhere(served: Served, runtime: Runtime) -> None:
    with runtime.database.write(durable=True) as connection:
        number = dead_letters.add_dead_letter(
            connection,
            door="amqp",
            source=HOSTILE,
            request_id=HOSTILE[:100],
            error=InvalidJson(HOSTILE),
            body=HOSTILE.encode(),
            headers={HOSTILE: HOSTILE},
        )
        timeline.note(connection, "ours", "warning", message=HOSTILE, code=HOSTILE)
        record = {"code": "x", "message": HOSTILE, "field": HOSTILE}
        connection.execute(sa.update(jobs).where(jobs.c.id == "ours").values(state="failed", error=json.dumps(record)))
        new = outbox.NewDelivery(
            id="msg_h", job_id="ours", event=HOSTILE[:30], url="http://h/", secret_name=None, body=HOSTILE.encode()
        )
        outbox.enqueue(runtime.database, connection, new)
        connection.execute(sa.text("UPDATE deliveries SET last_answer = :text WHERE id = 'msg_h'"), {"text": HOSTILE})
    client = served.session(ANNA)
    paths = ["/", "/jobs", "/jobs/ours", "/jobs/theirs", f"/dead-letters/{number}", "/dead-letters", "/callbacks"]
    paths += ["/callbacks/msg_h", "/send?job=theirs", f"/jobs?code={HOSTILE}", f"/bulk?action=retry&code={HOSTILE}"]
    for path in paths:
        text = get(served, client, path).text
        found = _Tags()
        found.feed(text)
        assert found.scripts == ["/static/idiomorph.js", "/static/live.js"], path
        assert not [name for name in found.attributes if name.startswith("on")], path
        assert not set("\u202e\x07") & set(text), path


class _Tags(HTMLParser):
    """Collects the addresses of scripts and the names of all attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str | None] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))
        self.attributes |= {name for name, _ in attrs}


def test_every_answer_allows_nothing_but_this_sites_own_files(served: Served) -> None:
    client = served.session(ANNA)
    for path in ("/", "/jobs/ours", "/nowhere", "/static/live.js", "/sign-in", "/jobs/ours/files/nothing"):
        headers = get(served, client, path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
    file = get(served, client, "/jobs/none/files/note.txt")
    assert file.status_code == 200
    assert "sandbox" in file.headers["content-security-policy"]
    assert "no-cache" in file.headers["cache-control"]  # another visitor of this browser asks again
    assert get(served, client, "/jobs/none/files/note.txt", headers={"range": "bytes=0-0"}).content == file.content[:1]


@pytest.mark.parametrize("number", ["9" * 30, "9" * 5000, "-1", "x"])
def test_a_number_that_no_dead_letter_has_is_not_found(served: Served, number: str) -> None:
    assert get(served, served.session(ANNA), f"/dead-letters/{number}").status_code == 404


def test_characters_that_the_database_cannot_store_find_nothing(postgres_url: str, tmp_path: Path) -> None:
    runtime = build_runtime(Settings(home=tmp_path, ledger_url=postgres_url, dashboard_tokens=TOKENS, health_port=0))
    with Served(runtime) as served:
        client = served.session(ANNA)
        for path in ("/jobs?tenant=%00", "/jobs?code=%00", "/dead-letters?code=%00", "/jobs?before=1_%00"):
            assert get(served, client, path).status_code == 200, path
        assert get(served, client, "/callbacks/%00").status_code == 404
        assert served.post(client, "/pauses", kind="type", name="\0", do="resume").status_code == 200
    runtime.close()


def test_a_path_that_climbs_leads_nowhere(served: Served) -> None:
    client = served.session(ANNA)
    climbing = ("..", "%2e%2e", "..%2f..%2fledger.sqlite3", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "note.txt%00", ".")
    for name in climbing:
        for path in (f"/jobs/none/files/{name}", f"/static/{name}", f"/jobs/{name}", f"/callbacks/{name}"):
            request = requests.Request("GET", served.url + path, cookies=client.cookies).prepare()
            request.url = served.url + path  # not normalised
            answer = client.send(request, timeout=30, allow_redirects=False)
            assert answer.status_code in (303, 404, 405), path
            assert b"SQLite" not in answer.content
            assert b"root:" not in answer.content


def test_without_tokens_only_this_machine_may_look_and_only_the_printed_link_may_act(tmp_path: Path) -> None:
    runtime = build_runtime(Settings(home=tmp_path, health_port=0))
    admit(runtime, {"id": "j"})
    with Served(runtime) as served:
        assert requests.get(served.url, timeout=30).status_code == 200
        assert requests.get(served.url, headers={"host": "rebound.example"}, timeout=30).status_code == 403
        assert requests.get(served.url, headers={"origin": "https://evil.example"}, timeout=30).status_code == 403
        stranger = requests.Session()
        assert served.post(stranger, "/jobs/j/cancel").status_code == 403
        assert served.post(served.session(), "/jobs/j/cancel").status_code == 200
    job = find_job(runtime.database, "j")
    assert job is not None
    assert job.state.value == "cancelled"
    runtime.close()
    with pytest.raises(ConfigurationError, match="TELECINE_DASHBOARD_TOKENS"):
        requirements.check_requirements(Settings(), "0.0.0.0")


def test_a_job_that_is_deleted_while_it_is_looked_at_is_said_to_be_gone(served: Served, runtime: Runtime) -> None:
    admit(runtime, {"id": "gone"})
    assert advance(runtime, "gone") is not None
    client = served.session(ANNA)
    assert get(served, client, "/jobs/gone").status_code == 200
    job = find_job(runtime.database, "gone")
    assert job is not None
    assert JobDeleter(runtime.settings, runtime.database, runtime.storage).delete(job).kept is None
    for answer in (get(served, client, "/jobs/gone"), served.post(client, "/jobs/gone/retry")):
        assert (answer.status_code, "it may have been deleted" in answer.text) == (404, True)


def test_a_ledger_that_is_away_is_named_and_the_page_comes_back_with_it(
    served: Served, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served.session(ANNA)

    def away(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("no connection"))

    with monkeypatch.context() as patch:
        patch.setattr(type(runtime.database), "read", away)
        answer = get(served, client, "/jobs")
        assert answer.status_code == 503
        assert "The ledger does not answer" in answer.text
        assert 'data-live="5"' in answer.text
    assert get(served, client, "/jobs").status_code == 200


def test_a_slow_storage_holds_up_no_page(served: Served, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    client, go, waiting = served.session(ANNA), threading.Event(), threading.Semaphore(0)

    def slow(*_: object) -> Iterator[bytes]:
        waiting.release()
        go.wait(60)
        return iter([b"x"])

    monkeypatch.setattr(type(runtime.storage), "read", slow)
    with ThreadPoolExecutor(60) as looking:
        films = [looking.submit(get, served, client, "/jobs/none/files/note.txt", stream=True) for _ in range(60)]
        assert all(waiting.acquire(timeout=30) for _ in range(16))
        time.sleep(0.5)
        assert client.get(f"{served.url}/jobs/none", timeout=10).status_code == 200
        assert client.get(f"{served.url}/static/style.css", timeout=10).status_code == 200
        go.set()
        assert {film.result().status_code for film in films} == {200}


def test_who_acted_is_logged_also_if_the_thing_is_gone(served: Served, runtime: Runtime) -> None:
    admit(runtime, {"id": "brief"})
    assert advance(runtime, "brief") is not None
    with capture_logs() as logs:
        assert served.post(served.session(ANNA), "/jobs/brief/delete").status_code == 200
    acted = [entry for entry in logs if entry["event"] == "dashboard_action"]
    assert [(entry["by"], entry["path"]) for entry in acted] == [("anna (dashboard)", "/jobs/brief/delete")]


def test_an_action_on_all_jobs_counts_those_that_it_changes(served: Served, runtime: Runtime) -> None:
    client = served.session(ANNA)
    for job_id in ("w1", "w2"):
        admit(runtime, {"id": job_id, "tenant": "many"})
    assert advance(runtime, "w1") is not None
    for action, number in (("cancel", 1), ("delete", 1), ("retry", 0)):
        page = get(served, client, f"/bulk?action={action}&tenant=many").text
        assert f"{action.title()} {number} job" in page
    assert "Cancel 0 jobs" in get(served, client, "/bulk?action=cancel&state=completed&tenant=many").text


def test_after_a_refused_action_one_gets_back_to_its_job(served: Served) -> None:
    answer = served.post(served.session(ANNA), "/jobs/theirs/retry")
    assert (answer.status_code, 'href="/jobs/theirs"' in answer.text) == (409, True)


def test_progress_of_an_action_is_not_shown_to_a_tenant_that_did_not_start_it(served: Served, runtime: Runtime) -> None:
    client = served.session(ANNA)
    admit(runtime, {"id": "open", "tenant": "zoo"})
    started = served.post(client, "/bulk", action="cancel", tenant="zoo", typed="1")
    assert (started.status_code, "/bulk/" in started.url) == (200, True)
    assert served.session(ACME).get(started.url, timeout=30).status_code == 404


def test_a_copy_has_no_id_that_a_producer_would_number(served: Served, runtime: Runtime) -> None:
    client = served.session(ANNA)
    for known, copy in (("order-7", "order-7-again"), ("order-7-again", "order-7-again-2")):
        admit(runtime, {"id": known})
        assert f"&#34;id&#34;: &#34;{copy}&#34;" in get(served, client, f"/send?job={known}").text


def test_a_timeline_of_10_000_entries_is_cut_in_the_middle_and_says_so(served: Served, runtime: Runtime) -> None:
    admit(runtime, {"id": "long"})
    with runtime.database.write(durable=True) as connection:
        timeline.note_many(connection, time.time(), [("long", "duplicate", {"door": "amqp"})] * 10_000)
    answer = get(served, served.session(ANNA), "/jobs/long")
    assert "telecine explain long" in answer.text
    assert len(answer.content) < 100_000
    entries, left_out = timeline_ends(runtime.database, "long", first=60, last=240)
    assert (len(entries), left_out) == (300, 9_701)


def test_a_job_with_1_000_callbacks_shows_the_newest_and_leads_to_all(served: Served, runtime: Runtime) -> None:
    admit(runtime, {"id": "often"})
    with runtime.database.write(durable=True) as connection:
        for number in range(1_000):
            new = outbox.NewDelivery(
                id=f"msg_often_{number}",
                job_id="often",
                event="job.progress",
                url="http://127.0.0.1:9/",
                secret_name=None,
                body=b"{}",
            )
            outbox.enqueue(runtime.database, connection, new)
    client = served.session(ANNA)
    answer = get(served, client, "/jobs/often")
    assert len(answer.content) < 100_000
    assert 'href="/callbacks?job=often"' in answer.text
    path, seen = "/callbacks?job=often", set[str]()
    while path:
        page = get(served, client, path).text
        seen |= set(re.findall("/callbacks/(msg_[a-z0-9_]+)", page))
        older = re.search('rel="next" href="([^"]+)"', page)
        path = html.unescape(older[1]) if older else ""
    assert seen == {f"msg_often_{number}" for number in range(1_000)}


def test_no_link_of_a_tenants_list_leads_nowhere(served: Served) -> None:
    client = served.session(ACME)
    for path in ("/jobs", "/jobs?code=nothing", "/jobs?id=nothing", "/jobs?state=expired", "/jobs/ours"):
        page = get(served, client, path).text
        assert "without tenant" not in page
        for link in set(re.findall('href="(/[^"]*)"', page)):
            assert get(served, client, html.unescape(link)).status_code == 200, (path, link)


def test_of_many_calls_that_wait_the_rest_is_counted_and_one_provider_can_be_chosen(
    served: Served, runtime: Runtime
) -> None:
    with runtime.database.write(durable=True) as connection:
        for number in range(300):
            provider = "pika" if number else "runpod"
            spec = CallSpec(
                candidates=[Candidate("m", provider, {})],
                inputs={},
                output_folder="s3://x/",
                fingerprint="f",
                type="note",
            )
            insert_call(runtime.database, connection, "none", f"s{number}", 1, spec, tenant="", urgency=1)
        connection.execute(sa.update(calls).where(calls.c.provider == "runpod").values(queued_at=db_now() + 60))
    client = served.session(ANNA)
    page = served.post(client, "/pauses", kind="type", name="note", do="resume")  # numbers are read after an action
    assert "250 more" in page.text
    assert "/providers?provider=pika#calls" in page.text
    assert "s0, " not in page.text
    assert "s0, " in get(served, client, "/providers?provider=runpod").text
    assert "No job waits for absent" in get(served, client, "/providers?provider=absent").text
    with runtime.database.write(durable=True) as connection:
        connection.execute(sa.delete(calls))


@pytest.mark.parametrize(
    ("settings", "shown"), [({}, True), ({"edge_tokens": {"acme": ["a-token-of-the-edge-1"]}}, False)]
)
def test_the_edge_shows_the_dashboard_unless_that_would_show_everything_without_a_token(
    tmp_path: Path, settings: dict[str, Any], shown: bool
) -> None:
    runtime = build_runtime(Settings(home=tmp_path, health_port=0, **settings))
    admit(runtime, {"id": "j"})
    client = TestClient(build_app(runtime), base_url="http://localhost")
    answer = client.get("/dashboard/jobs/j")
    assert (answer.status_code == 200) is shown
    if shown:
        assert 'href="/dashboard/static/style.css"' in answer.text
        assert client.get("/dashboard/static/style.css").status_code == 200
        assert client.post("/dashboard/jobs/j/cancel").status_code == 403
        assert client.get("/dashboard/jobs/j", headers={"host": "rebound.example"}).status_code == 403
    runtime.close()


def test_under_the_edge_one_returns_to_the_page_that_asked_for_a_token(tmp_path: Path) -> None:
    runtime = build_runtime(Settings(home=tmp_path, health_port=0, dashboard_tokens=TOKENS))
    client = TestClient(build_app(runtime), base_url="http://localhost")
    asked = client.get("/dashboard/jobs?state=failed&type=note")
    assert asked.status_code == 401
    (hidden,) = re.findall(r'name="next" value="([^"]*)"', asked.text)
    answer = client.post("/dashboard/sign-in", data={"token": VIEW, "next": html.unescape(hidden)})
    assert (answer.status_code, str(answer.url)) == (200, "http://localhost/dashboard/jobs?state=failed&type=note")
    client.cookies.clear()
    expired = client.post("/dashboard/jobs/x/retry")
    assert (expired.status_code, 'name="next" value="/"' in expired.text) == (401, True)
    runtime.close()
