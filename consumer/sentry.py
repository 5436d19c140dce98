"""Sentry: report unexpected errors with their job and without secrets, if a DSN is set."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, version
from typing import Any

from consumer.logs import scrub
from schemas.settings import Settings

_SECRET_NAMES = (
    "secret",
    "token",
    "password",
    "authorization",
    "api_key",
    "apikey",
    "signature",
    "cookie",
    "credential",
    "dsn",
)


def start_sentry(settings: Settings) -> bool:
    """Start the SDK if a DSN is set. Return whether it is."""
    if settings.sentry_dsn is None:
        return False
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.sentry_environment,
        release=os.environ.get("SENTRY_RELEASE") or _release(),
        send_default_pii=False,
        include_local_variables=False,  # locals hold payloads and signed URLs
        max_breadcrumbs=20,
        # Otherwise the SDK adds headers with our key to callbacks, downloads and wake-ups.
        trace_propagation_targets=[],
        integrations=[CeleryIntegration(propagate_traces=False)],
        before_send=_clean_event,
        before_breadcrumb=lambda crumb, hint: clean(crumb),
        server_name="",
    )
    return True


@contextlib.contextmanager
def job_scope(job_id: str) -> Iterator[None]:
    """Tag everything that is reported inside the block with the job's id. Does nothing if Sentry was not started."""
    if "sentry_sdk" not in sys.modules:
        yield
        return
    import sentry_sdk

    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("job_id", job_id)
        yield


def clean(value: Any) -> Any:
    """Return ``value`` with secrets replaced (by field name) and URLs scrubbed, at any depth."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {
            name: "[removed]" if any(word in str(name).lower() for word in _SECRET_NAMES) else clean(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def _release() -> str:
    """Return the version, with the commit if pip installed Telecine from a repository."""
    source = json.loads(distribution("telecine").read_text("direct_url.json") or "{}")
    commit = source.get("vcs_info", {}).get("commit_id", "")
    return f"telecine@{version('telecine')}" + (f"+{commit[:12]}" if commit else "")


def _clean_event(event: Any, hint: Any) -> Any:
    return clean(event)
