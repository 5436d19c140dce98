"""Make requests from uploaded objects and their trigger rules: ids, placeholders, and the check of the rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schemas.envelope import Request
from schemas.errors import ConfigurationError, TelecineError
from schemas.parse import parse_mapping
from schemas.s3_events import Upload
from schemas.triggers import PARTS, Trigger, TriggerRules

#: Characters of the key that an id repeats, so that people can recognise it.
_SLUG_CHARACTERS = 60

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def derived_id(stem: str, *identity: str) -> str:
    """Return an id of at most 128 characters, the same for the same object and different for different objects.

    Args:
        stem: readable name of the object; the id starts with a part of it.
        identity: what identifies the object: bucket, key, version or ETag.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:_SLUG_CHARACTERS]
    digest = hashlib.sha256("\x00".join(identity).encode()).hexdigest()[:20]
    return "-".join(filter(None, ("s3", slug, digest)))


def stem_of(name: str, suffixes: Iterable[str] = ()) -> str:
    """Return the name without the longest matching suffix, or else without its file extension."""
    for suffix in sorted(suffixes, key=len, reverse=True):
        if name.lower().endswith(suffix.lower()) and len(name) > len(suffix):
            return name[: -len(suffix)]
    before, dot, _ = name.rpartition(".")
    return before if dot and before else name


def object_request(rule: Trigger, upload: Upload, version: str) -> dict[str, Any]:
    """Return the request that the rule makes from one object. ``version`` is the object's version or ETag."""
    name = upload.key.rpartition("/")[2]
    stem = stem_of(name, rule.suffix)
    placeholders = {"uri": upload.uri, "bucket": upload.bucket, "key": upload.key, "name": name, "stem": stem}
    job_id = derived_id(stem, "object", upload.bucket, upload.key, version)
    return _request(rule, job_id, upload.bucket, upload.key, _fill(rule.fields, placeholders), placeholders)


def pair_request(
    rule: Trigger, bucket: str, stem: str, parts: Mapping[str, tuple[str, str]], lyrics: str | None
) -> dict[str, Any]:
    """Return the request that the rule makes from a pair.

    Args:
        rule: a trigger rule with ``pair``.
        bucket: the bucket of the objects.
        stem: their key without its extension.
        parts: the object's URI and its version or ETag, by field of ``PARTS``.
        lyrics: the text of the lyrics, if they were uploaded as a file.
    """
    name = stem.rpartition("/")[2]
    placeholders = {"bucket": bucket, "stem": name}
    data = _fill(rule.fields, placeholders) | {field: uri for field, (uri, _) in parts.items() if field != "lyrics"}
    if lyrics is not None:
        data["lyrics"] = lyrics
    identity = [text for field in sorted(parts) for text in (field, *parts[field])]
    return _request(rule, derived_id(name, "pair", bucket, stem, *identity), bucket, stem, data, placeholders)


def manifest_request(rule: Trigger, upload: Upload, version: str, uploaded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request that was uploaded as a file, with an id and with the rule's values for absent fields."""
    name = upload.key.rpartition("/")[2]
    job_id = derived_id(stem_of(name, rule.suffix), "object", upload.bucket, upload.key, version)
    present = {name: value for name, value in uploaded.items() if value is not None}
    origin = {} if {"specversion", "source"} & present.keys() else _origin(upload.bucket, upload.key)
    return {"id": job_id, **origin, **rule.envelope, **present}


def check_rules(rules: Sequence[Trigger], outputs: Sequence[str]) -> TriggerRules:
    """Check that every rule can make a valid request and that no results trigger new jobs, and return the rules.

    Args:
        rules: the rules in the order of the settings file.
        outputs: default locations of results.

    Raises:
        ConfigurationError: a rule is wrong; the message names it.
    """
    checked = TriggerRules(tuple(rules))
    for number, rule in enumerate(rules, 1):
        try:
            _check(rule)
            checked.check_no_loop(rule.output)
            for output in outputs:
                TriggerRules((rule,)).check_no_loop(output)
        except (TelecineError, ValueError) as error:
            raise ConfigurationError(f"trigger rule {number} ({rule}): {error}") from None
    return checked


def _check(rule: Trigger) -> None:
    if rule.manifest and rule.pair:
        raise ValueError("manifest and pair cannot be combined; remove one of them")
    if rule.manifest:
        if rule.type is not None or rule.fields:
            raise ValueError(f"a manifest has its own type and data; remove {', '.join(_request_fields(rule))}")
        return
    if rule.pair and rule.suffix:
        raise ValueError("pair recognises its parts by their file extensions; remove suffix")
    if rule.pair and (taken := {"image", "audio"} & set(rule.fields)):
        raise ValueError(f"{', '.join(sorted(taken))}: is set from the pair itself; remove it")
    if not rule.pair and rule.type is None:
        raise ValueError("type is missing")
    if not isinstance(parse_mapping(_sample(rule)), Request):
        raise ValueError(f"type: {rule.type} is a control message; send it to a queue instead")


def _request_fields(rule: Trigger) -> list[str]:
    return [*(["type"] if rule.type is not None else []), *rule.fields]


def _sample(rule: Trigger) -> dict[str, Any]:
    """Return a request that the rule would make, to check that it is valid."""
    if rule.pair:
        parts = {
            field: (f"s3://{rule.bucket}/{rule.prefix}sample{PARTS[field][0]}", "v") for field in ("image", "audio")
        }
        return pair_request(rule, rule.bucket, f"{rule.prefix}sample", parts, None if "lyrics" in rule.fields else "La")
    key = f"{rule.prefix}sample{rule.suffix[0] if rule.suffix else ''}"
    return object_request(rule, Upload(rule.bucket, key), "v")


def _request(
    rule: Trigger, job_id: str, bucket: str, subject: str, data: Any, placeholders: Mapping[str, str]
) -> dict[str, Any]:
    request = {"id": job_id, "type": rule.type or "reel", "data": data, **_origin(bucket, subject), **rule.envelope}
    if rule.metadata is not None:
        request["metadata"] = _fill(rule.metadata, placeholders)
    return request


def _origin(bucket: str, subject: str) -> dict[str, Any]:
    """Return the request's origin as CloudEvents attributes: shown in the timeline, not part of the identity."""
    return {"specversion": "1.0", "source": f"s3://{bucket}", "subject": subject}


def _fill(value: Any, placeholders: Mapping[str, str]) -> Any:
    """Return ``value`` with the placeholders in all its strings filled in; ``{{`` and ``}}`` mean literal braces."""

    def fill(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] not in placeholders:
            raise ValueError(
                f"{found[0]} is not a placeholder; available: {', '.join(f'{{{name}}}' for name in placeholders)}; "
                "write {{ and }} for literal braces"
            )
        return placeholders[found[1]]

    return _map_strings(value, lambda text: _BRACES.sub(fill, text))


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _map_strings(item, change) for name, item in value.items()}
    return [_map_strings(item, change) for item in value] if isinstance(value, list) else value
