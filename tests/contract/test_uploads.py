"""From an S3 event to a job, on every ledger: one job per object, for every form of event and for duplicates."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from consumer.admission.message import IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import browsing, queries, uploads
from consumer.storage.base import ObjectFacts, StoredObject
from consumer.storage.memory import MemoryStorage
from schemas.reference import Pin
from schemas.tenants import Tenant, TenantRules
from tests.ledger_views import Ledger
from tests.s3_messages import bridged, notified, wrapped
from tests.upload_site import LIMIT, RULES, Make, Site

DATA = {"image": "c.png", "audio": "a.mp3", "lyrics": "La", "alignment_mode": "even"}
MANIFEST: dict[str, Any] = {"type": "reel", "data": DATA}


@pytest.fixture
def site(make: Make) -> Site:
    """Return a site with a rule of each kind."""
    return make()


@pytest.fixture
def make(ledger: Ledger, tmp_path: Path) -> Make:
    """Return a factory of sites on one ledger."""
    return lambda **more: Site(ledger.a, tmp_path / "scratch", **more)


def test_every_form_of_event_is_the_same_job(site: Site) -> None:
    key = "songs/a b+é%.mp3"
    etag = site.add(key)
    forms = [
        notified(key, etag=etag),
        notified(key, etag=f'"{etag}"', source="minio:s3"),
        notified(key, etag=etag, source="ceph:s3", version=""),
        bridged(key, etag=etag),
        notified(key),
    ]
    messages = [*forms, *map(wrapped, forms)]
    assert all(answer.error is None for answer in site.door(*messages))
    site.process_uploads()
    job = site.job()
    assert job.duplicates == len(messages) - 1
    assert json.loads(job.request)["data"]["audio"] == f"s3://inbox/{key}"
    assert [wake.job_id for wake in site.woken] == [job.id]
    assert site.waiting() == 0
    assert site.letters() == []


class Versioned(MemoryStorage):
    """Versioned storage with one version of each object."""

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        found = super().head(uri, version)
        return None if found is None else found.model_copy(update={"version": "v7"})


def test_every_form_of_event_is_the_same_job_in_a_versioned_bucket(make: Make) -> None:
    site = make(storage=Versioned())
    etag = site.add("songs/a.mp3")
    forms = [
        notified("songs/a.mp3", etag=etag),
        notified("songs/a.mp3", etag=etag, version="v7"),
        notified("songs/a.mp3", etag=etag, version="null"),
        bridged("songs/a.mp3", etag=etag, version="v7"),
        notified("songs/a.mp3"),
    ]
    assert all(answer.error is None for answer in site.door(*forms, *map(wrapped, forms)))
    site.process_uploads()
    assert site.job().duplicates == 2 * len(forms) - 1
    assert site.letters() == []


def test_headers_are_stored_only_for_messages_with_one_record(site: Site) -> None:
    def arrive(*keys: str) -> None:
        event = {"Records": [record for key in keys for record in notified(key)["Records"]]}
        site.admitter([IncomingMessage(json.dumps(event).encode(), "amqp", "uploads", {"trace": "t" * 1_000})])

    bad = "songs/" + "k" * 2_000
    arrive("songs/a.mp3", "songs/b.mp3", bad)
    (letter,) = site.letters()
    assert letter.headers == {}
    assert [waiting.headers for waiting in uploads.claim_due(site.database, limit=10, seconds=15)] == [{}, {}]
    arrive(bad)
    arrive("songs/c.mp3")
    assert site.letters()[-1].headers == {"trace": "t" * 1_000}
    assert [w.headers for w in uploads.claim_due(site.database, limit=10, seconds=15)] == [{"trace": "t" * 1_000}]


def test_the_timeline_of_a_job_names_its_upload(site: Site) -> None:
    site.upload("songs/a.mp3")
    received = queries.timeline_of(site.database, site.job().id)[0].detail
    assert (received["source"], received["subject"], received["door"]) == ("s3://inbox", "songs/a.mp3", "amqp")


def test_another_version_and_another_content_are_other_jobs(site: Site) -> None:
    site.upload("songs/a.mp3", b"one")
    site.upload("songs/a.mp3", b"two")
    site.upload("songs/a.mp3", b"two")
    assert [job.duplicates for job in site.jobs()] == [0, 1]
    site.door(notified("songs/a.mp3", version="v1"), notified("songs/a.mp3", version="v2"))
    site.process_uploads()
    assert len(site.jobs()) == 4


@pytest.mark.parametrize("order", list(itertools.permutations(["song.JPG", "song.mp3", "song.lrc"])), ids="-".join)
def test_a_pair_is_one_job_for_any_order_of_its_parts(site: Site, order: tuple[str, ...]) -> None:
    content = {"song.JPG": b"picture", "song.mp3": b"sound", "song.lrc": b"[00:02.00]Two\n[00:01.00]One"}
    for name in order[:2]:
        site.upload(f"pairs/{name}", content[name])
        assert site.jobs() == []
    site.upload(f"pairs/{order[2]}", content[order[2]])
    job = site.job()
    data = json.loads(job.request)["data"]
    assert (data["image"], data["audio"]) == ("s3://inbox/pairs/song.JPG", "s3://inbox/pairs/song.mp3")
    assert data["lyrics"] == "One\nTwo"
    assert job.id == "s3-song-3d19169cf0a7c7b16870"  # the same in every order and in every later version of Telecine
    events = [notified(f"pairs/{name}") for name in order]
    site.door(*events, *events)
    site.process_uploads()
    assert site.job().duplicates == 6
    assert site.letters() == []


def test_a_job_has_the_pin_of_its_upload_and_its_request_does_not(site: Site) -> None:
    etag = site.add("songs/a.mp3", b"one")
    site.door(notified("songs/a.mp3"))
    site.process_uploads()
    job = site.job()
    assert job.pins == {"s3://inbox/songs/a.mp3": Pin(etag=etag)}
    site.door(json.loads(job.request))  # the same request as a message
    assert (site.job().duplicates, site.job().pins) == (1, job.pins)
    site.door(json.loads(job.request) | {"id": "sent"})
    assert {job.id: job.pins for job in site.jobs()}["sent"] == {}


def test_a_job_has_the_pin_of_each_part_of_its_pair(site: Site) -> None:
    etags = {name: site.add(f"pairs/song.{name}", name.encode()) for name in ("png", "mp3", "txt")}
    site.door(notified("pairs/song.png"))
    site.process_uploads()
    assert site.job().pins == {f"s3://inbox/pairs/song.{name}": Pin(etag=etags[name]) for name in etags}


def test_a_pair_whose_parts_arrive_together_is_one_job(site: Site) -> None:
    for name in ("song.png", "song.wav", "song.txt"):
        site.add(f"pairs/{name}")
    site.door(*(notified(f"pairs/{name}") for name in ("song.png", "song.wav", "song.txt")))
    site.process_uploads()
    assert site.job().duplicates == 2


def test_a_pair_with_other_content_is_another_job(site: Site) -> None:
    for name, content in [("png", b"1"), ("mp3", b"2"), ("txt", b"La"), ("txt", b"Lu"), ("txt", b"La")]:
        site.upload(f"pairs/song.{name}", content)
    assert [job.duplicates for job in site.jobs()] == [1, 0]


def test_files_with_similar_names_are_not_part_of_a_pair(site: Site) -> None:
    for name in ("song.png", "song.final.mp3", "song2.mp3", "deep/song.mp3", "song.mid", "song", "song.mp3.txt"):
        site.upload(f"pairs/{name}")
    assert site.jobs() == []
    assert site.letters() == []


def test_lyrics_in_the_rule_need_no_file(make: Make) -> None:
    rule = {"bucket": "inbox", "pair": True, "data": {"alignment_mode": "even", "lyrics": "{stem}"}}
    site = make(rules=[rule])
    for name in ("song.png", "song.mp3", "song.txt", "song.lrc"):
        site.upload(name)
    assert json.loads(site.job().request)["data"]["lyrics"] == "song"


def test_a_timing_in_the_rule_needs_no_lyrics_reel_timing_pair(make: Make) -> None:
    site = make(rules=[{"bucket": "inbox", "pair": True, "data": {"timing": "s3://inbox/{stem}.ass"}}])
    for name in ("song.ass", "song.png", "song.mp3"):
        site.upload(name)
    assert json.loads(site.job().request)["data"]["timing"] == "s3://inbox/song.ass"


def test_two_files_for_one_part_are_a_dead_letter_until_one_is_deleted(site: Site) -> None:
    for name in ("song.png", "song.jpg", "song.txt", "song.mp3"):
        site.add(f"pairs/{name}")
    site.door(notified("pairs/song.mp3"))
    site.process_uploads()
    assert site.letter().code == "invalid_event"
    assert "song.jpg" in site.letter().message
    assert "song.png" in site.letter().message
    assert site.replay(site.letter()) == "invalid_event"
    site.remove("pairs/song.jpg")
    assert site.replay(site.letter()) == "admitted"
    assert len(site.jobs()) == 1


def test_a_request_uploaded_as_a_file_and_sent_as_a_message_is_one_job(site: Site) -> None:
    manifest = MANIFEST | {"id": "order-1", "callback": {"url": "https://shop.example/hook"}}
    site.upload("orders/1/x.request.json", json.dumps(manifest).encode())
    data = DATA | {"image": "s3://inbox/orders/1/c.png", "audio": "s3://inbox/orders/1/a.mp3"}
    site.door(manifest | {"data": data})
    assert (site.job().id, site.job().duplicates) == ("order-1", 1)
    site.door(manifest | {"data": data | {"lyrics": "Lu"}})
    assert site.letter().code == "id_conflict"


def test_an_upload_that_has_a_job_is_a_duplicate_although_the_rules_have_changed(make: Make) -> None:
    signed = MANIFEST | {"callback": {"url": "https://shop.example/hook", "secret_name": "old"}}
    site = make(secrets=("old",))
    site.upload("orders/x.request.json", json.dumps(signed).encode())
    changed = make(storage=site.storage, secrets=("new",))
    changed.door(notified("orders/x.request.json"))
    changed.process_uploads()
    assert (site.job().duplicates, site.letters()) == (1, [])
    changed.upload("orders/y.request.json", json.dumps(signed).encode())
    assert changed.letter().code == "invalid_field"
    site.upload("orders/y.request.json", json.dumps(signed).encode())
    assert changed.replay(changed.letter()) == "duplicate"


def test_null_in_an_uploaded_request_leaves_the_id_and_the_rules_values_F5(make: Make) -> None:
    rules = [rule | {"output": "s3://results/rule/", "priority": "low"} for rule in RULES if rule.get("manifest")]
    nulls = MANIFEST | dict.fromkeys(("id", "output", "priority", "callback", "source", "tenant"))
    site = make(rules=rules)
    site.upload("orders/x.request.json", json.dumps(nulls).encode())
    assert site.job().id.startswith("s3-x-")
    assert site.job().priority == "low"
    assert site.job().parsed().output == "s3://results/rule/"


def test_a_request_without_an_id_gets_one_derived_from_its_file(site: Site) -> None:
    site.upload("orders/x.request.json", json.dumps(MANIFEST).encode())
    assert site.job().id.startswith("s3-x-")
    site.upload("orders/x.request.json", json.dumps(MANIFEST | {"priority": "low"}).encode())
    assert [job.priority for job in site.jobs()] == ["normal", "low"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b" ", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"a": 1, "a": 2}', "invalid_json"),
        (b'{"id": "' + b"x" * LIMIT, "file_too_large"),
        (b"{}", "missing_field"),
        (json.dumps({"type": "hologram", "data": {}}).encode(), "unknown_type"),
        (json.dumps({"type": "job.cancel", "data": {"id": "j"}}).encode(), "invalid_field"),
        (json.dumps(MANIFEST | {"data": {"image": "../c.png"}}).encode(), "invalid_field"),
        (json.dumps(MANIFEST | {"output": "s3://inbox/songs/"}).encode(), "output_triggers"),
        (json.dumps(notified("orders/x.request.json")).encode(), "missing_field"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else value,
)
def test_a_file_with_an_invalid_request_is_a_dead_letter(site: Site, content: bytes, code: str) -> None:
    site.upload("orders/x.request.json", content)
    assert site.letter().code == code
    assert site.jobs() == []
    assert site.waiting() == 0
    site.upload("orders/y.request.json", json.dumps(MANIFEST).encode())
    assert len(site.jobs()) == 1


def test_an_invalid_request_file_has_a_callback(site: Site) -> None:
    bad = {"id": "order-1", "type": "hologram", "data": {}, "callback": {"url": "https://shop.example/hook"}}
    site.upload("orders/x.request.json", json.dumps(bad).encode())
    (delivery,) = browsing.list_deliveries(site.database, limit=10)
    assert json.loads(delivery.body)["data"]["error"]["code"] == "unknown_type"
    assert site.letter().request_id == "order-1"


def test_the_callback_url_of_a_rule_is_notified_of_a_missing_object(make: Make) -> None:
    site = make(rules=[RULES[0] | {"callback": {"url": "https://shop.example/hook"}, "metadata": {"a": 1}}])
    site.door(notified("songs/a.mp3", etag="e"))
    site.process_uploads()
    (delivery,) = browsing.list_deliveries(site.database, limit=10)
    data = json.loads(delivery.body)["data"]
    assert (data["error"]["code"], data["metadata"]) == ("input_not_found", {"a": 1})
    site.upload("songs/a.mp3")
    assert data["id"].startswith("s3-a-")


def test_a_deleted_object_is_a_dead_letter_that_can_be_replayed_when_it_is_back(site: Site) -> None:
    for key in ("songs/../a.mp3", "pairs/%2e%2e.mp3", "orders/\u202ex.request.json", "songs/.mp3"):
        assert site.door(notified(key))[0].error is None
    site.process_uploads()
    letters = site.letters()
    assert {letter.code for letter in letters} == {"input_not_found"}
    assert "s3://inbox/songs/../a.mp3" in letters[0].message
    assert site.replay(letters[0]) == "input_not_found"
    site.add("songs/../a.mp3")
    assert site.replay(letters[0]) == "admitted"
    assert site.replay(letters[0]) == "duplicate"
    assert json.loads(site.job().request)["data"]["audio"] == "s3://inbox/songs/../a.mp3"
    assert site.woken[0].job_id == site.job().id
    site.add("pairs/%2e%2e.mp3")
    assert site.replay(letters[1]) == "dropped"
    assert len(site.letters()) == 4


def test_a_replaced_object_is_left_to_its_newer_event(site: Site) -> None:
    first = site.add("songs/a.mp3", b"one")
    second = site.add("songs/a.mp3", b"two")
    site.door(notified("songs/a.mp3", etag=second), notified("songs/a.mp3", etag=first))
    site.process_uploads()
    assert len(site.jobs()) == 1
    assert site.letter().code == "input_replaced"
    assert first in site.letter().message
    assert second in site.letter().message


def test_an_upload_with_invalid_metadata_is_settled_at_once(site: Site) -> None:
    etag = site.add("songs/a.mp3")
    assert isinstance(site.storage, MemoryStorage)
    entry = site.storage._entries["inbox", "songs/a.mp3"]
    entry.metadata["telecine-facts"] = "[" * 1_900
    site.door(notified("songs/a.mp3", etag=etag))
    site.process_uploads()
    assert (len(site.jobs()), site.waiting()) == (1, 0)


def test_objects_that_telecine_wrote_never_trigger(site: Site, tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(b"made")
    sha256 = hashlib.sha256(b"made").hexdigest()
    for key in ("songs/made.mp3", "pairs/made.mp3", "orders/made.request.json"):
        facts = ObjectFacts(job_id="j", fingerprint="f", content_type="audio/mpeg", sha256=sha256, bytes=4)
        site.storage.put(tmp_path / "made", f"s3://inbox/{key}", facts)
        site.door(notified(key))
    site.add("pairs/made.png")
    site.add("pairs/made.txt")
    site.door(notified("pairs/made.png"))
    site.process_uploads()
    assert (site.jobs(), site.letters(), site.waiting()) == ([], [], 0)


def test_a_request_whose_results_would_trigger_is_refused_at_the_door(site: Site) -> None:
    data = DATA | {"image": "s3://media/c", "audio": "s3://media/a"}
    request = {"id": "j", "type": "reel", "data": data, "output": "s3://inbox/"}
    refused = site.door(request)[0].error
    assert refused is not None
    assert refused.code == "output_triggers"
    assert site.door(request | {"output": "s3://inbox/elsewhere/"})[0].wake is not None


def test_each_record_of_a_message_is_judged_separately(site: Site) -> None:
    etag = site.add("songs/good.mp3")
    good, gone = notified("songs/good.mp3", etag=etag), notified("songs/gone.mp3")
    records = [good, notified("%00"), gone, notified("k", bucket="arn:aws:s3:::x"), notified("songs/x", bucket="other")]
    message = {"Records": [record["Records"][0] for record in records] + ["x"]}
    message["Records"][1]["s3"]["object"]["key"] = "%00"
    (answer,) = site.door(message)
    assert answer.error is None
    site.process_uploads()
    assert len(site.jobs()) == 1
    codes = [letter.code for letter in site.letters()]
    assert sorted(codes) == ["input_not_found", "invalid_event", "invalid_event", "invalid_event", "no_trigger"]
    assert all(len(json.loads(letter.body)["Records"]) == 1 for letter in site.letters())
    site.add("songs/gone.mp3")
    results = {letter.code: site.replay(letter) for letter in site.letters()}
    assert results == {"input_not_found": "admitted", "invalid_event": "invalid_event", "no_trigger": "no_trigger"}


def test_a_message_without_a_valid_record_is_stored_byte_for_byte(site: Site) -> None:
    body = json.dumps(notified("k", bucket="arn:aws:s3:::x"), indent=3).encode()
    (answer,) = site.door(body)
    assert answer.error is not None
    assert site.letter().body == body


@pytest.mark.parametrize("name", ["aws-test", "sns-test", "aws-removed", "eventbridge-deleted"])
def test_a_recorded_message_without_an_upload_is_acknowledged_and_dropped(site: Site, name: str) -> None:
    body = (Path(__file__).parent / "golden" / "s3-events" / f"{name}.json").read_bytes()
    (answer,) = site.door(body)
    assert (answer.error, answer.wake) == (None, None)
    assert (site.jobs(), site.letters(), site.waiting()) == ([], [], 0)


def test_without_any_rule_events_are_acknowledged_and_malformed_ones_still_refused(make: Make) -> None:
    site = make(rules=[])
    good, bad = site.door(notified("songs/a.mp3"), notified("songs/a.mp3", bucket="x"))
    assert (good.error, site.waiting()) == (None, 0)
    assert bad.error is not None
    assert site.letter().code == "invalid_event"


def test_an_event_without_a_rule_is_a_dead_letter_that_can_be_replayed_with_one(make: Make) -> None:
    site = make(rules=RULES[1:])
    site.door(notified("songs/a.mp3", bucket="music"), notified("readme.md"))
    assert site.letter().code == "no_trigger"
    with_rule = make(rules=[*RULES, RULES[0] | {"bucket": "music"}])
    assert isinstance(with_rule.storage, MemoryStorage)
    with_rule.storage.add("s3://music/songs/a.mp3", b"x")
    assert with_rule.replay(site.letter()) == "admitted"


@pytest.mark.parametrize("bound", [{"tenant": "shop"}, {}], ids=["rule of a tenant", "rule of all"])
def test_the_callback_of_a_refused_upload_is_never_signed_with_another_tenants_secret(
    make: Make, bound: dict[str, str]
) -> None:
    shop = Tenant(read=["s3://inbox/orders/shop/"], write=["s3://results/shop/"], callback_secrets=["shop"])
    acme = Tenant(read=["s3://inbox/orders/acme/"], write=["s3://results/acme/"], callback_secrets=["acme"])
    site = make(tenants=TenantRules({"shop": shop, "acme": acme}), rules=[RULES[2] | bound], secrets=("shop", "acme"))
    for number, named in enumerate([{"tenant": "acme"}, {"tenant": "acme", "type": "hologram"}, {}]):
        callback = {"url": "https://thief.example/hook", "secret_name": "acme"}
        request = MANIFEST | {"callback": callback, "metadata": {"order": "of another tenant"}} | named
        site.upload(f"orders/shop/{number}.request.json", json.dumps(request).encode())
    assert len(site.letters()) == 3
    assert browsing.list_deliveries(site.database, limit=10) == []
    own = MANIFEST | {
        "type": "hologram",
        "tenant": "shop",
        "callback": {"url": "https://shop.example/hook", "secret_name": "shop"},
    }
    site.upload("orders/shop/own.request.json", json.dumps(own).encode())
    (delivery,) = browsing.list_deliveries(site.database, limit=10)
    assert delivery.secret_name == "shop"


def test_the_secret_of_a_tenant_is_never_the_default_for_others(make: Make) -> None:
    acme = Tenant(read=["s3://inbox/"], write=["s3://results/"], callback_secrets=["acme"])
    tenants = TenantRules({"acme": acme, "free": Tenant(write=["s3://results/"])})
    site = make(tenants=tenants, secrets=("acme", "other"), default_signer="acme")
    bad = {"id": "j", "type": "hologram", "data": {}, "callback": {"url": "https://thief.example/hook"}}
    site.door(bad, bad | {"tenant": "unknown"})
    assert len(site.letters()) == 2
    assert browsing.list_deliveries(site.database, limit=10) == []
    site.door(bad | {"tenant": "acme"})
    assert len(browsing.list_deliveries(site.database, limit=10)) == 1


def test_an_unreadable_callback_url_is_refused_once(site: Site) -> None:
    bad = {"type": "hologram", "data": {}, "callback": {"url": "https://[fe80::1]\u00e9]/hook"}}
    site.upload("orders/x.request.json", json.dumps(bad).encode())
    (answer,) = site.door({"id": "x"} | bad)
    assert answer.error is not None
    assert [letter.code for letter in site.letters()] == ["unknown_type", "unknown_type"]
    assert (site.waiting(), browsing.list_deliveries(site.database, limit=10)) == (0, [])


def test_an_upload_that_cannot_be_admitted_is_a_dead_letter(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def falls_over(*arguments: object, **more: object) -> bool:
        raise UnicodeEncodeError("ascii", "\u00e9", 0, 1, "ordinal not in range(128)")

    monkeypatch.setattr(AdmissionPolicy, "may_notify", falls_over)
    bad = {"type": "hologram", "data": {}, "callback": {"url": "https://shop.example/hook"}}
    site.upload("orders/x.request.json", json.dumps(bad).encode())
    assert (site.letter().code, site.waiting()) == ("internal_error", 0)


def test_a_removed_rule_makes_no_job(make: Make) -> None:
    site = make()
    site.add("songs/a.mp3")
    site.door(notified("songs/a.mp3"))
    make(rules=RULES[1:]).process_uploads()
    assert (site.jobs(), site.letters(), site.waiting()) == ([], [], 0)


def test_the_tenant_of_a_rule_is_that_of_its_requests(make: Make) -> None:
    tenant = Tenant(read=["s3://inbox/"], write=["s3://results/"])
    site = make(tenants=TenantRules({"shop": tenant, "acme": tenant}), rules=[RULES[2] | {"tenant": "shop"}])
    for tenant_named in ({}, {"tenant": "shop"}, {"tenant": "acme"}):
        name = f"orders/{len(tenant_named)}{tenant_named.get('tenant')}.request.json"
        site.upload(name, json.dumps(MANIFEST | tenant_named).encode())
    assert [job.tenant for job in site.jobs()] == ["shop", "shop"]
    assert site.letter().code == "tenant_forbidden"
