"""The marks that Telecine leaves on its objects, and whose an object is by its marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from consumer.storage.base import ObjectFacts, StoredObject
from schemas.errors import OutputExists

JOB = "telecine-job"
FINGERPRINT = "telecine-fingerprint"
SHA256 = "telecine-sha256"
FACTS = "telecine-facts"
#: The tag by which S3 triggers know an object that Telecine wrote.
TAG = "telecine=1"


def metadata_of(facts: ObjectFacts) -> dict[str, str]:
    """User metadata for an object: four short ASCII strings."""
    # A run of spaces in a header is folded by some servers and breaks their signature check. Outside
    # its strings compact JSON has no spaces, so each one can be written as an escape.
    text = json.dumps(facts.facts, separators=(",", ":"), sort_keys=True).replace(" ", "\\u0020")
    return {JOB: facts.job_id, FINGERPRINT: facts.fingerprint, SHA256: facts.sha256, FACTS: text}


def described(
    uri: str,
    marks: Mapping[str, str],
    size: int,
    content_type: str,
    sha256: str | None,
    *,
    etag: str | None,
    version: str | None = None,
) -> StoredObject:
    """The object at ``uri``; marks of somebody else, or none, are no facts."""
    return StoredObject(
        uri=uri,
        sha256=sha256 or marks.get(SHA256),
        bytes=size,
        content_type=content_type,
        facts=_facts_in(marks),
        own=JOB in marks,
        writer=_writer_in(marks),
        etag=etag,
        version=version,
    )


def adopt(existing: StoredObject, marks: Mapping[str, str], facts: ObjectFacts) -> StoredObject:
    """The object that an earlier attempt of the same job put there and died before writing it down.

    Raises:
        OutputExists: another job, or another request, or somebody else wrote it.
    """
    if _writer_in(marks) != (facts.job_id, facts.fingerprint):
        raise OutputExists(
            f"Another file already lies at {existing.uri}. Choose another `output` or remove it.", field="output"
        )
    return existing.model_copy(update={"adopted": True})


def _writer_in(marks: Mapping[str, str]) -> tuple[str, str] | None:
    return (marks[JOB], marks[FINGERPRINT]) if {JOB, FINGERPRINT, SHA256} <= marks.keys() else None


def _facts_in(marks: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(marks.get(FACTS, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
