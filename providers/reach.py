"""Whether a vendor can read the inputs of a call: it is given URLs, and a file of this machine has none for it."""

from __future__ import annotations

from providers.base import Call
from schemas.errors import ProviderRefused


def check_reach(call: Call) -> None:
    """For providers that take URLs, before anything is sent: a local path is none of the vendor's business.

    Raises:
        ProviderRefused: an input is in no storage that the network leads to.
    """
    for name, file in call.inputs.items():
        if not file.url.startswith(("https://", "http://")):
            raise ProviderRefused(
                f"data.{name}: {call.model.provider} cannot read a file of this machine; "
                "use S3 storage or an https:// input",
                field=f"data.{name}",
            )
