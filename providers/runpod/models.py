"""Catalogue entry of RunPod: the reel, rendered by Telecine's handler on the operator's endpoint.

The price of a second depends on the GPU that the operator chose, so it is 0.00 until the operator sets ``price`` in
``[[models]]``. A budget cannot limit calls without a price.
"""

from __future__ import annotations

from providers.catalogue import Model, Parameter

REEL = Model(
    id="runpod-reel",
    provider="runpod",
    types=("reel",),
    owned_by="telecine",
    description="The reel, rendered on a RunPod endpoint that runs Telecine's handler; see providers.md.",
    parameters={
        "film": Parameter(
            required=True, longest=4_000_000, description="The reel to render, as JSON; written by the pipeline."
        ),
    },
    # A cold start takes 30 to 60 seconds, rendering a few seconds.
    first_wait_seconds=5,
    poll_seconds=5,
    timeout_seconds=1800,
)

MODELS: tuple[Model, ...] = (REEL,)
