"""Errors of the Hugging Face hub and of the disk that is downloaded to, as errors that say what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import ConfigurationError, ModelNotInstalled, ProviderUnavailable, StorageUnavailable, TelecineError
from schemas.errors.disk import FULL

_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500


@contextlib.contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Name the folder if the disk is full.

    Raises:
        StorageUnavailable: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageUnavailable(
            f"no space is left for {folder}: {os.strerror(error.errno)}; free some, then run the command again, "
            "it continues where it stopped",
            outage=True,
        ) from None


@contextlib.contextmanager
def hub_errors(name: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of huggingface_hub and of its HTTP client into errors of this project.

    Raises:
        ModelNotInstalled: there is no such repository or revision, or it is gated.
        ProviderUnavailable: the hub does not answer, or not as a hub.
        ConfigurationError: the name cannot be one on the hub, or the hub is switched off here.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except TelecineError:
        raise
    except errors.HFValidationError:
        raise ConfigurationError(f"{name!r} is not a name on the hub; correct weights.source of its entry") from None
    except errors.OfflineModeIsEnabled:
        raise ConfigurationError("HF_HUB_OFFLINE is set, so nothing can be downloaded; unset it") from None
    except errors.HfHubHTTPError as error:
        raise _answered(name, revision, error) from None
    except httpx2.HTTPError as error:
        raise ProviderUnavailable(
            f"{endpoint()} does not answer ({type(error).__name__}); run the command again later, "
            "it continues where it stopped"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProviderUnavailable(f"{endpoint()} did not answer like a hub ({type(error).__name__})") from None


def _answered(name: str, revision: str | None, error: Any) -> TelecineError:
    """Return our error for an error that the hub answered with."""
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return ModelNotInstalled(
            f"{name} is gated: accept its licence on {page_of(name)}, set HF_TOKEN to a token of that account, "
            "and run the command again"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotInstalled(f"{name} has no revision {revision} on the hub; correct weights.revision of its entry")
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        return ModelNotInstalled(
            f"the hub has no {name}, or it is private; correct weights.source of its entry, or set HF_TOKEN"
        )
    if status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
        return ProviderUnavailable(f"the hub answered {status} for {name}; run the command again later")
    return ModelNotInstalled(f"the hub refuses to send {name}: it answered {status}")


def endpoint() -> str:
    """Return the address of the hub: ``HF_ENDPOINT``, or the public one."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def page_of(name: str) -> str:
    """Return the address of the page with the model card, on which a licence is accepted."""
    return f"{endpoint()}/{name}"
