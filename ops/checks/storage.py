"""Checks of the object store: it is writable, readable and supports conditional writes; and incomplete pairs in it."""

from __future__ import annotations

import os

from consumer.admission.rules import trigger_rules
from consumer.logs import scrub
from consumer.storage.base import locate
from consumer.storage.factory import storage_of
from consumer.storage.probe import probe
from consumer.uploads.request_factory import RequestFactory
from ops.checks.finding import Finding, failed, ok, warn
from ops.checks.paths import nearest_existing
from ops.formatting import count
from schemas.errors import ConfigurationError, TelecineError
from schemas.settings import Settings

_LISTED_PAIRS = 10


def storage(settings: Settings) -> Finding:
    """Check the bucket of ``settings.output`` by writing, reading and deleting one small object."""
    bucket = locate(f"{settings.output.rstrip('/')}/probe")[0]
    if settings.storage_kind == "folder" and not settings.storage_folder.exists():
        folder = nearest_existing(settings.storage_folder)
        if not os.access(folder, os.W_OK):
            return failed(f"{folder} is not writable", "grant write access, or set TELECINE_HOME")
        return ok(f"{settings.storage_folder} is created at the first start")
    where = (
        str(settings.storage_folder)
        if settings.storage_kind == "folder"
        else scrub(settings.s3_endpoint_url or "AWS S3")
    )
    try:
        probe(storage_of(settings), bucket)
    except ConfigurationError as error:
        return failed(f"{where}, bucket {bucket}: {error.message}", "use an object store that supports If-None-Match")
    except TelecineError as error:
        advice = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, TELECINE_S3_ENDPOINT_URL and TELECINE_OUTPUT"
        return failed(
            f"{where}, bucket {bucket}: {error.message} ({error.code})",
            advice if settings.storage_kind == "s3" else "grant write access",
        )
    except Exception as error:
        return failed(
            f"{where}, bucket {bucket}: {type(error).__name__}: {scrub(str(error))[:200]}",
            "check TELECINE_S3_ENDPOINT_URL, TELECINE_S3_REGION and the AWS_… variables",
        )
    return ok(f"{where}, bucket {bucket}: can write, read and delete, refuses to overwrite")


def pairs(settings: Settings) -> Finding:
    """List the uploaded pairs that are not complete, and so not jobs yet."""
    rules = trigger_rules(settings)
    if not any(rule.pair for rule in rules.rules):
        return ok("no trigger rule makes pairs")
    factory = RequestFactory(storage_of(settings), settings.scratch_folder, settings.max_message_bytes, rules)
    found = factory.incomplete_pairs()
    if not found:
        return ok("none incomplete")
    listed = "; ".join(f"{uri} without {' and '.join(missing)}" for uri, missing in found[:_LISTED_PAIRS])
    more = f"; and {len(found) - _LISTED_PAIRS} more" if len(found) > _LISTED_PAIRS else ""
    return warn(
        f"{count(len(found), 'incomplete pair')}: {listed}{more}", "upload the missing files, or remove the rest"
    )
