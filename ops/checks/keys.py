"""Checks of the signing secrets. They are never printed."""

from __future__ import annotations

from consumer.callbacks.signing import check_secret
from ops.checks.finding import Finding, failed, ok, warn
from schemas.errors import ConfigurationError
from schemas.settings import Settings


def keys(settings: Settings) -> Finding:
    """Check that callbacks can be signed."""
    advice = """`telecine secret` generates one; set TELECINE_CALLBACK_SECRETS='{"default": ["whsec_…"]}'"""
    if not settings.callback_secrets:
        if settings.embedded:
            return ok(f"created at the first start, in {settings.home.absolute() / 'callback-secret'}")
        return failed("no signing secret is set", advice)
    for name, secrets in settings.callback_secrets.items():
        if not secrets:
            return failed(f"the signing secret {name!r} is an empty list", advice)
        for secret in secrets:
            try:
                check_secret(secret)
            except ConfigurationError as error:
                return failed(f"the signing secret {name!r} is malformed", error.message)
    summary = ", ".join(
        f"{name}{' (being replaced)' if len(secrets) > 1 else ''}"
        for name, secrets in settings.callback_secrets.items()
    )
    if "default" not in settings.callback_secrets and len(settings.callback_secrets) > 1:
        return warn(
            f"secrets {summary}, none named default",
            "callbacks of requests without a secret_name are signed with the first; name one default",
        )
    return ok(summary)
