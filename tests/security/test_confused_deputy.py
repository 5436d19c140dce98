"""A tenant cannot make Telecine read or write another tenant's objects: at admission, fetch and store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.dead_letters import FailedMessage
from consumer.admission.message import IncomingMessage
from consumer.execution.durable import advance
from consumer.execution.inputs import fetch_input
from consumer.ledger import dead_letters, outbox
from consumer.ledger.admission import Submission
from consumer.ledger.queries import find_job
from consumer.ledger.states import State
from consumer.runtime import Runtime
from consumer.uploads.decide import decide
from consumer.wiring import admission_policy, build_runtime, request_factory
from schemas.errors import InputNotFound, RequestError, TelecineError, TenantForbidden
from schemas.media import InputFile
from schemas.settings import Settings

TENANTS: dict[str, dict[str, list[str]]] = {
    "tenant-a": {"read": ["s3://inbox/tenant-a/"], "write": ["s3://results/tenant-a/"], "callback_secrets": ["a"]},
    "tenant-ab": {"read": ["s3://inbox/tenant-ab/"], "write": ["s3://results/tenant-ab/"], "callback_secrets": ["ab"]},
}
PICTURE = Path(__file__).parents[2].joinpath("ops/demo/cover.jpg").read_bytes()

SECRETS = {name: ["whsec_" + "A" * 32] for name in ("a", "ab", "default")}
#: Objects that tenant-a must not read, in various spellings.
FOREIGN = {
    "foreign bucket": "s3://secrets/tenant-a/cover.jpg",
    "foreign prefix": "s3://inbox/tenant-b/cover.jpg",
    "prefix sibling": "s3://inbox/tenant-ab/cover.jpg",
    "the folder's own name": "s3://inbox/tenant-a",
    "the bucket's root": "s3://inbox/cover.jpg",
    "results of the sibling": "s3://results/tenant-ab/cover.jpg",
    "upwards": "s3://inbox/tenant-a/../tenant-ab/cover.jpg",
    "upwards and back": "s3://inbox/tenant-ab/../tenant-a/cover.jpg",
    "a dot": "s3://inbox/./tenant-ab/cover.jpg",
    "a dot inside": "s3://inbox/tenant-a/./../tenant-ab/cover.jpg",
    "encoded at the front": "s3://inbox/%74enant-a/cover.jpg",
    "two slashes": "s3://inbox//tenant-a/cover.jpg",
    "backslash": "s3://inbox\\tenant-a/cover.jpg",
    "ARN": "s3://arn:aws:s3:::inbox/tenant-a/cover.jpg",
    "access point ARN": "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/point/object/tenant-a/cover.jpg",
    "access point alias": "s3://point-ab1cd2ef3gh4ij5kl6mn7op8qr9stuse1a-s3alias/tenant-a/cover.jpg",
    "multi-region alias": "s3://mfzwi23gnjvgw.mrap/tenant-a/cover.jpg",
    "URL-style bucket": "s3://inbox.s3.amazonaws.com/tenant-a/cover.jpg",
    "URL-style bucket beneath": "s3://s3.amazonaws.com/inbox/tenant-a/cover.jpg",
    "user in the bucket": "s3://inbox@secrets/tenant-a/cover.jpg",
    "port in the bucket": "s3://inbox:443/tenant-a/cover.jpg",
    "upper case bucket": "s3://INBOX/tenant-a/cover.jpg",
    "upper case prefix": "s3://inbox/TENANT-A/cover.jpg",
    "upper case scheme": "S3://inbox/tenant-a/cover.jpg",
    "trailing dot of the bucket": "s3://inbox./tenant-a/cover.jpg",
    "trailing dot of the prefix": "s3://inbox/tenant-a./cover.jpg",
    "trailing space": "s3://inbox/tenant-a /cover.jpg",
    "leading space": " s3://inbox/tenant-a/cover.jpg",
    "line break in the scheme": "s3\n://inbox/tenant-a/cover.jpg",
    "Cyrillic a in the bucket": "s3://inb\u043ex/tenant-a/cover.jpg",
    "Cyrillic a in the prefix": "s3://inbox/ten\u0430nt-a/cover.jpg",
    "full-width letters": "s3://inbox/\uff54enant-a/cover.jpg",
    "full-width slash": "s3://inbox/tenant-a\uff0fcover.jpg",
    "zero-width space": "s3://inbox/tenant-a\u200b/cover.jpg",
    "right-to-left": "s3://inbox/\u202etenant-a/cover.jpg",
    "combining mark": "s3://inbox/tenant-a\u0301/cover.jpg",
    "NUL": "s3://inbox/tenant-ab\x00/tenant-a/cover.jpg",
    "NUL in its own folder's name": "s3://inbox/tenant-a\x00/cover.jpg",
    "1,024 bytes elsewhere": "s3://inbox/" + "k" * 1024,
    "1,025 bytes": "s3://inbox/tenant-a/" + "k" * 1016,
    "file": "file:///etc/passwd",
    "file of localhost": "file://localhost/etc/passwd",
    "file in upper case": "FILE:///etc/passwd",
    "no scheme": "inbox/tenant-a/cover.jpg",
}
#: Unusual keys that really are in tenant-a's folder.
OWN = {
    "plain": "s3://inbox/tenant-a/cover.jpg",
    "its own results": "s3://results/tenant-a/earlier/cover.jpg",
    "encoded dots": "s3://inbox/tenant-a/%2e%2e/tenant-ab/cover.jpg",
    "encoded slash": "s3://inbox/tenant-a/..%2ftenant-ab/cover.jpg",
    "two slashes": "s3://inbox/tenant-a//cover.jpg",
    "three dots": "s3://inbox/tenant-a/.../cover.jpg",
    "trailing dot": "s3://inbox/tenant-a/cover.",
    "right-to-left": "s3://inbox/tenant-a/\u202egpj.revoc",
    "backslashes": "s3://inbox/tenant-a/..\\..\\tenant-ab\\cover.jpg",
    "query": "s3://inbox/tenant-a/cover.jpg?versionId=1#x",
    "1,024 bytes": "s3://inbox/tenant-a/" + "k" * 1015,
}
#: Outputs that tenant-a must not write to.
ELSEWHERE = [
    "s3://results/",
    "s3://results/tenant-ab/",
    "s3://results/tenant-ab/tenant-a/",
    "s3://inbox/tenant-a/",
    "s3://other/tenant-a/",
    "s3://Results/tenant-a/",
    "s3://results/Tenant-a/",
    "s3://results/tenant-a./",
    "s3://results/tenant-a%2f../tenant-ab/",
    "s3://results./tenant-a/",
    "s3://results/ten\u0430nt-a/",
    "s3://results/tenant-a\u200b/",
]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Yield a runtime with two tenants and folder storage in which every forbidden object exists."""
    settings = Settings.model_validate(
        {
            "home": tmp_path / "data",
            "extensions": ["tests.note_pipeline"],
            "tenants": TENANTS,
            "callback_secrets": SECRETS,
        }
    )
    runtime = build_runtime(settings)
    for folder in ("inbox/tenant-a", "inbox/tenant-ab", "inbox/tenant-b", "results/tenant-ab", "secrets/tenant-a"):
        path = settings.storage_folder / folder / "cover.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(PICTURE)
    yield runtime
    runtime.close()


def note(job_id: str, image: str | None = "s3://inbox/tenant-a/cover.jpg", **more: Any) -> dict[str, Any]:
    fields = {"tenant": "tenant-a", "output": "s3://results/tenant-a/", **more}
    return {"id": job_id, "type": "note", "data": {"text": "x"} | ({"image": image} if image else {}), **fields}


def ask(runtime: Runtime, value: dict[str, Any], source: str = "shared") -> TelecineError | None:
    """Admit a request; return its error, or ``None`` if it was accepted."""
    (answer,) = BatchAdmitter(runtime.database, admission_policy(runtime))(
        [IncomingMessage(json.dumps(value).encode(), "amqp", source)]
    )
    return answer.error


@pytest.mark.parametrize("uri", FOREIGN.values(), ids=FOREIGN.keys())
def test_another_tenants_object_is_refused_at_admission_and_at_the_fetch(
    runtime: Runtime, tmp_path: Path, uri: str
) -> None:
    refused = ask(runtime, note("n", uri))
    assert isinstance(refused, RequestError)
    assert refused.code in ("tenant_forbidden", "invalid_field", "invalid_json")
    assert find_job(runtime.database, "n") is None
    assert len(dead_letters.list_newest(runtime.database, limit=9)) == 1
    with pytest.raises(TenantForbidden) as caught:
        fetch_input(runtime, "image", uri, tmp_path / "in", kinds=["jpeg"], limit_bytes=10**7, tenant="tenant-a")
    assert caught.value.field == "data.image"
    assert list((tmp_path / "in").rglob("*")) == []


@pytest.mark.parametrize("uri", OWN.values(), ids=OWN.keys())
def test_any_key_in_the_tenants_folder_may_be_read(runtime: Runtime, tmp_path: Path, uri: str) -> None:
    assert ask(runtime, note("n", uri)) is None

    def fetch() -> InputFile:
        return fetch_input(runtime, "image", uri, tmp_path / "in", kinds=["jpeg"], limit_bytes=10**7, tenant="tenant-a")

    if uri == OWN["plain"]:
        assert fetch().bytes == len(PICTURE)
    else:
        with pytest.raises(InputNotFound):  # does not exist; above all, it is not another tenant's file
            fetch()


@pytest.mark.parametrize("output", ELSEWHERE)
def test_results_are_written_only_to_the_tenants_own_folder(runtime: Runtime, output: str) -> None:
    refused = ask(runtime, note("n", output=output))
    assert isinstance(refused, RequestError)
    assert (refused.code, refused.field) in (("tenant_forbidden", "output"), ("invalid_field", "output"))


def test_the_default_output_must_be_one_that_the_tenant_may_write(runtime: Runtime) -> None:
    request = note("n")
    del request["output"]
    refused = ask(runtime, request)
    assert refused is not None
    assert (refused.code, refused.field) == ("tenant_forbidden", "output")


def test_narrower_rules_also_apply_to_jobs_accepted_before_them(runtime: Runtime) -> None:
    assert ask(runtime, note("reads")) is None
    assert ask(runtime, note("writes", image=None)) is None
    narrow = dict(TENANTS["tenant-a"], read=["s3://inbox/tenant-a/new/"], write=["s3://results/tenant-a/new/"])
    settings = Settings.model_validate(
        {"home": runtime.settings.home, "tenants": {"tenant-a": narrow}, "callback_secrets": SECRETS}
    )
    later = build_runtime(settings)
    try:
        for job_id, field in (("reads", "data.image"), ("writes", "output")):
            assert advance(later, job_id) is State.FAILED
            job = find_job(later.database, job_id)
            assert job is not None
            assert job.error is not None
            assert (job.error["code"], job.error["field"]) == ("tenant_forbidden", field)
    finally:
        later.close()
    assert not list((settings.storage_folder / "results" / "tenant-a").rglob("note.txt"))


def test_a_job_from_before_tenants_existed_is_not_run_for_any_tenant(runtime: Runtime, tmp_path: Path) -> None:
    before = build_runtime(Settings(home=runtime.settings.home))
    try:
        request = note("old")
        del request["tenant"]
        assert ask(before, request) is None
    finally:
        before.close()
    assert advance(runtime, "old") is State.FAILED
    job = find_job(runtime.database, "old")
    assert job is not None
    assert job.error is not None
    assert job.error["code"] == "tenant_required"


def test_a_callback_cannot_be_signed_with_another_tenants_secret(runtime: Runtime) -> None:
    url = "https://shop.example/hooks"
    for secret in ("ab", None, "default"):
        refused = ask(runtime, note("n", callback={"url": url, "secret_name": secret}))
        assert refused is not None
        assert refused.field == "callback.secret_name"
    # Nor can the callback of a dead letter: without a tenant, with an unknown tenant, or invalid in other ways.
    for value in (
        note("n", tenant="nobody", callback={"url": url, "secret_name": "ab"}),
        {k: v for k, v in note("n", callback={"url": url, "secret_name": "ab"}).items() if k != "tenant"},
        note("n", colour="red", callback={"url": url, "secret_name": "ab"}),
    ):
        assert ask(runtime, value) is not None
    assert outbox.claim_due(runtime.database, limit=9, seconds=9) == []
    refused = ask(runtime, note("n", image="s3://inbox/b/x.jpg", callback={"url": url, "secret_name": "a"}))
    assert isinstance(refused, TenantForbidden)
    (told,) = outbox.claim_due(runtime.database, limit=9, seconds=9)
    assert told.secret_name == "a"


def test_the_error_for_another_tenants_id_reveals_nothing_about_its_job(runtime: Runtime) -> None:
    assert ask(runtime, note("n")) is None
    refused = ask(runtime, note("n", image=None, tenant="tenant-ab", output="s3://results/tenant-ab/"))
    assert refused is not None
    assert refused.code == "id_conflict"
    assert "fingerprint" not in refused.message
    assert "tenant-a'" not in refused.message
    own = ask(runtime, note("n", image=None))
    assert own is not None
    assert "fingerprint" in own.message


def test_the_inputs_of_a_reel_are_checked_too(runtime: Runtime) -> None:
    data = {"image": "s3://inbox/tenant-a/c.jpg", "audio": "s3://inbox/tenant-ab/s.mp3", "lyrics": "La"}
    value = note("n") | {"type": "reel", "data": data | {"alignment_mode": "even"}}
    refused = ask(runtime, value)
    assert refused is not None
    assert (refused.code, refused.field) == ("tenant_forbidden", "data.audio")


def test_a_forged_event_cannot_read_another_tenants_upload(tmp_path: Path) -> None:
    tenants: dict[str, dict[str, Any]] = {
        name: {**share, "output": share["write"][0]} for name, share in TENANTS.items()
    }
    tenants["tenant-a"] |= {"queues": ["queue-a"]}
    settings = Settings.model_validate(
        {
            "home": tmp_path / "data",
            "extensions": ["tests.note_pipeline"],
            "tenants": tenants,
            "callback_secrets": SECRETS,
            "triggers": [{"bucket": "inbox", "suffix": ".request.json", "manifest": True}],
        }
    )
    runtime = build_runtime(settings)
    policy = admission_policy(runtime)
    for name in ("tenant-a", "tenant-ab"):
        path = settings.storage_folder / "inbox" / name / "x.request.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"id": f"of-{name}", "type": "note", "data": {"text": "private"}}))

    def uploaded(name: str, source: str) -> Any:
        s3 = {"bucket": {"name": "inbox"}, "object": {"key": f"{name}/x.request.json", "size": 1}}
        record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}
        body = json.dumps({"Records": [record]}).encode()
        return decide(policy, request_factory(runtime), IncomingMessage(body, "sqs", source))

    own = uploaded("tenant-a", "queue-a")
    assert isinstance(own, Submission)
    assert own.request.tenant == "tenant-a"
    forged = uploaded("tenant-ab", "queue-a")
    assert isinstance(forged, FailedMessage)
    assert (forged.error.code, forged.error.field) == ("tenant_forbidden", "uploaded object")
    nobodys = uploaded("tenant-ab", "shared")
    assert isinstance(nobodys, FailedMessage)
    assert nobodys.error.code == "tenant_required"
    runtime.close()
