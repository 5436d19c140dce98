"""RunPod's public endpoints as their pages describe them: each with its own inputs, and the cost with the result.

    POST /v2/ENDPOINT/run   GET /v2/ENDPOINT/status/ID   POST /v2/ENDPOINT/cancel/ID

Inputs are checked when the job runs, so a wrong one fails the job and is free of charge. ``cost`` replaces the cost of
the next results: also with values that no page shows.
"""

from __future__ import annotations

import re
from typing import Any

from tests.doubles.double import Task, serve
from tests.doubles.misbehaviour import Verb
from tests.doubles.runpod import RunPod
from tests.doubles.server import Seen

#: By endpoint: required inputs, and what each input has to match. From the pages of docs.runpod.io/public-endpoints.
_URL, _TEXT, _BOOL = r"https?://\S+", r"(?s).+", "True|False"
_ENDPOINTS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "infinitetalk": (
        ("prompt", "image", "audio", "size"),
        {"prompt": _TEXT, "image": _URL, "audio": _URL, "size": "480p|720p", "enable_safety_checker": _BOOL},
    ),
    "wan-2-5": (
        ("prompt", "image"),
        {
            "prompt": _TEXT,
            "image": _URL,
            "negative_prompt": r"(?s).*",
            "size": r"\d+\*\d+",
            "duration": r"\d+",
            "seed": r"-?\d+",
            "enable_prompt_expansion": _BOOL,
            "enable_safety_checker": _BOOL,
        },
    ),
    "seedance-1-0-pro": (
        ("prompt",),
        {"prompt": _TEXT, "image": _URL, "duration": r"\d+", "fps": r"\d+", "size": r"\d+x\d+"},
    ),
    "p-video": (
        ("prompt",),
        {
            "prompt": _TEXT,
            "image": _URL,
            "audio": _URL,
            "duration": r"[1-9]|10",
            "resolution": "720p|1080p",
            "fps": "24|48",
            "aspect_ratio": "16:9|9:16|4:3|3:4|3:2|2:3|1:1",
            "seed": r"\d+",
            "draft": _BOOL,
            "save_audio": _BOOL,
            "prompt_upsampling": _BOOL,
        },
    ),
}
#: US dollars: of a call, or of five seconds by the height of the picture.
_PORTRAIT = {"480p": 0.25, "720p": 0.50}
_FIVE_SECONDS = {"wan-2-5": {720: 0.50, 1080: 0.75}, "seedance-1-0-pro": {720: 0.27, 1080: 0.61}}
_UNSET = object()


class RunPodPublic(RunPod):
    """RunPod's public endpoints, with one key. The prompt is the reference of a call."""

    def _clear(self) -> None:
        super()._clear()
        #: The cost of the results from now on, in place of the page's.
        self.cost: Any = _UNSET

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        _, version, endpoint, verb, *rest = [*seen.path.split("/"), "", ""]
        verbs: dict[str, Verb] = {"run": "submit", "status": "poll", "cancel": "cancel"}
        known = version == "v2" and endpoint in _ENDPOINTS
        return (verbs.get(verb, "any"), rest[0]) if known else ("any", "")

    def reference(self, seen: Seen) -> str:
        return str(seen.json().get("input", {}).get("prompt", ""))

    def accept(self, ref: str, asked: Any, id: str | None = None) -> Task:  # noqa: A002 - the providers' word
        endpoint = self.requests[-1][1].path.split("/")[2]
        return super().accept(ref, {**asked, "endpoint": endpoint}, id)

    def _by_plan(self, task: Task) -> dict[str, Any]:
        endpoint, given = task.asked["endpoint"], task.asked["input"]
        wrong = _wrong(endpoint, given)
        match self.stage(task):
            case "running":
                return {"status": "IN_QUEUE" if task.polls <= 1 else "IN_PROGRESS", "delayTime": 25}
            case "success" if wrong is None:
                times = {"delayTime": 25, "executionTime": 45678, "workerId": "oqk7ao1uomckye"}
                if task.plan.shape:
                    return {"status": "COMPLETED", **times, "output": self.shaped(task)}
                cost = price(endpoint, given) if self.cost is _UNSET else self.cost
                reported = {} if cost is None else {"cost": cost}
                return {"status": "COMPLETED", **times, "output": {"video_url": self.result_url(task)} | reported}
            case "success":
                return {"status": "FAILED", "error": wrong}
            case "fail":
                return {"status": "FAILED", "error": task.plan.message}
        return {"status": "CANCELLED"}


def price(endpoint: str, given: dict[str, Any]) -> float:
    """Return the price of a job according to the endpoint's page."""
    if endpoint == "infinitetalk":
        return _PORTRAIT[given["size"]]
    if endpoint == "p-video":
        return round((0.04 if given.get("resolution") == "1080p" else 0.02) * float(given.get("duration", 5)), 6)
    height = int(re.split("[x*]", given["size"])[1])
    return round(_FIVE_SECONDS[endpoint][height] * float(given.get("duration", 5)) / 5, 6)


def _wrong(endpoint: str, given: dict[str, Any]) -> str | None:
    required, known = _ENDPOINTS[endpoint]
    if missing := [name for name in required if name not in given]:
        return f"Missing parameter: {missing[0]}"
    for name, value in given.items():
        if name not in known:
            return f"Unknown parameter: {name}"
        if not re.fullmatch(known[name], str(value)):
            return f"Invalid parameter: {name}"
    return None


if __name__ == "__main__":
    serve(RunPodPublic)
