"""Adapter for RunPod's public endpoints: models that RunPod itself runs, at the same job API and with the same key.

    input    the model's own parameters, and media as URLs under their names
    output   {"video_url" | "image_url" | "audio_url": …, "cost": US dollars}
    error    text; failed jobs are free of charge

Documented at https://docs.runpod.io/public-endpoints/requests and on one page per model, see ``documentation`` of each
catalogue entry. ``remote`` is the endpoint.
"""

from __future__ import annotations

import math
from typing import Any

from providers.base import Call, Failed, Ready
from providers.http.outputs import find_files
from providers.http.policy import Policy
from providers.http.response import first_value
from providers.runpod.adapter import RunPod, exchange_of
from schemas.errors import ProviderNotConfigured, ProviderResultInvalid
from schemas.settings import Settings

_FILES = ("video_url", "image_url", "audio_url")


class RunPodPublic(RunPod):
    """RunPod's public endpoints; see ``RemoteProvider``."""

    failures_are_charged = False

    def _body(self, call: Call) -> dict[str, Any]:
        if not call.model.remote:
            raise ProviderNotConfigured(f"model {call.model.id}: remote must be the name of a public endpoint")
        names = call.model.names
        media = {names.get(name, name): file.url for name, file in call.inputs.items()}
        return {"input": call.model.sent(call.parameters) | media}

    def _result(self, document: Any) -> Ready | Failed:
        output = document.get("output")
        files, cost = find_files(output, _FILES), _cost(output)
        if not files:
            return Failed(ProviderResultInvalid("RunPod's job ended without a file."), charged=cost != 0)
        url, *others = files.urls
        seconds = {"inference_time": "executionTime", "delay_time": "delayTime"}
        details = {name: document.get(key) for name, key in seconds.items()}
        known = {name: value for name, value in details.items() if isinstance(value, int | float)}
        return Ready(url=url, other_urls=others, price=None if cost is None else str(cost), details=known)


def from_settings(settings: Settings, policy: Policy) -> RunPodPublic:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    return RunPodPublic(exchange_of(settings, policy), "")


def _cost(output: Any) -> float | None:
    """Return what RunPod charges for the job in US dollars, or ``None`` if it does not report it."""
    cost = first_value(output, ("cost",))
    known = isinstance(cost, int | float) and not isinstance(cost, bool)
    return cost if known and math.isfinite(cost) and cost >= 0 else None
