"""Checks of the providers and models: their settings, and which of them can be called."""

from __future__ import annotations

from ops.checks.finding import Finding, failed, ok, warn
from providers.http.policy import Policy
from providers.registry import EXTENSION_PROVIDERS, LOCAL, catalogue_of, open_provider, provider_names
from schemas.errors import ConfigurationError, TelecineError
from schemas.job_types import JOB_TYPES
from schemas.settings import Settings


def models(settings: Settings) -> Finding:
    """Check that the settings for models and providers are valid and name known providers and job types."""
    try:
        catalogue = catalogue_of(settings)
    except ConfigurationError as error:
        return failed(error.message, "correct it in the settings file")
    known = {*provider_names(), LOCAL}
    unknown = [
        f"[[models]] {model.id}: provider {model.provider}" for model in catalogue if model.provider not in known
    ]
    unknown += [
        f"[[models]] {model.id}: type {kind}" for model in catalogue for kind in model.types if kind not in JOB_TYPES
    ]
    ids = {model.id.lower() for model in catalogue if model.provider != LOCAL}
    unknown += [
        f"[[models]] {model.id}: route {route}"
        for model in catalogue
        for route in model.routes
        if route.lower() not in ids
    ]
    unknown += [f"[provider_limits.{name}]" for name in settings.provider_limits if name not in known]
    unknown += [
        f"[providers.{name}], which no extension adds" for name in settings.providers if name not in EXTENSION_PROVIDERS
    ]
    if unknown:
        return warn(
            f"unknown: {'; '.join(unknown)}",
            f"providers are {', '.join(sorted(known))}; types are {', '.join(sorted(JOB_TYPES))}",
        )
    return ok(f"{len(list(catalogue))} models")


def providers(settings: Settings) -> Finding:
    """Report which providers can be called. None is required."""
    names = provider_names()
    ready = [name for name in names if missing(name, settings) is None]
    rest = "" if len(ready) == len(names) else "; `telecine providers` shows what the others need"
    return ok(f"{', '.join(ready) or 'none'} set up{rest}")


def missing(name: str, settings: Settings) -> str | None:
    """Return what is missing to call a provider, or ``None``."""
    try:
        open_provider(name, settings, Policy(allowed_hosts=frozenset(settings.allowed_private_hosts)))
    except TelecineError as error:
        return error.message
    except ImportError as error:
        return f"needs the package {error.name}"
    return None
