"""What a remote provider is: four verbs on records. Never sleeps, never retries: the engine does.

    submit ──→ TaskRef ──poll──→ Pending … Ready | Failed
       └────→ Ready                      (a provider that answers at once)

No vendor takes an idempotency key, so the engine supplies the guarantee: it writes down that it is about to
submit before the socket opens, and what it cannot know afterwards it asks ``find`` or a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from providers.catalogue import Model
from schemas.errors import ProviderError


@dataclass(frozen=True, slots=True)
class MediaInput:
    """One input file, as a provider can reach it."""

    #: Presigned, readable by anyone for a limited time: a secret. Providers that take a URL are given this, after
    #: ``check_reach``: with folder storage it is a ``file://`` URL, which no vendor may see.
    url: str
    #: ``image/png``, ``audio/mpeg``, …; decided by content.
    content_type: str
    bytes: int
    sha256: str
    #: For providers that take the bytes: the whole file on this machine. Blocks; call it in a thread.
    load: Callable[[], Path]


@dataclass(frozen=True, slots=True)
class Call:
    """One paid call. The same call, after a crash, is the same record with the same key."""

    #: Minted before anything is sent: 32 hexadecimal digits. Sent along as the caller's reference where a vendor
    #: has a field for one, and found in its list where the vendor has a list.
    key: str
    job_id: str
    step: str
    model: Model
    #: Checked against the catalogue's parameters, defaults filled in.
    parameters: Mapping[str, Any]
    inputs: Mapping[str, MediaInput] = field(default_factory=dict)
    #: Epoch seconds of the first submission; where ``find`` begins to look.
    submitted_at: float | None = None
    #: Now, by the same clock: this machine's may be another. ``None`` where it is not known.
    now: float | None = None


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task at a provider."""

    id: str
    #: What else ``poll`` and ``cancel`` need, as text: an endpoint, a region. No secrets.
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """Not done yet. ``progress`` is 0.0 to 1.0 where the provider tells."""

    progress: float | None = None
    #: The provider's own word, for the timeline.
    status: str = ""
    #: Do not ask again before so many seconds.
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Done. Either a file to be fetched at once, since results expire, or a value, or both."""

    #: Where the file is; untrusted, so it is fetched through the guarded client and judged by its content.
    url: str | None = None
    #: The file itself, where the answer carries it: a picture of a few megabytes. The ledger keeps it until it is
    #: stored, so a film does not belong here.
    content: bytes | None = None
    #: A text or JSON result: a prompt, words with times.
    value: Any = None
    #: What it cost in US dollars, as the provider says; ``None``: the catalogue's price.
    price: str | None = None
    #: For the manifest: version, seed, title, prompt used, ….
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """Ended without a result; final at the provider. ``charged`` says whether it is paid for all the same."""

    error: ProviderError
    charged: bool = False


class RemoteProvider(Protocol):
    """One vendor's account. Safe to use from many coroutines of one loop; ``aclose`` at the end.

    Every method raises ``ProviderError`` of a kind whose verdict is right: what was certainly not accepted is
    ``never`` or ``later``, what may have been accepted is ``ProviderOutcomeUnknown``.
    """

    #: Whether ``find`` is an answer: its ``None`` then means that the provider never got the call.
    can_find: bool

    async def submit(self, call: Call) -> TaskRef | Ready:
        """Starts the paid work, in exactly one request that is never repeated here.

        Raises:
            ProviderOutcomeUnknown: the request may have arrived; nobody knows.
            ProviderError: the request was certainly not accepted.
        """
        ...

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """How the task stands. An unknown status is ``Pending``.

        Raises:
            ProviderError: it could not be asked; asked again later.
        """
        ...

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Asks the provider to stop. ``True``: the task has stopped and costs nothing.

        ``False`` where a task cannot be stopped, has ended by itself, or has run and is paid for by its time.

        Raises:
            ProviderError: it could not be asked; asked again later, a few times.
        """
        ...

    async def find(self, call: Call) -> TaskRef | None:
        """The task that an earlier submission of this call made, if the provider can be asked."""
        ...

    async def aclose(self) -> None:
        """Closes its connections."""
        ...
