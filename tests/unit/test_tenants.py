"""Tenants: how their permissions are validated, and what they allow and forbid."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from consumer.storage.paths import bucket_folder, key_of, path_of
from consumer.wiring import build_runtime
from ops.cli.opening import read_settings
from schemas.errors import ConfigurationError, RequestError, TenantForbidden, TenantRequired, TenantUnknown
from schemas.settings import Settings
from schemas.tenants import Tenant, TenantRules, check_tenants, is_below, location

A = Tenant(read=["s3://inbox/tenant-a/"], write=["s3://results/tenant-a"], output="s3://results/tenant-a/out")
AB = Tenant(read=["s3://inbox/tenant-ab/"], write=["s3://results/tenant-ab/"], queues=["ab", "ab.urgent"])
PAGE = Path(__file__).parents[2].joinpath("docs/tenants.md").read_text(encoding="utf-8")
RULES = TenantRules({"a": A, "ab": AB, "nothing": Tenant()})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("s3://inbox", "s3://inbox/"),
        ("s3://inbox/", "s3://inbox/"),
        ("s3://inbox/tenant-a", "s3://inbox/tenant-a/"),
        ("s3://inbox/tenant-a/", "s3://inbox/tenant-a/"),
        ("s3://inbox/ä b/c", "s3://inbox/ä b/c/"),
        ("s3://inbox/%2e%2e", "s3://inbox/%2e%2e/"),
        ("s3://inbox/dot.", "s3://inbox/dot./"),
    ],
)
def test_a_location_is_a_folder_with_and_without_a_last_slash(written: str, meant: str) -> None:
    assert location(written) == meant
    assert Tenant(read=[written]).read == [meant]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "inbox",
        "/inbox",
        "s3:/inbox",
        "s3://",
        "s3:///x",
        "S3://inbox/",
        "file:///inbox/",
        "https://inbox/",
        "s3://arn:aws:s3:::inbox/",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/a/",
        "s3://in/",
        "s3://my-point-ab1cd2ef3gh4ij5kl6mn7op8qr9stuse1a-s3alias/",
        "s3://inbóx/",
        "s3://inbox/../other/",
        "s3://inbox/a/..",
        "s3://inbox/./",
        "s3://inbox//",
        "s3://inbox/a//b",
        "s3://inbox/*",
        "s3://inbox/tenant-*/",
    ],
)
def test_an_ambiguous_location_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        Tenant(read=[written])
    with pytest.raises(ValidationError):
        Tenant(write=[written])


@pytest.mark.parametrize(
    ("tenants", "message"),
    [
        ({"a b": {}}, "not a valid tenant name"),
        ({"": {}}, "not a valid tenant name"),
        ({"a": {"output": "s3://results/a/"}}, "is not below a folder of a.write"),
        ({"a": {"write": ["s3://results/a/"], "output": "s3://results/ab/"}}, "is not below a folder of a.write"),
        ({"a": {"queues": ["q"]}, "b": {"queues": ["q"]}}, "belongs to a and to b"),
        ({"a": {"reads": ["s3://inbox/"]}}, "Extra inputs"),
        ({"a": {"read": ["s3://inbox/../b"]}}, "dot segments|segments"),
    ],
)
def test_invalid_rules_prevent_the_start_and_name_the_setting(
    monkeypatch: pytest.MonkeyPatch, tenants: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("TELECINE_TENANTS", json.dumps(tenants))
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_settings()
    assert "TELECINE_TENANTS" in caught.value.message


@pytest.mark.parametrize(
    ("tenants", "trigger", "message"),
    [
        (
            {"a": {"callback_secrets": ["nosuch"]}},
            {"tenant": "a"},
            "a.callback_secrets: 'nosuch' is not a configured signing secret",
        ),
        ({"a": {}}, {"tenant": "b"}, r"trigger rule 1 \(.*\): tenant 'b' does not exist; available: a"),
        ({"a": {}, "b": {}}, {}, r"trigger rule 1 \(.*\): tenant is missing.* one of a, b"),
        ({"a": {}}, {"tenant": "a"}, None),
        ({"a": {"queues": ["q"], "callback_secrets": ["default"]}}, {}, None),
        ({"a": {}}, {"manifest": True, "pair": False}, None),
        ({}, {"tenant": "label"}, None),
    ],
)
def test_a_secret_or_a_tenant_that_does_not_exist_prevents_the_start(
    tmp_path: Path, tenants: dict[str, Any], trigger: dict[str, Any], message: str | None
) -> None:
    rules = [{"bucket": "inbox", "pair": True, **trigger}]
    found = Settings.model_validate({"home": tmp_path, "tenants": tenants, "triggers": rules})
    if message is None:
        build_runtime(found).close()
        return
    with pytest.raises(ConfigurationError, match=message):
        build_runtime(found)


def test_rules_are_read_from_tables_of_the_settings_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "telecine.toml").write_text(
        '[tenants.acme]\nread = ["s3://inbox/acme"]\nwrite = ["s3://results/acme"]\nqueues = ["acme.requests"]\n'
        '[queue_priorities]\n"telecine.urgent" = "high"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TELECINE_SETTINGS_FILE", raising=False)
    monkeypatch.setitem(Settings.model_config, "toml_file", "telecine.toml")
    found = Settings()
    assert found.tenants["acme"].read == ["s3://inbox/acme/"]
    assert found.queue_priorities == {"telecine.urgent": "high"}
    check_tenants(found.tenants)


def test_a_priority_that_does_not_exist_prevents_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_QUEUE_PRIORITIES", '{"q": "urgent"}')
    with pytest.raises(ConfigurationError, match="TELECINE_QUEUE_PRIORITIES"):
        read_settings()


@pytest.mark.parametrize(
    ("named", "source", "rule", "tenant"),
    [
        ("a", "shared", None, "a"),
        (None, "ab", None, "ab"),
        ("ab", "ab", None, "ab"),
        (None, "ab.urgent", None, "ab"),
        (None, "shared", "a", "a"),
        ("a", "shared", "a", "a"),
        (None, "ab", "ab", "ab"),
        (None, "shared", "ab", "ab"),
    ],
)
def test_the_tenant_is_that_of_the_queue_or_rule_or_else_the_named_one(
    named: str | None, source: str, rule: str | None, tenant: str
) -> None:
    assert RULES.resolve(named, source, rule=rule) == tenant


@pytest.mark.parametrize(
    ("named", "source", "rule", "error"),
    [
        (None, "shared", None, TenantRequired),
        ("A", "shared", None, TenantUnknown),
        ("a ", "shared", None, TenantUnknown),
        ("c", "shared", None, TenantUnknown),
        ("a", "ab", None, TenantForbidden),
        ("c", "ab", None, TenantForbidden),
        ("ab", "shared", None, TenantForbidden),
        ("ab", "AB", None, TenantForbidden),
        ("ab", "shared", "a", TenantForbidden),
        (None, "ab", "a", TenantForbidden),
        (None, "shared", "gone", TenantUnknown),
    ],
)
def test_naming_another_tenant_is_refused(
    named: str | None, source: str, rule: str | None, error: type[RequestError]
) -> None:
    with pytest.raises(error) as caught:
        RULES.resolve(named, source, rule=rule)
    assert caught.value.field == "tenant"


def test_without_tenants_the_name_is_a_label_and_everything_is_allowed() -> None:
    rules = TenantRules()
    assert rules.resolve("anyone", "q") == "anyone"
    assert rules.resolve(None, "q") is None
    rules.check_read(None, "file:///etc/passwd", field="data.image")
    rules.check_write("anyone", "s3://anywhere/at/all")
    rules.check_secret(None, "default")
    assert rules.output_of("anyone") is None


def test_a_tenant_may_read_where_it_may_write_but_not_the_reverse() -> None:
    for uri in (
        "s3://inbox/tenant-a/x",
        "s3://inbox/tenant-a/b/c.jpg",
        "s3://results/tenant-a/x",
        "https://a.example/x",
    ):
        RULES.check_read("a", uri, field="data.image")
    for uri in ("s3://results/tenant-a/", "s3://results/tenant-a/x", "s3://results/tenant-a/x/y/"):
        RULES.check_write("a", uri)
    with pytest.raises(TenantForbidden) as caught:
        RULES.check_write("a", "s3://inbox/tenant-a/x")
    assert (caught.value.field, caught.value.code) == ("output", "tenant_forbidden")
    assert "'a' may write: s3://results/tenant-a/" in caught.value.message


def test_a_whole_bucket_may_be_allowed() -> None:
    rules = TenantRules({"all": Tenant(read=["s3://inbox"], write=["s3://results"])})
    rules.check_read("all", "s3://inbox/x", field="data.image")
    rules.check_write("all", "s3://results/")
    for uri in ("s3://inbox2/x", "s3://results2/"):
        with pytest.raises(TenantForbidden):
            rules.check_write("all", uri)


def test_a_removed_tenant_and_one_without_permissions_may_do_nothing() -> None:
    with pytest.raises(TenantUnknown):
        RULES.check_read("gone", "s3://inbox/tenant-a/x", field="data.image")
    with pytest.raises(TenantRequired):
        RULES.check_read(None, "s3://inbox/tenant-a/x", field="data.image")
    with pytest.raises(TenantForbidden, match="may write nowhere"):
        RULES.check_write("nothing", "s3://results/x/")


def test_a_tenant_signs_with_its_own_secrets_only() -> None:
    rules = TenantRules({"a": Tenant(callback_secrets=["a-1", "a-2"]), "b": Tenant()})
    rules.check_secret("a", "a-2")
    rules.check_secret("b", None)
    rules.check_secret(None, None)
    for tenant, name in (("a", "b-1"), ("a", None), (None, "a-1")):
        with pytest.raises(TenantForbidden) as caught:
            rules.check_secret(tenant, name)
        assert caught.value.field == "callback.secret_name"


@pytest.mark.parametrize("text", re.findall(r"^```toml settings\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_the_examples_of_the_page_are_valid_settings(text: str) -> None:
    written = tomllib.loads(text)
    assert Settings.model_validate(written).model_fields_set >= set(written)
    assert set(written) <= set(Settings.model_fields)


SEGMENT = st.one_of(
    st.sampled_from(["tenant-a", "tenant-ab", "tenant-", "..", ".", "", "%2e%2e", "TENANT-A", "\\..", "\u2025"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
KEY = st.lists(SEGMENT, max_size=6).map("/".join)
BUCKET = st.sampled_from(
    ["inbox", "inbox.", "results", "Inbox", "inbox/", "in box", "", ".telecine", "arn:aws:s3:::inbox"]
)
SCHEME = st.sampled_from(["s3://", "S3://", "s3:/", "s3:", "", "file://", "s3:////", " s3://", "s\n3://"])


@settings(max_examples=600, deadline=None)
@given(SCHEME, BUCKET, KEY)
def test_every_allowed_uri_is_below_an_allowed_folder(scheme: str, bucket: str, key: str) -> None:
    uri = f"{scheme}{bucket}/{key}"
    try:
        RULES.check_read("a", uri, field="data.image")
    except TenantForbidden:
        return
    assert uri.startswith(("s3://inbox/tenant-a/", "s3://results/tenant-a/"))
    inner = uri.removeprefix("s3://").partition("/")[2]
    # A proxy that resolves dots or merges slashes must still end up below the folder.
    steps: list[str] = []
    for part in inner.split("/"):
        if part == "..":
            steps.pop()
        elif part not in (".", ""):
            steps.append(part)
    assert steps[:1] == ["tenant-a"]
    # The folder storage must write below the tenant's folder.
    path = path_of(inner)
    assert path.parts[0] == "tenant-a"
    assert ".." not in path.parts


@settings(max_examples=400, deadline=None)
@given(KEY.filter(bool), st.sampled_from(["inbox", ".telecine", "..."]))
def test_no_key_leaves_the_folder_of_its_bucket(key: str, bucket: str) -> None:
    path = PurePosixPath(bucket_folder(bucket)) / path_of(key)
    assert not path.is_absolute()
    assert not {"..", ".", ".telecine"} & set(path.parts)
    assert path.parts[0] == bucket_folder(bucket)
    assert len(path.parts) > 1
    assert "\0" not in str(path)
    assert key_of(path_of(key)) == key


@settings(max_examples=300, deadline=None)
@given(KEY, KEY)
def test_a_sibling_folder_is_never_below(folder: str, key: str) -> None:
    try:
        allowed = location(f"s3://inbox/{folder}")
    except ValueError:
        return
    if allowed != "s3://inbox/":
        assert not is_below(f"{allowed.removesuffix('/')}b/{key}", allowed)
