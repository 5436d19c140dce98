"""Replicate as its API document describes it: predictions, their list, and the deletion of data after one hour.

Every normal response is kept in ``answers``, so that a test can validate it against Replicate's own document.
Special plans: ``Plan("cancelled", message="aborted")`` ends as ``aborted``; the output of ``Plan(result="gone")`` is
already deleted by the one-hour rule; ``Plan(result="none")`` succeeds without an output.
"""

from __future__ import annotations

import dataclasses
import json
import re
import string
import time
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any

from tests.doubles.double import Double, Task, serve
from tests.doubles.misbehaviour import Fault, Verb
from tests.doubles.server import Reply, Seen

CLIP = "8151e1c9f47e696fa316146a2e35812ccf79cfc9eba05b11c7f450155102af70"
_MODELS = {CLIP: "pharmapsychotic/clip-interrogator"}
_OFFICIAL = frozenset({"black-forest-labs/flux-schnell", "minimax/video-01"})
_TEXT, _URL, _BOOL = r"(?s).+", r"https?://\S+", "True|False"
_HAILUO = {"prompt": _TEXT, "first_frame_image": _URL, "duration": "6|10", "prompt_optimizer": _BOOL}
#: By video model, whose output is one URL: its inputs as its page lists them, the required ones first.
_VIDEO_MODELS: dict[str, tuple[int, dict[str, str]]] = {
    "minimax/hailuo-02": (1, {**_HAILUO, "last_frame_image": _URL, "resolution": "512p|768p|1080p"}),
    "minimax/hailuo-2.3-fast": (2, {**_HAILUO, "resolution": "768p|1080p"}),
    "bytedance/seedance-1-lite": (
        1,
        {
            "prompt": _TEXT,
            "image": _URL,
            "duration": "[2-9]|1[0-2]",
            "resolution": "480p|720p|1080p",
            "aspect_ratio": r"\d+:\d+",
            "fps": "24",
            "camera_fixed": _BOOL,
            "seed": r"\d+",
        },
    ),
    "wan-video/wan-2.5-i2v-fast": (
        2,
        {
            "prompt": _TEXT,
            "image": _URL,
            "audio": _URL,
            "negative_prompt": r"(?s).*",
            "resolution": "720p|1080p",
            "duration": "5|10",
            "enable_prompt_expansion": _BOOL,
            "seed": r"\d+",
        },
    ),
    "prunaai/p-video-avatar": (
        2,
        {"image": _URL, "audio": _URL, "video_prompt": _TEXT, "resolution": "720p|1080p", "seed": r"\d+"},
    ),
}
_VERSION = re.compile(r"(?:([\w.-]+/[\w.-]+):)?([0-9a-f]{64})\Z")
_MARK = re.compile(r"#telecine-([0-9a-f]{32})\Z")
_ONE_RUN = {"starting": "starting", "processing": "processing", "success": "succeeded", "fail": "failed"}
_ACTIVE = ("starting", "processing")


def throttled(seconds: int = 7, **changes: Any) -> Fault:
    """Return Replicate's 429 response, in which the wait appears only in the error text."""
    detail = f"Request was throttled. Your rate limit for creating predictions resets in ~{seconds}s."
    return problem(429, detail, **changes)


def problem(status: int, detail: str, **changes: Any) -> Fault:
    """Return an error in Replicate's format."""
    details: dict[str, Any] = {"title": "Problem", "detail": detail, "status": status}
    return dataclasses.replace(Fault(status=status, body=json.dumps(details)), **changes)


class Replicate(Double):
    """Replicate's API: predictions that start, process and end, and a paginated list of them."""

    #: How long Replicate keeps the input, output and logs of a finished prediction.
    retention_seconds = 3600.0
    page_size = 100
    #: Whether predictions and their list repeat media URLs with the fragment that was sent.
    echoes_fragments = True

    def _clear(self) -> None:
        super()._clear()
        self.answers: deque[tuple[str, Seen, Reply]] = deque(maxlen=5000)
        #: Predictions that were cancelled before their model started.
        self.unstarted: set[str] = set()

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        match seen.method, seen.path.strip("/").split("/"):
            case "POST", ["v1", "predictions"]:
                return "submit", ""
            case "GET", ["v1", "predictions"]:
                return "find", ""
            case "GET", ["v1", "predictions", task]:
                return "poll", task
            case "POST", ["v1", "predictions", task, "cancel"]:
                return "cancel", task
        return "any", ""

    def refusal(self, seen: Seen) -> Reply | None:
        if seen.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return _problem("You did not pass a valid authentication token", 401, "Unauthenticated")

    def unknown(self, seen: Seen) -> Reply:
        return _problem("The requested resource could not be found.", 404, "Not found")

    def reference(self, seen: Seen) -> str:
        return _reference(seen.json().get("input") or {})

    def submit(self, seen: Seen) -> Reply:
        body = seen.json()
        if (wrong := _wrong(body)) is not None:
            return wrong
        # A real id has 26 letters and digits.
        number, id_ = uuid.uuid4().int, ""
        for _ in range(26):
            number, place = divmod(number, 36)
            id_ += (string.digits + string.ascii_lowercase)[place]
        task = self.accept(_reference(body["input"]), body, id_)
        waiting = seen.headers.get("prefer", "").startswith("wait")
        return Reply.of(self.prediction(task), 202 if waiting and self.status(task) in _ACTIVE else 201)

    def poll(self, task: Task, seen: Seen) -> Reply:
        return Reply.of(self.prediction(task))

    def other(self, verb: Verb, task: Task | None, seen: Seen) -> Reply:
        if verb == "cancel" and task is not None:
            if (status := self.status(task)) in _ACTIVE:
                task.cancelled = True
                self.unstarted |= {task.id} if status == "starting" else set()
            return Reply.of(self.prediction(task))
        return self._list(seen) if verb == "find" else self.unknown(seen)

    def status(self, task: Task) -> str:
        """Return the prediction's status in Replicate's terms."""
        stage = self.stage(task)
        if stage == "running":
            return "starting" if task.polls <= 1 and task.plan.outcome != "never" else "processing"
        if stage == "cancelled":
            return "aborted" if task.plan.message == "aborted" else "canceled"
        return _ONE_RUN[stage]

    def prediction(self, task: Task) -> dict[str, Any]:
        """Return the prediction as JSON, the same in every response."""
        status = self.status(task)
        ended = status not in _ACTIVE
        seconds = self.work_seconds if task.plan.seconds is None else task.plan.seconds
        removed = ended and (
            task.plan.result == "gone" or time.time() > task.accepted_at + seconds + self.retention_seconds
        )
        version, here = task.asked["version"], f"{self.url}/v1/predictions/{task.id}"
        shown: dict[str, Any] = {
            "id": task.id,
            "model": _model_of(version),
            "version": found[2] if (found := _VERSION.match(version)) else "hidden",
            "input": {} if removed else {name: self._shown(value) for name, value in task.asked["input"].items()},
            "logs": "" if removed else self._logs(task, status),
            "output": self._output(task) if status == "succeeded" and not removed else None,
            "data_removed": removed,
            "error": task.plan.message if status == "failed" else None,
            "status": status,
            "source": "api",
            "created_at": _when(task.accepted_at),
            "urls": {"web": f"https://replicate.com/p/{task.id}", "get": here, "cancel": f"{here}/cancel"},
        }
        unstarted = status == "aborted" or task.id in self.unstarted
        if status != "starting" and not unstarted:
            shown["started_at"] = _when(task.accepted_at)
        if ended:
            ran = {} if unstarted else {"predict_time": max(seconds, 0.1)}
            shown |= {"completed_at": _when(task.accepted_at + seconds), "metrics": ran | {"total_time": seconds}}
        return shown

    def _answer(self, verb: Verb, task_id: str, seen: Seen) -> Reply:
        reply = super()._answer(verb, task_id, seen)
        self.answers.append((verb, seen, reply))
        return reply

    def _shown(self, value: Any) -> Any:
        return value if self.echoes_fragments or not isinstance(value, str) else value.partition("#")[0]

    def _logs(self, task: Task, status: str) -> str:
        percent = 100 if status == "succeeded" else min(task.polls * 10, 90)
        return "" if status == "starting" else f"Using seed: 42\n{percent:3}%|{'█' * (percent // 10)}| {percent}/100\n"

    def _output(self, task: Task) -> Any:
        if task.plan.result == "none":
            return None
        if task.plan.shape:
            return self.shaped(task)
        if task.asked["version"] in _VIDEO_MODELS:
            return self.result_url(task, "out.mp4")
        if _model_of(task.asked["version"]) != _MODELS[CLIP]:
            return [self.result_url(task, "out-0.mp4")]
        return "" if task.plan.result == "empty" else "a red kite over dunes, golden hour, trending on artstation"

    def _list(self, seen: Seen) -> Reply:
        low, high = seen.query.get("created_after", ""), seen.query.get("created_before", "~")
        tasks = [task for task in self.tasks.values() if low <= _when(task.accepted_at) < high]
        tasks.sort(key=lambda task: task.accepted_tick, reverse=True)
        first = int(seen.query.get("cursor", "0"))
        page, after = tasks[first : first + self.page_size], first + self.page_size
        bounds = "".join(f"&{name}={value}" for name, value in seen.query.items() if name != "cursor")
        following = f"{self.url}/v1/predictions?cursor={after}{bounds}" if after < len(tasks) else None
        return Reply.of(
            {"next": following, "previous": None, "results": [self.prediction(task) for task in page]},
        )


def _reference(given: dict[str, Any]) -> str:
    """Return the mark in a media URL, or else the seed."""
    marks = [found[1] for value in given.values() if isinstance(value, str) and (found := _MARK.search(value))]
    return marks[0] if marks else str(given.get("seed", ""))


def _model_of(version: str) -> str:
    found = _VERSION.match(version)
    return version if found is None else found[1] or _MODELS.get(found[2], "someone/something")


def _wrong(body: Any) -> Reply | None:
    if not isinstance(body, dict) or set(body) - {"version", "input", "webhook", "webhook_events_filter", "stream"}:
        return _problem("Additional properties are not allowed", 422, "Invalid request")
    version, given = body.get("version"), body.get("input")
    if not isinstance(version, str) or not isinstance(given, dict):
        return _problem("version and input are required", 422, "Invalid request")
    if _VERSION.match(version) is None and version not in _OFFICIAL | _VIDEO_MODELS.keys():
        return _problem("The specified version does not exist", 422, "Invalid version or not permitted")
    if version in _VIDEO_MODELS and (wrong := _wrong_input(version, given)) is not None:
        return _problem(wrong, 422, "Input validation failed")
    if _model_of(version) == _MODELS[CLIP] and not str(given.get("image", "")).startswith("http"):
        return _problem("- input.image: Does not match format 'uri'", 422, "Input validation failed")
    return None


def _wrong_input(version: str, given: dict[str, Any]) -> str | None:
    required, known = _VIDEO_MODELS[version]
    for name in list(known)[:required]:
        if name not in given:
            return f"- input: {name} is required"
    for name, value in given.items():
        if name not in known or not re.fullmatch(known[name], str(value)):
            return f"- input.{name}: is not valid"
    return None


def _problem(detail: str, status: int, title: str) -> Reply:
    details = {"title": title, "detail": detail, "status": status}
    return Reply(status, Reply.of(details).body, {"content-type": "application/problem+json"})


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


if __name__ == "__main__":
    serve(Replicate)
