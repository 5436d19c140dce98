"""The interface of a remote provider: submit, poll, cancel and find. Waiting and retrying are the engine's job.

    submit ──→ TaskRef ──poll──→ Pending … Ready | Failed
       └────→ Ready                      (a provider that answers synchronously)

No provider accepts an idempotency key. The engine therefore records its intent to submit before the socket opens.
If the outcome is unknown afterwards, it calls ``find``, or leaves the decision to an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from providers.catalogue import Model
from schemas.errors import ProviderError, ProviderRefused
from schemas.reference import has_url


@dataclass(frozen=True, slots=True)
class MediaInput:
    """One input file, as a URL and as bytes."""

    #: Presigned URL: a secret, because anyone who has it can read the file until it expires. With folder storage it
    #: is a ``file://`` URL, which must not leave this machine: call ``require_url_inputs`` before sending it.
    url: str
    #: ``image/png``, ``audio/mpeg``, …, detected from the content.
    content_type: str
    bytes: int
    sha256: str
    #: Return the file on the local disk, for providers that take bytes. Blocks: call it in a thread.
    load: Callable[[], Path]


@dataclass(frozen=True, slots=True)
class Call:
    """One paid call. After a crash the same call is rebuilt with the same key."""

    #: 32 hexadecimal digits, generated before the first submission. Sent as the caller's reference where the provider
    #: has a field for one, and searched for by ``find`` where the provider lists its tasks.
    key: str
    job_id: str
    step: str
    model: Model
    #: Validated against the catalogue, with defaults filled in.
    parameters: Mapping[str, Any]
    inputs: Mapping[str, MediaInput] = field(default_factory=dict)
    #: Time of the first submission in epoch seconds: the start of the search in ``find``.
    submitted_at: float | None = None
    #: Current time in epoch seconds by the clock of ``submitted_at``, which may differ from this machine's.
    now: float | None = None


def require_url_inputs(call: Call) -> None:
    """Check that every input has an http(s) URL, for providers that read inputs by URL.

    A ``file://`` URL would only disclose a local path to the provider.

    Raises:
        ProviderRefused: an input is a file on this machine.
    """
    for name, file in call.inputs.items():
        if not has_url(file.url):
            raise unreadable_input(name, call.model.provider)


def unreadable_input(name: str, provider: str) -> ProviderRefused:
    """Return the error for an input that is a file on this machine, for a provider that reads inputs by URL."""
    return ProviderRefused(
        f"data.{name}: {provider} cannot read a file on this machine; use S3 storage or an https:// input",
        field=f"data.{name}",
    )


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task at a provider."""

    id: str
    #: Further text that ``poll`` and ``cancel`` need, such as an endpoint or a region. No secrets.
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """A task that has not ended yet."""

    #: From 0.0 to 1.0; ``None`` where the provider does not report it.
    progress: float | None = None
    #: The provider's own status, for the timeline.
    status: str = ""
    #: Minimum wait before the next poll.
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A finished task with its result: a file, a value, or both. Results expire, so the file is fetched at once."""

    #: URL of the file. Untrusted: it is fetched through the guarded client, and its type is detected from the content.
    #: A ``data:`` URI contains it.
    url: str | None = None
    #: The file itself, where the response contains it. The ledger keeps it until it is stored, so this is for images
    #: of a few megabytes, not for videos.
    content: bytes | None = None
    #: Text or JSON result, such as a prompt or words with times.
    value: Any = None
    #: Cost in US dollars as reported by the provider; ``None``: use the catalogue's price.
    price: str | None = None
    #: For the manifest: version, seed, title, prompt used, ….
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Further files of the output. The first one whose content is of the wanted kind becomes the result.
    other_urls: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that ended without a result. Final: the provider will not change it."""

    error: ProviderError
    #: Whether the provider charges for it nevertheless.
    charged: bool = False


class RemoteProvider(Protocol):
    """One account at a provider. Safe for concurrent use within one event loop; call ``aclose`` at the end.

    The verdict of every ``ProviderError`` decides what the engine does next. An error of a submission that was
    certainly not accepted has the verdict ``never`` or ``later``; if it may have been accepted, the error is
    ``ProviderOutcomeUnknown``.
    """

    #: Whether ``find`` is conclusive: if so, ``None`` means that the provider never received the call.
    can_find: bool

    async def submit(self, call: Call) -> TaskRef | Ready:
        """Start the paid work in exactly one request. Never repeat the request here.

        Raises:
            ProviderOutcomeUnknown: the request may have arrived.
            ProviderError: the request was certainly not accepted.
        """
        ...

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return the task's state. Report an unknown status as ``Pending``.

        Raises:
            ProviderError: the state could not be read; the engine polls again later.
        """
        ...

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Ask the provider to stop the task; return whether it stopped and costs nothing.

        Return ``False`` if tasks cannot be stopped, if this one has already ended, or if it has run and is billed for
        its time.

        Raises:
            ProviderError: the request failed; the engine retries it a few times.
        """
        ...

    async def find(self, call: Call) -> TaskRef | None:
        """Return the task that an earlier submission of this call created, if the provider can be searched."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
