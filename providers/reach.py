"""Check that a provider can read a call's inputs by URL."""

from __future__ import annotations

from providers.base import Call
from schemas.errors import ProviderRefused


def check_reach(call: Call) -> None:
    """Check that every input has an http(s) URL, for providers that read inputs by URL.

    A ``file://`` URL would only disclose a local path to the provider.

    Raises:
        ProviderRefused: an input is a file on this machine.
    """
    for name, file in call.inputs.items():
        if not file.url.startswith(("https://", "http://")):
            raise ProviderRefused(
                f"data.{name}: {call.model.provider} cannot read a file on this machine; "
                "use S3 storage or an https:// input",
                field=f"data.{name}",
            )
