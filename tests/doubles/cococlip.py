"""Cococlip's backend in four dialects: flat, other names in lower case, an envelope, an envelope with a flag."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from tests.doubles.double import Double, Task, serve
from tests.doubles.misbehaviour import Verb
from tests.doubles.server import Reply, Seen

Dialect = Literal["flat", "lower", "envelope", "flag"]
DIALECTS: tuple[Dialect, ...] = ("flat", "lower", "envelope", "flag")

#: The kind, required fields and choices of each model.
_MODELS: dict[str, tuple[str, tuple[str, ...], dict[str, tuple[Any, ...]]]] = {
    "hailuo02standard": ("text2video", ("prompt",), {"duration": (6,)}),
    "seedancev1lite": (
        "text2video",
        ("prompt",),
        {"duration": (5, 10), "resolution": ("720p", "1080p"), "aspect_ratio": ("9:16", "16:9", "1:1")},
    ),
    "hailuo23fast": ("image2video", ("prompt", "image"), {"duration": (6, 10)}),
    "wan25fast": (
        "image2video",
        ("prompt", "image"),
        {"duration": (5, 10), "resolution": ("720p", "1080p"), "negative_prompt": ()},
    ),
    "Infinitetalk": (
        "audio2video",
        ("image", "audio"),
        {"prompt": (), "resolution": ("720p", "1080p"), "audio_duration": ()},
    ),
}


class Cococlip(Double):
    """Cococlip's backend. Callers cannot send a reference; the prompt or the image's path serves as one."""

    dialect: Dialect = "flat"

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        parts = seen.path.strip("/").split("/")
        if seen.method == "POST" and len(parts) == 3 and parts[0] == "v3":
            return "submit", ""
        if seen.method == "GET" and len(parts) == 4 and parts[3] == "get":
            return "poll", seen.query.get("id", "-")
        return "any", ""

    def refusal(self, seen: Seen) -> Reply | None:
        if seen.headers.get("x-cococlip-key") == self.key:
            return None
        return Reply.of({"detail": "Not authenticated"}, 401)

    def reference(self, seen: Seen) -> str:
        body = seen.json()
        return str(body.get("prompt") or urlsplit(str(body.get("image", ""))).path)

    def submit(self, seen: Seen) -> Reply:
        kind, model = seen.path.strip("/").split("/")[1:]
        body = seen.json()
        if (problem := _problem(kind, model, body)) is not None:
            return Reply.of({"detail": problem}, 400)
        task = self.accept(self.reference(seen), body)
        match self.dialect:
            case "flat":
                return Reply.of({"task_id": task.id})
            case "lower":
                return Reply.of({"uuid": task.id, "status": "pending"})
        return Reply.of({"code": 200, "msg": "success", "data": {"taskId": task.id}})

    def poll(self, task: Task, seen: Seen) -> Reply:
        stage, url = self.stage(task), self.result_url(task)
        done, failed = stage == "success", stage not in ("running", "success")
        if not done and not failed and self.dialect in ("lower", "flag"):
            return Reply.text("") if task.polls % 2 else Reply.text("<p>working</p>", content_type="text/html")
        word = "COMPLETED" if done else "FAILED" if failed else ("PENDING", "PROCESSING")[task.polls % 2]
        named: dict[str, Any] = {"url": url} if done and url else {}
        if done and task.plan.shape:
            named = {"url": None, "response": self.shaped(task)}
        problem = {"error": task.plan.message} if failed else {}
        match self.dialect:
            case "flat":
                took = {"inference_time": 128036} if done else {}
                return Reply.of({"task_id": task.id, "status": word, **named, **problem, **took})
            case "lower":
                return Reply.of({"uuid": task.id, "status": word.lower(), **named, **problem})
            case "envelope":
                return Reply.of(
                    {"code": 200, "data": {"taskId": task.id, "status": word, "response": named, **problem}}
                )
        flag = 1 if done else 2 if failed else 0
        inner = {"taskId": task.id, "successFlag": flag, "response": named or None}
        return Reply.of({"code": 200, "data": inner | ({"errorMessage": task.plan.message} if failed else {})})


def _problem(kind: str, model: str, body: dict[str, Any]) -> str | None:
    if model not in _MODELS or _MODELS[model][0] != kind:
        return f"no model {model} for {kind}"
    _, required, choices = _MODELS[model]
    for name in required:
        if not body.get(name):
            return f"{name} is required"
    for name, value in body.items():
        if name not in required and name not in choices:
            return f"unknown field {name}"
        if choices.get(name) and value not in choices[name]:
            return f"{name} must be one of {choices[name]}"
    if "audio_duration" in body and not isinstance(body["audio_duration"], str):
        return "audio_duration must be a string"
    longest = 1000 if kind == "text2video" else 500
    return "prompt is too long" if len(body.get("prompt", "")) > longest else None


if __name__ == "__main__":
    serve(Cococlip)
