"""The catalogue's entry of RunPod: the reel, made by Telecine's own handler on an endpoint of the operator's.

What a second of a worker costs depends on the GPU that the operator chose, so the price is 0.00 until he writes
his own into ``[[models]]``: a budget cannot stop what has no price.
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
            required=True, longest=4_000_000, description="What the handler renders, as JSON; the pipeline writes it."
        ),
    },
    # A cold start takes half a minute to a minute, the film itself seconds.
    first_wait_seconds=5,
    poll_seconds=5,
    timeout_seconds=1800,
)

MODELS: tuple[Model, ...] = (REEL,)
